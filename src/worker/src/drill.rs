//! `drill`: restores a backup into a scratch database, compares it with the backup, and drops it. The tenant's own server is
//! neither read nor written. Only the drill's role can connect to the scratch database.

use super::backup::StoredBackup;
use super::{TaskError, WorkerContext, verify};
use sennight_core::names::{drill_database, stable_hash};
use sennight_core::result::{Done, Drilled};
use sennight_engine::restore::{BackupReader, LoadRequest, drill_uid};
use sennight_protocol::restore::{DrillTask, RestoreTask};
use sennight_protocol::target::DatabaseTarget;
use std::time::Instant;

/// Drills one backup. The scratch database is dropped in any case. What a killed drill left is dropped by the next drill
/// on that server, of whichever tenant.
pub async fn run(task: &DrillTask, context: &WorkerContext) -> Result<Done, TaskError> {
    let began = Instant::now();
    // Marks and the lock go by tenant, so that a tenant's next drill finds what a killed one left.
    let uid = drill_uid(&stable_hash(&[&task.identity.namespace, &task.identity.schedule], 24));
    let scratch = drill_database(&task.identity.namespace, &task.identity.schedule);
    let restore = RestoreTask {
        name: task.name.clone(),
        request_uid: uid,
        identity: task.identity.clone(),
        backup: task.backup.clone(),
        database: DatabaseTarget { database: task.identity.database.clone(), ..task.server.clone() },
        parallelism: 1,
        headroom_bytes: None,
        allow_shared_owners: false,
        hooks_dir: None,
    };
    let backup = StoredBackup::open(&restore, context).await?;
    let manifest = backup.manifest();
    tokio::select! {
        biased;
        () = context.cancel.cancelled() => return Err(TaskError::cancelled()),
        checked = verify::check_objects(&context.store, &task.backup.prefix, manifest) => checked?,
    }
    let request = LoadRequest {
        task: &restore,
        backup: &backup,
        database: &scratch,
        application: &format!("sennight drill {}", task.name),
        hooks: &[],
        progress: &context.progress,
        cancel: &context.cancel,
    };
    context.engine(task.server.engine).drill(&request).await?;
    Ok(Done::Drilled(Drilled {
        id: manifest.id.clone(),
        rows: manifest.totals.rows,
        tables: manifest.totals.tables,
        seconds: i64::try_from(began.elapsed().as_secs()).unwrap_or(i64::MAX),
    }))
}
