//! BackupStorage: a bucket where backups go, and how long they stay there.

use super::common::{LocalRef, SecretKeyRef};
use super::conditions::Condition;
use chrono::{DateTime, Utc};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A bucket (or a prefix of one) that backups are written to. All BackupStorages of one bucket share its lifecycle
/// configuration; overlapping prefixes are refused. Deleting a BackupStorage leaves the bucket's rules and data alone.
#[derive(CustomResource, Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "sennight.dev",
    version = "v1alpha1",
    kind = "BackupStorage",
    plural = "backupstorages",
    namespaced,
    category = "sennight",
    shortname = "bstore",
    status = "BackupStorageStatus",
    derive = "PartialEq",
    doc = "A bucket that tenants' backups are written to, and how long they stay there.",
    printcolumn(name = "Bucket", type_ = "string", json_path = ".spec.bucket"),
    printcolumn(name = "Prefix", type_ = "string", json_path = ".spec.prefix"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(
        name = "Retention",
        type_ = "integer",
        description = "Days that a backup is kept.",
        json_path = ".spec.retention.days"
    ),
    printcolumn(
        name = "Enforced",
        type_ = "string",
        description = "Whether the bucket's own rules let backups expire.",
        json_path = ".status.conditions[?(@.type==\"RetentionEnforced\")].status"
    ),
    printcolumn(name = "Schedules", type_ = "integer", json_path = ".status.summary.schedules"),
    printcolumn(
        name = "Reason",
        type_ = "string",
        priority = 1,
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct BackupStorageSpec {
    /// Name of the bucket. It must exist: Sennight never creates or deletes one.
    #[schemars(length(min = 3, max = 63), regex(pattern = r"^[a-z0-9][a-z0-9.-]*[a-z0-9]$"))]
    pub bucket: String,
    /// Key prefix inside the bucket, without leading or trailing slash; what lies below it is Sennight's. Empty is the
    /// bucket's root: others may keep something beside, and where the store has no object tags nothing expires by rules. No
    /// other BackupStorage may have a prefix above or below it.
    #[serde(default)]
    #[schemars(length(max = 256), regex(pattern = r"^([A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*)?$"))]
    pub prefix: String,
    /// Id of the owner to take the prefix over from, as the condition Ready shows it with the reason PrefixTaken. Only for an
    /// owner that is gone for good: a BackupStorage that was renamed or moved, or a cluster that was lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), regex(pattern = r"^[0-9a-f]{32}$"))]
    pub take_over: Option<String>,
    /// Region for the signature. Most self-hosted stores take any.
    #[serde(default = "default_region")]
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[a-z0-9-]+$"))]
    pub region: String,
    /// Where the store is, `https://host[:port]`. Leave it out for AWS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512), regex(pattern = r"^https?://[^/ ]+/?$"))]
    pub endpoint: Option<String>,
    /// Address objects as `endpoint/bucket/key` instead of `bucket.endpoint/key`. MinIO and Ceph need it.
    #[serde(default)]
    pub force_path_style: bool,
    /// CA certificates to trust besides the system's, as PEM in a Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_bundle: Option<SecretKeyRef>,
    /// Secret with AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and perhaps AWS_SESSION_TOKEN for the operator, which needs to
    /// read and change the lifecycle configuration. Leave it out for ambient credentials (IRSA, Pod Identity,
    /// IMDS), in a namespace that the operator's --ambient-s3-namespaces lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_secret_ref: Option<LocalRef>,
    /// Secret of the same form for the pods that dump and restore; it needs objects only. Leave it out to give them
    /// `workerServiceAccountName`'s ambient credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker_credentials_secret_ref: Option<LocalRef>,
    /// ServiceAccount of the pods that dump and restore. Its Kubernetes token is never mounted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub worker_service_account_name: Option<String>,
    /// Server-side encryption to ask for on each object. Leave it out for the bucket's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<Encryption>,
    /// Keys that the manifests of backups are signed with, so that nobody who can merely write to the bucket can forge or
    /// change a backup. Leave it out for unsigned ones: damage is still found, forgery is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest_keys: Option<ManifestKeys>,
    /// Dumps that may write here at once. Left out, there is no such limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub max_concurrent_dumps: Option<i32>,
    /// How long backups are kept.
    #[serde(default)]
    pub retention: Retention,
    /// How the retention is enforced.
    #[serde(default)]
    pub lifecycle: Lifecycle,
}

fn default_region() -> String {
    "us-east-1".to_owned()
}

/// Server-side encryption.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "self.algorithm == 'aws:kms' || !has(self.kmsKeyId)",
    "message": "kmsKeyId is for algorithm aws:kms: set the algorithm to aws:kms or remove kmsKeyId"
}]))]
pub struct Encryption {
    /// AES256 (keys of the store) or aws:kms (keys of a KMS).
    pub algorithm: EncryptionAlgorithm,
    /// The KMS key. Leave it out for the bucket's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub kms_key_id: Option<String>,
}

