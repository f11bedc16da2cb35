//! The swap: one transaction renames both databases, while a second connection ends the sessions on them. If this process or
//! the server crashes, the live name serves either the old database or the restored one (I3). The transaction commits only
//! for the databases that were prepared, by OID and mark (I2).

use super::catalog;
use super::connect::{Session, connect};
use super::create::{is_ours, is_previous, previous_marker, undo_is_barred};
use super::database_properties::{self, Access};
use super::error::EngineError;
use super::failure::RestoreError;
use super::ident;
use super::preflight::superuser_sessions;
use super::terminate_sessions::SessionTerminator;
use crate::restore::{SwapState, Swapped};
use chrono::{DateTime, Utc};
use sennight_protocol::cutover::CutoverTask;
use std::time::{Duration, Instant};
use tokio_postgres::error::SqlState;

/// Attempts before the swap fails. Each delays logins by at most five seconds, which is the server's own limit.
const ATTEMPTS: u32 = 5;
/// Pause between attempts, in which the tenant can work.
const PAUSE: Duration = Duration::from_secs(2);
/// Pause for sessions that only their owners or a superuser can end.
const GRACE: Duration = Duration::from_secs(5);

/// Finds out which database the live name stands for, by OID and mark.
pub async fn swap_state(admin: &Session, task: &CutoverTask) -> Result<SwapState, EngineError> {
    let live = catalog::by_name(admin, &task.database.database).await?;
    let old = catalog::by_oid(admin, task.live_number.0).await?;
    let new = catalog::by_oid(admin, task.new_number.0).await?;
    let name = |found: &Option<catalog::Database>| found.as_ref().map(|d| d.name.clone());
    // A swap that somebody made by hand has no mark: it is not this request's.
    let marked = old.as_ref().is_none_or(|d| is_previous(d, &task.request_uid));
    if live.as_ref().is_some_and(|d| d.oid == task.new_number.0) && marked {
        return Ok(SwapState::After);
    }
    let prepared = new.as_ref().is_some_and(|d| d.name == task.new_database && is_ready(d, task));
    if live.as_ref().is_some_and(|d| d.oid == task.live_number.0) && prepared {
        return Ok(SwapState::Before);
    }
    Ok(SwapState::Neither(format!(
        "{:?} has OID {:?}, not {}; the database with that OID is called {:?}, the one with {} {:?}",
        task.database.database,
        live.map(|d| d.oid),
        task.live_number.0,
        name(&old),
        task.new_number.0,
        name(&new),
    )))
}

/// Whether this is the database that `prepare` made for the request, or (for an Undo) the previous database of the undone
/// request. After a `recover-cutover` that reported "not swapped" it is neither.
pub fn is_ready(database: &catalog::Database, task: &CutoverTask) -> bool {
    match &task.undo_of {
        None => is_ours(database, &task.request_uid),
        Some(undone) => is_previous(database, undone) && !undo_is_barred(database, &task.request_uid),
    }
}

/// Sessions on the live database that this role may not end; none if it is a superuser.
async fn protected_sessions(admin: &Session, task: &CutoverTask) -> Result<Vec<String>, EngineError> {
    if is_superuser(admin).await? {
        return Ok(Vec::new());
    }
    superuser_sessions(admin, &task.database.database).await
}

