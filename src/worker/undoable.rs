//! `undoable`: says whether a full restore could be undone, and changes nothing.

use super::{TaskError, WorkerContext, family};
use crate::domain::job::{CutoverTask, Done};
use crate::domain::target::Engine;
use crate::engine::postgres::connect_to_read;
use crate::engine::postgres::look_back::look_back;

/// Looks. Refusals are a result, not an error: the task succeeds when it could look.
pub async fn run(task: &CutoverTask, context: &WorkerContext) -> Result<Done, TaskError> {
    let application = format!("sennight undoable {}", task.request_uid);
    let looked = async {
        if task.database.engine != Engine::PostgreSQL {
            return family::preflight::undoable(task).await;
        }
        let admin = connect_to_read(&task.database, &task.database.maintenance_database, &application).await?;
        let found = look_back(&admin, task).await;
        admin.close().await;
        Ok::<_, TaskError>(Done::Preflighted(found?))
    };
    tokio::select! {
        biased;
        () = context.cancel.cancelled() => Err(TaskError::cancelled()),
        found = looked => found,
    }
}
