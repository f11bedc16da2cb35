//! What a request waits for besides people: its maintenance window, and the pause after a failed attempt. Each wait has an
//! end that is known when it begins (I10).

use super::{
    CLAIM_START_DEADLINE, MAX_ATTEMPTS, RECHECK, RestoreAction, RestoreInputs, RestorePlan, StepState, WaitingOn,
};
use crate::gate::Mode;
use crate::names::RestoreStep;
use chrono::{DateTime, TimeDelta, Utc};

/// Longest pause before a repeatable step is tried again.
const LONGEST_PAUSE: TimeDelta = TimeDelta::minutes(30);

/// How long deleting a request waits until its prepared database is dropped: it must not block deleting a namespace.
pub const LONGEST_DELETION: TimeDelta = TimeDelta::minutes(15);

/// Failures of the moment, which say nothing about the backup: an unreachable server or store, a drained node, a held lock.
/// Any other failure would meet the next attempt at the same backup, too.
const TEMPORARY: [&str; 8] = [
    "AnotherAttempt",
    "Cancelled",
    "ConnectionLost",
    "LockTimeout",
    "ServerBusy",
    "TimedOut",
    "Unavailable",
    "Unreachable",
];

/// Whether an attempt that failed for this reason counts against the request: the next one would fail in the same way.
pub fn is_fault(reason: &str) -> bool {
    !TEMPORARY.contains(&reason)
}

/// End of the maintenance window; an export has none.
fn not_after(facts: &RestoreInputs) -> Option<DateTime<Utc>> {
    facts.not_after.filter(|_| facts.gate.mode != Mode::CrmExport)
}

/// Until when the helpdesk may decide: its deadline, or the end of the window if that is earlier.
pub(super) fn approval_end(facts: &RestoreInputs) -> DateTime<Utc> {
    let patience = facts.created + facts.deadlines.approval;
    not_after(facts).map_or(patience, |end| patience.min(end))
}

/// Until when the last step may begin: while the backup is held and the window open.
pub(super) fn work_end(facts: &RestoreInputs, now: DateTime<Utc>) -> DateTime<Utc> {
    let held = facts.held_until.unwrap_or(now + RECHECK);
    not_after(facts).map_or(held, |end| held.min(end))
}

/// A window that can no longer be met ends the request, before people decide or pay.
pub(super) fn impossible_window(facts: &RestoreInputs, now: DateTime<Utc>) -> Option<RestorePlan> {
    if facts.gate.mode == Mode::CrmExport {
        return None;
    }
    let time = |at: DateTime<Utc>| at.format("%Y-%m-%d %H:%M UTC");
    if let Some(end) = facts.not_after.filter(|end| now >= *end) {
        let message = format!(
            "the maintenance window ended at {} and nothing was swapped: create another request with a later window",
            time(end)
        );
        return Some(RestorePlan::fail("WindowMissed", &message));
    }
    // An expired hold has its own reason, HoldExpired.
    let held = facts.held_until.filter(|end| now < *end)?;
    let begin = facts.not_before.filter(|begin| *begin >= held)?;
    let message = format!(
        "the maintenance window begins at {}, and the backup can be held until {} only: create another request with an earlier window",
        time(begin),
        time(held)
    );
    Some(RestorePlan::fail("WindowBeyondHold", &message))
}

/// Deleted before its claim: the prepared database is dropped first, for at most [`LONGEST_DELETION`].
pub(super) fn deleting(facts: &RestoreInputs, since: DateTime<Utc>, now: DateTime<Utc>) -> RestorePlan {
    let plan = |action, message| RestorePlan::new(action, None, "Deleting", message);
    let deadline = since + LONGEST_DELETION;
    if facts.prepared_left && now < deadline {
        let plan = plan(RestoreAction::Drop, "deleted before its claim: what it prepared is dropped first");
        return plan.with_deadline(deadline).wake_at((now + RECHECK).min(deadline));
    }
    plan(RestoreAction::Release, "deleted before its claim: nothing was changed")
}

/// The swap must not begin after this instant: its Job may be created until [`CLAIM_START_DEADLINE`] after the claim and
/// then run for `longest`, but never beyond the window.
pub fn start_by(claimed: DateTime<Utc>, longest: TimeDelta, not_after: Option<DateTime<Utc>>) -> DateTime<Utc> {
    let by = claimed + CLAIM_START_DEADLINE + longest;
    not_after.map_or(by, |end| by.min(end))
}

/// After a failed attempt at a repeatable step: fail the request, wait for the next attempt, or begin it. `None` if the
/// step did not fail. `working` makes the plan of an attempt.
pub(super) fn next_attempt(
    facts: &RestoreInputs,
    step: RestoreStep,
    working: impl Fn(RestoreAction) -> RestorePlan,
    deadline: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Option<RestorePlan> {
    let (reached, lost) = match step {
        RestoreStep::Prepare => (&facts.prepare, "PrepareLost"),
        RestoreStep::Export => (&facts.export, "ExportLost"),
        _ => return None,
    };
    let (attempt, at, reason, message, retryable) = match reached {
        StepState::Failed { attempt, at, reason, message, retryable } => {
            (*attempt, *at, reason.as_str(), message, *retryable)
        }
        StepState::Lost { attempt, at, message } => (*attempt, *at, lost, message, true),
        StepState::None | StepState::Running { .. } | StepState::Succeeded(_) => return None,
    };
    if !retryable || facts.faults >= MAX_ATTEMPTS {
        return Some(RestorePlan::fail(reason, message));
    }
    if now >= deadline {
        return Some(RestorePlan::fail(reason, &format!("{message}; there was no time for another attempt")));
    }
    let due = at + pause(attempt, facts.deadlines.retry);
    if now >= due {
        return Some(working(RestoreAction::Start(step, attempt + 1)));
    }
    let waiting =
        format!("attempt {attempt} failed: {message}; the next one begins at {}", due.format("%Y-%m-%d %H:%M:%S UTC"));
    // A pod that was lost needs nobody's help; any other failure is for the platform team.
    let on = if reason == lost || reason == "Cancelled" { WaitingOn::Operator } else { WaitingOn::PlatformTeam };
    let plan = RestorePlan { reason: reason.to_owned(), message: waiting, ..working(RestoreAction::Nothing) };
    Some(plan.waiting_for(on).with_deadline(deadline).wake_at(due.min(deadline)))
}

/// The pause after attempt number `attempt`: twice as long each time, at most [`LONGEST_PAUSE`].
fn pause(attempt: i32, first: TimeDelta) -> TimeDelta {
    let doublings = u32::try_from(attempt - 1).unwrap_or(0).min(10);
    // `--restore-retry` may be longer than the longest pause: it is never shortened.
    (first * (1 << doublings)).min(LONGEST_PAUSE.max(first))
}
