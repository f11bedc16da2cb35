//! `cutover`: claims the request, then swaps the databases. Of all processes that are ever started for a RestoreRequest one
//! may swap, and the server commits its swap only over the databases that were prepared (I2).

use super::journals::BucketJournals;
use super::{TaskError, Verdict, WorkerContext};
use chrono::{DateTime, TimeDelta, Utc};
use sennight_core::result::Done;
use sennight_engine::restore::{SwapState, Swapped};
use sennight_protocol::cutover::CutoverTask;
use sennight_storage::{ClaimRecord, Claimed};
use std::time::{Duration, Instant};

/// How long after its claim the process that holds it is watched: a swap with all its attempts takes less.
const WATCH_AFTER_CLAIM: TimeDelta = TimeDelta::seconds(90);
/// It is watched at least this long, also if its claim is old.
const MIN_WATCH: Duration = Duration::from_secs(5);

/// Cuts over. From the claim on SIGTERM is ignored: the server would undo half a swap, but without a report a person
/// would have to find out what happened.
pub async fn run(task: &CutoverTask, context: &WorkerContext) -> Result<Done, TaskError> {
    let application = application(task);
    match current_state(task, context, &application).await {
        Ok(SwapState::After) => return already_swapped(task, context, &application).await,
        Ok(SwapState::Neither(found)) => return databases_changed(task, context, found).await,
        Ok(SwapState::Before) => {}
        Err(error) => return Err(state_unknown(task, context, error).await),
    }
    // guard(servers::i2_a_pod_that_starts_after_its_time_swaps_nothing, never): a pod that starts too late swaps nothing
    if let Some(by) = task.start_by.filter(|by| Utc::now() > *by) {
        return started_too_late(task, context, by, &application).await;
    }
    let engine = context.engine(task.database.engine);
    let mut resumed = false;
    match claim(task, context).await? {
        // Checked under the claim: whoever reports "nothing was changed" must be the only one who could have changed something.
        // guard(servers::what_came_between_prepare_and_the_swap_and_only_the_swap_minds_is_refused, = {}): what came between prepare and the swap is looked for under the claim
        Claimed::Won => engine.obstacles(task, &application).await?,
        // This pod claimed before and started again. If that swap took effect, `swap` finds it so. An obstacle that is found
        // now says nothing about what the first start did, so the outcome is unknown.
        Claimed::Mine(_) => {
            engine.obstacles(task, &application).await.map_err(|error| {
                TaskError::unknown(&error.reason, format!("this pod had claimed before, and now: {error}"))
            })?;
            resumed = true;
        }
        // guard(servers::i2_a_claim_that_another_pod_holds_is_never_acted_on, = {}): another pod's claim is never acted on
        Claimed::Held(holder) => return watch_holder(task, context, &holder, &application).await,
    }
    // In a Tokio task of its own: if the caller is dropped, the swap still runs to its end.
    let (task_of_swap, store) = (task.clone(), context.store.clone());
    let swapped =
        tokio::spawn(async move { engine.swap(&task_of_swap, &BucketJournals(&store), &application, resumed).await });
    match swapped.await {
        Ok(swapped) => Ok(done(task, &swapped?)),
        Err(ended) => Err(TaskError::unknown("SwapInterrupted", format!("the swap's own task ended: {ended}"))),
    }
}

/// `application_name` of the sessions of the one process that may swap; `recover-cutover` ends sessions with this name.
pub(super) fn application(task: &CutoverTask) -> String {
    format!("sennight cutover {}", task.request_uid)
}

/// Claims the request, or finds out who has. If the store does not answer, the claim may have been written: unknown.
async fn claim(task: &CutoverTask, context: &WorkerContext) -> Result<Claimed, TaskError> {
    let claim = ClaimRecord { job_uid: context.job_uid.clone(), pod: context.pod.clone(), at: Utc::now() };
    context.store.claim(&task.request_uid, &claim).await.map_err(|error| {
        let error = TaskError::from(error);
        if error.verdict != Verdict::Retry {
            return error;
        }
        TaskError::unknown(&error.reason, format!("whether somebody has claimed this request cannot be told: {error}"))
    })
}

