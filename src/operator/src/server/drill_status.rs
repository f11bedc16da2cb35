//! What ended drills say about backups, and the condition BackupsProven. Pure.

use crate::cache::schedule_index::DrillTenant;
use crate::runtime::instrumented::cut;
use chrono::{DateTime, Utc};
use sennight_api::conditions::ServerCondition;
use sennight_api::database_server::{DrillRun, DrillStatus};
use sennight_api::{Condition, ConditionStatus};
use sennight_core::drill::{DrillCandidate, DrillHistory, INTERRUPTIONS, longest_without_proof, oldest};
use sennight_core::restore::is_fault;
use sennight_core::result::Done;
use sennight_protocol::report::Outcome;

/// Ended drills that `status.drill.last` keeps.
const REMEMBERED: usize = 20;
/// Reason of a drill that cannot run because no scratch server is named.
pub const NO_PLACE: &str = "NoScratchServer";
/// Reason of the condition where drills are slower than planned.
pub const OVERDUE: &str = "ProofOverdue";

/// Result of a drill: whether the backup is proven (`None`: nothing was found out), and reason and message of a failure.
pub fn verdict(
    outcome: Option<Outcome>,
    backup: &str,
    silent: String,
) -> (Option<bool>, Option<String>, Option<String>) {
    match outcome {
        Some(Outcome::Succeeded(Done::Drilled(found))) if found.id.to_string() == backup => (Some(true), None, None),
        Some(Outcome::Succeeded(_)) => {
            (Some(false), Some("UnexpectedReport".to_owned()), Some("the Job reported something else".to_owned()))
        }
        Some(Outcome::Failed { reason, message, retryable }) => {
            let proven = (!retryable || is_fault(&reason)).then_some(false);
            (proven, Some(reason), Some(message))
        }
        Some(Outcome::Unknown { reason, message }) => (None, Some(reason), Some(message)),
        None => (None, Some("NoReport".to_owned()), Some(silent)),
    }
}

/// A tenant as input of the decision which drill is next.
pub fn candidate(tenant: DrillTenant, last: &[DrillRun]) -> DrillCandidate {
    let mine = || last.iter().filter(|run| run.schedule == tenant.schedule);
    let tried = mine().map(|run| run.started_at).max();
    let interrupted = mine().take_while(|run| run.proven.is_none()).count();
    // The schedule's status learns of an answer later than this list.
    let asked = tenant.requested.filter(|token| !is_answered(last, &tenant.schedule, token));
    DrillCandidate {
        asked,
        tried,
        interrupted,
        schedule: tenant.schedule,
        uid: tenant.uid,
        backup: tenant.backup,
        since: tenant.created,
        proven: tenant.proven,
    }
}

/// The past drills of a server as input of that decision.
pub fn past(last: &[DrillRun]) -> DrillHistory {
    let has_result = |run: &&DrillRun| run.proven.is_some();
    DrillHistory {
        last: last.iter().filter(has_result).map(|run| run.started_at).max(),
        tried: last.iter().map(|run| run.started_at).max(),
        interrupted: last.iter().take_while(|run| run.proven.is_none()).count(),
    }
}

/// Number of interrupted tries before this one: of the same token, or else of the same day.
pub fn tries(last: &[DrillRun], candidate: &DrillCandidate, now: DateTime<Utc>) -> usize {
    let same = |run: &&DrillRun| {
        let asked = run.trigger == candidate.asked && run.proven.is_none() && run.schedule == candidate.schedule;
        asked && (candidate.asked.is_some() || run.started_at.date_naive() == now.date_naive())
    };
    last.iter().filter(same).count()
}

fn is_answered(last: &[DrillRun], schedule: &str, token: &str) -> bool {
    let of = || last.iter().filter(|run| run.schedule == schedule && run.trigger.as_deref() == Some(token));
    of().any(|run| run.proven.is_some() || run.reason.as_deref() == Some(NO_PLACE)) || of().count() >= INTERRUPTIONS
}

/// The newest token by which a drill of this schedule was asked for and answered.
pub fn answered<'a>(last: &'a [DrillRun], schedule: &str) -> Option<&'a str> {
    let mine = last.iter().filter(|run| run.schedule == schedule);
    mine.filter_map(|run| run.trigger.as_deref()).find(|token| is_answered(last, schedule, token))
}

/// Adds a drill to the list. Beyond [`REMEMBERED`] it drops the oldest one that is outdated or no failure first, so that a
/// failure stays until a later drill has proven a backup of the tenant.
pub fn remember(last: &mut Vec<DrillRun>, ended: DrillRun) {
    last.insert(0, ended);
    while last.len() > REMEMBERED {
        let droppable = |at: &usize| {
            let run = &last[*at];
            let outdated = |later: &DrillRun| later.schedule == run.schedule && later.proven.is_some();
            run.proven != Some(false) || last[..*at].iter().any(outdated)
        };
        let at = (1..last.len()).rev().find(droppable).unwrap_or(last.len() - 1);
        last.remove(at);
    }
}

