//! A PostgreSQL server of the test's own, which it may crash.

use sennight_core::engine::EngineKind;
use sennight_core::engine::TlsMode;
use sennight_engine::postgres::connect;
use sennight_protocol::target::{DatabaseTarget, TlsTarget};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use testkit::{credential_files, env, path};

pub struct PrivatePostgres {
    pub target: DatabaseTarget,
    dir: TempDir,
    child: Option<Child>,
    _credentials: TempDir,
}

/// As root the server needs a user of its own.
fn as_postgres(program: PathBuf) -> Command {
    let root = std::fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0);
    if !root {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--init-groups"]).arg(program);
    command
}

fn program(name: &str) -> PathBuf {
    PathBuf::from(env("SENNIGHT_TEST_PG_BIN")).join(name)
}

impl PrivatePostgres {
    pub async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        // The other user must get through and may write below.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        std::fs::set_permissions(dir.path(), open).unwrap();
        let made = as_postgres(program("initdb"))
            .args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"])
            .arg(format!("--pgdata={}/data", dir.path().display()))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .unwrap();
        assert!(made.success(), "initdb");
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let credentials = credential_files(&[("username", "postgres"), ("password", "unused")]);
        let target = DatabaseTarget {
            engine: EngineKind::PostgreSQL,
            host: "127.0.0.1".to_owned(),
            port,
            database: "postgres".to_owned(),
            maintenance_database: "postgres".to_owned(),
            tls: TlsTarget { mode: TlsMode::Disable, ca_file: None, client_cert_dir: None },
            credentials_dir: path(credentials.path()),
        };
        let mut server = Self { target, dir, child: None, _credentials: credentials };
        server.ensure_running().await;
        server
    }

    /// Starts it if it does not run, and waits until it answers.
    pub async fn ensure_running(&mut self) {
        if self.child.as_mut().is_none_or(|child| child.try_wait().unwrap().is_some()) {
            let child = as_postgres(program("postgres"))
                .arg("-D")
                .arg(self.dir.path().join("data"))
                .args(["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c", "shared_buffers=64MB"])
                .args(["-c", &format!("port={}", self.target.port), "-c", "unix_socket_directories="])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            self.child = Some(child);
        }
        for _ in 0..300 {
            if let Ok(session) = connect(&self.target, "postgres", "test").await {
                session.close().await;
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("the private PostgreSQL does not answer");
    }

    /// As a failover looks to its clients: gone at once, back after a while.
    pub async fn crash_and_restart(&mut self) {
        self.signal("-QUIT");
        if let Some(mut child) = self.child.take() {
            tokio::task::spawn_blocking(move || child.wait()).await.unwrap().unwrap();
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
        self.ensure_running().await;
    }

    fn signal(&self, signal: &str) {
        if let Some(child) = &self.child {
            // setpriv has become the server: the pid is its own.
            let _ = Command::new("kill").args([signal, &child.id().to_string()]).status();
        }
    }

    pub async fn run(&self, sql: &str) {
        let session = connect(&self.target, "postgres", "test").await.unwrap();
        session.batch_execute("SET search_path = \"$user\", public").await.unwrap();
        session.batch_execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        session.close().await;
    }
}

impl Drop for PrivatePostgres {
    fn drop(&mut self) {
        self.signal("-QUIT");
        if let Some(child) = &mut self.child {
            let _ = child.wait();
        }
    }
}
