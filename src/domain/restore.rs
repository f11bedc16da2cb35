//! The life of a RestoreRequest: what to do next, given everything that is known. Pure. One action a decision, so that a
//! crash between any two API calls resumes where it was. `phase` is an output for eyes and never read.

pub use facts::{Action, Claim, Eligibility, Facts, Owed, Patience, Plan, Proof, Step, Terminal, WaitingOn};
pub use proven::stranger;

mod facts;
mod proven;
pub mod reminders;

use super::gate::{self, Approval, Closed, Mode, Payment};
use super::job::{Done, TAKEN_BACK};
use super::names::RestoreStep;
use chrono::{DateTime, TimeDelta, Utc};

/// Attempts at a repeatable step before the request fails.
pub const MAX_ATTEMPTS: i32 = 3;
/// How long after the claim its Job may still be created.
pub const CLAIM_START_DEADLINE: TimeDelta = TimeDelta::minutes(5);
/// How soon a passing obstacle is looked at again.
const LOOK_AGAIN: TimeDelta = TimeDelta::seconds(30);
/// How long billing has to record a refund: as long as the law of many countries gives.
pub const REFUND_DEADLINE: TimeDelta = TimeDelta::days(14);
/// At most one preflight in this time.
pub const PREFLIGHT_PAUSE: TimeDelta = TimeDelta::minutes(10);

/// Decides. Order: the end, what the bucket proves to have begun, what was claimed, the helpdesk's no, whether it can be served, the copy and its hold, the
/// preflight, people's decisions, the work.
pub fn decide(facts: &Facts, now: DateTime<Utc>) -> Plan {
    if facts.ended {
        return ended(facts, now);
    }
    if let Some(proof) = &facts.proof {
        return proven::proven(facts, proof, now);
    }
    if let Some(claim) = &facts.claim {
        return claimed(facts, claim, now);
    }
    if facts.deleting {
        return Plan::new(Action::Release, "Deleting", "Deleting", "deleted before its claim: nothing was changed");
    }
    if let Approval::Denied { by, why } = &facts.keys.approval {
        return Plan::finish(Terminal::Denied(Closed::Denied { by: by.clone(), why: why.clone() }.to_string()));
    }
    check(facts, now).or_else(|| people(facts, now)).unwrap_or_else(|| work(facts, now))
}

/// Nothing runs any more; but money may have to go back, and somebody has to do that by a certain day.
fn ended(facts: &Facts, now: DateTime<Utc>) -> Plan {
    let plan = |reason: &str, message: String| Plan::new(Action::Release, "Ended", reason, message);
    let Some(owed) = facts.owed else {
        return plan("Ended", "the request has ended".to_owned()).on(WaitingOn::Nobody);
    };
    let deadline = owed.since + REFUND_DEADLINE;
    let until = deadline.format("%Y-%m-%d %H:%M UTC");
    if now >= deadline {
        let message = format!("paid, and nothing was delivered; the refund is late: it was due until {until}");
        return Plan { deadline: Some(deadline), ..plan("RefundOverdue", message).on(WaitingOn::Billing) };
    }
    let message = format!("paid, and nothing was delivered: billing records the refund until {until}");
    plan("PaidAndNotDelivered", message).on(WaitingOn::Billing).until(deadline).reminding(
        owed.since,
        facts.reminded,
        now,
    )
}

/// Until the request can be put before people.
fn check(facts: &Facts, now: DateTime<Utc>) -> Option<Plan> {
    let deadline = facts.created + facts.patience.approval;
    let checking = |action, reason: &str, message: &str| {
        Some(Plan::new(action, "Checking", reason, message).until(deadline).again((now + LOOK_AGAIN).min(deadline)))
    };
    match &facts.eligibility {
        Eligibility::Never { reason, message } => return Some(Plan::fail(reason, message)),
        Eligibility::NotYet { reason, message } if now >= deadline => {
            let message = format!("not eligible within {} h: {reason}: {message}", facts.patience.approval.num_hours());
            return Some(Plan::finish(Terminal::Expired { reason: "ApprovalExpired", message }));
        }
        Eligibility::NotYet { reason, message } if facts.pinned && facts.keys.held => {
            return preflight(facts, now).or_else(|| checking(Action::Nothing, reason, message));
        }
        Eligibility::NotYet { .. } | Eligibility::Yes => {}
    }
    if !facts.pinned {
        return match &facts.eligibility {
            Eligibility::NotYet { reason, message } => checking(Action::Nothing, reason, message),
            _ => checking(Action::Pin, "Pinning", "choosing the copy"),
        };
    }
    if !facts.keys.held {
        return checking(Action::Hold, "Holding", "holding the copy");
    }
    preflight(facts, now)
}

