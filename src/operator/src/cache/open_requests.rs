//! An index over the cache of RestoreRequests: by schedule, and which of them are open. Every reconcile of a schedule or a
//! request asks it, and walking ten thousand ended requests each time would be most of the cost.

use crate::runtime::key::Key;
use kube::ResourceExt;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher::Event;
use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use sennight_api::RestoreRequest;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

/// The index; clones share it. It may name too many requests: each look-up checks the cache.
#[derive(Clone)]
pub struct OpenRequests {
    cache: Store<RestoreRequest>,
    names: Arc<RwLock<Names>>,
}

/// Names of requests by schedule, as the watch last brought them.
#[derive(Default)]
struct Names {
    all: HashMap<Key, BTreeSet<String>>,
    open: HashMap<Key, BTreeSet<String>>,
}

/// Whether a request has not ended.
pub fn is_open(request: &RestoreRequest) -> bool {
    request.status.as_ref().is_none_or(|status| status.finished_at.is_none())
}

fn key(request: &RestoreRequest) -> Key {
    Key::new(&request.namespace().unwrap_or_default(), &request.spec.schedule_ref.name)
}

impl OpenRequests {
    /// An empty index over a cache.
    pub fn new(cache: Store<RestoreRequest>) -> Self {
        Self { cache, names: Arc::default() }
    }

    /// Updates the index by an event of the watch. The cache must have applied the event before.
    pub fn observe(&self, event: &Event<RestoreRequest>) {
        match event {
            Event::Apply(request) | Event::InitApply(request) => self.insert(request),
            Event::Delete(request) => self.remove(request),
            // A deletion while the watch was broken has no event: the new list just lacks the object.
            Event::InitDone => self.drop_missing(),
            Event::Init => {}
        }
    }

