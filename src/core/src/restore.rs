//! What to do next for a RestoreRequest, given all that is known. One action a decision, so that a crash between any two
//! API calls resumes where it was. `phase` is an output for people and is never read.

pub use claimed::claim_without_approval;
pub use inputs::{
    ClaimState, Deadlines, Eligibility, Phase, RefundOwed, RestoreAction, RestoreInputs, RestorePlan, StepState,
    Terminal, WaitingOn, WorkerClaim,
};
pub use unknown_claim::job_name_taken;
pub use waits::{LONGEST_DELETION, is_fault, start_by};

mod claimed;
mod inputs;
mod unknown_claim;
mod waits;

use super::gate::{self, Approval, Mode, Payment, RunRefusal};
use super::names::RestoreStep;
use chrono::{DateTime, TimeDelta, Utc};

/// After so many failed attempts at a repeatable step the request fails. Temporary failures do not count ([`is_fault`]).
pub const MAX_ATTEMPTS: i32 = 3;
/// How long after the claim its Job may still be created.
pub const CLAIM_START_DEADLINE: TimeDelta = TimeDelta::minutes(5);
/// How soon a temporary obstacle is checked again.
const RECHECK: TimeDelta = TimeDelta::seconds(30);
/// How long billing has to record a refund: as long as the law of many countries gives.
pub const REFUND_DEADLINE: TimeDelta = TimeDelta::days(14);
/// Shortest time between two preflight Jobs.
pub const PREFLIGHT_PAUSE: TimeDelta = TimeDelta::minutes(10);

/// The next action, and what status shows of it.
///
/// Checked in this order: the end, a claim in the bucket that status does not know, the claim, deletion, a denial, a broken
/// audit record; then whether it can be served, backup and hold, preflight, approval and payment, the steps.
pub fn decide(facts: &RestoreInputs, now: DateTime<Utc>) -> RestorePlan {
    // guard(i2_an_ended_request_only_lets_go, never): an ended request begins nothing
    if facts.ended {
        return ended(facts, now);
    }
    // What was claimed comes before deletion and denial: from the claim on nothing can be revoked (I2).
    // guard(i2_what_the_bucket_proves_to_have_begun_is_told_and_never_begun_again, never): what the bucket proves to have begun is not begun again
    if let Some(proof) = &facts.unknown_claim {
        return unknown_claim::decide_unknown_claim(facts, proof, now);
    }
    if let Some(claim) = &facts.claim {
        return claimed::claimed(facts, claim, now);
    }
    if let Some(since) = facts.deleting {
        return waits::deleting(facts, since, now);
    }
    if let Approval::Denied { by, why } = &facts.gate.approval {
        return RestorePlan::finish(Terminal::Denied(
            RunRefusal::Denied { by: by.clone(), why: why.clone() }.to_string(),
        ));
    }
    // guard(nothing_is_begun_on_a_broken_record_and_the_request_still_ends, never): nothing begins on a broken audit record
    if let Some(why) = &facts.record_error {
        return record_broken(facts, why, now);
    }
    let plan =
        check_within_limit(facts, now).or_else(|| await_people(facts, now)).unwrap_or_else(|| run_steps(facts, now));
    // guard(i1_nothing_is_claimed_before_status_names_the_record_of_both_keys, never): nothing is claimed before status names the record of both keys
    if matches!(plan.action, RestoreAction::Claim(_)) && !facts.keys_recorded {
        return RestorePlan { action: RestoreAction::AwaitRecord, wake: Some(now + RECHECK), ..plan };
    }
    plan
}

/// Nothing runs any more. If it was paid and brought nothing, billing owes a refund by a deadline.
fn ended(facts: &RestoreInputs, now: DateTime<Utc>) -> RestorePlan {
    // At each round: an earlier release may have broken off, and releasing again does no harm.
    let plan = |reason: &str, message: String| RestorePlan::new(RestoreAction::Release, None, reason, message);
    let Some(owed) = facts.owed else {
        return plan("Ended", "the request has ended".to_owned()).waiting_for(WaitingOn::Nobody);
    };
    let (deadline, overdue, message) = refund_wait(owed, now);
    if overdue {
        return RestorePlan {
            deadline: Some(deadline),
            ..plan("RefundOverdue", message).waiting_for(WaitingOn::Billing)
        };
    }
    plan("PaidAndNotDelivered", message).waiting_for(WaitingOn::Billing).with_deadline(deadline)
}

