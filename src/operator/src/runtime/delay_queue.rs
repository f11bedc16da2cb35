//! When each object of a kind is reconciled next: one min-heap of due times, so that 100,000 schedules cost one timer.
//! [`Heap`] is pure; [`Timer`] sleeps until its first entry is due.

use crate::runtime::clock::Clock;
use chrono::{DateTime, Utc};
use futures::Stream;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::hash::Hash;
use std::time::Duration;
use tokio::sync::mpsc;

/// The longest sleep. A wall clock that was set forward is noticed within this time.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// At most one due time for each key, and keys that are due immediately.
#[derive(Debug)]
pub struct Heap<K> {
    by_time: BTreeMap<(DateTime<Utc>, u64), K>,
    by_key: HashMap<K, (DateTime<Utc>, u64)>,
    counter: u64,
    immediate: VecDeque<K>,
    immediate_keys: HashSet<K>,
}

impl<K> Default for Heap<K> {
    fn default() -> Self {
        let (by_time, by_key, calls, called) = Default::default();
        Self { by_time, by_key, counter: 0, immediate: calls, immediate_keys: called }
    }
}

impl<K: Hash + Eq + Clone> Heap<K> {
    /// Makes `key` due at `due`. Replaces the key's earlier time, whether that was sooner or later.
    pub fn schedule(&mut self, key: K, due: DateTime<Utc>) {
        self.forget(&key);
        self.counter += 1;
        let slot = (due, self.counter);
        self.by_key.insert(key.clone(), slot);
        self.by_time.insert(slot, key);
    }

    /// Makes `key` due no later than `due`. An earlier time stays, so that a steady stream of causes cannot postpone the
    /// key for ever.
    pub fn requeue_before(&mut self, key: K, due: DateTime<Utc>) {
        if self.by_key.get(&key).is_none_or(|(wanted, _)| *wanted > due) {
            self.schedule(key, due);
        }
    }

    /// Makes `key` due immediately, besides its own time. [`Heap::schedule`] does not undo this: a reconcile that ends now
    /// and asks for a later time has not seen the cause of this call.
    pub fn requeue_now(&mut self, key: K) {
        if self.immediate_keys.insert(key.clone()) {
            self.immediate.push_back(key);
        }
    }

    /// Drops the due time of a key. An immediate request stays.
    pub fn forget(&mut self, key: &K) {
        if let Some(slot) = self.by_key.remove(key) {
            self.by_time.remove(&slot);
        }
    }

    /// The earliest due time.
    pub fn next(&self) -> Option<DateTime<Utc>> {
        self.by_time.keys().next().map(|(due, _)| *due)
    }

    /// Takes one key that is due: immediate ones first, then by time; equal times in the order of the calls.
    pub fn pop(&mut self, now: DateTime<Utc>) -> Option<K> {
        if let Some(key) = self.immediate.pop_front() {
            self.immediate_keys.remove(&key);
            return Some(key);
        }
        let first = self.by_time.first_entry()?;
        if first.key().0 > now {
            return None;
        }
        let key = first.remove();
        self.by_key.remove(&key);
        Some(key)
    }

    /// Number of keys with a due time.
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether no key has a due time and none is due immediately.
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty() && self.immediate.is_empty()
    }
}

enum Request<K> {
    Schedule(K, DateTime<Utc>),
    RequeueBefore(K, DateTime<Utc>),
    RequeueNow(K),
    Forget(K),
}

/// The sending half: asks for a later reconcile of an object. Cheap to clone; never blocks.
#[derive(Debug)]
pub struct DelayQueue<K> {
    requests: mpsc::UnboundedSender<Request<K>>,
}

impl<K> Clone for DelayQueue<K> {
    fn clone(&self) -> Self {
        Self { requests: self.requests.clone() }
    }
}

impl<K: Hash + Eq + Clone + Send + 'static> DelayQueue<K> {
    /// A handle, and the stream of keys as they become due (for `kube::runtime::Controller::reconcile_on`). The stream
    /// ends when the last handle is dropped.
    pub fn start(clock: Clock) -> (Self, impl Stream<Item = K> + Send + 'static) {
        let (asks, inbox) = mpsc::unbounded_channel();
        let sleeper = Timer { heap: Heap::default(), inbox, clock };
        let stream = futures::stream::unfold(sleeper, |mut sleeper| async move {
            let key = sleeper.due().await?;
            Some((key, sleeper))
        });
        (Self { requests: asks }, stream)
    }

    /// Reconciles `key` at `due`; replaces its earlier time.
    pub fn schedule(&self, key: impl Into<K>, due: DateTime<Utc>) {
        // The receiver is gone only while the process ends: then the error does not matter.
        let _ = self.requests.send(Request::Schedule(key.into(), due));
    }

    /// Reconciles `key` at `due`, or earlier if it was due earlier.
    pub fn requeue_before(&self, key: impl Into<K>, due: DateTime<Utc>) {
        let _ = self.requests.send(Request::RequeueBefore(key.into(), due));
    }

    /// Reconciles `key` as soon as possible. No later [`DelayQueue::schedule`] replaces this.
    pub fn requeue_now(&self, key: impl Into<K>) {
        let _ = self.requests.send(Request::RequeueNow(key.into()));
    }

    /// Drops the due time of `key`.
    pub fn forget(&self, key: impl Into<K>) {
        let _ = self.requests.send(Request::Forget(key.into()));
    }
}

