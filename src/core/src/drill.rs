//! Restore drills: whose backup is proven next, and when. So many a day, spread evenly, first the tenant whose last proof is
//! the longest ago: every tenant is proven within tenants / perDay days, at a fixed cost.

use super::names::stable_hash;
use chrono::{DateTime, TimeDelta, Utc};

/// Seconds of a day.
const DAY: i64 = 86_400;
/// After so many interrupted drills in a row a tenant waits a day, and a drill that was asked for is given up.
pub const INTERRUPTIONS: usize = 3;
/// Pause after an interrupted drill; each further one in a row doubles it.
const PAUSE: TimeDelta = TimeDelta::minutes(2);
/// Longest pause after an interrupted drill.
const LONGEST_PAUSE: TimeDelta = TimeDelta::hours(1);

/// A tenant whose newest backup could be proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DrillCandidate {
    /// Name of the BackupSchedule.
    pub schedule: String,
    /// UID of the BackupSchedule.
    pub uid: String,
    /// Id of the newest backup.
    pub backup: String,
    /// Since when there is something to prove: the BackupSchedule's creation.
    pub since: Option<DateTime<Utc>>,
    /// When one of its backups was last proven.
    pub proven: Option<DateTime<Utc>>,
    /// When the last drill began, whatever its result.
    pub tried: Option<DateTime<Utc>>,
    /// How many of its last drills in a row were interrupted: nothing was found out about the backup.
    pub interrupted: usize,
    /// Token of `spec.trigger.drill` that asks for a drill now.
    pub asked: Option<String>,
}

impl DrillCandidate {
    /// When its last drill began that counts: an interrupted one does not, unless there were too many.
    fn last_counted(&self) -> Option<DateTime<Utc>> {
        self.tried.filter(|_| !(1..INTERRUPTIONS).contains(&self.interrupted))
    }
}

/// The drills of a server so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DrillHistory {
    /// When the last drill began that was not interrupted.
    pub last: Option<DateTime<Utc>>,
    /// When the last drill began.
    pub tried: Option<DateTime<Utc>>,
    /// How many of the last in a row were interrupted.
    pub interrupted: usize,
}

impl DrillHistory {
    /// Until when nothing is tried after an interruption: what interrupted one drill would interrupt the next.
    fn pause_until(&self) -> Option<DateTime<Utc>> {
        let doublings = u32::try_from(self.interrupted.checked_sub(1)?).unwrap_or(0).min(10);
        Some(self.tried? + (PAUSE * (1 << doublings)).min(LONGEST_PAUSE))
    }
}

/// The next drill of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NextDrill {
    /// None before this time; `None` where drills are off.
    Later(Option<DateTime<Utc>>),
    /// This one, now.
    Now(DrillCandidate),
}

/// The next drill; the caller runs at most one of a server at a time. A drill that is asked for comes first, also where
/// `per_day` is 0.
pub fn next(per_day: i32, past: DrillHistory, candidates: &[DrillCandidate], now: DateTime<Utc>) -> NextDrill {
    // A clock that was set back must not stop the drills.
    let paused = past.pause_until().filter(|until| now < *until && past.tried.is_some_and(|tried| tried <= now));
    // Who was tried the longest ago goes first, so that one that is interrupted again and again holds up no other.
    let asked = candidates.iter().filter(|c| c.asked.is_some()).min_by_key(|c| (c.tried, &c.schedule));
    if let Some(asked) = asked {
        return paused.map_or_else(|| NextDrill::Now(asked.clone()), |until| NextDrill::Later(Some(until)));
    }
    if per_day <= 0 {
        return NextDrill::Later(None);
    }
    let pause = TimeDelta::seconds(DAY / i64::from(per_day));
    let due = past.last.filter(|last| *last <= now).map_or(now, |last| last + pause);
    let due = paused.map_or(due, |until| due.max(until));
    if now < due {
        return NextDrill::Later(Some(due));
    }
    // A tenant has at most one drill a day, and a failed one waits for all others.
    let fresh = |c: &&DrillCandidate| c.last_counted().is_none_or(|turn| now - turn >= TimeDelta::seconds(DAY));
    // Tenants that were never proven are all alike. The day decides among them, so that not always the same come last.
    let salt = now.date_naive().to_string();
    let order = |c: &&DrillCandidate| (c.proven.max(c.last_counted()), stable_hash(&[&salt, &c.uid], 16));
    match candidates.iter().filter(fresh).min_by_key(order) {
        Some(candidate) => NextDrill::Now(candidate.clone()),
        None => NextDrill::Later(Some(now + pause.min(TimeDelta::hours(1)))),
    }
}