/// Algorithms of server-side encryption, as S3 spells them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, strum::Display, strum::EnumString)]
pub enum EncryptionAlgorithm {
    /// Keys of the store.
    AES256,
    /// Keys of a KMS.
    #[serde(rename = "aws:kms")]
    #[strum(serialize = "aws:kms")]
    AwsKms,
}

/// Keys of manifests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ManifestKeys {
    /// Secret whose entries are the keys: the entry's name is the key's id, its value the key, at least 32 bytes
    /// (`openssl rand -hex 32`). Backups are refused when their key is gone: add a new entry to rotate, and leave the old one
    /// in until its backups have expired.
    pub secret_ref: LocalRef,
    /// Id of the key that new backups are signed with.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[-._a-zA-Z0-9]+$"))]
    pub current: String,
    /// Refuse backups that are not signed. Set it to false for the first week, while unsigned backups from before are still
    /// wanted: until then whoever can write to the bucket can pass a forged backup off as an old one.
    #[serde(default = "yes")]
    pub required: bool,
}

fn yes() -> bool {
    true
}

/// How long backups are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Retention {
    /// Days that a backup is kept. S3 removes it at midnight UTC after that many days. A backup that a RestoreRequest holds
    /// outlives it until the request ends.
    #[serde(default = "default_days")]
    #[schemars(range(min = 1, max = 365))]
    pub days: i32,
    /// Keep a tenant's last good backup, for at most 30 days, while newer ones fail. Off: after `days` it is gone, whatever
    /// happened since.
    #[serde(default)]
    pub keep_last_good: bool,
}

fn default_days() -> i32 {
    7
}

impl Default for Retention {
    fn default() -> Self {
        Self { days: default_days(), keep_last_good: false }
    }
}

/// How the retention is enforced.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Lifecycle {
    /// Merge: Sennight puts its rules into the bucket's lifecycle configuration and keeps everybody else's. Observe: the
    /// platform team writes them, Sennight only checks. Sweep: the operator deletes,
    /// also with Merge where the store has no lifecycle rules.
    #[serde(default)]
    pub mode: LifecycleMode,
}

/// Who lets backups expire.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, strum::Display, strum::EnumString,
)]
pub enum LifecycleMode {
    /// The bucket, by rules that Sennight merges into its configuration.
    #[default]
    Merge,
    /// The bucket, by rules that somebody else writes.
    Observe,
    /// The operator.
    Sweep,
}

/// A prefix that a storage owns, and its marker there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OwnedPrefix {
    /// Id of the marker, the object owner.json below the prefix.
    #[schemars(length(max = 64))]
    pub id: String,
    /// The bucket.
    #[schemars(length(max = 63))]
    pub bucket: String,
    /// The prefix.
    #[schemars(length(max = 256))]
    pub prefix: String,
    /// Where the store is; absent is AWS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub endpoint: Option<String>,
}

impl OwnedPrefix {
    /// Whether it is the prefix of this spec. After a change of the spec it is another one, which must be owned anew.
    pub fn is_of(&self, spec: &BackupStorageSpec) -> bool {
        (&self.bucket, &self.prefix, &self.endpoint) == (&spec.bucket, &spec.prefix, &spec.endpoint)
    }
}