struct Timer<K> {
    heap: Heap<K>,
    inbox: mpsc::UnboundedReceiver<Request<K>>,
    clock: Clock,
}

impl<K: Hash + Eq + Clone> Timer<K> {
    /// Waits for the next key that is due; `None` once every handle is dropped.
    async fn due(&mut self) -> Option<K> {
        loop {
            while let Ok(request) = self.inbox.try_recv() {
                self.apply(request);
            }
            let now = self.clock.now();
            if let Some(key) = self.heap.pop(now) {
                return Some(key);
            }
            let pause = self.heap.next().map_or(LONGEST_SLEEP, |due| pause(self.clock.real(due - now)));
            tokio::select! {
                request = self.inbox.recv() => self.apply(request?),
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    fn apply(&mut self, request: Request<K>) {
        match request {
            Request::Schedule(key, due) => self.heap.schedule(key, due),
            Request::RequeueBefore(key, due) => self.heap.requeue_before(key, due),
            Request::RequeueNow(key) => self.heap.requeue_now(key),
            Request::Forget(key) => self.heap.forget(&key),
        }
    }
}

/// How long to sleep. Tokio's timer counts whole milliseconds: one more, so that the key is due when it fires.
fn pause(left: Duration) -> Duration {
    (left + Duration::from_millis(1)).min(LONGEST_SLEEP)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;
    use futures::StreamExt;
    use proptest::prelude::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    #[test]
    fn a_later_time_replaces_the_earlier_one() {
        let mut heap = Heap::default();
        heap.schedule("a", at(10));
        heap.schedule("b", at(20));
        heap.schedule("a", at(30));
        assert_eq!((heap.next(), heap.len()), (Some(at(20)), 2));
        assert_eq!(heap.pop(at(19)), None);
        assert_eq!(heap.pop(at(40)), Some("b"));
        assert_eq!(heap.pop(at(40)), Some("a"));
        assert!(heap.is_empty());
    }

    #[test]
    fn causes_that_keep_coming_cannot_postpone_a_key() {
        let mut heap = Heap::default();
        for second in 0..100 {
            heap.requeue_before("a", at(10 + second));
        }
        assert_eq!(heap.next(), Some(at(10)));
        heap.requeue_before("a", at(5));
        assert_eq!((heap.next(), heap.len()), (Some(at(5)), 1));
    }

    #[test]
    fn an_immediate_request_fires_once_whatever_the_reconcile_that_ends_meanwhile_asks_for() {
        let mut heap = Heap::default();
        heap.schedule("a", at(10));
        heap.requeue_now("a");
        heap.requeue_now("a");
        heap.schedule("a", at(90));
        heap.forget(&"b");
        assert_eq!((heap.pop(at(0)), heap.pop(at(0))), (Some("a"), None));
        heap.requeue_now("b");
        heap.forget(&"b");
        assert_eq!((heap.pop(at(0)), heap.pop(at(90))), (Some("b"), Some("a")));
        assert!(heap.is_empty());
    }

    #[test]
    fn a_forgotten_key_never_fires() {
        let mut heap = Heap::default();
        heap.schedule("a", at(10));
        heap.forget(&"a");
        assert_eq!(heap.pop(at(99)), None);
        assert_eq!(heap.next(), None);
    }

    proptest! {
        #[test]
        fn keys_fire_once_in_order_of_their_last_time(times in prop::collection::vec((0u8..20, 0i64..100), 0..200)) {
            let mut heap = Heap::default();
            let mut last = HashMap::new();
            for (key, due) in times {
                heap.schedule(key, at(due));
                last.insert(key, due);
            }
            let mut fired = Vec::new();
            while let Some(key) = heap.pop(at(1000)) {
                fired.push(last.remove(&key));
            }
            prop_assert!(last.is_empty());
            prop_assert!(fired.iter().all(Option::is_some));
            prop_assert!(fired.is_sorted());
        }
    }

    #[tokio::test]
    async fn the_stream_sleeps_until_the_first_is_due_and_hears_of_a_sooner_one() {
        let (queue, stream) = DelayQueue::<&str>::start(Clock::default());
        let mut stream = Box::pin(stream);
        let start = Utc::now();
        let after = move |millis| start + TimeDelta::milliseconds(millis);
        queue.schedule("late", after(400));
        let other = queue.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(50)).await;
            other.schedule("soon", after(150));
        });
        assert_eq!(stream.next().await, Some("soon"));
        assert!(Utc::now() >= after(150));
        assert_eq!(stream.next().await, Some("late"));
        assert!(Utc::now() >= after(400));
    }

    #[tokio::test]
    async fn what_was_due_long_ago_fires_at_once_and_the_stream_ends_with_its_last_handle() {
        let (queue, stream) = DelayQueue::<&str>::start(Clock::default());
        let mut stream = Box::pin(stream);
        queue.schedule("missed", at(1));
        assert_eq!(stream.next().await, Some("missed"));
        drop(queue);
        assert_eq!(stream.next().await, None);
    }

    #[test]
    fn a_sleep_never_ends_before_the_key_is_due_and_notices_a_clock_that_was_set() {
        assert_eq!(pause(Duration::from_millis(10)), Duration::from_millis(11));
        assert_eq!(pause(Duration::from_hours(24)), LONGEST_SLEEP);
        assert_eq!(pause(Clock::default().real(TimeDelta::days(-1))), Duration::from_millis(1));
    }
}
