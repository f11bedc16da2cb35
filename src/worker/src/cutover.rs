//! `cutover`: the claim, then the swap. Of all processes that are ever started for a RestoreRequest one may swap, and the
//! server commits its swap only over the databases that were prepared (I2).

use super::mysql::swap as my;
use super::{TaskError, Verdict, WorkerContext};
use chrono::{DateTime, TimeDelta, Utc};
use sennight_core::engine::Engine;
use sennight_core::result::Done;
use sennight_engine::mysql::restore::schemas;
use sennight_engine::postgres::connect;
use sennight_engine::postgres::failure::RestoreError;
use sennight_engine::postgres::preflight_refusal::PreflightRefusal;
use sennight_engine::postgres::preflight_undo::before_swap;
use sennight_engine::postgres::swap::{SwapState, Swapped, swap, swap_state};
use sennight_protocol::cutover::CutoverTask;
use sennight_storage::{ClaimRecord, Claimed};
use std::time::{Duration, Instant};

/// How long after its claim a winner is watched: a swap with all its tries takes less.
const WITNESS: TimeDelta = TimeDelta::seconds(90);
/// At least this long, also after an old claim.
const GLANCE: Duration = Duration::from_secs(5);

/// How often a passing obstacle is looked at.
const LOOKS: u32 = 5;
/// Between two looks.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// How long the server is asked for the outcome of a COMMIT whose answer never came.
const SETTLE: Duration = Duration::from_mins(2);

/// Cuts over. From the claim on it does not listen to SIGTERM: half a swap is undone by the server, but half a report
/// would leave a person to find out.
pub async fn run(task: &CutoverTask, context: &WorkerContext) -> Result<Done, TaskError> {
    let application = application(task);
    match look(task, &application).await {
        Ok(SwapState::After) => return after(task, context, &application).await,
        Ok(SwapState::Neither(found)) => return strange(task, context, found).await,
        Ok(SwapState::Before) => {}
        Err(error) => return Err(unasked(task, context, error).await),
    }
    if let Some(by) = task.start_by.filter(|by| Utc::now() > *by) {
        return too_late(task, context, by, &application).await;
    }
    match claim(task, context).await? {
        Claimed::Won if task.database.engine == Engine::PostgreSQL => obstacles(task, &application).await?,
        // An earlier start of this very pod is dead; if its swap took effect, the new one finds it so. What stands in the way now
        // says nothing of what that one did.
        Claimed::Mine(_) if task.database.engine == Engine::PostgreSQL => {
            obstacles(task, &application).await.map_err(|error| {
                TaskError::unknown(&error.reason, format!("this pod had claimed before, and now: {error}"))
            })?;
        }
        Claimed::Won => return family(task, context, application, false).await,
        Claimed::Mine(_) => return family(task, context, application, true).await,
        Claimed::Held(holder) => return witness(task, context, &holder, &application).await,
    }
    let (ours, name) = (task.clone(), application);
    let swapped = tokio::spawn(async move { swap(&ours, &name, SETTLE).await.map_err(TaskError::from) }).await;
    match swapped {
        Ok(swapped) => Ok(done(task, &swapped?)),
        Err(ended) => Err(TaskError::unknown("SwapInterrupted", format!("the swap's own task ended: {ended}"))),
    }
}

/// As the server's administrators see the sessions of the one process that may swap.
pub(super) fn application(task: &CutoverTask) -> String {
    format!("sennight cutover {}", task.request_uid)
}

