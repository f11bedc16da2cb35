//! The worker: runs the tasks of its command line and writes a report of each into the bucket. One module for each verb.
//! It has no Kubernetes client: the operator learns everything from the reports.

pub mod backup;
pub mod cutover;
pub mod directory;
pub mod drill;
pub mod drop_database;
pub mod dump;
pub mod export;
pub mod export_error;
pub mod frames;
mod hooks;
mod journals;
pub mod live_ids;
mod outcome;
pub mod preflight;
pub mod preflight_undo;
pub mod prepare;
pub mod progress;
pub mod recover_cutover;
pub mod safety_backup;
pub mod verify;

pub use progress::ProgressWriter;
pub use sennight_protocol::report::{TaskError, Verdict};

use chrono::Utc;
use futures::{FutureExt, StreamExt};
use sennight_core::engine::EngineKind;
use sennight_core::result::Done;
use sennight_engine::Engine;
use sennight_protocol::backup::{DumpTask, VerifyTask};
use sennight_protocol::report::{EXIT_REFUSED, EXIT_RETRY, Outcome, TaskReport};
use sennight_protocol::target::StorageTarget;
use sennight_protocol::task::Task;
use sennight_storage::Store;
use std::panic::AssertUnwindSafe;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Names under which the worker writes its reports and its claims.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerEnv {
    /// UID of the Job (or any name from a shell). The reports' directory is called so.
    pub job_uid: String,
    /// Name of the pod.
    pub pod: String,
}

/// What every task gets from the process that runs it.
pub struct WorkerContext {
    /// Bucket and prefix of the BackupStorage.
    pub store: Store,
    /// UID of the Job.
    pub job_uid: String,
    /// Name of the pod.
    pub pod: String,
    /// Fires at SIGTERM or SIGINT. A task then ends at once; after its point of no return it finishes its work instead.
    pub cancel: CancellationToken,
    /// Counters that the operator shows as progress.
    pub progress: ProgressWriter,
    /// Tasks that run at the same time in this process. Each may use one part in so many of its memory.
    pub concurrency: usize,
    /// The engine of each kind.
    pub engines: fn(EngineKind) -> &'static dyn Engine,
}

impl WorkerContext {
    /// The engine of a kind. A task never asks which one it is.
    pub fn engine(&self, kind: EngineKind) -> &'static dyn Engine {
        (self.engines)(kind)
    }
}

/// Runs the task and returns the process's exit code ([`sennight_protocol::report`]). A database that fails does not keep
/// the others from being dumped. At most `limit` dumps run at the same time: the operator's budgets rely on it.
pub async fn run(task: Task, storage: StorageTarget, env: WorkerEnv, limit: Option<usize>) -> i32 {
    let cancel = CancellationToken::new();
    let signals = tokio::spawn(cancel_on_signal(cancel.clone()));
    let code = run_with(task, storage, env, cancel, limit).await;
    signals.abort();
    code
}

/// [`run`] with the caller's own cancellation and no limit.
pub async fn run_until(task: Task, storage: StorageTarget, env: WorkerEnv, cancel: CancellationToken) -> i32 {
    run_with(task, storage, env, cancel, None).await
}

async fn run_with(
    task: Task,
    storage: StorageTarget,
    env: WorkerEnv,
    cancel: CancellationToken,
    limit: Option<usize>,
) -> i32 {
    let store = match Store::connect(&storage).await {
        Ok(store) => store,
        Err(error) => {
            tracing::error!(%error, "storage not usable");
            outcome::write_termination_message(&format!("{}: {error}", error.reason()));
            return if error.retryable() { EXIT_RETRY } else { EXIT_REFUSED };
        }
    };
    let worker = Worker { store, env, cancel, concurrency: 1, limit };
    let reports = Box::pin(worker.run_all(&task)).await;
    outcome::write_termination_message(&outcome::summary_line(task.verb(), &reports));
    outcome::exit_code(&reports)
}

/// Concurrent dumps for each core: while one waits for `pg_dump` or the store, another reads rows.
const DUMPS_PER_CORE: usize = 2;
/// Upper bound of concurrent dumps: a worker's memory is four times what one dump needs at least.
const MAX_DUMPS: usize = 4;

/// Concurrent dumps for a Job with `tasks` databases on `cores` cores.
fn concurrent_dumps(tasks: usize, cores: usize) -> usize {
    tasks.min((cores * DUMPS_PER_CORE).clamp(1, MAX_DUMPS)).max(1)
}

#[derive(Clone)]
struct Worker {
    store: Store,
    env: WorkerEnv,
    cancel: CancellationToken,
    concurrency: usize,
    /// Upper bound of concurrent dumps, from the command line.
    limit: Option<usize>,
}

