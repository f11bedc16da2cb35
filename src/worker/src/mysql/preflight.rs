//! `preflight` and `preflight-undo` on MySQL and MariaDB. They change nothing.

use crate::backup::{self, archive};
use crate::{TaskError, WorkerContext};
use sennight_core::manifest::Manifest;
use sennight_core::result::{Done, Preflight, Refusal};
use sennight_engine::mysql::preflight::gather_facts;
use sennight_engine::mysql::preflight_facts::PreflightFacts;
use sennight_engine::mysql::preflight_rules::{refusals, warnings};
use sennight_engine::mysql::preflight_undo::gather_undo_facts;
use sennight_engine::mysql::schema::{Statement, parse};
use sennight_engine::mysql::script_needs::ScriptNeeds;
use sennight_engine::mysql::{Session, connect};
use sennight_protocol::cutover::CutoverTask;
use sennight_protocol::restore::RestoreTask;

/// A larger script is not fetched for a preflight; in bytes.
const SCRIPT_LIMIT: i64 = 64 << 20;

/// Reports whether a full restore would work.
pub async fn run(task: &RestoreTask, context: &WorkerContext) -> Result<Done, TaskError> {
    let manifest = backup::open(task, context).await?;
    let application = format!("sennight preflight {}", task.request_uid);
    let mut session = connect(&task.database, "", &application).await?;
    let facts = facts(task, context, &manifest, &mut session).await;
    session.close().await;
    Ok(report(&facts?))
}

/// Reports whether a swap could be undone.
pub async fn undo(task: &CutoverTask) -> Result<Done, TaskError> {
    let mut session = connect(&task.database, "", &format!("sennight preflight-undo {}", task.request_uid)).await?;
    let facts = gather_undo_facts(&mut session, task).await;
    session.close().await;
    Ok(report(&facts?))
}

fn report(facts: &PreflightFacts) -> Done {
    Done::Preflighted(Preflight {
        refusals: refusals(facts).iter().map(Refusal::from).collect(),
        warnings: warnings(facts),
        live_bytes: facts.live_bytes,
        live_sessions: facts.live_sessions,
    })
}

/// All that the rules need: facts from the server, and what the backup's script needs of it.
pub async fn facts(
    task: &RestoreTask,
    context: &WorkerContext,
    manifest: &Manifest,
    session: &mut Session,
) -> Result<PreflightFacts, TaskError> {
    let needs = if manifest.schema.length > SCRIPT_LIMIT {
        None
    } else {
        Some(ScriptNeeds::of(&script(task, context, manifest).await?))
    };
    Ok(gather_facts(session, task, manifest, needs).await?)
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
