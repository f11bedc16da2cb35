//! `drill`: restores a backup into a scratch database, proves that it is the backup, and drops it. The tenant's own server is
//! neither read nor written; the scratch database belongs to the drill's role, nobody else may come in.

use super::postgres_load::PostgresLoad;
use super::{TaskError, WorkerContext, backup, mysql, prepare, verify};
use sennight_core::engine::Engine;
use sennight_core::manifest::Manifest;
use sennight_core::names::{drill_database, stable_hash};
use sennight_core::result::{Done, Drilled};
use sennight_engine::postgres::create::{self, Creation};
use sennight_engine::postgres::preflight_refusal::PreflightRefusal;
use sennight_engine::postgres::{EngineError, Session, connect, drills};
use sennight_protocol::restore::{DrillTask, RestoreTask};
use sennight_protocol::target::DatabaseTarget;
use std::time::Instant;

/// Drills. Whatever happens, the scratch database is dropped again; what a killed drill left, the next
/// one drops, whoever's it is.
pub async fn run(task: &DrillTask, context: &WorkerContext) -> Result<Done, TaskError> {
    let began = Instant::now();
    // Marks and lock go by tenant: of two drills of one tenant the second finds what the first left.
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
        there = verify::check_objects(&context.store, &task.backup.prefix, &manifest) => there?,
    }
    let application = format!("sennight drill {}", task.name);
    if task.server.engine == Engine::PostgreSQL {
        let admin = connect(&task.server, &task.server.maintenance_database, &application).await?;
        match drills::drop_leftovers(&admin, &restore.request_uid).await {
            Ok(gone) if gone.is_empty() => {}
            Ok(gone) => tracing::info!(databases = gone.join(", "), "dropped what killed drills had left"),
            Err(error) => tracing::warn!(%error, "what killed drills left was not looked for"),
        }
        let proven = proven(&restore, context, &manifest, &admin, &scratch, &application).await;
        admin.close().await;
        proven?;
    } else {
        let filled = mysql::drill::proven(&restore, &task.server, context, &manifest, &scratch, &application);
        Box::pin(filled).await?;
    }
    Ok(Done::Drilled(Drilled {
        id: manifest.id.clone(),
        rows: manifest.totals.rows,
        tables: manifest.totals.tables,
        seconds: i64::try_from(began.elapsed().as_secs()).unwrap_or(i64::MAX),
    }))
}

async fn proven(
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
    let filled = tokio::select! {
        biased;
        () = context.cancel.cancelled() => Err(TaskError::cancelled()),
        filled = fill(task, context, manifest, admin, scratch, application) => filled,
    };
    let dropped = create::drop_own(admin, scratch, &task.request_uid).await;
    filled?;
    dropped?;
    Ok(())
}

async fn fill(
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
    let filling = PostgresLoad {
        task,
        context,
        manifest,
        server_major: admin.server_major(),
        name: scratch,
        application,
        owners: false,
    };
    tokio::select! {
        filled = filling.run() => filled.map(drop),
        grown = prepare::watch_size(admin, manifest, oid) => Err(grown?),
    }
}
