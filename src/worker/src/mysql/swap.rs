//! The swap under its claim, and `recover-cutover`, which ends one that somebody else began. Which way, the server's marks say; the journal
//! in the bucket says what has to be mended.

use crate::error::taken_back;
use crate::{TaskError, WorkerContext};
use chrono::{DateTime, Utc};
use sennight_core::result::Done;
use sennight_engine::mysql::connect;
use sennight_engine::mysql::restore::failure::RestoreError;
use sennight_engine::mysql::restore::journal::Journal;
use sennight_engine::mysql::restore::schemas::{self, SwapState, kill_lock_holder, lock, lock_of_database};
use sennight_engine::mysql::restore::swap::{self, Renamed, SwapOutcome};
use sennight_protocol::cutover::CutoverTask;
use sennight_storage::{ClaimRecord, Claimed, Store, StoreError};
use std::time::{Duration, Instant};

/// How long a swap that was begun is tried to be ended, one way or the other.
const PATIENCE: Duration = Duration::from_mins(2);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(500);

/// Which schema the live name stands for.
pub async fn swap_state(task: &CutoverTask, application: &str) -> Result<SwapState, TaskError> {
    let mut session = connect(&task.database, "", application).await?;
    let found = schemas::swap_state(&mut session, task).await;
    session.close().await;
    Ok(found?)
}

/// Swaps, once, for the holder of the claim. From its first change on it ends what it began, or says that it could not.
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
    let whole = match &renamed {
        Ok(_) => swap::finish_forward(&mut session, task, &journal).await,
        Err(_) => Ok(()),
    };
    // Its lock goes with it.
    session.close().await;
    match (renamed, whole) {
        (Ok(renamed), Ok(())) => Ok(done(task, Some(since.elapsed()), renamed.at)),
        (Ok(renamed), Err(error)) => {
            tracing::warn!(%error, "the swap took effect and is not finished: once more");
            ended(task, Some(renamed), since, end(task, Some(&journal), application, false).await)
        }
        (Err(error), _) => {
            tracing::warn!(%error, "the swap met an obstacle: the server says what became of it");
            match end(task, Some(&journal), application, false).await? {
                SwapOutcome::Back => Err(error.into()),
                SwapOutcome::Forward => ended(task, None, since, Ok(SwapOutcome::Forward)),
            }
        }
    }
}

fn ended(
    task: &CutoverTask,
    renamed: Option<Renamed>,
    since: Instant,
    settled: Result<SwapOutcome, TaskError>,
) -> Result<Done, TaskError> {
    match settled? {
        SwapOutcome::Forward => Ok(done(task, Some(since.elapsed()), renamed.map_or_else(Utc::now, |r| r.at))),
        SwapOutcome::Back => {
            let message = "the RENAME was carried out, and the server says now that it was not: a person must look";
            Err(TaskError::unknown("SwapUndone", message))
        }
    }
}

/// The swap has taken effect; whoever made it may not have come to the end.
pub async fn finish(task: &CutoverTask, store: &Store, application: &str) -> Result<Done, TaskError> {
    let journal = store.journal(&task.request_uid).await?;
    match end(task, journal.as_ref(), application, false).await? {
        SwapOutcome::Forward => Ok(done(task, None, Utc::now())),
        SwapOutcome::Back => Err(taken_back()),
    }
}

/// A pod that started again after its claim: what it had begun is ended; nothing begun, it may begin.
pub async fn resume(task: &CutoverTask, store: &Store, application: &str) -> Result<Done, TaskError> {
    let Some(journal) = store.journal::<Journal>(&task.request_uid).await? else {
        return swap(task, store, application).await;
    };
    match end(task, Some(&journal), application, true).await? {
        SwapOutcome::Forward => Ok(done(task, None, Utc::now())),
        SwapOutcome::Back => Err(taken_back()),
    }
}

/// `recover-cutover`: ends a swap whose process is gone. It never renames a tenant's table: done twice, or beside the process that it
/// takes for dead, it does no harm.
pub async fn recover(task: &CutoverTask, context: &WorkerContext) -> Result<Done, TaskError> {
    let application = format!("sennight recover-cutover {}", task.request_uid);
    let claim = ClaimRecord { job_uid: context.job_uid.clone(), pod: context.pod.clone(), at: Utc::now() };
    // If nobody ever claimed, nobody will: a pod that starts late finds it taken.
    if matches!(context.store.claim(&task.request_uid, &claim).await?, Claimed::Won | Claimed::Mine(_)) {
        return Err(taken_back());
    }
    // A process that claimed and has changed nothing yet finds the journal's place taken, and changes nothing.
    if context.store.journal::<Journal>(&task.request_uid).await?.is_none() {
        match context.store.put_journal(&task.request_uid, &Journal::nothing(&task.request_uid)).await {
            Ok(()) | Err(StoreError::AlreadyExists { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let journal = context.store.journal(&task.request_uid).await?;
    match end(task, journal.as_ref(), &application, true).await? {
        SwapOutcome::Forward => Ok(done(task, None, Utc::now())),
        SwapOutcome::Back => Err(taken_back()),
    }
}

/// Asks the server and ends the swap by its answer, again and again while it cannot be asked. `other`: the session that holds the
/// lock is another process's, and is ended first.
async fn end(
    task: &CutoverTask,
    journal: Option<&Journal>,
    application: &str,
    other: bool,
) -> Result<SwapOutcome, TaskError> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let error = match attempt(task, journal, application, other).await {
            Ok(settled) => return Ok(settled),
            Err(error) => error,
        };
        tracing::warn!(%error, "ending the swap");
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
    other: bool,
) -> Result<SwapOutcome, RestoreError> {
    let mut session = connect(&task.database, "", application).await?;
    let name = lock_of_database(&task.database.database);
    if other {
        kill_lock_holder(&mut session, &name).await?;
    }
    // Whoever held it was renaming, or not: with the lock ours, the server has made up its mind.
    lock(&mut session, &name).await?;
    let settled = swap::recover(&mut session, task, journal).await;
    session.close().await;
    settled
}

fn done(task: &CutoverTask, downtime: Option<Duration>, committed_at: DateTime<Utc>) -> Done {
    Done::CutOver {
        previous_database: task.previous_database.clone(),
        downtime_millis: downtime.map_or(-1, |time| i64::try_from(time.as_millis()).unwrap_or(i64::MAX)),
        committed_at,
    }
}