/// The server could not be asked. If another process has claimed, its swap may have taken effect. Otherwise this claims, so
/// that no other pod of the Job swaps after this one has reported that nothing was changed.
async fn state_unknown(task: &CutoverTask, context: &WorkerContext, error: TaskError) -> TaskError {
    match claim(task, context).await {
        Ok(Claimed::Won) => error,
        Ok(Claimed::Mine(_) | Claimed::Held(_)) => {
            TaskError::unknown(&error.reason, format!("this request was claimed before, and now: {error}"))
        }
        Err(unknown) => unknown,
    }
}

/// The swap has taken effect; its process may have died before the end.
async fn already_swapped(task: &CutoverTask, context: &WorkerContext, application: &str) -> Result<Done, TaskError> {
    let engine = context.engine(task.database.engine);
    let swapped = engine.finish_swap(task, &BucketJournals(&context.store), application).await?;
    Ok(done(task, &swapped))
}

/// The names stand for other databases than those prepared. If nobody has claimed, no process of Sennight did that.
async fn databases_changed(task: &CutoverTask, context: &WorkerContext, found: String) -> Result<Done, TaskError> {
    // guard(servers::i2_an_undone_swap_is_not_done_again_by_a_replay, none): a claimed swap that was undone by hand did take effect
    match context.store.claim_of(&task.request_uid).await? {
        None => {
            let message = format!("the swap is refused: {found}; the databases are no longer those that were prepared");
            Err(TaskError::refused("DatabasesChanged", message))
        }
        Some(holder) => {
            let message = format!(
                "pod {} of Job {} claimed this request at {}, and the databases are neither as before nor as after its swap: {found}",
                holder.pod, holder.job_uid, holder.at
            );
            Err(TaskError::unknown("ClaimHeld", message))
        }
    }
}

/// The pod started after its deadline, as on a node that was lost for hours: the operator has ended the request meanwhile.
/// This claims, so that no other pod that began in time swaps after "too late" was reported.
async fn started_too_late(
    task: &CutoverTask,
    context: &WorkerContext,
    by: DateTime<Utc>,
    application: &str,
) -> Result<Done, TaskError> {
    if let Claimed::Held(holder) | Claimed::Mine(holder) = claim(task, context).await? {
        return watch_holder(task, context, &holder, application).await;
    }
    let message = format!("the cut-over had to begin by {by}: nothing was changed; create a new request");
    Err(TaskError::refused("StartedTooLate", message))
}

/// Which database the live name stands for.
async fn current_state(task: &CutoverTask, context: &WorkerContext, application: &str) -> Result<SwapState, TaskError> {
    context.engine(task.database.engine).swap_state(task, application).await
}

/// Another process has the claim: it alone may swap. If its swap takes effect, this reports it; otherwise a person decides.
async fn watch_holder(
    task: &CutoverTask,
    context: &WorkerContext,
    holder: &ClaimRecord,
    application: &str,
) -> Result<Done, TaskError> {
    let left = (holder.at + WATCH_AFTER_CLAIM - Utc::now()).min(WATCH_AFTER_CLAIM).to_std().unwrap_or_default();
    let deadline = Instant::now() + left.max(MIN_WATCH);
    loop {
        let state = current_state(task, context, application).await;
        if matches!(state, Ok(SwapState::After)) {
            return already_swapped(task, context, application).await;
        }
        // After a `recover-cutover`, or a change by somebody else, the holder cannot swap any more.
        if matches!(state, Ok(SwapState::Neither(_))) || Instant::now() >= deadline {
            let found = match state {
                Ok(SwapState::Before) => "the live name still serves the old database".to_owned(),
                Ok(SwapState::After) => "the swap took effect".to_owned(),
                Ok(SwapState::Neither(found)) => found,
                Err(error) => error.to_string(),
            };
            let message = format!(
                "pod {} of Job {} claimed this request at {} and nobody knows whether it still works on it; {found}. Make sure that the pod is gone, then look which OID (number) {:?} has: {} is the old one, {} the restored one",
                holder.pod, holder.job_uid, holder.at, task.database.database, task.live_number, task.new_number
            );
            return Err(TaskError::unknown("ClaimHeld", message));
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
}

/// What the report of a swap says. A downtime of -1 ms is an unknown one.
pub(super) fn done(task: &CutoverTask, swapped: &Swapped) -> Done {
    Done::CutOver {
        previous_database: task.previous_database.clone(),
        downtime_millis: swapped
            .downtime
            .map_or(-1, |downtime| i64::try_from(downtime.as_millis()).unwrap_or(i64::MAX)),
        committed_at: swapped.committed_at,
    }
}
