//! Open S3 clients, one for each BackupStorage. Secrets are read with the operator's own rights, checked for rotation after
//! a minute, and never printed.

use crate::runtime::writes::VerbError;
use k8s_openapi::api::core::v1::Secret;
use kube::api::Api;
use kube::{Client, ResourceExt};
use parking_lot::Mutex;
use sennight_api::{BackupStorage, BackupStorageSpec};
use sennight_core::capabilities::Capabilities;
use sennight_protocol::target::{ManifestKeys, ServerSideEncryption, StorageTarget};
use sennight_storage::{Access, Credentials, Store, StoreError};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a client is used before its Secrets are read again.
const SECRET_AGE: Duration = Duration::from_mins(1);

/// Why a BackupStorage cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The Secret does not exist.
    #[error("spec.{field} names Secret {name:?}, which is not in namespace {namespace:?}: create it, or name another")]
    SecretMissing {
        /// Field of the spec that names the Secret.
        field: &'static str,
        /// Name of the Secret.
        name: String,
        /// Namespace of the BackupStorage.
        namespace: String,
    },
    /// The Secret lacks a key, or the key is empty.
    #[error("Secret {name:?}, named by spec.{field}, has no key {key:?}: add it")]
    SecretKeyMissing {
        /// Field of the spec that names the Secret.
        field: &'static str,
        /// Name of the Secret.
        name: String,
        /// Key in the Secret.
        key: String,
    },
    /// The Secret could not be read.
    #[error(transparent)]
    Secret(Box<VerbError>),
    /// The settings make no S3 client.
    #[error(transparent)]
    Store(Box<StoreError>),
    /// Its prefix is another storage's, or was not looked at yet.
    #[error("BackupStorage {name:?} does not own its prefix (yet): its condition Ready says why")]
    NotOwned {
        /// Name of the BackupStorage.
        name: String,
    },
    /// The operator's own identity is not for everybody.
    #[error(
        "spec.credentialsSecretRef is missing, and the operator's own S3 identity does not serve namespace {namespace:?}: \
         name a Secret, or have whoever installed Sennight list the namespace in --ambient-s3-namespaces (chart: \
         s3.ambientNamespaces)"
    )]
    AmbientIdentityRefused {
        /// Namespace of the BackupStorage.
        namespace: String,
    },
}

impl From<StoreError> for OpenError {
    fn from(error: StoreError) -> Self {
        Self::Store(Box::new(error))
    }
}

impl OpenError {
    /// CamelCase reason for conditions, Events and metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::SecretMissing { .. } => "SecretMissing",
            Self::SecretKeyMissing { .. } => "SecretKeyMissing",
            Self::Secret(error) => error.reason(),
            Self::Store(error) => error.reason(),
            Self::NotOwned { .. } => "PrefixNotOwned",
            Self::AmbientIdentityRefused { .. } => "AmbientIdentityRefused",
        }
    }
}

/// A BackupStorage as a target without credentials. The operator adds them in memory, a worker reads them from mounts.
pub fn target(spec: &BackupStorageSpec, capabilities: Capabilities) -> StorageTarget {
    StorageTarget {
        bucket: spec.bucket.clone(),
        prefix: spec.prefix.clone(),
        region: spec.region.clone(),
        endpoint: spec.endpoint.clone(),
        force_path_style: spec.force_path_style,
        ca_file: None,
        credentials_dir: None,
        encryption: spec.encryption.as_ref().map(|encryption| ServerSideEncryption {
            algorithm: encryption.algorithm.to_string(),
            kms_key_id: encryption.kms_key_id.clone(),
        }),
        capabilities,
        manifest_keys: spec.manifest_keys.as_ref().map(|keys| ManifestKeys {
            dir: None,
            current: keys.current.clone(),
            required: keys.required,
        }),
    }
}

/// What the last probe found; before the first one, what AWS S3 can do.
pub fn capabilities(storage: &BackupStorage) -> Capabilities {
    storage.status.as_ref().and_then(|status| status.capabilities).map_or_else(Capabilities::default, |found| {
        Capabilities {
            tagging: found.tagging,
            lifecycle: found.lifecycle,
            conditional_put: found.conditional_put,
            checksums: found.checksums,
            versioning: found.versioning,
        }
    })
}

struct Open {
    target: StorageTarget,
    secrets: Vec<(String, Option<String>)>,
    checked: Instant,
    store: Store,
}

type SharedOpen = Arc<tokio::sync::Mutex<Option<Open>>>;

/// The lifecycle rules that the store refuses, by the prefix of a storage's rule ids. The lock lets only one storage of a
/// bucket change its rules at a time.
pub type Bucket = Arc<tokio::sync::Mutex<BTreeMap<String, BTreeSet<String>>>>;

/// The namespaces whose BackupStorages may use the operator's own S3 identity (`--ambient-s3-namespaces`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AmbientNamespaces(pub Vec<String>);

impl AmbientNamespaces {
    fn serves(&self, namespace: &str) -> bool {
        self.0.iter().any(|listed| listed == "*" || listed == namespace)
    }
}

/// The cache of open clients.
pub struct Stores {
    client: Client,
    ambient: AmbientNamespaces,
    open: Mutex<HashMap<String, SharedOpen>>,
    buckets: Mutex<HashMap<(Option<String>, String), Bucket>>,
}

