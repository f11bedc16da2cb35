//! `TaskError`: every stage's errors as the reason, message and verdict of a report.

use sennight_core::result::TAKEN_BACK;
use sennight_engine::mysql;
use sennight_engine::postgres::EngineError;
use sennight_engine::postgres::failure::RestoreError;
use sennight_protocol::report::Outcome;
use sennight_storage::{CatalogueError, StoreError};

/// What a failure means for the next attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing was changed; another attempt may succeed.
    Retry,
    /// Nothing was changed; another attempt would fail the same way.
    Refused,
    /// Nobody can tell whether the step took effect: a person must look.
    Unknown,
}

/// Why a task failed. Built from the stages' typed errors.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TaskError {
    /// CamelCase: condition reason, Event reason, metric label.
    pub reason: String,
    /// One sentence for people, without secrets.
    pub message: String,
    /// Whether another attempt makes sense.
    pub verdict: Verdict,
}

impl TaskError {
    /// A failure that another attempt may not meet.
    pub fn retry(reason: &str, message: impl Into<String>) -> Self {
        Self { reason: reason.to_owned(), message: message.into(), verdict: Verdict::Retry }
    }

    /// A failure that every attempt would meet.
    pub fn refused(reason: &str, message: impl Into<String>) -> Self {
        Self { reason: reason.to_owned(), message: message.into(), verdict: Verdict::Refused }
    }

    /// The step may or may not have taken effect.
    pub fn unknown(reason: &str, message: impl Into<String>) -> Self {
        Self { reason: reason.to_owned(), message: message.into(), verdict: Verdict::Unknown }
    }

    /// From another error: its reason, and whether it may be tried again.
    pub fn of(reason: &str, retryable: bool, error: &dyn std::error::Error) -> Self {
        let verdict = if retryable { Verdict::Retry } else { Verdict::Refused };
        Self { reason: reason.to_owned(), message: error.to_string(), verdict }
    }

    /// SIGTERM or SIGINT arrived before the task's point of no return.
    pub fn cancelled() -> Self {
        Self::retry("Cancelled", "the worker was told to end before the task was done; nothing was kept")
    }
}

/// The swap did not take effect, and will not any more.
pub fn taken_back() -> TaskError {
    let message = "the cut-over ended before it took effect, and what it had begun was taken back: the old database serves; create a new request";
    TaskError::refused(TAKEN_BACK, message)
}

impl From<EngineError> for TaskError {
    fn from(error: EngineError) -> Self {
        Self::of(error.reason(), error.retryable(), &error)
    }
}

impl From<mysql::EngineError> for TaskError {
    fn from(error: mysql::EngineError) -> Self {
        Self::of(error.reason(), error.retryable(), &error)
    }
}

impl From<StoreError> for TaskError {
    fn from(error: StoreError) -> Self {
        Self::of(error.reason(), error.retryable(), &error)
    }
}

impl From<RestoreError> for TaskError {
    fn from(error: RestoreError) -> Self {
        if error.unknown() {
            return Self::unknown(error.reason(), error.to_string());
        }
        Self::of(error.reason(), error.retryable(), &error)
    }
}

impl From<mysql::failure::RestoreError> for TaskError {
    fn from(error: mysql::failure::RestoreError) -> Self {
        if error.unknown() {
            return Self::unknown(error.reason(), error.to_string());
        }
        Self::of(error.reason(), error.retryable(), &error)
    }
}

impl From<CatalogueError> for TaskError {
    fn from(error: CatalogueError) -> Self {
        Self::of(error.reason(), error.retryable(), &error)
    }
}

impl From<TaskError> for Outcome {
    fn from(error: TaskError) -> Self {
        let TaskError { reason, message, verdict } = error;
        match verdict {
            Verdict::Unknown => Self::Unknown { reason, message },
            verdict => Self::Failed { reason, message, retryable: verdict == Verdict::Retry },
        }
    }
}
