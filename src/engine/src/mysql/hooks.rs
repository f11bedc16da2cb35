//! Runs restore hooks in the new schema before the cut-over. Each hook has a transaction of its own. DDL commits by itself on
//! MySQL and MariaDB, so a hook with DDL that fails is not rolled back; the new schema is dropped then.

use super::failure::RestoreError;
use crate::mysql::error::words;
use crate::mysql::{EngineError, Session, connect, literal};
use crate::restore::LoadRequest;
use sennight_core::result::HookRun;

/// The `sql_mode` of hooks, by value, so that they work the same on every server. Without NO_ZERO_DATE: a tenant's rows may
/// have such dates.
const SQL_MODE: &str = "STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION";

/// Runs all hooks in the new schema, in their order.
pub async fn run_all(request: &LoadRequest<'_>) -> Result<Vec<HookRun>, RestoreError> {
    if request.hooks.is_empty() {
        return Ok(Vec::new());
    }
    let (task, manifest) = (request.task, request.backup.manifest());
    let facts = [
        ("sennight_snapshot_time", manifest.snapshot_time.format("%Y-%m-%d %H:%M:%S%.6f").to_string()),
        ("sennight_tenant", task.identity.tenant.clone()),
        ("sennight_database", task.database.database.clone()),
        ("sennight_request_uid", task.request_uid.clone()),
    ];
    let mut session = connect(&task.database, request.database, request.application).await?;
    let mut ran = Vec::new();
    for hook in request.hooks {
        let rows = run(&mut session, &hook.name, &hook.sql, &facts).await?;
        tracing::info!(hook = hook.name, rows, "restore hook finished");
        ran.push(HookRun { name: hook.name.clone(), rows });
    }
    session.close().await;
    Ok(ran)
}

/// Runs one hook, and returns how many rows its statements changed. `facts` are user variables that it may read: `@sennight_snapshot_time`.
async fn run(session: &mut Session, name: &str, sql: &str, facts: &[(&str, String)]) -> Result<i64, RestoreError> {
    let failed = |why: String| RestoreError::HookFailed { hook: name.to_owned(), why };
    let mut begin: Vec<String> =
        facts.iter().map(|(name, value)| format!("SET @{name} = {}", literal(value))).collect();
    begin.push(format!(
        "SET SESSION foreign_key_checks = 1, SESSION unique_checks = 1, SESSION sql_mode = {}",
        literal(SQL_MODE)
    ));
    begin.push("START TRANSACTION".to_owned());
    for statement in begin {
        session.run(&statement, "preparing a hook").await.map_err(|e| failed(e.to_string()))?;
    }
    // Reads all results, so that an error of a later statement is found.
    let rows = session.script(sql).await.map_err(|e| failed(words(&e)))?;
    session.run("COMMIT", "ending a hook").await.map_err(|e| failed(e.to_string()))?;
    session.reset_settings().await.map_err(|e: EngineError| failed(e.to_string()))?;
    Ok(rows)
}
