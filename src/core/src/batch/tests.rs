//! Which dumps share a Job, and in which order Jobs are created.

use super::*;
use std::collections::BTreeSet;

pub(super) fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_000_000 + seconds, 0).unwrap()
}

pub(super) fn group(server: &str) -> Group {
    let text = |text: &str| text.to_owned();
    Group { namespace: text("n"), storage: text("main"), server: text(server), secret: text("dump") }
}

pub(super) fn slot(seconds: i64, attempt: i32) -> RunKey {
    RunKey::Slot { slot: at(seconds), attempt }
}

pub(super) fn due(name: &str, since: i64, queued: i64) -> DueDump {
    let run = slot(since, 1);
    let priority = Priority::of(&run, at(since), at(queued));
    let (since, queued) = (at(since), at(queued));
    DueDump {
        schedule: name.into(),
        uid: format!("uid-{name}"),
        run,
        priority,
        since,
        queued,
        bytes: Some(1 << 20),
        sharing: BatchSharing::Any,
    }
}

pub(super) fn settings() -> BatchSettings {
    BatchSettings { tenants: 50, batch_window: TimeDelta::seconds(120), gather_delay: TimeDelta::seconds(1) }
}

pub(super) fn capacity(places: i64) -> Capacity {
    let servers = ["a", "b", "c"].map(|server| (("n".to_owned(), server.to_owned()), places));
    Capacity { tokens: 100, total: 100, servers: servers.into(), ..Capacity::default() }
}

fn names(batch: &Batch) -> Vec<&str> {
    batch.runs.iter().map(|due| due.schedule.as_str()).collect()
}

#[test]
fn tenants_due_together_share_a_job_the_longest_first_and_those_of_another_secret_do_not() {
    let mut queue = Queue::default();
    let other = Group { secret: "own".into(), ..group("a") };
    for (name, bytes) in [("small", Some(1)), ("large", Some(BIG_BYTES - 1)), ("new", None)] {
        queue.add(&group("a"), DueDump { bytes, ..due(name, 0, 0) });
    }
    queue.add(&other, due("alone", 0, 0));
    assert!(queue.plan(&mut capacity(8), &settings(), at(0)).is_empty(), "those of the same second come together");
    let batches = queue.plan(&mut capacity(8), &settings(), at(1));
    let found: Vec<_> = batches.iter().map(|b| (names(b), b.at_once)).collect();
    assert_eq!(found, [(vec!["large", "new", "small"], 3), (vec!["alone"], 1)]);
    assert!(queue.is_empty());
}

#[test]
fn a_dump_waits_for_others_only_where_some_got_their_job_lately() {
    let mut queue = Queue::default();
    queue.add(&group("a"), due("first", 0, 0));
    assert_eq!(queue.waits_for_others_until("uid-first", &settings(), at(0)), None);
    for (n, name) in ["b", "c", "d"].into_iter().enumerate() {
        let since = 10 + i64::try_from(n).unwrap();
        queue.add(&group("a"), due(name, since, since));
    }
    assert_eq!(queue.plan(&mut capacity(8), &settings(), at(14)).iter().map(|b| b.runs.len()).sum::<usize>(), 4);
    queue.add(&group("a"), due("late", 30, 30));
    assert_eq!(queue.waits_for_others_until("uid-late", &settings(), at(30)), Some(at(150)));
    assert_eq!(
        queue.waits_for_others_until("uid-late", &settings(), at(150)),
        None,
        "it has waited long enough: now it is a budget that it waits for"
    );
    assert_eq!(queue.waits_for_others_until("uid-b", &settings(), at(30)), None, "it has its Job");
}

#[test]
fn a_job_has_twenty_to_fifty_tenants_by_their_size() {
    for (bytes, wanted) in [(1, 50), (BIG_BYTES / 4, 50), (BIG_BYTES / 2, 40), (BIG_BYTES - 1, 20)] {
        let mut queue = Queue::default();
        for n in 0..120 {
            queue.add(&group("a"), DueDump { bytes: Some(bytes), ..due(&n.to_string(), 0, 0) });
        }
        let batches = queue.plan(&mut capacity(8), &settings(), at(1));
        assert_eq!(batches[0].runs.len(), wanted, "{bytes}");
        assert_eq!(batches[0].at_once, MAX_AT_ONCE);
    }
}

