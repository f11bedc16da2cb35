//! Reads and writes the reports and the progress of tasks in the bucket, as small JSON objects. What they say is
//! defined in `protocol` and `core`. Claims and the audit record are in files of their own.

use super::client::READ;
use super::{PutOptions, Store, StoreError};
use bytes::Bytes;
use sennight_core::names::NameError;
use sennight_core::progress::Progress;
use sennight_protocol::report::TaskReport;
use serde::Serialize;
use serde::de::DeserializeOwned;

impl Store {
    /// A JSON object of ours, or `None` if it does not exist.
    pub async fn get_json<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, StoreError> {
        let Some(bytes) = self.get_opt(key).await? else {
            return Ok(None);
        };
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|error| StoreError::Unreadable { place: self.place(READ, key), source: Box::new(error) })
    }

    /// Puts a JSON object.
    pub async fn put_json<T: Serialize>(&self, key: &str, value: &T, options: &PutOptions) -> Result<(), StoreError> {
        let bytes = serde_json::to_vec(value).map_err(|error| StoreError::Unreadable {
            place: self.place("s3:PutObject", key),
            source: Box::new(error),
        })?;
        self.put(key, Bytes::from(bytes), options).await
    }

    /// Stores what a task came to; a later attempt's report replaces an earlier one's.
    pub async fn put_report(&self, job_uid: &str, report: &TaskReport) -> Result<(), StoreError> {
        let key = self.named(self.keys.result(job_uid, &report.task))?;
        self.put_json(&key, report, &PutOptions::json()).await
    }

    /// What a task came to, if it has come to anything yet.
    pub async fn report(&self, job_uid: &str, task: &str) -> Result<Option<TaskReport>, StoreError> {
        self.get_json(&self.named(self.keys.result(job_uid, task))?).await
    }

    /// Stores how far a task is. The caller bounds the rate.
    pub async fn put_progress(&self, job_uid: &str, task: &str, progress: &Progress) -> Result<(), StoreError> {
        let key = self.named(self.keys.progress(job_uid, task))?;
        self.put_json(&key, progress, &PutOptions::json()).await
    }

    /// How far a task is, if it has said so.
    pub async fn progress(&self, job_uid: &str, task: &str) -> Result<Option<Progress>, StoreError> {
        self.get_json(&self.named(self.keys.progress(job_uid, task))?).await
    }

    /// A key, or the refusal of a name that would leave its place in the bucket.
    pub(super) fn named(&self, key: Result<String, NameError>) -> Result<String, StoreError> {
        key.map_err(|error| StoreError::Invalid {
            bucket: self.bucket().to_owned(),
            field: "key",
            what: error.to_string(),
        })
    }
}
