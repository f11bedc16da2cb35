//! Journals of swaps, in the bucket beside the claims.

use super::TaskError;
use async_trait::async_trait;
use sennight_engine::restore::JournalStore;
use sennight_storage::{Store, StoreError};
use serde_json::Value;

/// The journals of a BackupStorage.
pub struct BucketJournals<'a>(pub &'a Store);

#[async_trait]
impl JournalStore for BucketJournals<'_> {
    async fn put(&self, request_uid: &str, journal: Value) -> Result<(), TaskError> {
        Ok(self.0.put_journal(request_uid, &journal).await?)
    }

    async fn put_if_none(&self, request_uid: &str, journal: Value) -> Result<(), TaskError> {
        match self.0.put_journal(request_uid, &journal).await {
            Ok(()) | Err(StoreError::AlreadyExists { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    async fn get(&self, request_uid: &str) -> Result<Option<Value>, TaskError> {
        Ok(self.0.journal(request_uid).await?)
    }
}
