//! `dump`: makes one backup of one database. Reads at one snapshot, by several connections and `pg_dump`. The manifest is
//! written last, after every object in the bucket was found to have its length (I4).

mod commit;
pub mod frame_writer;
mod mysql;
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
use rows::{DumpState, ReaderOutput};
use sennight_core::engine::EngineKind;
use sennight_core::manifest::{Sequence, ServerFacts};
use sennight_core::names::{Area, BackupId};
use sennight_core::result::Done;
use sennight_core::retention::area_tags;
use sennight_engine::mysql as my;
use sennight_engine::postgres::inventory;
use sennight_engine::postgres::lock_monitor;
use sennight_engine::postgres::schema::has_data;
use sennight_engine::postgres::sequences;
use sennight_engine::postgres::snapshot::{self, Leader};
use sennight_engine::postgres::tools::Tools;
use sennight_engine::postgres::{EngineError, Session, read, schema_drift};
use sennight_protocol::backup::DumpTask;
use sennight_protocol::target::DatabaseTarget;
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
    /// PostgreSQL or its client tools failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// MySQL or MariaDB failed.
    #[error(transparent)]
    MySQL(#[from] my::EngineError),
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
            DumpError::Engine(error) => error.into(),
            DumpError::MySQL(error) => error.into(),
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
        let mut work = Box::pin(async {
            match task.database.engine {
                EngineKind::PostgreSQL => Box::pin(read_database(task, area, context, &id, &stop)).await,
                EngineKind::MySQL | EngineKind::MariaDB => {
                    Box::pin(mysql::read_database(task, area, context, &id, &stop)).await
                }
            }
        });
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
    let lock_timeout = Duration::from_secs(u64::try_from(task.lock_timeout_seconds).unwrap_or(0).max(1));
    let opening = async {
        let leader = snapshot::open(&task.database, APPLICATION, lock_timeout).await?;
        let tools = Tools::find(leader.session.server_major())?;
        let sizes = read::sizes(&leader.session, &leader.inventory.tables).await?;
        let data = has_data(&leader.session).await?;
        Ok::<_, EngineError>((leader, tools, sizes, data))
    };
    let (leader, tools, sizes, data) = tokio::select! {
        biased;
        () = stop.cancelled() => return Err(DumpError::Stopped),
        opened = Box::pin(opening) => opened?,
    };
    let Leader { session, inventory, snapshot, taken_at } = leader;
    // With other dumps in this process, memory is shared, and the other dumps keep the cores busy.
    let parallelism = if context.concurrency > 1 { 1 } else { task.parallelism };
    let plan = plan::plan(&inventory.tables, &sizes, parallelism, session.server_major());
    context.progress.expect(sizes.iter().map(|(bytes, _)| bytes).sum());
    let readers = plan.readers;
    let shared = dump_state(task, area, context, id, stop, inventory.tables, plan)?;
    let archive = Box::pin(schema::dump(task, &tools, &snapshot, session.encoding(), lock_timeout, &shared, data));
    let reading = Box::pin(read_tables(task, context, &session, &snapshot, readers, &shared));
    let ddl_wait = Duration::from_secs(u64::try_from(task.ddl_wait_seconds).unwrap_or(0).max(1));
    let watch = Box::pin(lock_monitor::watch(&task.database, APPLICATION, session.backend_pid(), ddl_wait));
    let (archive, written) = unless_ddl_waits(first_error(archive, reading), watch, stop).await?;
    let (sequences, roles, server) = tokio::select! {
        biased;
        () = stop.cancelled() => return Err(DumpError::Stopped),
        facts = Box::pin(facts(session, &task.database)) => facts?,
    };
    let mut warnings = inventory.notes;
    warnings.extend(archive.warnings);
    if shared.tables.is_empty() {
        warnings.push("the database has no tables".to_owned());
    }
    let schema = archive.schema;
    Ok(DumpedData { objects: shared, taken_at, server, schema, written, sequences, roles, warnings })
}

/// The state that the readers of one dump share, on every engine.
fn dump_state(
    task: &DumpTask,
    area: Area,
    context: &WorkerContext,
    id: &BackupId,
    stop: &CancellationToken,
    tables: Vec<inventory::TableInfo>,
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

/// What is read last. `finish` proves that the leader's transaction, and with it every lock, held to the end.
async fn facts(
    session: Session,
    target: &DatabaseTarget,
) -> Result<(Vec<Sequence>, Vec<String>, ServerFacts), EngineError> {
    let sequences = sequences::sequences(&session).await?;
    let roles = inventory::roles(&session).await?;
    let server = inventory::server_facts(&session).await?;
    schema_drift::check(&session, target, APPLICATION).await?;
    snapshot::finish(session).await?;
    Ok((sequences, roles, server))
}

async fn read_tables(
    task: &DumpTask,
    context: &WorkerContext,
    leader: &Session,
    snapshot: &str,
    readers: usize,
    shared: &DumpState,
) -> Result<ReaderOutput, DumpError> {
    let others = futures::future::join_all((1..readers).map(|_| async {
        let joined = tokio::select! {
            biased;
            () = shared.stop.cancelled() => return Err(DumpError::Stopped),
            joined = Box::pin(snapshot::join(&task.database, APPLICATION, snapshot)) => joined,
        };
        let session = joined.inspect_err(|_| shared.stop.cancel())?;
        let written = rows::read_all(shared, &session, false, &context.progress).await?;
        snapshot::finish(session).await.inspect_err(|_| shared.stop.cancel())?;
        Ok(written)
    }));
    let first = Box::pin(rows::read_all(shared, leader, true, &context.progress));
    let (first, others) = tokio::join!(first, others);
    let mut all = ReaderOutput::default();
    let mut failure = None;
    for read in std::iter::once(first).chain(others) {
        match read {
            Ok(written) => {
                all.objects.extend(written.objects);
                all.frames.extend(written.frames);
                all.items.extend(written.items);
            }
            Err(DumpError::Stopped) => failure = failure.or(Some(DumpError::Stopped)),
            Err(error) if matches!(failure, None | Some(DumpError::Stopped)) => failure = Some(error),
            Err(_) => {}
        }
    }
    failure.map_or(Ok(all), Err)
}