    fn write(&self) -> RwLockWriteGuard<'_, Names> {
        self.names.write()
    }

    fn remove(&self, request: &RestoreRequest) {
        let (key, name) = (key(request), request.name_any());
        let mut names = self.write();
        let Names { all, open } = &mut *names;
        for index in [all, open] {
            if let Some(names) = index.get_mut(&key) {
                names.remove(&name);
                if names.is_empty() {
                    index.remove(&key);
                }
            }
        }
    }

    fn drop_missing(&self) {
        let mut names = self.write();
        let Names { all, open } = &mut *names;
        for index in [all, open] {
            index.retain(|key, names| {
                names.retain(|name| {
                    let cached = self.cache.get(&ObjectRef::new(name).within(&key.namespace));
                    cached.is_some_and(|request| *request.spec.schedule_ref.name == *key.name)
                });
                !names.is_empty()
            });
        }
    }

    fn insert(&self, request: &RestoreRequest) {
        let key = key(request);
        let mut names = self.write();
        let name = request.name_any();
        if is_open(request) {
            names.open.entry(key.clone()).or_default().insert(name.clone());
        } else if let Some(open) = names.open.get_mut(&key) {
            open.remove(&name);
            if open.is_empty() {
                names.open.remove(&key);
            }
        }
        names.all.entry(key).or_default().insert(name);
    }

    fn read(&self) -> RwLockReadGuard<'_, Names> {
        self.names.read()
    }

    /// All requests of a schedule, from the cache.
    pub fn all_of(&self, namespace: &str, schedule: &str) -> Vec<Arc<RestoreRequest>> {
        let key = Key::new(namespace, schedule);
        self.read().all.get(&key).map(|names| self.cached(&key, names)).unwrap_or_default()
    }

    /// The requests of a schedule that have not ended.
    pub fn open_of(&self, namespace: &str, schedule: &str) -> Vec<Arc<RestoreRequest>> {
        let key = Key::new(namespace, schedule);
        self.read().open.get(&key).map(|names| self.still_open(&key, names)).unwrap_or_default()
    }

    /// Names of the schedules of a namespace whose database an open request has claimed.
    pub fn claimed_schedules(&self, namespace: &str) -> HashSet<String> {
        let names = self.read();
        let names = names.open.iter().filter(|(key, _)| *key.namespace == *namespace);
        let claims = |request: &Arc<RestoreRequest>| request.status.as_ref().is_some_and(|s| s.claim.is_some());
        names
            .filter(|(key, names)| self.still_open(key, names).iter().any(claims))
            .map(|(key, _)| key.name.to_string())
            .collect()
    }

    fn still_open(&self, key: &Key, names: &BTreeSet<String>) -> Vec<Arc<RestoreRequest>> {
        self.cached(key, names).into_iter().filter(|request| is_open(request)).collect()
    }

    fn cached(&self, key: &Key, names: &BTreeSet<String>) -> Vec<Arc<RestoreRequest>> {
        let cached = names.iter().filter_map(|name| self.cache.get(&ObjectRef::new(name).within(&key.namespace)));
        // A request with the same name may have been created for another schedule since.
        cached.filter(|request| *request.spec.schedule_ref.name == *key.name).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::runtime::reflector::store;
    use serde_json::{Value, json};

    fn request(name: &str, schedule: &str, status: &Value) -> RestoreRequest {
        serde_json::from_value(json!({
            "apiVersion": "sennight.dev/v1alpha1", "kind": "RestoreRequest", "metadata": {"name": name, "namespace": "n"},
            "spec": {
                "scheduleRef": {"name": schedule}, "mode": "CrmExport", "date": "2026-11-20", "requester": {"userId": "1"},
                "ticket": {"id": "7"}, "reason": "lost"
            },
            "status": status
        }))
        .unwrap()
    }

    /// An index, and what the watch brings: to the cache first.
    fn watched() -> (OpenRequests, impl FnMut(Event<RestoreRequest>)) {
        let (reader, mut writer) = store::<RestoreRequest>();
        let open = OpenRequests::new(reader);
        let observer = open.clone();
        (open, move |event| {
            writer.apply_watcher_event(&event);
            observer.observe(&event);
        })
    }

    #[test]
    fn i6_of_a_schedules_requests_the_open_ones_are_found_until_they_end_or_are_gone() {
        let (open, mut happens) = watched();
        let mut see = |request: &RestoreRequest| happens(Event::Apply(request.clone()));
        let claim = json!({"claim": {"attempt": 1, "job": "j", "at": "2026-11-22T00:00:00Z"}});
        see(&request("a", "s", &json!(null)));
        see(&request("b", "s", &claim));
        see(&request("c", "t", &json!({"finishedAt": "2026-11-22T00:00:00Z"})));
        let names = |schedule: &str| open.open_of("n", schedule).iter().map(|r| r.name_any()).collect::<Vec<_>>();
        assert_eq!((names("s"), names("t")), (vec!["a".to_owned(), "b".to_owned()], vec![]));
        assert_eq!(open.claimed_schedules("n"), HashSet::from(["s".to_owned()]));
        assert!(open.claimed_schedules("other").is_empty() && open.open_of("other", "s").is_empty());
        assert_eq!((open.all_of("n", "s").len(), open.all_of("n", "t").len()), (2, 1));
        see(&request("b", "s", &json!({"finishedAt": "2026-11-22T00:00:00Z"})));
        assert_eq!((names("s"), open.claimed_schedules("n").len()), (vec!["a".to_owned()], 0));
        happens(Event::Delete(request("a", "s", &json!(null))));
        assert_eq!(open.all_of("n", "s").len(), 1);
        assert!(names("s").is_empty() && open.read().open.is_empty());
    }

    #[test]
    fn of_requests_that_are_gone_no_name_stays_however_they_went() {
        let (open, mut happens) = watched();
        let counts = || {
            let names = open.read();
            [&names.all, &names.open].map(|index| index.values().map(BTreeSet::len).sum::<usize>())
        };
        let new = |name: &str| request(name, "s", &json!(null));
        happens(Event::Apply(new("a")));
        happens(Event::Apply(new("b")));
        happens(Event::Delete(new("a")));
        assert_eq!(counts(), [1, 1]);
        // The watch broke; meanwhile b went and c came.
        happens(Event::Init);
        happens(Event::InitApply(new("c")));
        assert_eq!(counts(), [2, 2], "the cache does not have it before the list is complete");
        happens(Event::InitDone);
        assert_eq!(counts(), [1, 1]);
        assert_eq!(open.open_of("n", "s").iter().map(|r| r.name_any()).collect::<Vec<_>>(), ["c"]);
    }
}
