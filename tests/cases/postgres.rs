//! PostgreSQL: a case's database is made by `psql`, dumped by the worker, brought back by one way, and compared.

use crate::case::Case;
use crate::outcome::{Outcome, compared, readable, step};
use crate::table::Run;
use sennight_core::names::{new_database, previous_database};
use sennight_core::result::{BackupSummary, Done};
use sennight_engine::postgres::ident;
use sennight_protocol::cutover::CutoverTask;
use sennight_protocol::restore::{DrillTask, RestoreTask};
use sennight_protocol::target::DatabaseTarget;
use sennight_storage::Store;
use sennight_worker::{ProgressWriter, cutover, directory, drill, preflight, prepare};
use std::io::Write as _;
use std::process::{Command, Stdio};
use testkit::picture::Parts;
use testkit::postgres::Server;
use testkit::postgres::picture::Picture;
use testkit::postgres::restore::may_load;
use testkit::{Bucket, Database, backup_ref, context, dump_task, dump_with, path, unique};

/// The roles that cases name; in a case's own run each has a name of its own.
const ROLES: [&str; 5] = ["t1_owner", "t1_app", "t1_other", "t1_dump", "t1_restore"];
const PASSWORD: &str = "p";

/// Runs every case on every server of the run.
pub async fn all(run: &mut Run) {
    for server in Server::all().await {
        let name = format!("postgres-{}", server.major);
        for case in Case::all("postgres", ".sql").iter().filter(|case| case.concerns(&name)) {
            for way in case.ways("restore") {
                let tenant = Tenant::new(&server, case).await;
                let outcome = tenant.outcome(&way).await.unwrap_or_else(|ended| ended).with("t1_", &tenant.prefix);
                tenant.close().await;
                run.hold(&case.name, &way, &name, &outcome);
            }
        }
    }
}

/// The names of a case in one run of it.
struct Tenant<'a> {
    case: &'a Case,
    server: &'a Server,
    /// `t1_` of the case.
    prefix: String,
    live: Database,
    uid: String,
    bucket: Bucket,
}

impl<'a> Tenant<'a> {
    async fn new(server: &'a Server, case: &'a Case) -> Self {
        let id = unique("");
        let uid = format!("{}-aaaa-4bbb-8ccc-{}", &id[..8], &id[4..16]);
        let live = Database::on(server.port, &format!("case_{id}"));
        Self { case, server, prefix: format!("c{}_", &id[..8]), live, uid, bucket: Bucket::create().await }
    }

    fn name(&self) -> &str {
        &self.live.target.database
    }

    fn role(&self, role: &str) -> String {
        role.replace("t1_", &self.prefix)
    }

    /// The database as one of the case's roles reaches it; as the superuser, where none is named.
    fn seen_by(&self, role: Option<&str>) -> Database {
        match role {
            None => Database::on(self.server.port, self.name()),
            Some(role) => self.live.seen_by(&self.role(role), PASSWORD),
        }
    }

    /// Statements on the maintenance database, each by itself; what fails is left out.
    async fn admin(&self, statements: &[String]) {
        let session = Database::on(self.server.port, "postgres").session().await;
        for statement in statements {
            let _ = session.batch_execute(statement).await;
        }
        session.close().await;
    }

    /// Roles with the rights that docs/full-restore.md names, the database, and what the case puts into it.
    async fn make(&self) -> Result<(), Outcome> {
        let [owner, app, other, dump, restore] = ROLES.map(|role| self.role(role));
        let mut statements: Vec<String> =
            ROLES.iter().map(|role| format!("CREATE ROLE {} LOGIN PASSWORD '{PASSWORD}'", self.role(role))).collect();
        statements.extend([
            format!("ALTER ROLE {dump} BYPASSRLS"),
            format!("GRANT pg_read_all_data TO {dump}"),
            format!("ALTER ROLE {restore} CREATEDB"),
            format!("GRANT pg_signal_backend TO {restore}"),
        ]);
        let options = self.case.head("database").unwrap_or_default();
        statements.push(format!("CREATE DATABASE {} OWNER {owner} {options}", ident(self.name())));
        // Grants that are told differ from those that are taken for granted, and say the same.
        statements.push(format!("GRANT CONNECT ON DATABASE {} TO PUBLIC", ident(self.name())));
        self.admin(&statements).await;
        let session = Database::on(self.server.port, "postgres").session().await;
        may_load(&session, &restore, &[&owner, &app, &other]).await;
        session.close().await;
        let mut psql = self.server.tool("psql", self.name());
        let text = self.case.text.replace("t1_", &self.prefix);
        let arguments = ["-X", "--quiet", "--set=ON_ERROR_STOP=1", "--output=/dev/null", "--file=-"];
        psql.args(arguments).arg(format!("--set=db={}", self.name()));
        fed(&mut psql, &text).map_err(|words| Outcome::Failed(format!("not made: {words}")))
    }

