//! Turns on one object: of several controllers that share a kind one works on an object at a time, and only when the cache
//! has what this process wrote to it last. So they do not make each other conflicts.

use crate::runtime::key::Key;
use crate::runtime::namespaced_watch::Watched;
use kube::ResourceExt;
use kube::runtime::reflector::{ObjectRef, Store};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::OwnedMutexGuard;

/// How long a write that the cache does not have holds up the next turn. A watch that has stood still so long may be
/// broken; a write on an old object is refused by its resourceVersion in any case.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// The turns on all objects of a kind; clones share them.
pub struct Turns<K: Watched> {
    cache: Store<K>,
    entries: Arc<Mutex<HashMap<Key, Entry>>>,
}

impl<K: Watched> Clone for Turns<K> {
    fn clone(&self) -> Self {
        Self { cache: self.cache.clone(), entries: self.entries.clone() }
    }
}

/// One object's lock, and what was written last.
#[derive(Default)]
struct Entry {
    lock: Arc<tokio::sync::Mutex<()>>,
    written: Option<(String, Instant)>,
}

/// What becomes of a request for a turn.
pub enum Next<K: Watched> {
    /// It is this caller's turn.
    Turn(Turn<K>),
    /// The object is gone.
    Gone,
    /// The cache does not have the last write yet. The watch brings another reconcile; if it stands still, the pause does.
    Behind(Duration),
}

/// The right to work on one object, until it is dropped.
pub struct Turn<K: Watched> {
    /// The object as the cache has it now.
    pub object: Arc<K>,
    key: Key,
    turns: Turns<K>,
    guard: Option<OwnedMutexGuard<()>>,
}

impl<K: Watched> Turns<K> {
    /// Over the objects of a cache.
    pub fn new(cache: Store<K>) -> Self {
        Self { cache, entries: Arc::default() }
    }

    /// Waits for the turn on the object that the caller was woken for.
    pub async fn begin(&self, object: &K) -> Next<K> {
        let key = Key::of(object);
        let lock = self.entries.lock().entry(key.clone()).or_default().lock.clone();
        let guard = lock.lock_owned().await;
        let reference = ObjectRef::new(&key.name).within(&key.namespace);
        // Read again: while this waited, another controller may have changed it.
        let Some(object) = self.cache.get(&reference) else {
            self.end(&key, guard);
            return Next::Gone;
        };
        let version = object.resource_version().unwrap_or_default();
        if let Some(pause) = self.missing(&key, &version) {
            drop(guard);
            return Next::Behind(pause);
        }
        Next::Turn(Turn { object, key, turns: self.clone(), guard: Some(guard) })
    }

    /// How long the last write is still waited for, if the cache is older than it.
    fn missing(&self, key: &Key, cached: &str) -> Option<Duration> {
        let mut entries = self.entries.lock();
        let entry = entries.get_mut(key)?;
        let (version, at) = entry.written.as_ref()?;
        let left = LONGEST_WAIT.saturating_sub(at.elapsed());
        if is_older(cached, version) && !left.is_zero() {
            return Some(left);
        }
        entry.written = None;
        None
    }

    /// Drops what is kept for objects that are gone or that nobody works on any more.
    pub fn forget(&self, key: &Key) {
        let mut entries = self.entries.lock();
        if entries.get(key).is_some_and(|entry| Arc::strong_count(&entry.lock) == 1) {
            entries.remove(key);
        }
    }

    fn end(&self, key: &Key, guard: OwnedMutexGuard<()>) {
        drop(guard);
        let mut entries = self.entries.lock();
        // One more would be somebody who waits for this turn.
        if entries.get(key).is_some_and(|entry| Arc::strong_count(&entry.lock) == 1 && entry.written.is_none()) {
            entries.remove(key);
        }
    }
}

impl<K: Watched> Turn<K> {
    /// Notes that this process wrote the object; `None`: nothing was sent.
    pub fn wrote(&self, version: Option<String>) {
        let Some(version) = version else { return };
        if let Some(entry) = self.turns.entries.lock().get_mut(&self.key) {
            entry.written = Some((version, Instant::now()));
        }
    }
}

