//! The swap, and how it is ended. Before the RENAME no tenant's table has moved: the swap can be taken back. After it the swap is
//! finished. The marks on the server say which, so another process can end a swap.

use super::accounts::{self, AffectedAccounts};
use super::failure::RestoreError;
use super::journal::Journal;
use super::lockout::{self, SessionFilter};
use super::marks::{Mark, Role};
use super::rename::{RenamePlan, statement};
use super::schemas::{Schema, drop_schema, source_mark, swap_state};
use super::stored_code::{self, Events};
use crate::mysql::{EngineError, Session, ident, literal};
use crate::restore::SwapState;
use chrono::{DateTime, NaiveDateTime, Utc};
use sennight_protocol::cutover::CutoverTask;
use std::time::{Duration, Instant};

/// Attempts to rename before the swap fails.
const ATTEMPTS: u32 = 5;
/// Longest wait of one attempt for the tables' locks: accounts that are not locked out wait behind it.
const LOCK_WAIT: &str = "SET SESSION lock_wait_timeout = 5";
/// Value of the row in the previous schema's mark that says: the live schema is complete.
const DONE: &str = "live is done";

/// A RENAME that took effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renamed {
    /// How long the statement took: accounts that are not locked out waited so long.
    pub locked: Duration,
    /// Time of the RENAME, by the server's clock.
    pub at: DateTime<Utc>,
}

/// How a swap that was begun came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SwapEnd {
    /// The restored schema is live and complete.
    Forward,
    /// The old schema is live, as before the swap.
    Back,
}

/// Reads all that the swap needs to be finished or taken back. Changes nothing.
pub async fn make_journal(session: &mut Session, task: &CutoverTask) -> Result<Journal, RestoreError> {
    let live = &task.database.database;
    if let Some(previous) = Schema::find(session, &task.previous_database).await?.filter(|s| !s.is_empty()) {
        let wanted = Mark::new(Role::Previous, &task.request_uid, task.live_number.0).table();
        tracing::warn!(tables = previous.tables.len(), "name of the previous database in use");
        return Err(RestoreError::NameTaken { name: task.previous_database.clone(), wanted });
    }
    let affected: AffectedAccounts = accounts::schema_access(session, live).await?.affected();
    let states = events_to_enable(session, task).await?;
    let source = stored_code::read(session, &task.new_database, &states).await?;
    if let Some(view) = stored_code::names_schema(&source, &task.new_database) {
        let (view, database) = (view.to_owned(), task.new_database.clone());
        return Err(RestoreError::ViewNamesDatabase { view, database });
    }
    let objects = stored_code::read(session, live, &[]).await?;
    Ok(Journal {
        request_uid: task.request_uid.clone(),
        accounts: affected.to_lock,
        live: objects,
        source,
        routine_grants: accounts::routine_grants(session, live).await?,
    })
}

/// Events of the new schema that are to be switched on.
async fn events_to_enable(session: &mut Session, task: &CutoverTask) -> Result<Vec<(String, String)>, RestoreError> {
    let schema = Schema::find(session, &task.new_database).await?.unwrap_or_default();
    let Some(mark) = source_mark(&schema, task) else {
        let found = format!("{:?} carries no mark of this request", task.new_database);
        return Err(RestoreError::DatabasesChanged { found });
    };
    Ok(read_mark(session, &task.new_database, mark).await?)
}

/// Reads the rows of a schema's mark: events that were on, with their state.
pub async fn read_mark(session: &mut Session, schema: &str, mark: &Mark) -> Result<Vec<(String, String)>, EngineError> {
    let query =
        format!("SELECT name, value FROM {}.{} WHERE name <> '' ORDER BY id", ident(schema), ident(&mark.table()));
    session.rows(&query, "reading what the mark remembers").await
}

/// Writes rows into a schema's mark.
pub async fn write_mark(
    session: &mut Session,
    schema: &str,
    mark: &Mark,
    rows: &[(String, String)],
) -> Result<(), EngineError> {
    for (name, value) in rows {
        let statement = format!(
            "INSERT INTO {}.{} (name, value) VALUES ({}, {})",
            ident(schema),
            ident(&mark.table()),
            literal(name),
            literal(value)
        );
        session.run(&statement, "writing what the mark remembers").await?;
    }
    Ok(())
}

