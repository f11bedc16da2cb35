//! What a request waits for besides people: its maintenance window, and the pause after an attempt that failed. Each wait has
//! an end that is known when it begins (I10).

use super::{
    CLAIM_START_DEADLINE, RECHECK, MAX_ATTEMPTS, RestoreAction, RestoreInputs, RestorePlan, StepState, WaitingOn,
};
use crate::gate::Mode;
use crate::names::RestoreStep;
use chrono::{DateTime, TimeDelta, Utc};

/// Longest pause before a repeatable step is tried again.
const LONGEST_PAUSE: TimeDelta = TimeDelta::minutes(30);

/// How long the deletion of a request waits for what it prepared to be dropped: nobody may be kept from deleting a namespace.
const LONGEST_DELETION: TimeDelta = TimeDelta::minutes(15);

/// Failures that say something about the hour and nothing about the backup: a server or a store that is away, a node that is
/// drained, a lock that somebody holds. What is not listed here is met again by whoever loads the same backup again.
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

/// The window's end, where the request swaps something.
fn not_after(facts: &RestoreInputs) -> Option<DateTime<Utc>> {
    facts.not_after.filter(|_| facts.gate.mode != Mode::CrmExport)
}

/// Until when the helpdesk may take: its patience, or the window's end, if that comes first.
pub(super) fn approval_end(facts: &RestoreInputs) -> DateTime<Utc> {
    let patience = facts.created + facts.deadlines.approval;
    not_after(facts).map_or(patience, |end| patience.min(end))
}

/// Until when the work may begin its last step: the backup must be held, and the window open.
pub(super) fn work_end(facts: &RestoreInputs, now: DateTime<Utc>) -> DateTime<Utc> {
    let held = facts.held_until.unwrap_or(now + RECHECK);
    not_after(facts).map_or(held, |end| held.min(end))
}

/// A window in which nothing can be done any more ends the request, before people decide or pay for it.
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
    // A hold that is over has a reason of its own.
    let held = facts.held_until.filter(|end| now < *end)?;
    let begin = facts.not_before.filter(|begin| *begin >= held)?;
    let message = format!(
        "the maintenance window begins at {}, and the backup can be held until {} only: create another request with an earlier window",
        time(begin),
        time(held)
    );
    Some(RestorePlan::fail("WindowBeyondHold", &message))
}

/// Deleted before its claim: what it prepared goes first, as long as that may take.
pub(super) fn deleting(facts: &RestoreInputs, since: DateTime<Utc>, now: DateTime<Utc>) -> RestorePlan {
    let plan = |action, message| RestorePlan::new(action, None, "Deleting", message);
    let deadline = since + LONGEST_DELETION;
    if facts.prepared_left && now < deadline {
        let plan = plan(RestoreAction::Drop, "deleted before its claim: what it prepared is dropped first");
        return plan.with_deadline(deadline).wake_at((now + RECHECK).min(deadline));
    }
    plan(RestoreAction::Release, "deleted before its claim: nothing was changed")
}

/// The swap is not begun after this instant: as long as its Job may be created and may then run, and never after the window.
pub fn start_by(claimed: DateTime<Utc>, longest: TimeDelta, not_after: Option<DateTime<Utc>>) -> DateTime<Utc> {
    let by = claimed + CLAIM_START_DEADLINE + longest;
    not_after.map_or(by, |end| by.min(end))
}

/// A repeatable step whose attempt ended without success: it fails for good, waits for its next attempt, or begins it.
/// `working` is the plan of that attempt.
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
    let told =
        format!("attempt {attempt} failed: {message}; the next one begins at {}", due.format("%Y-%m-%d %H:%M:%S UTC"));
    // Who is to mend it: of a pod that went, nobody.
    let on = if reason == lost || reason == "Cancelled" { WaitingOn::Operator } else { WaitingOn::PlatformTeam };
    let plan = RestorePlan { reason: reason.to_owned(), message: told, ..working(RestoreAction::Nothing) };
    Some(plan.waiting_for(on).with_deadline(deadline).wake_at(due.min(deadline)))
}

/// The pause after so many attempts: each is twice as long as the one before.
fn pause(attempt: i32, first: TimeDelta) -> TimeDelta {
    let doublings = u32::try_from(attempt - 1).unwrap_or(0).min(10);
    (first * (1 << doublings)).min(LONGEST_PAUSE.max(first))
}
