//! Listings of objects, whole or page by page, and of unfinished uploads. The beginning of an upload is here as well,
//! because a lost answer is made good by such a listing; parts are sent in `upload`.

use super::client::time;
use super::{Listed, Store, StoreError, Tags};
use chrono::{DateTime, Utc};
use sennight_core::retention::AREAS;
use std::time::Duration;

/// Unfinished uploads that one look takes note of at most; the next look sees the others.
const MOST_UPLOADS: usize = 10_000;

/// How often the beginning of an upload is tried.
const BEGIN_TRIES: u32 = 8;

/// A page of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Objects in the order of keys.
    pub objects: Vec<Listed>,
    /// Whether there are more behind them.
    pub more: bool,
}

/// An upload that nobody has finished or aborted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfinished {
    /// The key that it would have.
    pub key: String,
    /// Its id.
    pub id: String,
    /// When it was begun.
    pub begun: Option<DateTime<Utc>>,
}

impl Store {
    /// Every object under `prefix`, in the order of keys.
    pub async fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        let mut found = Vec::new();
        let mut pages = self.control.list_objects_v2().bucket(self.bucket()).prefix(prefix).into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| StoreError::from_sdk(self.place("s3:ListBucket", prefix), error))?;
            found.extend(page.contents.unwrap_or_default().into_iter().filter_map(listed));
        }
        Ok(found)
    }

    /// The "directories" right below `prefix` (which ends in `/`), each ending in `/`, in the order of keys.
    pub async fn list_dirs(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let mut found = Vec::new();
        let mut pages =
            self.control.list_objects_v2().bucket(self.bucket()).prefix(prefix).delimiter("/").into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| StoreError::from_sdk(self.place("s3:ListBucket", prefix), error))?;
            found.extend(page.common_prefixes.unwrap_or_default().into_iter().filter_map(|p| p.prefix));
        }
        Ok(found)
    }

    /// One page of the objects under `prefix` whose keys come after `after`.
    pub async fn list_page(&self, prefix: &str, after: Option<&str>) -> Result<Page, StoreError> {
        let answer = self
            .control
            .list_objects_v2()
            .bucket(self.bucket())
            .prefix(prefix)
            // By key and not by token: the patrol goes back to the beginning of a directory that a page has cut.
            .set_start_after(after.map(str::to_owned))
            .send()
            .await
            .map_err(|error| StoreError::from_sdk(self.place("s3:ListBucket", prefix), error))?;
        let more = answer.is_truncated() == Some(true);
        let objects: Vec<Listed> = answer.contents.unwrap_or_default().into_iter().filter_map(listed).collect();
        // A store that repeats a page would keep the patrol walking for ever.
        if more && objects.last().is_none_or(|last| after.is_some_and(|after| last.key.as_str() <= after)) {
            let what = "the listing says that there is more and does not go on".to_owned();
            return Err(StoreError::Damaged { place: self.place("s3:ListBucket", prefix), what });
        }
        Ok(Page { objects, more })
    }

    /// Uploads under the storage's prefix that nobody has finished. Some stores (MinIO) list an upload only by its exact
    /// key: there this finds none, and the store clears them away by itself.
    pub async fn unfinished_uploads(&self) -> Result<Vec<Unfinished>, StoreError> {
        let root = self.keys.root();
        // A storage without a prefix may share its bucket: others' uploads are not even listed.
        let prefixes: Vec<String> = if root.is_empty() {
            AREAS.iter().map(|area| self.keys.area(*area)).collect()
        } else {
            vec![root.to_owned()]
        };
        let mut found = Vec::new();
        for prefix in prefixes {
            match self.uploads_under(&prefix, &mut found).await {
                Err(StoreError::NotImplemented { .. }) => return Ok(Vec::new()),
                other => other?,
            }
        }
        Ok(found)
    }

    /// Begins an upload in parts. An attempt whose answer was lost may have begun one, too: what else lies under this key,
    /// which is nobody else's, is aborted.
    pub(super) async fn create_multipart(
        &self,
        key: &str,
        tags: &Tags,
        content_type: Option<&str>,
        mark: Option<&str>,
    ) -> Result<String, StoreError> {
        let mut tries = 1;
        loop {
            let begun = self.create_multipart_once(key, tags, content_type, mark).await;
            // After these an upload may have begun all the same; a refusal begins none and would come again.
            let again = matches!(
                begun,
                Err(StoreError::Unreachable { .. }
                    | StoreError::TimedOut { .. }
                    | StoreError::Unavailable { .. }
                    | StoreError::Damaged { .. })
            );
            if again && tries < BEGIN_TRIES {
                tokio::time::sleep(Duration::from_millis(100 << tries)).await;
                tries += 1;
                continue;
            }
            // Only then can there be another upload. MinIO, too, lists it, because the key is exact.
            if tries > 1 {
                self.abort_others(key, begun.as_deref().unwrap_or_default()).await;
            }
            return begun;
        }
    }

    /// Best effort, as every abort: the bucket's rule and the patrol come after it.
    async fn abort_others(&self, key: &str, own: &str) {
        let mut found = Vec::new();
        if let Err(error) = self.uploads_under(key, &mut found).await {
            tracing::warn!(%error, key, "uploads whose answers were lost could not be listed");
        }
        for other in found.iter().filter(|upload| upload.key == key && upload.id != own) {
            self.abort_multipart(key, &other.id).await;
        }
    }

    async fn uploads_under(&self, prefix: &str, found: &mut Vec<Unfinished>) -> Result<(), StoreError> {
        let (mut key, mut id) = (None, None);
        while found.len() < MOST_UPLOADS {
            let answer = self
                .control
                .list_multipart_uploads()
                .bucket(self.bucket())
                .prefix(prefix)
                .set_key_marker(key.clone())
                .set_upload_id_marker(id.clone())
                .send()
                .await
                .map_err(|error| StoreError::from_sdk(self.place("s3:ListBucketMultipartUploads", prefix), error))?;
            found.extend(answer.uploads().iter().filter_map(|upload| {
                Some(Unfinished {
                    key: upload.key()?.to_owned(),
                    id: upload.upload_id()?.to_owned(),
                    begun: upload.initiated().and_then(time),
                })
            }));
            let next = (answer.next_key_marker, answer.next_upload_id_marker);
            // Markers that stand still would be asked for without end.
            if answer.is_truncated != Some(true) || next.0.is_none() || next == (key, id) {
                return Ok(());
            }
            (key, id) = next;
        }
        Ok(())
    }
}

/// An object of a listing; one without a key is none.
pub(super) fn listed(object: aws_sdk_s3::types::Object) -> Option<Listed> {
    Some(Listed {
        length: object.size.unwrap_or_default(),
        last_modified: object.last_modified.as_ref().and_then(time),
        key: object.key?,
    })
}
