//! The end of a swap whose process is gone. PostgreSQL has ended its transaction one way or the other, and the catalog says
//! which. Where it says "not swapped", what was to be swapped in is made unusable first, by mark and OID: nobody, however late,
//! swaps after that word was given (I2).

use super::catalog::{self, Database};
use super::connect::Session;
use super::create::{barred_comment, undo_is_barred};
use super::database_properties::comment;
use super::drop_database::{drop_marker, mark_for_drop};
use super::error::EngineError;
use super::failure::RestoreError;
use super::swap::{SwapState, swap_state};
use sennight_core::names::database_to_drop;
use sennight_protocol::cutover::CutoverTask;

/// What the server says of a swap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SwapOutcome {
    /// It took effect.
    Forward,
    /// It did not, and never will.
    Back,
    /// Somebody else did something to the databases, in words.
    Neither(String),
}

/// Asks, and makes the answer final. `application`: whose sessions are those of the swap's process. May be repeated.
pub async fn recover(admin: &Session, task: &CutoverTask, application: &str) -> Result<SwapOutcome, RestoreError> {
    end_sessions(admin, application).await?;
    let new = match look(admin, task).await? {
        Seen::Settled(settled) => return Ok(settled),
        Seen::Before(new) => new,
    };
    // A swap that is still open holds locks on both databases: this waits for them, and the swap for these.
    if task.undo_of.is_some() {
        refuse(admin, task, &new).await?;
    } else {
        let grave = database_to_drop(&task.database.database, &task.request_uid);
        mark_for_drop(admin, &new, &grave, &task.request_uid).await?;
    }
    match look(admin, task).await? {
        Seen::Settled(settled) => Ok(settled),
        Seen::Before(new) => {
            let found = format!("{:?} can still be swapped in", new.name);
            Err(RestoreError::DatabasesChanged { found })
        }
    }
}

/// The process may not be dead: a session of its that is left may commit.
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
        // Anybody may call themselves so; one that may not be ended is none of ours.
        if let Err(error) = admin.execute("SELECT pg_catalog.pg_terminate_backend($1)", &[&pid]).await {
            tracing::debug!(%error, pid, "a session of the swap's name stays");
        }
    }
    Ok(())
}

enum Seen {
    Settled(SwapOutcome),
    /// The old one serves, and this one could still be swapped in.
    Before(Database),
}

/// In one snapshot: between two a swap could commit.
async fn look(admin: &Session, task: &CutoverTask) -> Result<Seen, EngineError> {
    let failed = |e| EngineError::query("looking what became of the swap", e);
    admin.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await.map_err(failed)?;
    let stands = swap_state(admin, task).await?;
    let live = catalog::by_name(admin, &task.database.database).await?;
    let new = catalog::by_oid(admin, task.new_oid).await?;
    admin.batch_execute("COMMIT").await.map_err(failed)?;
    let serves = live.is_some_and(|d| d.oid == task.live_oid);
    Ok(match (stands, new) {
        (SwapState::After, _) => Seen::Settled(SwapOutcome::Forward),
        (SwapState::Before, Some(new)) => Seen::Before(new),
        (SwapState::Neither(_), new) if serves && new.as_ref().is_none_or(|d| is_spent(d, task)) => {
            Seen::Settled(SwapOutcome::Back)
        }
        (SwapState::Before, None) => Seen::Settled(SwapOutcome::Neither("the prepared database vanished".to_owned())),
        (SwapState::Neither(found), _) => Seen::Settled(SwapOutcome::Neither(found)),
    })
}

/// An earlier `recover-cutover` of this request made it so.
fn is_spent(database: &Database, task: &CutoverTask) -> bool {
    match task.undo_of {
        None => database.comment == Some(drop_marker(&task.request_uid)),
        Some(_) => undo_is_barred(database, &task.request_uid),
    }
}

/// The database that an Undo would have swapped in is the way back: it keeps name, rows and mark, and gets a word that this one
/// Undo never swaps it in. COMMENT waits for the locks of a RENAME, and a RENAME for those of a COMMENT.
async fn refuse(admin: &Session, task: &CutoverTask, kept: &Database) -> Result<(), RestoreError> {
    let failed = |e| EngineError::query(format!("ending the Undo that would swap {:?} in", kept.name), e);
    let text = barred_comment(kept.comment.as_deref().unwrap_or_default(), &task.request_uid);
    admin
        .batch_execute(&format!("BEGIN; SET LOCAL lock_timeout = '10s'; {}", comment(&kept.name, Some(&text))))
        .await
        .map_err(failed)?;
    // A swap that had the locks first has renamed it: then the word stands on nothing, or on another one.
    let now = catalog::by_oid(admin, kept.oid).await?;
    let ours = now.is_some_and(|d| d.name == kept.name && undo_is_barred(&d, &task.request_uid));
    admin.batch_execute(if ours { "COMMIT" } else { "ROLLBACK" }).await.map_err(failed)?;
    if ours {
        return Ok(());
    }
    Err(RestoreError::DatabasesChanged { found: format!("{:?} is not the database with OID {}", kept.name, kept.oid) })
}
