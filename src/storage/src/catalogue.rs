//! Lists and opens backups. Only manifests in the bucket count (I4).

use super::{Store, StoreError};
use chrono::{DateTime, Utc};
use futures::stream::{self, StreamExt as _};
use sennight_core::manifest::{IdentityMismatch, MANIFEST, Manifest, ManifestError, SealError, TenantIdentity};
use sennight_core::names::{Area, BackupId, NameError};
use sennight_core::result::BackupSummary;
use sennight_core::retention::expires_at;
use sennight_protocol::backup::BackupRef;
use sennight_protocol::report::TaskError;
use sha2::{Digest, Sha256};
use std::pin::pin;

/// Backups of one schedule that are listed, the newest first: a week of daily ones and many manual ones.
pub const NEWEST: usize = 40;

/// Directories of one schedule that are opened at most, those of failed dumps included.
const DIRS: usize = 1000;

/// Manifests read at the same time.
const AT_ONCE: usize = 8;

/// Why a backup cannot be used. The variant's name is the reason.
#[derive(Debug, thiserror::Error, strum::IntoStaticStr)]
pub enum CatalogueError {
    /// The bucket.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A name that cannot be part of a key.
    #[error(transparent)]
    BadName(#[from] NameError),
    /// No manifest.
    #[error("there is no backup under {prefix}: it has expired, or its dump never finished")]
    BackupGone {
        /// The backup's prefix.
        prefix: String,
    },
    /// A manifest that cannot be used.
    #[error("the backup under {prefix} cannot be used: {source}")]
    ManifestUnusable {
        /// The backup's prefix.
        prefix: String,
        /// Why.
        source: ManifestError,
    },
    /// A manifest that is not complete.
    #[error("the backup under {prefix} cannot be used: {source}; take another day's")]
    ManifestDamaged {
        /// The backup's prefix.
        prefix: String,
        /// What is wrong.
        source: SealError,
    },
    /// Nobody signed it, and spec.manifestKeys.required says that somebody must have.
    #[error(
        "the backup under {prefix} cannot be used: {source}; older ones are allowed by manifestKeys.required: false"
    )]
    ManifestUnsigned {
        /// The backup's prefix.
        prefix: String,
        /// What is wrong.
        source: SealError,
    },
    /// Signed with a key that is not there.
    #[error(
        "the backup under {prefix} cannot be used: {source}; leave old keys in the Secret as long as their backups live"
    )]
    UnknownManifestKey {
        /// The backup's prefix.
        prefix: String,
        /// What is wrong.
        source: SealError,
    },
    /// Changed by somebody who has no key.
    #[error(
        "the backup under {prefix} cannot be used: {source}; take another backup and find out who can write to the bucket"
    )]
    ManifestForged {
        /// The backup's prefix.
        prefix: String,
        /// What is wrong.
        source: SealError,
    },
    /// Not the bytes that were pinned.
    #[error(
        "the manifest under {prefix} has SHA-256 {found}, pinned is {pinned}: it was changed after it was chosen; take another backup and find out who wrote it"
    )]
    ManifestChanged {
        /// The backup's prefix.
        prefix: String,
        /// What was pinned.
        pinned: String,
        /// What is there.
        found: String,
    },
    /// A backup that lies where it does not belong.
    #[error(
        "the backup under {prefix} says that it is {found}, expected is {expected}: it was moved or forged, take another one"
    )]
    BackupMisplaced {
        /// The backup's prefix.
        prefix: String,
        /// What it should be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// Somebody else's backup (I7).
    #[error(transparent)]
    ForeignBackup(#[from] IdentityMismatch),
}

impl CatalogueError {
    fn of_seal(prefix: &str, bytes: &[u8], source: SealError) -> Self {
        let prefix = prefix.to_owned();
        match source {
            // A later format may have another end: report the format then.
            SealError::Damaged(_) => match Manifest::foreign_format(bytes) {
                Some(source) => Self::ManifestUnusable { prefix, source },
                None => Self::ManifestDamaged { prefix, source },
            },
            SealError::Unsigned => Self::ManifestUnsigned { prefix, source },
            SealError::UnknownKey { .. } => Self::UnknownManifestKey { prefix, source },
            SealError::Forged { .. } => Self::ManifestForged { prefix, source },
        }
    }

    /// Reason in CamelCase, for conditions and Events.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Store(error) => error.reason(),
            other => other.into(),
        }
    }

    /// Whether another attempt may succeed though nobody changed anything.
    pub fn retryable(&self) -> bool {
        matches!(self, Self::Store(error) if error.retryable())
    }
}

