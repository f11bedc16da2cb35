//! Property tests over months of decisions, in zones with clock changes, with outages, suspensions and failures: a local
//! day is dumped once, a missed one is caught up once, and nothing else runs (I8).

use super::*;
use crate::schedule::Window;
use chrono::{NaiveDate, Timelike};
use proptest::prelude::*;
use std::collections::BTreeMap;

const ZONES: [&str; 9] = [
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "America/Santiago",
    "Africa/Casablanca",
    "America/Havana",
    "Asia/Kolkata",
    "Pacific/Apia",
    "America/Scoresbysund",
];

/// What happens in one round of decisions.
#[derive(Debug, Clone, Copy)]
enum Round {
    /// The operator decides, and what it starts succeeds.
    Awake,
    /// The operator is down.
    Down,
    /// The schedule is suspended.
    Suspended,
    /// The operator decides, and what it starts fails.
    Failing,
}

/// The runs of a schedule over rounds that are so many minutes apart, and the rounds with their times.
fn live(
    schedule: &Schedule,
    start: DateTime<Utc>,
    rounds: &[(i64, Round)],
) -> (Vec<RunKey>, Vec<(DateTime<Utc>, Round)>) {
    let (mut last, mut now) = (None::<LastRun>, start);
    let (mut runs, mut path) = (Vec::new(), Vec::new());
    for (minutes, round) in rounds {
        now += TimeDelta::minutes(*minutes);
        path.push((now, *round));
        if matches!(round, Round::Down) {
            continue;
        }
        let facts = BackupInputs {
            schedule,
            created: start,
            suspended: matches!(round, Round::Suspended),
            starting_deadline: None,
            manual: None,
            answered: None,
            running: false,
            restoring: false,
            last: last.as_ref(),
            retry_base: RETRY_BASE,
        };
        if let BackupPlan::Run(key) = decide(&facts, now).plan {
            let RunKey::Slot { slot, attempt } = key else { panic!("nobody asked by hand") };
            let ended = if matches!(round, Round::Failing) { Ended::Failed { at: now } } else { Ended::Succeeded };
            assert!(due_since(&facts, &key, now) <= now, "nothing runs before it is due");
            last = Some(LastRun { slot, attempt, ended });
            runs.push(key);
        }
    }
    (runs, path)
}

fn rounds() -> impl Strategy<Value = Vec<(i64, Round)>> {
    let round = prop_oneof![
        8 => Just(Round::Awake), 2 => Just(Round::Down), 1 => Just(Round::Suspended), 1 => Just(Round::Failing)
    ];
    prop::collection::vec((1i64..700, round), 50..250)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn i8_a_local_day_is_dumped_once_through_dst_outages_and_resumes(
        zone in prop::sample::select(ZONES.to_vec()), who in "[a-z]{1,8}", window in 0i64..24, day in 0i64..4000, rounds in rounds(),
    ) {
        let window = Window::parse(Some(&format!("{window:02}:30")), Some("6h")).unwrap();
        let schedule = Schedule::parse("@daily", zone, window, &[&who]).unwrap();
        let start = DateTime::from_timestamp(1_262_304_000 + day * 86_400, 0).unwrap();
        let (runs, path) = live(&schedule, start, &rounds);

        let mut attempts: BTreeMap<NaiveDate, Vec<i32>> = BTreeMap::new();
        let mut slots = Vec::new();
        for run in &runs {
            let RunKey::Slot { slot, attempt } = run else { panic!("nobody asked by hand") };
            prop_assert_eq!(schedule.slot(schedule.day(*slot)), Some(*slot), "every run is its day's slot");
            attempts.entry(schedule.day(*slot)).or_default().push(*attempt);
            slots.push(*slot);
        }
        prop_assert!(slots.is_sorted(), "never back to an earlier day");
        for (day, attempts) in &attempts {
            let counted: Vec<i32> = (1..).take(attempts.len()).collect();
            prop_assert_eq!(attempts, &counted, "{}: an attempt at a time, none twice", day);
        }
        // Whoever was rounded at between its slot and the next one has run.
        for (now, round) in path {
            if let (Round::Awake | Round::Failing, Some(slot)) = (round, schedule.latest_due(now).filter(|slot| *slot >= start)) {
                prop_assert!(slots.contains(&slot), "{} was due at {} and did not run", slot, now);
            }
        }
    }

    #[test]
    fn i8_an_edited_schedule_or_zone_does_not_run_a_local_day_a_second_time(
        zone in prop::sample::select(ZONES.to_vec()), before in 0u32..1440, after in 0u32..1440, day in 0i64..4000, later in 0i64..1440,
    ) {
        let cron = |minute: u32| Schedule::parse(&format!("{} {} * * *", minute % 60, minute / 60), zone, Window::default(), &["a"]).unwrap();
        let (old, new) = (cron(before), cron(after));
        let now = DateTime::from_timestamp(1_262_304_000 + day * 86_400, 0).unwrap();
        let Some(slot) = old.latest_due(now) else { return Ok(()) };
        let last = LastRun { slot, attempt: 1, ended: Ended::Succeeded };
        let at = slot + TimeDelta::minutes(later);
        let facts = BackupInputs {
            schedule: &new, created: slot - TimeDelta::days(9), suspended: false, starting_deadline: None, manual: None,
            answered: None, running: false, restoring: false, last: Some(&last), retry_base: RETRY_BASE,
        };
        if let BackupPlan::Run(RunKey::Slot { slot: second, .. }) = decide(&facts, at).plan {
            prop_assert!(new.day(second) > new.day(slot), "{} again at {}", new.day(slot), second);
        }
    }
}

