//! Appends to a request's audit record what the cluster says and the record does not (`core::audit`, docs/audit.md).

use super::controller::RecordController;
use crate::cache::audit_ledger::{LedgerEntry, LedgerState};
use crate::cache::schedule_index::watched::read_schedule;
use crate::error::{ReconcileError, RecordError};
use crate::request::api;
use crate::runtime::key::Key;
use crate::runtime::writes::get_opt;
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use sennight_api::restore_report::AuditHead;
use sennight_api::{BackupStorage, RestoreRequest};
use sennight_core::audit::{AuditState, ChainHead, Recorded, follow, verify};
use sennight_core::restore_record::RecordedKeys;
use sennight_storage::Store;
use std::sync::Arc;

/// Appends what `object` says and the record does not, and tells `restore`. An unreachable bucket is an error for a request
/// that could still do something; one that has ended or is being deleted goes on.
pub async fn bring_up_to_date(
    object: &RestoreRequest,
    state: &AuditState,
    controller: &RecordController,
) -> Result<Arc<LedgerEntry>, ReconcileError> {
    let digest = state.digest();
    let known = controller.ledger.get(object);
    if let Some(entry) = known.as_ref().filter(|e| e.digest == digest && e.state == LedgerState::UpToDate) {
        return Ok(entry.clone());
    }
    let named = object.status.as_ref().and_then(|status| status.audit.clone());
    let entry = match named.as_ref().filter(|head| known.is_none() && head.state == digest) {
        Some(head) => up_to_date(digest, named.clone(), Some(RecordedKeys::of(state, head.seq))),
        None => record(object, state, known.as_deref(), named, controller).await?,
    };
    let entry = Arc::new(entry);
    if controller.ledger.put(object, &entry) {
        controller.restore_timer.requeue_now(Key::of(object));
    }
    Ok(entry)
}

fn up_to_date(digest: String, head: Option<AuditHead>, keys: Option<RecordedKeys>) -> LedgerEntry {
    LedgerEntry { digest, state: LedgerState::UpToDate, head, keys }
}

/// Reads the end of the record, and appends.
async fn record(
    object: &RestoreRequest,
    state: &AuditState,
    known: Option<&LedgerEntry>,
    named: Option<AuditHead>,
    controller: &RecordController,
) -> Result<LedgerEntry, ReconcileError> {
    // The one in memory is newer than the one in status, unless another process has led meanwhile.
    let head = known.and_then(|entry| entry.head.clone()).into_iter().chain(named).max_by_key(|head| head.seq);
    let keys = known.and_then(|entry| entry.keys.clone());
    let digest = state.digest();
    let Some(storage) = storage(object, head.as_ref(), controller).await? else {
        // No schedule and no storage: nothing can run, and there is nowhere to write.
        return Ok(up_to_date(digest, head, keys));
    };
    let status = object.status.as_ref();
    let leaving = object.metadata.deletion_timestamp.is_some() || status.is_some_and(|s| s.finished_at.is_some());
    // Before a backup is chosen nothing can run. The condition Eligible tells that the bucket is unreachable.
    let early = status.is_none_or(|s| s.backup.is_none() && s.undo.is_none());
    let stands = |now| LedgerEntry { digest: digest.clone(), state: now, head: head.clone(), keys: keys.clone() };
    match Box::pin(append(object, state, head.as_ref(), &storage, controller)).await {
        Ok(entries) => {
            let last = entries.last().ok_or(RecordError::Behind)?;
            let (seq, sha256) = (last.entry.seq, last.sha256.clone());
            let head = AuditHead { storage: storage.name_any(), seq, sha256, state: digest.clone() };
            Ok(up_to_date(digest, Some(head), RecordedKeys::after(keys, &entries)))
        }
        Err(error) if !error.is_behind() && leaving => {
            tracing::warn!(reason = error.reason(), %error, "audit record not updated");
            Ok(stands(LedgerState::Behind))
        }
        Err(error @ RecordError::Broken(_)) => {
            tracing::error!(reason = error.reason(), %error, "audit record broken; request stopped");
            Ok(stands(LedgerState::Broken(error.to_string())))
        }
        Err(error) if !error.is_behind() && early => {
            tracing::warn!(reason = error.reason(), %error, "audit record not updated");
            Ok(stands(LedgerState::Behind))
        }
        Err(error) => Err(error.into()),
    }
}

/// The storage that the record is in: where it was begun, else the schedule's.
async fn storage(
    object: &RestoreRequest,
    head: Option<&AuditHead>,
    controller: &RecordController,
) -> Result<Option<Arc<BackupStorage>>, ReconcileError> {
    let namespace = object.namespace().unwrap_or_default();
    let name = match head {
        Some(head) => Some(head.storage.clone()),
        None => read_schedule(&controller.client, &namespace, &object.spec.schedule_ref.name)
            .await?
            .map(|schedule| schedule.spec.storage_ref.name.clone()),
    };
    Ok(name.and_then(|name| controller.storages.get(&ObjectRef::new(&name).within(&namespace))))
}

/// Appends the missing entries; gives the entries from the head on, at least one.
///
/// The order must not change, because it keeps the chain single. The end of the record is read first, then the request, then
/// the next number is written, which only one writer can (the bucket refuses an existing key). A writer that read an older
/// request than the end was made of loses that number, and starts again.
async fn append(
    object: &RestoreRequest,
    state: &AuditState,
    head: Option<&AuditHead>,
    storage: &BackupStorage,
    controller: &RecordController,
) -> Result<Vec<Recorded>, RecordError> {
    let store = controller.stores.open(storage).await?;
    let uid = object.uid().unwrap_or_default();
    let mut entries = end(&store, &uid, head).await?;
    let fresh = get_opt(&api(object, &controller.client), &object.name_any()).await?;
    let same = |fresh: &RestoreRequest| {
        fresh.uid() == object.uid() && fresh.metadata.resource_version == object.metadata.resource_version
    };
    if !fresh.as_ref().is_some_and(same) {
        return Err(RecordError::Behind);
    }
    // Without a change nothing follows. The first reconcile of a request always has one, its creation.
    for entry in follow(&uid, entries.last(), state, controller.clock.now()) {
        if !store.audit_append(&uid, entry.entry.seq, entry.bytes.clone()).await? {
            return Err(RecordError::Behind);
        }
        entries.push(entry);
    }
    Ok(entries)
}

/// The entries from the head on, after checking the chain.
async fn end(store: &Store, uid: &str, head: Option<&AuditHead>) -> Result<Vec<Recorded>, RecordError> {
    let from = head.map_or(1, |head| head.seq);
    let head = head.map(|head| ChainHead { seq: head.seq, sha256: head.sha256.clone() });
    let found = store.audit_entries(uid, from).await?;
    Ok(verify(uid, &found, head.as_ref(), from)?.entries)
}
