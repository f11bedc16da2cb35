//! From what is due to Jobs: one task asks the queue twice a second what may start, looks once more at everybody who would
//! ride, and creates the Jobs under names that lock. It writes nothing else: the Jobs are the record of what runs.

mod launch;

pub use launch::{BatchMember, NextJob};

use super::context::Context;
use super::jobs::{Ticketed, Usage};
use crate::settings::JobSettings;
use chrono::{DateTime, TimeDelta, Utc};
use kube::runtime::reflector::ObjectRef;
use parking_lot::{Mutex, MutexGuard};
use sennight_core::batch::{BatchSettings, Capacity, DueDump, Group, Queue, TokenBucket};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Pause between two looks at the queue.
const TICK: Duration = Duration::from_millis(500);
/// By a clock that runs fast, at least this.
const SHORTEST_TICK: Duration = Duration::from_millis(50);
/// How long dumps that come due in the same moment wait for each other.
const SETTLE: TimeDelta = TimeDelta::milliseconds(800);
/// The first pause after a Job could not be created; doubles.
const FIRST_PAUSE: TimeDelta = TimeDelta::seconds(5);
/// The longest.
const LAST_PAUSE: TimeDelta = TimeDelta::minutes(5);
/// Of those who wait, one at a time looks how it stands, so much apart: a hundred thousand that are caught up ask ten times
/// a second, not all of them each two minutes.
const TURN: TimeDelta = TimeDelta::milliseconds(100);

/// Why a group's Jobs cannot be created at the moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// CamelCase.
    pub reason: &'static str,
    /// A sentence.
    pub message: String,
    until: DateTime<Utc>,
    pause: TimeDelta,
}

/// What a queued dump is to do, as its schedule said when it asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Generation of the BackupSchedule: one that was edited since asks again.
    pub generation: Option<i64>,
    /// The tenant.
    pub tenant: String,
    /// The database.
    pub database: String,
    /// Zone of the backup's day.
    pub time_zone: String,
    /// `spec.database.allowNonTransactional`.
    pub allow_non_transactional: bool,
    /// When the last run that is written down was decided on.
    pub recorded: Option<DateTime<Utc>>,
}

/// How a dump that was asked for stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Since when it is queued.
    pub since: DateTime<Utc>,
    /// Why it gets no Job, besides budgets.
    pub trouble: Option<Trouble>,
    /// It waits for company, until then at most.
    pub lingers: Option<DateTime<Utc>>,
    /// How many wait, itself among them.
    pub queued: usize,
}

impl Asked {
    /// When to look how it stands, if nothing happens before: `notice` after it could have had a Job, and later where
    /// thousands wait.
    pub fn look(&self, notice: TimeDelta, now: DateTime<Utc>) -> DateTime<Utc> {
        let first = self.lingers.unwrap_or(self.since) + notice;
        let turns = TURN * i32::try_from(self.queued).unwrap_or(i32::MAX);
        let again = if first > now { self.since } else { now };
        first.max(again + notice.max(turns))
    }
}

#[derive(Default)]
struct DispatchState {
    queue: Queue,
    bucket: Option<TokenBucket>,
    /// What those are to do that are queued or flying, by UID.
    orders: HashMap<String, Order>,
    /// Schedules whose Job is being created, and since when they waited.
    flying: HashMap<String, DateTime<Utc>>,
    trouble: HashMap<Group, Trouble>,
    tickets: u64,
}

/// The dumps that wait for a Job. Cheap to clone.
#[derive(Clone)]
pub struct Dispatch {
    state: Arc<Mutex<DispatchState>>,
    shape: BatchSettings,
    per_minute: i32,
    burst: i32,
    since: DateTime<Utc>,
}

impl Dispatch {
    /// Nothing is queued yet. `now` is since when somebody watches what comes due.
    pub fn new(settings: &JobSettings, now: DateTime<Utc>) -> Self {
        let batch_window = TimeDelta::from_std(settings.batch_window).unwrap_or(TimeDelta::minutes(3));
        let shape = BatchSettings { tenants: settings.batch_tenants, batch_window, gather_delay: SETTLE };
        Self { state: Arc::default(), shape, per_minute: settings.per_minute, burst: settings.burst, since: now }
    }

