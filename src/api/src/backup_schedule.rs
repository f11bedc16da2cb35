//! BackupSchedule: one tenant's database, dumped once a day.

use super::alarm::Alarm;
pub use super::backup::Backup;
use super::common::LocalRef;
use super::conditions::Condition;
use chrono::{DateTime, NaiveDate, Utc};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One tenant database that is dumped every day. There is no object per backup: the backups are in the bucket, and
/// `status.backups` lists them. Deleting a BackupSchedule leaves its backups to expire.
#[derive(CustomResource, Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "sennight.dev",
    version = "v1alpha1",
    kind = "BackupSchedule",
    plural = "backupschedules",
    namespaced,
    category = "sennight",
    shortname = "bsched",
    status = "BackupScheduleStatus",
    derive = "PartialEq",
    doc = "One tenant database that is dumped every day.",
    printcolumn(name = "Tenant", type_ = "string", json_path = ".spec.tenant.id"),
    printcolumn(name = "Server", type_ = "string", json_path = ".spec.database.serverRef.name"),
    printcolumn(name = "Database", type_ = "string", json_path = ".spec.database.name"),
    printcolumn(
        name = "Fresh",
        type_ = "string",
        description = "Whether the newest backup is recent enough.",
        json_path = ".status.conditions[?(@.type==\"Fresh\")].status"
    ),
    printcolumn(
        name = "Last-Success",
        type_ = "date",
        description = "How long ago the newest backup was taken.",
        json_path = ".status.lastSuccessfulTime"
    ),
    printcolumn(
        name = "Next",
        type_ = "string",
        description = "When the next dump is due, UTC.",
        json_path = ".status.nextRunTime"
    ),
    printcolumn(name = "Suspend", type_ = "boolean", json_path = ".spec.suspend"),
    printcolumn(
        name = "Failures",
        type_ = "integer",
        priority = 1,
        description = "Failed dumps since the last good one.",
        json_path = ".status.consecutiveFailures"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        priority = 1,
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct BackupScheduleSpec {
    /// Whose data it is.
    pub tenant: Tenant,
    /// The database.
    pub database: Database,
    /// The BackupStorage that backups go to.
    pub storage_ref: LocalRef,
    /// When: `@daily` spreads all tenants evenly over the window and always gives one tenant the same second; or five cron
    /// fields, minute to weekday, that name one time of day.
    #[serde(default = "default_schedule")]
    #[schemars(
        length(min = 1, max = 100),
        // Coarse on purpose: that a cron fires once a day and ever at all is checked by `core`, with a better message.
        regex(pattern = r"^(@daily|[0-9*/,-]+ [0-9*/,-]+ [0-9A-Za-z*/,?#-]+ [0-9A-Za-z*/,-]+ [0-9A-Za-z*/,?#-]+)$")
    )]
    pub schedule: String,
    /// Local time of day at which the window of `@daily` opens, `HH:MM`.
    #[serde(default = "default_window_start")]
    #[schemars(length(equal = 5), regex(pattern = r"^([01][0-9]|2[0-3]):[0-5][0-9]$"))]
    pub window_start: String,
    /// Length of the window of `@daily`, in hours and minutes: `6h`, `90m`, `1h30m`; at most `24h`, the whole day.
    #[serde(default = "default_window")]
    #[schemars(length(min = 2, max = 8), regex(pattern = r"^([0-9]{1,2}h)?([0-9]{1,4}m)?$"))]
    pub window: String,
    /// IANA time zone, `Europe/Berlin`. It decides the local day that a backup belongs to, and thereby what a RestoreRequest's
    /// date means.
    #[serde(default = "default_zone")]
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[A-Za-z0-9_+/-]+$"))]
    pub time_zone: String,
    /// Stop dumping. Backups that exist still expire.
    #[serde(default)]
    pub suspend: bool,
    /// How late a missed dump may still start, in seconds. Leave it out to catch up however late, once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 60, max = 604_800))]
    pub starting_deadline_seconds: Option<i32>,
    /// How much smaller than its predecessor a backup may be before condition Suspicious says so.
    #[serde(default)]
    pub alarm: Alarm,
    /// Runs besides the daily one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger: Option<Trigger>,
    /// The ExportProfile of CrmExports unless a RestoreRequest names another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub export_profile_ref: Option<LocalRef>,
}

fn default_schedule() -> String {
    "@daily".to_owned()
}
fn default_window_start() -> String {
    "00:00".to_owned()
}
fn default_window() -> String {
    "24h".to_owned()
}
fn default_zone() -> String {
    "UTC".to_owned()
}

/// A tenant account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "self.id == oldSelf.id",
    "message": "tenant.id is immutable, its backups carry it: delete this BackupSchedule and create another one"
}]))]
pub struct Tenant {
    /// Id of the account. Immutable: backups carry it, and one tenant's backup is never restored to another.
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[A-Za-z0-9]([A-Za-z0-9._:@-]*[A-Za-z0-9])?$"))]
    pub id: String,
    /// User id of the account's owner: only the owner may ask for a restore.
    #[schemars(length(min = 1, max = 128))]
    pub owner: String,
    /// The account's plan.
    pub plan: Plan,
}

