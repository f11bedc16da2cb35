//! The servers that `tests/cluster/with.sh services` started, and the commands that reach them. Secrets go by environment
//! or file, as they do everywhere in Sennight.

use crate::measure::{Server, Watched, parent};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Name of the bucket that everybody writes to.
pub const BUCKET: &str = "bench";

/// Addresses, secrets, and a directory for scratch files.
pub struct Servers {
    /// The directory of PostgreSQL's programs.
    pub bin: PathBuf,
    /// `sennight`, as the image ships it.
    pub sennight: PathBuf,
    /// Scratch files; goes with the value.
    pub scratch: tempfile::TempDir,
    /// The processes whose CPU is counted.
    pub watched: Watched,
    host: String,
    port: u16,
    ca: String,
    endpoint: String,
    environment: Vec<(String, String)>,
}

/// What the harness says.
pub fn need(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run this by `make bench`"))
}

impl Servers {
    /// Reads the harness's environment and makes the bucket.
    pub fn from_env() -> Self {
        let (host, port) = (need("SENNIGHT_TEST_PG_HOST"), need("SENNIGHT_TEST_PG_PORT"));
        let (user, password) = (need("SENNIGHT_TEST_PG_USER"), need("SENNIGHT_TEST_PG_PASSWORD"));
        let ca = need("SENNIGHT_TEST_PG_CA");
        let endpoint = need("SENNIGHT_TEST_S3_ENDPOINT");
        let (access, secret) = (need("SENNIGHT_TEST_S3_ACCESS_KEY"), need("SENNIGHT_TEST_S3_SECRET_KEY"));
        let scratch = tempfile::tempdir().unwrap();
        for (dir, files) in [
            ("pg", [("username", &user), ("password", &password)]),
            ("s3", [("AWS_ACCESS_KEY_ID", &access), ("AWS_SECRET_ACCESS_KEY", &secret)]),
        ] {
            std::fs::create_dir(scratch.path().join(dir)).unwrap();
            std::fs::write(scratch.path().join(dir).join("host"), &host).unwrap();
            for (name, value) in files {
                std::fs::write(scratch.path().join(dir).join(name), value).unwrap();
            }
        }
        let pairs = [
            ("PGHOST", host.clone()),
            ("PGPORT", port.clone()),
            ("PGUSER", user),
            ("PGPASSWORD", password),
            ("PGSSLMODE", "verify-full".into()),
            ("PGSSLROOTCERT", ca.clone()),
            ("RCLONE_CONFIG", "/dev/null".into()),
            ("RCLONE_CONFIG_S3_TYPE", "s3".into()),
            ("RCLONE_CONFIG_S3_PROVIDER", "Minio".into()),
            ("RCLONE_CONFIG_S3_ENDPOINT", endpoint.clone()),
            ("RCLONE_CONFIG_S3_ACCESS_KEY_ID", access.clone()),
            ("RCLONE_CONFIG_S3_SECRET_ACCESS_KEY", secret.clone()),
            ("AWS_ACCESS_KEY_ID", access),
            ("AWS_SECRET_ACCESS_KEY", secret),
            ("RESTIC_PASSWORD", "bench".into()),
            ("RESTIC_CACHE_DIR", scratch.path().join("restic-cache").display().to_string()),
        ];
        let mut servers = Self {
            bin: need("SENNIGHT_TEST_PG_BIN").into(),
            sennight: std::path::absolute(need("SENNIGHT_BINARY")).unwrap(),
            scratch,
            watched: Watched { database: Server::Postmaster(0), store: 0 },
            host,
            port: port.parse().unwrap(),
            ca,
            endpoint,
            environment: pairs.map(|(name, value)| (name.to_owned(), value)).to_vec(),
        };
        servers.watched = Watched { database: Server::Postmaster(servers.postmaster()), store: servers.store_pid() };
        servers.rclone(&["mkdir", &format!("s3:{BUCKET}")]);
        servers
    }

