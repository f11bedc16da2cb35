//! From the claim on: nobody can revoke, and nothing destructive is begun twice. What the operator itself would not have claimed
//! is not acted upon.

use super::facts::{Action, Claim, Facts, Phase, Plan, Step, Terminal};
use super::{CLAIM_START_DEADLINE, MAX_ATTEMPTS, proven, waits};
use crate::gate::{Closed, Mode};
use crate::names::RestoreStep;
use crate::result::{Done, TAKEN_BACK};
use chrono::{DateTime, TimeDelta, Utc};

/// What a Job's end may take to be noticed.
const GRACE: TimeDelta = TimeDelta::minutes(10);
/// What a person does about a claim that nobody should have been able to write.
const LOOK_WHO: &str =
    "find out in the API server's audit log who wrote it and what else they wrote, then create another request";

/// Decides for a request that status says is claimed. `now` is the operator's clock.
pub(super) fn claimed(facts: &Facts, claim: &Claim, now: DateTime<Utc>) -> Plan {
    if let Some(why) = &claim.impossible {
        let message =
            format!("status.claim was not written by this operator: {why}. Nothing was begun by it; {LOOK_WHO}");
        return Plan::attention("ClaimNotOurs", message);
    }
    let (plan, last) = match facts.keys.mode {
        Mode::CrmExport => (exporting(facts, claim, now), waits::work_end(facts, now)),
        // The swap, and whoever ends one that was lost.
        Mode::FullRestore | Mode::Undo => {
            (cutting_over(facts, claim, now), claim.at + CLAIM_START_DEADLINE + facts.job_limit * MAX_ATTEMPTS)
        }
    };
    match (&plan.action, &facts.broken) {
        (Action::Start(RestoreStep::Export | RestoreStep::Cutover, _), Some(why)) => {
            Plan::attention("RecordBroken", format!("claimed, and not begun: {why}; {}", proven::look(facts.keys.mode)))
        }
        (Action::Nothing, _) if plan.deadline.is_none() => in_time(plan, facts, last, now),
        _ => plan,
    }
}

/// A Job that is suspended, or that nobody runs, would be waited for without end. `last`: when the last one may begin.
fn in_time(plan: Plan, facts: &Facts, last: DateTime<Utc>, now: DateTime<Utc>) -> Plan {
    let deadline = last + facts.job_limit + GRACE;
    if now < deadline {
        return plan.until(deadline);
    }
    let message = format!(
        "no word of its Job until {}, though none may run so long: it was never started, or nobody tells how it ended; {}",
        deadline.format("%Y-%m-%d %H:%M UTC"),
        proven::look(facts.keys.mode)
    );
    Plan::attention("JobOverdue", message)
}

/// The claim stands in status, and a fresh read finds a key missing that nobody can turn any more: no operator wrote that claim.
pub fn unsigned(closed: &Closed) -> Plan {
    let message = format!("status.claim stands, and both keys do not: {closed}. Nothing was begun by it; {LOOK_WHO}");
    Plan::attention("ClaimWithoutKeys", message)
}

fn exporting(facts: &Facts, claim: &Claim, now: DateTime<Utc>) -> Plan {
    let exporting = |action| Plan::new(action, Phase::Exporting, "Exporting", "writing the CSV files");
    match &facts.export {
        // A Job of ours that is there is taken up whenever it is found; a new one is made only soon after the claim.
        Step::None if claim.job_there || (!claim.job_seen && now < claim.at + CLAIM_START_DEADLINE) => {
            exporting(Action::Start(RestoreStep::Export, 1))
        }
        Step::None => Plan::attention("ExportNeverStarted", never_started("export", facts.keys.mode)),
        Step::Running { .. } => exporting(Action::Nothing),
        Step::Succeeded(Done::Exported(summary)) => Plan::finish(Terminal::Exported(summary.clone())),
        Step::Succeeded(_) => Plan::fail("UnexpectedReport", "the export Job reported another step's result"),
        Step::Failed { .. } | Step::Lost { .. } => {
            let deadline = waits::work_end(facts, now);
            waits::again(facts, RestoreStep::Export, exporting, deadline, now)
                .unwrap_or_else(|| exporting(Action::Nothing))
        }
    }
}

fn cutting_over(facts: &Facts, claim: &Claim, now: DateTime<Utc>) -> Plan {
    let plan = |action| Plan::new(action, Phase::CuttingOver, "CuttingOver", "swapping the databases");
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
        Step::Succeeded(Done::CutOver { previous_database, downtime_millis, committed_at }) => {
            Plan::finish(Terminal::Restored {
                previous_database: previous_database.clone(),
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
        Plan::new(Action::Start(RestoreStep::RecoverCutover, attempt), Phase::CuttingOver, "Settling", message)
    };
    match &facts.settle {
        _ if !facts.settles => Plan::attention(reason, message.to_owned()),
        Step::None => start(1),
        Step::Running { .. } => Plan { action: Action::Nothing, ..start(0) },
        Step::Succeeded(Done::CutOver { previous_database, downtime_millis, committed_at }) => {
            Plan::finish(Terminal::Restored {
                previous_database: previous_database.clone(),
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
