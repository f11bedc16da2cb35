//! `drop-database`, and what `safety-backup` asks before and after it dumps: schemas by their marks.

use crate::TaskError;
use sennight_core::result::Done;
use sennight_engine::mysql::connect;
use sennight_engine::mysql::restore::drop_database;
use sennight_protocol::backup::SafetyBackupTask;
use sennight_protocol::drop_database::DropDatabaseTask;
use sennight_protocol::target::DatabaseTarget;

/// Drops what a request left.
pub async fn run(task: &DropDatabaseTask) -> Result<Done, TaskError> {
    let mut session = connect(&task.database, "", &format!("sennight drop-database {}", task.request_uid)).await?;
    let cleared = drop_database::drop_marked(&mut session, task).await;
    session.close().await;
    Ok(Done::DatabaseDropped(cleared?))
}

/// The name must stand for the very schema that the swap replaced.
pub async fn check_previous(task: &SafetyBackupTask) -> Result<(), TaskError> {
    let database = restore_target(task);
    let mut session = connect(&database, "", &format!("sennight safety-backup {}", task.request_uid)).await?;
    let kept =
        drop_database::check_previous(&mut session, &database.database, task.previous_oid, &task.request_uid).await;
    session.close().await;
    Ok(kept?)
}

/// The kept schema as the restore account sees it: the dump account has no rights on a name that did not exist when they were
/// given, and the restore account may give none.
pub fn restore_target(task: &SafetyBackupTask) -> DatabaseTarget {
    DatabaseTarget { credentials_dir: task.restore_credentials_dir.clone(), ..task.dump.database.clone() }
}
