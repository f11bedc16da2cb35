//! `prepare`: fills a new database beside the live one from a backup, and compares it with the backup. May be repeated: each
//! attempt drops what the one before left. The live database is read, never written.

use super::backup::StoredBackup;
use super::{TaskError, WorkerContext, hooks, verify};
use sennight_core::names::new_database;
use sennight_core::result::Done;
use sennight_engine::restore::{BackupReader, LoadRequest};
use sennight_protocol::restore::RestoreTask;

/// Prepares. On any failure, a damaged frame included, the new database is dropped again.
pub async fn run(task: &RestoreTask, context: &WorkerContext) -> Result<Done, TaskError> {
    // Hooks that cannot be read fail here, before anything is loaded.
    let hooks = hooks::of(task)?;
    let backup = StoredBackup::open(task, context).await?;
    tokio::select! {
        biased;
        () = context.cancel.cancelled() => return Err(TaskError::cancelled()),
        sound = verify::before_loading(&context.store, &task.backup.prefix, backup.manifest()) => sound?,
    }
    let new_database = new_database(&task.database.database, &task.request_uid);
    let request = LoadRequest {
        task,
        backup: &backup,
        database: &new_database,
        application: &format!("sennight prepare {}", task.request_uid),
        hooks: &hooks,
        progress: &context.progress,
        cancel: &context.cancel,
    };
    let prepared = context.engine(task.database.engine).prepare(&request).await?;
    let totals = backup.manifest().totals;
    Ok(Done::Prepared {
        live_number: prepared.live_number,
        new_number: prepared.new_number,
        rows: totals.rows,
        tables: totals.tables,
        hooks: prepared.hooks,
        new_database,
    })
}