impl From<CatalogueError> for TaskError {
    fn from(error: CatalogueError) -> Self {
        Self::of(error.reason(), error.retryable(), &error)
    }
}

/// A backup that was read and checked.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenBackup {
    /// Prefix and id, pinned to the SHA-256 of the manifest that was read.
    pub backup: BackupRef,
    /// Parsed and checked manifest.
    pub manifest: Manifest,
    /// Bytes of the manifest object.
    pub length: i64,
}

impl OpenBackup {
    /// The facts that reports and statuses show.
    pub fn summary(&self) -> BackupSummary {
        let manifest = &self.manifest;
        BackupSummary {
            id: manifest.id.clone(),
            prefix: self.backup.prefix.clone(),
            day: manifest.day,
            snapshot_time: manifest.snapshot_time,
            rows: manifest.totals.rows,
            tables: manifest.totals.tables,
            bytes: manifest.totals.stored_bytes,
            raw_bytes: manifest.totals.raw_bytes,
            manifest_sha256: self.backup.manifest_sha256.clone().unwrap_or_default(),
        }
    }

    /// The keys of its objects, the manifest last.
    pub fn keys(&self) -> Vec<String> {
        let manifest = &self.manifest;
        let data = manifest.objects.iter().map(|object| object.name.as_str());
        data.chain([manifest.schema.object.as_str(), MANIFEST])
            .map(|name| format!("{}{name}", self.backup.prefix))
            .collect()
    }
}

/// One usable backup of a schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogueEntry {
    /// The facts that reports and statuses show.
    pub summary: BackupSummary,
    /// Whose data it is.
    pub identity: TenantIdentity,
    /// When the worker started: no object of the backup is older, so retention counts from here.
    pub started_at: DateTime<Utc>,
    /// Which area it lies in: [`Area::Daily`], or [`Area::Held`] if only the held backup is left.
    pub area: Area,
}

impl CatalogueEntry {
    /// When the bucket's rules begin to delete it, if nobody holds it.
    pub fn expires_at(&self, days: i32) -> DateTime<Utc> {
        expires_at(self.started_at, days)
    }
}

/// All that is known of one schedule's backups.
#[derive(Debug, Default)]
pub struct Catalogue {
    /// Usable backups, the newest first.
    pub backups: Vec<CatalogueEntry>,
    /// Backups with a manifest that cannot be used: listed, never silently left out.
    pub damaged: Vec<CatalogueError>,
}

impl Store {
    /// The newest [`NEWEST`] backups of a schedule. A directory without a manifest is no backup.
    pub async fn catalogue(&self, namespace: &str, schedule: &str) -> Result<Catalogue, CatalogueError> {
        let mut found: Vec<(BackupId, Area, String)> = Vec::new();
        for area in [Area::Daily, Area::Held] {
            let prefix = self.keys.schedule(area, namespace, schedule)?;
            let dirs = self.list_dirs(&prefix).await?;
            // Names that are no backup id are not Sennight's.
            found.extend(dirs.into_iter().filter_map(|dir| Some((id_of(&dir)?, area, dir))));
        }
        // Newest first. Of one id the daily backup comes before its copy in `held/`, which `add` then leaves out.
        found.sort_by(|one, other| (&other.0, rank(one.1)).cmp(&(&one.0, rank(other.1))));
        found.truncate(DIRS);
        let read = stream::iter(found)
            .map(|(id, area, dir)| async move {
                let backup = BackupRef { prefix: dir, id, manifest_sha256: None };
                (area, self.open(&backup, None).await)
            })
            .buffered(AT_ONCE);
        let mut read = pin!(read);
        let mut catalogue = Catalogue::default();
        // The limit counts backups, not directories: failed dumps leave directories too.
        while catalogue.backups.len() < NEWEST
            && let Some((area, opened)) = read.next().await
        {
            match opened {
                Ok(open) => catalogue.add(area, &open),
                Err(CatalogueError::BackupGone { .. }) => {}
                // What is too large is none of Sennight's manifests. It must not hide all other backups of the
                // schedule.
                Err(error @ CatalogueError::Store(StoreError::TooLarge { .. })) => catalogue.damaged.push(error),
                // No answer is not "gone": a shorter list would look as if backups had expired.
                Err(CatalogueError::Store(error)) => return Err(error.into()),
                Err(error) => catalogue.damaged.push(error),
            }
        }
        Ok(catalogue)
    }

