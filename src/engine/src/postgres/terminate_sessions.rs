//! Ends the sessions on the databases of a swap, every 20 ms, from a connection of its own. A RENAME waits five seconds for them.

use super::connect::{Session, connect};
use super::error::{EngineError, words};
use sennight_protocol::cutover::CutoverTask;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Pause between two rounds.
const PERIOD: Duration = Duration::from_millis(20);

/// A Tokio task that ends sessions on the live and the new database until it is stopped or dropped.
pub struct SessionTerminator {
    stop: CancellationToken,
    task: tokio::task::JoinHandle<BTreeSet<String>>,
}

impl SessionTerminator {
    /// Opens the connection and starts the task.
    pub async fn start(task: &CutoverTask, application_name: &str) -> Result<Self, EngineError> {
        let admin = connect(&task.database, &task.database.maintenance_database, application_name).await?;
        let (stop, databases) = (CancellationToken::new(), vec![task.live_number.0, task.new_number.0]);
        let stopped = stop.clone();
        Ok(Self {
            stop,
            task: tokio::spawn(async move {
                let mut remaining = BTreeSet::new();
                while !stopped.is_cancelled() {
                    match round(&admin, &databases).await {
                        Ok(left) => remaining = left,
                        // If sessions remain, the swap fails by itself, and reports that.
                        Err(error) => tracing::debug!(%error, "sessions not ended; retrying"),
                    }
                    tokio::time::sleep(PERIOD).await;
                }
                admin.close().await;
                remaining
            }),
        })
    }

    /// Stops. Returns who remained in the last round, as a sentence.
    pub async fn stop(mut self) -> String {
        self.stop.cancel();
        let remaining = (&mut self.task).await.unwrap_or_default();
        if remaining.is_empty() {
            "they came faster than they could be ended, or a prepared transaction stands".to_owned()
        } else {
            Vec::from_iter(remaining).join("; ")
        }
    }
}

impl Drop for SessionTerminator {
    fn drop(&mut self) {
        self.stop.cancel();
        self.task.abort();
    }
}

/// Ends every session once; returns those that may not be ended.
async fn round(admin: &Session, databases: &[u32]) -> Result<BTreeSet<String>, EngineError> {
    let sessions = admin
        .query(
            "SELECT a.pid, coalesce(a.usename::pg_catalog.text, 'no role'), coalesce(a.application_name, ''), coalesce(a.backend_type, '')
               FROM pg_catalog.pg_stat_activity a
              WHERE a.datid = ANY($1) AND a.pid <> pg_catalog.pg_backend_pid()
                AND a.backend_type IS DISTINCT FROM 'autovacuum worker'",
            &[&databases],
        )
        .await
        .map_err(|e| EngineError::query("listing the sessions", e))?;
    let mut left = BTreeSet::new();
    for row in &sessions {
        let pid: i32 = row.get(0);
        // One statement each: an error about one session must not keep the others.
        if let Err(error) = admin.execute("SELECT pg_catalog.pg_terminate_backend($1)", &[&pid]).await {
            let (role, application, kind): (&str, &str, &str) = (row.get(1), row.get(2), row.get(3));
            left.insert(format!("role {role}, {kind} {application:?}: {}", words(&error)));
        }
    }
    Ok(left)
}