/// Swaps, once. If the swap has taken effect before, it only reports that. If the answer to COMMIT never comes, the server is
/// asked for up to `patience` for its outcome. Not to be cancelled: dropped before COMMIT it leaves the old state, dropped
/// during COMMIT nobody learns the outcome.
pub async fn swap(task: &CutoverTask, application_name: &str, patience: Duration) -> Result<Swapped, RestoreError> {
    let mut who = String::new();
    for attempt in 1..=ATTEMPTS {
        let mut admin = connect(&task.database, &task.database.maintenance_database, application_name).await?;
        match swap_state(&admin, task).await? {
            SwapState::Before => {}
            SwapState::After => return Ok(Swapped::found()),
            SwapState::Neither(found) => return Err(RestoreError::DatabasesChanged { found }),
        }
        // An attempt would delay the tenant's logins by five seconds, and fail.
        let protected = protected_sessions(&admin, task).await?;
        if !protected.is_empty() {
            tracing::info!(attempt, sessions = protected.join("; "), "swap waits for sessions that may not be ended");
            who = protected.join("; ");
            admin.close().await;
            tokio::time::sleep(GRACE).await;
            continue;
        }
        let terminator = SessionTerminator::start(task, application_name).await?;
        let attempted = transaction(&mut admin, task).await;
        who = terminator.stop().await;
        match attempted {
            Ok(Attempt::Committed(swapped)) => {
                admin.close().await;
                return Ok(swapped);
            }
            Ok(Attempt::Unanswered { since, why }) => {
                return ask_after_lost_commit(task, &admin, since, why, application_name, patience).await;
            }
            Ok(Attempt::Occupied) => {
                tracing::info!(attempt, who, "swap attempt failed: sessions remain");
                admin.close().await;
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) => return Err(error),
        }
    }
    Err(RestoreError::SessionsStay { who })
}

/// What one transaction came to.
enum Attempt {
    Committed(Swapped),
    /// COMMIT was sent, no answer came.
    Unanswered {
        since: Instant,
        why: String,
    },
    /// Sessions remained; nothing was changed.
    Occupied,
}

async fn transaction(admin: &mut Session, task: &CutoverTask) -> Result<Attempt, RestoreError> {
    let doing = |what: &str| format!("swapping {:?}: {what}", task.database.database);
    let live = &task.database.database;
    admin
        .batch_execute("BEGIN; SET LOCAL lock_timeout = '10s'")
        .await
        .map_err(|e| EngineError::query(doing("BEGIN"), e))?;
    let since = Instant::now();
    let renames = [(live.as_str(), task.previous_database.as_str()), (&task.new_database, live)];
    for (from, to) in renames {
        let rename = format!("ALTER DATABASE {} RENAME TO {}", ident(from), ident(to));
        match admin.batch_execute(&rename).await {
            Ok(()) => {}
            Err(e) if is_busy(&e) => return Ok(Attempt::Occupied),
            Err(e) if e.code() == Some(&SqlState::DUPLICATE_DATABASE) => {
                return Err(RestoreError::NameTaken {
                    name: to.to_owned(),
                    marker: previous_marker(&task.request_uid),
                });
            }
            Err(e) => return Err(EngineError::query(doing("renaming"), e).into()),
        }
    }
    // Both locks are held: nobody else can rename either database before the COMMIT.
    check_renamed(admin, task).await?;
    // All statements in one message, because the tenant waits meanwhile.
    let statements = properties(admin, task).await?.join(";\n");
    admin.batch_execute(&statements).await.map_err(|e| EngineError::query(doing("carrying the properties over"), e))?;
    let row = admin
        .query_one("SELECT (extract(epoch FROM pg_catalog.clock_timestamp()) * 1000000)::bigint", &[])
        .await
        .map_err(|e| EngineError::query(doing("asking the time"), e))?;
    match admin.batch_execute("COMMIT").await {
        Ok(()) => Ok(Attempt::Committed(Swapped {
            downtime: Some(since.elapsed()),
            committed_at: DateTime::from_timestamp_micros(row.get(0)).unwrap_or_else(Utc::now),
        })),
        Err(e) if e.code().is_some() && !e.is_closed() && !ended_by_server(&e) => {
            Err(EngineError::query(doing("COMMIT"), e).into())
        }
        Err(e) => Ok(Attempt::Unanswered { since, why: super::error::words(&e) }),
    }
}

/// The error is about sessions or a lock: another attempt may succeed.
fn is_busy(error: &tokio_postgres::Error) -> bool {
    error.code().is_some_and(|code| *code == SqlState::OBJECT_IN_USE || *code == SqlState::LOCK_NOT_AVAILABLE)
}

/// The server ended the session, so this error is no answer to the statement.
fn ended_by_server(error: &tokio_postgres::Error) -> bool {
    error.code().is_some_and(|code| code.code().starts_with("57P") || code.code().starts_with("08"))
}