/// A tenant's plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// Name of the plan, as billing calls it.
    #[schemars(length(min = 1, max = 64))]
    pub name: String,
    /// Whether the plan comes with restores. If not, a RestoreRequest shows PlanUpgradeRequired until it is Paid: buying
    /// the plan is the payment. Every account is dumped, whatever its plan.
    #[serde(default)]
    pub includes_restore: bool,
}

/// A tenant's database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Database {
    /// The DatabaseServer that it lives on.
    pub server_ref: LocalRef,
    /// Name of the database on the server.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[^\x00-\x1f\x7f]+$"))]
    pub name: String,
    /// Secret with `host`, `username` and `password` for dumping this database. Leave it out for the DatabaseServer's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_secret_ref: Option<LocalRef>,
    /// MySQL and MariaDB: back up tables of other storage engines than InnoDB too. No snapshot holds them still: their rows are
    /// as they were when they were read. Left out: such a database is not dumped, and the failure names the tables.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_non_transactional: bool,
}

/// Runs besides the daily one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Trigger {
    /// A token. Each new value starts one dump now; `status.manualTrigger` shows the last one that was answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub manual: Option<String>,
    /// A token. Each new value starts one restore drill of the newest backup now, on the server that the DatabaseServer's
    /// `drill.serverRef` names; `status.drillTrigger` shows the last one that was answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub drill: Option<String>,
}

/// How the backups go, and which backups exist.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupScheduleStatus {
    /// The generation of the spec that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready, Fresh, Suspicious.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// When the next dump is due. Absent while suspended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::common::time")]
    pub next_run_time: Option<DateTime<Utc>>,
    /// Snapshot time of the newest backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::common::time")]
    pub last_successful_time: Option<DateTime<Utc>>,
    /// The run that was started last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_run: Option<LastRun>,
    /// The last failure. Stays until a run succeeds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<LastFailure>,
    /// Failed runs since the last good one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consecutive_failures: Option<i32>,
    /// The last `spec.trigger.manual` that was answered with a run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub manual_trigger: Option<String>,
    /// The last `spec.trigger.drill` that was answered with a drill; its result is in the DatabaseServer's status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub drill_trigger: Option<String>,
    /// When a restore drill last proved one of the backups; also when that backup is gone since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::common::time")]
    pub last_proven_time: Option<DateTime<Utc>>,
    /// Name of the Job that dumps this database now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub active_job: Option<String>,
    /// When the bucket was asked which backups there are: once, before anything else is done for this schedule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::common::time")]
    pub catalogue_time: Option<DateTime<Utc>>,
    /// The backups in the bucket, newest first. A cache of the manifests there, which are the truth.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    // Atomic: its one writer applies it whole. As a map each backup costs 200 bytes of managedFields: a fifth of an object with seven.
    #[schemars(length(max = 40), extend("x-kubernetes-list-type" = "atomic"))]
    pub backups: Vec<Backup>,
}

/// A run that was started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LastRun {
    /// What it was started for: the slot's time, or the manual token.
    #[schemars(length(max = 160))]
    pub key: String,
    /// The slot that it serves; absent for a manual run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::common::time")]
    pub slot: Option<DateTime<Utc>>,
    /// Local day of the slot: one day is never dumped twice by the schedule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::common::day")]
    pub day: Option<NaiveDate>,
    /// Name of the Job.
    #[schemars(length(max = 63))]
    pub job: String,
    /// UID of the Job: its report in the bucket is found by it, also when the Job is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub job_uid: Option<String>,
    /// Which try of this run it is, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<i32>,
    /// When the Job was created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::common::time")]
    pub started_at: Option<DateTime<Utc>>,
    /// When its outcome was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::common::time")]
    pub finished_at: Option<DateTime<Utc>>,
    /// How it ended: Succeeded, Failed, Aborted (a restore took its turn). Absent while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<RunOutcome>,
    /// Of a failed run: whether the same day is tried again, later and later, before the next slot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retryable: Option<bool>,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, strum::Display, strum::EnumString)]
pub enum RunOutcome {
    /// A backup exists.
    Succeeded,
    /// No backup.
    Failed,
    /// No backup, and nobody's fault: a restore took the database.
    Aborted,
}

/// A failed run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LastFailure {
    /// When the run failed.
    #[schemars(schema_with = "super::common::time")]
    pub time: DateTime<Utc>,
    /// Reason in CamelCase.
    #[schemars(length(max = 128))]
    pub reason: String,
    /// A sentence: what happened and what to do.
    #[schemars(length(max = 2048))]
    pub message: String,
}
