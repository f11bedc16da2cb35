//! The steps of an Undo, and a lost cut-over on engines whose swap is more than one transaction.

use super::*;

#[test]
fn i2_a_lost_swap_is_settled_where_it_can_be_and_never_swapped_again() {
    let lost_at = |settle: StepState| {
        with(move |f| {
            (f.claim, f.cutover, f.can_recover, f.recover) = (Some(claim(1, true)), lost(), true, settle.clone());
        })
    };
    assert_eq!(lost_at(StepState::None).action, RestoreAction::Start(RestoreStep::RecoverCutover, 1));
    assert_eq!(lost_at(StepState::Running { attempt: 1 }).action, RestoreAction::Nothing);
    assert_eq!(lost_at(failed(1, true)).action, RestoreAction::Start(RestoreStep::RecoverCutover, 2));
    assert!(matches!(
        lost_at(failed(MAX_ATTEMPTS, true)).action,
        RestoreAction::Finish(Terminal::NeedsAttention { .. })
    ));
    let back =
        StepState::Failed { attempt: 1, retryable: false, reason: TAKEN_BACK.into(), message: "m".into(), at: now() };
    assert!(
        matches!(lost_at(back).action, RestoreAction::Finish(Terminal::Failed { reason, .. }) if reason == TAKEN_BACK)
    );
    let swapped = Done::CutOver { previous_database: "k".into(), downtime_millis: -1, committed_at: now() };
    assert!(matches!(lost_at(StepState::Succeeded(swapped)).action, RestoreAction::Finish(Terminal::Restored { .. })));
    let vanished = with(|f| (f.claim, f.can_recover) = (Some(claim(9, true)), true));
    assert_eq!(vanished.action, RestoreAction::Start(RestoreStep::RecoverCutover, 1));
    let one_transaction = with(|f| (f.claim, f.cutover) = (Some(claim(1, true)), lost()));
    assert!(matches!(one_transaction.action, RestoreAction::Finish(Terminal::NeedsAttention { .. })));
}

#[test]
fn an_undo_is_looked_at_and_claimed_without_preparing_anything() {
    let undo = |f: &mut RestoreInputs| f.gate.mode = Mode::Undo;
    assert_eq!(with(undo).action, RestoreAction::Claim(RestoreStep::Cutover));
    assert_eq!(
        with(|f| (undo(f), f.preflight = StepState::None).0).action,
        RestoreAction::Start(RestoreStep::Preflight, 1)
    );
    assert_eq!(with(|f| (undo(f), f.pinned = false).0).action, RestoreAction::Pin);
    assert_eq!(with(|f| (undo(f), f.gate.held = false).0).action, RestoreAction::Hold);
    assert_eq!(with(|f| (undo(f), f.gate.payment = Payment::Open).0).phase, Some(Phase::AwaitingPayment));
    assert_eq!(with(|f| (undo(f), f.dumping = true).0).reason, "DumpInProgress");
    let swapping = with(|f| (undo(f), f.claim = Some(claim(1, false))).0);
    assert_eq!(swapping.action, RestoreAction::Start(RestoreStep::Cutover, 1));
}
