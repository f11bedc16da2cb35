//! Slots in zones with clock changes, and of unusual crons.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn cron(text: &str, zone: &str) -> Schedule {
    Schedule::parse(text, zone, Window::default(), &["n", "s"]).unwrap()
}

fn day(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

#[test]
fn a_slot_that_clocks_jump_over_fires_right_after_the_gap() {
    let berlin = cron("30 2 * * *", "Europe/Berlin");
    assert_eq!(berlin.slot(day("2026-03-29")), Some(at("2026-03-29T01:00:00Z")), "03:00 summer time");
    assert_eq!(berlin.slot(day("2026-03-30")), Some(at("2026-03-30T00:30:00Z")));
}

#[test]
fn i8_a_local_time_that_comes_twice_fires_once() {
    let berlin = cron("30 2 * * *", "Europe/Berlin");
    assert_eq!(berlin.slot(day("2026-10-25")), Some(at("2026-10-25T00:30:00Z")));
    assert_eq!(berlin.next_after(at("2026-10-25T00:30:00Z")), Some(at("2026-10-26T01:30:00Z")));
}

#[test]
fn a_day_that_a_zone_skipped_has_no_slot() {
    let apia = cron("0 12 * * *", "Pacific/Apia");
    assert_eq!(apia.slot(day("2011-12-30")), None);
    assert!(apia.slot(day("2011-12-31")).is_some());
    let late = cron("59 23 * * *", "Pacific/Apia");
    assert_eq!(late.slot(day("2011-12-30")), None, "the next day has a slot of its own");
    assert_eq!(late.slot(day("2011-12-31")), Some(at("2011-12-31T09:59:00Z")));
}

#[test]
fn i8_a_gap_that_ends_at_midnight_moves_no_slot_into_the_next_day() {
    // East Greenland's clocks go from 23:00 on Saturday to 00:00 on Sunday.
    let late = cron("30 23 * * *", "America/Scoresbysund");
    assert_eq!(late.slot(day("2026-03-28")), Some(at("2026-03-29T00:59:00Z")), "22:59, the day's last minute");
    assert_eq!(late.slot(day("2026-03-29")), Some(at("2026-03-30T00:30:00Z")));
}

#[test]
fn weekly_and_leap_day_crons_find_their_days() {
    assert_eq!(cron("5 4 * * 1", "Etc/UTC").next_after(at("2026-11-22T00:00:00Z")), Some(at("2026-11-23T04:05:00Z")));
    assert_eq!(cron("0 0 29 2 *", "Etc/UTC").next_after(at("2026-11-22T00:00:00Z")), Some(at("2028-02-29T00:00:00Z")));
}

#[test]
fn a_schedule_that_cannot_be_followed_says_the_way_out() {
    let refused = |schedule: &str, zone: &str| Schedule::parse(schedule, zone, Window::default(), &["x"]).unwrap_err();
    assert_eq!(refused("@daily", "Mars/Olympus"), ScheduleError::UnknownTimeZone("Mars/Olympus".into()));
    for twice in ["* * * * *", "0 */6 * * *", "0,30 2 * * *", "0 2-3 * * *"] {
        assert_eq!(refused(twice, "Etc/UTC"), ScheduleError::FiresTwiceADay(twice.into()));
    }
    assert_eq!(refused("0 0 30 2 *", "Etc/UTC"), ScheduleError::NeverFires("0 0 30 2 *".into()));
    for unreadable in ["", "@reboot", "60 25 * * *", "0 0 0 * * *", "0 2 * *", "a b * * *"] {
        let error = refused(unreadable, "Etc/UTC");
        assert!(matches!(error, ScheduleError::UnreadableSchedule { .. }), "{unreadable:?}: {error}");
    }
}

#[test]
fn a_window_reads_hours_minutes_and_seconds() {
    for (text, seconds) in [("6h", Some(21_600)), ("1h30m", Some(5_400)), ("45s", Some(45)), ("24h", Some(86_400))] {
        assert_eq!(Window::parse(Some("22:00"), Some(text)).ok().map(|w| w.seconds), seconds);
    }
    for bad in ["", "0s", "25h", "6", "h", "-1h", "30m1h", "1d"] {
        assert!(Window::parse(None, Some(bad)).is_err(), "{bad:?}");
    }
    assert!(Window::parse(Some("24:00"), None).is_err());
}

#[test]
fn daily_slots_spread_evenly_to_the_second() {
    let window = Window::parse(Some("22:00"), Some("6h")).unwrap();
    let times: Vec<NaiveTime> =
        (0..20_000).map(|n| Schedule::parse("@daily", "Etc/UTC", window, &[&n.to_string()]).unwrap().time()).collect();
    let distinct: BTreeSet<_> = times.iter().collect();
    assert!(distinct.len() > 12_000, "{} distinct seconds of 21,600", distinct.len());
    let hours: Vec<usize> =
        [22, 23, 0, 1, 2, 3].iter().map(|h| times.iter().filter(|t| t.hour() == *h).count()).collect();
    assert_eq!(hours.iter().sum::<usize>(), times.len(), "nothing outside of the window: {hours:?}");
    assert!(hours.iter().all(|n| (3_000..3_700).contains(n)), "{hours:?}");
}

#[test]
fn a_week_back_is_the_last_day_that_can_be_asked_for() {
    let today = day("2026-11-22");
    for (date, possible) in [("2026-11-22", true), ("2026-11-15", true), ("2026-11-14", false), ("2026-11-23", false)] {
        assert_eq!(within_retention(day(date), today, 7), possible, "{date}");
    }
}

proptest! {
    #[test]
    fn i8_every_local_day_has_exactly_one_slot(
        offset in 0u64..4000, zone in prop::sample::select(vec!["Europe/Berlin", "America/New_York", "Australia/Lord_Howe",
            "Asia/Kolkata", "Africa/Casablanca", "America/Havana", "Asia/Ho_Chi_Minh", "America/Scoresbysund"]), who in "[a-z]{1,12}",
    ) {
        let schedule = Schedule::parse("@daily", zone, Window::default(), &[&who]).unwrap();
        let date = day("2020-01-01") + Days::new(offset);
        let (slot, next) = (schedule.slot(date).unwrap(), schedule.slot(date + Days::new(1)).unwrap());
        prop_assert!(slot < next);
        prop_assert_eq!(schedule.next_after(slot), Some(next));
        prop_assert_eq!(schedule.latest_due(next - TimeDelta::seconds(1)), Some(slot));
        prop_assert_eq!(schedule.latest_due(slot), Some(slot));
    }
}
