//! Tests which optional S3 features a store supports, by using them.

use super::client::{PutOptions, READ, write_mark};
use super::{Store, StoreError, lifecycle};
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use sennight_core::capabilities::Capabilities;
use sennight_core::retention::owned::is_probe;
use sennight_core::retention::{daily_tags, held_tags};

/// Content of a test object.
const CANARY: &[u8] = b"sennight probe: may be deleted";

/// Test objects of a killed probe are removed when they are older than this.
const LEFTOVER: TimeDelta = TimeDelta::hours(1);

impl Store {
    /// Tries everything that Sennight would like to use, with canary objects under `<prefix>/probe/` that are removed
    /// again. An error means that not even the indispensable works (put, get, list, delete), or that the credentials
    /// lack a right: a missing right is never taken for a missing feature.
    pub async fn probe(&self, now: DateTime<Utc>) -> Result<Capabilities, StoreError> {
        let base = format!("{}probe/", self.keys.root());
        self.remove_leftovers(&base, now).await?;
        let canaries = format!("{base}{}/", write_mark());
        let probed = self.try_all(&canaries, now).await;
        // Removed whatever came of it; if both fail, the probe's own error is the one to show.
        let removed = self.remove(&canaries).await;
        let capabilities = probed?;
        removed?;
        Ok(capabilities)
    }

    async fn try_all(&self, canaries: &str, now: DateTime<Utc>) -> Result<Capabilities, StoreError> {
        let none = Capabilities {
            tagging: false,
            lifecycle: false,
            conditional_put: false,
            checksums: false,
            versioning: false,
        };
        // First without any feature, then each by itself: so a refusal says which one the store lacks.
        self.with_capabilities(none).round_trip(canaries).await?;
        let checksums = Capabilities { checksums: true, ..none };
        let checksums = supported(self.with_capabilities(checksums).upload_parts(canaries, "checksums").await)?;
        // Dumps need uploads in parts, with or without checksums: a store that fails here is of no use.
        if !checksums {
            self.with_capabilities(none).upload_parts(canaries, "parts").await?;
        }
        let conditional = Capabilities { conditional_put: true, ..none };
        let conditional_put = self.with_capabilities(conditional).refuses_second(canaries).await?;
        let tagging = Capabilities { tagging: true, ..none };
        Ok(Capabilities {
            tagging: self.with_capabilities(tagging).keeps_tags(canaries, now).await?,
            lifecycle: lifecycle::known(self).await?,
            conditional_put,
            checksums,
            versioning: self.versioned().await?,
        })
    }

    async fn round_trip(&self, canaries: &str) -> Result<(), StoreError> {
        let key = format!("{canaries}plain");
        self.put(&key, Bytes::from_static(CANARY), &PutOptions::default()).await?;
        let bytes = self.get(&key).await?;
        let listed = self.list(canaries).await?;
        if bytes == CANARY && listed.iter().any(|object| object.key == key) {
            return Ok(());
        }
        let what = "what was put is not what is read or listed: no backup is safe in this store".to_owned();
        Err(StoreError::Damaged { place: self.place(READ, &key), what })
    }

    /// A put and a multipart upload, with the checksums that the capabilities ask for.
    async fn upload_parts(&self, canaries: &str, name: &str) -> Result<(), StoreError> {
        let put = format!("{canaries}{name}-put");
        self.put(&put, Bytes::from_static(CANARY), &PutOptions::default()).await?;
        let mut upload = self.upload(&format!("{canaries}{name}"), super::Tags::new());
        upload.write(Bytes::from_static(CANARY)).await?;
        upload.finish_in_parts().await?;
        let length = self.head(&format!("{canaries}{name}")).await?.length;
        if length == 30 {
            return Ok(());
        }
        let what = format!("an upload in parts of 30 bytes is {length} bytes long");
        Err(StoreError::Damaged { place: self.place("s3:PutObject", name), what })
    }

    /// Both ways of writing must refuse: an ignored header would let one backup overwrite another.
    async fn refuses_second(&self, canaries: &str) -> Result<bool, StoreError> {
        let key = format!("{canaries}exclusive");
        let exclusive = PutOptions::default().exclusive();
        if !supported(self.put(&key, Bytes::from_static(CANARY), &exclusive).await)? {
            return Ok(false);
        }
        // A store may accept the header and ignore it: only a refused second write proves anything (I2).
        if !refused(self.put(&key, Bytes::from_static(b"second"), &exclusive).await)? {
            return Ok(false);
        }
        let mut upload = self.upload(&key, super::Tags::new());
        upload.write(Bytes::from_static(b"third")).await?;
        refused(upload.finish_in_parts().await)
    }

    /// Tags given with the put, and tags put later: a hold needs both.
    async fn keeps_tags(&self, canaries: &str, now: DateTime<Utc>) -> Result<bool, StoreError> {
        let key = format!("{canaries}tagged");
        let options = PutOptions::default().tags(daily_tags());
        if !supported(self.put(&key, Bytes::from_static(CANARY), &options).await)? {
            return Ok(false);
        }
        let first = match self.tags(&key).await {
            Ok(tags) => tags,
            Err(error) => return unsupported(error),
        };
        if let Err(error) = self.put_tags(&key, &held_tags(now)).await {
            return unsupported(error);
        }
        Ok(first == daily_tags() && self.tags(&key).await? == held_tags(now))
    }

    async fn versioned(&self) -> Result<bool, StoreError> {
        let sent = self.control.get_bucket_versioning().bucket(self.bucket()).send().await;
        match sent.map_err(|error| StoreError::from_sdk(self.place("s3:GetBucketVersioning", ""), error)) {
            // A suspended bucket still has its old versions.
            Ok(answer) => Ok(answer.status.is_some()),
            Err(error) => unsupported(error),
        }
    }

    async fn remove(&self, prefix: &str) -> Result<(), StoreError> {
        let keys: Vec<String> = self.list(prefix).await?.into_iter().map(|object| object.key).collect();
        self.delete(&keys).await
    }

    async fn remove_leftovers(&self, base: &str, now: DateTime<Utc>) -> Result<(), StoreError> {
        let old = |at: &DateTime<Utc>| now - *at > LEFTOVER;
        // Others may have a folder of this name: only what a probe would call its own is one's leftover.
        let ours = |key: &str| key.strip_prefix(base).and_then(|below| below.split('/').next()).is_some_and(is_probe);
        let listed = self.list(base).await?.into_iter();
        let leftovers = listed.filter(|o| ours(&o.key) && o.last_modified.as_ref().is_some_and(old));
        let keys: Vec<String> = leftovers.map(|o| o.key).collect();
        self.delete(&keys).await
    }
}

/// True for success, false where the store does not know the feature.
fn supported<T>(result: Result<T, StoreError>) -> Result<bool, StoreError> {
    result.map_or_else(unsupported, |_| Ok(true))
}

/// False where the store does not know the feature; any other failure is one.
fn unsupported(error: StoreError) -> Result<bool, StoreError> {
    match error {
        // Not `AccessDenied`: a missing right must be given, a missing feature is lived with.
        StoreError::NotImplemented { .. } | StoreError::Refused { .. } => Ok(false),
        other => Err(other),
    }
}

/// Whether a write was refused because the object exists.
fn refused<T>(result: Result<T, StoreError>) -> Result<bool, StoreError> {
    match result {
        Ok(_) => Ok(false),
        Err(StoreError::AlreadyExists { .. }) => Ok(true),
        Err(error) => unsupported(error),
    }
}
