//! Ends a swap whose process is gone. Its transaction has committed or not, and the catalog says which. Where it has not, the
//! database that was to be swapped in is made unusable first, by mark and OID. So nobody swaps after "not swapped" was
//! reported (I2).

use super::catalog::{self, Database};
use super::connect::Session;
use super::create::{barred_comment, undo_is_barred};
use super::database_properties::comment;
use super::drop_database::{drop_marker, mark_for_drop};
use super::error::EngineError;
use super::failure::RestoreError;
use super::swap::swap_state;
use crate::restore::{SwapOutcome, SwapState};
use sennight_core::names::database_to_drop;
use sennight_protocol::cutover::CutoverTask;

/// Ends the swap and returns its outcome, which is final. `application`: name of the sessions of the swap's process, which are
/// ended first. May be repeated.
pub async fn recover(admin: &Session, task: &CutoverTask, application: &str) -> Result<SwapOutcome, RestoreError> {
    end_sessions(admin, application).await?;
    let new = match read_state(admin, task).await? {
        DatabasesState::Ended(outcome) => return Ok(outcome),
        DatabasesState::StillPossible(new) => new,
    };
    // An open swap holds locks on both databases. Both paths below take one of these locks, so only one of the two succeeds.
    if task.undo_of.is_some() {
        bar_undo(admin, task, &new).await?;
    } else {
        let drop_name = database_to_drop(&task.database.database, &task.request_uid);
        mark_for_drop(admin, &new, &drop_name, &task.request_uid).await?;
    }
    match read_state(admin, task).await? {
        DatabasesState::Ended(outcome) => Ok(outcome),
        DatabasesState::StillPossible(new) => {
            let found = format!("{:?} can still be swapped in", new.name);
            Err(RestoreError::DatabasesChanged { found })
        }
    }
}

/// Ends the sessions of the swap's process, which may not be dead: a session that remains could still commit.
async fn end_sessions(admin: &Session, application: &str) -> Result<(), EngineError> {
    let failed = |e| EngineError::query("looking for the swap's sessions", e);
    let sessions = admin
        .query(
            "SELECT pid FROM pg_catalog.pg_stat_activity
              WHERE application_name = $1::pg_catalog.text AND pid <> pg_catalog.pg_backend_pid()",
            &[&application],
        )
        .await
        .map_err(failed)?;
    for row in &sessions {
        let pid: i32 = row.try_get(0).map_err(failed)?;
        // Any session may have this name. One that may not be ended is not Sennight's.
        if let Err(error) = admin.execute("SELECT pg_catalog.pg_terminate_backend($1)", &[&pid]).await {
            tracing::debug!(%error, pid, "session with the swap's name not ended");
        }
    }
    Ok(())
}

/// What one look at the catalog found.
enum DatabasesState {
    /// The swap has ended.
    Ended(SwapOutcome),
    /// The old database serves, and this one could still be swapped in.
    StillPossible(Database),
}

/// Reads the state in one snapshot: between two a swap could commit.
async fn read_state(admin: &Session, task: &CutoverTask) -> Result<DatabasesState, EngineError> {
    let failed = |e| EngineError::query("looking what became of the swap", e);
    admin.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await.map_err(failed)?;
    let state = swap_state(admin, task).await?;
    let live = catalog::by_name(admin, &task.database.database).await?;
    let new = catalog::by_oid(admin, task.new_number.0).await?;
    admin.batch_execute("COMMIT").await.map_err(failed)?;
    let serves = live.is_some_and(|d| d.oid == task.live_number.0);
    Ok(match (state, new) {
        (SwapState::After, _) => DatabasesState::Ended(SwapOutcome::Forward),
        (SwapState::Before, Some(new)) => DatabasesState::StillPossible(new),
        (SwapState::Neither(_), new) if serves && new.as_ref().is_none_or(|d| is_unusable(d, task)) => {
            DatabasesState::Ended(SwapOutcome::Back)
        }
        (SwapState::Before, None) => {
            DatabasesState::Ended(SwapOutcome::Neither("the prepared database vanished".to_owned()))
        }
        (SwapState::Neither(found), _) => DatabasesState::Ended(SwapOutcome::Neither(found)),
    })
}

/// Whether an earlier `recover-cutover` of this request has made the new database unusable for it.
fn is_unusable(database: &Database, task: &CutoverTask) -> bool {
    match task.undo_of {
        None => database.comment == Some(drop_marker(&task.request_uid)),
        Some(_) => undo_is_barred(database, &task.request_uid),
    }
}

/// Bars this Undo from swapping the previous database in. Another Undo may still use it, so it keeps name, rows and mark, and
/// only its comment names this Undo. COMMENT and RENAME wait for each other's locks.
async fn bar_undo(admin: &Session, task: &CutoverTask, previous: &Database) -> Result<(), RestoreError> {
    let failed = |e| EngineError::query(format!("ending the Undo that would swap {:?} in", previous.name), e);
    let text = barred_comment(previous.comment.as_deref().unwrap_or_default(), &task.request_uid);
    admin
        .batch_execute(&format!("BEGIN; SET LOCAL lock_timeout = '10s'; {}", comment(&previous.name, Some(&text))))
        .await
        .map_err(failed)?;
    // A swap that had the locks first has renamed it: then the comment stands on no database, or on another one.
    let now = catalog::by_oid(admin, previous.oid).await?;
    let ours = now.is_some_and(|d| d.name == previous.name && undo_is_barred(&d, &task.request_uid));
    admin.batch_execute(if ours { "COMMIT" } else { "ROLLBACK" }).await.map_err(failed)?;
    if ours {
        return Ok(());
    }
    Err(RestoreError::DatabasesChanged {
        found: format!("{:?} is not the database with OID {}", previous.name, previous.oid),
    })
}