    async fn picture(&self, of: &Database) -> Option<Picture> {
        readable(Picture::of(self.server, of)).await
    }

    /// Makes it, dumps it, brings it back by one way, and compares.
    async fn outcome(&self, way: &str) -> Result<Outcome, Outcome> {
        self.make().await?;
        let before =
            self.picture(&self.live).await.ok_or_else(|| Outcome::Failed("not made: it cannot be read".to_owned()))?;
        let store = self.bucket.store().await;
        let dumped = self.seen_by(self.case.head("dump by"));
        let task = dump_task(&self.prefix, &dumped.target);
        let backup = step("dump", dump_with(&task, &context(&store))).await?;
        let (restored, by_hand) = match way {
            "restore" => (self.restored(&store, &backup, None).await?, false),
            "lesser" => (self.restored(&store, &backup, Some("t1_restore")).await?, false),
            "drill" => return self.drilled(&store, &backup).await,
            "hand" => (self.by_hand(&store, &backup).await?, true),
            "recipe" => (self.by_recipe(&store, &backup).await?, true),
            way => panic!("{}: no such way: {way}", self.case.name),
        };
        if let Some(found) = self.checked(&restored).await {
            return Ok(Outcome::Differs(found));
        }
        let Some(now) = self.picture(&restored).await else {
            return Ok(Outcome::Differs("it cannot be read".to_owned()));
        };
        // By hand the database itself is the person's: its owner, grants and settings are in no script.
        let looked_at = |part: &str| {
            self.case.looks_at(&part.replace(&self.prefix, "t1_"))
                && (!by_hand || part.starts_with("rows of ") || part == "sequences" || part == "large objects")
        };
        Ok(compared(&by_entry(before.parts()), &by_entry(now.parts()), looked_at))
    }

    /// A full restore over the live database.
    async fn restored(&self, store: &Store, backup: &BackupSummary, role: Option<&str>) -> Result<Database, Outcome> {
        let by = self.seen_by(role);
        let task = self.restore_task(backup, &by.target);
        let Done::Preflighted(found) = step("preflight", preflight::run(&task, &context(store))).await? else {
            panic!("a preflight answered something else")
        };
        if !found.refusals.is_empty() {
            for refusal in &found.refusals {
                crate::table::say(&format!("    {}: {}", refusal.reason, refusal.message));
            }
            let reasons: Vec<String> = found.refusals.into_iter().map(|refusal| refusal.reason).collect();
            return Err(Outcome::Refused(format!("preflight: {}", reasons.join(", "))));
        }
        let prepared = step("prepare", prepare::run(&task, &context(store))).await?;
        let Done::Prepared { live_number, new_number, new_database, .. } = prepared else {
            panic!("a prepare answered something else")
        };
        let cut = CutoverTask {
            name: "cutover".to_owned(),
            request_uid: self.uid.clone(),
            namespace: "tenants".to_owned(),
            database: by.target.clone(),
            new_database,
            previous_database: previous_database(self.name(), &self.uid),
            live_number,
            new_number,
            undo_of: None,
            start_by: None,
        };
        step("cutover", cutover::run(&cut, &context(store))).await?;
        Ok(self.seen_by(None))
    }

    fn restore_task(&self, backup: &BackupSummary, database: &DatabaseTarget) -> RestoreTask {
        RestoreTask {
            name: "restore".to_owned(),
            request_uid: self.uid.clone(),
            identity: dump_task(&self.prefix, &self.live.target).identity,
            backup: backup_ref(backup),
            database: database.clone(),
            parallelism: 2,
            headroom_bytes: None,
            allow_shared_owners: true,
            hooks_dir: None,
        }
    }

    async fn drilled(&self, store: &Store, backup: &BackupSummary) -> Result<Outcome, Outcome> {
        let server = DatabaseTarget { database: "postgres".to_owned(), ..self.live.target.clone() };
        let task = DrillTask {
            name: "drill".to_owned(),
            identity: dump_task(&self.prefix, &self.live.target).identity,
            backup: backup_ref(backup),
            server,
        };
        step("drill", drill::run(&task, &context(store))).await?;
        Ok(Outcome::Same)
    }

    fn hand_name(&self) -> String {
        format!("{}hand", self.prefix)
    }

