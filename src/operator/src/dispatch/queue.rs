//! The queue of due dumps: which of them the budgets allow now, and which share a Job. It sends nothing.

use crate::cache::jobs::{Jobs, ReservedBatch, Usage};
use crate::settings::JobSettings;
use chrono::{DateTime, TimeDelta, Utc};
use kube::runtime::reflector::{ObjectRef, Store};
use parking_lot::{Mutex, MutexGuard};
use sennight_api::{BackupStorage, DatabaseServer};
use sennight_core::batch::{BatchSettings, Capacity, DueDump, Group, Queue, TokenBucket};
use std::collections::HashMap;
use std::sync::Arc;

/// How long a due dump waits for others that come due in the same moment.
const GATHER_DELAY: TimeDelta = TimeDelta::milliseconds(800);
/// Pause after the first Job of a group that could not be created; doubles each time.
const FIRST_PAUSE: TimeDelta = TimeDelta::seconds(5);
/// The longest such pause.
const LAST_PAUSE: TimeDelta = TimeDelta::minutes(5);
/// Waiting schedules are reconciled one after the other, this far apart. A hundred thousand of them cost ten reconciles a
/// second, instead of all of them every two minutes.
const RECHECK_SPACING: TimeDelta = TimeDelta::milliseconds(100);

/// The last failed try to create a group's Job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreationFailure {
    /// Reason in CamelCase, for the condition Ready.
    pub reason: &'static str,
    /// The API server's answer, for the condition Ready.
    pub message: String,
    until: DateTime<Utc>,
    pause: TimeDelta,
}

/// What a queued dump is to do, as its schedule said when it was queued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DumpOrder {
    /// Generation of the BackupSchedule: one that was edited since is queued again.
    pub generation: Option<i64>,
    /// `spec.tenant.id`.
    pub tenant: String,
    /// `spec.database.name`.
    pub database: String,
    /// `spec.timeZone`: decides the backup's day.
    pub time_zone: String,
    /// `spec.database.allowNonTransactional`.
    pub allow_non_transactional: bool,
    /// `status.lastRun.startedAt`: when the last recorded run was decided on.
    pub recorded: Option<DateTime<Utc>>,
}

/// State of a dump in the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueuedDump {
    /// When it was queued.
    pub since: DateTime<Utc>,
    /// Why its group's last Job could not be created.
    pub failure: Option<CreationFailure>,
    /// Until when it waits for others to share its Job; `None`: it does not.
    pub batching_until: Option<DateTime<Utc>>,
    /// Dumps in the queue, itself among them.
    pub queued: usize,
}

impl QueuedDump {
    /// When to reconcile its schedule if nothing happens before: `notice` after it could have had a Job, and later where
    /// thousands wait ([`RECHECK_SPACING`]).
    pub fn next_check(&self, notice: TimeDelta, now: DateTime<Utc>) -> DateTime<Utc> {
        let first = self.batching_until.unwrap_or(self.since) + notice;
        let turns = RECHECK_SPACING * i32::try_from(self.queued).unwrap_or(i32::MAX);
        let again = if first > now { self.since } else { now };
        first.max(again + notice.max(turns))
    }
}

/// One schedule's dump in a batch.
pub struct BatchMember {
    /// The queue's entry.
    pub due: DueDump,
    /// What the dump is to do.
    pub order: DumpOrder,
}

/// What limits the dumps that run at once.
pub struct DumpLimits {
    /// `--max-dumps`: over all servers.
    pub total: i32,
    /// DatabaseServers, each with its own limit.
    pub servers: Store<DatabaseServer>,
    /// BackupStorages; one may have a limit.
    pub storages: Store<BackupStorage>,
}

#[derive(Default)]
struct DispatchState {
    queue: Queue,
    bucket: Option<TokenBucket>,
    /// Orders of the dumps that are queued or whose Job is being created, by the schedule's UID.
    orders: HashMap<String, DumpOrder>,
    /// UIDs of schedules whose Job is being created, and when each was queued.
    creating: HashMap<String, DateTime<Utc>>,
    failures: HashMap<Group, CreationFailure>,
    reservations: u64,
}

/// The queue of due dumps; clones share it.
#[derive(Clone)]
pub struct Dispatch {
    state: Arc<Mutex<DispatchState>>,
    shape: BatchSettings,
    per_minute: i32,
    burst: i32,
    since: DateTime<Utc>,
}

impl Dispatch {
    /// An empty queue. `now` is when this process began to watch what comes due.
    pub fn new(settings: &JobSettings, now: DateTime<Utc>) -> Self {
        let batch_window = TimeDelta::from_std(settings.batch_window).unwrap_or(TimeDelta::minutes(3));
        let shape = BatchSettings { tenants: settings.batch_tenants, batch_window, gather_delay: GATHER_DELAY };
        Self { state: Arc::default(), shape, per_minute: settings.per_minute, burst: settings.burst, since: now }
    }

