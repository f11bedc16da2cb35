//! `cutover` and `recover-cutover` on MySQL and MariaDB. The server's marks say whether the swap took effect; the journal in
//! the bucket says what must be put in order afterwards.

use crate::error::taken_back;
use crate::{TaskError, WorkerContext};
use chrono::{DateTime, Utc};
use sennight_core::result::Done;
use sennight_engine::mysql::connect;
use sennight_engine::mysql::failure::RestoreError;
use sennight_engine::mysql::journal::Journal;
use sennight_engine::mysql::schemas::{self, SwapState, kill_lock_holder, lock, lock_of_database};
use sennight_engine::mysql::swap::{self, Renamed, SwapOutcome};
use sennight_protocol::cutover::CutoverTask;
use sennight_storage::{ClaimRecord, Claimed, Store, StoreError};
use std::time::{Duration, Instant};

/// How long ending a swap is tried before its outcome is reported as unknown.
const PATIENCE: Duration = Duration::from_mins(2);
/// Pause between two attempts.
const PAUSE: Duration = Duration::from_millis(500);

/// Which schema the live name stands for.
pub async fn swap_state(task: &CutoverTask, application: &str) -> Result<SwapState, TaskError> {
    let mut session = connect(&task.database, "", application).await?;
    let found = schemas::swap_state(&mut session, task).await;
    session.close().await;
    Ok(found?)
}

/// Swaps, once, for the holder of the claim. After its first change it ends the swap, or reports that it could not.
pub async fn swap(task: &CutoverTask, store: &Store, application: &str) -> Result<Done, TaskError> {
    let mut session = connect(&task.database, "", application).await?;
    lock(&mut session, &lock_of_database(&task.database.database)).await?;
    match schemas::swap_state(&mut session, task).await? {
        SwapState::Before => {}
        SwapState::After => {
            session.close().await;
            return finish(task, store, application).await;
        }
        SwapState::Neither(found) => return Err(RestoreError::DatabasesChanged { found }.into()),
    }
    let journal = swap::make_journal(&mut session, task).await?;
    store.put_journal(&task.request_uid, &journal).await?;
    let since = Instant::now();
    let renamed = swap::lock_out_and_rename(&mut session, task, &journal).await;
    let finished = match &renamed {
        Ok(_) => swap::finish_forward(&mut session, task, &journal).await,
        Err(_) => Ok(()),
    };
    // The lock of the database ends with the session: `end_with_retries` can take it.
    session.close().await;
    match (renamed, finished) {
        (Ok(renamed), Ok(())) => Ok(done(task, Some(since.elapsed()), renamed.at)),
        (Ok(renamed), Err(error)) => {
            tracing::warn!(%error, "swap took effect but is not finished; retrying");
            report_end(task, Some(renamed), since, end_with_retries(task, Some(&journal), application, false).await)
        }
        (Err(error), _) => {
            tracing::warn!(%error, "swap failed; asking the server for its outcome");
            match end_with_retries(task, Some(&journal), application, false).await? {
                SwapOutcome::Back => Err(error.into()),
                SwapOutcome::Forward => report_end(task, None, since, Ok(SwapOutcome::Forward)),
            }
        }
    }
}

fn report_end(
    task: &CutoverTask,
    renamed: Option<Renamed>,
    since: Instant,
    outcome: Result<SwapOutcome, TaskError>,
) -> Result<Done, TaskError> {
    match outcome? {
        SwapOutcome::Forward => Ok(done(task, Some(since.elapsed()), renamed.map_or_else(Utc::now, |r| r.at))),
        SwapOutcome::Back => {
            let message = "the RENAME was carried out, and the server says now that it was not: a person must look";
            Err(TaskError::unknown("SwapUndone", message))
        }
    }
}

/// The swap has taken effect, but its process may have died before the end: finishes it.
pub async fn finish(task: &CutoverTask, store: &Store, application: &str) -> Result<Done, TaskError> {
    let journal = store.journal(&task.request_uid).await?;
    match end_with_retries(task, journal.as_ref(), application, false).await? {
        SwapOutcome::Forward => Ok(done(task, None, Utc::now())),
        SwapOutcome::Back => Err(taken_back()),
    }
}

/// A pod that started again after its claim: ends the swap that it had begun, or begins it if there is no journal.
pub async fn resume(task: &CutoverTask, store: &Store, application: &str) -> Result<Done, TaskError> {
    let Some(journal) = store.journal::<Journal>(&task.request_uid).await? else {
        return swap(task, store, application).await;
    };
    match end_with_retries(task, Some(&journal), application, true).await? {
        SwapOutcome::Forward => Ok(done(task, None, Utc::now())),
        SwapOutcome::Back => Err(taken_back()),
    }
}

/// `recover-cutover`: ends a swap whose process is gone. It never renames a tenant's table, so it does no harm if it runs
/// twice, or beside a process that it wrongly takes for dead.
pub async fn recover(task: &CutoverTask, context: &WorkerContext) -> Result<Done, TaskError> {
    let application = format!("sennight recover-cutover {}", task.request_uid);
    let claim = ClaimRecord { job_uid: context.job_uid.clone(), pod: context.pod.clone(), at: Utc::now() };
    // If nobody has claimed yet, nobody will: a pod that starts late finds this claim.
    if matches!(context.store.claim(&task.request_uid, &claim).await?, Claimed::Won | Claimed::Mine(_)) {
        return Err(taken_back());
    }
    // A process that has claimed and not changed anything yet finds this journal, and changes nothing.
    if context.store.journal::<Journal>(&task.request_uid).await?.is_none() {
        match context.store.put_journal(&task.request_uid, &Journal::nothing(&task.request_uid)).await {
            Ok(()) | Err(StoreError::AlreadyExists { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let journal = context.store.journal(&task.request_uid).await?;
    match end_with_retries(task, journal.as_ref(), &application, true).await? {
        SwapOutcome::Forward => Ok(done(task, None, Utc::now())),
        SwapOutcome::Back => Err(taken_back()),
    }
}

/// Ends the swap by what the server says, and retries for [`PATIENCE`] while it cannot be asked. `kill_holder`: the session
/// that holds the database's lock is another process's, and is ended first.
async fn end_with_retries(
    task: &CutoverTask,
    journal: Option<&Journal>,
    application: &str,
    kill_holder: bool,
) -> Result<SwapOutcome, TaskError> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let error = match attempt(task, journal, application, kill_holder).await {
            Ok(outcome) => return Ok(outcome),
            Err(error) => error,
        };
        tracing::warn!(%error, "swap not ended yet; retrying");
        if Instant::now() >= deadline {
            return Err(RestoreError::Unsettled { why: error.to_string() }.into());
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn attempt(
    task: &CutoverTask,
    journal: Option<&Journal>,
    application: &str,
    kill_holder: bool,
) -> Result<SwapOutcome, RestoreError> {
    let mut session = connect(&task.database, "", application).await?;
    let name = lock_of_database(&task.database.database);
    if kill_holder {
        kill_lock_holder(&mut session, &name).await?;
    }
    // The holder may have been in its RENAME. Once this session has the lock, that has been carried out or not.
    lock(&mut session, &name).await?;
    let outcome = swap::recover(&mut session, task, journal).await;
    session.close().await;
    outcome
}

fn done(task: &CutoverTask, downtime: Option<Duration>, committed_at: DateTime<Utc>) -> Done {
    Done::CutOver {
        previous_database: task.previous_database.clone(),
        downtime_millis: downtime.map_or(-1, |time| i64::try_from(time.as_millis()).unwrap_or(i64::MAX)),
        committed_at,
    }
}
