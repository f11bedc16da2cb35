//! The operator's word: what `domain::restore` makes of the reports that a cut-over left, or did not leave, in the bucket.

use chrono::TimeDelta;
use sennight_core::gate::{Approval, FourEyes, Mode, Payment, RunInputs};
use sennight_core::names::RestoreStep;
use sennight_core::restore::{
    ClaimState, Deadlines, Eligibility, RestoreAction, RestoreInputs, StepState, Terminal, decide,
};
use sennight_operator::request::job_results::reported;
use sennight_protocol::report::TaskReport;

/// A request that was claimed a moment ago, and of which nothing else is known yet.
pub fn claimed() -> RestoreInputs {
    let now = chrono::Utc::now();
    RestoreInputs {
        created: now,
        approved_since: Some(now),
        deleting: None,
        prepared_left: false,
        ended: false,
        pinned: true,
        eligibility: Eligibility::Yes,
        gate: RunInputs {
            mode: Mode::FullRestore,
            eligible: true,
            held: true,
            approval: Approval::Approved { by: "anna".into() },
            payment: Payment::Paid { by: "billing".into() },
            requested_by: None,
            four_eyes: FourEyes::None,
            signatures: Ok(()),
            policies: Ok(()),
        },
        held_until: Some(now + TimeDelta::days(7)),
        claim: Some(ClaimState { at: now, job_seen: true, job_exists: false, impossible: None }),
        unknown_claim: None,
        record_error: None,
        keys_recorded: true,
        job_limit: TimeDelta::minutes(10),
        faults: 0,
        preflight: StepState::None,
        prepare: StepState::None,
        cutover: StepState::None,
        can_recover: true,
        recover: StepState::None,
        export: StepState::None,
        live_ids: None,
        slot_free: true,
        dumping: false,
        not_before: None,
        not_after: None,
        deadlines: Deadlines {
            approval: TimeDelta::hours(72),
            payment: TimeDelta::hours(120),
            retry: TimeDelta::minutes(1),
        },
        owed: None,
    }
}

/// A Job that ended with this report; without one it is lost.
pub fn step(report: Option<&TaskReport>, attempt: i32) -> StepState {
    report.map_or_else(
        || StepState::Lost { attempt, message: "it left no report".to_owned(), at: chrono::Utc::now() },
        |report| reported(&report.outcome, attempt, report.finished_at),
    )
}

/// What the operator does next.
#[derive(Debug, PartialEq, Eq)]
pub enum Word {
    /// It asks the server, by this attempt of `recover-cutover`.
    Recover(i32),
    /// The request has ended: Complete.
    Complete,
    /// The request has ended: Failed.
    Failed,
    /// The request has ended: NeedsAttention, and why.
    NeedsAttention(String),
}

/// Its decision.
pub fn word(facts: &RestoreInputs) -> Word {
    match decide(facts, chrono::Utc::now()).action {
        RestoreAction::Start(RestoreStep::RecoverCutover, attempt) => Word::Recover(attempt),
        RestoreAction::Finish(Terminal::Restored { .. }) => Word::Complete,
        RestoreAction::Finish(Terminal::Failed { .. }) => Word::Failed,
        RestoreAction::Finish(Terminal::NeedsAttention { message, .. }) => Word::NeedsAttention(message),
        other => panic!("the operator wants {other:?}"),
    }
}