impl Stores {
    /// An empty cache that reads Secrets through `client`.
    pub fn new(client: Client, ambient: AmbientNamespaces) -> Self {
        Self { client, ambient, open: Mutex::default(), buckets: Mutex::default() }
    }

    /// The client of a BackupStorage that owns its prefix; a new one when its spec, its capabilities or its Secrets have
    /// changed. Sends no request to the bucket.
    pub async fn open(&self, storage: &BackupStorage) -> Result<Store, OpenError> {
        let owner = storage.status.as_ref().and_then(|status| status.owner.as_ref());
        if owner.is_some_and(|owner| owner.is_of(&storage.spec)) {
            return self.open_unowned(storage).await;
        }
        Err(OpenError::NotOwned { name: storage.name_any() })
    }

    /// The same, also before the prefix is the storage's own. Only for the one who makes it so.
    pub async fn open_unowned(&self, storage: &BackupStorage) -> Result<Store, OpenError> {
        let shared = self.shared_open(&storage.uid().unwrap_or_default());
        let mut open = shared.lock().await;
        let target = target(&storage.spec, capabilities(storage));
        if let Some(open) = &*open
            && open.target == target
            && open.checked.elapsed() < SECRET_AGE
        {
            return Ok(open.store.clone());
        }
        let (access, secrets) = self.access(storage).await?;
        let checked = Instant::now();
        let store = match open.take() {
            Some(old) if old.target == target && old.secrets == secrets => old.store,
            _ => Store::with_access(&target, access).await?,
        };
        *open = Some(Open { target, secrets, checked, store: store.clone() });
        Ok(store)
    }

    /// Drops the client of a BackupStorage, so that the next use reads its Secrets again.
    pub fn forget(&self, uid: &str) {
        self.open.lock().remove(uid);
    }

    /// The lock of a bucket, by endpoint and name.
    pub fn bucket(&self, place: (Option<String>, String)) -> Bucket {
        let mut buckets = self.buckets.lock();
        buckets.entry(place).or_default().clone()
    }

    fn shared_open(&self, uid: &str) -> SharedOpen {
        let mut clients = self.open.lock();
        clients.entry(uid.to_owned()).or_default().clone()
    }

    /// Credentials, CA bundle and manifest keys, and the resourceVersions of the Secrets that they came from.
    async fn access(&self, storage: &BackupStorage) -> Result<(Access, Vec<(String, Option<String>)>), OpenError> {
        let namespace = storage.namespace().unwrap_or_default();
        let mut access = Access::default();
        let mut secrets = Vec::new();
        // Without a Secret the SDK would take the operator's own identity, for whoever may write a BackupStorage anywhere.
        if storage.spec.credentials_secret_ref.is_none() && !self.ambient.serves(&namespace) {
            return Err(OpenError::AmbientIdentityRefused { namespace });
        }
        if let Some(reference) = &storage.spec.credentials_secret_ref {
            let (secret, values) = self.secret(&namespace, "credentialsSecretRef", &reference.name).await?;
            access.credentials = Some(Credentials::new(
                &values.text("AWS_ACCESS_KEY_ID")?,
                &values.text("AWS_SECRET_ACCESS_KEY")?,
                values.text("AWS_SESSION_TOKEN").ok().as_deref(),
            ));
            secrets.push(secret);
        }
        if let Some(reference) = &storage.spec.ca_bundle {
            let (secret, values) = self.secret(&namespace, "caBundle", &reference.name).await?;
            access.ca_bundle = Some(values.text(&reference.key)?.into_bytes());
            secrets.push(secret);
        }
        if let Some(keys) = &storage.spec.manifest_keys {
            let (secret, values) = self.secret(&namespace, "manifestKeys.secretRef", &keys.secret_ref.name).await?;
            access.manifest_keys = values.all();
            secrets.push(secret);
        }
        Ok((access, secrets))
    }

    async fn secret(
        &self,
        namespace: &str,
        field: &'static str,
        name: &str,
    ) -> Result<((String, Option<String>), Values), OpenError> {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        let read = api.get_opt(name).await.map_err(|source| {
            OpenError::Secret(Box::new(VerbError::new::<Secret>("read", Some(namespace), name, source)))
        })?;
        let secret = read.ok_or_else(|| OpenError::SecretMissing {
            field,
            name: name.to_owned(),
            namespace: namespace.to_owned(),
        })?;
        let version = secret.resource_version();
        let values = Values { field, name: name.to_owned(), secret };
        Ok(((name.to_owned(), version), values))
    }
}

/// A Secret's values. Has no Debug on purpose.
struct Values {
    field: &'static str,
    name: String,
    secret: Secret,
}

impl Values {
    fn all(self) -> BTreeMap<String, Vec<u8>> {
        self.secret.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0)).collect()
    }

    fn text(&self, key: &str) -> Result<String, OpenError> {
        let value = self.secret.data.as_ref().and_then(|data| data.get(key));
        value
            .and_then(|bytes| String::from_utf8(bytes.0.clone()).ok())
            .filter(|text| !text.trim().is_empty())
            .ok_or_else(|| OpenError::SecretKeyMissing {
                field: self.field,
                name: self.name.clone(),
                key: key.to_owned(),
            })
    }
}
