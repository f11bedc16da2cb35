//! Maintenance windows, and the pauses after failed attempts.

use super::*;

fn gone(attempt: i32, minutes_ago: i64) -> StepState {
    StepState::Lost { attempt, message: "evicted".into(), at: now() - TimeDelta::minutes(minutes_ago) }
}

fn away(attempt: i32, minutes_ago: i64) -> StepState {
    let at = now() - TimeDelta::minutes(minutes_ago);
    StepState::Failed { attempt, retryable: true, reason: "Unreachable".into(), message: "db: refused".into(), at }
}

fn exporting(f: &mut RestoreInputs) {
    (f.gate.mode, f.claim) = (Mode::CrmExport, Some(claim(60, true)));
}

#[test]
fn a_drained_node_and_a_server_that_is_away_cost_time_and_not_the_request() {
    // Whatever is tried for the fortieth time waits half an hour, as the sixth does.
    for (attempt, pause) in [(1, 1), (2, 2), (3, 4), (5, 16), (6, 30), (40, 30)] {
        for failed in [gone as fn(i32, i64) -> StepState, away] {
            let early = with(|f| f.prepare = failed(attempt, pause - 1));
            assert_eq!((early.action, early.phase), (RestoreAction::Nothing, Some(Phase::Preparing)), "{attempt}");
            assert_eq!(early.wake, Some(now() + TimeDelta::minutes(1)));
            let due = with(|f| f.prepare = failed(attempt, pause));
            assert_eq!(due.action, RestoreAction::Start(RestoreStep::Prepare, attempt + 1));
            let export = with(|f| (exporting(f), f.export = failed(attempt, pause)).0);
            assert_eq!(
                export.action,
                RestoreAction::Start(RestoreStep::Export, attempt + 1),
                "an export can be written again"
            );
        }
    }
}

#[test]
fn i10_a_pause_says_what_failed_whom_it_waits_for_until_when_and_what_comes_next() {
    let pod = with(|f| f.prepare = gone(2, 0));
    assert_eq!((pod.reason.as_str(), pod.waiting_on), ("PrepareLost", WaitingOn::Operator));
    let server = with(|f| f.prepare = away(2, 0));
    assert_eq!((server.reason.as_str(), server.waiting_on), ("Unreachable", WaitingOn::PlatformTeam));
    let message = "attempt 2 failed: db: refused; the next one begins at 2026-11-22 12:02:00 UTC";
    assert_eq!(server.message, message);
    for plan in [pod, server] {
        assert_eq!((plan.deadline, plan.wake), (ready().held_until, Some(now() + TimeDelta::minutes(2))));
    }
    let export = with(|f| (exporting(f), f.export = away(1, 0)).0);
    assert_eq!((export.phase, export.deadline), (Some(Phase::Exporting), ready().held_until));
}

#[test]
fn what_the_next_attempt_would_meet_again_ends_the_request_after_three() {
    let ended = |plan: RestorePlan| match plan.action {
        RestoreAction::Finish(Terminal::Failed { reason, .. }) => Some(reason),
        _ => None,
    };
    for faults in 0..MAX_ATTEMPTS {
        assert_eq!(ended(with(|f| (f.prepare, f.faults) = (failed(9, true), faults))), None, "{faults}");
    }
    let over = |f: &mut RestoreInputs| f.faults = MAX_ATTEMPTS;
    assert_eq!(ended(with(|f| (over(f), f.prepare = failed(9, true)).0)).as_deref(), Some("DiskFull"));
    assert_eq!(ended(with(|f| (over(f), f.prepare = gone(9, 60)).0)).as_deref(), Some("PrepareLost"));
    assert_eq!(ended(with(|f| (over(f), exporting(f), f.export = gone(9, 60)).0)).as_deref(), Some("ExportLost"));
    assert_eq!(ended(with(|f| f.prepare = failed(1, false))).as_deref(), Some("DiskFull"), "refused for good");
    for (reason, fault) in [("ToolFailed", true), ("Incomplete", true), ("Unreachable", false), ("Cancelled", false)] {
        assert_eq!(is_fault(reason), fault, "{reason}");
    }
}

#[test]
fn i1_another_attempt_takes_both_keys_and_a_place_again() {
    let due = |change: fn(&mut RestoreInputs)| with(move |f| (f.prepare = gone(1, 9), change(f)).0);
    assert_eq!(due(|f| f.slot_free = false).reason, "RestoreLaneFull");
    assert_eq!(due(|f| f.gate.payment = Payment::Open).phase, Some(Phase::AwaitingPayment));
    let denied = due(|f| f.gate.approval = Approval::Denied { by: "anna".into(), why: "no".into() });
    assert_eq!(denied.phase, Some(Phase::Denied));
    assert_eq!(due(|f| f.gate.policies = Err("gone".into())).action, RestoreAction::Nothing);
}