/// Until when billing records a refund, whether that is over, and what people read of it.
pub fn refund_wait(owed: RefundOwed, now: DateTime<Utc>) -> (DateTime<Utc>, bool, String) {
    let deadline = owed.since + REFUND_DEADLINE;
    let until = deadline.format("%Y-%m-%d %H:%M UTC");
    let overdue = now >= deadline;
    let message = if overdue {
        format!("paid, and nothing was delivered; the refund is late: it was due until {until}")
    } else {
        format!("paid, and nothing was delivered: billing records the refund until {until}")
    };
    (deadline, overdue, message)
}

/// The audit record in the bucket is not what was written. It proves who approved and who paid, so nothing begins on top of
/// it. The helpdesk can still deny the request, and its deadline still ends it.
fn record_broken(facts: &RestoreInputs, why: &str, now: DateTime<Utc>) -> RestorePlan {
    let (deadline, _) = wait_limit(facts, now);
    if now >= deadline {
        let message = format!("its record was not put right until {}: {why}", deadline.format("%Y-%m-%d %H:%M UTC"));
        return RestorePlan::finish(Terminal::Expired { reason: "RecordBroken", message });
    }
    RestorePlan::new(RestoreAction::Nothing, Phase::Checking, "RecordBroken", why)
        .waiting_for(WaitingOn::PlatformTeam)
        .with_deadline(deadline)
        .wake_at((now + RECHECK).min(deadline))
}

/// Until when an obstacle may block a request, and the reason of its expiry. Without approval that is the helpdesk's
/// deadline, then billing's, and once it is paid the end of the hold.
fn wait_limit(facts: &RestoreInputs, now: DateTime<Utc>) -> (DateTime<Utc>, &'static str) {
    let asked = waits::approval_end(facts);
    let Some(approved) = facts.approved_since else { return (asked, "ApprovalExpired") };
    let held = facts.held_until.filter(|_| facts.gate.held).map(|_| waits::work_end(facts, now));
    let billing = approved + facts.deadlines.payment;
    match (&facts.gate.payment, held) {
        (Payment::Paid { .. }, Some(held)) => (held.max(asked), "HoldExpired"),
        (_, Some(held)) => (held.min(billing).max(asked), "PaymentExpired"),
        (_, None) => (billing.max(asked), "PaymentExpired"),
    }
}

/// The checks before people are asked. No obstacle is waited for beyond [`wait_limit`].
fn check_within_limit(facts: &RestoreInputs, now: DateTime<Utc>) -> Option<RestorePlan> {
    let plan = next_check(facts, now)?;
    let (deadline, reason) = wait_limit(facts, now);
    if now < deadline || matches!(plan.action, RestoreAction::Finish(_)) {
        return Some(plan);
    }
    let message = format!("{}, until {}", plan.message, deadline.format("%Y-%m-%d %H:%M UTC"));
    Some(RestorePlan::finish(Terminal::Expired { reason, message }))
}

/// The first of these that is not done: eligibility, pin, hold, preflight.
fn next_check(facts: &RestoreInputs, now: DateTime<Utc>) -> Option<RestorePlan> {
    let (deadline, _) = wait_limit(facts, now);
    let checking = |action, reason: &str, message: &str| {
        Some(
            RestorePlan::new(action, Phase::Checking, reason, message)
                .with_deadline(deadline)
                .wake_at((now + RECHECK).min(deadline)),
        )
    };
    // Asked before people decide: nobody should pay for a swap that no longer fits its window.
    let impossible = waits::impossible_window(facts, now);
    match &facts.eligibility {
        Eligibility::Never { reason, message } => return Some(RestorePlan::fail(reason, message)),
        _ if impossible.is_some() => return impossible,
        Eligibility::NotYet { reason, message } if facts.pinned && facts.gate.held => {
            return preflight(facts, now).or_else(|| checking(RestoreAction::Nothing, reason, message));
        }
        Eligibility::NotYet { .. } | Eligibility::Yes => {}
    }
    if !facts.pinned {
        return match &facts.eligibility {
            Eligibility::NotYet { reason, message } => checking(RestoreAction::Nothing, reason, message),
            _ => checking(RestoreAction::Pin, "Pinning", "choosing the backup"),
        };
    }
    // The hold comes before approval and payment, which take days: the backup must not expire meanwhile (I5).
    if !facts.gate.held {
        return checking(RestoreAction::Hold, "Holding", "holding the backup");
    }
    preflight(facts, now)
}

