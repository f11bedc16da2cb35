//! Claims and Jobs that status does not know: after an etcd restore, or when a foreign Job has our name. What was claimed
//! in the bucket is never begun again (I2): its report is taken over, or a person is asked.

use super::super::gate::Mode;
use super::super::names::RestoreStep;
use super::{Phase, RestoreAction, RestoreInputs, RestorePlan, StepState, Terminal, WorkerClaim};
use crate::result::Done;
use chrono::{DateTime, TimeDelta, Utc};

/// How long after its claim a Job that this cluster does not know may still leave its report.
const REPORT_PATIENCE: TimeDelta = TimeDelta::seconds(40);
/// How far a pod's clock may be ahead of ours. Beyond it, waiting by that clock might never end.
const SKEW: TimeDelta = TimeDelta::seconds(15);
/// How soon the report is looked for again.
const RECHECK: TimeDelta = TimeDelta::seconds(5);

/// The bucket has a claim of this request by a Job that status does not know.
pub(super) fn decide_unknown_claim(facts: &RestoreInputs, proof: &WorkerClaim, now: DateTime<Utc>) -> RestorePlan {
    let who = format!(
        "claims/ in the bucket: pod {} of Job {} began this restore at {}, and status does not know that Job: the cluster was \
         set back to an earlier state",
        proof.pod,
        proof.job_uid,
        proof.at.format("%Y-%m-%d %H:%M:%S UTC")
    );
    let ended = |terminal| {
        let plan = RestorePlan::finish(terminal);
        RestorePlan {
            message: format!("{}; {who}, and this is what its report says. It was not begun again", plan.message),
            ..plan
        }
    };
    match (&proof.step, facts.gate.mode) {
        (
            StepState::Succeeded(Done::CutOver { previous_database, downtime_millis, committed_at }),
            Mode::FullRestore | Mode::Undo,
        ) => ended(Terminal::Restored {
            previous_database: previous_database.clone(),
            downtime_millis: *downtime_millis,
            committed_at: *committed_at,
        }),
        (StepState::Succeeded(Done::Exported(summary)), Mode::CrmExport) => ended(Terminal::Exported(summary.clone())),
        // Its own report says that it did not take effect, so that nothing is unknown.
        (StepState::Failed { reason, message, .. }, _) => {
            ended(Terminal::Failed { reason: reason.clone(), message: message.clone() })
        }
        (StepState::None, _) if proof.at <= now + SKEW && now < proof.at + REPORT_PATIENCE => RestorePlan::new(
            RestoreAction::Nothing,
            working_phase(facts.gate.mode),
            "ClaimedBefore",
            format!("{who}; waiting for its report"),
        )
        .with_deadline(proof.at + REPORT_PATIENCE)
        .wake_at(now + RECHECK),
        (step, mode) => {
            let said = match step {
                StepState::Lost { message, .. } => message.as_str(),
                _ => "it left no report that says how it ended",
            };
            RestorePlan::attention(
                "ClaimedBefore",
                format!("{who}; {said}. It was not begun again; {}", what_to_inspect(mode)),
            )
        }
    }
}

/// A Job has our name and was not created for this request. Nothing of it is used, and none is created beside it.
pub fn job_name_taken(step: RestoreStep, job: &str, difference: &str) -> RestorePlan {
    let mode = if step == RestoreStep::Export { Mode::CrmExport } else { Mode::FullRestore };
    let message = format!(
        "Job {job} is there and is not the {step} of this request: {difference}. It was left alone and none was created. \
         Find out who made it and what it did; {}; then delete it and create a new request",
        what_to_inspect(mode)
    );
    RestorePlan::attention("JobNameTaken", message)
}

/// What a person must check before anything else is done.
pub(super) fn what_to_inspect(mode: Mode) -> &'static str {
    match mode {
        Mode::CrmExport => "look into exports/ of the bucket: is there a zip of this request's uid?",
        Mode::FullRestore | Mode::Undo => {
            "look at the server: which database has the live name, and is there a previous one with this request's marker?"
        }
    }
}

fn working_phase(mode: Mode) -> Phase {
    match mode {
        Mode::CrmExport => Phase::Exporting,
        Mode::FullRestore | Mode::Undo => Phase::CuttingOver,
    }
}
