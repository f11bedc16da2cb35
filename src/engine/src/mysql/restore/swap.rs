//! The swap and its two ends. Before the RENAME nothing of the tenant's has changed place; after it the rest is made to fit. Which
//! of the two it is, the server's marks say, to whoever asks: so a swap that was begun by one process can be ended by another.

use super::accounts::{self, AffectedAccounts};
use super::failure::RestoreError;
use super::journal::Journal;
use super::lockout::{self, SessionFilter};
use super::marks::{Mark, Role};
use super::rename::{RenamePlan, statement};
use super::schemas::{Schema, SwapState, drop_schema, source_mark, swap_state};
use super::stored_code::{self, Events};
use crate::mysql::{EngineError, Session, ident, literal};
use chrono::{DateTime, NaiveDateTime, Utc};
use sennight_protocol::cutover::CutoverTask;
use std::time::{Duration, Instant};

/// Tries before the sessions are said to stay.
const ATTEMPTS: u32 = 5;
/// Longest wait of one try for the tables' locks: whoever is outside the fence waits behind it.
const LOCK_WAIT: &str = "SET SESSION lock_wait_timeout = 5";
/// Says that the live schema has all that it should.
const DONE: &str = "live is done";

/// A RENAME that took effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renamed {
    /// How long the statement took: whoever is outside the fence waited so long.
    pub locked: Duration,
    /// When, by the server's clock.
    pub at: DateTime<Utc>,
}

/// How a swap ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SwapOutcome {
    /// The restored schema serves, whole.
    Forward,
    /// The old one serves, as if nothing had been.
    Back,
}

/// Reads all that the swap and both of its ends need. Changes nothing.
pub async fn make_journal(session: &mut Session, task: &CutoverTask) -> Result<Journal, RestoreError> {
    let live = &task.database.database;
    if let Some(kept) = Schema::find(session, &task.previous_database).await?.filter(|s| !s.is_empty()) {
        let wanted = Mark::new(Role::Previous, &task.request_uid, task.live_oid).table();
        tracing::warn!(tables = kept.tables.len(), "the name for the old database is taken");
        return Err(RestoreError::NameTaken { name: task.previous_database.clone(), wanted });
    }
    let reach: AffectedAccounts = accounts::schema_access(session, live).await?.affected();
    let states = events_to_enable(session, task).await?;
    let source = stored_code::read(session, &task.new_database, &states).await?;
    if let Some(view) = stored_code::names_schema(&source, &task.new_database) {
        let (view, database) = (view.to_owned(), task.new_database.clone());
        return Err(RestoreError::ViewNamesDatabase { view, database });
    }
    let objects = stored_code::read(session, live, &[]).await?;
    Ok(Journal {
        request_uid: task.request_uid.clone(),
        accounts: reach.to_lock,
        live: objects,
        source,
        routine_grants: accounts::routine_grants(session, live).await?,
    })
}

/// Which events of the waiting schema are to be switched on.
async fn events_to_enable(session: &mut Session, task: &CutoverTask) -> Result<Vec<(String, String)>, RestoreError> {
    let schema = Schema::find(session, &task.new_database).await?.unwrap_or_default();
    let Some(mark) = source_mark(&schema, task) else {
        let found = format!("{:?} carries no mark of this request", task.new_database);
        return Err(RestoreError::DatabasesChanged { found });
    };
    Ok(read_mark(session, &task.new_database, mark).await?)
}

/// What a schema's mark remembers: events that were on.
pub async fn read_mark(session: &mut Session, schema: &str, mark: &Mark) -> Result<Vec<(String, String)>, EngineError> {
    let query =
        format!("SELECT name, value FROM {}.{} WHERE name <> '' ORDER BY id", ident(schema), ident(&mark.table()));
    session.rows(&query, "reading what the mark remembers").await
}

/// Writes it.
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
    Mark::new(Role::Ticket, &task.request_uid, task.live_oid)
}