    fn state(&self) -> MutexGuard<'_, DispatchState> {
        self.state.lock()
    }

    /// When this process began to watch: what was due before may have been run by another one.
    pub fn watching_since(&self) -> DateTime<Utc> {
        self.since
    }

    /// Queues a dump, unless it is queued or its Job is being created; says how it stands.
    pub fn enqueue(&self, group: &Group, due: DueDump, order: DumpOrder) -> QueuedDump {
        let mut state = self.state();
        let (uid, queued) = (due.uid.clone(), due.queued);
        state.orders.insert(uid.clone(), order);
        let trouble = state.failures.get(group).cloned();
        let since = match state.creating.get(&uid) {
            Some(since) => *since,
            None => state.queue.add(group, due),
        };
        let lingers = state.queue.waits_for_others_until(&uid, &self.shape, queued);
        QueuedDump { since, failure: trouble, batching_until: lingers, queued: state.queue.len() }
    }

    /// Takes a schedule's dump out of the queue. A Job that is being created is not stopped.
    pub fn forget(&self, schedule_uid: &str) {
        let mut state = self.state();
        state.queue.remove(schedule_uid);
        if !state.creating.contains_key(schedule_uid) {
            state.orders.remove(schedule_uid);
        }
    }

    /// What a dump that is queued, or whose Job is being created, is to do.
    pub fn order(&self, schedule_uid: &str) -> Option<DumpOrder> {
        self.state().orders.get(schedule_uid).cloned()
    }

    /// Whether a schedule's dump is queued or its Job is being created.
    pub fn is_pending(&self, schedule_uid: &str) -> bool {
        let state = self.state();
        state.creating.contains_key(schedule_uid) || state.queue.get(schedule_uid).is_some()
    }

    /// Whether a Job with a schedule's dump is being created now.
    pub fn is_creating(&self, schedule_uid: &str) -> bool {
        self.state().creating.contains_key(schedule_uid)
    }

    /// Takes a token for a restore's Job. Restores do not wait for tokens; dumps then wait longer.
    pub fn restore_started(&self, now: DateTime<Utc>) {
        if let Some(bucket) = &mut self.state().bucket {
            bucket.spend(now);
        }
    }

    /// How many dumps wait by priority (manual, fresh, catch-up), and since when the oldest of them is due.
    pub fn depth(&self) -> ([usize; 3], Option<DateTime<Utc>>) {
        let state = self.state();
        (state.queue.depth(), state.queue.oldest())
    }

    /// Takes the batches out of the queue that may start now, and reserves their places in the budgets.
    pub fn take_batches(&self, jobs: &Jobs, limits: &DumpLimits, now: DateTime<Utc>) -> Vec<ReservedBatch> {
        if self.state().queue.is_empty() {
            return Vec::new();
        }
        jobs.reserve_dumps(|usage| {
            let mut state = self.state();
            let state = &mut *state;
            state.failures.retain(|_, trouble| trouble.until + LAST_PAUSE > now);
            let bucket = state.bucket.get_or_insert_with(|| {
                TokenBucket::after(self.per_minute, self.burst, jobs.index().creation_times(), now)
            });
            let barred =
                state.failures.iter().filter(|(_, trouble)| trouble.until > now).map(|(group, _)| group.clone());
            let mut capacity = free_capacity(&state.queue, usage, limits);
            capacity.tokens = bucket.tokens(now);
            capacity.backing_off = barred.collect();
            let batches = state.queue.plan(&mut capacity, &self.shape, now);
            state.queue.remove_idle_groups(&self.shape, now);
            let mut ticketed = Vec::with_capacity(batches.len());
            for batch in batches {
                // Spent before the Job is created: a creation that fails costs the API server no less.
                bucket.spend(now);
                state.creating.extend(batch.runs.iter().map(|due| (due.uid.clone(), due.queued)));
                state.reservations += 1;
                ticketed.push(ReservedBatch { reservation: format!("reservation-{}", state.reservations), batch });
            }
            ticketed
        })
    }

    /// Ends the creation of a batch's Job. `again` are the members that got none and go back into the queue.
    pub fn finish_batch(&self, group: &Group, all: &[String], again: Vec<BatchMember>) {
        let mut state = self.state();
        for uid in all {
            state.creating.remove(uid);
            state.orders.remove(uid);
        }
        for BatchMember { due, order } in again {
            state.orders.insert(due.uid.clone(), order);
            state.queue.requeue(group, due);
        }
    }

    /// Remembers that a group's Job could not be created, and lets the group pause.
    pub fn record_failure(&self, group: &Group, reason: &'static str, message: String, now: DateTime<Utc>) {
        let mut state = self.state();
        let pause = state.failures.get(group).map_or(FIRST_PAUSE, |before| (before.pause * 2).min(LAST_PAUSE));
        state.failures.insert(group.clone(), CreationFailure { reason, message, until: now + pause, pause });
    }

    /// Ends a group's pause: its Job was created.
    pub fn clear_failure(&self, group: &Group) {
        self.state().failures.remove(group);
    }
}