/// Tenants' newest drills with a result, where that is a failure.
pub fn failing(last: &[DrillRun]) -> Vec<&DrillRun> {
    let with_result: Vec<&DrillRun> = last.iter().filter(|run| run.proven.is_some()).collect();
    let newest = |at: &usize| !with_result[..*at].iter().any(|later| later.schedule == with_result[*at].schedule);
    (0..with_result.len()).filter(newest).map(|at| with_result[at]).filter(|run| run.proven == Some(false)).collect()
}

/// Writes down since when there are drills, and whose last proof is the oldest.
pub fn keep_count(drills: &mut DrillStatus, per_day: i32, tenants: &[DrillCandidate], now: DateTime<Utc>) {
    if per_day <= 0 {
        (drills.since, drills.per_day, drills.oldest_proof) = (None, None, None);
        return;
    }
    // Another pace is another promise.
    if drills.since.is_none() || drills.per_day != Some(per_day) {
        (drills.since, drills.per_day) = (Some(now), Some(per_day));
    }
    drills.oldest_proof = oldest(tenants, drills.since.unwrap_or(now)).map(|(_, since)| since);
}

/// The condition `BackupsProven`; `None` where there are no drills and never were. `no_scratch`: drills are wanted, and no
/// scratch server exists.
pub fn judge(
    drills: &DrillStatus,
    tenants: &[DrillCandidate],
    no_scratch: bool,
    now: DateTime<Utc>,
) -> Option<Condition> {
    let kind = ServerCondition::BackupsProven;
    if let Some(failed) = failed(&failing(&drills.last)) {
        return Some(Condition::new(kind, false, "DrillFailed", cut(&failed, 1000).to_owned()));
    }
    if no_scratch {
        let message = "the DatabaseServer that spec.drill.serverRef names, or its restoreCredentialsSecretRef, is missing: no backup is proven";
        return Some(Condition::new(kind, false, NO_PLACE, message));
    }
    if let Some(late) = overdue(drills, tenants, now) {
        return Some(Condition::new(kind, false, OVERDUE, cut(&late, 1000).to_owned()));
    }
    if drills.last.iter().any(|run| run.proven.is_some()) {
        let message = "the last drill of every tenant that had one proved its backup";
        return Some(Condition::new(kind, ConditionStatus::True, "DrillsPass", message));
    }
    let message = "no drill has found anything out yet";
    (drills.per_day.is_some() || !drills.last.is_empty())
        .then(|| Condition::new(kind, ConditionStatus::Unknown, "NoDrillYet", message))
}

fn failed(failing: &[&DrillRun]) -> Option<String> {
    let first = failing.first()?;
    let names: Vec<&str> = failing.iter().take(5).map(|run| run.schedule.as_str()).collect();
    let more = failing.len().saturating_sub(names.len());
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let why = first.message.as_deref().unwrap_or_default();
    Some(format!("the last drill failed of {}{more}; {}: {why}", names.join(", "), first.schedule))
}

