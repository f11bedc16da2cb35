//! `safety-backup`: dumps the previous database into `safety/`, and verifies that backup. Only then may the database be
//! dropped, by `drop-database`.

use super::{ProgressWriter, TaskError, WorkerContext, dump, mysql, verify};
use sennight_core::engine::EngineKind;
use sennight_core::names::Area;
use sennight_core::result::Done;
use sennight_engine::credentials::Credentials;
use sennight_engine::postgres::drop_database::grant_connect;
use sennight_engine::postgres::{EngineError, connect};
use sennight_protocol::backup::{BackupRef, DumpTask, SafetyBackupTask};
use sennight_protocol::target::DatabaseTarget;

/// Dumps and verifies the previous database. The tenant's live database is not touched, not even read.
pub async fn run(task: &SafetyBackupTask, context: &WorkerContext) -> Result<Done, TaskError> {
    check_previous(task).await?;
    let dump = match task.dump.database.engine {
        EngineKind::PostgreSQL => task.dump.clone(),
        EngineKind::MySQL | EngineKind::MariaDB => {
            DumpTask { database: mysql::drop_database::restore_target(task), ..task.dump.clone() }
        }
    };
    let done = dump::into(&dump, Area::Safety, context).await?;
    let Done::Dumped(summary) = &done else { return Ok(done) };
    // An undo may have swapped it meanwhile: the dump would then be of another database, or of parts of both.
    check_previous(task).await?;
    let backup = BackupRef {
        prefix: summary.prefix.clone(),
        id: summary.id.clone(),
        manifest_sha256: Some(summary.manifest_sha256.clone()),
    };
    let read_back = async {
        let open = context.store.open(&backup, Some(&task.dump.identity)).await?;
        verify::check_all(&context.store, &backup.prefix, &open.manifest, &ProgressWriter::silent()).await?;
        Ok::<_, TaskError>(())
    };
    tokio::select! {
        biased;
        () = context.cancel.cancelled() => return Err(TaskError::cancelled()),
        read = read_back => read?,
    }
    Ok(done)
}

/// Refuses if the name no longer stands for the database that the swap replaced. Lets the dump role connect to it.
async fn check_previous(task: &SafetyBackupTask) -> Result<(), TaskError> {
    if task.dump.database.engine != EngineKind::PostgreSQL {
        return mysql::drop_database::check_previous(task).await;
    }
    let credentials_dir = task.restore_credentials_dir.clone();
    let database = DatabaseTarget { credentials_dir, ..task.dump.database.clone() };
    let application = format!("sennight safety-backup {}", task.request_uid);
    let admin = connect(&database, &database.maintenance_database, &application).await?;
    let reader = Credentials::read(&task.dump.database.credentials_dir).map_err(EngineError::from)?.username;
    let granted = grant_connect(&admin, &database.database, task.previous_oid, &task.request_uid, &reader).await;
    admin.close().await;
    Ok(granted?)
}
