//! Runs restore hooks in the new database before the cut-over: SQL of the platform team that removes erased persons, dismissed
//! users and the like. Each hook has a transaction of its own; the first that fails ends the restore.

use super::connect::Session;
use super::error::{EngineError, words};
use super::failure::RestoreError;
use super::literal;
use crate::restore::{Hook, LoadRequest};
use sennight_core::result::HookRun;
use std::fmt::Write as _;
use tokio_postgres::SimpleQueryMessage;

/// A hook that takes longer is ended.
const TIMEOUT: &str = "SET LOCAL statement_timeout = '30min'";

/// Runs all hooks in the new database, in their order.
pub async fn run_all(request: &LoadRequest<'_>, session: &Session) -> Result<Vec<HookRun>, RestoreError> {
    let (task, manifest) = (request.task, request.backup.manifest());
    let facts = [
        ("sennight.snapshot_time", manifest.snapshot_time.to_rfc3339()),
        ("sennight.tenant", task.identity.tenant.clone()),
        ("sennight.database", task.database.database.clone()),
        ("sennight.request_uid", task.request_uid.clone()),
    ];
    let mut ran = Vec::new();
    for hook in request.hooks {
        let rows = run(session, hook, &facts).await?;
        tracing::info!(hook = hook.name, rows, "restore hook finished");
        ran.push(HookRun { name: hook.name.clone(), rows });
    }
    Ok(ran)
}

/// Runs one hook, and returns how many rows its statements changed. `facts` are settings that it may read:
/// `current_setting('sennight.snapshot_time')`.
async fn run(session: &Session, hook: &Hook, facts: &[(&str, String)]) -> Result<i64, RestoreError> {
    let failed = |why: String| RestoreError::HookFailed { hook: hook.name.clone(), why };
    // The session's settings are for loading, not for hooks. `"$user"` is not in the path: a tenant may have a schema of the
    // loading role's name.
    let mut begin = format!("BEGIN; {TIMEOUT}; SET LOCAL search_path = public; SET LOCAL row_security = on;");
    for (name, value) in facts {
        let _ = write!(begin, "SELECT pg_catalog.set_config({}, {}, true);", literal(name), literal(value));
    }
    session.batch_execute(&begin).await.map_err(|e| failed(words(&e)))?;
    let before = transaction(session).await?;
    let answers = match session.simple_query(&hook.sql).await {
        Ok(answers) => answers,
        Err(error) => {
            let _ = session.batch_execute("ROLLBACK").await;
            return Err(failed(words(&error)));
        }
    };
    // A hook with a COMMIT could fail later and still keep its first half.
    let after = transaction(session).await;
    if after.as_ref().ok() != Some(&before) {
        let _ = session.batch_execute("ROLLBACK").await;
        return Err(failed("it ends the transaction that it runs in: remove COMMIT, ROLLBACK and BEGIN".to_owned()));
    }
    // Deferred constraints are checked here.
    session.batch_execute("COMMIT").await.map_err(|e| failed(words(&e)))?;
    Ok(changed(&answers))
}

/// Rows of the statements that give none back: of a SELECT the driver gives a number too.
fn changed(answers: &[SimpleQueryMessage]) -> i64 {
    let (mut rows, mut gives_back) = (0_u64, false);
    for answer in answers {
        match answer {
            SimpleQueryMessage::RowDescription(_) => gives_back = true,
            SimpleQueryMessage::CommandComplete(count) => {
                rows = rows.saturating_add(if gives_back { 0 } else { *count });
                gives_back = false;
            }
            _ => {}
        }
    }
    i64::try_from(rows).unwrap_or(i64::MAX)
}

async fn transaction(session: &Session) -> Result<String, EngineError> {
    let failed = |e| EngineError::query("looking which transaction a hook runs in", e);
    let row =
        session.query_one("SELECT pg_catalog.pg_current_xact_id()::pg_catalog.text", &[]).await.map_err(failed)?;
    row.try_get(0).map_err(failed)
}
