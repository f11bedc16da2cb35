//! What a cut-over asks of a PostgreSQL server around the swap: which database serves, what stands in the way, how a swap
//! ended whose process is gone.

use super::connect::connect;
use super::failure::RestoreError;
use super::preflight_refusal::PreflightRefusal;
use super::preflight_undo::before_swap;
use super::recover_cutover::recover;
use super::swap;
use crate::restore::{SwapOutcome, SwapState};
use sennight_protocol::cutover::CutoverTask;
use sennight_protocol::report::TaskError;
use std::time::{Duration, Instant};

/// How often an obstacle that may go away by itself is checked.
const OBSTACLE_CHECKS: u32 = 5;
/// Pause between two of these checks.
const OBSTACLE_PAUSE: Duration = Duration::from_secs(2);

/// How long the server is asked for the outcome of a COMMIT whose answer never came.
pub const COMMIT_PATIENCE: Duration = Duration::from_mins(2);

/// How long the server is asked before the outcome is reported as unknown.
const PATIENCE: Duration = Duration::from_mins(2);
/// Pause between two attempts.
const PAUSE: Duration = Duration::from_millis(500);

/// Which database the live name stands for.
pub async fn swap_state(task: &CutoverTask, application: &str) -> Result<SwapState, TaskError> {
    let admin = connect(&task.database, &task.database.maintenance_database, application).await?;
    let found = swap::swap_state(&admin, task).await;
    admin.close().await;
    Ok(found?)
}

/// Checks the rules about the swap once more: since the preflight a replication slot or a subscription may have been
/// created, and would silently go on in the old database.
pub async fn obstacles(task: &CutoverTask, application: &str) -> Result<(), TaskError> {
    let mut checks = 1;
    loop {
        let admin = connect(&task.database, &task.database.maintenance_database, application).await?;
        let refused = before_swap(&admin, task).await?;
        admin.close().await;
        let Some(first) = refused.first() else { return Ok(()) };
        // A two-phase commit may end in the next instant, and the tenant can work meanwhile.
        let passing = refused.iter().all(|r| matches!(r, PreflightRefusal::PreparedTransactions { .. }));
        if !passing || checks == OBSTACLE_CHECKS {
            let all: Vec<String> = refused.iter().map(ToString::to_string).collect();
            return Err(TaskError::refused(first.reason(), all.join("; ")));
        }
        checks += 1;
        tokio::time::sleep(OBSTACLE_PAUSE).await;
    }
}

/// Ends a swap whose process is gone, and retries for [`PATIENCE`] while the server cannot be asked.
pub async fn recover_swap(task: &CutoverTask, swapper: &str, unclaimed: bool) -> Result<SwapOutcome, TaskError> {
    match recover_with_retries(task, swapper).await {
        Err(error) if unclaimed => {
            tracing::warn!(%error, "server not reachable; nobody had claimed, so nobody has swapped");
            Ok(SwapOutcome::Back)
        }
        recovered => Ok(recovered?),
    }
}

async fn recover_with_retries(task: &CutoverTask, swapper: &str) -> Result<SwapOutcome, RestoreError> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let error = match attempt(task, swapper).await {
            Ok(outcome) => return Ok(outcome),
            Err(error) => error,
        };
        tracing::warn!(%error, "swap outcome not known yet; retrying");
        if Instant::now() >= deadline {
            return Err(RestoreError::Unsettled {
                why: error.to_string(),
                before: task.live_number.0,
                after: task.new_number.0,
            });
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn attempt(task: &CutoverTask, swapper: &str) -> Result<SwapOutcome, RestoreError> {
    let name = format!("sennight recover-cutover {}", task.request_uid);
    let admin = connect(&task.database, &task.database.maintenance_database, &name).await?;
    let outcome = recover(&admin, task, swapper).await;
    admin.close().await;
    outcome
}
