//! Decisions about an export up to its claim: the live database's ids are listed first, where the profile asks for that.

use super::tests::{now, ready};
use super::*;
use crate::result::{Done, LiveList};
use proptest::prelude::*;

fn wanting(step: StepState) -> RestoreInputs {
    let mut facts = ready();
    facts.gate.mode = Mode::CrmExport;
    facts.live_ids = Some(step);
    facts
}

fn failed(attempt: i32, retryable: bool) -> StepState {
    StepState::Failed { attempt, retryable, reason: "Unreachable".into(), message: String::new(), at: now() }
}

fn lost(attempt: i32) -> StepState {
    StepState::Lost { attempt, message: "evicted".into(), at: now() }
}

fn listed() -> StepState {
    StepState::Succeeded(Done::Listed(LiveList { key: "k".into(), sha256: "s".into(), bytes: 1, ids: 1, at: now() }))
}

#[test]
fn the_live_database_is_asked_before_the_claim_and_again_while_that_may_help() {
    let ask = |attempt| RestoreAction::Start(RestoreStep::LiveIds, attempt);
    for (step, action) in [
        (StepState::None, ask(1)),
        (StepState::Running { attempt: 1 }, RestoreAction::Nothing),
        (failed(1, true), ask(2)),
        (lost(2), ask(3)),
        (listed(), RestoreAction::Claim(RestoreStep::Export)),
    ] {
        assert_eq!(decide(&wanting(step.clone()), now()).action, action, "{step:?}");
    }
}

#[test]
fn an_export_goes_on_without_an_answer_of_the_live_database() {
    for step in [failed(1, false), failed(MAX_ATTEMPTS, true), lost(MAX_ATTEMPTS)] {
        assert_eq!(decide(&wanting(step.clone()), now()).action, RestoreAction::Claim(RestoreStep::Export), "{step:?}");
    }
}

proptest! {
    #[test]
    fn i1_the_live_database_is_not_asked_while_a_lock_is_closed(approved: bool, paid: bool, held: bool, eligible: bool, intact: bool) {
        let mut facts = wanting(StepState::None);
        if !approved { facts.gate.approval = Approval::Undecided }
        if !paid { facts.gate.payment = Payment::Open }
        if !intact { facts.gate.policies = Err("x".into()) }
        (facts.gate.held, facts.gate.eligible) = (held, eligible);
        let asks = matches!(decide(&facts, now()).action, RestoreAction::Start(RestoreStep::LiveIds, _));
        prop_assert_eq!(asks, approved && paid && held && eligible && intact);
    }
}
