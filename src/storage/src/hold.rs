//! Holds: keep a backup longer than its retention, and release it (I5). Both may be interrupted and repeated at any point.

use super::catalogue::OpenBackup;
use super::client::{READ, Tags};
use super::{Store, StoreError};
use chrono::{DateTime, Utc};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use sennight_core::manifest::MANIFEST;
use sennight_core::names::Area;
use sennight_core::retention::{HoldMethod, daily_tags, held_tags, hold_method, hold_of};
use sennight_protocol::backup::BackupRef;

/// Objects that are tagged or copied at the same time.
const AT_ONCE: usize = 8;

/// Why a backup could not be held or released. The variant's name is the reason.
#[derive(Debug, thiserror::Error, strum::IntoStaticStr)]
pub enum HoldError {
    /// The bucket.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Part of the backup is gone already.
    #[error("the backup under {prefix} cannot be held: {missing:?} is gone already; take a newer backup")]
    BackupVanished {
        /// The backup's prefix.
        prefix: String,
        /// The first object that is missing.
        missing: String,
    },
    /// The store accepted the tags but does not return them.
    #[error("{key} does not carry the tags of a hold after they were put: {found:?}")]
    HoldNotKept {
        /// The object.
        key: String,
        /// Its tags.
        found: Tags,
    },
    /// A lifecycle rule still matches the object.
    #[error("{key} is held, but a lifecycle rule would delete it all the same ({expiration}): remove that rule")]
    StillExpires {
        /// The object.
        key: String,
        /// What the store says.
        expiration: String,
    },
    /// A prefix that is in neither area.
    #[error("{prefix} is not the prefix of a daily or held backup")]
    NotABackup {
        /// The prefix.
        prefix: String,
    },
}

impl HoldError {
    /// Reason in CamelCase, for conditions and Events.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Store(error) => error.reason(),
            other => other.into(),
        }
    }

    /// Whether another attempt may succeed though nobody changed anything.
    pub fn retryable(&self) -> bool {
        match self {
            Self::Store(error) => error.retryable(),
            Self::HoldNotKept { .. } => true,
            Self::BackupVanished { .. } | Self::StillExpires { .. } | Self::NotABackup { .. } => false,
        }
    }
}

/// A hold in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldBackup {
    /// The backup to read from now on: the same one, or its copy in `held/`.
    pub backup: BackupRef,
    /// By tags, or by a copy in `held/`.
    pub method: HoldMethod,
    /// End of the hold: the later of an earlier hold's end and the one that was asked for.
    pub until: DateTime<Utc>,
}