#[test]
fn i10_attempts_end_with_the_hold_and_an_export_says_why() {
    let plan = with(|f| (f.prepare, f.held_until) = (away(4, 1), Some(now())));
    assert!(matches!(&plan.action, RestoreAction::Finish(Terminal::Expired { reason: "HoldExpired", .. })), "{plan:?}");
    assert!(plan.message.contains("db: refused"), "{}", plan.message);
    let export = with(|f| (exporting(f), f.export = away(4, 1), f.held_until = Some(now())).0);
    assert_eq!((export.phase, export.reason.as_str()), (Some(Phase::Failed), "Unreachable"));
    let soon = now() + TimeDelta::seconds(5);
    let last = with(|f| (f.prepare, f.held_until) = (away(4, 1), Some(soon)));
    assert_eq!((last.deadline, last.wake), (Some(soon), Some(soon)));
}

#[test]
fn a_maintenance_window_is_waited_for_and_not_overrun() {
    let begin = at("2026-11-23T01:00:00Z");
    let plan = with(|f| (f.prepare, f.not_before) = (prepared(), Some(begin)));
    assert_eq!((plan.reason.as_str(), plan.wake), ("AwaitingWindow", Some(begin)));
    let end = now() + TimeDelta::hours(1);
    for change in [
        (|f| f.gate.approval = Approval::Undecided) as fn(&mut RestoreInputs),
        |f| f.preflight = StepState::Running { attempt: 1 },
        |f| f.gate.payment = Payment::Open,
        |f| f.prepare = StepState::Running { attempt: 1 },
        |f| f.prepare = gone(7, 0),
        |f| (f.prepare, f.dumping) = (prepared(), true),
    ] {
        let plan = with(|f| (change(f), f.not_after = Some(end)).0);
        assert_eq!(plan.deadline, Some(end), "I10: {plan:?}");
        assert!(plan.wake.is_some_and(|wake| wake <= end), "{plan:?}");
    }
}

#[test]
fn a_window_in_which_nothing_can_be_done_ends_the_request_before_anybody_pays() {
    let ended = |change: fn(&mut RestoreInputs), mode| {
        let plan = with(|f| {
            (f.gate.payment, f.gate.mode) = (Payment::Open, mode);
            change(f);
        });
        match plan.action {
            RestoreAction::Finish(Terminal::Failed { reason, .. }) => Some(reason),
            _ => None,
        }
    };
    let missed = |f: &mut RestoreInputs| f.not_after = Some(now());
    let beyond = |f: &mut RestoreInputs| f.not_before = f.held_until;
    for mode in [Mode::FullRestore, Mode::Undo] {
        assert_eq!(ended(missed, mode).as_deref(), Some("WindowMissed"));
        assert_eq!(ended(beyond, mode).as_deref(), Some("WindowBeyondHold"));
        assert_eq!(ended(|f| f.not_before = Some(now() + TimeDelta::days(17)), mode), None);
        assert_eq!(ended(|f| f.not_after = Some(now() + TimeDelta::seconds(1)), mode), None);
    }
    assert_eq!(ended(missed, Mode::CrmExport), None, "an export swaps nothing");
    assert_eq!(ended(beyond, Mode::CrmExport), None);
    // Nobody has to hold a backup, or look at a server, to see it.
    assert_eq!(
        ended(|f| (f.not_after, f.pinned) = (Some(now()), false), Mode::FullRestore).as_deref(),
        Some("WindowMissed")
    );
    for prepare in [StepState::Running { attempt: 1 }, prepared(), gone(1, 0)] {
        let plan = with(|f| (f.prepare, f.not_after) = (prepare.clone(), Some(now())));
        assert_eq!(plan.reason, "WindowMissed", "nor is anything done for nothing");
    }
    let claimed = with(|f| (f.claim, f.not_after) = (Some(claim(1, false)), Some(now())));
    assert_eq!(claimed.action, RestoreAction::Start(RestoreStep::Cutover, 1), "the worker refuses it: see start_by");
}

#[test]
fn a_swap_is_not_begun_after_its_window() {
    let longest = TimeDelta::seconds(300);
    let usual = now() + TimeDelta::minutes(10);
    for (end, by) in [
        (None, usual),
        (Some(now() + TimeDelta::hours(1)), usual),
        (Some(now() + TimeDelta::seconds(7)), now() + TimeDelta::seconds(7)),
    ] {
        assert_eq!(start_by(now(), longest, end), by);
    }
}

#[test]
fn a_request_that_is_deleted_before_its_claim_takes_what_it_prepared_with_it() {
    let deleted = |minutes: i64, owes: bool| {
        with(|f| (f.deleting, f.prepared_left) = (Some(now() - TimeDelta::minutes(minutes)), owes))
    };
    let drops = deleted(0, true);
    assert_eq!((drops.action, drops.deadline), (RestoreAction::Drop, Some(now() + TimeDelta::minutes(15))), "I10");
    assert!(drops.wake.is_some_and(|wake| wake <= now() + RECHECK));
    assert_eq!(deleted(15, true).action, RestoreAction::Release, "a server that is away keeps nobody from deleting");
    assert_eq!(deleted(0, false).action, RestoreAction::Release);
    assert_eq!(
        with(|f| (f.ended, f.deleting, f.prepared_left) = (true, Some(now()), true)).action,
        RestoreAction::Release
    );
}