/// Fails unless the names stand for the prepared databases, and the new one still carries this request's mark.
async fn check_renamed(admin: &Session, task: &CutoverTask) -> Result<(), RestoreError> {
    let live = catalog::by_name(admin, &task.database.database).await?;
    let previous = catalog::by_name(admin, &task.previous_database).await?;
    // `recover-cutover`, which takes this process for dead, changes the mark under the locks that are held here.
    // guard(servers::i2_an_undo_that_was_taken_back_never_swaps_and_leaves_the_way_back_open, always): what recover-cutover reported as not swapped is never swapped
    let ready = live.as_ref().is_some_and(|d| is_ready(d, task));
    let (live, previous) = (live.map(|d| d.oid), previous.map(|d| d.oid));
    if live == Some(task.new_number.0) && previous == Some(task.live_number.0) {
        let found =
            format!("the database with OID {} does not carry the mark of this request any more", task.new_number.0);
        return if ready { Ok(()) } else { Err(RestoreError::DatabasesChanged { found }) };
    }
    Err(RestoreError::DatabasesChanged {
        found: format!(
            "after the renames the live name would have OID {live:?} and the previous one {previous:?}, not {} and {}",
            task.new_number.0, task.live_number.0
        ),
    })
}

/// Statements that copy the live database's properties to the restored one, and mark and close the previous one.
async fn properties(admin: &Session, task: &CutoverTask) -> Result<Vec<String>, EngineError> {
    let had = database_properties::read(admin, task.live_number.0).await?;
    let has = database_properties::read(admin, task.new_number.0).await?;
    let mut statements = had.statements_for(&task.database.database, &has, Access::Open, is_superuser(admin).await?);
    statements.push(database_properties::comment(&task.previous_database, Some(&previous_marker(&task.request_uid))));
    statements.extend(had.close_statements(&task.previous_database));
    Ok(statements)
}

/// Whether the session's role is a superuser.
pub async fn is_superuser(session: &Session) -> Result<bool, EngineError> {
    let failed = |e| EngineError::query("asking for the role's rights", e);
    let row = session
        .query_one("SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user", &[])
        .await
        .map_err(failed)?;
    row.try_get(0).map_err(failed)
}

/// The connection broke at COMMIT. The catalog has the outcome as soon as the server's side of the session has ended.
async fn ask_after_lost_commit(
    task: &CutoverTask,
    broken: &Session,
    since: Instant,
    mut why: String,
    application_name: &str,
    patience: Duration,
) -> Result<Swapped, RestoreError> {
    let deadline = Instant::now() + patience;
    while Instant::now() < deadline {
        match state_once_ended(task, broken.backend_pid(), application_name).await {
            Ok(Some(SwapState::After)) => {
                return Ok(Swapped { downtime: Some(since.elapsed()), committed_at: Utc::now() });
            }
            Ok(Some(SwapState::Before)) => {
                return Err(EngineError::ConnectionLost {
                    doing: "committing the swap, which was not carried out".to_owned(),
                    why,
                }
                .into());
            }
            Ok(Some(SwapState::Neither(found))) => return Err(RestoreError::DatabasesChanged { found }),
            Ok(None) => "the swap's own session is still there".clone_into(&mut why),
            Err(error) => why = error.to_string(),
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    Err(RestoreError::Unsettled { why, before: task.live_number.0, after: task.new_number.0 })
}

/// `None` while the backend of the broken connection lives: it may still commit, so it is ended first.
async fn state_once_ended(
    task: &CutoverTask,
    backend_pid: i32,
    application_name: &str,
) -> Result<Option<SwapState>, EngineError> {
    let admin = connect(&task.database, &task.database.maintenance_database, application_name).await?;
    let alive = admin
        .query(
            "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity
              WHERE pid = $1 AND pid <> pg_catalog.pg_backend_pid() AND application_name = $2::pg_catalog.text",
            &[&backend_pid, &application_name],
        )
        .await
        .map_err(|e| EngineError::query("looking for the swap's session", e))?;
    if !alive.is_empty() {
        return Ok(None);
    }
    swap_state(&admin, task).await.map(Some)
}