impl Worker {
    /// Runs the task of each verb. The `Verdict` is what a panic means: `Unknown` where the task may have swapped by then.
    async fn run_all(&self, task: &Task) -> Vec<TaskReport> {
        use Verdict::{Retry, Unknown};
        let report = match task {
            Task::Dump(tasks) => return self.run_dumps(tasks).await,
            Task::Verify(tasks) => return self.run_verifies(tasks).await,
            Task::Preflight(t) => self.run_one(&t.name, Retry, t, preflight::run).await,
            Task::Prepare(t) => self.run_one(&t.name, Retry, t, prepare::run).await,
            Task::Cutover(t) => self.run_one(&t.name, Unknown, t, cutover::run).await,
            Task::RecoverCutover(t) => self.run_one(&t.name, Unknown, t, recover_cutover::run).await,
            Task::PreflightUndo(t) => self.run_one(&t.name, Retry, t, preflight_undo::run).await,
            Task::Export(t) => self.run_one(&t.name, Retry, t, export::run).await,
            Task::LiveIds(t) => self.run_one(&t.name, Retry, t, live_ids::run).await,
            Task::SafetyBackup(t) => self.run_one(&t.name, Retry, t, safety_backup::run).await,
            Task::DropDatabase(t) => self.run_one(&t.name, Retry, t, drop_database::run).await,
            Task::Drill(t) => self.run_one(&t.name, Retry, t, drill::run).await,
        };
        vec![report]
    }

    async fn run_verifies(&self, tasks: &[VerifyTask]) -> Vec<TaskReport> {
        let mut reports = Vec::new();
        for task in tasks {
            reports.push(self.run_one(&task.name, Verdict::Retry, task, verify::run).await);
        }
        reports
    }

    /// Dumps several databases at the same time, each in a Tokio task of its own, so that all cores have work. A slow one
    /// does not keep a later one from starting. The reports are in the order of the tasks.
    async fn run_dumps(&self, tasks: &[DumpTask]) -> Vec<TaskReport> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let concurrency = concurrent_dumps(tasks.len(), cores).min(self.limit.unwrap_or(MAX_DUMPS));
        let dumps = tasks.iter().cloned().enumerate().map(|(at, task)| {
            let dump = Self { concurrency, ..self.clone() }.run_dump(task);
            async move { (at, dump.await) }
        });
        let mut reports: Vec<_> =
            futures::stream::iter(dumps.collect::<Vec<_>>()).buffer_unordered(concurrency).collect().await;
        reports.sort_by_key(|(at, _)| *at);
        reports.into_iter().map(|(_, report)| report).collect()
    }

    async fn run_dump(self, task: DumpTask) -> TaskReport {
        let (name, started_at) = (task.name.clone(), Utc::now());
        let dump = async move { self.run_one(&task.name, Verdict::Retry, &task, dump::run).await };
        tokio::spawn(dump).await.unwrap_or_else(|_| {
            let outcome = panicked(&name, Verdict::Retry).into();
            TaskReport { task: name, started_at, finished_at: Utc::now(), outcome }
        })
    }

    /// Runs one task unless an earlier pod of this Job has. Its report is in the bucket before the next one starts.
    /// A task that panics has failed like any other; `after_panic` is its verdict.
    async fn run_one<T, F>(&self, name: &str, after_panic: Verdict, task: &T, run: F) -> TaskReport
    where
        F: AsyncFn(&T, &WorkerContext) -> Result<Done, TaskError>,
    {
        let runs_once = after_panic == Verdict::Unknown;
        if let Some(earlier) = outcome::earlier_report(&self.store, &self.env.job_uid, name, runs_once).await {
            tracing::info!(task = name, "task skipped: an earlier pod of this Job has reported it");
            return earlier;
        }
        let started_at = Utc::now();
        let progress = ProgressWriter::start(&self.store, &self.env.job_uid, name);
        let context = WorkerContext {
            store: self.store.clone(),
            job_uid: self.env.job_uid.clone(),
            pod: self.env.pod.clone(),
            cancel: self.cancel.clone(),
            progress,
            concurrency: self.concurrency,
            engines: sennight_engine::of,
        };
        let result = if self.cancel.is_cancelled() {
            Err(TaskError::cancelled())
        } else {
            // On the heap: a task's future is too large for a thread's stack.
            let caught = AssertUnwindSafe(Box::pin(async move { run(task, &context).await })).catch_unwind().await;
            caught.unwrap_or_else(|_| Err(panicked(name, after_panic)))
        };
        let outcome = match result {
            Ok(done) => Outcome::Succeeded(done),
            Err(error) => error.into(),
        };
        let report = TaskReport { task: name.to_owned(), started_at, finished_at: Utc::now(), outcome };
        outcome::put_report(&self.store, &self.env.job_uid, report).await
    }
}

fn panicked(task: &str, verdict: Verdict) -> TaskError {
    let message = format!("task {task} ended in the middle; its log has the place: report this as a bug");
    TaskError { reason: "Panicked".to_owned(), message, verdict }
}

async fn cancel_on_signal(cancel: CancellationToken) {
    let (Ok(mut term), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) else {
        tracing::warn!("signal handler not installed; SIGTERM will end this process without a report");
        return;
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("signal received; cancelling tasks before their point of no return");
    cancel.cancel();
}
