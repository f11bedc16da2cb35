//! `dump`: makes one backup of one database. Reads at one snapshot, by several connections. The manifest is
//! written last, after every object in the bucket was found to have its length (I4).

mod commit;
pub mod frame_writer;
pub mod objects;
pub mod plan;
mod producers;
mod rate_limiter;
pub mod rows;
mod schema;

use super::{TaskError, WorkerContext};
use chrono::Utc;
use chrono_tz::Tz;
use commit::{DumpedData, commit};
use objects::Objects;
use parking_lot::Mutex;
use producers::{cancelled_if_signalled, first_error, unless_ddl_waits};
use rate_limiter::RateLimiter;
use rows::DumpState;
use sennight_core::names::{Area, BackupId};
use sennight_core::result::Done;
use sennight_core::retention::area_tags;
use sennight_engine::dump::{DumpRequest, Table};
use sennight_protocol::backup::DumpTask;
use sennight_storage::StoreError;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Memory of all uploads of row data together, in bytes.
const UPLOAD_MEMORY: usize = 96 << 20;
/// Time that a dump past its deadline gets to abort its uploads by itself.
const GIVE_UP: Duration = Duration::from_secs(10);
/// Time that dropped uploads get to be aborted in the background.
const ABORT_TIME: Duration = Duration::from_secs(2);
/// `application_name` of the dump's sessions.
const APPLICATION: &str = "sennight-dump";

