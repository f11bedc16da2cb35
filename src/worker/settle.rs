//! `settle`: ends a swap whose process died in the middle, one way or the other. PostgreSQL's swap is one transaction: there the server
//! has ended it already.

use super::{TaskError, WorkerContext, family};
use crate::domain::job::{CutoverTask, Done};
use crate::domain::target::Engine;

/// Ends it. From the first change on it does not listen to SIGTERM.
pub async fn run(task: &CutoverTask, context: &WorkerContext) -> Result<Done, TaskError> {
    match task.database.engine {
        Engine::PostgreSQL => {
            let message = "a swap of PostgreSQL is one transaction: there is nothing to settle";
            Err(TaskError::refused("EngineUnsupported", message))
        }
        Engine::MySQL | Engine::MariaDB => family::swap::settle(task, context).await,
    }
}
