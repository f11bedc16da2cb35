//! Opens a snapshot that many connections share. The order must not change: first the locks, then the snapshot, and only then
//! the final list of tables. In any other order a TRUNCATE that commits in between makes a table look empty to the snapshot.

use super::connect::{Session, connect_to_read};
use super::error::{EngineError, words};
use super::inventory::Inventory;
use super::{literal, qualified};
use chrono::{DateTime, Utc};
use sennight_protocol::target::DatabaseTarget;
use std::time::Duration;
use tokio_postgres::error::SqlState;

/// How often the tables are listed anew, if the list changed while they were being locked.
const ATTEMPTS: u32 = 3;

/// The connection that holds the locks and the snapshot. All others must end before it.
pub struct Leader {
    /// The connection, inside the transaction.
    pub session: Session,
    /// Tables that the snapshot sees.
    pub inventory: Inventory,
    /// The snapshot's name for `SET TRANSACTION SNAPSHOT` and `pg_dump --snapshot`.
    pub snapshot: String,
    /// Instant of the snapshot, by the server's clock.
    pub taken_at: DateTime<Utc>,
}

/// Takes locks and snapshot. `lock_timeout` bounds the wait for all tables together: while a dump waits for one lock, others
/// queue behind it, and behind the locks that it already has.
pub async fn open(
    target: &DatabaseTarget,
    application_name: &str,
    lock_timeout: Duration,
) -> Result<Leader, EngineError> {
    let session = connect_to_read(target, &target.database, application_name).await?;
    let timeout = format!("SET lock_timeout = {}", lock_timeout.as_millis());
    session.batch_execute(&timeout).await.map_err(|e| EngineError::query("setting the lock timeout", e))?;
    let mut attempt = 1;
    loop {
        match take(&session, lock_timeout).await {
            Ok((inventory, snapshot, taken_at)) => {
                return Ok(Leader { session, inventory, snapshot, taken_at });
            }
            Err(error @ EngineError::SchemaChanged { .. }) if attempt < ATTEMPTS => {
                tracing::info!(%error, attempt, "tables changed while being locked; retrying");
                attempt += 1;
                session.batch_execute("ROLLBACK").await.map_err(|e| EngineError::query("starting again", e))?;
            }
            Err(error) => return Err(error),
        }
    }
}

async fn take(session: &Session, patience: Duration) -> Result<(Inventory, String, DateTime<Utc>), EngineError> {
    let failed = |e| EngineError::query("taking the snapshot", e);
    let listed = Inventory::read(session).await?;
    session.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await.map_err(failed)?;
    if let Some(statement) = lock_statement(&listed) {
        room_for_locks(session, listed.tables.len() + listed.parents.len()).await?;
        lock(session, &statement, patience).await?;
    }
    // LOCK takes no snapshot. This statement does, just before it reads the clock.
    let row = session
        .query_one("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint, pg_export_snapshot()", &[])
        .await
        .map_err(failed)?;
    let inventory = Inventory::read(session).await?;
    if let Some(why) = listed.first_difference(&inventory) {
        return Err(EngineError::SchemaChanged { doing: "the tables were being locked".to_owned(), why });
    }
    let micros: i64 = row.try_get(0).map_err(failed)?;
    let taken_at = DateTime::from_timestamp_micros(micros).unwrap_or_default();
    Ok((inventory, row.try_get(1).map_err(failed)?, taken_at))
}

/// The server's lock table, of which each locked table takes a place: a tenth more than the settings promise is there. When it is
/// full, every session on the server fails, those of other tenants too.
const LOCKS: &str = "
SELECT count(DISTINCT (l.database, l.relation, l.locktype, l.classid, l.objid)),
       pg_catalog.max(s.each * s.backends * 11 / 10)
  FROM (SELECT pg_catalog.current_setting('max_locks_per_transaction')::pg_catalog.int8 AS each,
               pg_catalog.current_setting('max_connections')::pg_catalog.int8 + pg_catalog.current_setting('max_worker_processes')::pg_catalog.int8
             + pg_catalog.current_setting('max_wal_senders')::pg_catalog.int8 + pg_catalog.current_setting('max_prepared_transactions')::pg_catalog.int8
             + pg_catalog.current_setting('autovacuum_max_workers')::pg_catalog.int8 + 1 AS backends) s
  LEFT JOIN pg_catalog.pg_locks l ON true";

/// Refuses before the first lock what would fill the lock table.
async fn room_for_locks(session: &Session, tables: usize) -> Result<(), EngineError> {
    let failed = |e| EngineError::query("looking at the server's lock table", e);
    // Few tables always fit, and need no question.
    if tables < 1000 {
        return Ok(());
    }
    let row = session.query_one(LOCKS, &[]).await.map_err(failed)?;
    let (in_use, places): (i64, i64) = (row.try_get(0).map_err(failed)?, row.try_get(1).map_err(failed)?);
    let wanted = i64::try_from(tables).unwrap_or(i64::MAX);
    if wanted.saturating_add(in_use) > places {
        return Err(EngineError::TooManyLocks { tables, in_use, places });
    }
    Ok(())
}

/// The server counts `lock_timeout` anew for each table of one LOCK; a time limit of the statement counts once. None of
/// these statements takes a snapshot.
async fn lock(session: &Session, statement: &str, patience: Duration) -> Result<(), EngineError> {
    let limit = |milliseconds: u128| format!("SET LOCAL statement_timeout = {milliseconds}");
    let doing = "locking the tables";
    session.batch_execute(&limit(patience.as_millis())).await.map_err(|e| EngineError::query(doing, e))?;
    session.batch_execute(statement).await.map_err(|e| match e.code() {
        Some(code) if *code == SqlState::QUERY_CANCELED => {
            EngineError::LockTimeout { doing: doing.to_owned(), why: words(&e) }
        }
        _ => EngineError::query(doing, e),
    })?;
    session.batch_execute(&limit(0)).await.map_err(|e| EngineError::query(doing, e))
}

fn lock_statement(inventory: &Inventory) -> Option<String> {
    let tables = inventory.tables.iter().map(super::inventory::TableInfo::qualified);
    let parents = inventory.parents.iter().map(|(schema, name)| qualified(schema, name));
    let names: Vec<String> = tables.chain(parents).map(|name| format!("ONLY {name}")).collect();
    (!names.is_empty()).then(|| format!("LOCK TABLE {} IN ACCESS SHARE MODE", names.join(", ")))
}

/// Opens another connection with the leader's snapshot.
pub async fn join(target: &DatabaseTarget, application_name: &str, snapshot: &str) -> Result<Session, EngineError> {
    let session = connect_to_read(target, &target.database, application_name).await?;
    let begin =
        format!("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT {}", literal(snapshot));
    session.batch_execute(&begin).await.map_err(|e| EngineError::query("joining the snapshot", e))?;
    Ok(session)
}

/// Ends the session's transaction, and fails unless every statement of it succeeded. COMMIT alone would not fail: it ends a
/// failed transaction with a silent ROLLBACK, hence the SELECT before it.
pub async fn finish(session: Session) -> Result<(), EngineError> {
    session.batch_execute("SELECT 1; COMMIT").await.map_err(|e| EngineError::query("ending the snapshot", e))?;
    session.close().await;
    Ok(())
}