    fn shell(&self, script: &[&str]) -> Result<(), String> {
        let mut bash = self.server.tool("psql", "postgres");
        let bin = path(std::path::Path::new(bash.get_program()).parent().unwrap());
        let variables: Vec<_> =
            bash.get_envs().filter_map(|(key, value)| Some((key.to_owned(), value?.to_owned()))).collect();
        bash = Command::new("bash");
        bash.envs(variables).env_remove("PGDATABASE").env_remove("PGCLIENTENCODING");
        bash.env("PATH", format!("{bin}:{}", std::env::var("PATH").unwrap_or_default()));
        fed(bash.args(script), "")
    }

    /// `restore --to-directory`, then what its README says.
    async fn by_hand(&self, store: &Store, backup: &BackupSummary) -> Result<Database, Outcome> {
        let open = store.open(&backup_ref(backup), None).await.unwrap();
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("backup");
        directory::write(store, &open, &dir, &ProgressWriter::silent())
            .await
            .map_err(|error| Outcome::Failed(format!("directory: {error}")))?;
        let readme = std::fs::read_to_string(dir.join("README.md")).unwrap();
        let createdb = readme.lines().find(|line| line.trim_start().starts_with("createdb ")).unwrap();
        let createdb = createdb.replace(" restored", &format!(" {}", self.hand_name()));
        self.shell(&["-c", &createdb]).map_err(|words| Outcome::Failed(format!("createdb: {words}")))?;
        self.shell(&[&path(&dir.join("load.sh")), &self.hand_name()])
            .map_err(|words| Outcome::Failed(format!("load.sh: {words}")))?;
        Ok(Database::on(self.server.port, &self.hand_name()))
    }

    /// The recipe of docs/format.md on the objects of the bucket.
    async fn by_recipe(&self, store: &Store, backup: &BackupSummary) -> Result<Database, Outcome> {
        let dir = tempfile::tempdir().unwrap();
        for object in store.list(&backup.prefix).await.unwrap() {
            let file = dir.path().join(object.key.strip_prefix(&backup.prefix).unwrap());
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, store.get(&object.key).await.unwrap()).unwrap();
        }
        let server = testkit::manifest(backup, store).await.server;
        let (encoding, collate, ctype) = (server.encoding, server.collate, server.ctype);
        let create = format!("--encoding={encoding} --lc-collate={collate} --lc-ctype={ctype}");
        self.shell(&["-c", &format!("createdb --template=template0 {create} {}", self.hand_name())])
            .map_err(|words| Outcome::Failed(format!("createdb: {words}")))?;
        let docs = testkit::file("docs/format.md");
        let recipe = docs.split_once("```bash recovery\n").and_then(|(_, after)| after.split_once("```")).unwrap().0;
        self.shell(&["-c", recipe, "recipe", &path(dir.path()), &self.hand_name()])
            .map_err(|words| Outcome::Failed(format!("recipe: {words}")))?;
        Ok(Database::on(self.server.port, &self.hand_name()))
    }

    /// What the case's own query says, if it says anything: something differs that a picture does not show.
    async fn checked(&self, restored: &Database) -> Option<String> {
        let query = self.case.head("check")?.replace("t1_", &self.prefix);
        let session = restored.session().await;
        let row = session.query_opt(&query, &[]).await.unwrap_or_else(|error| panic!("{query}: {error:?}"));
        row.and_then(|row| row.get(0))
    }

    /// Leaves nothing on the server.
    async fn close(&self) {
        let live = self.name();
        let names =
            [live.to_owned(), new_database(live, &self.uid), previous_database(live, &self.uid), self.hand_name()];
        let mut statements: Vec<String> =
            names.iter().map(|name| format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", ident(name))).collect();
        statements.extend(ROLES.iter().map(|role| format!("DROP ROLE IF EXISTS {}", self.role(role))));
        self.admin(&statements).await;
    }
}

/// The definition by its entries, each a part of its own: `definition of TABLE public.t`.
fn by_entry(parts: &Parts) -> Parts {
    let mut all = parts.clone();
    for entry in all.remove("definition").unwrap_or_default() {
        let head = entry.lines().next().unwrap_or_default();
        let field = |name: &str| head.split("; ").find_map(|field| field.strip_prefix(name)).unwrap_or_default();
        let name = head.split(';').next().unwrap_or_default();
        let named = format!("definition of {} {}.{name}", field("Type: "), field("Schema: "));
        all.entry(named).or_default().push(entry.clone());
    }
    all
}

/// Runs a program that is given a text; the last line of its errors, without what differs from run to run.
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
    crate::table::say(&format!("    {words}"));
    let error = words.lines().find_map(|line| line.split_once("ERROR:")).map_or("", |(_, after)| after).trim();
    Err(error.to_owned())
}
