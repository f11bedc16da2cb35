//! The shrink alarm of a BackupSchedule.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How much smaller than the last good backup a backup may be before condition Suspicious says so. It never fails a dump.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Alarm {
    /// Percent of the rows that must be missing. With fewer than 100 rows before, and with the value 100, only the loss of all
    /// rows counts.
    #[serde(default = "default_rows")]
    #[schemars(range(min = 1, max = 100))]
    pub rows_percent: i32,
    /// Percent of the tables that must be missing.
    #[serde(default = "default_tables")]
    #[schemars(range(min = 1, max = 100))]
    pub tables_percent: i32,
    /// Id of a suspicious backup that somebody has checked and found right: the next ones are compared with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), regex(pattern = r"^[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}$"))]
    pub accept: Option<String>,
}

fn default_rows() -> i32 {
    50
}

fn default_tables() -> i32 {
    20
}

impl Default for Alarm {
    fn default() -> Self {
        Self { rows_percent: default_rows(), tables_percent: default_tables(), accept: None }
    }
}
