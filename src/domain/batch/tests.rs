//! Batches: tables of what rides with whom, and whole nights in which nothing may be lost, doubled, starved or overdone.

use super::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_000_000 + seconds, 0).unwrap()
}

fn group(server: &str) -> Group {
    let text = |text: &str| text.to_owned();
    Group { namespace: text("n"), storage: text("main"), server: text(server), secret: text("dump") }
}

fn slot(seconds: i64, attempt: i32) -> RunKey {
    RunKey::Slot { slot: at(seconds), attempt }
}

fn due(name: &str, since: i64, queued: i64) -> Due {
    let run = slot(since, 1);
    let lane = Lane::of(&run, at(since), at(queued));
    let (since, queued) = (at(since), at(queued));
    Due {
        schedule: name.into(),
        uid: format!("uid-{name}"),
        run,
        lane,
        since,
        queued,
        bytes: Some(1 << 20),
        company: Company::Any,
    }
}

fn shape() -> Shape {
    Shape { tenants: 50, linger: TimeDelta::seconds(120), settle: TimeDelta::seconds(1) }
}

fn room(places: i64) -> Room {
    let servers = ["a", "b", "c"].map(|server| (("n".to_owned(), server.to_owned()), places));
    Room { tokens: 100, total: 100, servers: servers.into(), ..Room::default() }
}

fn names(batch: &Batch) -> Vec<&str> {
    batch.runs.iter().map(|due| due.schedule.as_str()).collect()
}

#[test]
fn tenants_due_together_share_a_job_the_longest_first_and_those_of_another_secret_do_not() {
    let mut queue = Queue::default();
    let other = Group { secret: "own".into(), ..group("a") };
    for (name, bytes) in [("small", Some(1)), ("large", Some(BIG_BYTES - 1)), ("new", None)] {
        queue.add(&group("a"), Due { bytes, ..due(name, 0, 0) });
    }
    queue.add(&other, due("alone", 0, 0));
    assert!(queue.plan(&mut room(8), &shape(), at(0)).is_empty(), "those of the same second come together");
    let batches = queue.plan(&mut room(8), &shape(), at(1));
    let found: Vec<_> = batches.iter().map(|b| (names(b), b.at_once)).collect();
    assert_eq!(found, [(vec!["large", "new", "small"], 3), (vec!["alone"], 1)]);
    assert!(queue.is_empty());
}

#[test]
fn a_dump_waits_for_company_only_where_others_got_their_job_lately() {
    let mut queue = Queue::default();
    queue.add(&group("a"), due("first", 0, 0));
    assert_eq!(queue.lingers("uid-first", &shape(), at(0)), None);
    for (n, name) in ["b", "c", "d"].into_iter().enumerate() {
        let since = 10 + i64::try_from(n).unwrap();
        queue.add(&group("a"), due(name, since, since));
    }
    assert_eq!(queue.plan(&mut room(8), &shape(), at(14)).iter().map(|b| b.runs.len()).sum::<usize>(), 4);
    queue.add(&group("a"), due("late", 30, 30));
    assert_eq!(queue.lingers("uid-late", &shape(), at(30)), Some(at(150)));
    assert_eq!(
        queue.lingers("uid-late", &shape(), at(150)),
        None,
        "it has waited long enough: now it is a budget that it waits for"
    );
    assert_eq!(queue.lingers("uid-b", &shape(), at(30)), None, "it has its Job");
}

#[test]
fn a_job_has_twenty_to_fifty_tenants_by_their_size() {
    for (bytes, wanted) in [(1, 50), (BIG_BYTES / 4, 50), (BIG_BYTES / 2, 40), (BIG_BYTES - 1, 20)] {
        let mut queue = Queue::default();
        for n in 0..120 {
            queue.add(&group("a"), Due { bytes: Some(bytes), ..due(&n.to_string(), 0, 0) });
        }
        let batches = queue.plan(&mut room(8), &shape(), at(1));
        assert_eq!(batches[0].runs.len(), wanted, "{bytes}");
        assert_eq!(batches[0].at_once, MOST_AT_ONCE);
    }
}

