//! A drill: loads a backup into a scratch database, compares it, and drops it. Only the drill's role can connect to it.

use super::backup_load::{self, Fetched, Load, Sessions};
use super::connect::{Session, connect};
use super::create::{self, Creation};
use super::loading_role::{self, Owners};
use super::preflight_refusal::PreflightRefusal;
use super::{drill_leftovers, prepare};
use crate::restore::LoadRequest;
use sennight_protocol::report::TaskError;

/// Drills one backup, after it has dropped what killed drills left on the server.
pub async fn drill(request: &LoadRequest<'_>) -> Result<(), TaskError> {
    let server = &request.task.database;
    let admin = connect(server, &server.maintenance_database, request.application).await?;
    match drill_leftovers::drop_leftovers(&admin, &request.task.request_uid).await {
        Ok(gone) if gone.is_empty() => {}
        Ok(gone) => tracing::info!(databases = gone.join(", "), "leftovers of killed drills dropped"),
        Err(error) => tracing::warn!(%error, "leftovers of killed drills not searched for"),
    }
    let proven = restore(request, &admin).await;
    admin.close().await;
    proven
}

async fn restore(request: &LoadRequest<'_>, admin: &Session) -> Result<(), TaskError> {
    let (scratch, uid) = (request.database, &request.task.request_uid);
    let (backup, server) = (request.backup.manifest().server.major, admin.server_major());
    if backup > server {
        let refused = PreflightRefusal::BackupNewerThanServer { backup, server };
        return Err(TaskError::refused(refused.reason(), refused.to_string()));
    }
    create::lock(admin, uid).await?;
    create::drop_own(admin, scratch, uid).await?;
    loading_role::drop_own(admin, uid).await?;
    let loaded = tokio::select! {
        biased;
        () = request.cancel.cancelled() => Err(TaskError::cancelled()),
        loaded = create_and_load(request, admin) => loaded,
    };
    let dropped = create::drop_own(admin, scratch, uid).await;
    let roles = loading_role::drop_own(admin, uid).await;
    loaded?;
    dropped?;
    roles?;
    Ok(())
}

async fn create_and_load(request: &LoadRequest<'_>, admin: &Session) -> Result<(), TaskError> {
    let manifest = request.backup.manifest();
    let uid = &request.task.request_uid;
    let fetched = Fetched::new(request, admin.server_major()).await?;
    // Everything belongs to the loading role, which is nobody else on the scratch server either.
    let owners = Owners::default();
    let role = loading_role::make(admin, uid, &owners, backup_load::sessions(request)).await?;
    let creation =
        Creation { name: request.database, tablespace: "pg_default", facts: &manifest.server, request_uid: uid };
    let oid = create::create(admin, &creation, &role, &owners).await?;
    let sessions = Sessions::open(request, &role, &[]).await?;
    role.close(admin).await?;
    let load = Load { request, fetched: &fetched, role: &role, owners: &owners, live_owner: None };
    tokio::select! {
        loaded = load.run(sessions) => loaded.map(drop),
        too_large = prepare::watch_size(admin, manifest, oid) => Err(too_large?),
    }
}
