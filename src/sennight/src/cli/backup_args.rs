//! Flags by which a person names a bucket and a backup in it, instead of the JSON of `--storage` and `--task`.

use super::{TaskArgsError, text_or_file};
use chrono::NaiveDate;
use clap::Args;
use sennight_core::capabilities::Capabilities;
use sennight_core::names::BackupId;
use sennight_protocol::backup::BackupRef;
use sennight_protocol::target::{ManifestKeys, StorageTarget};
use sennight_protocol::task::Task;
use sennight_storage::{CatalogueEntry, CatalogueError, OpenBackup, Store};

/// Where backups are.
#[derive(Debug, Args)]
#[command(next_help_heading = "Where backups are")]
pub struct StorageArgs {
    /// The bucket, as JSON (docs/worker.md), or @file; instead of the flags below.
    #[arg(long, value_name = "JSON|@FILE", conflicts_with_all = ["bucket", "prefix", "endpoint", "ca_file", "credentials_dir", "manifest_keys"])]
    pub storage: Option<String>,
    /// The bucket.
    #[arg(long, env = "SENNIGHT_BUCKET", required_unless_present = "storage")]
    pub bucket: Option<String>,
    /// Key prefix of the BackupStorage.
    #[arg(long, env = "SENNIGHT_PREFIX", default_value = "")]
    pub prefix: String,
    /// https://host[:port]; none is AWS.
    #[arg(long, env = "SENNIGHT_ENDPOINT", value_name = "URL")]
    pub endpoint: Option<String>,
    /// Region for the signature.
    #[arg(long, env = "AWS_REGION", default_value = "us-east-1")]
    pub region: String,
    /// Address objects as endpoint/bucket/key (MinIO, Ceph).
    #[arg(long)]
    pub path_style: bool,
    /// PEM file with CAs to trust besides the system's.
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<String>,
    /// Directory with the files AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and perhaps AWS_SESSION_TOKEN; none is the
    /// ambient chain (environment, profile, IRSA, Pod Identity, IMDS).
    #[arg(long, value_name = "DIR")]
    pub credentials_dir: Option<String>,
    /// Directory with the keys of manifests, one file a key, named by its id: backups that none of them signed are refused.
    #[arg(long, value_name = "DIR")]
    pub manifest_keys: Option<String>,
    /// With --manifest-keys: take backups that nobody signed too.
    #[arg(long, requires = "manifest_keys")]
    pub allow_unsigned: bool,
}

impl StorageArgs {
    /// The storage target; reads files that the flags name.
    pub fn resolve(self) -> Result<StorageTarget, TaskArgsError> {
        let Self {
            storage,
            bucket,
            prefix,
            endpoint,
            region,
            path_style,
            ca_file,
            credentials_dir,
            manifest_keys,
            allow_unsigned,
        } = self;
        if let Some(storage) = storage {
            return Ok(Task::parse_storage(&text_or_file("--storage", &storage)?)?);
        }
        let manifest_keys = manifest_keys.map(|dir| keys(dir, !allow_unsigned)).transpose()?;
        Ok(StorageTarget {
            bucket: bucket.unwrap_or_default(),
            prefix,
            region,
            endpoint,
            force_path_style: path_style,
            ca_file,
            credentials_dir,
            // These commands write nothing into the bucket.
            encryption: None,
            capabilities: Capabilities::default(),
            manifest_keys,
        })
    }
}

/// The manifest keys of a directory. Nothing is signed at a shell, so any of the keys may be the current one.
fn keys(dir: String, required: bool) -> Result<ManifestKeys, TaskArgsError> {
    let read = || {
        let names = std::fs::read_dir(&dir)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
        let mut names: Vec<String> = names.collect::<std::io::Result<_>>()?;
        // In a mounted Secret the kubelet has entries of its own, such as `..data`.
        names.retain(|name| !name.starts_with('.'));
        names.sort();
        names.pop().ok_or_else(|| std::io::Error::other("there is no key in it"))
    };
    match read() {
        Ok(current) => Ok(ManifestKeys { dir: Some(dir), current, required }),
        Err(source) => Err(TaskArgsError::File { flag: "--manifest-keys", path: dir, source }),
    }
}

/// Which backup of which schedule. The newest, where neither day nor id is said.
#[derive(Debug, Args)]
#[command(next_help_heading = "Which backup")]
pub struct BackupArgs {
    /// Namespace of the BackupSchedule.
    #[arg(long, short, requires = "schedule")]
    pub namespace: Option<String>,
    /// Name of the BackupSchedule.
    #[arg(long, requires = "namespace")]
    pub schedule: Option<String>,
    /// The backup's day, as a RestoreRequest says it: the newest backup of that day.
    #[arg(long, value_name = "YYYY-MM-DD", conflicts_with = "id", requires = "schedule")]
    pub date: Option<NaiveDate>,
    /// The backup's id.
    #[arg(long, requires = "schedule")]
    pub id: Option<BackupId>,
    /// The manifest's SHA-256: only this very backup.
    #[arg(long, value_name = "HEX", requires = "id")]
    pub sha256: Option<String>,
}

/// Why no backup was opened.
#[derive(Debug, thiserror::Error)]
pub enum PickError {
    /// The bucket, or the backup in it, cannot be read.
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    /// Namespace and schedule are missing.
    #[error("say whose backup: --namespace and --schedule")]
    Whose,
    /// The schedule has no such backup.
    #[error("{namespace}/{schedule} has no usable backup{of}; `sennight catalogue` lists what there is")]
    None {
        /// Namespace of the BackupSchedule.
        namespace: String,
        /// Name of the BackupSchedule.
        schedule: String,
        /// Day or id that was asked for, in words.
        of: String,
    },
}

impl BackupArgs {
    /// Finds the backup in the bucket and reads its manifest.
    pub async fn open(self, store: &Store) -> Result<OpenBackup, PickError> {
        let Self { namespace, schedule, date, id, sha256 } = self;
        let (Some(namespace), Some(schedule)) = (namespace, schedule) else { return Err(PickError::Whose) };
        let catalogue = store.catalogue(&namespace, &schedule).await?;
        let wanted = |entry: &&CatalogueEntry| {
            let backup = &entry.summary;
            date.is_none_or(|date| backup.day == date) && id.as_ref().is_none_or(|id| backup.id == *id)
        };
        if let Some(entry) = catalogue.backups.iter().find(wanted) {
            let backup = &entry.summary;
            // Also where nobody named a hash: what is opened must be what was listed.
            let pinned = sha256.unwrap_or_else(|| backup.manifest_sha256.clone());
            let backup =
                BackupRef { prefix: backup.prefix.clone(), id: backup.id.clone(), manifest_sha256: Some(pinned) };
            return Ok(store.open(&backup, None).await?);
        }
        for damaged in &catalogue.damaged {
            tracing::error!(reason = damaged.reason(), error = %damaged, "damaged backup skipped");
        }
        let of = date.map(|date| format!(" of {date}")).or(id.map(|id| format!(" {id}"))).unwrap_or_default();
        Err(PickError::None { namespace, schedule, of })
    }
}