impl Store {
    /// Holds a backup until `until`; `expires_at` is when the lifecycle rules begin to delete it. Data first, manifest last,
    /// everything read back: afterwards no rule deletes any of its objects.
    pub async fn hold(
        &self,
        open: &OpenBackup,
        expires_at: DateTime<Utc>,
        until: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<HeldBackup, HoldError> {
        let prefix = &open.backup.prefix;
        // No rule deletes what lies in `held/`: such a copy ends with its release only.
        if prefix.starts_with(&self.keys.area(Area::Held)) {
            return Ok(HeldBackup { backup: open.backup.clone(), method: HoldMethod::Copy, until });
        }
        let Some(below) = prefix.strip_prefix(&self.keys.area(Area::Daily)) else {
            return Err(HoldError::NotABackup { prefix: prefix.clone() });
        };
        let known = self.held_until(&open.backup).await?;
        // Two requests may hold one backup: the second must not shorten the first one's hold.
        let until = known.map_or(until, |known| known.max(until));
        // A held backup does not expire, however old it is.
        let expires_at = if known.is_some() { DateTime::<Utc>::MAX_UTC } else { expires_at };
        match hold_method(self.capabilities(), expires_at, now) {
            HoldMethod::Tag => self.hold_by_tag(open, until).await,
            HoldMethod::Copy => self.hold_by_copy(open, below, until).await,
        }
    }

    /// Until when the backup's manifest is tagged as held; `None` if it is not.
    pub async fn held_until(&self, backup: &BackupRef) -> Result<Option<DateTime<Utc>>, StoreError> {
        if !self.capabilities().tagging {
            return Ok(None);
        }
        let tags = self.tags_opt(&format!("{}{MANIFEST}", backup.prefix)).await?;
        Ok(tags.as_ref().and_then(hold_of))
    }

    async fn hold_by_tag(&self, open: &OpenBackup, until: DateTime<Utc>) -> Result<HeldBackup, HoldError> {
        let tags = held_tags(until);
        let (manifest, data) = split(open);
        // The manifest last: `held_until` looks at its tags alone, so that a hold which broke off half-way is none yet.
        self.replace_tags(&open.backup.prefix, &data, &tags).await?;
        self.replace_tags(&open.backup.prefix, std::slice::from_ref(&manifest), &tags).await?;
        let lengths = lengths(open);
        stream::iter(lengths)
            .map(|(key, length)| self.check_held(open, key, length, &tags))
            .buffer_unordered(AT_ONCE)
            .try_collect::<()>()
            .await?;
        Ok(HeldBackup { backup: open.backup.clone(), method: HoldMethod::Tag, until })
    }

    async fn replace_tags(&self, prefix: &str, keys: &[String], tags: &Tags) -> Result<(), HoldError> {
        // Owned keys: with borrowed ones the future could not be spawned (its lifetimes are not general enough).
        stream::iter(keys.to_vec())
            .map(|key| async move { self.put_tags(&key, tags).await.map_err(|error| vanished(prefix, &key, error)) })
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await
    }

    /// Checks that the object has its length and the tags, and that the store names no rule that would delete it.
    async fn check_held(&self, open: &OpenBackup, key: String, length: i64, tags: &Tags) -> Result<(), HoldError> {
        let gone = |error| vanished(&open.backup.prefix, &key, error);
        let found = self.tags(&key).await.map_err(gone)?;
        // Compared as a whole: with `retain=daily` left beside the new tags, the daily rule would still match.
        if found != *tags {
            return Err(HoldError::HoldNotKept { key, found });
        }
        let head = self.head(&key).await.map_err(gone)?;
        if head.length != length {
            let what = format!("it is {} bytes long, the manifest says {length}", head.length);
            return Err(StoreError::Damaged { place: self.place(READ, &key), what }.into());
        }
        head.expiration.map_or(Ok(()), |expiration| Err(HoldError::StillExpires { key, expiration }))
    }

    async fn hold_by_copy(
        &self,
        open: &OpenBackup,
        below: &str,
        until: DateTime<Utc>,
    ) -> Result<HeldBackup, HoldError> {
        let from = &open.backup.prefix;
        let to = format!("{}{below}", self.keys.area(Area::Held));
        let tags = held_tags(until);
        let mut lengths = lengths(open);
        let manifest = lengths.pop();
        stream::iter(lengths)
            .map(|object| self.copy_held(from, &to, object, &tags))
            .buffer_unordered(AT_ONCE)
            .try_collect::<()>()
            .await?;
        // Last, so that a copy which broke off is no backup (I4).
        if let Some(manifest) = manifest {
            self.copy_held(from, &to, manifest, &tags).await?;
        }
        let backup = BackupRef { prefix: to, ..open.backup.clone() };
        // Checks the copy: a usable backup with the pinned manifest.
        self.open(&backup, None).await.map_err(|error| match error {
            super::CatalogueError::Store(error) => HoldError::Store(error),
            _ => HoldError::BackupVanished { prefix: from.clone(), missing: format!("{}{MANIFEST}", backup.prefix) },
        })?;
        Ok(HeldBackup { backup, method: HoldMethod::Copy, until })
    }

    async fn copy_held(&self, from: &str, to: &str, object: (String, i64), tags: &Tags) -> Result<(), HoldError> {
        let (key, length) = object;
        let target = format!("{to}{}", key.strip_prefix(from).unwrap_or(&key));
        // An earlier attempt may have copied it.
        if self.head_opt(&target).await?.is_none_or(|head| head.length != length) {
            self.copy(&key, &target, tags).await.map_err(|error| vanished(from, &key, error))?;
        }
        let head = self.head(&target).await?;
        if head.length == length {
            return head
                .expiration
                .map_or(Ok(()), |expiration| Err(HoldError::StillExpires { key: target, expiration }));
        }
        let what = format!("the copy is {} bytes long, the original {length}", head.length);
        Err(StoreError::Damaged { place: self.place(READ, &target), what }.into())
    }

    /// Ends a hold, manifest first: a copy in `held/` is deleted, a tagged backup expires by the rules again. The caller makes
    /// sure that no other request holds it. Objects that are gone are no error.
    pub async fn release(&self, open: &OpenBackup) -> Result<(), HoldError> {
        let prefix = &open.backup.prefix;
        // Manifest first, so that no backup exists whose data is partly gone (I4).
        let (manifest, data) = split(open);
        if prefix.starts_with(&self.keys.area(Area::Held)) {
            self.delete(&[manifest]).await?;
            return Ok(self.delete(&data).await?);
        }
        if !prefix.starts_with(&self.keys.area(Area::Daily)) {
            return Err(HoldError::NotABackup { prefix: prefix.clone() });
        }
        // Without tags a hold is a copy, so that the daily backup was never held.
        if !self.capabilities().tagging {
            return Ok(());
        }
        for keys in [vec![manifest], data] {
            match self.replace_tags(prefix, &keys, &daily_tags()).await {
                Err(HoldError::BackupVanished { .. }) => {}
                other => other?,
            }
        }
        Ok(())
    }
}

/// The manifest's key, and those of everything else.
fn split(open: &OpenBackup) -> (String, Vec<String>) {
    let mut keys = open.keys();
    (keys.pop().unwrap_or_default(), keys)
}

/// Every object with the length that the manifest says, the manifest last.
fn lengths(open: &OpenBackup) -> Vec<(String, i64)> {
    let manifest = &open.manifest;
    let lengths = manifest.objects.iter().map(|object| object.length);
    let lengths = lengths.chain([manifest.schema.length, open.length]);
    open.keys().into_iter().zip(lengths).collect()
}

fn vanished(prefix: &str, key: &str, error: StoreError) -> HoldError {
    if error.is_not_found() {
        HoldError::BackupVanished { prefix: prefix.to_owned(), missing: key.to_owned() }
    } else {
        HoldError::Store(error)
    }
}
