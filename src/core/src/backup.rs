//! What to do about one BackupSchedule now: dump, wait, or say why not. Deciding twice is safe: the Job's name is a lock.

use super::schedule::Schedule;
use chrono::{DateTime, TimeDelta, Utc};

/// First pause before a failed day is tried again; doubles with each attempt.
pub const RETRY_BASE: TimeDelta = TimeDelta::minutes(10);
/// Longest pause between two attempts at one day.
const RETRY_CAP: TimeDelta = TimeDelta::hours(3);
/// How late a backup may be before it counts as missing, beyond the slot interval.
pub const FRESH_GRACE: TimeDelta = TimeDelta::hours(2);

/// What a run answers. Its text is part of the Job's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunKey {
    /// The slot of a local day, at its n-th attempt (from 1).
    Slot {
        /// When the day's dump is due.
        slot: DateTime<Utc>,
        /// Number of the attempt, from 1.
        attempt: i32,
    },
    /// A `trigger.manual` token.
    Manual(String),
}

impl std::fmt::Display for RunKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            // Jobs' annotations have this text, and are read back after a restart and by a later version.
            Self::Slot { slot, attempt } => write!(f, "{}-a{attempt}", slot.format("%Y%m%dT%H%M%SZ")),
            Self::Manual(token) => write!(f, "manual-{token}"),
        }
    }
}

impl std::str::FromStr for RunKey {
    type Err = NoRunKey;

    fn from_str(text: &str) -> Result<Self, NoRunKey> {
        let refuse = || NoRunKey(text.to_owned());
        if let Some(token) = text.strip_prefix("manual-") {
            return Ok(Self::Manual(token.to_owned()));
        }
        let (slot, attempt) = text.split_once("-a").ok_or_else(refuse)?;
        let slot = chrono::NaiveDateTime::parse_from_str(slot, "%Y%m%dT%H%M%SZ").map_err(|_| refuse())?.and_utc();
        Ok(Self::Slot { slot, attempt: attempt.parse().map_err(|_| refuse())? })
    }
}

/// A text that names no run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither a slot's attempt such as 20261122T020000Z-a1 nor manual-TOKEN")]
pub struct NoRunKey(String);

/// The last slot that a Job was created for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastRun {
    /// When the day's dump was due.
    pub slot: DateTime<Utc>,
    /// Attempts so far, at least 1.
    pub attempt: i32,
    /// How the last attempt ended.
    pub ended: Ended,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// A backup exists.
    Succeeded,
    /// No backup; another attempt may succeed.
    Failed {
        /// When it failed: the pause before the next attempt counts from it.
        at: DateTime<Utc>,
    },
    /// No backup; another attempt before the next slot is pointless.
    Refused,
}

/// Everything that the decision rests on.
#[derive(Debug, Clone)]
pub struct BackupInputs<'a> {
    /// When to run.
    pub schedule: &'a Schedule,
    /// When the BackupSchedule was created: earlier slots are not missed, they never were.
    pub created: DateTime<Utc>,
    /// `spec.suspend`.
    pub suspended: bool,
    /// `spec.startingDeadlineSeconds`.
    pub starting_deadline: Option<TimeDelta>,
    /// `spec.trigger.manual`.
    pub manual: Option<&'a str>,
    /// The manual token that was answered last.
    pub answered: Option<&'a str>,
    /// A Job with a dump of this schedule that has not ended.
    pub running: bool,
    /// A RestoreRequest's claim on this database that has not ended.
    pub restoring: bool,
    /// The last slot that ran.
    pub last: Option<&'a LastRun>,
    /// First pause before a failed day is tried again.
    pub retry_base: TimeDelta,
}

/// Why nothing is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr)]
pub enum WaitReason {
    /// Nothing is due.
    NotDue,
    /// `spec.suspend` is true.
    Suspended,
    /// A Job runs already.
    Running,
    /// A restore has claimed the database.
    RestoreInProgress,
    /// It is in the queue: the limit of the server, of the storage, of the operator or of new Jobs is reached.
    BudgetReached,
    /// Its Job is suspended, by Kueue or a person.
    JobSuspended,
    /// The day's last attempt failed; the next one is later.
    Retrying,
    /// The slot is older than `startingDeadlineSeconds`.
    DeadlineMissed,
}

