//! When each object wants to be looked at again: one min-heap of due times for a whole kind, so that 100,000 schedules
//! cost one timer. The heap is pure; a small task beside it sleeps.

use super::clock::Clock;
use chrono::{DateTime, Utc};
use futures::Stream;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::hash::Hash;
use std::time::Duration;
use tokio::sync::mpsc;

/// The longest sleep: a wall clock that was set forward is noticed this soon.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// Due times, at most one a key, and keys that somebody calls for.
#[derive(Debug)]
pub struct Heap<K> {
    by_time: BTreeMap<(DateTime<Utc>, u64), K>,
    by_key: HashMap<K, (DateTime<Utc>, u64)>,
    counter: u64,
    calls: VecDeque<K>,
    called: HashSet<K>,
}

impl<K> Default for Heap<K> {
    fn default() -> Self {
        let (by_time, by_key, calls, called) = Default::default();
        Self { by_time, by_key, counter: 0, calls, called }
    }
}

impl<K: Hash + Eq + Clone> Heap<K> {
    /// Wants `key` at `due`; an earlier wish of the same key is replaced, whether it was sooner or later.
    pub fn schedule(&mut self, key: K, due: DateTime<Utc>) {
        self.forget(&key);
        self.counter += 1;
        let slot = (due, self.counter);
        self.by_key.insert(key.clone(), slot);
        self.by_time.insert(slot, key);
    }

    /// Wants `key` no later than `due`; an earlier wish stays as it is, so that a steady stream of causes cannot push it
    /// away for ever.
    pub fn requeue_before(&mut self, key: K, due: DateTime<Utc>) {
        if self.by_key.get(&key).is_none_or(|(wanted, _)| *wanted > due) {
            self.schedule(key, due);
        }
    }

    /// Wants `key` at once, whatever it wishes itself: a round that ends now and asks for a later time has not seen what
    /// the call is about.
    pub fn requeue_now(&mut self, key: K) {
        if self.called.insert(key.clone()) {
            self.calls.push_back(key);
        }
    }

    /// Drops the wish of a key. A call stays.
    pub fn forget(&mut self, key: &K) {
        if let Some(slot) = self.by_key.remove(key) {
            self.by_time.remove(&slot);
        }
    }

    /// The earliest due time.
    pub fn next(&self) -> Option<DateTime<Utc>> {
        self.by_time.keys().next().map(|(due, _)| *due)
    }

    /// Takes one key that is called for or due, earliest first; equal times in the order that they were asked for.
    pub fn pop(&mut self, now: DateTime<Utc>) -> Option<K> {
        if let Some(key) = self.calls.pop_front() {
            self.called.remove(&key);
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

    /// How many keys wait for their time.
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether none waits and none is called for.
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty() && self.calls.is_empty()
    }
}

enum Ask<K> {
    Schedule(K, DateTime<Utc>),
    Hasten(K, DateTime<Utc>),
    Call(K),
    Forget(K),
}

/// The handle by which reconciles ask to be woken. Cheap to clone; never blocks.
#[derive(Debug)]
pub struct DelayQueue<K> {
    asks: mpsc::UnboundedSender<Ask<K>>,
}

impl<K> Clone for DelayQueue<K> {
    fn clone(&self) -> Self {
        Self { asks: self.asks.clone() }
    }
}

impl<K: Hash + Eq + Clone + Send + 'static> DelayQueue<K> {
    /// A handle, and the stream of keys as they fall due (for `kube::runtime::Controller::reconcile_on`). The stream
    /// ends when the last handle is gone.
    pub fn start(clock: Clock) -> (Self, impl Stream<Item = K> + Send + 'static) {
        let (asks, inbox) = mpsc::unbounded_channel();
        let sleeper = Sleeper { heap: Heap::default(), inbox, clock };
        let stream = futures::stream::unfold(sleeper, |mut sleeper| async move {
            let key = sleeper.due().await?;
            Some((key, sleeper))
        });
        (Self { asks }, stream)
    }

    /// Wakes `key` at `due`; replaces its earlier wish.
    pub fn schedule(&self, key: impl Into<K>, due: DateTime<Utc>) {
        // The receiver is gone only when the process is on its way out: then nobody needs waking.
        let _ = self.asks.send(Ask::Schedule(key.into(), due));
    }

    /// Wakes `key` at `due`, or earlier if it wished so before.
    pub fn requeue_before(&self, key: impl Into<K>, due: DateTime<Utc>) {
        let _ = self.asks.send(Ask::Hasten(key.into(), due));
    }

