//! Preflight of a full restore, and of an Undo, as a report. They change nothing.

use super::connect::{Session, connect};
use super::preflight::gather_facts;
use super::preflight_facts::PreflightFacts;
use super::preflight_rules::{refusals, warnings};
use super::preflight_undo::gather_undo_facts;
use super::schema::{Statement, parse};
use super::script_needs::ScriptNeeds;
use crate::restore::BackupReader;
use sennight_core::result::{Preflight, Refusal};
use sennight_protocol::cutover::CutoverTask;
use sennight_protocol::report::TaskError;
use sennight_protocol::restore::RestoreTask;

/// A larger script is not fetched for a preflight; in bytes.
const SCRIPT_LIMIT: i64 = 64 << 20;

/// Reports whether a full restore would work.
pub async fn preflight(
    task: &RestoreTask,
    backup: &dyn BackupReader,
    application: &str,
) -> Result<Preflight, TaskError> {
    let mut session = connect(&task.database, "", application).await?;
    let facts = facts(task, backup, &mut session).await;
    session.close().await;
    Ok(report(&facts?))
}

/// Reports whether a swap could be undone.
pub async fn undo(task: &CutoverTask, application: &str) -> Result<Preflight, TaskError> {
    let mut session = connect(&task.database, "", application).await?;
    let facts = gather_undo_facts(&mut session, task).await;
    session.close().await;
    Ok(report(&facts?))
}

fn report(facts: &PreflightFacts) -> Preflight {
    Preflight {
        refusals: refusals(facts).iter().map(Refusal::from).collect(),
        warnings: warnings(facts),
        live_bytes: facts.live_bytes,
        live_sessions: facts.live_sessions,
    }
}

/// All that the rules need: facts from the server, and what the backup's script needs of it.
pub async fn facts(
    task: &RestoreTask,
    backup: &dyn BackupReader,
    session: &mut Session,
) -> Result<PreflightFacts, TaskError> {
    let needs = if backup.manifest().schema.length > SCRIPT_LIMIT {
        None
    } else {
        Some(ScriptNeeds::of(&script(backup).await?))
    };
    Ok(gather_facts(session, task, backup.manifest(), needs).await?)
}

/// The statements of the backup's script.
pub async fn script(backup: &dyn BackupReader) -> Result<Vec<Statement>, TaskError> {
    let unwritable = |e: std::io::Error| TaskError::retry("ScratchUnwritable", e.to_string());
    let file = tempfile::NamedTempFile::new().map_err(unwritable)?;
    backup.fetch_schema(file.path()).await?;
    let text = tokio::fs::read_to_string(file.path()).await.map_err(unwritable)?;
    parse(&text).ok_or_else(|| {
        let object = &backup.manifest().schema.object;
        TaskError::refused("BackupDamaged", format!("{object} is no script of this version's"))
    })
}