/// The decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BackupPlan {
    /// This run is due: it gets a Job as soon as there is room for one.
    Run(RunKey),
    /// Start nothing.
    Wait(WaitReason),
}

/// The decision and when to ask again (besides changes of the objects).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// What to do now.
    pub plan: BackupPlan,
    /// The next slot, for status; `None` while suspended.
    pub next_run: Option<DateTime<Utc>>,
    /// When to decide again.
    pub wake: Option<DateTime<Utc>>,
}

/// What to do now. Checked in this order: a running Job, suspension, a restore's claim, the manual token, the latest due
/// slot, its retries.
pub fn decide(facts: &BackupInputs<'_>, now: DateTime<Utc>) -> Decision {
    let next = facts.schedule.next_after(now);
    let wait = |why, wake: Option<DateTime<Utc>>| Decision { plan: BackupPlan::Wait(why), next_run: next, wake };
    if facts.running {
        return wait(WaitReason::Running, next);
    }
    let manual = facts.manual.filter(|token| Some(*token) != facts.answered);
    // A dump by hand is made while suspended, too: somebody asks for it.
    if facts.suspended && manual.is_none() {
        return Decision { next_run: None, ..wait(WaitReason::Suspended, None) };
    }
    if facts.restoring {
        return wait(WaitReason::RestoreInProgress, Some(now + TimeDelta::minutes(1)));
    }
    let run = match manual {
        Some(token) => RunKey::Manual(token.to_owned()),
        None => match due(facts, now) {
            Ok(run) => run,
            Err((why, at)) => return wait(why, [next, at].into_iter().flatten().min()),
        },
    };
    Decision { plan: BackupPlan::Run(run), next_run: next, wake: next }
}

/// The slot that should run now, or why none and when to decide again.
fn due(facts: &BackupInputs<'_>, now: DateTime<Utc>) -> Result<RunKey, (WaitReason, Option<DateTime<Utc>>)> {
    let slot =
        facts.schedule.latest_due(now).filter(|slot| *slot >= facts.created).ok_or((WaitReason::NotDue, None))?;
    if let Some(last) = facts.last
        && facts.schedule.day(last.slot) >= facts.schedule.day(slot)
    {
        // The day has run (also when an edited schedule moved its slot): only a failed one runs again.
        let Ended::Failed { at } = last.ended else {
            return Err((WaitReason::NotDue, None));
        };
        let retry = at + backoff(facts.retry_base, last.attempt);
        if now < retry {
            return Err((WaitReason::Retrying, Some(retry)));
        }
        // The slot of the first attempt, also if an edit has moved it since: attempts at one day are counted as one
        // run.
        return Ok(RunKey::Slot { slot: last.slot, attempt: last.attempt + 1 });
    }
    // Asked of a day's first attempt only: a retry is late by its nature.
    if facts.starting_deadline.is_some_and(|deadline| now - slot > deadline) {
        return Err((WaitReason::DeadlineMissed, None));
    }
    Ok(RunKey::Slot { slot, attempt: 1 })
}

/// Since when a run is due: its slot, the end of the pause before its attempt, or now if a person asks.
pub fn due_since(facts: &BackupInputs<'_>, run: &RunKey, now: DateTime<Utc>) -> DateTime<Utc> {
    match (run, facts.last.map(|last| (last.ended, last.attempt))) {
        (RunKey::Slot { attempt: 2.., .. }, Some((Ended::Failed { at }, attempt))) => {
            at + backoff(facts.retry_base, attempt)
        }
        (RunKey::Slot { slot, .. }, _) => *slot,
        (RunKey::Manual(_), _) => now,
    }
}

/// The pause after the n-th failed attempt.
fn backoff(base: TimeDelta, attempt: i32) -> TimeDelta {
    // Sixteen doublings are beyond the cap already; a shift by 31 would be negative.
    let doublings = u32::try_from(attempt.saturating_sub(1)).unwrap_or(0).min(16);
    base.checked_mul(1 << doublings).map_or(RETRY_CAP, |pause| pause.min(RETRY_CAP))
}

