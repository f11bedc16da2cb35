//! From the watch of BackupSchedules to their reconciles: at most so many at once, never two of one schedule, each on the
//! object as it is now. kube's Controller would keep whole objects, and look at all of them after every restart.

use super::next_look::{NextLook, first, settled};
use super::watched::{Seen, sightings};
use super::{Change, Key, ScheduleEntry, ScheduleIndex, WatchedSchedule};
use crate::context::Context;
use crate::delay_queue::DelayQueue;
use crate::error::ReconcileError;
use crate::instrumented::{FIRST_RETRY, FailingSince, observed, retry_after};
use crate::settings::Watch;
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

/// A storage and a server count again so long after the first of several new or moved schedules,
const RECOUNT: TimeDelta = TimeDelta::seconds(2);
/// and so long after only their state changed.
const RESTATE: TimeDelta = TimeDelta::seconds(30);

/// Somebody else's word that leaves something open is looked at so long after.
const UNSETTLED: TimeDelta = TimeDelta::seconds(10);

type Scoped = BoxStream<'static, (u16, Seen)>;

/// The watch, the table that it fills, and whose turn it is.
pub struct Runner {
    fleet: ScheduleIndex,
    events: SelectAll<Scoped>,
    /// Lists that each watch has begun.
    lists: Vec<u32>,
    /// Watches that have not listed everything once.
    missing: HashSet<u16>,
    due: BoxStream<'static, Key>,
    filled: CancellationToken,
}

/// What became of a turn: whose it was, and how soon it wants another one.
type Done = (Key, Option<Duration>);

impl Runner {
    /// Starts the watch; nothing is asked before somebody runs it.
    pub fn start(
        client: &Client,
        watched: &Watch,
        due: BoxStream<'static, Key>,
    ) -> (Self, ScheduleIndex, CancellationToken) {
        let scopes = (0u16..).zip(watched.scopes());
        let events: Vec<Scoped> =
            scopes.map(|(number, scope)| sightings(client, scope).map(move |event| (number, event)).boxed()).collect();
        let (fleet, filled) = (ScheduleIndex::default(), CancellationToken::new());
        let runner = Self {
            fleet: fleet.clone(),
            lists: vec![0; events.len()],
            missing: (0u16..).take(events.len()).collect(),
            events: select_all(events),
            due,
            filled: filled.clone(),
        };
        (runner, fleet, filled)
    }

    /// Runs reconciles until `stop` and until the last of them is done.
    pub async fn run<F>(
        mut self,
        ctx: Arc<Context>,
        stop: CancellationToken,
        reconcile: fn(Arc<BackupSchedule>, Arc<Context>) -> F,
    ) where
        F: Future<Output = Result<Action, ReconcileError>> + Send + 'static,
    {
        let limit = usize::from(ctx.settings.concurrency.max(1));
        let (mut turns, mut busy, mut again) = (JoinSet::<Done>::new(), HashSet::new(), HashSet::new());
        let mut begun = false;
        loop {
            let free = begun && turns.len() < limit;
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                event = self.events.next() => match event {
                    Some((scope, event)) => self.take(scope, event, &ctx),
                    None => break,
                },
                Some(done) = turns.join_next() => finish(done, &mut busy, &mut again, &ctx.timers.schedules, &ctx),
                // A budget that was counted over half the objects would be no budget.
                () = ctx.caches.filled(), if !begun => begun = true,
                key = self.due.next(), if free => match key {
                    Some(key) if busy.contains(&key) => {
                        again.insert(key);
                    }
                    Some(key) => {
                        busy.insert(key.clone());
                        turns.spawn(turn(key, ctx.clone(), reconcile));
                    }
                    None => break,
                },
            }
        }
        while turns.join_next().await.is_some() {}
    }

    fn take(&mut self, scope: u16, event: Seen, ctx: &Context) {
        let list = self.lists.get(usize::from(scope)).copied().unwrap_or_default();
        match event {
            Ok(Event::Init) => {
                if let Some(list) = self.lists.get_mut(usize::from(scope)) {
                    *list += 1;
                }
            }
            Ok(Event::InitApply(WatchedSchedule(object))) => self.saw(&object, scope, list, false, ctx),
            Ok(Event::Apply(WatchedSchedule(object))) => self.saw(&object, scope, list, true, ctx),
            Ok(Event::Delete(WatchedSchedule(object))) => {
                if let Some(row) = self.fleet.remove(&Key::of(&object)) {
                    forget(&self.fleet, &row, ctx);
                }
            }
            Ok(Event::InitDone) => {
                for row in self.fleet.sweep(scope, list) {
                    forget(&self.fleet, &row, ctx);
                }
                if self.missing.remove(&scope) && self.missing.is_empty() {
                    self.filled.cancel();
                }
            }
            Err(error) => warn!(%error, kind = "BackupSchedule", "the watch stumbled; it goes on"),
        }
    }

    fn saw(&self, object: &BackupSchedule, scope: u16, list: u32, live: bool, ctx: &Context) {
        let before = self.missing.is_empty().then(|| self.fleet.get(&Key::of(object))).flatten();
        let (key, change) = self.fleet.put(object, scope, list);
        let timer = &ctx.timers.schedules;
        match change {
            Change::New => match first(object, ctx.now()) {
                NextLook::Now => timer.call(key),
                NextLook::At(at) => timer.schedule(key, at),
            },
            Change::Spec => timer.call(key),
            // The operator's own word comes back this way. Whatever is open has its own causes to be looked at: a Job's end,
            // a time. Somebody else's word that leaves something open is looked at soon.
            Change::Count | Change::Nothing if live && !settled(object) => {
                timer.requeue_before(key, ctx.now() + UNSETTLED);
            }
            Change::Count | Change::Nothing => {}
        }
        // While a list is read for the first time nobody counts: all do once it is complete.
        if !self.missing.is_empty() || change == Change::Nothing {
            return;
        }
        recount(&Place::of(object), change, ctx);
        if change == Change::Count {
            return;
        }
        // What it claimed until now somebody else may keep, and what it claims now nobody younger.
        for row in before.iter().chain(self.fleet.get(&Key::of(object)).as_ref()) {
            wake_heirs(&self.fleet, row, ctx);
        }
        if let Some(old) = before {
            recount(&Place::was(&old), change, ctx);
        }
    }
}

