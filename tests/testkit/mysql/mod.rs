//! The servers of a run, and databases of the tests' own on them.

pub mod picture;
pub mod restore;

use crate::{credential_files, env, path, unique};
use sennight_core::engine::EngineKind;
use sennight_core::engine::TlsMode;
use sennight_core::manifest::Manifest;
use sennight_core::result::BackupSummary;
use sennight_engine::mysql::backup_load::MySQLLoad;
use sennight_engine::mysql::load::{Definers, LoadMethod};
use sennight_engine::mysql::schema::Statement;
use sennight_engine::mysql::{Session, connect, ident};
use sennight_protocol::backup::DumpTask;
use sennight_protocol::target::{DatabaseTarget, TlsTarget};
use sennight_storage::Store;
use sennight_worker::backup::StoredBackup;
use sennight_worker::{ProgressWriter, TaskError};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// What the suite holds to account.
const ALL: [&str; 3] = ["mariadb-10.11", "mariadb-11.8", "mysql-9"];

/// One server.
#[derive(Debug, Clone)]
pub struct Server {
    pub name: String,
    pub engine: EngineKind,
    port: u16,
    bin: PathBuf,
}

/// A line that cargo does not swallow when the test passes.
pub fn say(words: &str) {
    let _ = writeln!(std::io::stderr(), "engines: {words}");
}

impl Server {
    /// Every server of this run; says which are left out.
    pub fn all() -> Vec<Self> {
        let names = env("SENNIGHT_TEST_MYSQL");
        let here: Vec<&str> = names.split_whitespace().collect();
        let left_out: Vec<_> = ALL.iter().filter(|name| !here.contains(name)).collect();
        if !left_out.is_empty() {
            say(&format!("left out: {left_out:?}; `make engines` has them"));
        }
        here.into_iter().map(Self::named).collect()
    }

    fn named(name: &str) -> Self {
        let variable = format!("SENNIGHT_TEST_{}", name.to_uppercase().replace(['-', '.'], "_"));
        let engine = if name.starts_with("mysql") { EngineKind::MySQL } else { EngineKind::MariaDB };
        let port = env(&format!("{variable}_PORT")).parse().unwrap();
        Self { name: name.to_owned(), engine, port, bin: env(&format!("{variable}_BIN")).into() }
    }

    /// The stock client, as the superuser, on `database`.
    pub fn client(&self, database: &str) -> Command {
        let program = if self.engine == EngineKind::MySQL { "mysql" } else { "mariadb" };
        let mut command = Command::new(self.bin.join(program));
        command
            .env("MYSQL_PWD", env("SENNIGHT_TEST_MYSQL_PASSWORD"))
            .args([
                "--no-defaults",
                "--default-character-set=utf8mb4",
                "--local-infile=1",
                "--comments",
                "--protocol=tcp",
            ])
            .arg(format!("--host={}", env("SENNIGHT_TEST_MYSQL_HOST")))
            .arg(format!("--port={}", self.port))
            .arg(format!("--user={}", env("SENNIGHT_TEST_MYSQL_USER")));
        if !database.is_empty() {
            command.arg(database);
        }
        command
    }

    /// Directory of the stock clients.
    pub fn bin(&self) -> &PathBuf {
        &self.bin
    }

    /// The server's port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Runs a script by the stock client.
    pub fn script(&self, database: &str, script: &[u8]) {
        let mut child =
            self.client(database).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let _ = child.stdin.take().unwrap().write_all(script);
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}: {}", self.name, String::from_utf8_lossy(&output.stderr));
    }
}

/// A database of the test's own; dropped with the value.
pub struct Database {
    pub server: Server,
    pub target: DatabaseTarget,
    _credentials: TempDir,
}

impl Database {
    /// An empty one.
    pub fn create(server: &Server) -> Self {
        let name = unique("t_");
        server.script("", format!("CREATE DATABASE {} CHARACTER SET utf8mb4", ident(&name)).as_bytes());
        Self::existing(server, &name, &env("SENNIGHT_TEST_MYSQL_USER"), &env("SENNIGHT_TEST_MYSQL_PASSWORD"))
    }

    fn existing(server: &Server, name: &str, user: &str, password: &str) -> Self {
        let credentials = credential_files(&[("username", user), ("password", password)]);
        let target = DatabaseTarget {
            engine: server.engine,
            host: env("SENNIGHT_TEST_MYSQL_HOST"),
            port: server.port,
            database: name.to_owned(),
            maintenance_database: String::new(),
            tls: TlsTarget {
                mode: TlsMode::VerifyFull,
                ca_file: Some(env("SENNIGHT_TEST_MYSQL_CA")),
                client_cert_dir: None,
            },
            credentials_dir: path(credentials.path()),
        };
        Self { server: server.clone(), target, _credentials: credentials }
    }

    /// The same one with another account's eyes. The value that made it keeps it.
    pub fn seen_by(&self, user: &str, password: &str) -> Seen {
        let other = Self::existing(&self.server, &self.name(), user, password);
        Seen(std::mem::ManuallyDrop::new(other))
    }

    /// Another database of the server, as this one's account sees it. It is not this value's to drop.
    pub fn beside(&self, name: &str) -> Seen {
        let (user, password) = (env("SENNIGHT_TEST_MYSQL_USER"), env("SENNIGHT_TEST_MYSQL_PASSWORD"));
        Seen(std::mem::ManuallyDrop::new(Self::existing(&self.server, name, &user, &password)))
    }

    pub fn name(&self) -> String {
        self.target.database.clone()
    }

    /// Runs a script by the stock client.
    pub fn run(&self, script: &str) {
        self.server.script(&self.name(), script.as_bytes());
    }

    pub async fn session(&self) -> Session {
        connect(&self.target, &self.name(), "test").await.unwrap()
    }

    pub fn dump_task(&self) -> DumpTask {
        let mut task = crate::dump_task("acme", &self.target);
        task.identity.engine = self.server.engine;
        task
    }

    pub async fn dump(&self, store: &Store) -> Result<BackupSummary, TaskError> {
        crate::dump_with(&self.dump_task(), &crate::context(store)).await
    }

    /// Fills this empty database from a backup; events stay off.
    pub async fn fill(
        &self,
        backup: &BackupSummary,
        manifest: &Manifest,
        store: &Store,
        how: LoadMethod,
    ) -> Result<Vec<Statement>, TaskError> {
        let (database, progress) = (self.name(), ProgressWriter::silent());
        let stored = StoredBackup::new(store, &backup.prefix, manifest.clone());
        let fill = MySQLLoad {
            backup: &stored,
            target: &self.target,
            database: &database,
            application: "test",
            parallelism: 2,
            method: Some(how),
            definers: Definers::Loader,
            progress: &progress,
        };
        fill.run().await
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let drop = format!("DROP DATABASE IF EXISTS {}", ident(&self.name()));
        let _ = self.server.client("").arg("--execute").arg(drop).stderr(Stdio::null()).status();
    }
}

/// A database that is somebody else's to drop.
pub struct Seen(std::mem::ManuallyDrop<Database>);

impl std::ops::Deref for Seen {
    type Target = Database;
    fn deref(&self) -> &Database {
        &self.0
    }
}
