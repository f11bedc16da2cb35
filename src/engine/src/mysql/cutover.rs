//! What a cut-over asks of a MySQL or MariaDB server: the swap, and how one is ended. The server's marks say whether the swap
//! took effect; the journal says what must be put in order afterwards.

use super::connect::connect;
use super::failure::RestoreError;
use super::journal::Journal;
use super::schemas::{self, kill_lock_holder, lock, lock_of_database};
use super::swap::{self, Renamed, SwapEnd};
use crate::restore::{JournalStore, SwapOutcome, SwapState, Swapped};
use chrono::Utc;
use sennight_protocol::cutover::CutoverTask;
use sennight_protocol::report::TaskError;
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

async fn read_journal(journals: &dyn JournalStore, task: &CutoverTask) -> Result<Option<Journal>, TaskError> {
    let Some(journal) = journals.get(&task.request_uid).await? else { return Ok(None) };
    serde_json::from_value(journal).map(Some).map_err(|error| not_a_journal(&error))
}

fn as_value(journal: &Journal) -> Result<serde_json::Value, TaskError> {
    serde_json::to_value(journal).map_err(|error| not_a_journal(&error))
}

fn not_a_journal(error: &serde_json::Error) -> TaskError {
    TaskError::refused("Unreadable", format!("the journal of this request is not readable: {error}"))
}

/// Swaps, once, for the holder of the claim. After its first change it ends the swap, or reports that it could not.
pub async fn swap(task: &CutoverTask, journals: &dyn JournalStore, application: &str) -> Result<Swapped, TaskError> {
    let mut session = connect(&task.database, "", application).await?;
    lock(&mut session, &lock_of_database(&task.database.database)).await?;
    match schemas::swap_state(&mut session, task).await? {
        SwapState::Before => {}
        SwapState::After => {
            session.close().await;
            return finish(task, journals, application).await;
        }
        SwapState::Neither(found) => return Err(RestoreError::DatabasesChanged { found }.into()),
    }
    let journal = swap::make_journal(&mut session, task).await?;
    journals.put(&task.request_uid, as_value(&journal)?).await?;
    let since = Instant::now();
    let renamed = swap::lock_out_and_rename(&mut session, task, &journal).await;
    let finished = match &renamed {
        Ok(_) => swap::finish_forward(&mut session, task, &journal).await,
        Err(_) => Ok(()),
    };
    // The lock of the database ends with the session: `end_with_retries` can take it.
    session.close().await;
    match (renamed, finished) {
        (Ok(renamed), Ok(())) => Ok(Swapped { downtime: Some(since.elapsed()), committed_at: renamed.at }),
        (Ok(renamed), Err(error)) => {
            tracing::warn!(%error, "swap took effect but is not finished; retrying");
            report_end(Some(renamed), since, end_with_retries(task, Some(&journal), application, false).await)
        }
        (Err(error), _) => {
            tracing::warn!(%error, "swap failed; asking the server for its outcome");
            match end_with_retries(task, Some(&journal), application, false).await? {
                SwapEnd::Back => Err(error.into()),
                SwapEnd::Forward => report_end(None, since, Ok(SwapEnd::Forward)),
            }
        }
    }
}

fn report_end(renamed: Option<Renamed>, since: Instant, end: Result<SwapEnd, TaskError>) -> Result<Swapped, TaskError> {
    match end? {
        SwapEnd::Forward => Ok(Swapped {
            downtime: Some(since.elapsed()),
            committed_at: renamed.map_or_else(Utc::now, |renamed| renamed.at),
        }),
        SwapEnd::Back => {
            let message = "the RENAME was carried out, and the server says now that it was not: a person must look";
            Err(TaskError::unknown("SwapUndone", message))
        }
    }
}

/// The swap has taken effect, but its process may have died before the end: finishes it.
pub async fn finish(task: &CutoverTask, journals: &dyn JournalStore, application: &str) -> Result<Swapped, TaskError> {
    let journal = read_journal(journals, task).await?;
    match end_with_retries(task, journal.as_ref(), application, false).await? {
        SwapEnd::Forward => Ok(Swapped::found()),
        SwapEnd::Back => Err(TaskError::taken_back()),
    }
}

/// A pod that started again after its claim: ends the swap that it had begun, or begins it if there is no journal.
pub async fn resume(task: &CutoverTask, journals: &dyn JournalStore, application: &str) -> Result<Swapped, TaskError> {
    let Some(journal) = read_journal(journals, task).await? else {
        return swap(task, journals, application).await;
    };
    match end_with_retries(task, Some(&journal), application, true).await? {
        SwapEnd::Forward => Ok(Swapped::found()),
        SwapEnd::Back => Err(TaskError::taken_back()),
    }
}

/// Ends a swap whose process is gone. It never renames a tenant's table, so it does no harm if it runs twice, or beside a
/// process that it wrongly takes for dead.
pub async fn recover(
    task: &CutoverTask,
    journals: &dyn JournalStore,
    unclaimed: bool,
) -> Result<SwapOutcome, TaskError> {
    if unclaimed {
        return Ok(SwapOutcome::Back);
    }
    let application = format!("sennight recover-cutover {}", task.request_uid);
    // A process that has claimed and not changed anything yet finds this journal, and changes nothing.
    if read_journal(journals, task).await?.is_none() {
        journals.put_if_none(&task.request_uid, as_value(&Journal::nothing(&task.request_uid))?).await?;
    }
    let journal = read_journal(journals, task).await?;
    match end_with_retries(task, journal.as_ref(), &application, true).await? {
        SwapEnd::Forward => Ok(SwapOutcome::Forward),
        SwapEnd::Back => Ok(SwapOutcome::Back),
    }
}

/// Ends the swap by what the server says, and retries for [`PATIENCE`] while it cannot be asked. `kill_holder`: the session
/// that holds the database's lock is another process's, and is ended first.
async fn end_with_retries(
    task: &CutoverTask,
    journal: Option<&Journal>,
    application: &str,
    kill_holder: bool,
) -> Result<SwapEnd, TaskError> {
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
) -> Result<SwapEnd, RestoreError> {
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
