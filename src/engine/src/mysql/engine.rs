//! MySQL and MariaDB as one of the engines. The server's version tells them apart where that matters.

use super::connect::connect;
use super::dump::{MySQLDatabase, MySQLLive, OBJECT};
use super::{cutover, drill, drop_database, preflight_report, prepare};
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
pub struct MySQL;

#[async_trait]
impl Engine for MySQL {
    fn schema_object(&self) -> &'static str {
        OBJECT
    }

    async fn open(&self, request: &DumpRequest<'_>) -> Result<Box<dyn OpenDatabase>, TaskError> {
        Ok(Box::new(MySQLDatabase::open(request).await?))
    }

    async fn open_live(&self, request: &DumpRequest<'_>) -> Result<Box<dyn LiveTables>, TaskError> {
        Ok(Box::new(MySQLLive::open(request).await?))
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
        preflight_report::undo(task, application).await
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

    /// The swap looks for all of it by itself, under its locks.
    async fn obstacles(&self, _task: &CutoverTask, _application: &str) -> Result<(), TaskError> {
        Ok(())
    }

    async fn swap(
        &self,
        task: &CutoverTask,
        journals: &dyn JournalStore,
        application: &str,
        resumed: bool,
    ) -> Result<Swapped, TaskError> {
        if resumed {
            return cutover::resume(task, journals, application).await;
        }
        cutover::swap(task, journals, application).await
    }

    async fn finish_swap(
        &self,
        task: &CutoverTask,
        journals: &dyn JournalStore,
        application: &str,
    ) -> Result<Swapped, TaskError> {
        cutover::finish(task, journals, application).await
    }

    async fn recover_swap(
        &self,
        task: &CutoverTask,
        journals: &dyn JournalStore,
        _swapper: &str,
        unclaimed: bool,
    ) -> Result<SwapOutcome, TaskError> {
        cutover::recover(task, journals, unclaimed).await
    }

    /// By the restore account: the dump account has no rights on a name that did not exist when its rights were granted, and
    /// the restore account may grant none.
    fn previous_database(&self, task: &SafetyBackupTask) -> DatabaseTarget {
        DatabaseTarget { credentials_dir: task.restore_credentials_dir.clone(), ..task.dump.database.clone() }
    }

    async fn check_previous(&self, task: &SafetyBackupTask) -> Result<(), TaskError> {
        let database = self.previous_database(task);
        let mut session = connect(&database, "", &format!("sennight safety-backup {}", task.request_uid)).await?;
        let (name, number, uid) = (&database.database, task.previous_number.0, &task.request_uid);
        let checked = drop_database::check_previous(&mut session, name, number, uid).await;
        session.close().await;
        Ok(checked?)
    }

    async fn drop_database(&self, task: &DropDatabaseTask) -> Result<DatabaseDropped, TaskError> {
        let application = format!("sennight drop-database {}", task.request_uid);
        let mut session = connect(&task.database, "", &application).await?;
        let dropped = drop_database::drop_marked(&mut session, task).await;
        session.close().await;
        Ok(dropped?)
    }

    fn plain_files(&self) -> &dyn PlainFiles {
        self
    }
}
