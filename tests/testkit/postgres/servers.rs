//! The PostgreSQL servers of a run: the host's own, and those of other majors where `SENNIGHT_PG_MAJORS` asked for them.

use crate::{Database, env};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;

/// Majors that the suites hold to account.
const MAJORS: [i32; 3] = [15, 17, 18];

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
            let _ = writeln!(std::io::stderr(), "left out: PostgreSQL {left_out:?}; `make integrity` has them");
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
            .env("PGSSLMODE", "require")
            // A database may say which role each session becomes.
            .env("PGOPTIONS", "-c role=none");
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
