//! `preflight` and `preflight-undo`: would it work? Nothing is changed.

use crate::backup::{self, archive};
use crate::{TaskError, WorkerContext};
use sennight_core::manifest::Manifest;
use sennight_core::result::{Done, Preflight, Refusal};
use sennight_engine::mysql::restore::preflight::gather_facts;
use sennight_engine::mysql::restore::preflight_facts::PreflightFacts;
use sennight_engine::mysql::restore::preflight_rules::{refusals, warnings};
use sennight_engine::mysql::restore::preflight_undo::gather_undo_facts;
use sennight_engine::mysql::restore::script_needs::ScriptNeeds;
use sennight_engine::mysql::schema::{Statement, parse};
use sennight_engine::mysql::{Session, connect};
use sennight_protocol::cutover::CutoverTask;
use sennight_protocol::restore::RestoreTask;

/// A larger script is not fetched for a mere look.
const SCRIPT_LIMIT: i64 = 64 << 20;

/// Looks whether a full restore would work.
pub async fn run(task: &RestoreTask, context: &WorkerContext) -> Result<Done, TaskError> {
    let manifest = backup::open(task, context).await?;
    let application = format!("sennight preflight {}", task.request_uid);
    let mut session = connect(&task.database, "", &application).await?;
    let evidence = facts(task, context, &manifest, &mut session).await;
    session.close().await;
    Ok(told(&evidence?))
}

/// Looks whether a swap could be undone.
pub async fn undo(task: &CutoverTask) -> Result<Done, TaskError> {
    let mut session = connect(&task.database, "", &format!("sennight preflight-undo {}", task.request_uid)).await?;
    let evidence = gather_undo_facts(&mut session, task).await;
    session.close().await;
    Ok(told(&evidence?))
}

fn told(evidence: &PreflightFacts) -> Done {
    Done::Preflighted(Preflight {
        refusals: refusals(evidence).iter().map(Refusal::from).collect(),
        warnings: warnings(evidence),
        live_bytes: evidence.live_bytes,
        live_sessions: evidence.live_sessions,
    })
}

/// Everything that the rules need to know, the backup's script included.
pub async fn facts(
    task: &RestoreTask,
    context: &WorkerContext,
    manifest: &Manifest,
    session: &mut Session,
) -> Result<PreflightFacts, TaskError> {
    let copied = if manifest.schema.length > SCRIPT_LIMIT {
        None
    } else {
        Some(ScriptNeeds::of(&script(task, context, manifest).await?))
    };
    Ok(gather_facts(session, task, manifest, copied).await?)
}

async fn script(task: &RestoreTask, context: &WorkerContext, manifest: &Manifest) -> Result<Vec<Statement>, TaskError> {
    let unwritable = |e: std::io::Error| TaskError::retry("ScratchUnwritable", e.to_string());
    let file = tempfile::NamedTempFile::new().map_err(unwritable)?;
    archive(&context.store, &task.backup.prefix, &manifest.schema, file.path()).await.map_err(TaskError::from)?;
    let text = tokio::fs::read_to_string(file.path()).await.map_err(unwritable)?;
    parse(&text).ok_or_else(|| {
        TaskError::refused("BackupDamaged", format!("{} is no script of this version's", manifest.schema.object))
    })
}
