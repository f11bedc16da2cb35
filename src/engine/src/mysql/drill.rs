//! A drill on MySQL and MariaDB: loads the backup into a scratch schema, compares every row, drops the schema.

use super::backup_load::MySQLLoad;
use super::connect::connect;
use super::load::Definers;
use super::marks::{Mark, Role};
use super::prepare::new_number;
use super::schemas::{create, drop_own, lock, lock_of_request};
use crate::restore::LoadRequest;
use sennight_protocol::report::TaskError;

/// Restores into the scratch schema and drops it, also after a failure.
pub async fn drill(request: &LoadRequest<'_>) -> Result<(), TaskError> {
    let LoadRequest { task, database: scratch, application, .. } = *request;
    let server = &request.backup.manifest().server;
    let mut admin = connect(&task.database, "", application).await?;
    lock(&mut admin, &lock_of_request(&task.request_uid)).await?;
    drop_own(&mut admin, scratch, &task.request_uid).await?;
    let mark = Mark::new(Role::Restored, &task.request_uid, new_number(0));
    let like = (server.ctype.as_str(), server.collate.as_str());
    create(&mut admin, scratch, like, &mark, &task.request_uid).await?;
    let load = MySQLLoad {
        backup: request.backup,
        target: &task.database,
        database: scratch,
        application,
        parallelism: task.parallelism,
        method: None,
        definers: Definers::Loader,
        progress: request.progress,
    };
    let loaded = tokio::select! {
        biased;
        () = request.cancel.cancelled() => Err(TaskError::cancelled()),
        loaded = load.run() => loaded.map(|_| ()),
    };
    let dropped = drop_own(&mut admin, scratch, &task.request_uid).await;
    admin.close().await;
    loaded?;
    dropped?;
    Ok(())
}
