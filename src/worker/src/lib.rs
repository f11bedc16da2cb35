//! The pod's side: does the tasks it is told, several dumps at a time, and leaves a report of each in the bucket. Knows
//! domain, protocol, store, engine and export; no Kubernetes: what the operator must learn stands in the reports.

pub mod backup;
pub mod cutover;
pub mod directory;
pub mod drill;
pub mod drop_database;
pub mod dump;
mod error;
pub mod export;
pub mod export_error;
pub mod frames;
mod hooks;
pub mod live_ids;
pub mod mysql;
pub mod mysql_load;
mod outcome;
pub mod postgres_load;
mod postgres_rows;
pub mod preflight;
pub mod preflight_undo;
pub mod prepare;
pub mod progress;
pub mod recover_cutover;
pub mod safety_backup;
pub mod verify;

pub use error::{TaskError, Verdict};
pub use progress::ProgressWriter;

use chrono::Utc;
use futures::{FutureExt, StreamExt};
use sennight_core::result::Done;
use sennight_protocol::backup::{DumpTask, VerifyTask};
use sennight_protocol::report::{EXIT_REFUSED, EXIT_RETRY, Outcome, TaskReport};
use sennight_protocol::target::StorageTarget;
use sennight_protocol::task::Task;
use sennight_storage::Store;
use std::panic::AssertUnwindSafe;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Who the worker is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerEnv {
    /// UID of the Job (or any name from a shell): the directory of the reports.
    pub job_uid: String,
    /// Name of the pod.
    pub pod: String,
}

/// What a task has at hand.
pub struct WorkerContext {
    /// The bucket.
    pub store: Store,
    /// UID of the Job.
    pub job_uid: String,
    /// Name of the pod.
    pub pod: String,
    /// Fires at SIGTERM or SIGINT. Before its point of no return a task ends at once, after it a task ends its work.
    pub cancel: CancellationToken,
    /// Tells how far the task is.
    pub progress: ProgressWriter,
    /// Tasks that this process does at once: each has this share of its memory.
    pub concurrency: usize,
}

/// Does the task and gives the process's exit code ([`sennight_protocol::report`]). A database that fails does not keep the
/// others from being done. Of several dumps at most `at_once` run at a time: the operator's budgets rest on it.
pub async fn run(task: Task, storage: StorageTarget, env: WorkerEnv, at_once: Option<usize>) -> i32 {
    let cancel = CancellationToken::new();
    let signals = tokio::spawn(cancel_on_signal(cancel.clone()));
    let code = run_some(task, storage, env, cancel, at_once).await;
    signals.abort();
    code
}

/// [`run`] with the caller's own way to cancel.
pub async fn run_until(task: Task, storage: StorageTarget, env: WorkerEnv, cancel: CancellationToken) -> i32 {
    run_some(task, storage, env, cancel, None).await
}

async fn run_some(
    task: Task,
    storage: StorageTarget,
    env: WorkerEnv,
    cancel: CancellationToken,
    limit: Option<usize>,
) -> i32 {
    let store = match Store::connect(&storage).await {
        Ok(store) => store,
        Err(error) => {
            tracing::error!(%error, "the storage cannot be used");
            outcome::terminate(&format!("{}: {error}", error.reason()));
            return if error.retryable() { EXIT_RETRY } else { EXIT_REFUSED };
        }
    };
    let worker = Worker { store, env, cancel, at_once: 1, limit };
    let reports = Box::pin(worker.all(&task)).await;
    outcome::terminate(&outcome::line(task.verb(), &reports));
    outcome::exit_code(&reports)
}

/// Dumps of one Job that run at once, for each core: while one waits for `pg_dump` or the store, another reads rows.
const DUMPS_PER_CORE: usize = 2;
/// And never more: what one needs at least, so many times, is what a worker has.
const MAX_DUMPS: usize = 4;

/// How many of so many dumps run at once.
fn dumps_at_once(tasks: usize, cores: usize) -> usize {
    tasks.min((cores * DUMPS_PER_CORE).clamp(1, MAX_DUMPS)).max(1)
}

#[derive(Clone)]
struct Worker {
    store: Store,
    env: WorkerEnv,
    cancel: CancellationToken,
    at_once: usize,
    /// Dumps at once, at most.
    limit: Option<usize>,
}

