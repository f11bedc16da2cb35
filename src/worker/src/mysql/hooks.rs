//! Restore hooks on MySQL and MariaDB: runs the files that `worker::hooks` finds in a loaded schema.

use crate::TaskError;
use crate::hooks::read;
use sennight_core::manifest::Manifest;
use sennight_engine::mysql::hooks::run;
use sennight_engine::mysql::{Session, connect};
use sennight_protocol::restore::RestoreTask;
use std::path::Path;

/// Runs all hooks of the task in the new schema, in the order of their names. Returns the names.
pub async fn run_all(
    task: &RestoreTask,
    manifest: &Manifest,
    database: &str,
    application: &str,
) -> Result<Vec<String>, TaskError> {
    let Some(dir) = &task.hooks_dir else { return Ok(Vec::new()) };
    let facts = [
        ("sennight_snapshot_time", manifest.snapshot_time.format("%Y-%m-%d %H:%M:%S%.6f").to_string()),
        ("sennight_tenant", task.identity.tenant.clone()),
        ("sennight_database", task.database.database.clone()),
        ("sennight_request_uid", task.request_uid.clone()),
    ];
    let mut session: Session = connect(&task.database, database, application).await?;
    let mut names = Vec::new();
    for hook in read(Path::new(dir))? {
        run(&mut session, &hook.name, &hook.sql, &facts).await?;
        tracing::info!(hook = hook.name, "restore hook finished");
        names.push(hook.name);
    }
    session.close().await;
    Ok(names)
}