/// Why a dump failed. No manifest was written.
#[derive(Debug, thiserror::Error, strum::IntoStaticStr)]
pub enum DumpError {
    /// The database failed.
    #[error(transparent)]
    Engine(#[from] TaskError),
    /// The bucket failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// zstd failed.
    #[error("{object} cannot be compressed: {source}")]
    Compression {
        /// Key of the object.
        object: String,
        /// What zstd says.
        source: std::io::Error,
    },
    /// The task contradicts itself.
    #[error("the task's {field} is not usable: {why}")]
    InvalidTask {
        /// Name of the field in the task's JSON.
        field: &'static str,
        /// What is wrong.
        why: String,
    },
    /// An object in the bucket is not what was written.
    #[error("{object} has {found} bytes in the bucket, {written} were written; nothing is kept of this backup")]
    ObjectDiffers {
        /// Key of the object.
        object: String,
        /// Bytes by HEAD.
        found: i64,
        /// Bytes that were written.
        written: i64,
    },
    /// The manifest contradicts itself, or the frames do not hold the rows that the server sent.
    #[error("the backup does not add up: {0}; nothing is kept of it")]
    Inconsistent(String),
    /// The task's deadline passed; in seconds.
    #[error("the dump took longer than its {0} s; raise the deadline, or the parallelism if the server allows it")]
    DeadlineExceeded(i32),
    /// SIGTERM or SIGINT.
    #[error("the worker was told to end before the backup was whole; nothing is kept of it")]
    Cancelled,
    /// Another reader failed first; its error is the one that is reported.
    #[error("another reader failed")]
    Stopped,
}

impl From<DumpError> for TaskError {
    fn from(error: DumpError) -> Self {
        match error {
            DumpError::Engine(error) => error,
            DumpError::Store(error) => error.into(),
            error => {
                let reason: &'static str = (&error).into();
                Self::of(reason, !matches!(error, DumpError::InvalidTask { .. }), &error)
            }
        }
    }
}

/// Dumps one database. On any error there is no manifest, and so no backup.
pub async fn run(task: &DumpTask, context: &WorkerContext) -> Result<Done, TaskError> {
    same_database(task)?;
    into(task, Area::Daily, context).await
}

/// [`run`] into another area. The database may have another name than the identity says: a previous database has.
pub async fn into(task: &DumpTask, area: Area, context: &WorkerContext) -> Result<Done, TaskError> {
    let zone = check(task)?;
    let started_at = Utc::now();
    let id = BackupId::new(started_at, rand::random());
    let deadline = Duration::from_secs(u64::try_from(task.deadline_seconds).unwrap_or(0));
    let stop = context.cancel.child_token();
    let gathered = {
        let mut work = Box::pin(read_database(task, area, context, &id, &stop));
        tokio::select! {
            done = &mut work => done.map_err(|e| cancelled_if_signalled(e, &context.cancel)),
            () = tokio::time::sleep(deadline) => {
                // Stopped, not dropped: unfinished uploads are aborted before the next task starts.
                stop.cancel();
                if tokio::time::timeout(GIVE_UP, &mut work).await.is_err() {
                    // A store that never answers: drop the requests; their uploads are aborted in the background.
                    drop(work);
                    tokio::time::sleep(ABORT_TIME).await;
                }
                Err(DumpError::DeadlineExceeded(task.deadline_seconds))
            }
        }
    }?;
    let manifest = gathered.manifest(task, zone, id, started_at)?;
    Ok(Done::Dumped(Box::pin(commit(manifest, &gathered.objects, context)).await?))
}

fn check(task: &DumpTask) -> Result<Tz, DumpError> {
    let wrong = |field, why: String| DumpError::InvalidTask { field, why };
    if task.identity.engine != task.database.engine {
        let why = format!("the identity says {}, the target {}", task.identity.engine, task.database.engine);
        return Err(wrong("engine", why));
    }
    task.time_zone.parse().map_err(|_| wrong("timeZone", format!("{:?} is no IANA zone", task.time_zone)))
}

fn same_database(task: &DumpTask) -> Result<(), DumpError> {
    if task.identity.database == task.database.database {
        return Ok(());
    }
    let why = format!("the identity says {:?}, the target {:?}", task.identity.database, task.database.database);
    Err(DumpError::InvalidTask { field: "database", why })
}

async fn read_database(
    task: &DumpTask,
    area: Area,
    context: &WorkerContext,
    id: &BackupId,
    stop: &CancellationToken,
) -> Result<DumpedData, DumpError> {
    let engine = context.engine(task.database.engine);
    let request = DumpRequest {
        target: &task.database,
        application: APPLICATION,
        lock_timeout: at_least_a_second(task.lock_timeout_seconds),
        ddl_wait: at_least_a_second(task.ddl_wait_seconds),
        allow_non_transactional: task.allow_non_transactional,
    };
    // With other dumps in this process, memory is shared, and the other dumps keep the cores busy.
    let parallelism = if context.concurrency > 1 { 1 } else { task.parallelism };
    let opening = async {
        let database = engine.open(&request).await?;
        let plan = plan::plan(database.tables(), parallelism);
        Ok::<_, TaskError>((database.begin(plan.readers).await?, plan))
    };
    let (snapshot, plan) = tokio::select! {
        biased;
        () = stop.cancelled() => return Err(DumpError::Stopped),
        opened = Box::pin(opening) => opened?,
    };
    context.progress.expect(snapshot.tables().iter().map(|table| table.bytes).sum());
    let (object, taken_at) = (engine.schema_object(), snapshot.taken_at());
    let shared = dump_state(task, area, context, id, stop, snapshot.tables().to_vec(), plan)?;
    let schema = Box::pin(schema::beside_rows(&*snapshot, object, &shared));
    let reading = Box::pin(rows::read_all(&shared, &*snapshot, &context.progress));
    let (stored, written) = unless_ddl_waits(first_error(schema, reading), snapshot.watch(), stop).await?;
    let ending = async {
        let end = snapshot.end().await?;
        let schema = match end.schema.clone() {
            Some(text) => Some(schema::after_rows(text, object, &shared).await?),
            None => None,
        };
        Ok::<_, DumpError>((end, schema))
    };
    let (end, after) = tokio::select! {
        biased;
        () = stop.cancelled() => return Err(DumpError::Stopped),
        ended = Box::pin(ending) => ended?,
    };
    let mut warnings = end.notes;
    let beside = stored.map(|stored| {
        warnings.extend(stored.warnings);
        stored.schema
    });
    if shared.tables.is_empty() {
        warnings.push("the database has no tables".to_owned());
    }
    let Some(schema) = beside.or(after) else {
        return Err(DumpError::Inconsistent("the engine gave no schema".to_owned()));
    };
    let (server, sequences, roles) = (end.server, end.sequences, end.roles);
    Ok(DumpedData { objects: shared, taken_at, server, schema, written, sequences, roles, warnings })
}

fn at_least_a_second(seconds: i32) -> Duration {
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0).max(1))
}

/// The state that the readers of one dump share.
fn dump_state(
    task: &DumpTask,
    area: Area,
    context: &WorkerContext,
    id: &BackupId,
    stop: &CancellationToken,
    tables: Vec<Table>,
    plan: plan::DumpPlan,
) -> Result<Arc<DumpState>, DumpError> {
    let identity = &task.identity;
    let prefix = context
        .store
        .keys()
        .backup(area, &identity.namespace, &identity.schedule, id)
        .map_err(|e| DumpError::InvalidTask { field: "identity", why: e.to_string() })?;
    Ok(Arc::new(DumpState {
        tables,
        queue: Mutex::new((0..plan.items.len()).collect()),
        items: plan.items,
        frame_bytes: plan.frame_bytes,
        rate_limiter: RateLimiter::new(task.max_bytes_per_second, Instant::now()),
        objects: Objects {
            store: context.store.clone(),
            prefix,
            tags: area_tags(area),
            memory: UPLOAD_MEMORY / context.concurrency.max(1) / (plan.readers + 1),
            numbers: AtomicU32::new(0),
        },
        stop: stop.clone(),
    }))
}
