//! Addresses of a bucket and a database server in a worker's arguments. Secrets are never in them, only the directories that
//! the kubelet mounts them at.

use sennight_core::capabilities::Capabilities;
use sennight_core::engine::{EngineKind, TlsMode};
use serde::{Deserialize, Serialize};

/// A bucket as a worker reaches it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StorageTarget {
    /// The bucket's name.
    pub bucket: String,
    /// Key prefix inside the bucket; empty is the root.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub prefix: String,
    /// Region for the signature; most self-hosted stores take any.
    #[serde(default = "default_region")]
    pub region: String,
    /// `https://host[:port]`; absent is AWS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// `endpoint/bucket/key` instead of `bucket.endpoint/key`.
    #[serde(default)]
    pub force_path_style: bool,
    /// PEM file with the CAs to trust besides the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<String>,
    /// Directory with the files AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and perhaps AWS_SESSION_TOKEN; absent is
    /// the ambient chain (environment, IRSA, Pod Identity, IMDS).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_dir: Option<String>,
    /// Server-side encryption asked for on each object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<ServerSideEncryption>,
    /// What the store can do, as the probe found.
    #[serde(default)]
    pub capabilities: Capabilities,
    /// Keys that manifests are signed with; absent: they are not signed, and no signature is checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest_keys: Option<ManifestKeys>,
}

/// Keys of manifests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ManifestKeys {
    /// Directory with one file for each key, named by its id. Absent where the caller has the keys in memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dir: Option<String>,
    /// Id of the key that signs.
    pub current: String,
    /// Whether a backup that nobody signed is refused.
    #[serde(default = "yes")]
    pub required: bool,
}

fn yes() -> bool {
    true
}

fn default_region() -> String {
    "us-east-1".to_owned()
}

/// Server-side encryption of objects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServerSideEncryption {
    /// `AES256` or `aws:kms`.
    pub algorithm: String,
    /// KMS key; absent is the bucket's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kms_key_id: Option<String>,
}

/// TLS towards a database server.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TlsTarget {
    /// How far the server's certificate is checked.
    #[serde(default)]
    pub mode: TlsMode,
    /// PEM file with the server's CA; absent is the system's store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<String>,
    /// Directory with `tls.crt` and `tls.key` of a client certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_cert_dir: Option<String>,
}

/// One database on one server, as a worker reaches it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DatabaseTarget {
    /// Database engine.
    pub engine: EngineKind,
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// The tenant's database.
    pub database: String,
    /// The database from which others are created and renamed (PostgreSQL: `postgres`).
    #[serde(default = "default_maintenance")]
    pub maintenance_database: String,
    /// TLS towards the server.
    #[serde(default)]
    pub tls: TlsTarget,
    /// Directory with the files `username` and `password`.
    pub credentials_dir: String,
}

impl DatabaseTarget {
    /// Whether it is the same database, whoever reaches it and how.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        (&self.host, self.port, &self.database) == (&other.host, other.port, &other.database)
    }
}

fn default_maintenance() -> String {
    "postgres".to_owned()
}
