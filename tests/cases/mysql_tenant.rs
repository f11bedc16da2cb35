//! MySQL and MariaDB: a case's database is made by the stock client, dumped by the worker with the rights that docs/mysql.md names,
//! brought back by one way, and compared.

use crate::case::Case;
use crate::outcome::{Outcome, compared, readable, step};
use sennight_core::engine::EngineKind;
use sennight_core::result::{BackupSummary, Done};
use sennight_engine::mysql::ident;
use sennight_protocol::restore::DrillTask;
use sennight_worker::{ProgressWriter, directory, drill, preflight};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use testkit::mysql::Server;
use testkit::mysql::picture::Picture;
use testkit::mysql::restore::{MysqlRestore, PASSWORD};
use testkit::{backup_ref, dump_with, env, manifest, path, unique};

/// A case on one server.
pub struct Tenant<'a> {
    case: &'a Case,
    server: &'a Server,
    world: MysqlRestore,
    /// The account that dumps.
    dumper: String,
    /// A directory that the server may write.
    dir: tempfile::TempDir,
}

impl<'a> Tenant<'a> {
    pub async fn new(server: &'a Server, case: &'a Case) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
        Self { case, server, world: MysqlRestore::on(server).await, dumper: unique("d"), dir }
    }

    /// A text of the case with this run's names.
    fn words(&self, text: &str) -> String {
        let name = self.world.live.name();
        let text = match self.case.head("database") {
            Some(written) => text.replace(written, &name),
            None => text.to_owned(),
        };
        text.replace("@DB@", &name)
            .replace("@DUMP@", &format!("'{}'@'127.0.0.1'", self.dumper))
            .replace("@PORT@", &self.server.port().to_string())
            .replace("@DIR@", &path(self.dir.path()))
    }

    /// Statements of a line of the head, by the superuser; the error's text where one fails.
    fn said(&self, key: &str) -> Result<(), String> {
        match self.case.head(key) {
            Some(statements) => self.client("", &["--force"], &self.words(statements)),
            None => Ok(()),
        }
    }

    fn client(&self, database: &str, options: &[&str], script: &str) -> Result<(), String> {
        let mut client = self.server.client(database);
        client.args(options);
        fed(&mut client, script)
    }

    fn make(&self) -> Result<(), Outcome> {
        let name = ident(&self.world.live.name());
        let account = self.case.head("account").unwrap_or("IDENTIFIED BY 'pass-word'");
        let routines = match self.server.engine {
            EngineKind::MySQL => "GRANT SHOW_ROUTINE ON *.* TO @DUMP@",
            _ => "GRANT SELECT ON mysql.proc TO @DUMP@",
        };
        let rights = format!("GRANT SELECT, SHOW VIEW, TRIGGER, EVENT, LOCK TABLES ON {name}.* TO @DUMP@; {routines};");
        let rights = self.case.head("rights").map_or(rights, str::to_owned);
        let made = |words: String| Outcome::Failed(format!("not made: {words}"));
        self.said("setup").map_err(made)?;
        self.client("", &[], &self.words(&format!("CREATE USER @DUMP@ {account};"))).map_err(made)?;
        let mark = if self.server.engine == EngineKind::MySQL { "--@mysql " } else { "--@mariadb " };
        let script: Vec<&str> = self.case.text.lines().map(|line| line.strip_prefix(mark).unwrap_or(line)).collect();
        let options: &[&str] = if self.case.head("lenient").is_some() { &["--force"] } else { &[] };
        let ran = self.client(&self.world.live.name(), options, &self.words(&(script.join("\n") + "\n")));
        if options.is_empty() {
            ran.map_err(made)?;
        }
        self.client("", &[], &self.words(&rights)).map_err(made)
    }

    /// `SET GLOBAL` of the case; a variable that this family does not have is left out. What sets them back.
    fn globals(&self) -> Vec<String> {
        let mut back = Vec::new();
        for (name, value) in
            self.case.head("globals").unwrap_or_default().split_whitespace().filter_map(|g| g.split_once('='))
        {
            let was =
                self.server.client("").args(["-BN", "--execute", &format!("SELECT @@GLOBAL.{name}")]).output().unwrap();
            if was.status.success() && self.client("", &[], &format!("SET GLOBAL {name} = {value};")).is_ok() {
                back.push(format!("SET GLOBAL {name} = {};", String::from_utf8_lossy(&was.stdout).trim()));
            }
        }
        back
    }

    /// Makes it, dumps it, brings it back by one way, and compares.
    pub async fn outcome(&self, way: &str) -> Result<Outcome, Outcome> {
        self.make()?;
        let live = &self.world.live;
        let before = readable(Picture::of(live)).await;
        let before = before.ok_or_else(|| Outcome::Failed("not made: it cannot be read".to_owned()))?;
        let back = self.globals();
        let restored = self.brought_back(way).await;
        for statement in back {
            self.client("", &[], &statement).unwrap_or_else(|words| panic!("{statement}: {words}"));
        }
        let checked = match &restored {
            Ok(Some(name)) => self.checked(name),
            _ => self.checked(&live.name()),
        };
        if let Some(found) = checked {
            return Ok(Outcome::Differs(found));
        }
        let Some(name) = restored? else { return Ok(Outcome::Same) };
        let Some(now) = readable(Picture::of(&live.beside(&name))).await else {
            return Ok(Outcome::Differs("it cannot be read".to_owned()));
        };
        Ok(compared(before.parts(), now.parts(), |part| self.case.looks_at(part)))
    }

    /// The name of the database that it is in now; none after a drill.
    async fn brought_back(&self, way: &str) -> Result<Option<String>, Outcome> {
        let (live, store) = (&self.world.live, &self.world.store);
        let seen = live.seen_by(&self.dumper, PASSWORD);
        let mut task = seen.dump_task();
        task.allow_non_transactional = self.case.head("non-transactional").is_some();
        let backup = step("dump", dump_with(&task, &self.world.context("dump"))).await?;
        if let Some(words) = self.case.head("no warning") {
            let warnings = manifest(&backup, store).await.warnings;
            if warnings.iter().any(|warning| warning.contains(words)) {
                return Err(Outcome::Differs(format!("warned: {words}")));
            }
        }
        self.said("before restore").map_err(|words| Outcome::Failed(format!("not made: {words}")))?;
        match way {
            "intact" => {}
            "ruin" => self.ruin(),
            "hand" => return self.by_hand(&backup).await.map(Some),
            "drill" => return self.drilled(&backup).await.map(|()| None),
            way => panic!("{}: no such way: {way}", self.case.name),
        }
        self.restored(&backup).await.map(|()| Some(live.name()))
    }

    /// What a restore is for: everything that was in the database is gone, its accounts and their grants are not.
    fn ruin(&self) {
        let name = ident(&self.world.live.name());
        let script =
            format!("SET foreign_key_checks = 0; DROP DATABASE {name}; CREATE DATABASE {name} CHARACTER SET utf8mb4;");
        self.client("", &[], &script).unwrap_or_else(|words| panic!("{words}"));
    }

    /// A full restore over the live database.
    async fn restored(&self, backup: &BackupSummary) -> Result<(), Outcome> {
        let task = self.world.restore_task(backup);
        let Done::Preflighted(found) =
            step("preflight", preflight::run(&task, &self.world.context("preflight"))).await?
        else {
            panic!("a preflight answered something else")
        };
        if !found.refusals.is_empty() {
            let reasons: Vec<String> = found.refusals.into_iter().map(|refusal| refusal.reason).collect();
            return Err(Outcome::Refused(format!("preflight: {}", reasons.join(", "))));
        }
        let prepared = step("prepare", self.world.prepare(&task)).await?;
        step("cutover", self.world.cutover(&prepared, "cutover")).await?;
        Ok(())
    }

    async fn drilled(&self, backup: &BackupSummary) -> Result<(), Outcome> {
        let identity = self.world.restore_task(backup).identity;
        let task =
            DrillTask { name: "drill".to_owned(), identity, backup: backup_ref(backup), server: self.world.target() };
        step("drill", drill::run(&task, &self.world.context("drill"))).await?;
        Ok(())
    }

    /// `restore --to-directory`, then its script with the stock client.
    async fn by_hand(&self, backup: &BackupSummary) -> Result<String, Outcome> {
        let store = &self.world.store;
        let open = store.open(&backup_ref(backup), None).await.unwrap();
        let dir = self.dir.path().join("backup");
        directory::write(store, &open, &dir, &ProgressWriter::silent())
            .await
            .map_err(|error| Outcome::Failed(format!("directory: {error}")))?;
        let options = self.dir.path().join("my.cnf");
        let login = format!("password={}\nprotocol=tcp\n", env("SENNIGHT_TEST_MYSQL_PASSWORD"));
        std::fs::write(&options, format!("[client]\nhost=127.0.0.1\nport={}\nuser=root\n{login}", self.server.port()))
            .unwrap();
        let name = self.hand_name();
        self.client("", &[], &format!("CREATE DATABASE {} CHARACTER SET utf8mb4;", ident(&name))).unwrap();
        let program = if self.server.engine == EngineKind::MySQL { "mysql" } else { "mariadb" };
        let client = format!("{} --defaults-extra-file={}", path(&self.server.bin().join(program)), path(&options));
        let mut bash = Command::new("bash");
        bash.arg(dir.join("load.sh")).arg(&name).env("MYSQL", client);
        fed(&mut bash, "").map_err(|words| Outcome::Failed(format!("load.sh: {words}")))?;
        Ok(name)
    }

    fn hand_name(&self) -> String {
        format!("{}_hand", self.world.live.name())
    }

    /// What the case's own query says, if it says anything: something differs that a picture does not show.
    fn checked(&self, database: &str) -> Option<String> {
        let query = self.case.head("check")?.replace("@DB@", database);
        let said = self.server.client("").args(["-BN", "--execute", &query]).output().unwrap();
        assert!(said.status.success(), "{query}: {}", String::from_utf8_lossy(&said.stderr));
        let found = String::from_utf8_lossy(&said.stdout).trim().to_owned();
        (!found.is_empty() && found != "NULL").then_some(found)
    }

    /// Leaves nothing on the server that the next case would meet.
    pub fn close(self) {
        let _ = self.said("teardown");
        let hand = format!("DROP DATABASE IF EXISTS {};", ident(&self.hand_name()));
        let script =
            format!("{hand} DROP USER IF EXISTS '{}'@'127.0.0.1'; DROP DATABASE IF EXISTS shared_lists;", self.dumper);
        let _ = self.client("", &["--force"], &script);
    }
}

/// Runs a program that is given a text; the number of the first error in what it wrote.
fn fed(program: &mut Command, text: &str) -> Result<(), String> {
    let mut child = program.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let text = text.to_owned();
    let writer = std::thread::spawn(move || {
        let _ = input.write_all(text.as_bytes());
    });
    let ended = child.wait_with_output().unwrap();
    writer.join().unwrap();
    if ended.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&ended.stderr);
    crate::table::say(&format!("    {}", words.chars().take(600).collect::<String>()));
    let number = words.split_once("ERROR ").and_then(|(_, after)| after.split_whitespace().next());
    Err(number.map_or_else(|| "it failed".to_owned(), |number| format!("error {number}")))
}