/// Fences and renames, once. The journal is in the bucket before this is called. An error says nothing of what the server did:
/// [`settle`] asks it.
pub async fn lock_out_and_rename(
    session: &mut Session,
    task: &CutoverTask,
    journal: &Journal,
) -> Result<Renamed, RestoreError> {
    let live = task.database.database.as_str();
    let ticket = ticket(task);
    session.run(LOCK_WAIT, "preparing the session").await?;
    // Beside the live schema, so before anybody has to wait. With the ticket there, the way back is walked whole.
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
                tracing::info!(attempt, %error, "somebody holds the tables");
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

/// One try. Dropping a trigger waits for its table as the RENAME does.
async fn rename_tables(session: &mut Session, task: &CutoverTask, ticket: &Mark) -> Result<Renamed, EngineError> {
    let places =
        RenamePlan { live: &task.database.database, source: &task.new_database, previous: &task.previous_database };
    for schema in [places.live, places.source] {
        stored_code::drop_triggers(session, schema).await?;
    }
    let live = Schema::find(session, places.live).await?.unwrap_or_default();
    let source = Schema::find(session, places.source).await?.unwrap_or_default();
    let statement = statement(&places, &live.tables, &source.tables, ticket);
    let since = Instant::now();
    session.run(&statement, "renaming the tables of both databases").await?;
    let locked = since.elapsed();
    tracing::info!(tables = live.tables.len() + source.tables.len(), ?locked, "renamed");
    Ok(Renamed { locked, at: clock(session).await })
}

/// The server's clock, or ours where it does not answer any more.
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
) -> Result<SwapOutcome, RestoreError> {
    session.run(LOCK_WAIT, "preparing the session").await?;
    match (swap_state(session, task).await?, journal) {
        (SwapState::After, Some(journal)) => {
            finish_forward(session, task, journal).await.map(|()| SwapOutcome::Forward)
        }
        (SwapState::After, None) => Ok(SwapOutcome::Forward),
        (SwapState::Before, Some(journal)) => take_back(session, task, journal).await.map(|()| SwapOutcome::Back),
        (SwapState::Before, None) => Ok(SwapOutcome::Back),
        (SwapState::Neither(found), _) => Err(RestoreError::DatabasesChanged { found }),
    }
}

/// From the RENAME on.
pub async fn finish_forward(session: &mut Session, task: &CutoverTask, journal: &Journal) -> Result<(), RestoreError> {
    let (live, kept) = (&task.database.database, &task.previous_database);
    let mark = Mark::new(Role::Previous, &task.request_uid, task.live_oid);
    if !is_done(session, kept, &mark).await? {
        stored_code::own_defaults(session, live, &task.new_database).await?;
        stored_code::drop_events(session, live, &journal.live).await?;
        stored_code::make_like(session, live, &journal.source, Events::AsTheyWere).await?;
        for grant in &journal.routine_grants {
            // Of a routine that day did not have, or to an account that is gone.
            if let Err(error) = session.run(grant, "giving rights on routines again").await {
                tracing::warn!(%error, "a right on a routine does not come back");
            }
        }
        // From here on the tenant may change it: nobody makes it like that day's again.
        let done = format!("INSERT INTO {}.{} (name, value) VALUES ('', '{DONE}')", ident(kept), ident(&mark.table()));
        session.run(&done, "writing that the live database is whole").await?;
    }
    lockout::unlock(session, &journal.accounts).await?;
    stored_code::own_defaults(session, kept, live).await?;
    stored_code::make_like(session, kept, &journal.live, Events::Off).await?;
    let old = Schema::find(session, kept).await?.unwrap_or_default();
    for stale in old.marks.iter().filter(|m| m.role == Role::Previous && **m != mark) {
        let drop = format!("DROP TABLE IF EXISTS {}.{}", ident(kept), ident(&stale.table()));
        session.run(&drop, "removing the mark of the request that was undone").await?;
    }
    if let Some(empty) = Schema::find(session, &task.new_database).await? {
        if empty.tables.is_empty() {
            drop_schema(session, &task.new_database, &empty, None).await?;
        } else {
            tracing::warn!(database = task.new_database, tables = empty.tables.len(), "not empty: it stays");
        }
    }
    Ok(())
}

async fn is_done(session: &mut Session, kept: &str, mark: &Mark) -> Result<bool, EngineError> {
    let query =
        format!("SELECT COUNT(*) FROM {}.{} WHERE name = '' AND value = '{DONE}'", ident(kept), ident(&mark.table()));
    let (count,): (i64,) = session.row(&query, "looking how far the swap came").await?;
    Ok(count > 0)
}

/// Up to the RENAME. Without the ticket nothing was touched, or all of it was mended.
async fn take_back(session: &mut Session, task: &CutoverTask, journal: &Journal) -> Result<(), RestoreError> {
    let source = Schema::find(session, &task.new_database).await?.unwrap_or_default();
    let ticket = ticket(task);
    if source.marks.contains(&ticket) {
        stored_code::make_like(session, &task.database.database, &journal.live, Events::AsTheyWere).await?;
        stored_code::make_like(session, &task.new_database, &journal.source, Events::Off).await?;
        if let Some(kept) = Schema::find(session, &task.previous_database).await?.filter(Schema::is_empty) {
            drop_schema(session, &task.previous_database, &kept, None).await?;
        }
        let drop = format!("DROP TABLE IF EXISTS {}.{}", ident(&task.new_database), ident(&ticket.table()));
        session.run(&drop, "taking the ticket of the swap back").await?;
    }
    Ok(lockout::unlock(session, &journal.accounts).await?)
}