fn overdue(drills: &DrillStatus, tenants: &[DrillCandidate], now: DateTime<Utc>) -> Option<String> {
    let (per_day, since) = drills.per_day.zip(drills.since)?;
    let (tenant, unproven) = oldest(tenants, since)?;
    let patience = longest_without_proof(per_day, tenants.len());
    (now - unproven > patience).then(|| {
        format!(
            "no backup of {} was proven since {}, with {} tenants and {per_day} drills a day it should be one in {} days: are drills \
             interrupted (status.drill.last), or too few?",
            tenant.schedule,
            unproven.format("%Y-%m-%d %H:%M UTC"),
            tenants.len(),
            patience.num_days() / 2
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;

    fn now() -> DateTime<Utc> {
        "2026-11-22T12:00:00Z".parse().unwrap()
    }

    fn run(schedule: &str, proven: Option<bool>) -> DrillRun {
        DrillRun {
            schedule: schedule.into(),
            backup: "c".into(),
            job: "j".into(),
            job_uid: None,
            trigger: None,
            started_at: now(),
            finished_at: Some(now()),
            proven,
            reason: (proven != Some(true)).then(|| "BackupDamaged".into()),
            message: (proven != Some(true)).then(|| "a frame".into()),
        }
    }

    fn asked(schedule: &str, token: &str, proven: Option<bool>) -> DrillRun {
        DrillRun { trigger: Some(token.into()), ..run(schedule, proven) }
    }

    fn tenant(name: &str) -> DrillTenant {
        let (backup, token) = ("c".into(), Some("t".into()));
        DrillTenant { schedule: name.into(), uid: name.into(), backup, created: None, proven: None, requested: token }
    }

    #[test]
    fn a_failure_is_remembered_until_a_later_drill_of_that_tenant_passes() {
        let mut last = Vec::new();
        remember(&mut last, run("bad", Some(false)));
        for n in 0..50 {
            remember(&mut last, run(&format!("good-{n}"), Some(true)));
            remember(&mut last, run("bad", None));
        }
        assert_eq!(last.len(), REMEMBERED);
        let whose = |last: &[DrillRun]| failing(last).iter().map(|r| r.schedule.clone()).collect::<Vec<_>>();
        assert_eq!(whose(&last), ["bad"], "an interruption says nothing");
        remember(&mut last, run("bad", Some(true)));
        assert!(failing(&last).is_empty() && last.len() == REMEMBERED);
    }

    #[test]
    fn what_interrupts_a_drill_says_nothing_about_the_backup() {
        let failed =
            |reason: &str, retryable| Some(Outcome::Failed { reason: reason.into(), message: "m".into(), retryable });
        for (outcome, proven) in [
            (failed("BackupDamaged", false), Some(false)),
            (failed("ToolFailed", true), Some(false)),
            (failed("Cancelled", true), None),
            (failed("Unreachable", true), None),
            (failed("ServerBusy", true), None),
            (None, None),
        ] {
            assert_eq!(verdict(outcome.clone(), "c", "killed".into()).0, proven, "{outcome:?}");
        }
        let (_, reason, message) = verdict(None, "c", "killed".into());
        assert_eq!((reason.as_deref(), message.as_deref()), (Some("NoReport"), Some("killed")));
    }

    #[test]
    fn a_wish_is_asked_until_something_was_found_out_or_it_was_interrupted_too_often() {
        let of = |last: &[DrillRun]| candidate(tenant("a"), last).asked;
        assert_eq!(of(&[]).as_deref(), Some("t"));
        for answer in [Some(true), Some(false)] {
            assert_eq!((of(&[asked("a", "t", answer)]), answered(&[asked("a", "t", answer)], "a")), (None, Some("t")));
        }
        let once = [asked("a", "t", None), asked("a", "before", Some(true)), asked("b", "t", Some(true))];
        assert_eq!((of(&once).as_deref(), answered(&once, "a")), (Some("t"), Some("before")));
        assert_eq!(tries(&once, &candidate(tenant("a"), &once), now()), 1, "its Job has another name");
        let thrice = vec![asked("a", "t", None); INTERRUPTIONS];
        assert_eq!((of(&thrice), answered(&thrice, "a")), (None, Some("t")));
        let no_scratch = [DrillRun { reason: Some(NO_PLACE.into()), ..asked("a", "t", None) }];
        assert_eq!(of(&no_scratch), None);
        assert_eq!(past(&once), DrillHistory { last: Some(now()), tried: Some(now()), interrupted: 1 });
    }

    #[test]
    fn the_condition_says_what_is_wrong_with_the_drills() {
        let drilling = |last: Vec<DrillRun>| {
            let mut drills = DrillStatus { last, ..DrillStatus::default() };
            keep_count(&mut drills, 2, &[], now());
            drills
        };
        let condition = |drills: &DrillStatus, no_scratch| judge(drills, &[], no_scratch, now()).unwrap();
        let failed = condition(&drilling(vec![run("a", Some(true)), run("b", Some(false))]), false);
        assert_eq!((failed.status, failed.reason.as_str()), (ConditionStatus::False, "DrillFailed"));
        assert!(failed.message.as_deref().is_some_and(|m| m.contains("of b; b: a frame")), "{failed:?}");
        let passes = condition(&drilling(vec![run("b", Some(true)), run("b", Some(false))]), false);
        assert!(passes.is_true());
        assert_eq!(condition(&drilling(vec![run("b", Some(true))]), true).reason, NO_PLACE, "no longer");
        let cut = condition(&drilling(vec![run("b", None)]), false);
        assert_eq!((cut.status, cut.reason.as_str()), (ConditionStatus::Unknown, "NoDrillYet"));
        assert_eq!(judge(&DrillStatus::default(), &[], false, now()), None);
    }

    #[test]
    fn drills_that_do_not_keep_up_are_reported() {
        let tenants: Vec<DrillCandidate> = (0..4)
            .map(|n| {
                let proven = Some(now() - TimeDelta::days(n));
                DrillCandidate { proven, ..candidate(tenant(&format!("t{n}")), &[]) }
            })
            .collect();
        let condition = |days: i64| {
            let at = now() + TimeDelta::days(days);
            let mut drills = DrillStatus { last: vec![run("t0", Some(true))], ..DrillStatus::default() };
            keep_count(&mut drills, 2, &tenants, now() - TimeDelta::days(99));
            assert_eq!(drills.oldest_proof, Some(now() - TimeDelta::days(3)));
            judge(&drills, &tenants, false, at).unwrap()
        };
        assert!(condition(1).is_true(), "four tenants, two a day: two days, twice");
        let late = condition(2);
        assert_eq!(late.reason, OVERDUE);
        assert!(late.message.as_deref().is_some_and(|m| m.contains("no backup of t3")), "{late:?}");
        let mut drills = DrillStatus::default();
        keep_count(&mut drills, 2, &tenants, now());
        keep_count(&mut drills, 9, &tenants, now() + TimeDelta::days(1));
        assert_eq!(drills.since, Some(now() + TimeDelta::days(1)), "another pace is counted anew");
        keep_count(&mut drills, 0, &tenants, now());
        assert_eq!(drills, DrillStatus::default());
    }
}
