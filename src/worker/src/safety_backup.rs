//! `safety-backup`: dumps the previous database into `safety/`, and verifies that backup. Only then may the database be
//! dropped, by `drop-database`.

use super::{ProgressWriter, TaskError, WorkerContext, dump, verify};
use sennight_core::names::Area;
use sennight_core::result::Done;
use sennight_protocol::backup::{BackupRef, DumpTask, SafetyBackupTask};

/// Dumps and verifies the previous database. The tenant's live database is not touched, not even read.
pub async fn run(task: &SafetyBackupTask, context: &WorkerContext) -> Result<Done, TaskError> {
    let engine = context.engine(task.dump.database.engine);
    engine.check_previous(task).await?;
    let dump = DumpTask { database: engine.previous_database(task), ..task.dump.clone() };
    let done = dump::into(&dump, Area::Safety, context).await?;
    let Done::Dumped(summary) = &done else { return Ok(done) };
    // An undo may have swapped it meanwhile: the dump would then be of another database, or of parts of both.
    engine.check_previous(task).await?;
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
