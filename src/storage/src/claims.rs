//! The worker's half of the claim (I2): one object a RestoreRequest UID, put by exactly one process for ever.

use super::{PutOptions, Store, StoreError};
use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Who claimed a RestoreRequest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClaimRecord {
    /// UID of the Job.
    pub job_uid: String,
    /// Name of the pod.
    pub pod: String,
    /// When, by the worker's clock.
    pub at: DateTime<Utc>,
}

/// How a claim ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claimed {
    /// It is ours, and nobody had it before: the only answer that allows a first effect.
    Won,
    /// It was ours already (same Job and same pod): this process started again, and what the first start did must be
    /// found out before anything else.
    Mine(ClaimRecord),
    /// Somebody else has it.
    Held(ClaimRecord),
}

impl Store {
    /// Claims a RestoreRequest. A store without conditional puts is refused: there is no claim that two processes
    /// could not both win.
    pub async fn claim(&self, request_uid: &str, claim: &ClaimRecord) -> Result<Claimed, StoreError> {
        if !self.capabilities().conditional_put {
            return Err(StoreError::Unsupported {
                bucket: self.bucket().to_owned(),
                feature: "If-None-Match on PutObject",
                way_out: "a restore cannot be proven to run only once here: use a store with conditional puts",
            });
        }
        let key = self.named(self.keys.claim(request_uid))?;
        match self.put_json(&key, claim, &PutOptions::json().exclusive()).await {
            Ok(()) => Ok(Claimed::Won),
            Err(StoreError::AlreadyExists { place }) => match self.claim_of(request_uid).await? {
                Some(found) if found.job_uid == claim.job_uid && found.pod == claim.pod => Ok(Claimed::Mine(found)),
                Some(found) => Ok(Claimed::Held(found)),
                None => Err(StoreError::NotFound { place }),
            },
            Err(error) => Err(error),
        }
    }

    /// Puts what the swap of a RestoreRequest must know to be ended by somebody else. The first one stays.
    pub async fn put_journal<T: Serialize>(&self, request_uid: &str, journal: &T) -> Result<(), StoreError> {
        let key = self.named(self.keys.journal(request_uid))?;
        self.put_json(&key, journal, &PutOptions::json().exclusive()).await
    }

    /// It, if there is one.
    pub async fn journal<T: DeserializeOwned>(&self, request_uid: &str) -> Result<Option<T>, StoreError> {
        self.get_json(&self.named(self.keys.journal(request_uid))?).await
    }

    /// Who claimed a RestoreRequest, if anybody did.
    pub async fn claim_of(&self, request_uid: &str) -> Result<Option<ClaimRecord>, StoreError> {
        self.get_json(&self.named(self.keys.claim(request_uid))?).await
    }
}
