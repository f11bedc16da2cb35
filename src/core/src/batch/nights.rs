//! Simulations of whole nights: every dump starts exactly once, no budget is exceeded, and none is starved.

use super::tests::{at, capacity, due, group, settings, slot};
use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// A simulated night, second by second, on servers that take so many dumps at once.
struct Night {
    queue: Queue,
    bucket: TokenBucket,
    limits: Capacity,
    /// Running Jobs: end, server, places.
    running: Vec<(i64, String, i64)>,
    /// Seconds at which each schedule's dump started, by UID.
    started: BTreeMap<String, Vec<i64>>,
    created: Vec<i64>,
    settings: BatchSettings,
}

impl Night {
    fn new(limits: Capacity, per_minute: i32, burst: i32) -> Self {
        let (running, started, created) = Default::default();
        Self {
            queue: Queue::default(),
            bucket: TokenBucket::new(per_minute, burst, at(0)),
            limits,
            running,
            started,
            created,
            settings: settings(),
        }
    }

    /// One second; a Job takes `length` seconds for each tenant.
    fn second(&mut self, second: i64, length: i64) {
        self.running.retain(|(end, ..)| *end > second);
        let mut capacity = self.limits.clone();
        capacity.tokens = self.bucket.tokens(at(second));
        for (_, server, places) in &self.running {
            capacity.total -= places;
            *capacity.servers.get_mut(&("n".to_owned(), server.clone())).unwrap() -= places;
            *capacity.storages.get_mut(&("n".to_owned(), "main".to_owned())).unwrap() -= places;
        }
        for batch in self.queue.plan(&mut capacity, &self.settings, at(second)) {
            self.bucket.spend(at(second));
            self.created.push(second);
            let tenants = i64::try_from(batch.runs.len()).unwrap();
            assert!(batch.runs.len() <= MAX_TENANTS && batch.at_once <= tenants && batch.at_once <= MAX_AT_ONCE);
            self.running.push((
                second + (length * tenants / batch.at_once).max(1),
                batch.group.server.clone(),
                batch.at_once,
            ));
            for run in batch.runs {
                self.started.entry(run.uid).or_default().push(second);
            }
        }
        let taken = |server: Option<&str>| -> i64 {
            self.running.iter().filter(|(_, s, _)| server.is_none_or(|wanted| s == wanted)).map(|r| r.2).sum()
        };
        assert!(taken(None) <= self.limits.total && taken(None) <= self.limits.storages.values().sum());
        for ((_, server), limit) in &self.limits.servers {
            assert!(taken(Some(server)) <= *limit, "{server} at {second}");
        }
    }

    /// Checks that in no stretch of time more Jobs were created than the bucket allows.
    fn rate_held(&self, per_minute: i64, burst: i64) {
        for (n, from) in self.created.iter().enumerate() {
            for (m, to) in self.created.iter().enumerate().skip(n) {
                let allowed = burst + (to - from) * per_minute / 60 + 1;
                assert!(i64::try_from(m - n + 1).unwrap() <= allowed, "{} from {from} to {to}", m - n + 1);
            }
        }
    }
}

fn limits(total: i64, server: i64, storage: i64) -> Capacity {
    let storages = HashMap::from([(("n".to_owned(), "main".to_owned()), storage)]);
    Capacity { tokens: 0, total, storages, ..capacity(server) }
}

#[test]
fn i8_ten_thousand_resumed_schedules_trickle_out_once_each_and_todays_go_first() {
    let mut night = Night::new(limits(40, 8, 40), 60, 10);
    for n in 0..10_000 {
        let priority = Priority::CatchUp;
        let due = DueDump { priority, ..due(&n.to_string(), -50_000 + n, 0) };
        night.queue.add(&group(["a", "b", "c"][usize::try_from(n % 3).unwrap()]), due);
    }
    for second in 0..1500 {
        if second % 10 == 0 {
            night.queue.add(&group("a"), due(&format!("fresh-{second}"), second, second));
        }
        night.second(second, 1);
    }
    night.rate_held(60, 10);
    assert!(night.started.values().all(|times| times.len() == 1));
    assert_eq!(night.started.len(), 10_000 + 150 - night.queue.len());
    let fresh = night.started.iter().filter(|(uid, _)| uid.contains("fresh"));
    let lags: Vec<i64> =
        fresh.map(|(uid, times)| times[0] - uid["uid-fresh-".len()..].parse::<i64>().unwrap()).collect();
    assert!(lags.len() > 100 && lags.iter().all(|lag| *lag <= 300), "{lags:?}");
    let caught_up = night.started.keys().filter(|uid| !uid.contains("fresh")).count();
    assert!(caught_up > 5_000, "{caught_up}");
}

