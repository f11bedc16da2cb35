//! `recover-cutover`: ends a cut-over whose process left no word, one way or the other, by what the server says of it. It never swaps: done
//! twice, or beside the process that it takes for dead, it does no harm.

use super::cutover::{application, done, found};
use super::error::taken_back;
use super::{TaskError, WorkerContext, mysql};
use chrono::Utc;
use sennight_core::engine::Engine;
use sennight_core::result::Done;
use sennight_engine::postgres::connect;
use sennight_engine::postgres::failure::RestoreError;
use sennight_engine::postgres::recover_cutover::{SwapOutcome, recover};
use sennight_protocol::cutover::CutoverTask;
use sennight_storage::{ClaimRecord, Claimed};
use std::time::{Duration, Instant};

/// How long the server is asked.
const PATIENCE: Duration = Duration::from_mins(2);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(500);

/// Ends it. From the first change on it does not listen to SIGTERM.
pub async fn run(task: &CutoverTask, context: &WorkerContext) -> Result<Done, TaskError> {
    match task.database.engine {
        Engine::PostgreSQL => postgres(task, context).await,
        Engine::MySQL | Engine::MariaDB => mysql::swap::recover(task, context).await,
    }
}

async fn postgres(task: &CutoverTask, context: &WorkerContext) -> Result<Done, TaskError> {
    let claim = ClaimRecord { job_uid: context.job_uid.clone(), pod: context.pod.clone(), at: Utc::now() };
    // If nobody ever claimed, nobody will: a pod that starts late finds it taken.
    let nobody_claimed =
        matches!(context.store.claim(&task.request_uid, &claim).await?, Claimed::Won | Claimed::Mine(_));
    match end(task).await {
        Ok(SwapOutcome::Forward) => Ok(done(task, &found())),
        Ok(SwapOutcome::Back) => Err(taken_back()),
        Ok(SwapOutcome::Neither(found)) => {
            let message = format!("the databases are neither as before nor as after the swap of this request: {found}");
            Err(TaskError::unknown("DatabasesChanged", message))
        }
        Err(error) if nobody_claimed => {
            tracing::warn!(%error, "the server cannot be asked; but nobody had claimed, so nobody has swapped");
            Err(taken_back())
        }
        Err(error) => Err(error.into()),
    }
}

/// Asks again and again while the server cannot be asked.
async fn end(task: &CutoverTask) -> Result<SwapOutcome, RestoreError> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let error = match attempt(task).await {
            Ok(settled) => return Ok(settled),
            Err(error) => error,
        };
        tracing::warn!(%error, "asking what became of the swap");
        if Instant::now() >= deadline {
            return Err(RestoreError::Unsettled { why: error.to_string(), before: task.live_oid, after: task.new_oid });
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn attempt(task: &CutoverTask) -> Result<SwapOutcome, RestoreError> {
    let name = format!("sennight recover-cutover {}", task.request_uid);
    let admin = connect(&task.database, &task.database.maintenance_database, &name).await?;
    let settled = recover(&admin, task, &application(task)).await;
    admin.close().await;
    settled
}