/// Repeats the preflight Job until one succeeds. An export needs none.
fn preflight(facts: &RestoreInputs, now: DateTime<Utc>) -> Option<RestorePlan> {
    if facts.gate.mode == Mode::CrmExport {
        return None;
    }
    let (deadline, _) = wait_limit(facts, now);
    let plan = |action, reason: &str, message: &str| {
        RestorePlan::new(action, Phase::Checking, reason, message)
            .with_deadline(deadline)
            .wake_at((now + RECHECK).min(deadline))
    };
    let start =
        |attempt| plan(RestoreAction::Start(RestoreStep::Preflight, attempt), "Preflight", "looking at the server");
    match &facts.preflight {
        StepState::Succeeded(_) => None,
        StepState::None => Some(start(1)),
        StepState::Running { .. } => Some(plan(RestoreAction::Nothing, "Preflight", "looking at the server")),
        StepState::Lost { attempt, at, .. } | StepState::Failed { attempt, at, .. } if now >= *at + PREFLIGHT_PAUSE => {
            Some(start(attempt + 1))
        }
        StepState::Failed { reason, message, at, .. } => Some(
            plan(RestoreAction::Nothing, reason, message)
                .waiting_for(WaitingOn::PlatformTeam)
                .wake_at((*at + PREFLIGHT_PAUSE).min(deadline)),
        ),
        // A pod that died at once would die at once again, and each try is a Job.
        StepState::Lost { message, at, .. } => Some(
            plan(RestoreAction::Nothing, "PreflightLost", message)
                .waiting_for(WaitingOn::PlatformTeam)
                .wake_at((*at + PREFLIGHT_PAUSE).min(deadline)),
        ),
    }
}

/// Waits for approval and payment.
fn await_people(facts: &RestoreInputs, now: DateTime<Utc>) -> Option<RestorePlan> {
    let closed = gate::may_run(&facts.gate).err()?;
    let expired = |reason, message: String| Some(RestorePlan::finish(Terminal::Expired { reason, message }));
    let approval_deadline = waits::approval_end(facts);
    let payment_deadline = facts.approved_since.unwrap_or(now) + facts.deadlines.payment;
    let (phase, on, deadline, late) = match &closed {
        RunRefusal::AwaitingApproval | RunRefusal::ApproverIsRequester(_) => {
            (Phase::AwaitingApproval, WaitingOn::Helpdesk, approval_deadline, "ApprovalExpired")
        }
        RunRefusal::AwaitingPayment | RunRefusal::ApproverIsPayer(_) | RunRefusal::PaymentReferenceUsed { .. } => {
            (Phase::AwaitingPayment, WaitingOn::Billing, payment_deadline, "PaymentExpired")
        }
        RunRefusal::PoliciesMissing(_) | RunRefusal::Distrusted(_) => {
            (Phase::Queued, WaitingOn::PlatformTeam, waits::work_end(facts, now), "HoldExpired")
        }
        RunRefusal::NotEligible | RunRefusal::NotHeld | RunRefusal::Denied { .. } => {
            (Phase::Checking, WaitingOn::Operator, approval_deadline, "ApprovalExpired")
        }
    };
    // Hold and window end some day: billing must not take money for what can no longer be delivered.
    let deadline = deadline.min(waits::work_end(facts, now));
    if now >= deadline {
        return expired(late, format!("{closed}, until {}", deadline.format("%Y-%m-%d %H:%M UTC")));
    }
    let paid_early = matches!((&closed, &facts.gate.payment), (RunRefusal::AwaitingApproval, Payment::Paid { .. }));
    let message = if paid_early { format!("{closed}; the payment is kept") } else { closed.to_string() };
    let plan = RestorePlan::new(RestoreAction::Nothing, phase, closed.reason(), message)
        .waiting_for(on)
        .with_deadline(deadline);
    // Policies come back, and others' payments change, without an event that would wake us.
    let quiet = matches!(closed, RunRefusal::PoliciesMissing(_) | RunRefusal::PaymentReferenceUsed { .. });
    let soon = plan.wake.into_iter().chain([now + RECHECK, deadline]).min().unwrap_or(deadline);
    Some(if quiet { plan.wake_at(soon) } else { plan })
}

