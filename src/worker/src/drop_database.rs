//! `drop-database`: drops what a RestoreRequest left on the server. A previous database is dropped only while its safety
//! backup is in the bucket, and everything only by its mark and OID.

use super::{TaskError, WorkerContext, verify};
use sennight_core::result::Done;
use sennight_protocol::drop_database::{DropDatabaseTask, Mark};

/// Drops the database of the task. One that is gone already is a success, and the report says so.
pub async fn run(task: &DropDatabaseTask, context: &WorkerContext) -> Result<Done, TaskError> {
    match (&task.safety_backup, task.database_to_drop.mark) {
        (Some(backup), _) => {
            let open = context.store.open(backup, task.identity.as_ref()).await?;
            // The manifest alone restores nothing: its objects must be in the bucket too.
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
    Ok(Done::DatabaseDropped(context.engine(task.database.engine).drop_database(task).await?))
}
