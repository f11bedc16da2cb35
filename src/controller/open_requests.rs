//! Which RestoreRequests a schedule has, and which of them may be open: every look at either asks, and a walk over ten thousand
//! that ended long ago would be most of its cost. The cache of whole objects has the last word.

use super::fleet::Key;
use crate::api::RestoreRequest;
use kube::ResourceExt;
use kube::runtime::reflector::{ObjectRef, Store};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

/// The index; clones share it.
#[derive(Clone)]
pub struct OpenRequests {
    cache: Store<RestoreRequest>,
    names: Arc<RwLock<Names>>,
}

/// Names of requests by schedule, as they were last seen.
#[derive(Default)]
struct Names {
    all: HashMap<Key, BTreeSet<String>>,
    open: HashMap<Key, BTreeSet<String>>,
}

/// Whether a request has not ended.
fn is_open(request: &RestoreRequest) -> bool {
    request.status.as_ref().is_none_or(|status| status.finished_at.is_none())
}

impl OpenRequests {
    /// An empty one beside a cache.
    pub fn new(cache: Store<RestoreRequest>) -> Self {
        Self { cache, names: Arc::default() }
    }

    /// Takes note of a request as the watch brings it. One that is gone is found out when somebody asks for it.
    pub fn saw(&self, request: &RestoreRequest) {
        let key = Key::new(&request.namespace().unwrap_or_default(), &request.spec.schedule_ref.name);
        let mut names = self.names.write().unwrap_or_else(PoisonError::into_inner);
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
        self.names.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The requests of a schedule, as the cache has them.
    pub fn all_of(&self, namespace: &str, schedule: &str) -> Vec<Arc<RestoreRequest>> {
        let key = Key::new(namespace, schedule);
        self.read().all.get(&key).map(|names| self.cached(&key, names)).unwrap_or_default()
    }

    /// The open ones of a schedule.
    pub fn of(&self, namespace: &str, schedule: &str) -> Vec<Arc<RestoreRequest>> {
        let key = Key::new(namespace, schedule);
        self.read().open.get(&key).map(|names| self.still(&key, names)).unwrap_or_default()
    }

    /// The schedules of a namespace whose databases open requests have claimed.
    pub fn claimed(&self, namespace: &str) -> HashSet<String> {
        let names = self.read();
        let here = names.open.iter().filter(|(key, _)| *key.namespace == *namespace);
        let claims = |request: &Arc<RestoreRequest>| request.status.as_ref().is_some_and(|s| s.claim.is_some());
        here.filter(|(key, names)| self.still(key, names).iter().any(claims))
            .map(|(key, _)| key.name.to_string())
            .collect()
    }

    fn still(&self, key: &Key, names: &BTreeSet<String>) -> Vec<Arc<RestoreRequest>> {
        self.cached(key, names).into_iter().filter(|request| is_open(request)).collect()
    }

    fn cached(&self, key: &Key, names: &BTreeSet<String>) -> Vec<Arc<RestoreRequest>> {
        let cached = names.iter().filter_map(|name| self.cache.get(&ObjectRef::new(name).within(&key.namespace)));
        // Another one may have its name by now.
        cached.filter(|request| *request.spec.schedule_ref.name == *key.name).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::runtime::reflector::store;
    use kube::runtime::watcher::Event;
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

    #[test]
    fn i6_of_a_schedules_requests_the_open_ones_are_found_until_they_end_or_are_gone() {
        let (reader, mut writer) = store::<RestoreRequest>();
        let open = OpenRequests::new(reader);
        let mut see = |request: &RestoreRequest| {
            writer.apply_watcher_event(&Event::Apply(request.clone()));
            open.saw(request);
        };
        let claim = json!({"claim": {"attempt": 1, "job": "j", "at": "2026-11-22T00:00:00Z"}});
        see(&request("a", "s", &json!(null)));
        see(&request("b", "s", &claim));
        see(&request("c", "t", &json!({"finishedAt": "2026-11-22T00:00:00Z"})));
        let names = |schedule: &str| open.of("n", schedule).iter().map(|r| r.name_any()).collect::<Vec<_>>();
        assert_eq!((names("s"), names("t")), (vec!["a".to_owned(), "b".to_owned()], vec![]));
        assert_eq!(open.claimed("n"), HashSet::from(["s".to_owned()]));
        assert!(open.claimed("other").is_empty() && open.of("other", "s").is_empty());
        assert_eq!((open.all_of("n", "s").len(), open.all_of("n", "t").len()), (2, 1));
        see(&request("b", "s", &json!({"finishedAt": "2026-11-22T00:00:00Z"})));
        assert_eq!((names("s"), open.claimed("n").len()), (vec!["a".to_owned()], 0));
        writer.apply_watcher_event(&Event::Delete(request("a", "s", &json!(null))));
        assert_eq!(open.all_of("n", "s").len(), 1);
        assert!(names("s").is_empty(), "a list that was made anew does not say what is gone");
    }
}