/// Whether the tenant has a backup that is recent enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr)]
pub enum Freshness {
    /// The newest backup is younger than a slot interval and two hours.
    BackupIsFresh,
    /// The newest backup is too old.
    BackupIsStale,
    /// There is none yet and the first slot is not yet missed.
    AwaitingFirstBackup,
    /// There is none although there should be.
    NoBackup,
    /// Suspended: backups still expire.
    Suspended,
}

/// Whether the newest backup is recent enough. The instant is when that may change by itself.
pub fn freshness(
    facts: &BackupInputs<'_>,
    newest: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> (Freshness, Option<DateTime<Utc>>) {
    if facts.suspended {
        return (Freshness::Suspended, None);
    }
    let allowed = facts.schedule.interval(now) + FRESH_GRACE;
    let (since, good, bad) = match newest {
        Some(at) => (at, Freshness::BackupIsFresh, Freshness::BackupIsStale),
        None => (facts.created, Freshness::AwaitingFirstBackup, Freshness::NoBackup),
    };
    if now - since <= allowed { (good, Some(since + allowed)) } else { (bad, None) }
}

#[cfg(test)]
mod days;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::Window;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn schedule() -> Schedule {
        Schedule::parse("0 2 * * *", "Etc/UTC", Window::default(), &["a"]).unwrap()
    }

    fn facts(schedule: &Schedule) -> BackupInputs<'_> {
        BackupInputs {
            schedule,
            created: at("2026-11-01T00:00:00Z"),
            suspended: false,
            starting_deadline: None,
            manual: None,
            answered: None,
            running: false,
            restoring: false,
            last: None,
            retry_base: RETRY_BASE,
        }
    }

    fn slot(text: &str, attempt: i32) -> BackupPlan {
        BackupPlan::Run(RunKey::Slot { slot: at(text), attempt })
    }

    #[test]
    fn a_due_slot_runs_and_the_next_is_tomorrow() {
        let s = schedule();
        let decision = decide(&facts(&s), at("2026-11-22T02:00:00Z"));
        assert_eq!(decision.plan, slot("2026-11-22T02:00:00Z", 1));
        assert_eq!(decision.next_run, Some(at("2026-11-23T02:00:00Z")));
    }

    #[test]
    fn a_run_key_is_read_back_from_a_jobs_annotation() {
        for key in [RunKey::Slot { slot: at("2026-11-22T02:00:05Z"), attempt: 12 }, RunKey::Manual("a-a1".into())] {
            assert_eq!(key.to_string().parse(), Ok(key));
        }
        for bad in ["", "20261122T020000Z", "20261122T020000Z-ax", "tomorrow-a1"] {
            assert_eq!(bad.parse::<RunKey>(), Err(NoRunKey(bad.into())));
        }
    }

    #[test]
    fn i8_after_days_of_outage_one_run_catches_up() {
        let s = schedule();
        let last = LastRun { slot: at("2026-11-15T02:00:00Z"), attempt: 1, ended: Ended::Succeeded };
        let now = at("2026-11-22T20:00:00Z");
        assert_eq!(decide(&BackupInputs { last: Some(&last), ..facts(&s) }, now).plan, slot("2026-11-22T02:00:00Z", 1));
        let done = LastRun { slot: at("2026-11-22T02:00:00Z"), ..last };
        assert_eq!(
            decide(&BackupInputs { last: Some(&done), ..facts(&s) }, now).plan,
            BackupPlan::Wait(WaitReason::NotDue)
        );
    }

    #[test]
    fn i8_a_moved_slot_does_not_run_the_same_local_day_twice() {
        let s = Schedule::parse("0 9 * * *", "Etc/UTC", Window::default(), &["a"]).unwrap();
        let last = LastRun { slot: at("2026-11-22T02:00:00Z"), attempt: 1, ended: Ended::Succeeded };
        let decision = decide(&BackupInputs { last: Some(&last), ..facts(&s) }, at("2026-11-22T10:00:00Z"));
        assert_eq!(decision.plan, BackupPlan::Wait(WaitReason::NotDue));
    }

    #[test]
    fn slots_before_the_schedule_existed_are_not_missed() {
        let s = schedule();
        let f = BackupInputs { created: at("2026-11-22T10:00:00Z"), ..facts(&s) };
        assert_eq!(decide(&f, at("2026-11-22T10:00:05Z")).plan, BackupPlan::Wait(WaitReason::NotDue));
    }

    #[test]
    fn a_failed_day_is_tried_again_later_and_a_refused_one_is_not() {
        let s = schedule();
        let failed = Ended::Failed { at: at("2026-11-22T02:05:00Z") };
        let last = LastRun { slot: at("2026-11-22T02:00:00Z"), attempt: 2, ended: failed };
        let f = BackupInputs { last: Some(&last), ..facts(&s) };
        let early = decide(&f, at("2026-11-22T02:10:00Z"));
        assert_eq!(
            (early.plan, early.wake),
            (BackupPlan::Wait(WaitReason::Retrying), Some(at("2026-11-22T02:25:00Z")))
        );
        assert_eq!(decide(&f, at("2026-11-22T02:25:00Z")).plan, slot("2026-11-22T02:00:00Z", 3));
        let run = RunKey::Slot { slot: last.slot, attempt: 3 };
        assert_eq!(due_since(&f, &run, at("2026-11-22T20:00:00Z")), at("2026-11-22T02:25:00Z"));
        let refused = LastRun { ended: Ended::Refused, ..last };
        let f = BackupInputs { last: Some(&refused), ..facts(&s) };
        assert_eq!(decide(&f, at("2026-11-22T20:00:00Z")).plan, BackupPlan::Wait(WaitReason::NotDue));
    }

    #[test]
    fn each_obstacle_has_its_own_name() {
        let s = schedule();
        let now = at("2026-11-22T02:00:30Z");
        let base = facts(&s);
        let cases = [
            (BackupInputs { running: true, ..base.clone() }, WaitReason::Running),
            (BackupInputs { suspended: true, ..base.clone() }, WaitReason::Suspended),
            (BackupInputs { restoring: true, ..base.clone() }, WaitReason::RestoreInProgress),
            (BackupInputs { starting_deadline: Some(TimeDelta::seconds(10)), ..base }, WaitReason::DeadlineMissed),
        ];
        for (facts, why) in cases {
            assert_eq!(decide(&facts, now).plan, BackupPlan::Wait(why));
        }
    }

    #[test]
    fn a_manual_token_runs_once_also_while_suspended() {
        let s = schedule();
        let f = BackupInputs { manual: Some("now"), suspended: true, ..facts(&s) };
        let now = at("2026-11-22T15:00:00Z");
        assert_eq!(decide(&f, now).plan, BackupPlan::Run(RunKey::Manual("now".into())));
        let answered = BackupInputs { answered: Some("now"), ..f };
        assert_eq!(decide(&answered, now).plan, BackupPlan::Wait(WaitReason::Suspended));
    }

    #[test]
    fn freshness_has_a_slot_interval_and_two_hours() {
        let s = schedule();
        let f = facts(&s);
        let backup = Some(at("2026-11-21T02:00:00Z"));
        assert_eq!(freshness(&f, backup, at("2026-11-22T04:00:00Z")).0, Freshness::BackupIsFresh);
        assert_eq!(freshness(&f, backup, at("2026-11-22T04:00:01Z")).0, Freshness::BackupIsStale);
        assert_eq!(freshness(&f, None, at("2026-11-01T10:00:00Z")).0, Freshness::AwaitingFirstBackup);
        assert_eq!(freshness(&f, None, at("2026-11-03T10:00:00Z")).0, Freshness::NoBackup);
        assert_eq!(
            freshness(&BackupInputs { suspended: true, ..f }, backup, at("2026-11-22T03:00:00Z")).0,
            Freshness::Suspended
        );
    }
}
