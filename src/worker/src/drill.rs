//! `drill`: restores a backup into a scratch database, compares it with the backup, and drops it. The tenant's own server is
//! neither read nor written. Only the drill's role can connect to the scratch database.

use super::postgres_load::PostgresLoad;
use super::{TaskError, WorkerContext, backup, mysql, prepare, verify};
use sennight_core::engine::EngineKind;
use sennight_core::manifest::Manifest;
use sennight_core::names::{drill_database, stable_hash};
use sennight_core::result::{Done, Drilled};
use sennight_engine::postgres::create::{self, Creation};
use sennight_engine::postgres::preflight_refusal::PreflightRefusal;
use sennight_engine::postgres::{EngineError, Session, connect, drills};
use sennight_protocol::restore::{DrillTask, RestoreTask};
use sennight_protocol::target::DatabaseTarget;
use std::time::Instant;

/// Drills one backup. The scratch database is dropped in any case. What a killed drill left is dropped by the next drill
/// on that server, of whichever tenant.
pub async fn run(task: &DrillTask, context: &WorkerContext) -> Result<Done, TaskError> {
    let began = Instant::now();
    // Marks and the lock go by tenant, so that a tenant's next drill finds what a killed one left.
    let uid = drills::uid(&stable_hash(&[&task.identity.namespace, &task.identity.schedule], 24));
    let scratch = drill_database(&task.identity.namespace, &task.identity.schedule);
    let restore = RestoreTask {
        name: task.name.clone(),
        request_uid: uid,
        identity: task.identity.clone(),
        backup: task.backup.clone(),
        database: DatabaseTarget { database: task.identity.database.clone(), ..task.server.clone() },
        parallelism: 1,
        headroom_bytes: None,
        hooks_dir: None,
    };
    let manifest = backup::open(&restore, context).await?;
    tokio::select! {
        biased;
        () = context.cancel.cancelled() => return Err(TaskError::cancelled()),
        checked = verify::check_objects(&context.store, &task.backup.prefix, &manifest) => checked?,
    }
    let application = format!("sennight drill {}", task.name);
    if task.server.engine == EngineKind::PostgreSQL {
        let admin = connect(&task.server, &task.server.maintenance_database, &application).await?;
        match drills::drop_leftovers(&admin, &restore.request_uid).await {
            Ok(gone) if gone.is_empty() => {}
            Ok(gone) => tracing::info!(databases = gone.join(", "), "leftovers of killed drills dropped"),
            Err(error) => tracing::warn!(%error, "leftovers of killed drills not searched for"),
        }
        let proven = drill_postgres(&restore, context, &manifest, &admin, &scratch, &application).await;
        admin.close().await;
        proven?;
    } else {
        let drilled = mysql::drill::run(&restore, &task.server, context, &manifest, &scratch, &application);
        Box::pin(drilled).await?;
    }
    Ok(Done::Drilled(Drilled {
        id: manifest.id.clone(),
        rows: manifest.totals.rows,
        tables: manifest.totals.tables,
        seconds: i64::try_from(began.elapsed().as_secs()).unwrap_or(i64::MAX),
    }))
}

async fn drill_postgres(
    task: &RestoreTask,
    context: &WorkerContext,
    manifest: &Manifest,
    admin: &Session,
    scratch: &str,
    application: &str,
) -> Result<(), TaskError> {
    let (backup, server) = (manifest.server.major, admin.server_major());
    if backup > server {
        let refused = PreflightRefusal::BackupNewerThanServer { backup, server };
        return Err(TaskError::refused(refused.reason(), refused.to_string()));
    }
    create::lock(admin, &task.request_uid).await?;
    create::drop_own(admin, scratch, &task.request_uid).await?;
    let loaded = tokio::select! {
        biased;
        () = context.cancel.cancelled() => Err(TaskError::cancelled()),
        loaded = load(task, context, manifest, admin, scratch, application) => loaded,
    };
    let dropped = create::drop_own(admin, scratch, &task.request_uid).await;
    loaded?;
    dropped?;
    Ok(())
}

async fn load(
    task: &RestoreTask,
    context: &WorkerContext,
    manifest: &Manifest,
    admin: &Session,
    scratch: &str,
    application: &str,
) -> Result<(), TaskError> {
    let failed = |e| EngineError::query("asking for the drill's role", e);
    let row = admin.query_one("SELECT current_user::pg_catalog.text", &[]).await.map_err(failed)?;
    let owner: String = row.try_get(0).map_err(failed)?;
    let creation = Creation {
        name: scratch,
        owner: &owner,
        tablespace: "pg_default",
        facts: &manifest.server,
        request_uid: &task.request_uid,
    };
    let oid = create::create(admin, &creation).await?;
    let load = PostgresLoad {
        task,
        context,
        manifest,
        server_major: admin.server_major(),
        name: scratch,
        application,
        owners: false,
    };
    tokio::select! {
        loaded = load.run() => loaded.map(drop),
        too_large = prepare::watch_size(admin, manifest, oid) => Err(too_large?),
    }
}
