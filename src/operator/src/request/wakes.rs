//! Hands the events of the one watch of RestoreRequests on: `restore` follows the watch itself, `restore_cleanup` and
//! `restore_record` are woken by key. A closed request wakes nobody before it is to be deleted.

use super::closed::{deletion_time, is_compacted};
use crate::cache::audit_ledger::AuditLedger;
use crate::runtime::delay_queue::DelayQueue;
use crate::runtime::key::Key;
use crate::runtime::turns::Turns;
use kube::ResourceExt;
use kube::runtime::reflector::Store;
use kube::runtime::watcher::Event;
use sennight_api::RestoreRequest;
use std::collections::HashSet;
use std::time::Duration;

/// What hears of changed requests.
#[derive(Clone)]
pub struct RequestWakes {
    /// The requests.
    pub cache: Store<RestoreRequest>,
    /// How long a request stays after its end.
    pub retention: Duration,
    /// How the records stand; what is closed or gone is dropped.
    pub ledger: AuditLedger,
    /// Turns; what is closed or gone is dropped.
    pub turns: Turns<RestoreRequest>,
    /// Wakes `restore_cleanup`.
    pub cleanup_timer: DelayQueue<Key>,
    /// Wakes `restore_record`.
    pub record_timer: DelayQueue<Key>,
}

impl RequestWakes {
    /// Takes an event of the watch, after the cache has it.
    pub fn observe(&self, event: &Event<RestoreRequest>) {
        match event {
            Event::Apply(object) | Event::InitApply(object) if is_compacted(object) => self.closed(object),
            Event::Apply(object) | Event::InitApply(object) => self.changed(object),
            Event::Delete(object) => self.gone(object),
            Event::InitDone => self.listed(),
            Event::Init => {}
        }
    }

    fn changed(&self, object: &RestoreRequest) {
        let key = Key::of(object);
        let ended = object.status.as_ref().is_some_and(|status| status.finished_at.is_some());
        // A request that runs has many events, and its databases are looked at after its end only.
        if ended || object.metadata.deletion_timestamp.is_some() {
            self.cleanup_timer.requeue_now(key.clone());
        }
        self.record_timer.requeue_now(key);
    }

    fn closed(&self, object: &RestoreRequest) {
        let key = Key::of(object);
        self.ledger.forget(object);
        self.turns.forget(&key);
        self.cleanup_timer.forget(key.clone());
        if let Some(at) = deletion_time(object, self.retention) {
            self.record_timer.schedule(key, at);
        }
    }

    fn gone(&self, object: &RestoreRequest) {
        let key = Key::of(object);
        self.ledger.forget(object);
        self.turns.forget(&key);
        self.cleanup_timer.forget(key.clone());
        self.record_timer.forget(key);
    }

    /// A list after a broken watch does not name what was deleted meanwhile.
    fn listed(&self) {
        if self.ledger.is_empty() {
            return;
        }
        let there: HashSet<String> = self.cache.state().iter().filter_map(|object| object.uid()).collect();
        self.ledger.retain(|uid| there.contains(uid));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::audit_ledger::{LedgerEntry, LedgerState};
    use crate::runtime::clock::Clock;
    use futures::{FutureExt, Stream, StreamExt};
    use kube::runtime::reflector::store;
    use serde_json::{Value, json};
    use std::sync::Arc;

    fn request(name: &str, status: &Value) -> RestoreRequest {
        serde_json::from_value(json!({
            "apiVersion": "sennight.dev/v1alpha1", "kind": "RestoreRequest",
            "metadata": {"name": name, "namespace": "n", "uid": format!("uid-{name}")},
            "spec": {
                "scheduleRef": {"name": "s"}, "mode": "CrmExport", "date": "2026-11-20", "requester": {"userId": "1"},
                "ticket": {"id": "7"}, "reason": "lost"
            },
            "status": status
        }))
        .unwrap()
    }

    fn closed(name: &str, finished: &str) -> RestoreRequest {
        let mut request = request(name, &json!({"finishedAt": finished}));
        request.status.as_mut().unwrap().compacted = true;
        request
    }

    /// The keys that are due now.
    async fn due(stream: &mut (impl Stream<Item = Key> + Unpin)) -> Vec<String> {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let mut names = Vec::new();
        while let Some(Some(key)) = stream.next().now_or_never() {
            names.push(key.name.to_string());
        }
        names
    }

    #[tokio::test]
    async fn closed_requests_wake_nobody_until_they_are_to_be_deleted_and_nothing_of_them_is_kept() {
        let (cache, mut writer) = store::<RestoreRequest>();
        let (cleanup_timer, cleanups) = DelayQueue::start(Clock::default());
        let (record_timer, records) = DelayQueue::start(Clock::default());
        let (mut cleanups, mut records) = (cleanups.boxed(), records.boxed());
        let wakes = RequestWakes {
            turns: Turns::new(cache.clone()),
            cache,
            retention: Duration::from_hours(24),
            ledger: AuditLedger::default(),
            cleanup_timer,
            record_timer,
        };
        let mut happens = |event: Event<RestoreRequest>| {
            writer.apply_watcher_event(&event);
            wakes.observe(&event);
        };
        let entry = |digest: &str| {
            let digest = digest.to_owned();
            Arc::new(LedgerEntry { digest, state: LedgerState::UpToDate, head: None, keys: None })
        };
        let recent = (chrono::Utc::now() - chrono::TimeDelta::hours(1)).to_rfc3339();
        for n in 0..1000 {
            happens(Event::Apply(closed(&format!("c{n}"), &recent)));
        }
        happens(Event::Apply(closed("expired", "2026-01-01T00:00:00Z")));
        assert_eq!((due(&mut cleanups).await, due(&mut records).await), (vec![], vec!["expired".to_owned()]));
        happens(Event::Apply(request("runs", &json!(null))));
        happens(Event::Apply(request("ended", &json!({"finishedAt": recent}))));
        assert_eq!(due(&mut cleanups).await, ["ended"]);
        assert_eq!(due(&mut records).await, ["runs", "ended"]);
        for name in ["runs", "ended", "missed"] {
            wakes.ledger.put(&request(name, &json!(null)), &entry("d"));
        }
        happens(Event::Apply(closed("ended", &recent)));
        assert!(wakes.ledger.get(&request("ended", &json!(null))).is_none(), "closed");
        happens(Event::InitDone);
        assert!(wakes.ledger.is_empty(), "that list had none of them");
        wakes.ledger.put(&request("runs", &json!(null)), &entry("d"));
        happens(Event::Delete(request("runs", &json!(null))));
        assert!(wakes.ledger.is_empty());
    }
}