/// Looks at the server, as long as that has not said yes.
fn preflight(facts: &Facts, now: DateTime<Utc>) -> Option<Plan> {
    if facts.keys.mode == Mode::CrmExport {
        return None;
    }
    let deadline = facts.created + facts.patience.approval;
    let plan = |action, reason: &str, message: &str| {
        Plan::new(action, "Checking", reason, message).until(deadline).again((now + LOOK_AGAIN).min(deadline))
    };
    let start = |attempt| plan(Action::Start(RestoreStep::Preflight, attempt), "Preflight", "looking at the server");
    match &facts.preflight {
        Step::Succeeded(_) => None,
        _ if now >= deadline => {
            let message = format!("the server was not found fit within {} h", facts.patience.approval.num_hours());
            Some(Plan::finish(Terminal::Expired { reason: "ApprovalExpired", message }))
        }
        Step::None => Some(start(1)),
        Step::Running { .. } => Some(plan(Action::Nothing, "Preflight", "looking at the server")),
        Step::Lost { attempt, at, .. } | Step::Failed { attempt, at, .. } if now >= *at + PREFLIGHT_PAUSE => {
            Some(start(attempt + 1))
        }
        Step::Failed { reason, message, at, .. } => Some(
            plan(Action::Nothing, reason, message)
                .on(WaitingOn::PlatformTeam)
                .again((*at + PREFLIGHT_PAUSE).min(deadline)),
        ),
        // A pod that died at once would die at once again, and each try is a Job.
        Step::Lost { message, at, .. } => Some(
            plan(Action::Nothing, "PreflightLost", message)
                .on(WaitingOn::PlatformTeam)
                .again((*at + PREFLIGHT_PAUSE).min(deadline)),
        ),
    }
}

/// Until both keys are turned.
fn people(facts: &Facts, now: DateTime<Utc>) -> Option<Plan> {
    let closed = gate::open(&facts.keys).err()?;
    let expired = |reason, message: String| Some(Plan::finish(Terminal::Expired { reason, message }));
    let approval_deadline = facts.created + facts.patience.approval;
    let payment_deadline = facts.approved_since.unwrap_or(now) + facts.patience.payment;
    let (phase, on, deadline, late) = match &closed {
        Closed::AwaitingApproval | Closed::ApproverIsRequester(_) => {
            ("AwaitingApproval", WaitingOn::Helpdesk, approval_deadline, "ApprovalExpired")
        }
        Closed::AwaitingPayment | Closed::ApproverIsPayer(_) | Closed::PaymentReferenceUsed { .. } => {
            ("AwaitingPayment", WaitingOn::Billing, payment_deadline, "PaymentExpired")
        }
        Closed::PoliciesMissing(_) | Closed::Distrusted(_) => {
            ("Queued", WaitingOn::PlatformTeam, hold_end(facts, now), "HoldExpired")
        }
        Closed::NotEligible | Closed::NotHeld | Closed::Denied { .. } => {
            ("Checking", WaitingOn::Operator, approval_deadline, "ApprovalExpired")
        }
    };
    // The hold has a cap: nobody may sell a copy that will be gone.
    let deadline = deadline.min(hold_end(facts, now));
    if now >= deadline {
        return expired(late, format!("{closed}, until {}", deadline.format("%Y-%m-%d %H:%M UTC")));
    }
    let paid_early = matches!((&closed, &facts.keys.payment), (Closed::AwaitingApproval, Payment::Paid { .. }));
    let since = if on == WaitingOn::Billing { facts.approved_since.unwrap_or(now) } else { facts.created };
    let message = if paid_early { format!("{closed}; the payment is kept") } else { closed.to_string() };
    let plan = Plan::new(Action::Nothing, phase, closed.reason(), message).on(on).until(deadline);
    let people = matches!(on, WaitingOn::Helpdesk | WaitingOn::Billing);
    let plan = if people { plan.reminding(since, facts.reminded, now) } else { plan };
    // Policies come back, and others' payments change, without an event that would wake us.
    let quiet = matches!(closed, Closed::PoliciesMissing(_) | Closed::PaymentReferenceUsed { .. });
    let soon = plan.wake.into_iter().chain([now + LOOK_AGAIN, deadline]).min().unwrap_or(deadline);
    Some(if quiet { plan.again(soon) } else { plan })
}