    fn postmaster(&self) -> u32 {
        let query = "SELECT pg_backend_pid(), pg_sleep(0.5)";
        let mut psql = self.psql("postgres", &["-c", query]);
        let child = psql.stdout(Stdio::piped()).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(250));
        let find = "SELECT pid FROM pg_stat_activity WHERE query LIKE '%pg_sleep(0.5)%' AND pid <> pg_backend_pid()";
        let pid: u32 = self.sql("postgres", find).parse().unwrap();
        let postmaster = parent(pid);
        assert!(child.wait_with_output().unwrap().status.success());
        postmaster
    }

    fn store_pid(&self) -> u32 {
        let address = self.endpoint.trim_start_matches("http://").to_owned();
        let own = |pid: &u32| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line.split(|b| *b == 0).any(|word| word == address.as_bytes())
        };
        let pids = std::fs::read_dir("/proc").unwrap().flatten();
        let mut pids = pids.filter_map(|e| e.file_name().to_str()?.parse().ok());
        pids.find(own).unwrap_or_else(|| panic!("no process listens on {address}"))
    }

    /// A program that reaches the servers, and nothing else that the caller's environment may name.
    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(name);
        command.env_clear().envs(self.environment.iter().cloned());
        command.env("PATH", std::env::var("PATH").unwrap_or_default()).env("HOME", self.scratch.path());
        command
    }

    /// A shell script in which a failing part of a pipeline fails it all.
    pub fn bash(&self, script: &str) -> Command {
        let mut command = self.program("bash");
        command.args(["-ceo", "pipefail", script]);
        let path = format!("{}:{}", self.bin.display(), std::env::var("PATH").unwrap_or_default());
        command.env("PATH", path).env("SCRATCH", self.scratch.path()).env("ENDPOINT", &self.endpoint);
        command.stderr(Stdio::inherit()).stdout(Stdio::null());
        command
    }

    fn psql(&self, database: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.bin.join("psql"));
        command.args(["-XqAt", "-v", "ON_ERROR_STOP=1"]).args(arguments).envs(self.environment.iter().cloned());
        command.env("PGDATABASE", database);
        command
    }

    /// The answer to a statement.
    pub fn sql(&self, database: &str, statement: &str) -> String {
        let output = self.psql(database, &["-c", statement]).output().unwrap();
        assert!(output.status.success(), "{statement}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Runs `statement` (a COPY FROM STDIN, or `-` for a script) with what `write` writes.
    pub fn feed(&self, database: &str, arguments: &[&str], write: impl FnOnce(&mut dyn Write)) {
        let mut child = self.psql(database, arguments).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let mut input = std::io::BufWriter::with_capacity(1 << 20, child.stdin.take().unwrap());
        write(&mut input);
        input.flush().unwrap();
        drop(input);
        assert!(child.wait().unwrap().success(), "{arguments:?}");
    }

    /// Runs rclone and gives its words.
    pub fn rclone(&self, arguments: &[&str]) -> String {
        let output = self.program("rclone").args(arguments).output().unwrap();
        assert!(output.status.success(), "rclone {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Bytes below a prefix of the bucket.
    pub fn stored(&self, prefix: &str) -> u64 {
        let json = self.rclone(&["size", "--json", &format!("s3:{BUCKET}/{prefix}")]);
        serde_json::from_str::<serde_json::Value>(&json).unwrap()["bytes"].as_u64().unwrap()
    }

    /// Removes what lies below a prefix. MinIO does so behind our back: that time is not the next run's.
    pub fn purge(&self, prefix: &str) {
        self.rclone(&["purge", &format!("s3:{BUCKET}/{prefix}")]);
        std::thread::sleep(std::time::Duration::from_secs(3));
    }

    /// `sennight VERB` with some tasks, as a Job would run it.
    pub fn worker(&self, verb: &str, prefix: &str, tasks: &[serde_json::Value]) -> Command {
        let file = |name: &str| self.scratch.path().join(name);
        let storage = serde_json::json!({"bucket": BUCKET, "prefix": prefix, "endpoint": self.endpoint,
            "forcePathStyle": true, "credentialsDir": file("s3")});
        let mut command = Command::new(&self.sennight);
        command.arg(verb).arg("--storage").arg(storage.to_string());
        for (number, task) in tasks.iter().enumerate() {
            let path: &Path = &file(&format!("task-{number}"));
            std::fs::write(path, task.to_string()).unwrap();
            command.arg("--task").arg(format!("@{}", path.display()));
        }
        let log = std::fs::File::create(file("sennight.log")).unwrap();
        command.env("SENNIGHT_JOB_UID", "bench").env("RUST_LOG", "warn").stdout(Stdio::null()).stderr(log);
        command
    }

    /// `sennight dump` of some databases of PostgreSQL into `prefix`.
    pub fn dump(&self, prefix: &str, databases: &[String]) -> Command {
        let task = |database: &String| {
            serde_json::json!({"name": database, "timeZone": "UTC",
                "identity": {"namespace": "bench", "schedule": database, "tenant": database,
                             "engine": "PostgreSQL", "database": database},
                "database": {"engine": "PostgreSQL", "host": self.host, "port": self.port, "database": database,
                             "credentialsDir": self.scratch.path().join("pg"), "tls": {"caFile": self.ca}}})
        };
        self.worker("dump", prefix, &databases.iter().map(task).collect::<Vec<_>>())
    }

    /// The report of a task of [`Servers::dump`].
    pub fn report(&self, prefix: &str, task: &str) -> serde_json::Value {
        let path = format!("s3:{BUCKET}/{prefix}/results/bench/{task}.json");
        serde_json::from_str(&self.rclone(&["cat", &path])).unwrap()
    }
}