/// What was found out about the bucket.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupStorageStatus {
    /// The generation of the spec that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready, RetentionEnforced, AuthorityIntact, NothingOverdue.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// The marker by which the prefix is this storage's own. Without one nothing there is read, written or deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<OwnedPrefix>,
    /// What the store can do, found by trying.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<StoreCapabilities>,
    /// Sennight's rules as the bucket has them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["id"]))]
    pub rules: Vec<RuleInForce>,
    /// Other people's rules in the same configuration: counted, never touched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub foreign_rules: Option<i32>,
    /// The schedules that write here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<ScheduleSummary>,
    /// What the last patrol, a listing of all backups, found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patrol: Option<PatrolReport>,
    /// When the store was last probed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::common::time")]
    pub last_probe_time: Option<DateTime<Utc>>,
}

/// What the store can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(clippy::struct_excessive_bools, reason = "five independent facts, each with its own name")]
pub struct StoreCapabilities {
    /// Object tags can be put, read back and replaced.
    pub tagging: bool,
    /// Lifecycle rules are kept and read back.
    pub lifecycle: bool,
    /// `If-None-Match: *` refuses a second put.
    pub conditional_put: bool,
    /// Full-object CRC64NVME checksums are accepted.
    pub checksums: bool,
    /// The bucket is versioned.
    pub versioning: bool,
}

/// A lifecycle rule of ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RuleInForce {
    /// Id of the rule in the bucket's configuration.
    #[schemars(length(max = 255))]
    pub id: String,
    /// Keys that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub prefix: Option<String>,
    /// Tag that it is about, `key=value`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 400))]
    pub tag: Option<String>,
    /// What it does, in words: `expire after 7 days`.
    #[schemars(length(max = 200))]
    pub action: String,
}

/// What a patrol, a listing of all backups, found and did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PatrolReport {
    /// When the patrol ended.
    #[schemars(schema_with = "super::common::time")]
    pub time: DateTime<Utc>,
    /// Backups that it found.
    pub backups: i32,
    /// Objects that the operator deleted because their retention was over; only where the bucket has no rules.
    #[serde(default)]
    pub swept_objects: i32,
    /// Backups that should have expired two days ago or earlier.
    #[serde(default)]
    pub overdue_backups: i32,
    /// Holds past their backups' retention that no RestoreRequest needs.
    #[serde(default)]
    pub orphaned_holds: i32,
    /// Unfinished uploads that no rule aborted within two days.
    #[serde(default)]
    pub orphaned_uploads: i32,
}

/// The schedules that write to a storage, counted: whether everybody is backed up, in one place.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScheduleSummary {
    /// BackupSchedules that write here.
    #[serde(default)]
    pub schedules: i32,
    /// Those of them that are Fresh.
    #[serde(default)]
    pub fresh: i32,
    /// Those of them that are suspended.
    #[serde(default)]
    pub suspended: i32,
    /// Backups held for RestoreRequests.
    #[serde(default)]
    pub held: i32,
    /// Those of them whose newest backup is too old, or missing.
    #[serde(default)]
    pub stale: i32,
    /// Those of them that are not suspended and whose freshness is not known yet.
    #[serde(default)]
    pub unknown: i32,
    /// Those of them whose newest backup is suspiciously small.
    #[serde(default)]
    pub suspicious: i32,
    /// Those of them whose last run failed.
    #[serde(default)]
    pub failing: i32,
    /// Those of them that need attention, for any of these reasons.
    #[serde(default)]
    pub troubled: i32,
    /// Number of their backups.
    #[serde(default)]
    pub backups: i64,
    /// Bytes of these backups in the bucket.
    #[serde(default)]
    pub bytes: i64,
    /// Snapshot time of the newest backup of all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::common::time")]
    pub newest: Option<DateTime<Utc>>,
    /// When this was counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::common::time")]
    pub counted_at: Option<DateTime<Utc>>,
    /// Schedules that need attention, the worst first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), extend("x-kubernetes-list-type" = "atomic"))]
    pub worst: Vec<TroubledSchedule>,
}

/// A tenant that needs attention.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TroubledSchedule {
    /// Name of the BackupSchedule.
    #[schemars(length(max = 253))]
    pub name: String,
    /// Id of the tenant.
    #[schemars(length(max = 128))]
    pub tenant: String,
    /// Snapshot time of the newest backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::common::time")]
    pub last_backup: Option<DateTime<Utc>>,
    /// Failed runs since that backup.
    #[serde(default)]
    pub failures: i32,
    /// What is wrong, in CamelCase.
    #[schemars(length(max = 128))]
    pub why: String,
}
