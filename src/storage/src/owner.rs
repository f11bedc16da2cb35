//! Makes a prefix a storage's own, by a marker object in the bucket (`core::prefix_owner`). Before that no rule is written and
//! no object is deleted there.

use super::client::write_mark;
use super::{PutOptions, Store, StoreError};
use chrono::{DateTime, Utc};
use sennight_core::prefix_owner::{OwnerMarker, PrefixClaim, PrefixOwner, claim};

/// How often a prefix is looked at again that another storage claimed in the same moment.
const TRIES: u32 = 3;

/// Why a prefix is not a storage's own.
#[derive(Debug, thiserror::Error, strum::IntoStaticStr)]
pub enum OwnerError {
    /// The bucket.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It is another storage's. Whose is not told: the one who asks may not be allowed to know.
    #[error(
        "the prefix {prefix:?} of bucket {bucket} belongs to another BackupStorage (owner id {id}): choose another prefix; if \
         that storage is gone for good, or its cluster was lost and this one takes its place, set spec.takeOver: {id:?}"
    )]
    PrefixTaken {
        /// The bucket.
        bucket: String,
        /// The prefix.
        prefix: String,
        /// Id of the marker.
        id: String,
    },
    /// One that lies in it, or that it lies in, is another storage's.
    #[error(
        "the prefix {prefix:?} of bucket {bucket} overlaps one that belongs to another BackupStorage ({key}, owner id {id}): \
         choose another prefix"
    )]
    PrefixOverlaps {
        /// The bucket.
        bucket: String,
        /// The prefix that was asked for.
        prefix: String,
        /// Key of the other marker.
        key: String,
        /// Id of the other marker.
        id: String,
    },
}

impl OwnerError {
    /// Reason in CamelCase.
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
            Self::PrefixTaken { .. } | Self::PrefixOverlaps { .. } => false,
        }
    }
}

impl Store {
    /// Makes this store's prefix `me`'s own and gives its marker. `take_over` is the id of a marker that may be replaced.
    pub async fn own_prefix(
        &self,
        me: &PrefixOwner,
        take_over: Option<&str>,
        now: DateTime<Utc>,
    ) -> Result<OwnerMarker, OwnerError> {
        for key in self.keys.overlapping_owners() {
            if let Some(other) = self.get_json::<OwnerMarker>(&key).await?.filter(|other| other.owner != *me) {
                let (bucket, prefix) = (self.bucket().to_owned(), self.target().prefix.clone());
                return Err(OwnerError::PrefixOverlaps { bucket, prefix, key, id: other.id });
            }
        }
        let key = self.keys.owner();
        let mut tries = 1;
        loop {
            let found: Option<OwnerMarker> = self.get_json(&key).await?;
            let options = match (claim(found.as_ref(), me, take_over), found) {
                (PrefixClaim::Own, Some(marker)) => return Ok(marker),
                (PrefixClaim::Foreign, Some(marker)) => return Err(self.taken(marker.id)),
                (PrefixClaim::TakeOver, _) => PutOptions::json(),
                (PrefixClaim::Free | PrefixClaim::Own | PrefixClaim::Foreign, _) => PutOptions::json().exclusive(),
            };
            let marker = OwnerMarker::new(write_mark(), me.clone(), now);
            match self.put_json(&key, &marker, &options).await {
                // Two that are put at the same time: whose marker is there is read again, also because a takeover, and any put
                // to a store without conditional puts, overwrites another's.
                Ok(()) | Err(StoreError::AlreadyExists { .. }) if tries < TRIES => tries += 1,
                Ok(()) => return Ok(marker),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn taken(&self, id: String) -> OwnerError {
        OwnerError::PrefixTaken { bucket: self.bucket().to_owned(), prefix: self.target().prefix.clone(), id }
    }
}
