//! Restore drills: whose copy is proven next, and when. So many a day, spread evenly, the tenant whose last proof is the
//! longest ago first: every tenant is proven within tenants / perDay days, at a fixed cost. Pure.

use super::names::stable_hash;
use chrono::{DateTime, TimeDelta, Utc};

/// Seconds of a day.
const DAY: i64 = 86_400;

/// A tenant whose newest copy could be proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The BackupSchedule's name.
    pub schedule: String,
    /// Its UID.
    pub uid: String,
    /// The newest copy.
    pub copy: String,
    /// When one of its copies was last proven.
    pub proven: Option<DateTime<Utc>>,
    /// When one was last tried, with whatever result.
    pub tried: Option<DateTime<Utc>>,
    /// Somebody asks for one now, by this token.
    pub asked: Option<String>,
}

/// What is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Due {
    /// Nothing before this time; `None` where there are no drills.
    Later(Option<DateTime<Utc>>),
    /// This one, now.
    Now(Candidate),
}

/// Decides. `last` is when the last drill of the server began; at most one runs at a time. One that somebody asks for comes
/// first, also where there are none by themselves.
pub fn next(per_day: i32, last: Option<DateTime<Utc>>, candidates: &[Candidate], now: DateTime<Utc>) -> Due {
    if let Some(asked) = candidates.iter().filter(|c| c.asked.is_some()).min_by_key(|c| (c.tried, &c.schedule)) {
        return Due::Now(asked.clone());
    }
    if per_day <= 0 {
        return Due::Later(None);
    }
    let pause = TimeDelta::seconds(DAY / i64::from(per_day));
    // A clock that was set back must not stop the drills.
    let due = last.filter(|last| *last <= now).map_or(now, |last| last + pause);
    if now < due {
        return Due::Later(Some(due));
    }
    // One that failed an hour ago is not tried again before all others had their turn, nor a second time a day.
    let fresh = |c: &&Candidate| c.tried.is_none_or(|tried| now - tried >= TimeDelta::seconds(DAY));
    let salt = now.date_naive().to_string();
    let order = |c: &&Candidate| (c.proven.max(c.tried), stable_hash(&[&salt, &c.uid], 16));
    match candidates.iter().filter(fresh).min_by_key(order) {
        Some(candidate) => Due::Now(candidate.clone()),
        None => Due::Later(Some(now + pause.min(TimeDelta::hours(1)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> DateTime<Utc> {
        "2026-11-22T12:00:00Z".parse().unwrap()
    }

    fn tenant(name: &str, proven_hours_ago: Option<i64>) -> Candidate {
        let proven = proven_hours_ago.map(|hours| now() - TimeDelta::hours(hours));
        Candidate { schedule: name.into(), uid: name.into(), copy: "c".into(), proven, tried: None, asked: None }
    }

    fn whose(due: Due) -> Option<String> {
        match due {
            Due::Now(candidate) => Some(candidate.schedule),
            Due::Later(_) => None,
        }
    }

    #[test]
    fn the_longest_unproven_comes_first_and_never_proven_before_all() {
        let all = [tenant("a", Some(50)), tenant("b", Some(90)), tenant("c", Some(30))];
        assert_eq!(whose(next(4, None, &all, now())).as_deref(), Some("b"));
        let all = [tenant("a", Some(50)), tenant("new", None)];
        assert_eq!(whose(next(4, None, &all, now())).as_deref(), Some("new"));
        assert_eq!(next(4, None, &[], now()), Due::Later(Some(now() + TimeDelta::hours(1))));
    }

    #[test]
    fn so_many_a_day_and_none_without_being_asked() {
        let all = [tenant("a", None)];
        assert_eq!(next(0, None, &all, now()), Due::Later(None));
        let ago = |hours| Some(now() - TimeDelta::hours(hours));
        assert_eq!(next(4, ago(5), &all, now()), Due::Later(Some(now() + TimeDelta::hours(1))));
        assert_eq!(whose(next(4, ago(6), &all, now())).as_deref(), Some("a"));
        assert!(whose(next(4, Some(now() + TimeDelta::days(9)), &all, now())).is_some(), "a clock set back");
    }

    #[test]
    fn a_failed_one_waits_a_day_and_lets_the_others_have_their_turn() {
        let failed = Candidate { tried: Some(now() - TimeDelta::hours(2)), ..tenant("bad", None) };
        let all = [failed.clone(), tenant("good", Some(40))];
        assert_eq!(whose(next(24, None, &all, now())).as_deref(), Some("good"));
        assert_eq!(whose(next(24, None, &[failed], now())), None);
    }

    #[test]
    fn who_asks_comes_first_whatever_the_day_allows() {
        let asks = Candidate { asked: Some("t-1".into()), tried: Some(now()), ..tenant("asks", Some(1)) };
        let all = [tenant("never", None), asks];
        let whose = |per_day, last| whose(next(per_day, last, &all, now()));
        assert_eq!(whose(0, None).as_deref(), Some("asks"));
        assert_eq!(whose(4, Some(now())).as_deref(), Some("asks"));
    }

    #[test]
    fn every_tenant_is_proven_within_tenants_through_per_day_days() {
        let mut tenants: Vec<Candidate> = (0..30).map(|n| tenant(&format!("t{n}"), None)).collect();
        let (mut clock, mut last) = (now(), None);
        while clock < now() + TimeDelta::days(3) {
            if let Due::Now(candidate) = next(10, last, &tenants, clock) {
                let one = tenants.iter_mut().find(|t| t.uid == candidate.uid).unwrap();
                (one.proven, one.tried, last) = (Some(clock), Some(clock), Some(clock));
            }
            clock += TimeDelta::minutes(1);
        }
        assert!(tenants.iter().all(|t| t.proven.is_some()));
    }
}
