//! `preflight`: reports whether a full restore would work, and changes nothing. The rules are the engine's.

use super::{TaskError, WorkerContext, backup, hooks, mysql};
use sennight_core::engine::EngineKind;
use sennight_core::manifest::Manifest;
use sennight_core::result::{Done, Preflight, Refusal};
use sennight_engine::postgres::archive::Archive;
use sennight_engine::postgres::preflight::{ArchiveContents, gather_facts};
use sennight_engine::postgres::preflight_facts::PreflightFacts;
use sennight_engine::postgres::preflight_rules::{refusals, warnings};
use sennight_engine::postgres::tools::{Access, Tools};
use sennight_engine::postgres::{EngineError, Purpose, Session, connect_to_read};
use sennight_protocol::restore::RestoreTask;

/// A larger schema archive (large objects are in it) is not fetched for a preflight; in bytes.
const ARCHIVE_LIMIT: i64 = 64 << 20;

/// Collects the facts and applies the rules. A refusal is a result, not an error: the task succeeds if it could ask.
pub async fn run(task: &RestoreTask, context: &WorkerContext) -> Result<Done, TaskError> {
    let mut done = check(task, context).await?;
    if let (Done::Preflighted(found), Err(error)) = (&mut done, hooks::check(task)) {
        found.refusals.push(Refusal { reason: error.reason, message: error.message });
    }
    Ok(done)
}

async fn check(task: &RestoreTask, context: &WorkerContext) -> Result<Done, TaskError> {
    if task.database.engine != EngineKind::PostgreSQL {
        let checked = mysql::preflight::run(task, context);
        return tokio::select! {
            biased;
            () = context.cancel.cancelled() => Err(TaskError::cancelled()),
            done = checked => done,
        };
    }
    let collected = async {
        let manifest = backup::open(task, context).await?;
        let admin = connect_to_read(&task.database, &task.database.maintenance_database, &application(task)).await?;
        let facts = facts(task, context, &manifest, &admin).await;
        admin.close().await;
        facts
    };
    let facts = tokio::select! {
        biased;
        () = context.cancel.cancelled() => return Err(TaskError::cancelled()),
        facts = collected => facts?,
    };
    Ok(Done::Preflighted(Preflight {
        refusals: refusals(&facts).iter().map(Refusal::from).collect(),
        warnings: warnings(&facts),
        live_bytes: facts.live_bytes,
        live_sessions: facts.live_sessions,
    }))
}

/// All that the rules need: facts from the server, and the table of contents of the backup's schema archive.
pub async fn facts(
    task: &RestoreTask,
    context: &WorkerContext,
    manifest: &Manifest,
    admin: &Session,
) -> Result<PreflightFacts, TaskError> {
    let contents = contents(task, context, manifest, admin.server_major()).await?;
    Ok(gather_facts(admin, task, manifest, contents.as_ref()).await?)
}

/// `None` where the archive is too large to fetch, or the installed tools cannot read it; the latter is a refusal by itself.
async fn contents(
    task: &RestoreTask,
    context: &WorkerContext,
    manifest: &Manifest,
    server_major: i32,
) -> Result<Option<ArchiveContents>, TaskError> {
    let Ok(tools) = Tools::find(server_major) else { return Ok(None) };
    if manifest.schema.length > ARCHIVE_LIMIT {
        return Ok(None);
    }
    let access =
        Access::prepare(&task.database, &task.database.maintenance_database, &application(task), Purpose::Read)?;
    let file = access.dir().join("schema");
    backup::fetch_archive(task, context, manifest, &file).await?;
    let archive = Archive { tools: &tools, access: &access, file: &file, owners: true };
    let listed = async {
        Ok::<_, EngineError>(ArchiveContents { list: archive.contents().await?, needs: archive.needs().await? })
    };
    let listed = listed.await;
    if let Err(error) = &listed {
        tracing::warn!(%error, "schema archive not listed");
    }
    Ok(listed.ok())
}

fn application(task: &RestoreTask) -> String {
    format!("sennight preflight {}", task.request_uid)
}
