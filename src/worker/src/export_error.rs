//! Why an export, or the list of the live ids that it compares with, failed.

use super::TaskError;
use super::frames::FrameError;
use sennight_core::names::NameError;
use sennight_export::{CompileError, ExportError};
use sennight_storage::{CatalogueError, StoreError};

/// Why an export failed.
#[derive(Debug, thiserror::Error)]
pub enum ExportTaskError {
    /// The backup is gone, damaged, or of another tenant.
    #[error(transparent)]
    Backup(#[from] CatalogueError),
    /// The backup's rows are damaged.
    #[error(transparent)]
    Frames(#[from] FrameError),
    /// The bucket failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The task's profile cannot be parsed.
    #[error("the export profile is not readable: {0}; kubectl explain exportprofile.spec lists its fields")]
    Profile(#[from] serde_json::Error),
    /// The profile does not fit the backup.
    #[error("the export profile does not fit this backup: {0}")]
    Compile(#[from] CompileError),
    /// The data cannot be exported.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// The list of the live database's ids is not the one that was written.
    #[error("the list of the live database's ids is not what was written: {0}; ask for the export again")]
    LiveIds(String),
    /// A name that cannot be part of a key.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The CSV encoder panicked.
    #[error("the export ended in the middle: {0}; report this as a bug")]
    Encoder(#[from] tokio::task::JoinError),
}

impl From<ExportTaskError> for TaskError {
    fn from(error: ExportTaskError) -> Self {
        let (reason, retryable) = match &error {
            ExportTaskError::Backup(backup) => (backup.reason(), backup.retryable()),
            ExportTaskError::Store(store) => (store.reason(), store.retryable()),
            ExportTaskError::Profile(_) => ("ProfileInvalid", false),
            ExportTaskError::Compile(compile) => (compile.reason(), false),
            ExportTaskError::Export(export) => (export.reason(), false),
            ExportTaskError::LiveIds(_) => ("LiveIdsDamaged", false),
            ExportTaskError::Name(_) => ("NameInvalid", false),
            ExportTaskError::Encoder(_) => ("EncoderFailed", true),
            ExportTaskError::Frames(_) => {
                return match error {
                    ExportTaskError::Frames(frames) => frames.into(),
                    other => Self::retry("EncoderFailed", other.to_string()),
                };
            }
        };
        Self::of(reason, retryable, &error)
    }
}
