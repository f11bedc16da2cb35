//! PostgreSQL as one of the engines.

use super::connect::{connect, connect_to_read};
use super::dump::{OBJECT, PostgresLive, PostgresSnapshot};
use super::error::EngineError;
use super::{cutover, drill, drop_database, preflight_report, preflight_undo, prepare, swap};
use crate::credentials::Credentials;
use crate::dump::{DumpRequest, LiveTables, OpenDatabase};
use crate::engine::Engine;
use crate::plain_files::PlainFiles;
use crate::restore::{BackupReader, JournalStore, LoadRequest, Prepared, SwapOutcome, SwapState, Swapped};
use async_trait::async_trait;
use sennight_core::result::{DatabaseDropped, Preflight};
use sennight_protocol::backup::SafetyBackupTask;
use sennight_protocol::cutover::CutoverTask;
use sennight_protocol::drop_database::DropDatabaseTask;
use sennight_protocol::report::TaskError;
use sennight_protocol::restore::RestoreTask;
use sennight_protocol::target::DatabaseTarget;

/// The engine. It has no state.
#[derive(Debug, Clone, Copy)]
pub struct PostgreSQL;

#[async_trait]
impl Engine for PostgreSQL {
    fn schema_object(&self) -> &'static str {
        OBJECT
    }

    async fn open(&self, request: &DumpRequest<'_>) -> Result<Box<dyn OpenDatabase>, TaskError> {
        Ok(Box::new(PostgresSnapshot::open(request).await?))
    }

    async fn open_live(&self, request: &DumpRequest<'_>) -> Result<Box<dyn LiveTables>, TaskError> {
        Ok(Box::new(PostgresLive::open(request).await?))
    }

    async fn preflight(
        &self,
        task: &RestoreTask,
        backup: &dyn BackupReader,
        application: &str,
    ) -> Result<Preflight, TaskError> {
        preflight_report::preflight(task, backup, application).await
    }

    async fn preflight_undo(&self, task: &CutoverTask, application: &str) -> Result<Preflight, TaskError> {
        let admin = connect_to_read(&task.database, &task.database.maintenance_database, application).await?;
        let found = preflight_undo::preflight_undo(&admin, task).await;
        admin.close().await;
        Ok(found?)
    }

    async fn prepare(&self, request: &LoadRequest<'_>) -> Result<Prepared, TaskError> {
        prepare::prepare(request).await
    }

    async fn drill(&self, request: &LoadRequest<'_>) -> Result<(), TaskError> {
        drill::drill(request).await
    }

    async fn swap_state(&self, task: &CutoverTask, application: &str) -> Result<SwapState, TaskError> {
        cutover::swap_state(task, application).await
    }

    async fn obstacles(&self, task: &CutoverTask, application: &str) -> Result<(), TaskError> {
        cutover::obstacles(task, application).await
    }

    /// The transaction itself is the journal: a pod that resumes finds its swap committed, or swaps.
    async fn swap(
        &self,
        task: &CutoverTask,
        _journals: &dyn JournalStore,
        application: &str,
        _resumed: bool,
    ) -> Result<Swapped, TaskError> {
        Ok(swap::swap(task, application, cutover::COMMIT_PATIENCE).await?)
    }

    async fn finish_swap(
        &self,
        _task: &CutoverTask,
        _journals: &dyn JournalStore,
        _application: &str,
    ) -> Result<Swapped, TaskError> {
        Ok(Swapped::found())
    }

    async fn recover_swap(
        &self,
        task: &CutoverTask,
        _journals: &dyn JournalStore,
        swapper: &str,
        unclaimed: bool,
    ) -> Result<SwapOutcome, TaskError> {
        cutover::recover_swap(task, swapper, unclaimed).await
    }

    fn previous_database(&self, task: &SafetyBackupTask) -> DatabaseTarget {
        task.dump.database.clone()
    }

    async fn check_previous(&self, task: &SafetyBackupTask) -> Result<(), TaskError> {
        let credentials_dir = task.restore_credentials_dir.clone();
        let database = DatabaseTarget { credentials_dir, ..task.dump.database.clone() };
        let application = format!("sennight safety-backup {}", task.request_uid);
        let admin = connect(&database, &database.maintenance_database, &application).await?;
        let reader = Credentials::read(&task.dump.database).map_err(EngineError::from)?.username;
        let (name, oid, uid) = (&database.database, task.previous_number.0, &task.request_uid);
        let granted = drop_database::grant_connect(&admin, name, oid, uid, &reader).await;
        admin.close().await;
        Ok(granted?)
    }

    async fn drop_database(&self, task: &DropDatabaseTask) -> Result<DatabaseDropped, TaskError> {
        let application = format!("sennight drop-database {}", task.request_uid);
        let admin = connect(&task.database, &task.database.maintenance_database, &application).await?;
        let dropped = drop_database::drop_marked(&admin, task).await;
        admin.close().await;
        Ok(dropped?)
    }

    fn plain_files(&self) -> &dyn PlainFiles {
        self
    }
}
