//! The MariaDB that `SENNIGHT_MYSQL=mariadb-10.11 tests/cluster/with.sh services` started, and the commands that reach it.

use crate::measure::{Server, Watched};
use crate::servers::{Servers, need};
use serde_json::{Value, json};
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// UID of the request whose `prepare` is measured, and what its database is called behind the live one's name.
const REQUEST: (&str, &str) = ("0f3b2c1d-aaaa-4bbb-8ccc-1234567890ab", "__r0f3b2c1daaaa");

/// Address, secrets, programs.
pub struct MariaDb<'a> {
    servers: &'a Servers,
    bin: PathBuf,
    /// Of the stock programs: address, account and TLS.
    defaults: PathBuf,
    host: String,
    port: u16,
    ca: String,
    /// The processes whose CPU is counted.
    pub watched: Watched,
    /// mydumper, where it could be had.
    pub mydumper: Option<String>,
}

impl<'a> MariaDb<'a> {
    /// Reads the harness's environment.
    pub fn from_env(servers: &'a Servers) -> Self {
        let (user, password) = (need("SENNIGHT_TEST_MYSQL_USER"), need("SENNIGHT_TEST_MYSQL_PASSWORD"));
        let (host, ca) = (need("SENNIGHT_TEST_MYSQL_HOST"), need("SENNIGHT_TEST_MYSQL_CA"));
        let port: u16 = need("SENNIGHT_TEST_MARIADB_10_11_PORT").parse().unwrap();
        let dir = servers.scratch.path().join("mariadb");
        std::fs::create_dir(&dir).unwrap();
        let options = format!("host={host}\nport={port}\nuser={user}\npassword={password}\nssl-ca={ca}\n");
        let defaults = dir.join("client.cnf");
        std::fs::write(&defaults, format!("[client]\n{options}ssl-verify-server-cert\n[mydumper]\n{options}")).unwrap();
        for (name, value) in [("host", &host), ("username", &user), ("password", &password)] {
            std::fs::write(dir.join(name), value).unwrap();
        }
        let mut server = Self {
            servers,
            bin: need("SENNIGHT_TEST_MARIADB_10_11_BIN").into(),
            defaults,
            host,
            port,
            ca,
            watched: servers.watched,
            mydumper: std::env::var("SENNIGHT_MYDUMPER").ok().filter(|path| !path.is_empty()),
        };
        let pid = std::fs::read_to_string(server.sql("", "SELECT @@pid_file")).unwrap().trim().parse().unwrap();
        server.watched.database = Server::Threads(pid);
        server.sql("", "SET GLOBAL local_infile = 1");
        server
    }

    fn client(&self, database: &str) -> Command {
        let mut command = Command::new(self.bin.join("mariadb"));
        command.arg(format!("--defaults-file={}", self.defaults.display()));
        command.args(["--batch", "--skip-column-names", "--local-infile=1", "--default-character-set=utf8mb4"]);
        if !database.is_empty() {
            command.arg(database);
        }
        command
    }

    /// The answer to a statement.
    pub fn sql(&self, database: &str, statement: &str) -> String {
        let output = self.client(database).args(["--execute", statement]).output().unwrap();
        assert!(output.status.success(), "{statement}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Runs `statement`, a LOAD DATA of /dev/stdin, with what `write` writes.
    pub fn feed(&self, database: &str, statement: &str, write: impl FnOnce(&mut dyn Write)) {
        let mut command = self.client(database);
        let mut child = command.args(["--execute", statement]).stdin(Stdio::piped()).spawn().unwrap();
        let mut input = std::io::BufWriter::with_capacity(1 << 20, child.stdin.take().unwrap());
        write(&mut input);
        input.flush().unwrap();
        drop(input);
        assert!(child.wait().unwrap().success(), "{statement}");
    }

    /// A shell script in which `$DB` is the database and `$DEFAULTS` the file that tells the stock programs the rest.
    pub fn bash(&self, script: &str, database: &str) -> Command {
        let mut command = self.servers.bash(script);
        command.env("DB", database).env("DEFAULTS", &self.defaults).env("CA", &self.ca);
        if let Some(mydumper) = &self.mydumper {
            command.env("MYDUMPER", mydumper);
        }
        command
    }

    fn task(&self, database: &str) -> Value {
        json!({"name": database, "timeZone": "UTC",
            "identity": {"namespace": "bench", "schedule": "mariadb", "tenant": "mariadb", "engine": "MariaDB", "database": database},
            "database": {"engine": "MariaDB", "host": self.host, "port": self.port, "database": database,
                         "credentialsDir": self.servers.scratch.path().join("mariadb"), "tls": {"caFile": self.ca}}})
    }

    /// `sennight dump`, as a Job would run it.
    pub fn dump(&self, prefix: &str, database: &str) -> Command {
        self.servers.worker("dump", prefix, &[self.task(database)])
    }

    /// `sennight prepare` of the backup that [`MariaDb::dump`] made: a new database beside the live one, verified.
    pub fn prepare(&self, prefix: &str, database: &str) -> Command {
        let outcome = &self.servers.report(prefix, database)["outcome"];
        let backup =
            json!({"prefix": outcome["prefix"], "id": outcome["id"], "manifestSha256": outcome["manifestSha256"]});
        let dump = self.task(database);
        let task = json!({"name": "restore", "requestUid": REQUEST.0, "identity": dump["identity"], "backup": backup,
            "database": dump["database"], "parallelism": 2});
        let mut command = self.servers.worker("prepare", prefix, &[task]);
        // A second pod of one Job would find the first one's report, and do nothing.
        command.env("SENNIGHT_JOB_UID", format!("restore-{:08x}", rand::random::<u32>()));
        command
    }

    /// Removes what a restore made, and its binary log.
    pub fn clear(&self, database: &str) {
        let names = [format!("{database}{}", REQUEST.1), format!("{database}_stock")];
        for name in names {
            self.sql("", &format!("DROP DATABASE IF EXISTS {name}"));
        }
        self.sql("", "RESET MASTER");
    }
}