    fn state(&self) -> MutexGuard<'_, DispatchState> {
        self.state.lock()
    }

    /// Since when this process has watched: what was due before may have run without it.
    pub fn watching_since(&self) -> DateTime<Utc> {
        self.since
    }

    /// Queues a dump, if it is not queued or on its way.
    pub fn ask(&self, group: &Group, due: DueDump, order: Order) -> Asked {
        let mut state = self.state();
        let (uid, queued) = (due.uid.clone(), due.queued);
        state.orders.insert(uid.clone(), order);
        let trouble = state.trouble.get(group).cloned();
        let since = match state.flying.get(&uid) {
            Some(since) => *since,
            None => state.queue.add(group, due),
        };
        let lingers = state.queue.waits_for_others_until(&uid, &self.shape, queued);
        Asked { since, trouble, lingers, queued: state.queue.len() }
    }

    /// A schedule's dump is not due any more.
    pub fn forget(&self, schedule_uid: &str) {
        let mut state = self.state();
        state.queue.remove(schedule_uid);
        if !state.flying.contains_key(schedule_uid) {
            state.orders.remove(schedule_uid);
        }
    }

    fn order(&self, schedule_uid: &str) -> Option<Order> {
        self.state().orders.get(schedule_uid).cloned()
    }

    /// Whether a schedule's dump is queued or on its way.
    pub fn knows(&self, schedule_uid: &str) -> bool {
        let state = self.state();
        state.flying.contains_key(schedule_uid) || state.queue.get(schedule_uid).is_some()
    }

    /// Whether a Job with a schedule's dump is being created this very moment.
    pub fn creating(&self, schedule_uid: &str) -> bool {
        self.state().flying.contains_key(schedule_uid)
    }

    /// A restore's Job was created: it did not wait for a token, dumps do.
    pub fn restore_started(&self, now: DateTime<Utc>) {
        if let Some(bucket) = &mut self.state().bucket {
            bucket.spend(now);
        }
    }

    /// How many dumps wait in each lane (manual, fresh, catch-up), and since when the first of them is due.
    pub fn depth(&self) -> ([usize; 3], Option<DateTime<Utc>>) {
        let state = self.state();
        (state.queue.depth(), state.queue.oldest())
    }

    /// Takes out what gets its Job now, with a ticket for its places.
    fn choose(&self, ctx: &Context, now: DateTime<Utc>) -> Vec<Ticketed> {
        if self.state().queue.is_empty() {
            return Vec::new();
        }
        ctx.jobs.reserve_dumps(|taken| {
            let mut state = self.state();
            let state = &mut *state;
            state.trouble.retain(|_, trouble| trouble.until + LAST_PAUSE > now);
            let bucket = state.bucket.get_or_insert_with(|| {
                TokenBucket::after(self.per_minute, self.burst, ctx.jobs.cards().created(), now)
            });
            let barred =
                state.trouble.iter().filter(|(_, trouble)| trouble.until > now).map(|(group, _)| group.clone());
            let mut room = room(&state.queue, taken, ctx);
            room.tokens = bucket.tokens(now);
            room.backing_off = barred.collect();
            let batches = state.queue.plan(&mut room, &self.shape, now);
            state.queue.remove_idle_groups(&self.shape, now);
            let mut ticketed = Vec::with_capacity(batches.len());
            for batch in batches {
                // A creation that fails costs the API server no less.
                bucket.spend(now);
                state.flying.extend(batch.runs.iter().map(|due| (due.uid.clone(), due.queued)));
                state.tickets += 1;
                ticketed.push(Ticketed { ticket: format!("ticket-{}", state.tickets), batch });
            }
            ticketed
        })
    }

    /// Everybody of a batch has a Job, or must ask again, or (`again`) waits on.
    fn landed(&self, group: &Group, all: &[String], again: Vec<BatchMember>) {
        let mut state = self.state();
        for uid in all {
            state.flying.remove(uid);
            state.orders.remove(uid);
        }
        for BatchMember { due, order } in again {
            state.orders.insert(due.uid.clone(), order);
            state.queue.requeue(group, due);
        }
    }

    fn trouble(&self, group: &Group, reason: &'static str, message: String, now: DateTime<Utc>) {
        let mut state = self.state();
        let pause = state.trouble.get(group).map_or(FIRST_PAUSE, |before| (before.pause * 2).min(LAST_PAUSE));
        state.trouble.insert(group.clone(), Trouble { reason, message, until: now + pause, pause });
    }

    fn no_trouble(&self, group: &Group) {
        self.state().trouble.remove(group);
    }
}