/// Approved and paid: the steps up to the claim.
fn run_steps(facts: &RestoreInputs, now: DateTime<Utc>) -> RestorePlan {
    let deadline = waits::work_end(facts, now);
    if now >= deadline {
        let last = match &facts.prepare {
            StepState::Failed { message, .. } | StepState::Lost { message, .. } => {
                format!("; the last attempt failed: {message}")
            }
            StepState::None | StepState::Running { .. } | StepState::Succeeded(_) => String::new(),
        };
        let message = format!("the backup cannot be held any longer and nothing was swapped{last}");
        return RestorePlan::finish(Terminal::Expired { reason: "HoldExpired", message });
    }
    let queued = |reason: &str, message: &str| {
        RestorePlan::new(RestoreAction::Nothing, Phase::Queued, reason, message)
            .waiting_for(WaitingOn::Queue)
            .with_deadline(deadline)
            .wake_at((now + RECHECK).min(deadline))
    };
    if facts.gate.mode == Mode::CrmExport {
        // No place on the server is asked for: the export's Job reads the bucket only.
        return before_export(facts, deadline);
    }
    let preparing = |action| {
        RestorePlan::new(action, Phase::Preparing, "Preparing", "filling the new database beside the live one")
            .with_deadline(deadline)
    };
    if facts.gate.mode == Mode::Undo {
        // Nothing to fill: the database that is swapped in is there already.
        return await_cutover(facts, deadline, now);
    }
    match &facts.prepare {
        StepState::None if facts.slot_free => preparing(RestoreAction::Start(RestoreStep::Prepare, 1)),
        StepState::Running { .. } => preparing(RestoreAction::Nothing),
        StepState::Succeeded(_) => await_cutover(facts, deadline, now),
        StepState::None | StepState::Failed { .. } | StepState::Lost { .. } => {
            let full = || queued("RestoreLaneFull", "waiting for another restore on this server");
            let next = waits::next_attempt(facts, RestoreStep::Prepare, preparing, deadline, now);
            // The failed Job gave up its restore slot: the next attempt waits for a free one.
            next.filter(|next| facts.slot_free || !matches!(next.action, RestoreAction::Start(..))).unwrap_or_else(full)
        }
    }
}

/// An export with missingOnly lists the ids of the live database first. If that fails, only the full set is delivered.
fn before_export(facts: &RestoreInputs, deadline: DateTime<Utc>) -> RestorePlan {
    let ask = |attempt| {
        let start = RestoreAction::Start(RestoreStep::LiveIds, attempt);
        RestorePlan::new(
            start,
            Phase::Preparing,
            "AskingLiveDatabase",
            "listing which records the live database still has",
        )
        .with_deadline(deadline)
    };
    let claim = || {
        RestorePlan::new(RestoreAction::Claim(RestoreStep::Export), Phase::Queued, "Claiming", "both keys are turned")
    };
    // Before the claim: listing ids changes nothing, so that both decisions can still be taken back meanwhile.
    let Some(asked) = &facts.live_ids else { return claim() };
    match asked {
        StepState::None => ask(1),
        StepState::Running { .. } => RestorePlan { action: RestoreAction::Nothing, ..ask(0) },
        StepState::Failed { attempt, retryable: true, .. } | StepState::Lost { attempt, .. }
            if *attempt < MAX_ATTEMPTS =>
        {
            ask(attempt + 1)
        }
        // A database that cannot be asked is no reason to deliver nothing: the full set says that nobody could ask.
        StepState::Succeeded(_) | StepState::Failed { .. } | StepState::Lost { .. } => claim(),
    }
}

/// The database to swap in is ready: only the maintenance window and a running dump are waited for.
fn await_cutover(facts: &RestoreInputs, deadline: DateTime<Utc>, now: DateTime<Utc>) -> RestorePlan {
    let queued = |reason: &str, message: &str| {
        RestorePlan::new(RestoreAction::Nothing, Phase::Queued, reason, message)
            .waiting_for(WaitingOn::Queue)
            .with_deadline(deadline)
            .wake_at((now + RECHECK).min(deadline))
    };
    match facts.not_before.filter(|begin| now < *begin) {
        Some(begin) => {
            queued("AwaitingWindow", "ready; waiting for the maintenance window").wake_at(begin.min(deadline))
        }
        None if facts.dumping => queued("DumpInProgress", "ready; waiting for a running dump of this database to end"),
        None => RestorePlan::new(
            RestoreAction::Claim(RestoreStep::Cutover),
            Phase::CuttingOver,
            "Claiming",
            "both keys are turned",
        ),
    }
}

#[cfg(test)]
mod export_tests;
#[cfg(test)]
mod tests;
