//! `preflight`: says whether a full restore would work, and changes nothing.

use super::{TaskError, WorkerContext, backup, hooks, mysql};
use sennight_core::engine::Engine;
use sennight_core::manifest::Manifest;
use sennight_core::result::{Done, Preflight, Refusal};
use sennight_engine::postgres::archive::Archive;
use sennight_engine::postgres::preflight::{ArchiveContents, gather_facts};
use sennight_engine::postgres::preflight_facts::PreflightFacts;
use sennight_engine::postgres::preflight_rules::{refusals, warnings};
use sennight_engine::postgres::tools::{Access, Tools};
use sennight_engine::postgres::{EngineError, Purpose, Session, connect_to_read};
use sennight_protocol::restore::RestoreTask;

/// A larger schema archive (large objects are in it) is not fetched for a mere look.
const ARCHIVE_LIMIT: i64 = 64 << 20;

/// Looks. Refusals are a result, not an error: the task succeeds when it could look.
pub async fn run(task: &RestoreTask, context: &WorkerContext) -> Result<Done, TaskError> {
    let mut done = look_at(task, context).await?;
    if let (Done::Preflighted(found), Err(error)) = (&mut done, hooks::check(task)) {
        found.refusals.push(Refusal { reason: error.reason, message: error.message });
    }
    Ok(done)
}

async fn look_at(task: &RestoreTask, context: &WorkerContext) -> Result<Done, TaskError> {
    if task.database.engine != Engine::PostgreSQL {
        let looked = mysql::preflight::run(task, context);
        return tokio::select! {
            biased;
            () = context.cancel.cancelled() => Err(TaskError::cancelled()),
            found = looked => found,
        };
    }
    let looked = async {
        let manifest = backup::open(task, context).await?;
        let admin = connect_to_read(&task.database, &task.database.maintenance_database, &application(task)).await?;
        let evidence = facts(task, context, &manifest, &admin).await;
        admin.close().await;
        evidence
    };
    let evidence = tokio::select! {
        biased;
        () = context.cancel.cancelled() => return Err(TaskError::cancelled()),
        evidence = looked => evidence?,
    };
    Ok(Done::Preflighted(Preflight {
        refusals: refusals(&evidence).iter().map(Refusal::from).collect(),
        warnings: warnings(&evidence),
        live_bytes: evidence.live_bytes,
        live_sessions: evidence.live_sessions,
    }))
}

/// Everything that the rules need to know, the archive's table of contents included.
pub async fn facts(
    task: &RestoreTask,
    context: &WorkerContext,
    manifest: &Manifest,
    admin: &Session,
) -> Result<PreflightFacts, TaskError> {
    let contents = contents(task, context, manifest, admin.server_major()).await?;
    Ok(gather_facts(admin, task, manifest, contents.as_ref()).await?)
}

/// `None` where it is too large to fetch or the tools at hand cannot read it; the latter is a refusal by itself.
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
        tracing::warn!(%error, "the schema archive cannot be listed");
    }
    Ok(listed.ok())
}

fn application(task: &RestoreTask) -> String {
    format!("sennight preflight {}", task.request_uid)
}
