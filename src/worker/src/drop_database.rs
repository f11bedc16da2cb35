//! `drop-database`: drops what a RestoreRequest left on the server. A replaced database only while its safety backup is in the
//! bucket, and everything only by its mark and OID.

use super::{TaskError, WorkerContext, mysql, verify};
use sennight_core::engine::Engine;
use sennight_core::result::Done;
use sennight_engine::postgres::connect;
use sennight_engine::postgres::drop_database::drop_marked;
use sennight_protocol::drop_database::{DropDatabaseTask, Mark};

/// Drops it; what is gone already is reported as such.
pub async fn run(task: &DropDatabaseTask, context: &WorkerContext) -> Result<Done, TaskError> {
    match (&task.safety_backup, task.database_to_drop.mark) {
        (Some(backup), _) => {
            let open = context.store.open(backup, task.identity.as_ref()).await?;
            // Its manifest alone brings nobody's rows back.
            verify::check_objects(&context.store, &backup.prefix, &open.manifest).await?;
        }
        (None, Mark::Restore) => {}
        (None, Mark::Previous) => {
            let message = "a replaced database is dropped only after a safety backup: the task names none";
            return Err(TaskError::refused("NoSafetyBackup", message));
        }
    }
    if context.cancel.is_cancelled() {
        return Err(TaskError::cancelled());
    }
    if task.database.engine != Engine::PostgreSQL {
        return mysql::drop_database::run(task).await;
    }
    let application = format!("sennight drop-database {}", task.request_uid);
    let admin = connect(&task.database, &task.database.maintenance_database, &application).await?;
    let cleared = drop_marked(&admin, task).await;
    admin.close().await;
    Ok(Done::DatabaseDropped(cleared?))
}