fn ticket(task: &CutoverTask) -> Mark {
    Mark::new(Role::Ticket, &task.request_uid, task.live_number.0)
}

/// Locks accounts out and renames, once. The journal is in the bucket before this is called. After an error, only [`recover`]
/// can tell what the server did.
pub async fn lock_out_and_rename(
    session: &mut Session,
    task: &CutoverTask,
    journal: &Journal,
) -> Result<Renamed, RestoreError> {
    let live = task.database.database.as_str();
    let ticket = ticket(task);
    session.run(LOCK_WAIT, "preparing the session").await?;
    // Does not touch the live schema, so it comes before the lockout. The ticket makes `take_back` undo everything.
    prepare_previous(session, task, journal, &ticket).await?;
    lockout::lock(session, &journal.accounts).await?;
    stored_code::events_off(session, live, &journal.live).await?;
    let whom = session_filter(session, task).await?;
    lockout::terminate_sessions(session, &whom).await?;
    let mut failure = None;
    for attempt in 1..=ATTEMPTS {
        match rename_tables(session, task, &ticket).await {
            Ok(renamed) => return Ok(renamed),
            Err(error @ EngineError::LockTimeout { .. }) => {
                tracing::info!(attempt, %error, "rename attempt failed: tables are locked");
                failure = Some(error);
                lockout::terminate_sessions(session, &whom).await?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    let who = failure.map_or_else(String::new, |error| error.to_string());
    Err(RestoreError::SessionsStay { who })
}

async fn prepare_previous(
    session: &mut Session,
    task: &CutoverTask,
    journal: &Journal,
    ticket: &Mark,
) -> Result<(), RestoreError> {
    let source = &task.new_database;
    session.run(&ticket.create(source, &task.request_uid), "writing the ticket of the swap").await?;
    write_mark(session, source, ticket, &stored_code::states(&journal.live)).await?;
    let like = Schema::find(session, &task.database.database).await?.unwrap_or_default();
    let create = format!(
        "CREATE DATABASE IF NOT EXISTS {} CHARACTER SET {} COLLATE {}",
        ident(&task.previous_database),
        like.charset,
        like.collation
    );
    Ok(session.run(&create, "making room for the old database").await?)
}

async fn session_filter(session: &mut Session, task: &CutoverTask) -> Result<SessionFilter, EngineError> {
    let known = accounts::schema_access(session, &task.database.database).await?;
    Ok(SessionFilter::of(&known.affected(), &known.own, &[&task.database.database, &task.new_database]))
}

/// One attempt. Dropping a trigger waits for its table like the RENAME does.
async fn rename_tables(session: &mut Session, task: &CutoverTask, ticket: &Mark) -> Result<Renamed, EngineError> {
    let plan =
        RenamePlan { live: &task.database.database, source: &task.new_database, previous: &task.previous_database };
    for schema in [plan.live, plan.source] {
        stored_code::drop_triggers(session, schema).await?;
    }
    let live = Schema::find(session, plan.live).await?.unwrap_or_default();
    let source = Schema::find(session, plan.source).await?.unwrap_or_default();
    let statement = statement(&plan, &live.tables, &source.tables, ticket);
    let since = Instant::now();
    session.run(&statement, "renaming the tables of both databases").await?;
    let locked = since.elapsed();
    tracing::info!(tables = live.tables.len() + source.tables.len(), ?locked, "tables of both databases renamed");
    Ok(Renamed { locked, at: clock(session).await })
}

/// The server's clock, or this process's if the server does not answer any more.
async fn clock(session: &mut Session) -> DateTime<Utc> {
    let now = session.row::<(String,)>("SELECT CAST(UTC_TIMESTAMP(6) AS CHAR)", "reading the server's clock").await;
    let parsed = now.ok().and_then(|(text,)| NaiveDateTime::parse_from_str(&text, "%Y-%m-%d %H:%M:%S%.f").ok());
    parsed.map_or_else(Utc::now, |time| time.and_utc())
}

/// Ends a swap that was begun, by what the server says: finished forward where the RENAME took effect, taken back where
/// it did not. The caller holds the lock of the database: nobody else renames. May be repeated.
pub async fn recover(
    session: &mut Session,
    task: &CutoverTask,
    journal: Option<&Journal>,
) -> Result<SwapEnd, RestoreError> {
    session.run(LOCK_WAIT, "preparing the session").await?;
    match (swap_state(session, task).await?, journal) {
        (SwapState::After, Some(journal)) => finish_forward(session, task, journal).await.map(|()| SwapEnd::Forward),
        (SwapState::After, None) => Ok(SwapEnd::Forward),
        (SwapState::Before, Some(journal)) => take_back(session, task, journal).await.map(|()| SwapEnd::Back),
        (SwapState::Before, None) => Ok(SwapEnd::Back),
        (SwapState::Neither(found), _) => Err(RestoreError::DatabasesChanged { found }),
    }
}

/// Finishes a swap after its RENAME: creates the code, unlocks the accounts, removes what is left. May be repeated.
pub async fn finish_forward(session: &mut Session, task: &CutoverTask, journal: &Journal) -> Result<(), RestoreError> {
    let (live, previous) = (&task.database.database, &task.previous_database);
    let mark = Mark::new(Role::Previous, &task.request_uid, task.live_number.0);
    if !is_done(session, previous, &mark).await? {
        stored_code::own_defaults(session, live, &task.new_database).await?;
        stored_code::drop_events(session, live, &journal.live).await?;
        stored_code::make_like(session, live, &journal.source, Events::AsTheyWere).await?;
        for grant in &journal.routine_grants {
            // The backup may not have the routine, or the account is gone.
            if let Err(error) = session.run(grant, "giving rights on routines again").await {
                tracing::warn!(%error, "right on a routine not granted again");
            }
        }
        // From here on the tenant may change the code: a repeated attempt must not overwrite it.
        let done =
            format!("INSERT INTO {}.{} (name, value) VALUES ('', '{DONE}')", ident(previous), ident(&mark.table()));
        session.run(&done, "writing that the live database is whole").await?;
    }
    lockout::unlock(session, &journal.accounts).await?;
    stored_code::own_defaults(session, previous, live).await?;
    stored_code::make_like(session, previous, &journal.live, Events::Off).await?;
    let old = Schema::find(session, previous).await?.unwrap_or_default();
    for stale in old.marks.iter().filter(|m| m.role == Role::Previous && **m != mark) {
        let drop = format!("DROP TABLE IF EXISTS {}.{}", ident(previous), ident(&stale.table()));
        session.run(&drop, "removing the mark of the request that was undone").await?;
    }
    if let Some(empty) = Schema::find(session, &task.new_database).await? {
        if empty.tables.is_empty() {
            drop_schema(session, &task.new_database, &empty, None).await?;
        } else {
            tracing::warn!(
                database = task.new_database,
                tables = empty.tables.len(),
                "new schema not dropped: it is not empty"
            );
        }
    }
    Ok(())
}

async fn is_done(session: &mut Session, previous: &str, mark: &Mark) -> Result<bool, EngineError> {
    let query = format!(
        "SELECT COUNT(*) FROM {}.{} WHERE name = '' AND value = '{DONE}'",
        ident(previous),
        ident(&mark.table())
    );
    let (count,): (i64,) = session.row(&query, "looking how far the swap came").await?;
    Ok(count > 0)
}

/// Takes a swap back before its RENAME. Without the ticket nothing was changed, or everything was taken back already.
async fn take_back(session: &mut Session, task: &CutoverTask, journal: &Journal) -> Result<(), RestoreError> {
    let source = Schema::find(session, &task.new_database).await?.unwrap_or_default();
    let ticket = ticket(task);
    if source.marks.contains(&ticket) {
        stored_code::make_like(session, &task.database.database, &journal.live, Events::AsTheyWere).await?;
        stored_code::make_like(session, &task.new_database, &journal.source, Events::Off).await?;
        if let Some(previous) = Schema::find(session, &task.previous_database).await?.filter(Schema::is_empty) {
            drop_schema(session, &task.previous_database, &previous, None).await?;
        }
        let drop = format!("DROP TABLE IF EXISTS {}.{}", ident(&task.new_database), ident(&ticket.table()));
        session.run(&drop, "taking the ticket of the swap back").await?;
    }
    Ok(lockout::unlock(session, &journal.accounts).await?)
}