    /// Wakes `key` at once. No wish replaces this.
    pub fn call(&self, key: impl Into<K>) {
        let _ = self.asks.send(Ask::Call(key.into()));
    }

    /// Takes back the wish of `key`.
    pub fn forget(&self, key: impl Into<K>) {
        let _ = self.asks.send(Ask::Forget(key.into()));
    }
}

struct Sleeper<K> {
    heap: Heap<K>,
    inbox: mpsc::UnboundedReceiver<Ask<K>>,
    clock: Clock,
}

impl<K: Hash + Eq + Clone> Sleeper<K> {
    /// The next key that is due, or `None` once nobody can ask any more.
    async fn due(&mut self) -> Option<K> {
        loop {
            while let Ok(ask) = self.inbox.try_recv() {
                self.take(ask);
            }
            let now = self.clock.now();
            if let Some(key) = self.heap.pop(now) {
                return Some(key);
            }
            let pause = self.heap.next().map_or(LONGEST_SLEEP, |due| pause(self.clock.real(due - now)));
            tokio::select! {
                ask = self.inbox.recv() => self.take(ask?),
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    fn take(&mut self, ask: Ask<K>) {
        match ask {
            Ask::Schedule(key, due) => self.heap.schedule(key, due),
            Ask::Hasten(key, due) => self.heap.requeue_before(key, due),
            Ask::Call(key) => self.heap.requeue_now(key),
            Ask::Forget(key) => self.heap.forget(&key),
        }
    }
}

/// Tokio's timer counts whole milliseconds: one more, so that the key is due when it rings.
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
    fn a_later_wish_replaces_the_earlier_one() {
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
    fn causes_that_keep_coming_cannot_push_a_wish_away() {
        let mut heap = Heap::default();
        for second in 0..100 {
            heap.requeue_before("a", at(10 + second));
        }
        assert_eq!(heap.next(), Some(at(10)));
        heap.requeue_before("a", at(5));
        assert_eq!((heap.next(), heap.len()), (Some(at(5)), 1));
    }

    #[test]
    fn a_call_rings_once_whatever_the_round_that_ends_meanwhile_asks_for() {
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
    fn a_forgotten_key_never_rings() {
        let mut heap = Heap::default();
        heap.schedule("a", at(10));
        heap.forget(&"a");
        assert_eq!(heap.pop(at(99)), None);
        assert_eq!(heap.next(), None);
    }

    proptest! {
        #[test]
        fn keys_ring_once_in_order_of_their_last_wish(wishes in prop::collection::vec((0u8..20, 0i64..100), 0..200)) {
            let mut heap = Heap::default();
            let mut last = HashMap::new();
            for (key, due) in wishes {
                heap.schedule(key, at(due));
                last.insert(key, due);
            }
            let mut rung = Vec::new();
            while let Some(key) = heap.pop(at(1000)) {
                rung.push(last.remove(&key));
            }
            prop_assert!(last.is_empty());
            prop_assert!(rung.iter().all(Option::is_some));
            prop_assert!(rung.is_sorted());
        }
    }

    #[tokio::test]
    async fn the_stream_sleeps_until_the_first_is_due_and_hears_of_a_sooner_one() {
        let (wakeups, stream) = DelayQueue::<&str>::start(Clock::default());
        let mut stream = Box::pin(stream);
        let start = Utc::now();
        let after = move |millis| start + TimeDelta::milliseconds(millis);
        wakeups.schedule("late", after(400));
        let asks = wakeups.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(50)).await;
            asks.schedule("soon", after(150));
        });
        assert_eq!(stream.next().await, Some("soon"));
        assert!(Utc::now() >= after(150));
        assert_eq!(stream.next().await, Some("late"));
        assert!(Utc::now() >= after(400));
    }

    #[tokio::test]
    async fn what_was_due_long_ago_rings_at_once_and_the_stream_ends_with_its_last_handle() {
        let (wakeups, stream) = DelayQueue::<&str>::start(Clock::default());
        let mut stream = Box::pin(stream);
        wakeups.schedule("missed", at(1));
        assert_eq!(stream.next().await, Some("missed"));
        drop(wakeups);
        assert_eq!(stream.next().await, None);
    }

    #[test]
    fn a_sleep_never_ends_before_the_key_is_due_and_notices_a_clock_that_was_set() {
        assert_eq!(pause(Duration::from_millis(10)), Duration::from_millis(11));
        assert_eq!(pause(Duration::from_hours(24)), LONGEST_SLEEP);
        assert_eq!(pause(Clock::default().real(TimeDelta::days(-1))), Duration::from_millis(1));
    }
}
