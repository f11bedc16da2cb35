//! The worker's real binary in a process group of its own, with the client tools that it starts; and who kills it, or the
//! server.

use sennight_protocol::report::TaskReport;
use sennight_protocol::task::Task;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use testkit::env;
use testkit::postgres::restore::PostgresRestore;

pub struct Worker {
    child: Child,
    job: String,
    task: String,
}

/// What dies at a boundary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Victim {
    /// The worker and its tools, as when a node dies.
    Worker,
    /// The database server: every session ends, it recovers from its log.
    Server,
    /// Nobody: the worker's node is cut off, so it is taken for dead, and goes on later.
    Nobody,
}

impl Worker {
    /// Starts the work as the pod of `job`.
    pub fn start(restore: &PostgresRestore, work: &Task, job: &str, task: &str) -> Self {
        let argv = work.to_argv(restore.store.target()).unwrap();
        let mut command = Command::new(testkit::binary("sennight"));
        command.args(argv).args(["--job-uid", job, "--pod", "pod"]).process_group(0);
        if std::env::var_os("SENNIGHT_SHOW").is_none() {
            command.stdout(Stdio::null()).stderr(Stdio::null());
        }
        Self { child: command.spawn().unwrap(), job: job.to_owned(), task: task.to_owned() }
    }

    /// `kill -9` for all of its group.
    pub fn kill(&mut self) {
        signal("-KILL", &format!("-{}", self.child.id()));
        self.child.wait().unwrap();
    }

    /// Waits for its end; the exit code.
    pub async fn ended(&mut self) -> Option<i32> {
        let deadline = Instant::now() + Duration::from_mins(4);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < deadline, "the worker does not end");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// What it left in the bucket for the operator.
    pub async fn report(&self, restore: &PostgresRestore) -> Option<TaskReport> {
        restore.store.report(&self.job, &self.task).await.unwrap()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.kill();
        }
    }
}

fn signal(signal: &str, whom: &str) {
    let _ = Command::new("kill").args([signal, "--", whom]).stderr(Stdio::null()).status();
}

/// `kill -9` for one backend: the server ends all the others, forgets its shared memory and recovers, as after a crash.
pub async fn crash_server(restore: &PostgresRestore) {
    let started = "SELECT pg_postmaster_start_time()::text || (SELECT min(backend_start)::text FROM pg_stat_activity WHERE backend_type = 'checkpointer')";
    let before = restore.value("postgres", started).await;
    let victim = restore.session("super", "postgres").await;
    signal("-KILL", &victim.backend_pid().to_string());
    drop(victim);
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        let target = restore.target("super");
        if let Ok(session) = sennight_engine::postgres::connect(&target, "postgres", "test").await
            && let Ok(row) = session.query_one(started, &[]).await
            && row.try_get::<_, Option<String>>(0).ok().flatten() != before
        {
            session.close().await;
            return;
        }
        assert!(Instant::now() < deadline, "the server does not come back");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Waits until the server has noticed that whoever called himself so is gone.
pub async fn gone(restore: &PostgresRestore, application: &str) {
    let query = format!("SELECT count(*)::text FROM pg_stat_activity WHERE application_name = '{application}'");
    let deadline = Instant::now() + Duration::from_mins(1);
    while restore.value("postgres", &query).await.as_deref() != Some("0") {
        assert!(Instant::now() < deadline, "{application} is still there");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// `host:port` of the tier's server.
pub fn upstream() -> String {
    format!("{}:{}", env("SENNIGHT_TEST_PG_HOST"), env("SENNIGHT_TEST_PG_PORT"))
}