#[test]
fn who_is_big_or_failed_by_itself_rides_alone_and_who_went_down_with_others_with_few() {
    let big = Some(BIG_BYTES);
    let cases = [
        (None, slot(0, 1), None, Company::Any),
        (Some(5), slot(0, 1), Some("JobFailed"), Company::Any),
        (big, slot(0, 1), None, Company::Alone),
        (big, RunKey::Manual("x".into()), None, Company::Alone),
        (None, slot(0, 2), Some("JobFailed"), Company::Few),
        (None, slot(0, 2), Some("LockTimeout"), Company::Alone),
        (None, slot(0, 3), Some("JobFailed"), Company::Alone),
        (None, RunKey::Manual("x".into()), Some("LockTimeout"), Company::Any),
    ];
    for (bytes, run, failed, wanted) in cases {
        assert_eq!(Company::of(bytes, &run, failed), wanted, "{bytes:?} {run} {failed:?}");
    }
    let mut queue = Queue::default();
    for n in 0..12 {
        let company = if n < 2 { Company::Alone } else { Company::Few };
        queue.add(&group("a"), Due { company, ..due(&format!("{n:02}"), 0, 0) });
    }
    let sizes: Vec<usize> = queue.plan(&mut room(100), &shape(), at(5)).iter().map(|b| b.runs.len()).collect();
    assert_eq!(sizes, [1, 1, 5, 5]);
}

#[test]
fn lanes_go_manual_fresh_catch_up() {
    assert_eq!(Lane::of(&RunKey::Manual("x".into()), at(0), at(9999)), Lane::Manual);
    for (attempt, late, wanted) in
        [(1, 0, Lane::Fresh), (1, 600, Lane::Fresh), (1, 601, Lane::CatchUp), (2, 0, Lane::CatchUp)]
    {
        assert_eq!(Lane::of(&slot(0, attempt), at(0), at(late)), wanted);
    }
    let mut queue = Queue::default();
    let alone = |lane, name: &str| Due { lane, company: Company::Alone, ..due(name, 0, 0) };
    for (lane, name) in [(Lane::CatchUp, "c"), (Lane::Fresh, "f"), (Lane::Manual, "m")] {
        queue.add(&group("a"), alone(lane, name));
    }
    let order: Vec<_> = queue.plan(&mut room(9), &shape(), at(0)).iter().map(|b| names(b).join("")).collect();
    assert_eq!(order, ["m", "f", "c"]);
}

#[test]
fn a_dump_waits_for_company_only_where_some_is_to_be_expected() {
    let mut queue = Queue::default();
    let mut started = Vec::new();
    for second in 0..2000 {
        // One each twenty seconds after a quarter of an hour of silence.
        if second >= 900 && second % 20 == 0 {
            queue.add(&group("a"), due(&second.to_string(), second, second));
        }
        for batch in queue.plan(&mut room(4), &shape(), at(second)) {
            started.push((
                second,
                batch.runs.len(),
                batch.runs.iter().map(|d| second - (d.since - at(0)).num_seconds()).max(),
            ));
        }
    }
    assert_eq!(started[..2], [(901, 1, Some(1)), (921, 1, Some(1))], "nobody is waited for");
    assert!(started[2..].iter().all(|(_, tenants, lag)| *tenants >= 6 && *lag <= Some(120)), "{started:?}");
}

#[test]
fn a_queued_dump_is_queued_once_and_another_run_or_group_replaces_it() {
    let mut queue = Queue::default();
    assert_eq!(queue.add(&group("a"), due("x", 0, 0)), at(0));
    assert_eq!(queue.add(&group("a"), due("x", 0, 50)), at(0), "it keeps its place");
    assert_eq!(queue.add(&group("b"), due("x", 0, 60)), at(60));
    let manual = Due { run: RunKey::Manual("t".into()), lane: Lane::Manual, ..due("x", 70, 70) };
    queue.add(&group("b"), manual.clone());
    assert_eq!((queue.len(), queue.get("uid-x"), queue.depth()), (1, Some(&manual), [1, 0, 0]));
    assert_eq!(queue.groups().collect::<Vec<_>>(), [&group("b")]);
    assert_eq!(queue.remove("uid-x"), Some(manual));
    queue.tidy(&shape(), at(1000));
    assert_eq!((queue.is_empty(), queue.groups().count()), (true, 0));
}

#[test]
fn i8_the_name_is_the_lock_whatever_rides_in_the_job() {
    let chain = group("a").chain();
    assert_eq!(job_name(&chain, Some("u")), job_name(&chain, Some("u")));
    let other = Group { secret: "own".into(), ..group("a") }.chain();
    let all =
        [job_name(&chain, None), job_name(&chain, Some("u")), job_name(&chain, Some("v")), job_name(&other, None)];
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 4);
    assert!(all.iter().all(|name| name.len() <= 57), "room for the pod's suffix");
}

