//! Runs restore hooks in the new database before the cut-over: SQL of the platform team that removes erased persons, dismissed
//! users and the like. Each hook has a transaction of its own; the first that fails ends the restore.

use super::connect::Session;
use super::error::{EngineError, words};
use super::failure::RestoreError;
use super::literal;
use crate::restore::{Hook, LoadRequest};
use std::fmt::Write as _;

/// A hook that takes longer is ended.
const TIMEOUT: &str = "SET LOCAL statement_timeout = '30min'";

/// Runs all hooks in the new database, in their order. Returns their names.
pub async fn run_all(request: &LoadRequest<'_>, session: &Session) -> Result<Vec<String>, RestoreError> {
    let (task, manifest) = (request.task, request.backup.manifest());
    let facts = [
        ("sennight.snapshot_time", manifest.snapshot_time.to_rfc3339()),
        ("sennight.tenant", task.identity.tenant.clone()),
        ("sennight.database", task.database.database.clone()),
        ("sennight.request_uid", task.request_uid.clone()),
    ];
    let mut names = Vec::new();
    for hook in request.hooks {
        run(session, hook, &facts).await?;
        tracing::info!(hook = hook.name, "restore hook finished");
        names.push(hook.name.clone());
    }
    Ok(names)
}

/// Runs one hook. `facts` are settings that it may read: `current_setting('sennight.snapshot_time')`.
async fn run(session: &Session, hook: &Hook, facts: &[(&str, String)]) -> Result<(), RestoreError> {
    let failed = |why: String| RestoreError::HookFailed { hook: hook.name.clone(), why };
    // The session's settings are for loading, not for hooks. `"$user"` is not in the path: a tenant may have a schema of the
    // restore role's name.
    let mut begin = format!("BEGIN; {TIMEOUT}; SET LOCAL search_path = public; SET LOCAL row_security = on;");
    for (name, value) in facts {
        let _ = write!(begin, "SELECT pg_catalog.set_config({}, {}, true);", literal(name), literal(value));
    }
    session.batch_execute(&begin).await.map_err(|e| failed(words(&e)))?;
    let before = transaction(session).await?;
    if let Err(error) = session.batch_execute(&hook.sql).await {
        let _ = session.batch_execute("ROLLBACK").await;
        return Err(failed(words(&error)));
    }
    // A hook with a COMMIT could fail later and still keep its first half.
    let after = transaction(session).await;
    if after.as_ref().ok() != Some(&before) {
        let _ = session.batch_execute("ROLLBACK").await;
        return Err(failed("it ends the transaction that it runs in: remove COMMIT, ROLLBACK and BEGIN".to_owned()));
    }
    // Deferred constraints are checked here.
    session.batch_execute("COMMIT").await.map_err(|e| failed(words(&e)))
}

async fn transaction(session: &Session) -> Result<String, EngineError> {
    let failed = |e| EngineError::query("looking which transaction a hook runs in", e);
    let row =
        session.query_one("SELECT pg_catalog.pg_current_xact_id()::pg_catalog.text", &[]).await.map_err(failed)?;
    row.try_get(0).map_err(failed)
}