/// It is gone.
fn forget(fleet: &ScheduleIndex, row: &ScheduleEntry, ctx: &Context) {
    ctx.timers.schedules.forget(row.key.clone());
    recount(&Place::was(row), Change::Spec, ctx);
    wake_heirs(fleet, row, ctx);
}

fn wake_heirs(fleet: &ScheduleIndex, row: &ScheduleEntry, ctx: &Context) {
    fleet.heirs(row).into_iter().for_each(|heir| ctx.timers.schedules.call(heir));
}

/// What counts a schedule.
struct Place {
    storage: ObjectRef<BackupStorage>,
    server: ObjectRef<DatabaseServer>,
}

impl Place {
    fn of(object: &BackupSchedule) -> Self {
        let namespace = object.namespace().unwrap_or_default();
        Self {
            storage: ObjectRef::new(&object.spec.storage_ref.name).within(&namespace),
            server: ObjectRef::new(&object.spec.database.server_ref.name).within(&namespace),
        }
    }

    fn was(row: &ScheduleEntry) -> Self {
        Self {
            storage: ObjectRef::new(&row.storage).within(&row.key.namespace),
            server: ObjectRef::new(&row.server).within(&row.key.namespace),
        }
    }
}

/// Has the storage and the server of a schedule that changed count again, once for all changes of a moment.
fn recount(place: &Place, change: Change, ctx: &Context) {
    let after = if change == Change::Count { RESTATE } else { RECOUNT };
    ctx.timers.storages.requeue_before(place.storage.clone(), ctx.now() + after);
    if change != Change::Count {
        ctx.timers.servers.requeue_before(place.server.clone(), ctx.now() + after);
    }
}

/// One reconcile of the object as it is now.
async fn turn<F>(key: Key, ctx: Arc<Context>, reconcile: fn(Arc<BackupSchedule>, Arc<Context>) -> F) -> Done
where
    F: Future<Output = Result<Action, ReconcileError>> + Send + 'static,
{
    let api: Api<WatchedSchedule> = Api::namespaced(ctx.clients.write.clone(), &key.namespace);
    let object = match api.get_opt(&key.name).await {
        Ok(Some(WatchedSchedule(object))) => Arc::new(object),
        // The watch takes its row away.
        Ok(None) => return (key, None),
        Err(error) => {
            warn!(%error, namespace = %key.namespace, name = %key.name, "a BackupSchedule cannot be read; it is tried again");
            return (key, Some(FIRST_RETRY));
        }
    };
    let retry = match observed(object.clone(), ctx.clone(), reconcile).await {
        Ok(_) => None,
        Err(error) => retry_after(object.failing_since(), &error, ctx.now()),
    };
    (key, retry)
}

fn finish(
    done: Result<Done, tokio::task::JoinError>,
    busy: &mut HashSet<Key>,
    again: &mut HashSet<Key>,
    timer: &DelayQueue<Key>,
    ctx: &Context,
) {
    let (key, retry) = match done {
        Ok(done) => done,
        // Nothing is known of whose turn it was: as with a panic anywhere else, the process starts over.
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => return,
        },
    };
    busy.remove(&key);
    if again.remove(&key) {
        timer.call(key);
    } else if let Some(retry) = retry {
        timer.schedule(key, ctx.now() + TimeDelta::from_std(retry).unwrap_or(TimeDelta::minutes(5)));
    }
}
