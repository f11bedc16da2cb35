//! The trait that a database engine implements. The worker knows nothing else of it.

use crate::dump::{DumpRequest, LiveTables, OpenDatabase};
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

/// What is said to a database. The steps of a task around it (plan, frames, bucket, claim, report) are the worker's.
///
/// A method that is given a token for cancelling ends soon after it fires, and leaves nothing behind. The others may be
/// dropped, except [`Engine::swap`], [`Engine::finish_swap`] and [`Engine::recover_swap`].
#[async_trait]
pub trait Engine: Send + Sync {
    /// Name of the object below a backup's prefix that holds its schema.
    fn schema_object(&self) -> &'static str;

    /// Opens a database in order to dump it.
    async fn open(&self, request: &DumpRequest<'_>) -> Result<Box<dyn OpenDatabase>, TaskError>;

    /// Opens a database in order to read single columns of it, at one snapshot.
    async fn open_live(&self, request: &DumpRequest<'_>) -> Result<Box<dyn LiveTables>, TaskError>;

    /// Reports whether a full restore would work. Changes nothing. A refusal is a result, not an error.
    async fn preflight(
        &self,
        task: &RestoreTask,
        backup: &dyn BackupReader,
        application: &str,
    ) -> Result<Preflight, TaskError>;

    /// Reports whether a full restore could be undone. Changes nothing.
    async fn preflight_undo(&self, task: &CutoverTask, application: &str) -> Result<Preflight, TaskError>;

    /// Fills a new database beside the live one, and compares it with the backup. Drops what an earlier attempt left, and on
    /// any failure what it made itself. The live database is read, never written.
    async fn prepare(&self, request: &LoadRequest<'_>) -> Result<Prepared, TaskError>;

    /// Restores into a scratch database, compares, and drops it in any case.
    async fn drill(&self, request: &LoadRequest<'_>) -> Result<(), TaskError>;

    /// Which database the live name stands for.
    async fn swap_state(&self, task: &CutoverTask, application: &str) -> Result<SwapState, TaskError>;

    /// Fails if something that came after the preflight stands in the way of the swap. Changes nothing.
    async fn obstacles(&self, task: &CutoverTask, application: &str) -> Result<(), TaskError>;

    /// Swaps, once, for the holder of the claim. `resumed`: this pod had claimed before it was started again. Only the
    /// databases that were prepared may be swapped (I2), and after a crash the live name serves one of the two (I3).
    async fn swap(
        &self,
        task: &CutoverTask,
        journals: &dyn JournalStore,
        application: &str,
        resumed: bool,
    ) -> Result<Swapped, TaskError>;

    /// The swap has taken effect: finishes what its process may have left to do.
    async fn finish_swap(
        &self,
        task: &CutoverTask,
        journals: &dyn JournalStore,
        application: &str,
    ) -> Result<Swapped, TaskError>;

    /// Ends a swap whose process is gone, and never begins one. After `Back` that swap can no longer take effect.
    /// `swapper`: name of the sessions of the process that may have swapped. `unclaimed`: nobody had claimed, nor ever will.
    async fn recover_swap(
        &self,
        task: &CutoverTask,
        journals: &dyn JournalStore,
        swapper: &str,
        unclaimed: bool,
    ) -> Result<SwapOutcome, TaskError>;

    /// The previous database as a safety backup reads it: by the dump role, or by the restore role.
    fn previous_database(&self, task: &SafetyBackupTask) -> DatabaseTarget;

    /// Fails unless the name stands for the database that the swap replaced. Lets the reader of
    /// [`Engine::previous_database`] connect to it.
    async fn check_previous(&self, task: &SafetyBackupTask) -> Result<(), TaskError>;

    /// Drops the task's database. One that is gone is a success; one without the right mark or number is an error and stays.
    async fn drop_database(&self, task: &DropDatabaseTask) -> Result<DatabaseDropped, TaskError>;

    /// How a backup is written as files that the engine's own client loads.
    fn plain_files(&self) -> &dyn PlainFiles;
}
