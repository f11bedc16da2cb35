//! The worker's answer: a report of each task as a JSON object in the bucket, and the process's exit code.

use chrono::{DateTime, Utc};
use sennight_core::result::Done;
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
