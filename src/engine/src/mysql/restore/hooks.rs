//! SQL of the platform team that runs in a restored schema before anybody sees it. A hook is several statements in a transaction
//! of its own; DDL commits by itself on this family, so that a hook with DDL that fails is not taken back: the schema is
//! dropped then.

use super::failure::RestoreError;
use crate::mysql::error::words;
use crate::mysql::{EngineError, Session, literal};

/// A hook means the same on every server: by its value, because DEFAULT would be the server's own. Without NO_ZERO_DATE: such dates
/// may be in the rows that a hook touches.
const SQL_MODE: &str = "STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION";

/// Runs one hook. `facts` are user variables that it may read: `@sennight_snapshot_time`.
pub async fn run(session: &mut Session, name: &str, sql: &str, facts: &[(&str, String)]) -> Result<(), RestoreError> {
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
    // All results are read: an error of a later statement is an error.
    session.script(sql).await.map_err(|e| failed(words(&e)))?;
    session.run("COMMIT", "ending a hook").await.map_err(|e| failed(e.to_string()))?;
    session.reset_settings().await.map_err(|e: EngineError| failed(e.to_string()))
}
