//! Finds, creates and drops schemas by their marks, and takes the server-wide locks of restores.

use super::failure::RestoreError;
use super::marks::{Mark, Role, number_of};
use crate::mysql::{EngineError, Session, ident, literal};
use crate::restore::SwapState;
use sennight_core::names::stable_hash;
use sennight_protocol::cutover::CutoverTask;
use std::time::Duration;

/// How long the server may take to notice that an earlier attempt's session is gone.
const LOCK_PATIENCE: Duration = Duration::from_mins(1);
/// Tables that one statement drops.
const CHUNK: usize = 100;
/// Longest name of a schema, in characters.
pub const NAME_LIMIT: usize = 64;

/// A schema as it is now.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Schema {
    /// Tables and sequences by name, marks included.
    pub tables: Vec<String>,
    /// Marks in it.
    pub marks: Vec<Mark>,
    /// Default character set.
    pub charset: String,
    /// Default collation.
    pub collation: String,
    /// Number of views, routines and events.
    pub code: i64,
}

impl Schema {
    /// Reads the schema; `None` if there is none of this name.
    pub async fn find(session: &mut Session, name: &str) -> Result<Option<Self>, EngineError> {
        let doing = format!("looking at the database {name:?}");
        let of = literal(name);
        let found: Vec<(String, String)> = session
            .rows(
                &format!("SELECT DEFAULT_CHARACTER_SET_NAME, DEFAULT_COLLATION_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = {of}"),
                &doing,
            )
            .await?;
        let Some((charset, collation)) = found.into_iter().next() else { return Ok(None) };
        let tables: Vec<(String,)> = session
            .rows(
                &format!(
                    "SELECT TABLE_NAME FROM information_schema.TABLES
                      WHERE TABLE_SCHEMA = {of} AND TABLE_TYPE IN ('BASE TABLE', 'SEQUENCE', 'SYSTEM VERSIONED') ORDER BY 1"
                ),
                &doing,
            )
            .await?;
        let (code,): (i64,) = session
            .row(
                &format!(
                    "SELECT (SELECT COUNT(*) FROM information_schema.VIEWS WHERE TABLE_SCHEMA = {of})
                          + (SELECT COUNT(*) FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = {of})
                          + (SELECT COUNT(*) FROM information_schema.EVENTS WHERE EVENT_SCHEMA = {of})"
                ),
                &doing,
            )
            .await?;
        let tables: Vec<String> = tables.into_iter().map(|(name,)| name).collect();
        let marks = tables.iter().filter_map(|table| Mark::parse(table)).collect();
        Ok(Some(Self { tables, marks, charset, collation, code }))
    }

    /// The schema's mark in this role for this request.
    pub fn mark(&self, role: Role, request_uid: &str) -> Option<&Mark> {
        self.marks.iter().find(|mark| mark.is(role, request_uid))
    }

    /// Whether it has no objects. A crash between creating and marking a schema leaves an empty one.
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty() && self.code == 0
    }
}

/// Finds out which schema the live name stands for, by marks only.
pub async fn swap_state(session: &mut Session, task: &CutoverTask) -> Result<SwapState, EngineError> {
    let name = &task.database.database;
    let Some(live) = Schema::find(session, name).await? else {
        return Ok(SwapState::Neither(format!("there is no database {name:?}")));
    };
    let number = number_of(name, &live.marks);
    let previous = Schema::find(session, &task.previous_database).await?;
    let previous = previous.as_ref().and_then(|s| s.mark(Role::Previous, &task.request_uid)).map(|m| m.number);
    if previous == Some(task.live_number.0) && number == task.new_number.0 {
        return Ok(SwapState::After);
    }
    let new = Schema::find(session, &task.new_database).await?;
    let ready = new.as_ref().and_then(|schema| source_number(schema, task));
    if previous.is_none() && ready == Some(task.new_number.0) && number == task.live_number.0 {
        return Ok(SwapState::Before);
    }
    let hex = |number: Option<u32>| number.map_or_else(|| "no mark".to_owned(), |n| format!("{n}"));
    Ok(SwapState::Neither(format!(
        "{name:?} has the number {number}, before the swap it was {}, after it {}; {:?} has {}, {:?} has {}",
        task.live_number.0,
        task.new_number.0,
        task.new_database,
        hex(ready),
        task.previous_database,
        hex(previous)
    )))
}

/// Number of the schema that is to become the live one: the new schema of this request, or the previous schema of the undone
/// request.
pub fn source_number(schema: &Schema, task: &CutoverTask) -> Option<u32> {
    source_mark(schema, task).map(|mark| mark.number)
}

