//! A cut-over that left no word, on engines whose swap is more than one transaction.

use super::*;

#[test]
fn i2_a_lost_swap_is_settled_where_it_can_be_and_never_swapped_again() {
    let lost_at = |settle: Step| {
        with(move |f| {
            (f.claim, f.cutover, f.settles, f.settle) = (Some(claim(1, true)), lost(), true, settle.clone());
        })
    };
    assert_eq!(lost_at(Step::None).action, Action::Start(RestoreStep::Settle, 1));
    assert_eq!(lost_at(Step::Running { attempt: 1 }).action, Action::Nothing);
    assert_eq!(lost_at(failed(1, true)).action, Action::Start(RestoreStep::Settle, 2));
    assert!(matches!(lost_at(failed(MAX_ATTEMPTS, true)).action, Action::Finish(Terminal::NeedsAttention { .. })));
    let back = Step::Failed { attempt: 1, retryable: false, reason: TAKEN_BACK.into(), message: "m".into(), at: now() };
    assert!(matches!(lost_at(back).action, Action::Finish(Terminal::Failed { reason, .. }) if reason == TAKEN_BACK));
    let swapped = Done::CutOver { kept_database: "k".into(), downtime_millis: -1, committed_at: now() };
    assert!(matches!(lost_at(Step::Succeeded(swapped)).action, Action::Finish(Terminal::Restored { .. })));
    let vanished = with(|f| (f.claim, f.settles) = (Some(claim(9, true)), true));
    assert_eq!(vanished.action, Action::Start(RestoreStep::Settle, 1));
    let one_transaction = with(|f| (f.claim, f.cutover) = (Some(claim(1, true)), lost()));
    assert!(matches!(one_transaction.action, Action::Finish(Terminal::NeedsAttention { .. })));
}
