//! Runs the reconciles of BackupSchedules: a bounded number at once, never two of one schedule, each on a fresh read.
//! Not kube's Controller: that would store whole objects, and reconcile all of them after every restart.

use super::first_reconcile::{FirstReconcile, first_reconcile, is_idle};
use crate::cache::schedule_index::watched::{WatchResult, watch_schedules};
use crate::cache::schedule_index::{Change, ScheduleEntry, ScheduleIndex, WatchedSchedule};
use crate::runtime::clock::Clock;
use crate::runtime::delay_queue::DelayQueue;
use crate::runtime::informer::ReconcileLoop;
use crate::runtime::instrumented::{FIRST_RETRY, FailingSince, ReconcileFailure, retry_after};
use crate::runtime::key::Key;
use crate::runtime::namespaced_watch::Watch;
use chrono::TimeDelta;
use futures::StreamExt;
use futures::stream::{BoxStream, SelectAll, select_all};
use kube::api::Api;
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::Event;
use kube::{Client, ResourceExt};
use sennight_api::{BackupSchedule, BackupStorage, DatabaseServer};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// A storage and a server count their schedules again this long after the first of several changed specs.
const RECOUNT: TimeDelta = TimeDelta::seconds(2);
/// A storage counts again this long after the first of several changes of state.
const RECOUNT_STATE: TimeDelta = TimeDelta::seconds(30);

/// Delay of a reconcile after a write of somebody else to a schedule that has something open.
const RECHECK_OPEN: TimeDelta = TimeDelta::seconds(10);

type Scoped = BoxStream<'static, (u16, WatchResult)>;

/// The watch, the index that it fills, and the keys that are due.
pub struct Runner {
    index: ScheduleIndex,
    events: SelectAll<Scoped>,
    /// Number of lists that each watch has caches_filled.
    lists: Vec<u32>,
    /// Watches that have not completed their first list.
    missing: HashSet<u16>,
    due: BoxStream<'static, Key>,
    filled: CancellationToken,
    timers: ScheduleTimers,
}

/// What an event of a schedule makes due.
#[derive(Clone)]
pub struct ScheduleTimers {
    /// The operator's clock.
    pub clock: Clock,
    /// Reconciles schedules.
    pub schedules: DelayQueue<Key>,
    /// Reconciles the storages that count them.
    pub storages: DelayQueue<Key>,
    /// Reconciles the servers that count them.
    pub servers: DelayQueue<Key>,
}

/// A finished reconcile: of which schedule, and the pause before the next try if it failed.
type ReconcileEnd = (Key, Option<Duration>);

impl Runner {
    /// Builds the watch. No request is sent before it is run.
    pub fn start(
        client: &Client,
        watched: &Watch,
        due: BoxStream<'static, Key>,
        timers: ScheduleTimers,
    ) -> (Self, ScheduleIndex, CancellationToken) {
        let scopes = (0u16..).zip(watched.scopes());
        let events: Vec<Scoped> = scopes
            .map(|(number, scope)| watch_schedules(client, scope).map(move |event| (number, event)).boxed())
            .collect();
        let (index, filled) = (ScheduleIndex::default(), CancellationToken::new());
        let runner = Self {
            index: index.clone(),
            lists: vec![0; events.len()],
            missing: (0u16..).take(events.len()).collect(),
            events: select_all(events),
            due,
            filled: filled.clone(),
            timers,
        };
        (runner, index, filled)
    }

    /// Runs reconciles until `stop` and until the last of them is done.
    pub async fn run<C, F, E>(
        mut self,
        client: Client,
        controller: Arc<C>,
        shared: ReconcileLoop,
        stop: CancellationToken,
        reconcile: fn(Arc<BackupSchedule>, Arc<C>) -> F,
    ) where
        C: Send + Sync + 'static,
        F: Future<Output = Result<Action, E>> + Send + 'static,
        E: ReconcileFailure,
    {
        let limit = usize::from(shared.concurrency.max(1));
        let (mut running, mut busy, mut again) = (JoinSet::<ReconcileEnd>::new(), HashSet::new(), HashSet::new());
        let mut caches_filled = false;
        loop {
            let free = caches_filled && running.len() < limit;
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                event = self.events.next() => match event {
                    Some((scope, event)) => self.handle_event(scope, event),
                    None => break,
                },
                Some(done) = running.join_next() => finish(done, &mut busy, &mut again, &self.timers),
                // A budget counted over half the objects would let too many Jobs start.
                () = shared.caches.wait(), if !caches_filled => caches_filled = true,
                key = self.due.next(), if free => match key {
                    Some(key) if busy.contains(&key) => {
                        again.insert(key);
                    }
                    Some(key) => {
                        busy.insert(key.clone());
                        let (client, controller, shared) = (client.clone(), controller.clone(), shared.clone());
                        running.spawn(reconcile_current(key, client, controller, shared, reconcile));
                    }
                    None => break,
                },
            }
        }
        while running.join_next().await.is_some() {}
    }

    fn handle_event(&mut self, scope: u16, event: WatchResult) {
        let list = self.lists.get(usize::from(scope)).copied().unwrap_or_default();
        match event {
            Ok(Event::Init) => {
                if let Some(list) = self.lists.get_mut(usize::from(scope)) {
                    *list += 1;
                }
            }
            Ok(Event::InitApply(WatchedSchedule(object))) => self.update(&object, scope, list, false),
            Ok(Event::Apply(WatchedSchedule(object))) => self.update(&object, scope, list, true),
            Ok(Event::Delete(WatchedSchedule(object))) => {
                if let Some(entry) = self.index.remove(&Key::of(&object)) {
                    forget(&self.index, &entry, &self.timers);
                }
            }
            Ok(Event::InitDone) => {
                for entry in self.index.sweep(scope, list) {
                    forget(&self.index, &entry, &self.timers);
                }
                if self.missing.remove(&scope) && self.missing.is_empty() {
                    self.filled.cancel();
                }
            }
            Err(error) => warn!(%error, kind = "BackupSchedule", "watch failed; retrying"),
        }
    }

    fn update(&self, object: &BackupSchedule, scope: u16, list: u32, live: bool) {
        let before = self.missing.is_empty().then(|| self.index.get(&Key::of(object))).flatten();
        let (key, change) = self.index.put(object, scope, list);
        let timer = &self.timers.schedules;
        match change {
            Change::New => match first_reconcile(object, self.timers.clock.now()) {
                FirstReconcile::Now => timer.requeue_now(key),
                FirstReconcile::At(at) => timer.schedule(key, at),
            },
            Change::Spec => timer.requeue_now(key),
            // The operator's own status writes come back here, and need no reconcile: a Job's end or a time brings the next
            // one. A write of somebody else that leaves something open is looked at soon.
            Change::Count | Change::Nothing if live && !is_idle(object) => {
                timer.requeue_before(key, self.timers.clock.now() + RECHECK_OPEN);
            }
            Change::Count | Change::Nothing => {}
        }
        // Nothing is counted during the first list: everything is once it is complete.
        if !self.missing.is_empty() || change == Change::Nothing {
            return;
        }
        recount(&CountedIn::of(object), change, &self.timers);
        if change == Change::Count {
            return;
        }
        // A younger rival may now get what this one claimed before, and loses what it claims now.
        for entry in before.iter().chain(self.index.get(&Key::of(object)).as_ref()) {
            wake_younger_rivals(&self.index, entry, &self.timers);
        }
        if let Some(old) = before {
            recount(&CountedIn::of_entry(&old), change, &self.timers);
        }
    }
}