impl Worker {
    /// One line for each verb. Its `Verdict` is what a panic means: `Unknown` where the task may have swapped by then.
    async fn all(&self, task: &Task) -> Vec<TaskReport> {
        use Verdict::{Retry, Unknown};
        let report = match task {
            Task::Dump(tasks) => return self.dumps(tasks).await,
            Task::Verify(tasks) => return self.verifies(tasks).await,
            Task::Preflight(t) => self.one(&t.name, Retry, t, preflight::run).await,
            Task::Prepare(t) => self.one(&t.name, Retry, t, prepare::run).await,
            Task::Cutover(t) => self.one(&t.name, Unknown, t, cutover::run).await,
            Task::RecoverCutover(t) => self.one(&t.name, Unknown, t, recover_cutover::run).await,
            Task::PreflightUndo(t) => self.one(&t.name, Retry, t, preflight_undo::run).await,
            Task::Export(t) => self.one(&t.name, Retry, t, export::run).await,
            Task::LiveIds(t) => self.one(&t.name, Retry, t, live_ids::run).await,
            Task::SafetyBackup(t) => self.one(&t.name, Retry, t, safety_backup::run).await,
            Task::DropDatabase(t) => self.one(&t.name, Retry, t, drop_database::run).await,
            Task::Drill(t) => self.one(&t.name, Retry, t, drill::run).await,
        };
        vec![report]
    }

    async fn verifies(&self, tasks: &[VerifyTask]) -> Vec<TaskReport> {
        let mut reports = Vec::new();
        for task in tasks {
            reports.push(self.one(&task.name, Verdict::Retry, task, verify::run).await);
        }
        reports
    }

    /// Dumps several databases at a time, each by a task of its own, so that all cores have work; a slow one keeps no later
    /// one from starting. The reports are in the order of the tasks.
    async fn dumps(&self, tasks: &[DumpTask]) -> Vec<TaskReport> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let at_once = dumps_at_once(tasks.len(), cores).min(self.limit.unwrap_or(MAX_DUMPS));
        let dumps = tasks.iter().cloned().enumerate().map(|(at, task)| {
            let dump = Self { at_once, ..self.clone() }.dump(task);
            async move { (at, dump.await) }
        });
        let mut reports: Vec<_> =
            futures::stream::iter(dumps.collect::<Vec<_>>()).buffer_unordered(at_once).collect().await;
        reports.sort_by_key(|(at, _)| *at);
        reports.into_iter().map(|(_, report)| report).collect()
    }

    async fn dump(self, task: DumpTask) -> TaskReport {
        let (name, started_at) = (task.name.clone(), Utc::now());
        let dump = async move { self.one(&task.name, Verdict::Retry, &task, dump::run).await };
        tokio::spawn(dump).await.unwrap_or_else(|_| {
            let outcome = panicked(&name, Verdict::Retry).into();
            TaskReport { task: name, started_at, finished_at: Utc::now(), outcome }
        })
    }

    /// Does one task unless an earlier pod of this Job has; its report is in the bucket before the next one starts.
    /// A task that panics has failed like any other; `after_panic` says what that means.
    async fn one<T, F>(&self, name: &str, after_panic: Verdict, task: &T, run: F) -> TaskReport
    where
        F: AsyncFn(&T, &WorkerContext) -> Result<Done, TaskError>,
    {
        let once = after_panic == Verdict::Unknown;
        if let Some(earlier) = outcome::earlier(&self.store, &self.env.job_uid, name, once).await {
            tracing::info!(task = name, "done by an earlier pod of this Job");
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
            concurrency: self.at_once,
        };
        let ended = if self.cancel.is_cancelled() {
            Err(TaskError::cancelled())
        } else {
            // On the heap: a task's future is too large for a thread's stack.
            let caught = AssertUnwindSafe(Box::pin(async move { run(task, &context).await })).catch_unwind().await;
            caught.unwrap_or_else(|_| Err(panicked(name, after_panic)))
        };
        let outcome = match ended {
            Ok(done) => Outcome::Succeeded(done),
            Err(error) => error.into(),
        };
        let report = TaskReport { task: name.to_owned(), started_at, finished_at: Utc::now(), outcome };
        outcome::put(&self.store, &self.env.job_uid, report).await
    }
}

fn panicked(task: &str, verdict: Verdict) -> TaskError {
    let message = format!("task {task} ended in the middle; its log has the place: report this as a bug");
    TaskError { reason: "Panicked".to_owned(), message, verdict }
}

async fn cancel_on_signal(cancel: CancellationToken) {
    let (Ok(mut term), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) else {
        tracing::warn!("signals cannot be handled; SIGTERM will end this process without a report");
        return;
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("told to end: giving up what is not past its point of no return");
    cancel.cancel();
}
