//! One instant for all readers. One connection needs no lock; several begin their transactions under a short LOCK TABLES … READ
//! of the tenant's own tables. Never FLUSH TABLES WITH READ LOCK: it would stop every tenant of the server.

use super::connect::{Session, connect};
use super::error::EngineError;
use super::ident;
use super::inventory::TableInfo;
use chrono::{DateTime, NaiveDateTime, Utc};
use sennight_protocol::target::DatabaseTarget;
use std::time::Duration;

/// Writers of the tenant wait no longer than this while the readers begin.
const LOCK_AT_MOST: Duration = Duration::from_secs(5);
const PREPARING: &str = "preparing the session";
const BEGIN: &str = "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY";

/// The driver reads by 8 KiB at most until a packet was larger: one is asked for, and tables come in larger pieces.
const WIDEN: &str = "SELECT REPEAT(' ', 262144)";

/// Readers of one instant.
pub struct Snapshot {
    /// The sessions, at least one; each in its transaction.
    pub readers: Vec<Session>,
    /// The instant, by the server's clock: everything that had been committed by then is in it.
    pub taken_at: DateTime<Utc>,
    /// What a reader of the backup should know.
    pub notes: Vec<String>,
}

/// Begins the transactions of `session` and of as many other readers as are wanted. Where the tables cannot be locked, by
/// right or in time, the one session reads alone.
pub async fn begin(
    mut session: Session,
    target: &DatabaseTarget,
    application: &str,
    tables: &[TableInfo],
    readers: usize,
    lock_timeout: Duration,
) -> Result<Snapshot, EngineError> {
    let mut notes = Vec::new();
    session.run(WIDEN, PREPARING).await?;
    let guard = guard_partitions(target, application, tables, lock_timeout).await?;
    if readers > 1 && !tables.is_empty() {
        let mut others = Vec::new();
        for _ in 1..readers {
            let mut other = connect(target, &target.database, application).await?;
            other.run(WIDEN, PREPARING).await?;
            others.push(other);
        }
        let mut locker = connect(target, &target.database, application).await?;
        match lock(&mut locker, tables, lock_timeout.min(LOCK_AT_MOST)).await {
            Ok(()) => {
                let taken_at = start(&mut session, tables, lock_timeout).await?;
                for other in &mut others {
                    start(other, tables, lock_timeout).await?;
                }
                locker.run("UNLOCK TABLES", "unlocking the tables").await?;
                locker.close().await;
                release(guard).await;
                let readers = std::iter::once(session).chain(others).collect();
                return Ok(Snapshot { readers, taken_at, notes });
            }
            Err(error @ (EngineError::LockTimeout { .. } | EngineError::PermissionDenied { .. })) => {
                tracing::info!(%error, "one connection reads alone");
                notes.push(format!(
                    "read by one connection, because the tables could not be locked for several: {error}"
                ));
            }
            Err(error) => return Err(error),
        }
        locker.close().await;
    }
    let taken_at = start(&mut session, tables, lock_timeout).await?;
    release(guard).await;
    Ok(Snapshot { readers: vec![session], taken_at, notes })
}

/// The server notices when a table was altered or truncated since the snapshot, but not when a partition was exchanged or
/// dropped: rows would be missing without a word. So nobody may alter such a table from before the snapshot until the rows
/// are read: whoever has named it in a transaction holds its definition, and nobody's rows. This session holds it until all
/// readers do, each for itself: one that came back for it later would wait behind the DDL that waits for the others.
async fn guard_partitions(
    target: &DatabaseTarget,
    application: &str,
    tables: &[TableInfo],
    lock_timeout: Duration,
) -> Result<Option<Session>, EngineError> {
    if !tables.iter().any(|table| table.partitioned) {
        return Ok(None);
    }
    let mut session = connect(target, &target.database, application).await?;
    set_lock_wait(&mut session, lock_timeout).await?;
    session.run("START TRANSACTION READ ONLY", HOLDING).await?;
    lock_definitions(&mut session, tables).await?;
    Ok(Some(session))
}

const HOLDING: &str = "keeping partitioned tables as they are";

async fn lock_definitions(session: &mut Session, tables: &[TableInfo]) -> Result<(), EngineError> {
    for table in tables.iter().filter(|table| table.partitioned) {
        session.run(&format!("SELECT 1 FROM {} LIMIT 0", ident(&table.name)), HOLDING).await?;
    }
    Ok(())
}

async fn release(guard: Option<Session>) {
    if let Some(guard) = guard {
        guard.close().await;
    }
}

async fn lock(session: &mut Session, tables: &[TableInfo], wait: Duration) -> Result<(), EngineError> {
    set_lock_wait(session, wait).await?;
    let tables: Vec<String> = tables.iter().map(|t| format!("{} READ", ident(&t.name))).collect();
    session.run(&format!("LOCK TABLES {}", tables.join(", ")), "locking the tables for a moment").await
}

async fn set_lock_wait(session: &mut Session, wait: Duration) -> Result<(), EngineError> {
    let statement = format!("SET SESSION lock_wait_timeout = {}", wait.as_secs().max(1));
    session.run(&statement, PREPARING).await
}

/// The clock is read first: what was committed before it is seen by the snapshot.
async fn start(
    session: &mut Session,
    tables: &[TableInfo],
    lock_timeout: Duration,
) -> Result<DateTime<Utc>, EngineError> {
    set_lock_wait(session, lock_timeout).await?;
    let (now,): (String,) = session.row("SELECT CAST(UTC_TIMESTAMP(6) AS CHAR)", "reading the server's clock").await?;
    session.run(BEGIN, "beginning the snapshot").await?;
    // Inside of the transaction: a proxy that shares connections may have given this one another session than the first.
    session.check_settings().await?;
    lock_definitions(session, tables).await?;
    session.run("SAVEPOINT sennight", "beginning the snapshot").await?;
    let parsed = NaiveDateTime::parse_from_str(&now, "%Y-%m-%d %H:%M:%S%.f");
    let at =
        parsed.map_err(|e| EngineError::Incomplete { what: "the server's clock".to_owned(), why: e.to_string() })?;
    Ok(at.and_utc())
}

/// Gives the metadata locks of the tables read so far back, and keeps the snapshot: DDL waits for one table, not for all.
pub async fn release_metadata_locks(session: &mut Session) -> Result<(), EngineError> {
    session.run("ROLLBACK TO SAVEPOINT sennight", "giving a table back").await
}

/// Ends the transaction. That it can is the proof that the session lived through all of it. MariaDB with `read_only` and a
/// binary log refuses a COMMIT after a SAVEPOINT, though nothing was written.
pub async fn finish(session: &mut Session) -> Result<(), EngineError> {
    session.run("ROLLBACK", "ending the snapshot").await
}
