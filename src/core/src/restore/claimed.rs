//! Decisions after the claim: nobody can revoke, and nothing destructive begins twice (I2). A claim that this operator
//! would not have written is not acted on.

use super::inputs::{ClaimState, Phase, RestoreAction, RestoreInputs, RestorePlan, StepState, Terminal};
use super::{CLAIM_START_DEADLINE, MAX_ATTEMPTS, unknown_claim, waits};
use crate::gate::{Mode, RunRefusal};
use crate::names::RestoreStep;
use crate::result::{Done, TAKEN_BACK};
use chrono::{DateTime, TimeDelta, Utc};

/// How long it may take until the end of a Job is noticed.
const GRACE: TimeDelta = TimeDelta::minutes(10);
/// What a person does about a claim that nobody should have been able to write.
const FIND_WRITER: &str =
    "find out in the API server's audit log who wrote it and what else they wrote, then create another request";

/// The next action for a request that has a claim in status. `now` is the operator's clock.
pub(super) fn claimed(facts: &RestoreInputs, claim: &ClaimState, now: DateTime<Utc>) -> RestorePlan {
    // guard(i1_a_claim_that_no_operator_would_have_written_begins_nothing, never): a claim that no operator would have written begins nothing
    if let Some(why) = &claim.impossible {
        let message =
            format!("status.claim was not written by this operator: {why}. Nothing was begun by it; {FIND_WRITER}");
        return RestorePlan::attention("ClaimNotOurs", message);
    }
    let (plan, last) = match facts.gate.mode {
        Mode::CrmExport => (exporting(facts, claim, now), waits::work_end(facts, now)),
        // The swap's Job, and the recover-cutover Jobs after a lost one.
        Mode::FullRestore | Mode::Undo => {
            (cutting_over(facts, claim, now), claim.at + CLAIM_START_DEADLINE + facts.job_limit * MAX_ATTEMPTS)
        }
    };
    match (&plan.action, &facts.record_error) {
        // guard(nothing_is_begun_on_a_broken_record_and_the_request_still_ends, never): no claimed Job begins on a broken audit record
        (RestoreAction::Start(RestoreStep::Export | RestoreStep::Cutover, _), Some(why)) => RestorePlan::attention(
            "RecordBroken",
            format!("claimed, and not begun: {why}; {}", unknown_claim::what_to_inspect(facts.gate.mode)),
        ),
        (RestoreAction::Nothing, _) if plan.deadline.is_none() => with_job_deadline(plan, facts, last, now),
        _ => plan,
    }
}

/// A Job that is suspended or never scheduled is not waited for without end. `last`: when the last Job may begin.
fn with_job_deadline(plan: RestorePlan, facts: &RestoreInputs, last: DateTime<Utc>, now: DateTime<Utc>) -> RestorePlan {
    let deadline = last + facts.job_limit + GRACE;
    if now < deadline {
        return plan.with_deadline(deadline);
    }
    let message = format!(
        "no word of its Job until {}, though none may run so long: it was never started, or nobody tells how it ended; {}",
        deadline.format("%Y-%m-%d %H:%M UTC"),
        unknown_claim::what_to_inspect(facts.gate.mode)
    );
    RestorePlan::attention("JobOverdue", message)
}

/// Status has a claim, and a fresh read lacks an approval or payment that can no longer be added: no operator wrote it.
pub fn claim_without_approval(closed: &RunRefusal) -> RestorePlan {
    let message =
        format!("status.claim stands, and both keys do not: {closed}. Nothing was begun by it; {FIND_WRITER}");
    RestorePlan::attention("ClaimWithoutKeys", message)
}

fn exporting(facts: &RestoreInputs, claim: &ClaimState, now: DateTime<Utc>) -> RestorePlan {
    let exporting = |action| RestorePlan::new(action, Phase::Exporting, "Exporting", "writing the CSV files");
    match &facts.export {
        // An existing Job of ours is adopted whenever it is found; a new one is created only soon after the claim.
        StepState::None if claim.job_exists || (!claim.job_seen && now < claim.at + CLAIM_START_DEADLINE) => {
            exporting(RestoreAction::Start(RestoreStep::Export, 1))
        }
        StepState::None => RestorePlan::attention("ExportNeverStarted", never_started("export", facts.gate.mode)),
        StepState::Running { .. } => exporting(RestoreAction::Nothing),
        StepState::Succeeded(Done::Exported(summary)) => RestorePlan::finish(Terminal::Exported(summary.clone())),
        // An export changes nothing on the server: it may fail without a person having to look.
        StepState::Succeeded(_) => {
            RestorePlan::fail("UnexpectedReport", "the export Job reported another step's result")
        }
        StepState::Failed { .. } | StepState::Lost { .. } => {
            let deadline = waits::work_end(facts, now);
            waits::next_attempt(facts, RestoreStep::Export, exporting, deadline, now)
                .unwrap_or_else(|| exporting(RestoreAction::Nothing))
        }
    }
}