/// What only the swap minds may have come since the preflight: a slot or a subscription would silently go on in the old database.
/// Looked for under the claim: whoever says "nothing was changed" must be the only one who could have changed something.
async fn obstacles(task: &CutoverTask, application: &str) -> Result<(), TaskError> {
    let mut looks = 1;
    loop {
        let admin = connect(&task.database, &task.database.maintenance_database, application).await?;
        let refused = before_swap(&admin, task).await?;
        admin.close().await;
        let Some(first) = refused.first() else { return Ok(()) };
        // Somebody's two-phase commit may end in the next instant; the tenant works on meanwhile.
        let passing = refused.iter().all(|r| matches!(r, PreflightRefusal::PreparedTransactions { .. }));
        if !passing || looks == LOOKS {
            let all: Vec<String> = refused.iter().map(ToString::to_string).collect();
            return Err(TaskError::refused(first.reason(), all.join("; ")));
        }
        looks += 1;
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Claims the request, or learns who has. An answer that never came is no "nothing was changed": the claim may be there.
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

/// The server did not say how things stand. Where somebody has claimed, a swap may have taken effect; else the claim is ours now, so
/// that no twin of this pod swaps after it was told that nothing was changed.
async fn unasked(task: &CutoverTask, context: &WorkerContext, error: TaskError) -> TaskError {
    match claim(task, context).await {
        Ok(Claimed::Won) => error,
        Ok(Claimed::Mine(_) | Claimed::Held(_)) => {
            TaskError::unknown(&error.reason, format!("this request was claimed before, and now: {error}"))
        }
        Err(unknown) => unknown,
    }
}

/// On MySQL and MariaDB, in a task of its own as well: nobody may drop it half-way.
async fn family(task: &CutoverTask, context: &WorkerContext, name: String, again: bool) -> Result<Done, TaskError> {
    let (task, store) = (task.clone(), context.store.clone());
    let swapped = tokio::spawn(async move {
        if again { my::resume(&task, &store, &name).await } else { my::swap(&task, &store, &name).await }
    });
    match swapped.await {
        Ok(done) => done,
        Err(ended) => Err(TaskError::unknown("SwapInterrupted", format!("the swap's own task ended: {ended}"))),
    }
}

/// The swap has taken effect. On PostgreSQL that is all; on the others its process may have died before the end.
async fn after(task: &CutoverTask, context: &WorkerContext, application: &str) -> Result<Done, TaskError> {
    match task.database.engine {
        Engine::PostgreSQL => Ok(done(task, &found())),
        Engine::MySQL | Engine::MariaDB => my::finish(task, &context.store, application).await,
    }
}

/// The names stand for other databases than were prepared. If nobody ever claimed, nobody of ours did that.
async fn strange(task: &CutoverTask, context: &WorkerContext, found: String) -> Result<Done, TaskError> {
    match context.store.claim_of(&task.request_uid).await? {
        None => Err(RestoreError::DatabasesChanged { found }.into()),
        Some(holder) => {
            let message = format!(
                "pod {} of Job {} claimed this request at {}, and the databases are neither as before nor as after its swap: {found}",
                holder.pod, holder.job_uid, holder.at
            );
            Err(TaskError::unknown("ClaimHeld", message))
        }
    }
}

/// A pod that a lost node starts hours later: the operator has ended the request meanwhile. It claims, so that no twin that
/// began in time swaps after this was told.
async fn too_late(
    task: &CutoverTask,
    context: &WorkerContext,
    by: DateTime<Utc>,
    application: &str,
) -> Result<Done, TaskError> {
    if let Claimed::Held(holder) | Claimed::Mine(holder) = claim(task, context).await? {
        return witness(task, context, &holder, application).await;
    }
    let message = format!("the cut-over had to begin by {by}: nothing was changed; create a new request");
    Err(TaskError::refused("StartedTooLate", message))
}

async fn look(task: &CutoverTask, application: &str) -> Result<SwapState, TaskError> {
    if task.database.engine != Engine::PostgreSQL {
        return Ok(match my::swap_state(task, application).await? {
            schemas::SwapState::Before => SwapState::Before,
            schemas::SwapState::After => SwapState::After,
            schemas::SwapState::Neither(found) => SwapState::Neither(found),
        });
    }
    let admin = connect(&task.database, &task.database.maintenance_database, application).await?;
    let found = swap_state(&admin, task).await;
    admin.close().await;
    Ok(found?)
}

/// Another process has the claim: it alone may swap. What it achieves is told; what it does not is for a person.
async fn witness(
    task: &CutoverTask,
    context: &WorkerContext,
    holder: &ClaimRecord,
    application: &str,
) -> Result<Done, TaskError> {
    let left = (holder.at + WITNESS - Utc::now()).min(WITNESS).to_std().unwrap_or_default();
    let deadline = Instant::now() + left.max(GLANCE);
    loop {
        let seen = look(task, application).await;
        if matches!(seen, Ok(SwapState::After)) {
            return after(task, context, application).await;
        }
        // What `recover-cutover` has ended, or somebody else has changed, the holder cannot swap any more.
        if matches!(seen, Ok(SwapState::Neither(_))) || Instant::now() >= deadline {
            let seen = match seen {
                Ok(SwapState::Before) => "the live name still serves the old database".to_owned(),
                Ok(SwapState::After) => "the swap took effect".to_owned(),
                Ok(SwapState::Neither(found)) => found,
                Err(error) => error.to_string(),
            };
            let message = format!(
                "pod {} of Job {} claimed this request at {} and nobody knows whether it still works on it; {seen}. Make sure that the pod is gone, then look which OID (number) {:?} has: {} is the old one, {} the restored one",
                holder.pod, holder.job_uid, holder.at, task.database.database, task.live_oid, task.new_oid
            );
            return Err(TaskError::unknown("ClaimHeld", message));
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
}

pub(super) fn found() -> Swapped {
    Swapped { downtime: None, committed_at: Utc::now() }
}

pub(super) fn done(task: &CutoverTask, swapped: &Swapped) -> Done {
    Done::CutOver {
        previous_database: task.previous_database.clone(),
        downtime_millis: swapped
            .downtime
            .map_or(-1, |downtime| i64::try_from(downtime.as_millis()).unwrap_or(i64::MAX)),
        committed_at: swapped.committed_at,
    }
}