impl<K: Watched> Drop for Turn<K> {
    fn drop(&mut self) {
        if let Some(guard) = self.guard.take() {
            self.turns.end(&self.key, guard);
        }
    }
}

/// Whether an object is of an earlier version. Versions of etcd are numbers that grow; what is no number is not waited for.
fn is_older(cached: &str, written: &str) -> bool {
    match (cached.parse::<u64>(), written.parse::<u64>()) {
        (Ok(cached), Ok(written)) => cached < written,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::runtime::reflector::store;
    use kube::runtime::watcher::Event;

    fn object(name: &str, version: &str) -> ConfigMap {
        let mut object = ConfigMap::default();
        object.metadata.namespace = Some("n".to_owned());
        object.metadata.name = Some(name.to_owned());
        object.metadata.resource_version = Some(version.to_owned());
        object
    }

    /// Turns over a cache, and what a watch brings into it.
    fn turns() -> (Turns<ConfigMap>, impl FnMut(ConfigMap)) {
        let (reader, mut writer) = store::<ConfigMap>();
        (Turns::new(reader), move |object| writer.apply_watcher_event(&Event::Apply(object)))
    }

    async fn turn(turns: &Turns<ConfigMap>, name: &str) -> Turn<ConfigMap> {
        match turns.begin(&object(name, "")).await {
            Next::Turn(turn) => turn,
            Next::Gone => panic!("gone"),
            Next::Behind(left) => panic!("behind, {left:?} left"),
        }
    }

    #[tokio::test]
    async fn one_works_on_an_object_at_a_time_and_sees_what_the_one_before_wrote() {
        let (turns, mut happens) = turns();
        happens(object("a", "7"));
        happens(object("b", "7"));
        let first = turn(&turns, "a").await;
        let second = tokio::spawn({
            let turns = turns.clone();
            async move { turn(&turns, "a").await.object.resource_version() }
        });
        assert!(turn(&turns, "b").await.guard.is_some(), "another object is free");
        tokio::task::yield_now().await;
        assert!(!second.is_finished());
        first.wrote(Some("9".to_owned()));
        happens(object("a", "9"));
        drop(first);
        assert_eq!(second.await.unwrap().as_deref(), Some("9"), "not the object that it was woken for");
        assert!(turns.entries.lock().is_empty(), "nothing is kept of objects that nobody works on");
    }

    #[tokio::test]
    async fn no_turn_begins_before_the_cache_has_the_last_write() {
        let (turns, mut happens) = turns();
        happens(object("a", "7"));
        turn(&turns, "a").await.wrote(Some("9".to_owned()));
        assert!(matches!(turns.begin(&object("a", "7")).await, Next::Behind(left) if left <= LONGEST_WAIT));
        happens(object("a", "8"));
        assert!(matches!(turns.begin(&object("a", "8")).await, Next::Behind(_)), "somebody else's, before ours");
        happens(object("a", "10"));
        assert_eq!(turn(&turns, "a").await.object.resource_version().as_deref(), Some("10"));
        turn(&turns, "a").await.wrote(None);
        assert!(turns.entries.lock().is_empty());
        // A watch that stands still holds nobody up for ever.
        turn(&turns, "a").await.wrote(Some("12".to_owned()));
        let long_ago = Instant::now().checked_sub(LONGEST_WAIT).unwrap();
        turns.entries.lock().values_mut().for_each(|entry| entry.written = Some(("12".to_owned(), long_ago)));
        turn(&turns, "a").await;
    }

    #[tokio::test]
    async fn what_is_gone_gets_no_turn_and_nothing_of_it_is_kept() {
        let (turns, mut happens) = turns();
        assert!(matches!(turns.begin(&object("a", "7")).await, Next::Gone));
        assert!(turns.entries.lock().is_empty());
        happens(object("a", "7"));
        turn(&turns, "a").await.wrote(Some("9".to_owned()));
        turns.forget(&Key::new("n", "a"));
        assert!(turns.entries.lock().is_empty());
    }
}