fn cutting_over(facts: &RestoreInputs, claim: &ClaimState, now: DateTime<Utc>) -> RestorePlan {
    let plan = |action| RestorePlan::new(action, Phase::CuttingOver, "CuttingOver", "swapping the databases");
    let inspect = unknown_claim::what_to_inspect(facts.gate.mode);
    match &facts.cutover {
        // The Job existed and is gone: whether it ran cannot be told from here (I2).
        // guard(i2_an_unknown_cut_over_is_never_tried_again, never): a cut-over whose Job vanished is not tried again
        StepState::None if claim.job_seen => {
            let message = format!("the cut-over Job vanished without a report; {inspect}");
            recover_or_escalate(facts, "CutoverJobGone", &message)
        }
        // guard(i2_a_job_that_is_there_is_taken_up_however_late_and_a_new_one_is_made_only_soon_after_the_claim, always): no cut-over Job is made long after its claim
        StepState::None if claim.job_exists || now < claim.at + CLAIM_START_DEADLINE => {
            plan(RestoreAction::Start(RestoreStep::Cutover, 1))
        }
        StepState::None => RestorePlan::attention("CutoverNeverStarted", never_started("cut-over", facts.gate.mode)),
        StepState::Running { .. } => plan(RestoreAction::Nothing),
        StepState::Succeeded(Done::CutOver { previous_database, downtime_millis, committed_at }) => {
            RestorePlan::finish(Terminal::Restored {
                previous_database: previous_database.clone(),
                downtime_millis: *downtime_millis,
                committed_at: *committed_at,
            })
        }
        StepState::Succeeded(_) => RestorePlan::attention(
            "UnexpectedReport",
            format!("the cut-over Job's report is another step's; {inspect}"),
        ),
        // The worker itself says that the live database is as it was; only silence leaves the outcome open.
        StepState::Failed { reason, message, .. } => RestorePlan::fail(reason, message),
        // guard(i2_an_unknown_cut_over_is_never_tried_again, = plan(RestoreAction::Start(RestoreStep::Cutover, 1))): a cut-over with an unknown outcome is not tried again
        StepState::Lost { message, .. } => {
            recover_or_escalate(facts, "CutoverOutcomeUnknown", &format!("{message}; {inspect}"))
        }
    }
}

/// The cut-over left no report. A recover-cutover Job asks the server and ends it, one way or the other; it begins no swap.
/// If no such Job succeeds, a person must look.
fn recover_or_escalate(facts: &RestoreInputs, reason: &str, message: &str) -> RestorePlan {
    let start = |attempt| {
        let message = "the cut-over was lost in the middle: it is ended by what the server says of it";
        RestorePlan::new(
            RestoreAction::Start(RestoreStep::RecoverCutover, attempt),
            Phase::CuttingOver,
            "RecoveringCutover",
            message,
        )
    };
    match &facts.recover {
        _ if !facts.can_recover => RestorePlan::attention(reason, message.to_owned()),
        StepState::None => start(1),
        StepState::Running { .. } => RestorePlan { action: RestoreAction::Nothing, ..start(0) },
        StepState::Succeeded(Done::CutOver { previous_database, downtime_millis, committed_at }) => {
            RestorePlan::finish(Terminal::Restored {
                previous_database: previous_database.clone(),
                downtime_millis: *downtime_millis,
                committed_at: *committed_at,
            })
        }
        // The server was asked: nothing was swapped, and what was to be swapped in is marked so that nobody still can.
        StepState::Failed { reason, message, .. } if reason == TAKEN_BACK => RestorePlan::fail(reason, message),
        StepState::Failed { attempt, .. } | StepState::Lost { attempt, .. } if *attempt < MAX_ATTEMPTS => {
            start(attempt + 1)
        }
        StepState::Failed { message: last, .. } | StepState::Lost { message: last, .. } => {
            RestorePlan::attention(reason, format!("{message}; ending it failed: {last}"))
        }
        StepState::Succeeded(_) => RestorePlan::attention(reason, message.to_owned()),
    }
}

fn never_started(step: &str, mode: Mode) -> String {
    format!(
        "no {step} Job within {} min of the claim: none is created so late, because nobody would be there who expects it; {}",
        CLAIM_START_DEADLINE.num_minutes(),
        unknown_claim::what_to_inspect(mode)
    )
}
