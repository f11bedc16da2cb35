//! Claims: those that only the bucket knows, forged ones, those on a broken record; and the deadlines of claimed requests.

use super::*;

pub(super) fn proof(seconds_ago: i64, step: StepState) -> WorkerClaim {
    let at = now() - TimeDelta::seconds(seconds_ago);
    WorkerClaim { at, job_uid: "j".into(), pod: "p".into(), step }
}

fn cut_over() -> StepState {
    let done = Done::CutOver { previous_database: "acme__old".into(), downtime_millis: 9, committed_at: now() };
    StepState::Succeeded(done)
}

#[test]
fn i2_what_the_bucket_proves_to_have_begun_is_told_and_never_begun_again() {
    let decided = |claimed: bool, proof: WorkerClaim| {
        with(|f| {
            f.claim = claimed.then(|| claim(1, false));
            (f.prepare, f.unknown_claim) = (prepared(), Some(proof.clone()));
        })
    };
    for claimed in [false, true] {
        let done = decided(claimed, proof(600, cut_over()));
        assert!(
            matches!(&done.action, RestoreAction::Finish(Terminal::Restored { previous_database, .. }) if previous_database == "acme__old")
        );
        assert!(done.message.contains("set back"), "{}", done.message);
        assert_eq!(
            decided(claimed, proof(600, failed(1, true))).phase,
            Some(Phase::Failed),
            "also when it might be tried again"
        );
        for silent in [StepState::None, lost()] {
            let plan = decided(claimed, proof(600, silent));
            assert_eq!((plan.phase, plan.reason.as_str()), (Some(Phase::NeedsAttention), "ClaimedBefore"));
            assert!(plan.message.contains("pod p of Job j") && plan.message.contains("live name"), "{}", plan.message);
        }
        let soon = decided(claimed, proof(5, StepState::None));
        assert_eq!(soon.action, RestoreAction::Nothing, "it may still be at work");
        assert!(soon.wake.is_some_and(|wake| wake <= now() + TimeDelta::seconds(5)));
    }
    let other = with(|f| (f.gate.mode, f.unknown_claim) = (Mode::CrmExport, Some(proof(600, cut_over()))));
    assert_eq!(other.reason, "ClaimedBefore", "another mode's report proves nothing");
}

#[test]
fn i1_a_claim_that_no_operator_would_have_written_begins_nothing() {
    for mode in [Mode::CrmExport, Mode::FullRestore, Mode::Undo] {
        let plan = with(|f| {
            f.gate.mode = mode;
            f.claim = Some(ClaimState { impossible: Some("it names Job x".into()), ..claim(0, false) });
        });
        assert_eq!((plan.phase, plan.reason.as_str()), (Some(Phase::NeedsAttention), "ClaimNotOurs"), "{mode}");
        assert!(plan.message.contains("it names Job x") && plan.message.contains("audit log"), "{}", plan.message);
    }
}

#[test]
fn nothing_is_begun_on_a_broken_record_and_the_request_still_ends() {
    let broken = |mutate: &dyn Fn(&mut RestoreInputs)| {
        with(|f| {
            f.record_error = Some("entry 2 is missing".into());
            mutate(f);
        })
    };
    let waits = broken(&|_| ());
    assert_eq!((waits.action, waits.reason.as_str()), (RestoreAction::Nothing, "RecordBroken"));
    assert_eq!((waits.waiting_on, waits.deadline.is_some()), (WaitingOn::PlatformTeam, true));
    let denied = broken(&|f| f.gate.approval = Approval::Denied { by: "anna".into(), why: "no".into() });
    assert_eq!(denied.phase, Some(Phase::Denied));
    assert_eq!(broken(&|f| f.deleting = Some(now())).action, RestoreAction::Release);
    let late = broken(&|f| (f.held_until, f.created) = (Some(now()), at("2026-11-10T00:00:00Z")));
    assert_eq!((late.phase, late.reason.as_str()), (Some(Phase::Expired), "RecordBroken"));
    for mode in [Mode::CrmExport, Mode::FullRestore] {
        let claimed = broken(&|f| (f.gate.mode, f.claim) = (mode, Some(claim(1, false))));
        assert_eq!((claimed.phase, claimed.reason.as_str()), (Some(Phase::NeedsAttention), "RecordBroken"), "{mode}");
    }
    let running = broken(&|f| (f.claim, f.cutover) = (Some(claim(1, true)), StepState::Running { attempt: 1 }));
    assert_eq!(running.action, RestoreAction::Nothing, "what runs is waited for");
}

#[test]
fn i10_what_stands_in_the_way_ends_with_the_helpdesks_time_and_after_the_approval_with_the_hold() {
    let long_ago = at("2026-11-01T00:00:00Z");
    let unheld = with(|f| (f.created, f.approved_since, f.gate.held) = (long_ago, None, false));
    assert_eq!(
        (unheld.phase, unheld.reason.as_str()),
        (Some(Phase::Expired), "ApprovalExpired"),
        "a hold that is never granted"
    );
    let unpinned = with(|f| (f.created, f.approved_since, f.pinned) = (long_ago, None, false));
    assert_eq!(unpinned.phase, Some(Phase::Expired));
    let gone = Eligibility::NotYet { reason: "ReferenceGone".into(), message: "gone".into() };
    let paid = with(|f| (f.created, f.eligibility) = (long_ago, gone.clone()));
    assert_eq!(
        (paid.action, paid.deadline),
        (RestoreAction::Nothing, ready().held_until),
        "approved and paid: it may come back"
    );
    let over = with(|f| (f.created, f.eligibility, f.held_until) = (long_ago, gone.clone(), Some(now())));
    assert_eq!((over.phase, over.reason.as_str()), (Some(Phase::Expired), "HoldExpired"));
    let away = with(|f| {
        (f.created, f.approved_since, f.gate.held, f.pinned) = (long_ago, Some(now()), false, false);
    });
    assert_eq!(away.action, RestoreAction::Pin, "signed while the operator was away");
}

#[test]
fn i10_after_the_claim_too_nothing_is_waited_for_without_end() {
    for (mode, step) in [(Mode::CrmExport, RestoreStep::Export), (Mode::FullRestore, RestoreStep::Cutover)] {
        let running = |minutes| {
            with(|f| {
                (f.gate.mode, f.claim) = (mode, Some(claim(minutes, true)));
                f.held_until = Some(now() - TimeDelta::minutes(minutes - 60));
                let running = StepState::Running { attempt: 1 };
                if step == RestoreStep::Export { f.export = running } else { f.cutover = running }
            })
        };
        assert!(running(1).deadline.is_some_and(|deadline| deadline > now()), "{mode}");
        let over = running(5 * 60 + 15);
        assert_eq!((over.phase, over.reason.as_str()), (Some(Phase::NeedsAttention), "JobOverdue"), "{mode}");
    }
}

#[test]
fn a_pods_clock_that_is_ahead_does_not_make_us_wait_by_it() {
    let plan = with(|f| f.unknown_claim = Some(proof(-3600, StepState::None)));
    assert_eq!(plan.reason, "ClaimedBefore");
    assert_eq!(plan.phase, Some(Phase::NeedsAttention));
    let undone = with(|f| (f.gate.mode, f.unknown_claim) = (Mode::Undo, Some(proof(60, cut_over()))));
    assert!(matches!(undone.action, RestoreAction::Finish(Terminal::Restored { .. })));
}