    /// The newest daily backup of a schedule whose dump was begun at `since` or later. One listing, unless there is one.
    pub async fn made_since(
        &self,
        namespace: &str,
        schedule: &str,
        since: DateTime<Utc>,
    ) -> Result<Option<CatalogueEntry>, CatalogueError> {
        let dirs = self.list_dirs(&self.keys.schedule(Area::Daily, namespace, schedule)?).await?;
        let mut young: Vec<_> = dirs.into_iter().filter_map(|dir| Some((id_of(&dir)?, dir))).collect();
        young.retain(|(id, _)| id.time() >= since);
        young.sort();
        let mut found = Catalogue::default();
        for (id, dir) in young.into_iter().rev() {
            match self.open(&BackupRef { prefix: dir, id, manifest_sha256: None }, None).await {
                Ok(open) => {
                    found.add(Area::Daily, &open);
                    return Ok(found.backups.pop());
                }
                // Whoever asks makes a backup if there is none: without an answer the same day would be dumped twice
                // (I8).
                Err(CatalogueError::Store(error)) => return Err(error.into()),
                // No manifest, or a backup that cannot be used.
                Err(_) => {}
            }
        }
        Ok(None)
    }

    /// Reads and checks one backup: its manifest is whole, is the pinned one, is signed where that is required, lies where
    /// the backups of the tenant lie that it names, and (when `identity` is given) is this tenant's (I7).
    pub async fn open(
        &self,
        backup: &BackupRef,
        identity: Option<&TenantIdentity>,
    ) -> Result<OpenBackup, CatalogueError> {
        let prefix = &backup.prefix;
        if let Some(identity) = identity {
            // Before any request: what lies under another tenant's prefix is not even read (I7).
            self.check_place(backup, identity)?;
        }
        let bytes = self
            .get_opt(&format!("{prefix}{MANIFEST}"))
            .await?
            .ok_or_else(|| CatalogueError::BackupGone { prefix: prefix.clone() })?;
        let found = hex::encode(Sha256::digest(&bytes));
        // The pin is what the approval was for. Other bytes are refused before anything in them is looked at.
        if let Some(pinned) = backup.manifest_sha256.as_ref().filter(|pinned| **pinned != found) {
            return Err(CatalogueError::ManifestChanged { prefix: prefix.clone(), pinned: pinned.clone(), found });
        }
        // Digest and MAC cover bytes, not values: they are checked before anybody has to agree on how JSON is read.
        self.keyring.examine(&bytes).map_err(|source| CatalogueError::of_seal(prefix, &bytes, source))?;
        let manifest = Manifest::parse(&bytes)
            .map_err(|source| CatalogueError::ManifestUnusable { prefix: prefix.clone(), source })?;
        // A manifest that was copied into another backup's directory is whole by itself, signature included.
        let named = id_of(prefix);
        if manifest.id != backup.id || named.as_ref() != Some(&backup.id) {
            return Err(CatalogueError::BackupMisplaced {
                prefix: prefix.clone(),
                expected: backup.id.to_string(),
                found: manifest.id.to_string(),
            });
        }
        if let Some(difference) = identity.and_then(|identity| identity.first_difference(&manifest.identity)) {
            return Err(difference.into());
        }
        // Also without a given identity: a true backup of one tenant under another's prefix is refused.
        self.check_place(backup, &manifest.identity)?;
        let backup = BackupRef { manifest_sha256: Some(found), ..backup.clone() };
        let length = i64::try_from(bytes.len()).unwrap_or(i64::MAX);
        Ok(OpenBackup { backup, manifest, length })
    }

    /// Refuses a prefix that is not one of this tenant's, whatever the manifest says.
    fn check_place(&self, backup: &BackupRef, identity: &TenantIdentity) -> Result<(), CatalogueError> {
        let mut places = Vec::new();
        for area in [Area::Daily, Area::Held, Area::Safety] {
            places.push(self.keys.backup(area, &identity.namespace, &identity.schedule, &backup.id)?);
        }
        if places.contains(&backup.prefix) {
            return Ok(());
        }
        Err(CatalogueError::BackupMisplaced {
            prefix: backup.prefix.clone(),
            expected: places.swap_remove(0),
            found: backup.prefix.clone(),
        })
    }
}

impl Catalogue {
    /// Adds a backup. Of a daily backup and its copy in `held/` only the first (daily) counts.
    fn add(&mut self, area: Area, open: &OpenBackup) {
        if self.backups.last().is_some_and(|last| last.summary.id == open.manifest.id) {
            return;
        }
        self.backups.push(CatalogueEntry {
            summary: open.summary(),
            identity: open.manifest.identity.clone(),
            started_at: open.manifest.started_at,
            area,
        });
    }
}

fn rank(area: Area) -> u8 {
    u8::from(area != Area::Daily)
}

pub(super) fn id_of(prefix: &str) -> Option<BackupId> {
    prefix.trim_end_matches('/').rsplit('/').next()?.parse().ok()
}