#[test]
fn i8_after_six_hours_down_ten_thousand_tenants_are_caught_up_once_each() {
    let start: DateTime<Utc> = "2026-11-22T00:00:00Z".parse().unwrap();
    let (down, up) = (start + TimeDelta::hours(4), start + TimeDelta::hours(10));
    let mut missed = 0;
    for n in 0..10_000 {
        let schedule = Schedule::parse("@daily", "Etc/UTC", Window::default(), &[&n.to_string()]).unwrap();
        let slot = schedule.latest_due(start + TimeDelta::days(1) - TimeDelta::seconds(1)).unwrap();
        let last = LastRun { slot: slot - TimeDelta::days(1), attempt: 1, ended: Ended::Succeeded };
        let ran = LastRun { slot, ..last.clone() };
        let facts = BackupInputs {
            schedule: &schedule,
            created: start - TimeDelta::days(30),
            suspended: false,
            starting_deadline: None,
            manual: None,
            answered: None,
            running: false,
            restoring: false,
            last: Some(if slot < down { &ran } else { &last }),
            retry_base: RETRY_BASE,
        };
        let due = decide(&facts, up).plan == BackupPlan::Run(RunKey::Slot { slot, attempt: 1 });
        assert_eq!(due, (down..=up).contains(&slot), "{slot}");
        missed += usize::from(due);
        if due {
            let caught_up = BackupInputs { last: Some(&ran), ..facts };
            assert_eq!(decide(&caught_up, up).plan, BackupPlan::Wait(WaitReason::NotDue));
        }
    }
    assert!((2300..2700).contains(&missed), "a quarter of the day: {missed}");
}

#[test]
fn slots_fill_their_window_evenly_to_the_second() {
    // 100,000 tenants in six hours: 4.63 a second. No second has much more than its share, and no minute much less.
    let window = Window::parse(Some("22:00"), Some("6h")).unwrap();
    let mut seconds = vec![0u32; 21_600];
    for n in 0..100_000 {
        let time = Schedule::parse("@daily", "Etc/UTC", window, &["n", &format!("tenant-{n}")]).unwrap().time();
        let at = (time.num_seconds_from_midnight() + 2 * 3600) % 86_400;
        seconds[usize::try_from(at).unwrap()] += 1;
    }
    let minutes: Vec<u32> = seconds.chunks(60).map(|minute| minute.iter().sum()).collect();
    assert!(seconds.iter().all(|n| *n <= 20), "{:?}", seconds.iter().max());
    assert!(minutes.iter().all(|n| (200..360).contains(n)), "{minutes:?}");
}