#[test]
fn a_big_dump_or_one_that_failed_by_itself_is_alone_and_one_of_a_failed_job_is_among_few() {
    let big = Some(BIG_BYTES);
    let cases = [
        (None, slot(0, 1), None, BatchSharing::Any),
        (Some(5), slot(0, 1), Some("JobFailed"), BatchSharing::Any),
        (big, slot(0, 1), None, BatchSharing::Alone),
        (big, RunKey::Manual("x".into()), None, BatchSharing::Alone),
        (None, slot(0, 2), Some("JobFailed"), BatchSharing::Few),
        (None, slot(0, 2), Some("LockTimeout"), BatchSharing::Alone),
        (None, slot(0, 3), Some("JobFailed"), BatchSharing::Alone),
        (None, RunKey::Manual("x".into()), Some("LockTimeout"), BatchSharing::Any),
    ];
    for (bytes, run, failed, wanted) in cases {
        assert_eq!(BatchSharing::of(bytes, &run, failed), wanted, "{bytes:?} {run} {failed:?}");
    }
    let mut queue = Queue::default();
    for n in 0..12 {
        let sharing = if n < 2 { BatchSharing::Alone } else { BatchSharing::Few };
        queue.add(&group("a"), DueDump { sharing, ..due(&format!("{n:02}"), 0, 0) });
    }
    let sizes: Vec<usize> = queue.plan(&mut capacity(100), &settings(), at(5)).iter().map(|b| b.runs.len()).collect();
    assert_eq!(sizes, [1, 1, 5, 5]);
}

#[test]
fn priorities_go_manual_fresh_catch_up() {
    assert_eq!(Priority::of(&RunKey::Manual("x".into()), at(0), at(9999)), Priority::Manual);
    for (attempt, late, wanted) in
        [(1, 0, Priority::Fresh), (1, 600, Priority::Fresh), (1, 601, Priority::CatchUp), (2, 0, Priority::CatchUp)]
    {
        assert_eq!(Priority::of(&slot(0, attempt), at(0), at(late)), wanted);
    }
    let mut queue = Queue::default();
    let alone = |priority, name: &str| DueDump { priority, sharing: BatchSharing::Alone, ..due(name, 0, 0) };
    for (priority, name) in [(Priority::CatchUp, "c"), (Priority::Fresh, "f"), (Priority::Manual, "m")] {
        queue.add(&group("a"), alone(priority, name));
    }
    let order: Vec<_> = queue.plan(&mut capacity(9), &settings(), at(0)).iter().map(|b| names(b).join("")).collect();
    assert_eq!(order, ["m", "f", "c"]);
}

#[test]
fn a_dump_waits_for_others_only_where_some_are_to_be_expected() {
    let mut queue = Queue::default();
    let mut started = Vec::new();
    for second in 0..2000 {
        // One each twenty seconds after a quarter of an hour of silence.
        if second >= 900 && second % 20 == 0 {
            queue.add(&group("a"), due(&second.to_string(), second, second));
        }
        for batch in queue.plan(&mut capacity(4), &settings(), at(second)) {
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
    let manual = DueDump { run: RunKey::Manual("t".into()), priority: Priority::Manual, ..due("x", 70, 70) };
    queue.add(&group("b"), manual.clone());
    assert_eq!((queue.len(), queue.get("uid-x"), queue.depth()), (1, Some(&manual), [1, 0, 0]));
    assert_eq!(queue.groups().collect::<Vec<_>>(), [&group("b")]);
    assert_eq!(queue.remove("uid-x"), Some(manual));
    queue.remove_idle_groups(&settings(), at(1000));
    assert_eq!((queue.is_empty(), queue.groups().count()), (true, 0));
}

#[test]
fn i8_the_name_is_the_lock_whatever_tenants_the_job_has() {
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
    let mut bucket = TokenBucket::new(60, 3, at(0));
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
    let mut lived = TokenBucket::new(30, 10, at(0));
    for at in &created {
        lived.spend(*at);
    }
    for now in [100, 101, 104, 130, 4000] {
        let mut again = TokenBucket::after(30, 10, created.clone(), at(now));
        assert_eq!(again.tokens(at(now)), lived.tokens(at(now)), "{now}");
    }
    assert_eq!(TokenBucket::after(30, 10, Vec::new(), at(0)).tokens(at(0)), 10);
}
