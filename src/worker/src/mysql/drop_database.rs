//! `drop-database` on MySQL and MariaDB, and the check that `safety-backup` makes before and after it dumps.

use crate::TaskError;
use sennight_core::result::Done;
use sennight_engine::mysql::connect;
use sennight_engine::mysql::drop_database;
use sennight_protocol::backup::SafetyBackupTask;
use sennight_protocol::drop_database::DropDatabaseTask;
use sennight_protocol::target::DatabaseTarget;

/// Drops the schema of the task, by its mark.
pub async fn run(task: &DropDatabaseTask) -> Result<Done, TaskError> {
    let mut session = connect(&task.database, "", &format!("sennight drop-database {}", task.request_uid)).await?;
    let dropped = drop_database::drop_marked(&mut session, task).await;
    session.close().await;
    Ok(Done::DatabaseDropped(dropped?))
}

/// Refuses if the name no longer stands for the schema that the swap replaced.
pub async fn check_previous(task: &SafetyBackupTask) -> Result<(), TaskError> {
    let database = restore_target(task);
    let mut session = connect(&database, "", &format!("sennight safety-backup {}", task.request_uid)).await?;
    let checked =
        drop_database::check_previous(&mut session, &database.database, task.previous_oid, &task.request_uid).await;
    session.close().await;
    Ok(checked?)
}

/// The previous schema, read by the restore account: the dump account has no rights on a name that did not exist when its
/// rights were granted, and the restore account may grant none.
pub fn restore_target(task: &SafetyBackupTask) -> DatabaseTarget {
    DatabaseTarget { credentials_dir: task.restore_credentials_dir.clone(), ..task.dump.database.clone() }
}