#[test]
fn a_restore_never_waits_for_a_token_and_takes_one() {
    let mut bucket = Bucket::new(60, 3, at(0));
    for _ in 0..9 {
        bucket.spend(at(0));
    }
    assert_eq!(bucket.tokens(at(3)), 0);
    assert_eq!(bucket.tokens(at(4)), 1, "no debt is deeper than a burst");
    assert_eq!(bucket.tokens(at(1)), 1, "a clock that was set back gives nothing");
    assert_eq!(bucket.tokens(at(900)), 3);
}

#[test]
fn a_bucket_after_a_restart_is_as_full_as_one_that_was_never_away() {
    let created: Vec<_> = (0..10).map(|_| at(100)).collect();
    let mut lived = Bucket::new(30, 10, at(0));
    for at in &created {
        lived.spend(*at);
    }
    for now in [100, 101, 104, 130, 4000] {
        let mut again = Bucket::after(30, 10, created.clone(), at(now));
        assert_eq!(again.tokens(at(now)), lived.tokens(at(now)), "{now}");
    }
    assert_eq!(Bucket::after(30, 10, Vec::new(), at(0)).tokens(at(0)), 10);
}

/// A night on servers that take so many dumps at once: who is due when, how long a dump takes; a step a second.
struct Night {
    queue: Queue,
    bucket: Bucket,
    limits: Room,
    /// Running Jobs: end, server, places.
    running: Vec<(i64, String, i64)>,
    /// Who started when.
    started: BTreeMap<String, Vec<i64>>,
    created: Vec<i64>,
}

impl Night {
    fn new(limits: Room, per_minute: i32, burst: i32) -> Self {
        let (running, started, created) = Default::default();
        Self {
            queue: Queue::default(),
            bucket: Bucket::new(per_minute, burst, at(0)),
            limits,
            running,
            started,
            created,
        }
    }

    /// One second; a Job takes `length` seconds for each tenant.
    fn second(&mut self, second: i64, length: i64) {
        self.running.retain(|(end, ..)| *end > second);
        let mut room = self.limits.clone();
        room.tokens = self.bucket.tokens(at(second));
        for (_, server, places) in &self.running {
            room.total -= places;
            *room.servers.get_mut(&("n".to_owned(), server.clone())).unwrap() -= places;
            *room.storages.get_mut(&("n".to_owned(), "main".to_owned())).unwrap() -= places;
        }
        for batch in self.queue.plan(&mut room, &shape(), at(second)) {
            self.bucket.spend(at(second));
            self.created.push(second);
            let tenants = i64::try_from(batch.runs.len()).unwrap();
            assert!(batch.runs.len() <= MOST_TENANTS && batch.at_once <= tenants && batch.at_once <= MOST_AT_ONCE);
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

    /// Creations in any stretch of time are what the bucket allows.
    fn rate_held(&self, per_minute: i64, burst: i64) {
        for (n, from) in self.created.iter().enumerate() {
            for (m, to) in self.created.iter().enumerate().skip(n) {
                let allowed = burst + (to - from) * per_minute / 60 + 1;
                assert!(i64::try_from(m - n + 1).unwrap() <= allowed, "{} from {from} to {to}", m - n + 1);
            }
        }
    }
}

fn limits(total: i64, server: i64, storage: i64) -> Room {
    let storages = HashMap::from([(("n".to_owned(), "main".to_owned()), storage)]);
    Room { tokens: 0, total, storages, ..room(server) }
}

#[test]
fn i8_ten_thousand_resumed_schedules_trickle_out_once_each_and_todays_go_first() {
    let mut night = Night::new(limits(40, 8, 40), 60, 10);
    for n in 0..10_000 {
        let lane = Lane::CatchUp;
        let due = Due { lane, ..due(&n.to_string(), -50_000 + n, 0) };
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
    let alone = |lane, name: &str, second| Due { lane, company: Company::Alone, ..due(name, second, second) };
    night.queue.add(&group("a"), alone(Lane::CatchUp, "missed", 0));
    for second in 0..60 {
        night.queue.add(&group("a"), alone(Lane::Manual, &format!("m{second}"), second));
        night.queue.add(&group("a"), alone(Lane::Fresh, &format!("f{second}"), second));
        night.second(second, 2);
    }
    assert!(night.started["uid-missed"][0] <= 10, "{:?}", night.started);
    let fresh = night.started.keys().filter(|uid| uid.starts_with("uid-f")).count();
    assert!(fresh >= 5, "{fresh}");
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
                let company = Company::of(*bytes, &run, failed);
                let lane = Lane::of(&run, at(second), at(second));
                let due = Due { run, company, lane, bytes: *bytes, ..due(&n.to_string(), second, second) };
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
