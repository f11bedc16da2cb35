//! The worker's answer: a report of each task as a JSON object in the bucket, and the process's exit code.

use chrono::{DateTime, Utc};
use sennight_core::result::{Done, TAKEN_BACK};
use serde::{Deserialize, Serialize};

/// Exit code: every task succeeded.
pub const EXIT_OK: i32 = 0;
/// Exit code: a task failed in a way that another attempt may not.
pub const EXIT_RETRY: i32 = 1;
/// Exit code: a task was refused for good; the Job's podFailurePolicy ends it without another attempt.
pub const EXIT_REFUSED: i32 = 3;

/// How one task ended: the object `results/<job uid>/<task>.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskReport {
    /// Name of the task.
    pub task: String,
    /// When it started.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub finished_at: DateTime<Utc>,
    /// How it ended.
    pub outcome: Outcome,
}

/// How a task ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all_fields = "camelCase")]
pub enum Outcome {
    /// It did what it was told.
    Succeeded(Done),
    /// It did not, and changed nothing that matters.
    Failed {
        /// Reason in CamelCase: becomes the condition's reason, the Event's and the metric's label.
        reason: String,
        /// One sentence for people: the object, what happened, what to do. No secrets.
        message: String,
        /// False when another attempt would fail the same way.
        retryable: bool,
    },
    /// Whether the step took effect is not known: a person must check (NeedsAttention).
    Unknown {
        /// Reason in CamelCase.
        reason: String,
        /// What to check.
        message: String,
    },
}

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

    /// The swap did not take effect, and will not any more.
    pub fn taken_back() -> Self {
        let message = "the cut-over ended before it took effect, and what it had begun was taken back: the old database serves; create a new request";
        Self::refused(TAKEN_BACK, message)
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
