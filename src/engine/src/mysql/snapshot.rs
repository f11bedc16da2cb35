//! Opens one snapshot for all readers. One connection needs no lock. Several begin their transactions under a short LOCK TABLES
//! … READ of the tenant's own tables; never FLUSH TABLES WITH READ LOCK, which would stop every tenant of the server.

use super::connect::{Session, connect};
use super::error::EngineError;
use super::ident;
use super::inventory::TableInfo;
use chrono::{DateTime, NaiveDateTime, Utc};
use sennight_protocol::target::DatabaseTarget;
use std::time::Duration;

/// Longest time that the tenant's writers wait while the readers begin.
const MAX_LOCK_WAIT: Duration = Duration::from_secs(5);
const PREPARING: &str = "preparing the session";
const BEGIN: &str = "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY";

/// The driver reads at most 8 KiB at a time until it has seen a larger packet: this query sends one.
const ENLARGE_READS: &str = "SELECT REPEAT(' ', 262144)";

/// The sessions that read one snapshot.
pub struct Snapshot {
    /// The sessions, at least one; each in its transaction.
    pub readers: Vec<Session>,
    /// Instant of the snapshot, by the server's clock: everything that was committed by then is in it.
    pub taken_at: DateTime<Utc>,
    /// Warnings for people.
    pub notes: Vec<String>,
}

/// Begins the transactions of `session` and of `readers` - 1 others. If the tables cannot be locked, for lack of a right or of
/// time, `session` reads alone.
pub async fn begin(
    mut session: Session,
    target: &DatabaseTarget,
    application: &str,
    tables: &[TableInfo],
    readers: usize,
    lock_timeout: Duration,
) -> Result<Snapshot, EngineError> {
    let mut notes = Vec::new();
    session.run(ENLARGE_READS, PREPARING).await?;
    let guard = guard_partitions(target, application, tables, lock_timeout).await?;
    if readers > 1 && !tables.is_empty() {
        let mut others = Vec::new();
        for _ in 1..readers {
            let mut other = connect(target, &target.database, application).await?;
            other.run(ENLARGE_READS, PREPARING).await?;
            others.push(other);
        }
        let mut locker = connect(target, &target.database, application).await?;
        match lock(&mut locker, tables, lock_timeout.min(MAX_LOCK_WAIT)).await {
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
                tracing::info!(%error, "tables not locked; one connection reads alone");
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

/// Locks the definitions of partitioned tables from before the snapshot. The server notices an ALTER or TRUNCATE since the
/// snapshot, but not that a partition was exchanged or dropped: rows would be missing silently. A transaction that has named a
/// table holds its metadata lock, which stops DDL and no reads or writes. This session holds it until every reader has its
/// own: a reader that took it later would queue behind waiting DDL.
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

/// Begins one reader's transaction. The clock is read first, so that everything committed before it is in the snapshot.
async fn start(
    session: &mut Session,
    tables: &[TableInfo],
    lock_timeout: Duration,
) -> Result<DateTime<Utc>, EngineError> {
    set_lock_wait(session, lock_timeout).await?;
    let (now,): (String,) = session.row("SELECT CAST(UTC_TIMESTAMP(6) AS CHAR)", "reading the server's clock").await?;
    session.run(BEGIN, "beginning the snapshot").await?;
    // Inside the transaction: a proxy that shares connections may have switched to another server session.
    session.check_settings().await?;
    lock_definitions(session, tables).await?;
    session.run("SAVEPOINT sennight", "beginning the snapshot").await?;
    let parsed = NaiveDateTime::parse_from_str(&now, "%Y-%m-%d %H:%M:%S%.f");
    let at =
        parsed.map_err(|e| EngineError::Incomplete { what: "the server's clock".to_owned(), why: e.to_string() })?;
    Ok(at.and_utc())
}

/// Releases the metadata locks of the tables read so far and keeps the snapshot: DDL waits for one table, not for all.
pub async fn release_metadata_locks(session: &mut Session) -> Result<(), EngineError> {
    session.run("ROLLBACK TO SAVEPOINT sennight", "giving a table back").await
}

/// Ends the transaction; fails if the session was lost. By ROLLBACK: MariaDB with `read_only` and a binary log refuses a COMMIT
/// after a SAVEPOINT, though nothing was written.
pub async fn finish(session: &mut Session) -> Result<(), EngineError> {
    session.run("ROLLBACK", "ending the snapshot").await
}
