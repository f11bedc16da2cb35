//! The claim in the bucket (I2): one object for each RestoreRequest UID, which exactly one process can create. And the journal of
//! a swap.

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
    /// Time of the claim, by the worker's clock.
    pub at: DateTime<Utc>,
}

/// Result of an attempt to claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claimed {
    /// This process created the claim: the only result that allows to change anything.
    Won,
    /// The same pod had claimed before, so it was started again. What its first start did must be found out before anything
    /// is changed.
    Mine(ClaimRecord),
    /// Another process has the claim.
    Held(ClaimRecord),
}

impl Store {
    /// Claims a RestoreRequest. A store without conditional puts is refused: two processes could both win there.
    pub async fn claim(&self, request_uid: &str, claim: &ClaimRecord) -> Result<Claimed, StoreError> {
        // guard(servers::i2_without_conditional_puts_nobody_can_claim, never): no claim on a store without conditional puts
        if !self.capabilities().conditional_put {
            return Err(StoreError::Unsupported {
                bucket: self.bucket().to_owned(),
                feature: "If-None-Match on PutObject",
                way_out: "a restore cannot be proven to run only once here: use a store with conditional puts",
            });
        }
        let key = self.named(self.keys.claim(request_uid))?;
        // guard(servers::i2_one_of_sixteen_claims_wins_and_the_others_learn_who, drop-call): one claim for each request in the bucket
        let once = PutOptions::json().exclusive();
        match self.put_json(&key, claim, &once).await {
            // Also if the answer was lost: `put` knows its own object again, so nobody loses to itself.
            Ok(()) => Ok(Claimed::Won),
            Err(StoreError::AlreadyExists { place }) => match self.claim_of(request_uid).await? {
                // A container that is started again keeps its pod's name; another pod of the same Job has a new one.
                Some(found) if found.job_uid == claim.job_uid && found.pod == claim.pod => Ok(Claimed::Mine(found)),
                Some(found) => Ok(Claimed::Held(found)),
                // It was there a moment ago, so somebody deletes claims. A second try could win what was won before.
                None => Err(StoreError::NotFound { place }),
            },
            Err(error) => Err(error),
        }
    }

    /// Writes the journal of a swap, which lets another process end it. An error if there is one already.
    pub async fn put_journal<T: Serialize>(&self, request_uid: &str, journal: &T) -> Result<(), StoreError> {
        let key = self.named(self.keys.journal(request_uid))?;
        // Exclusive: who ends a lost swap puts an empty journal first. A worker that only seemed dead then fails here,
        // before its first change.
        self.put_json(&key, journal, &PutOptions::json().exclusive()).await
    }

    /// The journal of a swap, if there is one.
    pub async fn journal<T: DeserializeOwned>(&self, request_uid: &str) -> Result<Option<T>, StoreError> {
        self.get_json(&self.named(self.keys.journal(request_uid))?).await
    }

    /// The claim of a RestoreRequest, if there is one.
    pub async fn claim_of(&self, request_uid: &str) -> Result<Option<ClaimRecord>, StoreError> {
        self.get_json(&self.named(self.keys.claim(request_uid))?).await
    }
}
