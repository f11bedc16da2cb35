//! How far a running task is. The worker writes it into the bucket, the operator reads it into status.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// How far a running task is: the object `progress/<job uid>/<task>.json`, written at a bounded rate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// When this was written, by the worker's clock.
    pub at: DateTime<Utc>,
    /// What is being done; absent where a task does not say so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<Stage>,
    /// Bytes done.
    pub bytes: i64,
    /// Bytes in all, where known.
    pub total_bytes: Option<i64>,
    /// Rows done.
    pub rows: i64,
    /// Rows in all, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_rows: Option<i64>,
    /// Tables done.
    pub tables: i64,
    /// Tables in all, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_tables: Option<i64>,
}

/// What a task is doing. Bytes, rows and tables are counted in [`Stage::Rows`] only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, strum::Display)]
pub enum Stage {
    /// Rows are loaded.
    Rows,
    /// The loaded rows are compared with the backup.
    Comparing,
    /// Indexes, constraints, and the rest of the schema.
    Indexes,
    /// The platform team's SQL.
    Hooks,
    /// Statistics for the server's planner.
    Statistics,
}