/// Handles the deletion of a schedule: its counts, its delay-queue entry and its rivals.
fn forget(index: &ScheduleIndex, entry: &ScheduleEntry, timers: &ScheduleTimers) {
    timers.schedules.forget(entry.key.clone());
    recount(&CountedIn::of_entry(entry), Change::Spec, timers);
    wake_younger_rivals(index, entry, timers);
}

fn wake_younger_rivals(index: &ScheduleIndex, entry: &ScheduleEntry, timers: &ScheduleTimers) {
    index.younger_rivals(entry).into_iter().for_each(|rival| timers.schedules.requeue_now(rival));
}

/// The objects whose status counts a schedule.
struct CountedIn {
    storage: ObjectRef<BackupStorage>,
    server: ObjectRef<DatabaseServer>,
}

impl CountedIn {
    fn of(object: &BackupSchedule) -> Self {
        let namespace = object.namespace().unwrap_or_default();
        Self {
            storage: ObjectRef::new(&object.spec.storage_ref.name).within(&namespace),
            server: ObjectRef::new(&object.spec.database.server_ref.name).within(&namespace),
        }
    }

    fn of_entry(entry: &ScheduleEntry) -> Self {
        Self {
            storage: ObjectRef::new(&entry.storage).within(&entry.key.namespace),
            server: ObjectRef::new(&entry.server).within(&entry.key.namespace),
        }
    }
}

/// Reconciles the storage and the server of a changed schedule, once for all changes of a moment.
fn recount(counted: &CountedIn, change: Change, timers: &ScheduleTimers) {
    let after = if change == Change::Count { RECOUNT_STATE } else { RECOUNT };
    timers.storages.requeue_before(counted.storage.clone(), timers.clock.now() + after);
    if change != Change::Count {
        timers.servers.requeue_before(counted.server.clone(), timers.clock.now() + after);
    }
}

/// Reads the object from the API server and reconciles it.
async fn reconcile_current<C, F, E>(
    key: Key,
    client: Client,
    controller: Arc<C>,
    shared: ReconcileLoop,
    reconcile: fn(Arc<BackupSchedule>, Arc<C>) -> F,
) -> ReconcileEnd
where
    C: Send + Sync + 'static,
    F: Future<Output = Result<Action, E>> + Send + 'static,
    E: ReconcileFailure,
{
    let api: Api<WatchedSchedule> = Api::namespaced(client, &key.namespace);
    let object = match api.get_opt(&key.name).await {
        Ok(Some(WatchedSchedule(object))) => Arc::new(object),
        // The watch brings the deletion and removes the entry.
        Ok(None) => return (key, None),
        Err(error) => {
            warn!(%error, namespace = %key.namespace, name = %key.name, "BackupSchedule read failed; retrying");
            return (key, Some(FIRST_RETRY));
        }
    };
    let work = reconcile(object.clone(), controller);
    let retry = match shared.reconcile_metrics.reconcile(&*object, work).await {
        Ok(_) => None,
        Err(error) => retry_after(object.failing_since(), &error, shared.clock.now()),
    };
    (key, retry)
}

/// Ends a reconcile: the schedule is free again, and queued if it became due meanwhile or failed.
fn finish(
    done: Result<ReconcileEnd, tokio::task::JoinError>,
    busy: &mut HashSet<Key>,
    again: &mut HashSet<Key>,
    timers: &ScheduleTimers,
) {
    let (key, retry) = match done {
        Ok(done) => done,
        // A panicked task does not say which schedule it reconciled. As with any other panic, the process ends.
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => return,
        },
    };
    busy.remove(&key);
    if again.remove(&key) {
        timers.schedules.requeue_now(key);
    } else if let Some(retry) = retry {
        timers
            .schedules
            .schedule(key, timers.clock.now() + TimeDelta::from_std(retry).unwrap_or(TimeDelta::minutes(5)));
    }
}
