//! How the audit record of each open request stands, as the last reconcile of `restore_record` found or left it. After a
//! restart it is empty: then nothing new is done for a request before its record was looked at again.

use kube::ResourceExt;
use parking_lot::Mutex;
use sennight_api::RestoreRequest;
use sennight_api::restore_report::AuditHead;
use sennight_core::audit::AuditState;
use sennight_core::restore_record::RecordedKeys;
use std::collections::HashMap;
use std::sync::Arc;

/// How a record stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LedgerState {
    /// It says what the cluster says, or there is nowhere to write it.
    UpToDate,
    /// Something could not be recorded, and the request may go on nevertheless.
    Behind,
    /// Somebody changed it; in which way. Nothing new may be done for the request.
    Broken(String),
}

/// A request's record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerEntry {
    /// Digest of the state that this is about.
    pub digest: String,
    /// How the record stands for that state.
    pub state: LedgerState,
    /// The last entry; `None` if there is none, or it is not known.
    pub head: Option<AuditHead>,
    /// Approval and payment as the last entry has them.
    pub keys: Option<RecordedKeys>,
}

impl LedgerEntry {
    /// Whether the request's status names an entry that has its approval and payment, and both are turned.
    pub fn names_keys(&self, object: &RestoreRequest, state: &AuditState) -> bool {
        let named = object.status.as_ref().and_then(|status| status.audit.as_ref()).map(|head| head.seq);
        let recorded = |keys: &RecordedKeys| keys.are_both() && keys.are_those_of(state) && keys.are_within(named);
        self.keys.as_ref().is_some_and(recorded)
    }
}

/// The records of open requests by UID; clones share them.
#[derive(Debug, Clone, Default)]
pub struct AuditLedger(Arc<Mutex<HashMap<String, Arc<LedgerEntry>>>>);

impl AuditLedger {
    /// The entry of a request, whatever state it is about.
    pub fn get(&self, object: &RestoreRequest) -> Option<Arc<LedgerEntry>> {
        self.0.lock().get(&object.uid()?).cloned()
    }

    /// The entry of a request, if it is about this state of it.
    pub fn of_state(&self, object: &RestoreRequest, state: &AuditState) -> Option<Arc<LedgerEntry>> {
        let digest = state.digest();
        self.get(object).filter(|entry| entry.digest == digest)
    }

    /// Stores an entry; true if it differs from the one before.
    pub fn put(&self, object: &RestoreRequest, entry: &Arc<LedgerEntry>) -> bool {
        let uid = object.uid().unwrap_or_default();
        self.0.lock().insert(uid, entry.clone()).is_none_or(|before| before != *entry)
    }

    /// Drops a request that is closed or gone.
    pub fn forget(&self, object: &RestoreRequest) {
        if let Some(uid) = object.uid() {
            self.0.lock().remove(&uid);
        }
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.0.lock().is_empty()
    }

    /// Drops all but the requests with these UIDs.
    pub fn retain(&self, exists: impl Fn(&str) -> bool) {
        self.0.lock().retain(|uid, _| exists(uid));
    }
}
