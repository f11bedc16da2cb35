//! `drill` on MySQL and MariaDB: a scratch schema, filled, compared row by row, dropped.

use super::prepare::new_number;
use crate::mysql_load::MySQLLoad;
use crate::{TaskError, WorkerContext};
use sennight_core::manifest::Manifest;
use sennight_engine::mysql::connect;
use sennight_engine::mysql::load::Definers;
use sennight_engine::mysql::restore::marks::{Mark, Role};
use sennight_engine::mysql::restore::schemas::{create, drop_own, lock, lock_of_request};
use sennight_protocol::restore::RestoreTask;
use sennight_protocol::target::DatabaseTarget;

/// Restores into `scratch` and drops it, whatever happened.
pub async fn proven(
    task: &RestoreTask,
    server: &DatabaseTarget,
    context: &WorkerContext,
    manifest: &Manifest,
    scratch: &str,
    application: &str,
) -> Result<(), TaskError> {
    let mut admin = connect(server, "", application).await?;
    lock(&mut admin, &lock_of_request(&task.request_uid)).await?;
    drop_own(&mut admin, scratch, &task.request_uid).await?;
    let mark = Mark::new(Role::Restored, &task.request_uid, new_number(0));
    let like = (manifest.server.ctype.as_str(), manifest.server.collate.as_str());
    create(&mut admin, scratch, like, &mark, &task.request_uid).await?;
    let fill = MySQLLoad {
        store: &context.store,
        prefix: &task.backup.prefix,
        manifest,
        target: server,
        database: scratch,
        application,
        parallelism: task.parallelism,
        method: None,
        definers: Definers::Loader,
        progress: &context.progress,
    };
    let filled = tokio::select! {
        biased;
        () = context.cancel.cancelled() => Err(TaskError::cancelled()),
        filled = fill.run() => filled.map(|_| ()),
    };
    let dropped = drop_own(&mut admin, scratch, &task.request_uid).await;
    admin.close().await;
    filled?;
    dropped?;
    Ok(())
}