fn hold_end(facts: &Facts, now: DateTime<Utc>) -> DateTime<Utc> {
    facts.held_until.unwrap_or(now + LOOK_AGAIN)
}

/// Approved and paid: the work up to the claim.
fn work(facts: &Facts, now: DateTime<Utc>) -> Plan {
    let deadline = hold_end(facts, now);
    if now >= deadline {
        return Plan::finish(Terminal::Expired {
            reason: "HoldExpired",
            message: "the copy cannot be held any longer and the work has not begun".to_owned(),
        });
    }
    let queued = |reason: &str, message: &str| {
        Plan::new(Action::Nothing, "Queued", reason, message)
            .on(WaitingOn::Queue)
            .until(deadline)
            .again((now + LOOK_AGAIN).min(deadline))
    };
    if facts.keys.mode == Mode::CrmExport {
        return before_export(facts, deadline);
    }
    let prepare = |attempt| {
        let start = Action::Start(RestoreStep::Prepare, attempt);
        Plan::new(start, "Preparing", "Preparing", "filling the new database beside the live one").until(deadline)
    };
    if facts.keys.mode == Mode::Undo {
        return ready(facts, deadline, now);
    }
    match &facts.prepare {
        Step::None if !facts.lane_free => queued("RestoreLaneFull", "waiting for another restore on this server"),
        Step::None => prepare(1),
        Step::Running { .. } => Plan { action: Action::Nothing, ..prepare(0) },
        Step::Lost { attempt, message, .. } if *attempt >= MAX_ATTEMPTS => Plan::fail("PrepareLost", message),
        Step::Lost { attempt, .. } => prepare(attempt + 1),
        Step::Failed { attempt, retryable: true, .. } if *attempt < MAX_ATTEMPTS => prepare(attempt + 1),
        Step::Failed { reason, message, .. } => Plan::fail(reason, message),
        Step::Succeeded(_) => ready(facts, deadline, now),
    }
}

/// An export may want to know what the live database still has. If that cannot be had, the full set is delivered without.
fn before_export(facts: &Facts, deadline: DateTime<Utc>) -> Plan {
    let ask = |attempt| {
        let start = Action::Start(RestoreStep::LiveIds, attempt);
        Plan::new(start, "Preparing", "AskingLiveDatabase", "listing which records the live database still has")
            .until(deadline)
    };
    let claim = || Plan::new(Action::Claim(RestoreStep::Export), "Queued", "Claiming", "both keys are turned");
    let Some(asked) = &facts.live_ids else { return claim() };
    match asked {
        Step::None => ask(1),
        Step::Running { .. } => Plan { action: Action::Nothing, ..ask(0) },
        Step::Failed { attempt, retryable: true, .. } | Step::Lost { attempt, .. } if *attempt < MAX_ATTEMPTS => {
            ask(attempt + 1)
        }
        Step::Succeeded(_) | Step::Failed { .. } | Step::Lost { .. } => claim(),
    }
}

/// The database that is to become the live one is there: only the window and a running dump are waited for.
fn ready(facts: &Facts, deadline: DateTime<Utc>, now: DateTime<Utc>) -> Plan {
    if facts.not_after.is_some_and(|end| now >= end) {
        return Plan::fail("WindowMissed", "the maintenance window ended before the database was ready");
    }
    let queued = |reason: &str, message: &str| {
        Plan::new(Action::Nothing, "Queued", reason, message)
            .on(WaitingOn::Queue)
            .until(deadline)
            .again((now + LOOK_AGAIN).min(deadline))
    };
    match facts.not_before.filter(|begin| now < *begin) {
        Some(begin) => queued("AwaitingWindow", "ready; waiting for the maintenance window").again(begin.min(deadline)),
        None if facts.dumping => queued("DumpInProgress", "ready; waiting for a running dump of this database to end"),
        None => Plan::new(Action::Claim(RestoreStep::Cutover), "CuttingOver", "Claiming", "both keys are turned"),
    }
}

/// From the claim on nobody can revoke.
fn claimed(facts: &Facts, claim: &Claim, now: DateTime<Utc>) -> Plan {
    match facts.keys.mode {
        Mode::CrmExport => exporting(facts, claim, now),
        Mode::FullRestore | Mode::Undo => cutting_over(facts, claim, now),
    }
}

