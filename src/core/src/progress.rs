//! How far a running task is. The worker writes it into the bucket; estimates are made of it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// How far a running task is: the object `progress/<job uid>/<task>.json`, written at a bounded rate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// When this was written.
    pub at: DateTime<Utc>,
    /// What is being done, where a task says so.
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

/// What a task is doing. Bytes, rows and tables are counted in the first of these only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, strum::Display)]
pub enum Stage {
    /// Rows are brought over.
    Rows,
    /// What arrived is counted or read again.
    Comparing,
    /// Indexes, constraints, and the rest of the schema.
    Indexes,
    /// The platform team's SQL.
    Hooks,
    /// Statistics for the server's planner.
    Statistics,
}