#[test]
fn what_is_never_empty_starves_nobody() {
    // Fresh ones, each alone, faster than the only server can take them.
    let mut night = Night::new(limits(1, 1, 1), 600, 10);
    let alone =
        |priority, name: &str, second| DueDump { priority, sharing: BatchSharing::Alone, ..due(name, second, second) };
    night.queue.add(&group("a"), alone(Priority::CatchUp, "missed", 0));
    for second in 0..60 {
        night.queue.add(&group("a"), alone(Priority::Manual, &format!("m{second}"), second));
        night.queue.add(&group("a"), alone(Priority::Fresh, &format!("f{second}"), second));
        night.second(second, 2);
    }
    assert!(night.started["uid-missed"][0] <= 10, "{:?}", night.started);
    let fresh = night.started.keys().filter(|uid| uid.starts_with("uid-f")).count();
    assert!(fresh >= 5, "{fresh}");
}

/// A window of six hours of a tenth of 100,000 tenants on a tenth of 200 servers, by a tenth of the default bucket: each dump takes
/// 20 seconds, two at once on a server. Jobs a tenant, and the lag in seconds that one in a hundred exceeds.
fn six_hours(batch_window: i64) -> (f64, i64) {
    const TENANTS: usize = 10_000;
    let servers: Vec<String> = (0..20).map(|n| format!("server-{n}")).collect();
    let places = servers.iter().map(|server| (("n".to_owned(), server.clone()), 2)).collect();
    let mut night = Night::new(Capacity { servers: places, ..limits(40, 2, 40) }, 6, 1);
    night.settings.batch_window = TimeDelta::seconds(batch_window);
    let second = |n: usize| i64::from_str_radix(&stable_hash(&["night", &n.to_string()], 8), 16).unwrap() % 21_600;
    let mut slots = BTreeMap::<i64, Vec<usize>>::new();
    (0..TENANTS).for_each(|n| slots.entry(second(n)).or_default().push(n));
    for now in 0..23_000 {
        for n in slots.remove(&now).unwrap_or_default() {
            night.queue.add(&group(&servers[n % servers.len()]), due(&n.to_string(), now, now));
        }
        night.second(now, 20);
        night.queue.remove_idle_groups(&night.settings, at(now));
    }
    let start = |n: usize| match night.started[&format!("uid-{n}")][..] {
        [start] => start,
        ref starts => panic!("{n}: {starts:?}"),
    };
    let mut lags: Vec<i64> = (0..TENANTS).map(|n| start(n) - second(n)).collect();
    lags.sort_unstable();
    let jobs = f64::from(u32::try_from(night.created.len()).unwrap()) / f64::from(u32::try_from(TENANTS).unwrap());
    (jobs, lags[TENANTS * 99 / 100])
}

#[test]
fn i8_a_hundred_thousand_in_six_hours_start_within_five_minutes_and_leave_the_bucket_some_tokens() {
    // The default of --batch-window. With two minutes there are as many Jobs as the bucket has tokens (0.216 a tenant).
    let (jobs, lag) = six_hours(180);
    assert!(jobs < 0.2 && lag < 240, "{jobs} Jobs a tenant, p99 {lag} s");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_budget_is_ever_exceeded_and_everybody_runs_once(
        tenants in prop::collection::vec((0i64..900, 0usize..3, prop::option::of(0i64..BIG_BYTES * 2), 1i32..4), 1..150),
        total in 1i64..20, server in 1i64..6, storage in 1i64..20, per_minute in 20i32..300, burst in 1i32..12, length in 1i64..20,
    ) {
        let mut night = Night::new(limits(total, server, storage), per_minute, burst);
        let mut second = 0;
        while second < 900 || !night.queue.is_empty() {
            prop_assert!(second < 100_000, "{} still wait", night.queue.len());
            for (n, (_, at_server, bytes, attempt)) in tenants.iter().enumerate().filter(|(_, t)| t.0 == second) {
                let run = slot(second, *attempt);
                let failed = (*attempt > 1).then_some(if n % 2 == 0 { JOB_FAILED } else { "LockTimeout" });
                let sharing = BatchSharing::of(*bytes, &run, failed);
                let priority = Priority::of(&run, at(second), at(second));
                let due = DueDump { run, sharing, priority, bytes: *bytes, ..due(&n.to_string(), second, second) };
                // Asked twice, as every round of a schedule asks again.
                night.queue.add(&group(["a", "b", "c"][*at_server]), due.clone());
                night.queue.add(&group(["a", "b", "c"][*at_server]), due);
            }
            night.second(second, length);
            second += 1;
        }
        prop_assert_eq!(night.started.len(), tenants.len());
        prop_assert!(night.started.values().all(|times| times.len() == 1));
        night.rate_held(per_minute.into(), burst.into());
    }
}