/// The tenant that has gone unproven for the longest, and since when: its last proof, or since there are drills at all.
pub fn oldest(
    candidates: &[DrillCandidate],
    drilling_since: DateTime<Utc>,
) -> Option<(&DrillCandidate, DateTime<Utc>)> {
    let since =
        // The time before there were drills is nobody's omission.
        |c: &DrillCandidate| c.proven.unwrap_or_else(|| c.since.map_or(drilling_since, |at| at.max(drilling_since)));
    candidates.iter().map(|c| (c, since(c))).min_by_key(|(_, since)| *since)
}

/// How old the oldest proof may be before somebody should check: twice the days in which every tenant is proven once.
pub fn longest_without_proof(per_day: i32, tenants: usize) -> TimeDelta {
    let tenants = i64::try_from(tenants).unwrap_or(i64::MAX);
    let days = tenants.saturating_mul(DAY) / i64::from(per_day.max(1));
    // A tenant is not proven twice a day, however few there are.
    TimeDelta::seconds(days.clamp(DAY, 3650 * DAY) * 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> DateTime<Utc> {
        "2026-11-22T12:00:00Z".parse().unwrap()
    }

    fn tenant(name: &str, proven_hours_ago: Option<i64>) -> DrillCandidate {
        let proven = proven_hours_ago.map(|hours| now() - TimeDelta::hours(hours));
        DrillCandidate {
            schedule: name.into(),
            uid: name.into(),
            backup: "c".into(),
            since: None,
            proven,
            tried: None,
            interrupted: 0,
            asked: None,
        }
    }

    fn past(last: Option<DateTime<Utc>>) -> DrillHistory {
        DrillHistory { last, tried: last, interrupted: 0 }
    }

    fn whose(due: NextDrill) -> Option<String> {
        match due {
            NextDrill::Now(candidate) => Some(candidate.schedule),
            NextDrill::Later(_) => None,
        }
    }

    #[test]
    fn the_longest_unproven_comes_first_and_never_proven_before_all() {
        let all = [tenant("a", Some(50)), tenant("b", Some(90)), tenant("c", Some(30))];
        assert_eq!(whose(next(4, past(None), &all, now())).as_deref(), Some("b"));
        let all = [tenant("a", Some(50)), tenant("new", None)];
        assert_eq!(whose(next(4, past(None), &all, now())).as_deref(), Some("new"));
        assert_eq!(next(4, past(None), &[], now()), NextDrill::Later(Some(now() + TimeDelta::hours(1))));
    }

    #[test]
    fn so_many_a_day_and_none_without_being_asked() {
        let all = [tenant("a", None)];
        assert_eq!(next(0, past(None), &all, now()), NextDrill::Later(None));
        let ago = |hours| Some(now() - TimeDelta::hours(hours));
        assert_eq!(next(4, past(ago(5)), &all, now()), NextDrill::Later(Some(now() + TimeDelta::hours(1))));
        assert_eq!(whose(next(4, past(ago(6)), &all, now())).as_deref(), Some("a"));
        assert!(whose(next(4, past(Some(now() + TimeDelta::days(9))), &all, now())).is_some(), "a clock set back");
    }

    #[test]
    fn a_failed_one_waits_a_day_and_lets_the_others_have_their_turn() {
        let failed = DrillCandidate { tried: Some(now() - TimeDelta::hours(2)), ..tenant("bad", None) };
        let all = [failed.clone(), tenant("good", Some(40))];
        assert_eq!(whose(next(24, past(None), &all, now())).as_deref(), Some("good"));
        assert_eq!(whose(next(24, past(None), &[failed], now())), None);
    }

    #[test]
    fn who_asks_comes_first_whatever_the_day_allows() {
        let asks = DrillCandidate { asked: Some("t-1".into()), tried: Some(now()), ..tenant("asks", Some(1)) };
        let all = [tenant("never", None), asks];
        let whose = |per_day, last| whose(next(per_day, past(last), &all, now()));
        assert_eq!(whose(0, None).as_deref(), Some("asks"));
        assert_eq!(whose(4, Some(now())).as_deref(), Some("asks"));
    }

    #[test]
    fn every_tenant_is_proven_within_tenants_through_per_day_days() {
        // Sixty tenants, two a day: thirty days, four times as long as a backup lives.
        for (tenants, per_day, days) in [(30, 10, 3), (60, 2, 30)] {
            let mut tenants: Vec<DrillCandidate> = (0..tenants).map(|n| tenant(&format!("t{n}"), None)).collect();
            let (mut clock, mut last, begin) = (now(), None, now());
            let mut worst = TimeDelta::zero();
            while clock < begin + TimeDelta::days(3 * days) {
                if let NextDrill::Now(candidate) = next(per_day, past(last), &tenants, clock) {
                    let one = tenants.iter_mut().find(|t| t.uid == candidate.uid).unwrap();
                    worst = worst.max(clock - one.proven.unwrap_or(begin));
                    (one.proven, one.tried, last) = (Some(clock), Some(clock), Some(clock));
                }
                clock += TimeDelta::minutes(10);
            }
            let slack = TimeDelta::days(1);
            assert!(tenants.iter().all(|t| t.proven.is_some_and(|p| clock - p <= TimeDelta::days(days) + slack)));
            assert!(worst <= TimeDelta::days(days) + slack, "{worst}");
        }
    }

    #[test]
    fn an_interrupted_drill_is_tried_again_soon_and_not_for_ever() {
        let minutes = |n| now() - TimeDelta::minutes(n);
        let cut =
            |interrupted, ago| DrillCandidate { tried: Some(minutes(ago)), interrupted, ..tenant("cut", Some(90)) };
        let others = [tenant("other", Some(40))];
        let decided = |per_day, interrupted, ago| {
            let all = [&[cut(interrupted, ago)], others.as_slice()].concat();
            let past = DrillHistory { last: Some(minutes(24 * 60)), tried: Some(minutes(ago)), interrupted };
            next(per_day, past, &all, now())
        };
        assert_eq!(decided(2, 1, 1), NextDrill::Later(Some(now() + TimeDelta::minutes(1))), "not at once");
        assert_eq!(whose(decided(2, 1, 2)).as_deref(), Some("cut"), "soon, and before all others");
        assert_eq!(decided(2, 2, 2), NextDrill::Later(Some(now() + TimeDelta::minutes(2))), "later and later");
        assert_eq!(whose(decided(2, INTERRUPTIONS, 8)).as_deref(), Some("other"), "its day is over");
        // Whatever interrupts every drill does not turn the days' few into one after the other.
        assert_eq!(decided(1000, 9, 59), NextDrill::Later(Some(now() + TimeDelta::minutes(1))));
        let asks = DrillCandidate { asked: Some("t".into()), ..cut(1, 1) };
        let past = DrillHistory { last: None, tried: Some(minutes(1)), interrupted: 1 };
        assert_eq!(next(0, past, &[asks], now()), NextDrill::Later(Some(now() + TimeDelta::minutes(1))));
    }

    #[test]
    fn the_oldest_proof_counts_from_when_there_were_drills_and_something_to_prove() {
        let ago = |hours| now() - TimeDelta::hours(hours);
        let new = DrillCandidate { since: Some(ago(5)), ..tenant("new", None) };
        let old = DrillCandidate { since: Some(ago(9000)), ..tenant("old", None) };
        let all = [tenant("proven", Some(30)), new.clone(), old];
        let whose = |all: &[DrillCandidate], since| oldest(all, since).map(|(c, at)| (c.schedule.clone(), at));
        assert_eq!(whose(&all, ago(20)), Some(("proven".into(), ago(30))));
        assert_eq!(whose(&all, ago(40)), Some(("old".into(), ago(40))), "not since its creation");
        assert_eq!(whose(&[new], ago(40)), Some(("new".into(), ago(5))));
        assert_eq!(oldest(&[], ago(40)), None);
        let days = |per_day, tenants| longest_without_proof(per_day, tenants).num_days();
        assert_eq!([days(2, 60), days(10, 30), days(1000, 3)], [60, 6, 2]);
    }
}