/// What `--max-dumps` and the limits of servers and storages leave free, for the groups in the queue.
fn free_capacity(queue: &Queue, usage: &Usage, limits: &DumpLimits) -> Capacity {
    let mut capacity = Capacity { total: i64::from(limits.total) - usage.total, ..Capacity::default() };
    for group in queue.groups() {
        let key = |name: &str| (group.namespace.clone(), name.to_owned());
        let server_ref = ObjectRef::new(&group.server).within(&group.namespace);
        if let Some(server) = limits.servers.get(&server_ref) {
            let server_key = key(&group.server);
            let used = usage.servers.get(&server_key).copied().unwrap_or_default();
            capacity.servers.insert(server_key, i64::from(server.spec.max_concurrent_dumps) - used);
        }
        let storage_ref = ObjectRef::new(&group.storage).within(&group.namespace);
        if let Some(limit) = limits.storages.get(&storage_ref).and_then(|storage| storage.spec.max_concurrent_dumps) {
            let storage_key = key(&group.storage);
            let used = usage.storages.get(&storage_key).copied().unwrap_or_default();
            capacity.storages.insert(storage_key, i64::from(limit) - used);
        }
    }
    capacity
}

#[cfg(test)]
mod tests {
    use super::*;
    use sennight_core::backup::RunKey;
    use sennight_core::batch::{BatchSharing, Priority};
    use std::time::Duration;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    fn dispatch() -> Dispatch {
        let settings =
            JobSettings { batch_tenants: 50, batch_window: Duration::from_mins(2), per_minute: 60, burst: 10 };
        Dispatch::new(&settings, at(0))
    }

    fn group() -> Group {
        let text = |text: &str| text.to_owned();
        Group { namespace: text("n"), storage: text("b"), server: text("s"), secret: text("x") }
    }

    fn due(uid: &str) -> DueDump {
        DueDump {
            schedule: uid.into(),
            uid: uid.into(),
            run: RunKey::Manual("t".into()),
            priority: Priority::Manual,
            since: at(5),
            queued: at(5),
            bytes: None,
            sharing: BatchSharing::Any,
        }
    }

    fn order() -> DumpOrder {
        DumpOrder {
            generation: Some(1),
            tenant: "t".into(),
            database: "d".into(),
            time_zone: "UTC".into(),
            allow_non_transactional: false,
            recorded: None,
        }
    }

    #[test]
    fn i8_a_dump_whose_job_is_being_created_is_not_queued_a_second_time() {
        let dispatch = dispatch();
        assert_eq!(dispatch.enqueue(&group(), due("a"), order()).since, at(5));
        let mut capacity = Capacity { tokens: 1, total: 9, ..Capacity::default() };
        capacity.servers.insert(("n".into(), "s".into()), 9);
        let batch = dispatch.state().queue.plan(&mut capacity, &dispatch.shape, at(6)).remove(0);
        dispatch.state().creating.insert("a".into(), at(5));
        assert!(dispatch.is_creating("a") && dispatch.is_pending("a"));
        assert_eq!(dispatch.enqueue(&group(), DueDump { queued: at(99), ..due("a") }, order()).since, at(5));
        assert_eq!(dispatch.depth(), ([0; 3], None));
        let again = batch.runs.into_iter().map(|due| BatchMember { due, order: order() }).collect();
        dispatch.finish_batch(&group(), &["a".to_owned()], again);
        assert_eq!(dispatch.depth(), ([1, 0, 0], Some(at(5))));
        dispatch.forget("a");
        assert!(!dispatch.is_pending("a") && !dispatch.is_creating("a") && dispatch.state().orders.is_empty());
    }

    #[test]
    fn i8_a_hundred_thousand_that_wait_look_ten_times_a_second_and_a_few_as_soon_as_a_word_is_due() {
        let notice = TimeDelta::minutes(2);
        let asked = |queued, lingers: Option<i64>| QueuedDump {
            since: at(0),
            failure: None,
            batching_until: lingers.map(at),
            queued,
        };
        assert_eq!(asked(3, None).next_check(notice, at(0)), at(120));
        assert_eq!(asked(3, Some(120)).next_check(notice, at(0)), at(240), "first it waits for company");
        assert_eq!(asked(3, None).next_check(notice, at(500)), at(620));
        let looks = (1..=100_000).map(|n| asked(n, None).next_check(notice, at(0)));
        let mut seconds = HashMap::<i64, usize>::new();
        looks.filter(|at| *at > self::at(120)).for_each(|at| *seconds.entry(at.timestamp()).or_default() += 1);
        assert_eq!(seconds.values().max(), Some(&10));
    }

    #[test]
    fn a_group_whose_jobs_are_refused_is_asked_about_less_and_less_often() {
        let dispatch = dispatch();
        let mut pauses = Vec::new();
        for _ in 0..8 {
            dispatch.record_failure(&group(), "Forbidden", "exceeded quota".into(), at(0));
            pauses.push((dispatch.state().failures[&group()].until - at(0)).num_seconds());
        }
        assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 300, 300]);
        assert_eq!(dispatch.enqueue(&group(), due("a"), order()).failure.map(|t| t.reason), Some("Forbidden"));
        dispatch.clear_failure(&group());
        assert_eq!(dispatch.enqueue(&group(), due("a"), order()).failure, None);
    }
}
