//! The PostgreSQL servers of a run: the host's own, and those of other majors where `SENNIGHT_PG_MAJORS` asked for them.

use sennight_core::result::BackupSummary;
use sennight_protocol::restore::RestoreTask;
use sennight_protocol::target::DatabaseTarget;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;
use testkit::{Database, backup_ref, dump_task, env};

/// Majors that the suites hold to account.
pub const MAJORS: [i32; 3] = [15, 17, 18];

/// One server and its client tools.
#[derive(Debug, Clone)]
pub struct Server {
    pub major: i32,
    pub port: u16,
    bin: PathBuf,
}

impl Server {
    /// Every server of this run; says which of [`MAJORS`] are left out.
    pub async fn all() -> Vec<Self> {
        let port: u16 = env("SENNIGHT_TEST_PG_PORT").parse().unwrap();
        let session = Database::on(port, "postgres").session().await;
        let host = Self { major: session.server_major(), port, bin: env("SENNIGHT_TEST_PG_BIN").into() };
        let mut servers = vec![host];
        for major in MAJORS {
            if let Ok(port) = std::env::var(format!("SENNIGHT_TEST_PG_PORT_{major}")) {
                let bin = PathBuf::from(env("SENNIGHT_PG_BIN_ROOT")).join(major.to_string()).join("bin");
                servers.push(Self { major, port: port.parse().unwrap(), bin });
            }
        }
        let left_out: Vec<_> = MAJORS.iter().filter(|m| !servers.iter().any(|s| s.major == **m)).collect();
        if !left_out.is_empty() {
            say(&format!("left out: PostgreSQL {left_out:?}; `make integrity` has them"));
        }
        servers
    }

    /// A client tool of the server's own major that reaches `database` as the superuser.
    pub fn tool(&self, tool: &str, database: &str) -> Command {
        let mut command = Command::new(self.bin.join(tool));
        command
            .env("PGHOST", env("SENNIGHT_TEST_PG_HOST"))
            .env("PGPORT", self.port.to_string())
            .env("PGDATABASE", database)
            .env("PGUSER", env("SENNIGHT_TEST_PG_USER"))
            .env("PGPASSWORD", env("SENNIGHT_TEST_PG_PASSWORD"))
            .env("PGCLIENTENCODING", "UTF8")
            .env("PGSSLMODE", "require");
        command
    }

    /// Runs a tool to its end and gives what it printed.
    pub fn run(&self, tool: &str, database: &str, arguments: &[&str]) -> String {
        let output = self.tool(tool, database).args(arguments).output().unwrap();
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{tool} {arguments:?} on {}: {words}", self.major);
        String::from_utf8(output.stdout).unwrap()
    }
}

/// A line that cargo does not swallow when the test passes.
pub fn say(words: &str) {
    let _ = writeln!(std::io::stderr(), "integrity: {words}");
}

/// How many cases to run of `whole`: a `cost`th of `SENNIGHT_CASES`, all where that is not set. Says what is left out.
pub fn cases(suite: &str, whole: usize, cost: usize) -> usize {
    let asked = std::env::var("SENNIGHT_CASES").ok().map(|n| n.parse::<usize>().expect("SENNIGHT_CASES is a number"));
    let cases = asked.map_or(whole, |asked| asked.div_ceil(cost).min(whole));
    if cases < whole {
        say(&format!("{suite}: {cases} of {whole} cases; left out: {} (make integrity runs all)", whole - cases));
    }
    cases
}

/// The task that fills a new database from a backup of tenant `name`'s.
pub fn restore_task(live: &DatabaseTarget, name: &str, backup: &BackupSummary, request_uid: &str) -> RestoreTask {
    RestoreTask {
        name: "restore".to_owned(),
        request_uid: request_uid.to_owned(),
        identity: dump_task(name, live).identity,
        backup: backup_ref(backup),
        database: live.clone(),
        parallelism: 4,
        headroom_bytes: None,
        hooks_dir: None,
    }
}