/// Mark of the schema that is to become the live one.
pub fn source_mark<'a>(schema: &'a Schema, task: &CutoverTask) -> Option<&'a Mark> {
    match &task.undo_of {
        None => schema.mark(Role::Restored, &task.request_uid),
        Some(undone) => schema.mark(Role::Previous, undone),
    }
}

/// Name of the lock of a request: for `prepare`, drills and `drop-database`.
pub fn lock_of_request(request_uid: &str) -> String {
    format!("sennight.{}", stable_hash(&["prepare", request_uid], 32))
}

/// Name of the lock of a live database: for `cutover`, `recover-cutover` and `drop-database`.
pub fn lock_of_database(database: &str) -> String {
    format!("sennight.{}", stable_hash(&["swap", database], 32))
}

/// Takes a server-wide lock; it ends with the session. An earlier attempt on a dead node holds it until the server notices.
pub async fn lock(session: &mut Session, name: &str) -> Result<(), RestoreError> {
    let query = format!("SELECT GET_LOCK({}, {})", literal(name), LOCK_PATIENCE.as_secs());
    let (got,): (Option<i64>,) = session.row(&query, "taking the lock of this restore").await?;
    if got == Some(1) { Ok(()) } else { Err(RestoreError::AnotherAttempt { lock: name.to_owned() }) }
}

/// Ends the session that holds a lock. Its statement has been carried out or not when the lock is free.
pub async fn kill_lock_holder(session: &mut Session, name: &str) -> Result<(), EngineError> {
    let query = format!("SELECT IS_USED_LOCK({})", literal(name));
    let (holder,): (Option<u64>,) = session.row(&query, "looking who holds the lock of this restore").await?;
    if let Some(id) = holder.filter(|id| *id != u64::from(session.id())) {
        // It may have ended by itself, or the right is missing: taking the lock shows which.
        let _ = session.run(&format!("KILL {id}"), "ending the session that holds the lock").await;
    }
    Ok(())
}

/// Creates a schema with its mark. An empty schema of this name counts as marked, if this crashes in between.
pub async fn create(
    session: &mut Session,
    name: &str,
    like: (&str, &str),
    mark: &Mark,
    uid: &str,
) -> Result<(), EngineError> {
    let (charset, collation) = like;
    let doing = format!("creating the database {name:?}");
    let statement =
        format!("CREATE DATABASE IF NOT EXISTS {} CHARACTER SET {charset} COLLATE {collation}", ident(name));
    session.run(&statement, &doing).await?;
    session.run(&mark.create(name, uid), &doing).await
}

/// Drops what an earlier attempt of this request left; `false` if there is none. A schema without its mark is an error.
pub async fn drop_own(session: &mut Session, name: &str, request_uid: &str) -> Result<bool, RestoreError> {
    let Some(found) = Schema::find(session, name).await? else { return Ok(false) };
    let ours = found.mark(Role::Restored, request_uid).or_else(|| found.mark(Role::Dropping, request_uid));
    if ours.is_none() && !found.is_empty() {
        let wanted = Mark::new(Role::Restored, request_uid, 0).table();
        return Err(RestoreError::NameTaken { name: name.to_owned(), wanted: format!("a table like {wanted}") });
    }
    drop_schema(session, name, &found, ours).await?;
    Ok(true)
}

/// Drops a schema whose mark was checked. DROP DATABASE is not atomic on MySQL and MariaDB: the mark is dropped last, so that
/// after a crash the next attempt recognises the schema.
pub async fn drop_schema(
    session: &mut Session,
    name: &str,
    found: &Schema,
    mark: Option<&Mark>,
) -> Result<(), EngineError> {
    let doing = format!("dropping the database {name:?}");
    let last = mark.map(Mark::table);
    let others: Vec<&String> = found.tables.iter().filter(|table| Some(*table) != last.as_ref()).collect();
    for chunk in others.chunks(CHUNK) {
        let tables: Vec<String> = chunk.iter().map(|t| format!("{}.{}", ident(name), ident(t))).collect();
        // One statement for many tables: it does not check whether a default of one of them names a sequence.
        session.run(&format!("DROP TABLE IF EXISTS {}", tables.join(", ")), &doing).await?;
    }
    session.run(&format!("DROP DATABASE IF EXISTS {}", ident(name)), &doing).await
}

/// Bytes that a schema takes on the server's disk, by information_schema.
pub async fn size(session: &mut Session, name: &str) -> Result<i64, EngineError> {
    let query = format!(
        "SELECT CAST(COALESCE(SUM(COALESCE(DATA_LENGTH, 0) + COALESCE(INDEX_LENGTH, 0)), 0) AS SIGNED)
           FROM information_schema.TABLES WHERE TABLE_SCHEMA = {}",
        literal(name)
    );
    let (bytes,): (i64,) = session.row(&query, "looking how large a database is").await?;
    Ok(bytes)
}
