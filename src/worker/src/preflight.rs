//! `preflight`: reports whether a full restore would work, and changes nothing. The rules are the engine's.

use super::backup::StoredBackup;
use super::{TaskError, WorkerContext, hooks};
use sennight_core::result::{Done, Refusal};
use sennight_protocol::restore::RestoreTask;

/// Collects the facts and applies the rules. A refusal is a result, not an error: the task succeeds if it could ask.
pub async fn run(task: &RestoreTask, context: &WorkerContext) -> Result<Done, TaskError> {
    let application = format!("sennight preflight {}", task.request_uid);
    let checked = async {
        let backup = StoredBackup::open(task, context).await?;
        context.engine(task.database.engine).preflight(task, &backup, &application).await
    };
    let mut found = tokio::select! {
        biased;
        () = context.cancel.cancelled() => return Err(TaskError::cancelled()),
        found = checked => found?,
    };
    if let Err(error) = hooks::of(task) {
        found.refusals.push(Refusal { reason: error.reason, message: error.message });
    }
    Ok(Done::Preflighted(found))
}
