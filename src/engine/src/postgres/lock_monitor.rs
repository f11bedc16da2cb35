//! Watches for DDL that waits for a dump's locks. These locks stop no reads or writes, but they stop DDL, and everyone who
//! queues behind it. If the wait becomes too long, the dump's sessions are ended.

use super::connect::{Session, connect_to_read};
use super::error::EngineError;
use sennight_protocol::target::DatabaseTarget;
use std::time::Duration;
use tokio::time::Instant;

/// The monitor connects no earlier than this: a small dump is over by then and needs one connection only.
const FIRST_CHECK: Duration = Duration::from_secs(5);
/// Pause between two checks: a twentieth of the limit, but within these two bounds.
const MIN_PAUSE: Duration = Duration::from_millis(100);
const MAX_PAUSE: Duration = Duration::from_secs(2);

/// A session that has waited for the dump as long as it may.
pub struct WaitingDdl {
    /// The error that the dump ends with.
    pub error: EngineError,
    monitor: Session,
    waiter: i32,
    application_name: String,
}

/// The session that waits longest for a lock of the backend `holder`. (pg_stat_activity would hide it from a role that
/// does not own it; locks hide nothing.) Since 14 the server knows since when.
const LONGEST: &str = "
SELECT l.pid, l.locktype || coalesce(' ' || l.relation::pg_catalog.regclass::pg_catalog.text, ''), l.mode,
       extract(epoch FROM clock_timestamp() - (to_jsonb(l) ->> 'waitstart')::pg_catalog.timestamptz)::pg_catalog.float8
  FROM pg_catalog.pg_locks l
 WHERE NOT l.granted AND $1 = ANY (pg_catalog.pg_blocking_pids(l.pid))
   AND (l.database IS NULL OR l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database()))
 ORDER BY 4 DESC NULLS LAST LIMIT 1";

/// Returns when a session has waited nearly `limit` for a lock of the backend `holder`; never before.
pub async fn watch(target: &DatabaseTarget, application_name: &str, holder: i32, limit: Duration) -> WaitingDdl {
    let pause = (limit / 20).clamp(MIN_PAUSE, MAX_PAUSE);
    tokio::time::sleep((limit / 2).min(FIRST_CHECK)).await;
    let mut session = None;
    let mut since = None;
    loop {
        let checked = match session.take() {
            Some(session) => longest_waiter(session, holder).await,
            None => match connect_to_read(target, &target.database, application_name).await {
                Ok(session) => longest_waiter(session, holder).await,
                Err(error) => Err(error),
            },
        };
        match checked {
            Ok((monitor, Some(Waiter { pid, wanted, waited }))) => {
                let first_seen: Instant = *since.get_or_insert_with(Instant::now);
                let waited = waited.unwrap_or_else(|| first_seen.elapsed());
                if waited + pause >= limit {
                    let error =
                        EngineError::BlockingDdl { wanted, waited: waited.as_secs_f64(), limit: limit.as_secs() };
                    return WaitingDdl { error, monitor, waiter: pid, application_name: application_name.to_owned() };
                }
                session = Some(monitor);
            }
            Ok((monitor, None)) => (session, since) = (Some(monitor), None),
            Err(error) => tracing::warn!(%error, "waiting DDL not checked; retrying"),
        }
        tokio::time::sleep(pause).await;
    }
}

struct Waiter {
    pid: i32,
    wanted: String,
    waited: Option<Duration>,
}

async fn longest_waiter(session: Session, holder: i32) -> Result<(Session, Option<Waiter>), EngineError> {
    let failed = |e| EngineError::query("looking who waits for the dump", e);
    let row = session.query_opt(LONGEST, &[&holder]).await.map_err(failed)?;
    let waiter = row
        .map(|row| {
            let (what, mode): (String, String) = (row.try_get(1)?, row.try_get(2)?);
            let waited: Option<f64> = row.try_get(3)?;
            let waited = waited.map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or_default());
            Ok(Waiter { pid: row.try_get(0)?, wanted: format!("{mode} on {what}"), waited })
        })
        .transpose()
        .map_err(failed)?;
    Ok((session, waiter))
}

impl WaitingDdl {
    /// Ends every session of the dump that blocks the waiter, on the server: the worker itself may be waiting for a bucket
    /// that does not answer.
    pub async fn end_dump_sessions(self) -> EngineError {
        let ended = self
            .monitor
            .execute(
                "SELECT pg_catalog.pg_terminate_backend(a.pid) FROM pg_catalog.pg_stat_activity a
                  WHERE a.pid = ANY (pg_catalog.pg_blocking_pids($1)) AND a.application_name = $2
                    AND a.usename = current_user AND a.pid <> pg_catalog.pg_backend_pid()",
                &[&self.waiter, &self.application_name],
            )
            .await;
        if let Err(error) = ended {
            tracing::warn!(%error, "dump sessions not ended; they end with their connections");
        }
        self.monitor.close().await;
        self.error
    }
}
