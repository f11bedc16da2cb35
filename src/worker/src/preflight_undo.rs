//! `preflight-undo`: reports whether a full restore could be undone, and changes nothing.

use super::{TaskError, WorkerContext, mysql};
use sennight_core::engine::EngineKind;
use sennight_core::result::Done;
use sennight_engine::postgres::connect_to_read;
use sennight_engine::postgres::preflight_undo::preflight_undo;
use sennight_protocol::cutover::CutoverTask;

/// Collects the facts and applies the rules. A refusal is a result, not an error: the task succeeds if it could ask.
pub async fn run(task: &CutoverTask, context: &WorkerContext) -> Result<Done, TaskError> {
    let application = format!("sennight preflight-undo {}", task.request_uid);
    let checked = async {
        if task.database.engine != EngineKind::PostgreSQL {
            return mysql::preflight::undo(task).await;
        }
        let admin = connect_to_read(&task.database, &task.database.maintenance_database, &application).await?;
        let found = preflight_undo(&admin, task).await;
        admin.close().await;
        Ok::<_, TaskError>(Done::Preflighted(found?))
    };
    tokio::select! {
        biased;
        () = context.cancel.cancelled() => Err(TaskError::cancelled()),
        done = checked => done,
    }
}
