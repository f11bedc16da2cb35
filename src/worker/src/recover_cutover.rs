//! `recover-cutover`: ends a cut-over whose process left no report: the server says whether it swapped. It never swaps
//! itself, so it does no harm if it runs twice, or beside a process that it wrongly takes for dead.

use super::cutover::{application, done, found};
use super::error::taken_back;
use super::{TaskError, WorkerContext, mysql};
use chrono::Utc;
use sennight_core::engine::EngineKind;
use sennight_core::result::Done;
use sennight_engine::postgres::connect;
use sennight_engine::postgres::failure::RestoreError;
use sennight_engine::postgres::recover_cutover::{SwapOutcome, recover};
use sennight_protocol::cutover::CutoverTask;
use sennight_storage::{ClaimRecord, Claimed};
use std::time::{Duration, Instant};

/// How long the server is asked before the outcome is reported as unknown.
const PATIENCE: Duration = Duration::from_mins(2);
/// Pause between two attempts.
const PAUSE: Duration = Duration::from_millis(500);

/// Ends the cut-over. SIGTERM is ignored: half a recovery would leave the outcome unknown.
pub async fn run(task: &CutoverTask, context: &WorkerContext) -> Result<Done, TaskError> {
    match task.database.engine {
        EngineKind::PostgreSQL => postgres(task, context).await,
        EngineKind::MySQL | EngineKind::MariaDB => mysql::swap::recover(task, context).await,
    }
}

async fn postgres(task: &CutoverTask, context: &WorkerContext) -> Result<Done, TaskError> {
    let claim = ClaimRecord { job_uid: context.job_uid.clone(), pod: context.pod.clone(), at: Utc::now() };
    // If nobody has claimed yet, nobody will: a pod that starts late finds this claim.
    let nobody_claimed =
        matches!(context.store.claim(&task.request_uid, &claim).await?, Claimed::Won | Claimed::Mine(_));
    match recover_with_retries(task).await {
        Ok(SwapOutcome::Forward) => Ok(done(task, &found())),
        Ok(SwapOutcome::Back) => Err(taken_back()),
        Ok(SwapOutcome::Neither(found)) => {
            let message = format!("the databases are neither as before nor as after the swap of this request: {found}");
            Err(TaskError::unknown("DatabasesChanged", message))
        }
        Err(error) if nobody_claimed => {
            tracing::warn!(%error, "server not reachable; nobody had claimed, so nobody has swapped");
            Err(taken_back())
        }
        Err(error) => Err(error.into()),
    }
}

/// Retries for [`PATIENCE`] while the server cannot be asked.
async fn recover_with_retries(task: &CutoverTask) -> Result<SwapOutcome, RestoreError> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let error = match attempt(task).await {
            Ok(outcome) => return Ok(outcome),
            Err(error) => error,
        };
        tracing::warn!(%error, "swap outcome not known yet; retrying");
        if Instant::now() >= deadline {
            return Err(RestoreError::Unsettled { why: error.to_string(), before: task.live_oid, after: task.new_oid });
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn attempt(task: &CutoverTask) -> Result<SwapOutcome, RestoreError> {
    let name = format!("sennight recover-cutover {}", task.request_uid);
    let admin = connect(&task.database, &task.database.maintenance_database, &name).await?;
    let outcome = recover(&admin, task, &application(task)).await;
    admin.close().await;
    outcome
}
