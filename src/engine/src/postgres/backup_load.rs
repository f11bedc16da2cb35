//! Loads a backup into an empty PostgreSQL database: schema, rows, indexes and constraints. Each step is checked before the
//! next one. `prepare` and drills use it; a drill leaves owners and grants out.

use super::archive::{Archive, Section};
use super::connect::{Session, connect};
use super::error::EngineError;
use super::startup::Purpose;
use super::tools::{Access, Tools};
use super::{backup_rows, compare, hooks, load, swap};
use crate::restore::LoadRequest;
use futures::future::try_join_all;
use sennight_core::progress::Stage;
use sennight_protocol::report::TaskError;

/// Loads everything and runs the restore hooks. Returns their names. `owners`: sets owners and grants; otherwise everything
/// belongs to the loading role.
pub async fn load_backup(request: &LoadRequest<'_>, server_major: i32, owners: bool) -> Result<Vec<String>, TaskError> {
    let (task, manifest) = (request.task, request.backup.manifest());
    let tools = Tools::find(server_major)?;
    let access = Access::prepare(&task.database, request.database, request.application, Purpose::Write)?;
    let file = access.dir().join("schema");
    request.backup.fetch_schema(&file).await?;
    let archive = Archive { tools: &tools, access: &access, file: &file, owners };
    let session = connect_new(request).await?;
    let superuser = swap::is_superuser(&session).await?;
    archive.load_definitions(superuser, &manifest.roles).await?;
    compare::tables(&session, manifest).await?;
    archive.load(Section::Data).await?;
    compare::set_sequences(&session, &manifest.sequences).await?;
    let routes = load::routes(&session).await?;
    let more = try_join_all((1..backup_rows::connections(task, manifest)).map(|_| connect_new(request))).await?;
    let sessions: Vec<&Session> = std::iter::once(&session).chain(&more).collect();
    let counted = backup_rows::load(request, &routes, &sessions).await?;
    let progress = request.progress;
    progress.stage(Stage::Comparing);
    compare::rows(&sessions, &manifest.tables, &routes, &counted).await?;
    compare::sequences(&session, &manifest.sequences).await?;
    // From here on a tenant's grants and policies may hide rows from the loading role: everything was compared before.
    progress.stage(Stage::Indexes);
    archive.load_grants().await?;
    archive.build(&session, task.parallelism).await?;
    compare::indexes(&session).await?;
    progress.stage(Stage::Hooks);
    let ran = hooks::run_all(request, &session).await?;
    progress.stage(Stage::Statistics);
    load::analyze(&sessions).await?;
    for session in more {
        session.close().await;
    }
    session.close().await;
    Ok(ran)
}

async fn connect_new(request: &LoadRequest<'_>) -> Result<Session, EngineError> {
    connect(&request.task.database, request.database, request.application).await
}
