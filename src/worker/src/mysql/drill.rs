//! `drill` on MySQL and MariaDB: loads the backup into a scratch schema, compares every row, drops the schema.

use super::prepare::new_number;
use crate::mysql_load::MySQLLoad;
use crate::{TaskError, WorkerContext};
use sennight_core::manifest::Manifest;
use sennight_engine::mysql::connect;
use sennight_engine::mysql::load::Definers;
use sennight_engine::mysql::marks::{Mark, Role};
use sennight_engine::mysql::schemas::{create, drop_own, lock, lock_of_request};
use sennight_protocol::restore::RestoreTask;
use sennight_protocol::target::DatabaseTarget;

/// Restores into `scratch` and drops that schema, also after a failure.
pub async fn run(
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
    let load = MySQLLoad {
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
    let loaded = tokio::select! {
        biased;
        () = context.cancel.cancelled() => Err(TaskError::cancelled()),
        loaded = load.run() => loaded.map(|_| ()),
    };
    let dropped = drop_own(&mut admin, scratch, &task.request_uid).await;
    admin.close().await;
    loaded?;
    dropped?;
    Ok(())
}
