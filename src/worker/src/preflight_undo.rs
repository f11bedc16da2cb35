//! `preflight-undo`: reports whether a full restore could be undone, and changes nothing.

use super::{TaskError, WorkerContext};
use sennight_core::result::Done;
use sennight_protocol::cutover::CutoverTask;

/// Collects the facts and applies the rules. A refusal is a result, not an error: the task succeeds if it could ask.
pub async fn run(task: &CutoverTask, context: &WorkerContext) -> Result<Done, TaskError> {
    let application = format!("sennight preflight-undo {}", task.request_uid);
    tokio::select! {
        biased;
        () = context.cancel.cancelled() => Err(TaskError::cancelled()),
        found = context.engine(task.database.engine).preflight_undo(task, &application) => Ok(Done::Preflighted(found?)),
    }
}
