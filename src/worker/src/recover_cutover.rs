//! `recover-cutover`: ends a cut-over whose process left no report: the server says whether it swapped. It never swaps
//! itself, so it does no harm if it runs twice, or beside a process that it wrongly takes for dead.

use super::cutover::{application, done};
use super::journals::BucketJournals;
use super::{TaskError, WorkerContext};
use chrono::Utc;
use sennight_core::result::Done;
use sennight_engine::restore::{SwapOutcome, Swapped};
use sennight_protocol::cutover::CutoverTask;
use sennight_storage::{ClaimRecord, Claimed};

/// Ends the cut-over. SIGTERM is ignored: half a recovery would leave the outcome unknown.
pub async fn run(task: &CutoverTask, context: &WorkerContext) -> Result<Done, TaskError> {
    let claim = ClaimRecord { job_uid: context.job_uid.clone(), pod: context.pod.clone(), at: Utc::now() };
    // If nobody has claimed yet, nobody will: a pod that starts late finds this claim.
    let unclaimed = matches!(context.store.claim(&task.request_uid, &claim).await?, Claimed::Won | Claimed::Mine(_));
    let (engine, journals) = (context.engine(task.database.engine), BucketJournals(&context.store));
    match engine.recover_swap(task, &journals, &application(task), unclaimed).await? {
        SwapOutcome::Forward => Ok(done(task, &Swapped::found())),
        SwapOutcome::Back => Err(TaskError::taken_back()),
        SwapOutcome::Neither(found) => {
            let message = format!("the databases are neither as before nor as after the swap of this request: {found}");
            Err(TaskError::unknown("DatabasesChanged", message))
        }
    }
}
