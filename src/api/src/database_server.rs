//! DatabaseServer: a server with tenants' databases, its connection, credentials, budgets, hooks and drills.

use super::common::{Engine, LocalRef, SecretKeyRef, TlsMode};
use super::conditions::Condition;
use chrono::{DateTime, Utc};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A database server. BackupSchedules name it, so that a move to another host is one change in one place.
#[derive(CustomResource, Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "sennight.dev",
    version = "v1alpha1",
    kind = "DatabaseServer",
    plural = "databaseservers",
    namespaced,
    category = "sennight",
    shortname = "dbserver",
    status = "DatabaseServerStatus",
    derive = "PartialEq",
    doc = "A database server that tenants' databases live on, with the budgets of dumps and restores.",
    printcolumn(name = "Engine", type_ = "string", json_path = ".spec.engine"),
    printcolumn(name = "Host", type_ = "string", json_path = ".spec.host"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Schedules", type_ = "integer", json_path = ".status.schedules"),
    printcolumn(
        name = "Dumping",
        type_ = "integer",
        description = "Dumps that ran when this was last written, which a change does once in fifteen minutes at most.",
        json_path = ".status.activeDumps"
    ),
    printcolumn(
        name = "Max-Dumps",
        type_ = "integer",
        description = "Dumps that may run at once.",
        json_path = ".spec.maxConcurrentDumps"
    ),
    printcolumn(
        name = "Restoring",
        type_ = "integer",
        description = "Restores that run now.",
        json_path = ".status.activeRestores"
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
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "self.engine == oldSelf.engine",
    "message": "engine is immutable: backups of one engine cannot be restored by another; create another DatabaseServer"
}, {
    "rule": "!has(self.drill) || self.drill.perDay == 0 || has(self.drill.serverRef)",
    "message": "drill.serverRef names the DatabaseServer where scratch databases are made: say which"
}]))]
pub struct DatabaseServerSpec {
    /// PostgreSQL, MySQL or MariaDB.
    pub engine: Engine,
    /// Host name or address.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[A-Za-z0-9]([A-Za-z0-9.:-]*[A-Za-z0-9])?$"))]
    pub host: String,
    /// TCP port. Leave it out for the engine's own (5432 or 3306).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    // Signed, as all integers of the API: the API server warns about the formats of unsigned ones.
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,
    /// TLS towards the server.
    #[serde(default)]
    pub tls: Tls,
    /// Secret with `host`, `username` and `password` of a role that may read every tenant database here. `host` names the hosts that
    /// the password may be sent to. A BackupSchedule may name its own Secret instead.
    pub dump_credentials_secret_ref: LocalRef,
    /// Secret with `host`, `username` and `password` of a role that may create, rename and drop databases. Leave it out and
    /// FullRestore is refused; CrmExport needs no database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore_credentials_secret_ref: Option<LocalRef>,
    /// The database from which others are created and renamed.
    #[serde(default = "default_maintenance")]
    #[schemars(length(min = 1, max = 63))]
    pub maintenance_database: String,
    /// Dumps that may run on this server at once.
    #[serde(default = "default_dumps")]
    #[schemars(range(min = 1, max = 64))]
    pub max_concurrent_dumps: i32,
    /// Restores that may run on this server at once, besides the dumps.
    #[serde(default = "default_restores")]
    #[schemars(range(min = 1, max = 16))]
    pub max_concurrent_restores: i32,
    /// Bytes of row text a second that dumps may read from this server. Each of the `maxConcurrentDumps` that may run at
    /// once has an equal share, also while it runs alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 65536))]
    pub max_bytes_per_second: Option<i64>,
    /// Seconds that a tenant's DDL may wait for a running dump's locks (which stop no reads and no writes). Then the dump is
    /// given up with reason BlockingDdl and tried again.
    #[serde(default = "default_ddl_wait")]
    #[schemars(range(min = 1, max = 86400))]
    pub ddl_wait_seconds: i32,
    /// Bytes of disk that a full restore may take beside the live database. Leave it out when nobody knows: the estimate
    /// then says so, and nothing is refused for want of room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub restore_headroom_bytes: Option<i64>,
    /// PostgreSQL: goes on with a full restore although objects in the backup belong to superusers, or to roles that own other
    /// databases too. What one of these tenants wrote into its database can then reach the others. Leave it out, and such a
    /// restore is refused with OwnersShared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_shared_owners: Option<bool>,
    /// SQL of the platform team that runs in every restored database before anybody sees it: erased persons, dismissed
    /// users, licence rows, paused mail queues. Each key that ends in `.sql` is one hook, run in the order of the names, by
    /// the restore role, in a transaction of its own. A hook that fails ends the restore; the live database stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore_hooks: Option<RestoreHooks>,
    /// Restore drills: each day some tenants' newest backups are restored into a scratch database on a server that you name,
    /// compared and dropped, those first whose last proof is the longest ago.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drill: Option<Drill>,
}

