//! `clear`: drops what a RestoreRequest left on the server. A replaced database only while its safety dump is in the
//! bucket, and everything only by its mark and OID.

use super::{TaskError, WorkerContext, family, verify};
use crate::domain::job::{ClearTask, Done, Mark};
use crate::domain::target::Engine;
use crate::engine::postgres::clear::clear;
use crate::engine::postgres::connect;

/// Drops it; what is gone already is reported as such.
pub async fn run(task: &ClearTask, context: &WorkerContext) -> Result<Done, TaskError> {
    match (&task.safety, task.doomed.mark) {
        (Some(copy), _) => {
            let open = context.store.open(copy, task.identity.as_ref()).await?;
            // Its manifest alone brings nobody's rows back.
            verify::present(&context.store, &copy.prefix, &open.manifest).await?;
        }
        (None, Mark::Restore) => {}
        (None, Mark::Kept) => {
            let message = "a replaced database is dropped only after a safety dump: the task names none";
            return Err(TaskError::refused("NoSafetyDump", message));
        }
    }
    if context.cancel.is_cancelled() {
        return Err(TaskError::cancelled());
    }
    if task.database.engine != Engine::PostgreSQL {
        return family::clear::run(task).await;
    }
    let application = format!("sennight clear {}", task.request_uid);
    let admin = connect(&task.database, &task.database.maintenance_database, &application).await?;
    let cleared = clear(&admin, task).await;
    admin.close().await;
    Ok(Done::Cleared(cleared?))
}