/// What the budgets leave, for those who wait.
fn room(queue: &Queue, taken: &Usage, ctx: &Context) -> Capacity {
    let mut room = Capacity { total: i64::from(ctx.settings.max_dumps) - taken.total, ..Capacity::default() };
    for group in queue.groups() {
        let key = |name: &str| (group.namespace.clone(), name.to_owned());
        let here = ObjectRef::new(&group.server).within(&group.namespace);
        if let Some(server) = ctx.caches.servers.get(&here) {
            let server_key = key(&group.server);
            let used = taken.servers.get(&server_key).copied().unwrap_or_default();
            room.servers.insert(server_key, i64::from(server.spec.max_concurrent_dumps) - used);
        }
        let there = ObjectRef::new(&group.storage).within(&group.namespace);
        if let Some(limit) = ctx.caches.storages.get(&there).and_then(|storage| storage.spec.max_concurrent_dumps) {
            let storage_key = key(&group.storage);
            let used = taken.storages.get(&storage_key).copied().unwrap_or_default();
            room.storages.insert(storage_key, i64::from(limit) - used);
        }
    }
    room
}

/// Creates Jobs until `stop`.
pub async fn run(ctx: Arc<Context>, stop: CancellationToken) {
    let ready = async {
        // Budgets are counted from what runs: without the Jobs' list a restart would start everything at once.
        ctx.jobs.filled().await;
        ctx.caches.filled().await;
    };
    tokio::select! {
        () = stop.cancelled() => return,
        () = ready => {}
    }
    // In a rehearsal the clock runs faster, and this with it.
    let tick = ctx.clock.real(TimeDelta::from_std(TICK).unwrap_or_default()).max(SHORTEST_TICK);
    let mut tick = tokio::time::interval(tick);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = tick.tick() => {}
        }
        let now = ctx.now();
        launch::all(ctx.dispatch.choose(&ctx, now), now, &ctx).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sennight_core::backup::RunKey;
    use sennight_core::batch::{BatchSharing, Priority};

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

    fn order() -> Order {
        Order {
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
        assert_eq!(dispatch.ask(&group(), due("a"), order()).since, at(5));
        let mut room = Capacity { tokens: 1, total: 9, ..Capacity::default() };
        room.servers.insert(("n".into(), "s".into()), 9);
        let batch = dispatch.state().queue.plan(&mut room, &dispatch.shape, at(6)).remove(0);
        dispatch.state().flying.insert("a".into(), at(5));
        assert!(dispatch.creating("a") && dispatch.knows("a"));
        assert_eq!(dispatch.ask(&group(), DueDump { queued: at(99), ..due("a") }, order()).since, at(5));
        assert_eq!(dispatch.depth(), ([0; 3], None));
        let again = batch.runs.into_iter().map(|due| BatchMember { due, order: order() }).collect();
        dispatch.landed(&group(), &["a".to_owned()], again);
        assert_eq!(dispatch.depth(), ([1, 0, 0], Some(at(5))));
        dispatch.forget("a");
        assert!(!dispatch.knows("a") && !dispatch.creating("a") && dispatch.state().orders.is_empty());
    }

    #[test]
    fn i8_a_hundred_thousand_that_wait_look_ten_times_a_second_and_a_few_as_soon_as_a_word_is_due() {
        let notice = TimeDelta::minutes(2);
        let asked =
            |queued, lingers: Option<i64>| Asked { since: at(0), trouble: None, lingers: lingers.map(at), queued };
        assert_eq!(asked(3, None).look(notice, at(0)), at(120));
        assert_eq!(asked(3, Some(120)).look(notice, at(0)), at(240), "first it waits for company");
        assert_eq!(asked(3, None).look(notice, at(500)), at(620));
        let looks = (1..=100_000).map(|n| asked(n, None).look(notice, at(0)));
        let mut seconds = HashMap::<i64, usize>::new();
        looks.filter(|at| *at > self::at(120)).for_each(|at| *seconds.entry(at.timestamp()).or_default() += 1);
        assert_eq!(seconds.values().max(), Some(&10));
    }

    #[test]
    fn a_group_whose_jobs_are_refused_is_asked_about_less_and_less_often() {
        let dispatch = dispatch();
        let mut pauses = Vec::new();
        for _ in 0..8 {
            dispatch.trouble(&group(), "Forbidden", "exceeded quota".into(), at(0));
            pauses.push((dispatch.state().trouble[&group()].until - at(0)).num_seconds());
        }
        assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 300, 300]);
        assert_eq!(dispatch.ask(&group(), due("a"), order()).trouble.map(|t| t.reason), Some("Forbidden"));
        dispatch.no_trouble(&group());
        assert_eq!(dispatch.ask(&group(), due("a"), order()).trouble, None);
    }
}