fn exporting(facts: &Facts, claim: &Claim, now: DateTime<Utc>) -> Plan {
    let start = |attempt| {
        Plan::new(Action::Start(RestoreStep::Export, attempt), "Exporting", "Exporting", "writing the CSV files")
    };
    match &facts.export {
        // A Job of ours that is there is taken up whenever it is found; a new one is made only soon after the claim.
        Step::None if claim.job_there || (!claim.job_seen && now < claim.at + CLAIM_START_DEADLINE) => start(1),
        Step::None => Plan::attention("ExportNeverStarted", never_started("export", facts.keys.mode)),
        Step::Running { .. } => Plan { action: Action::Nothing, ..start(0) },
        Step::Succeeded(Done::Exported(summary)) => Plan::finish(Terminal::Exported(summary.clone())),
        Step::Succeeded(_) => Plan::fail("UnexpectedReport", "the export Job reported another step's result"),
        Step::Failed { attempt, retryable: true, .. } | Step::Lost { attempt, .. } if *attempt < MAX_ATTEMPTS => {
            start(attempt + 1)
        }
        Step::Failed { reason, message, .. } => Plan::fail(reason, message),
        Step::Lost { message, .. } => Plan::fail("ExportLost", message),
    }
}

fn cutting_over(facts: &Facts, claim: &Claim, now: DateTime<Utc>) -> Plan {
    let plan = |action| Plan::new(action, "CuttingOver", "CuttingOver", "swapping the databases");
    let look = proven::look(facts.keys.mode);
    match &facts.cutover {
        // The Job was there and is gone: whether it ran cannot be told from here (I2).
        Step::None if claim.job_seen => {
            let message = format!("the cut-over Job vanished without a report; {look}");
            unsettled(facts, "CutoverJobGone", &message)
        }
        Step::None if claim.job_there || now < claim.at + CLAIM_START_DEADLINE => {
            plan(Action::Start(RestoreStep::Cutover, 1))
        }
        Step::None => Plan::attention("CutoverNeverStarted", never_started("cut-over", facts.keys.mode)),
        Step::Running { .. } => plan(Action::Nothing),
        Step::Succeeded(Done::CutOver { kept_database, downtime_millis, committed_at }) => {
            Plan::finish(Terminal::Restored {
                kept_database: kept_database.clone(),
                downtime_millis: *downtime_millis,
                committed_at: *committed_at,
            })
        }
        Step::Succeeded(_) => {
            Plan::attention("UnexpectedReport", format!("the cut-over Job's report is another step's; {look}"))
        }
        Step::Failed { reason, message, .. } => Plan::fail(reason, message),
        Step::Lost { message, .. } => unsettled(facts, "CutoverOutcomeUnknown", &format!("{message}; {look}")),
    }
}

/// The cut-over left no word. A Job of another kind asks the server and ends it, one way or the other; it swaps nothing. If that
/// cannot be had either, a person must look.
fn unsettled(facts: &Facts, reason: &str, message: &str) -> Plan {
    let start = |attempt| {
        let message = "the cut-over was lost in the middle: it is ended by what the server says of it";
        Plan::new(Action::Start(RestoreStep::Settle, attempt), "CuttingOver", "Settling", message)
    };
    match &facts.settle {
        _ if !facts.settles => Plan::attention(reason, message.to_owned()),
        Step::None => start(1),
        Step::Running { .. } => Plan { action: Action::Nothing, ..start(0) },
        Step::Succeeded(Done::CutOver { kept_database, downtime_millis, committed_at }) => {
            Plan::finish(Terminal::Restored {
                kept_database: kept_database.clone(),
                downtime_millis: *downtime_millis,
                committed_at: *committed_at,
            })
        }
        Step::Failed { reason, message, .. } if reason == TAKEN_BACK => Plan::fail(reason, message),
        Step::Failed { attempt, .. } | Step::Lost { attempt, .. } if *attempt < MAX_ATTEMPTS => start(attempt + 1),
        Step::Failed { message: last, .. } | Step::Lost { message: last, .. } => {
            Plan::attention(reason, format!("{message}; ending it failed: {last}"))
        }
        Step::Succeeded(_) => Plan::attention(reason, message.to_owned()),
    }
}

fn never_started(step: &str, mode: Mode) -> String {
    format!(
        "no {step} Job within {} min of the claim: none is created so late, because nobody would be there who expects it; {}",
        CLAIM_START_DEADLINE.num_minutes(),
        proven::look(mode)
    )
}

#[cfg(test)]
mod export_tests;
#[cfg(test)]
mod tests;