fn default_maintenance() -> String {
    "postgres".to_owned()
}
fn default_dumps() -> i32 {
    2
}
fn default_restores() -> i32 {
    1
}
fn default_ddl_wait() -> i32 {
    60
}

impl DatabaseServerSpec {
    /// The share of one dump in `maxBytesPerSecond`.
    pub fn bytes_per_second_of_a_dump(&self) -> Option<i64> {
        self.max_bytes_per_second.map(|all| (all / i64::from(self.max_concurrent_dumps.max(1))).max(1))
    }

    /// The port to connect to: the one given, else the engine's own.
    pub fn effective_port(&self) -> u16 {
        self.port.and_then(|port| u16::try_from(port).ok()).unwrap_or_else(|| self.engine.default_port())
    }
}

/// TLS towards a database server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Tls {
    /// Disable, Require (certificate not checked), VerifyCA, or VerifyFull (CA and host name).
    #[serde(default)]
    pub mode: TlsMode,
    /// The server's CA as PEM in a Secret. Leave it out for the system's CAs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_secret_ref: Option<SecretKeyRef>,
    /// Secret of type kubernetes.io/tls with a client certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_cert_secret_ref: Option<LocalRef>,
}

/// Where the hooks are: one of the two.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "has(self.configMapRef) != has(self.secretRef)",
    "message": "restoreHooks names one place: either configMapRef or secretRef"
}]))]
pub struct RestoreHooks {
    /// A ConfigMap in this namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_ref: Option<LocalRef>,
    /// A Secret in this namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<LocalRef>,
}

/// Restore drills.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Drill {
    /// Drills a day of tenants of this server; 0 is none. With N tenants each is proven every N / perDay days.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1000))]
    pub per_day: i32,
    /// The DatabaseServer where scratch databases are made, by its `restoreCredentialsSecretRef`: a superuser there, or at
    /// least CREATEDB and what the tenants' extensions need. It may be this server; a server of its own costs tenants
    /// nothing. Roles that row policies name must exist there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_ref: Option<LocalRef>,
}

/// The running drill and the last ones.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DrillStatus {
    /// The drill that runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<DrillRun>,
    /// The last drills that ended, the newest first. A tenant's failed one stays until a later one has proven its backup.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), extend("x-kubernetes-list-type" = "atomic"))]
    pub last: Vec<DrillRun>,
    /// Since when there are drills by themselves, so many a day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::common::time")]
    pub since: Option<DateTime<Utc>>,
    /// How many a day that was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_day: Option<i32>,
    /// Since when the tenant that has gone unproven for the longest has been: its last proof, or since there are drills.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::common::time")]
    pub oldest_proof: Option<DateTime<Utc>>,
}

/// One drill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DrillRun {
    /// Name of the BackupSchedule.
    #[schemars(length(max = 253))]
    pub schedule: String,
    /// Id of the backup.
    #[schemars(length(max = 64))]
    pub backup: String,
    /// Name of the Job.
    #[schemars(length(max = 63))]
    pub job: String,
    /// UID of the Job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub job_uid: Option<String>,
    /// The `spec.trigger.drill` that asked for it; absent for one of the day's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub trigger: Option<String>,
    /// When it began.
    #[schemars(schema_with = "super::common::time")]
    pub started_at: DateTime<Utc>,
    /// When its end was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::common::time")]
    pub finished_at: Option<DateTime<Utc>>,
    /// Whether the backup was proven; absent while the drill runs, and of one that was interrupted: it says nothing about the
    /// backup, and is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proven: Option<bool>,
    /// Why not, in CamelCase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub reason: Option<String>,
    /// Why not, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub message: Option<String>,
}

/// What is known of the server.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DatabaseServerStatus {
    /// The generation of the spec that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready; BackupsProven where there are drills.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// BackupSchedules whose database is here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedules: Option<i32>,
    /// Dumps that ran when this was last written, which a change does once in fifteen minutes at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_dumps: Option<i32>,
    /// Restores that run now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_restores: Option<i32>,
    /// Restore drills.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drill: Option<DrillStatus>,
}
