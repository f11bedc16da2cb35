//! Decisions about a replaced database, with one input changed at a time.

use super::*;
use crate::result::{Done, Preflight};
use proptest::prelude::*;

fn now() -> DateTime<Utc> {
    "2026-11-25T12:00:00Z".parse().unwrap()
}

/// Swapped a day ago, dumped, the window open.
fn replaced() -> CleanupInputs {
    CleanupInputs {
        ended: true,
        claimed: true,
        deleting: None,
        stopped: false,
        nothing_left: false,
        undo_until: Some(now() + TimeDelta::hours(48)),
        undoing: UndoRequests::None,
        held_by: None,
        safety_backup_ready: true,
        safety_backup: StepState::None,
        dropping: false,
        drop_step: StepState::None,
        dropped: false,
        leftover: false,
        reachable: true,
        slot_free: true,
    }
}

fn with(mutate: impl Fn(&mut CleanupInputs)) -> CleanupPlan {
    let mut facts = replaced();
    mutate(&mut facts);
    decide(&facts, now())
}

fn failed(attempt: i32, minutes_ago: i64) -> StepState {
    let at = now() - TimeDelta::minutes(minutes_ago);
    StepState::Failed { attempt, retryable: false, reason: "X".into(), message: "no room".into(), at }
}

fn over(f: &mut CleanupInputs) {
    f.undo_until = Some(now());
}

#[test]
fn a_previous_database_is_dumped_then_waits_for_the_window_then_goes() {
    assert_eq!(with(|f| f.safety_backup_ready = false).action, CleanupAction::Start(RestoreStep::SafetyBackup, 1));
    let waits = with(|_| ());
    assert_eq!(
        (waits.action, waits.undo, waits.wake),
        (CleanupAction::Nothing, UndoAvailability::Available, replaced().undo_until)
    );
    assert_eq!(with(over).action, CleanupAction::BeginDropping);
    let dropped = with(|f| (over(f), f.dropping = true).1);
    assert_eq!(
        (dropped.action, dropped.undo),
        (CleanupAction::Start(RestoreStep::DropDatabase, 1), UndoAvailability::Gone)
    );
    assert_eq!(with(|f| (f.dropping, f.dropped) = (true, true)).reason, "Dropped");
    // The dump expired while something kept the drop from being done: made anew, and no Undo begins meanwhile.
    let anew = with(|f| (over(f), f.dropping = true, f.safety_backup_ready = false).2);
    assert_eq!((anew.action, anew.undo), (CleanupAction::Start(RestoreStep::SafetyBackup, 1), UndoAvailability::Gone));
}

#[test]
fn nothing_is_dropped_without_a_safety_dump_however_long_it_takes() {
    for safety in [StepState::None, StepState::Running { attempt: 1 }, failed(9, 1), failed(9, 100_000)] {
        let plan = with(|f| (over(f), f.safety_backup_ready = false, f.safety_backup = safety.clone()).2);
        assert!(
            matches!(plan.action, CleanupAction::Nothing | CleanupAction::Start(RestoreStep::SafetyBackup, _)),
            "{plan:?}"
        );
        assert_eq!(plan.undo, UndoAvailability::Available);
    }
}

#[test]
fn a_safety_dump_that_expires_is_made_anew_before_anything_is_dropped() {
    let expires = now() + TimeDelta::days(1);
    assert!(safety_backup_counts(expires + TimeDelta::seconds(1), now()) && !safety_backup_counts(expires, now()));
    assert_eq!(
        with(|f| (over(f), f.safety_backup_ready = false).0).action,
        CleanupAction::Start(RestoreStep::SafetyBackup, 1)
    );
    let dropping =
        |f: &mut CleanupInputs| (f.undo_until, f.dropping, f.safety_backup_ready) = (Some(now()), true, false);
    let anew = with(|f| (dropping(f), f.drop_step = failed(3, 9000)).0);
    assert_eq!((anew.action, anew.undo), (CleanupAction::Start(RestoreStep::SafetyBackup, 1), UndoAvailability::Gone));
    assert_eq!(
        with(|f| (dropping(f), f.drop_step = StepState::Running { attempt: 2 }).0).action,
        CleanupAction::Nothing
    );
}

#[test]
fn attempts_are_spread_out_and_never_end() {
    let next = |attempt, minutes| {
        with(|f| (f.safety_backup_ready, f.safety_backup) = (false, failed(attempt, minutes))).action
    };
    assert_eq!(next(1, 9), CleanupAction::Nothing);
    assert_eq!(next(1, 10), CleanupAction::Start(RestoreStep::SafetyBackup, 2));
    assert_eq!(next(2, 19), CleanupAction::Nothing);
    assert_eq!(next(40, 24 * 60 - 1), CleanupAction::Nothing);
    assert_eq!(next(40, 24 * 60), CleanupAction::Start(RestoreStep::SafetyBackup, 41));
    let plan = with(|f| (f.safety_backup_ready, f.safety_backup) = (false, failed(2, 1)));
    assert!(plan.note.contains("no room") && plan.wake.is_some(), "{plan:?}");
    assert_eq!(with(|f| (f.safety_backup_ready, f.slot_free) = (false, false)).action, CleanupAction::Nothing);
}

#[test]
fn an_undo_holds_it_from_its_creation_to_its_end() {
    let open = |f: &mut CleanupInputs| f.undoing = UndoRequests::Open("u".into());
    assert_eq!(with(|f| (open(f), over(f)).1).action, CleanupAction::Hold("u".into()));
    let held = with(|f| (open(f), over(f), f.held_by = Some("u".into())).2);
    assert_eq!((held.action, held.reason), (CleanupAction::Nothing, "HeldForUndo"));
    let over_now = with(|f| (over(f), f.held_by = Some("u".into())).1);
    assert_eq!(
        (over_now.action, over_now.undo),
        (CleanupAction::Release, UndoAvailability::Available),
        "the next round drops it"
    );
    let undone = with(|f| (over(f), f.undoing = UndoRequests::Done("u".into())).1);
    assert_eq!((undone.action, undone.reason), (CleanupAction::Nothing, "Undone"), "it is the live one");
    let unknown = with(|f| (over(f), f.undoing = UndoRequests::Unknown("u".into())).1);
    assert_eq!((unknown.action, unknown.undo), (CleanupAction::Nothing, UndoAvailability::Unknown));
}

#[test]
fn what_a_failed_restore_prepared_goes_at_once_and_what_nobody_prepared_is_not_looked_for() {
    let ended = |leftover, dropped| with(|f| (f.undo_until, f.leftover, f.dropped) = (None, leftover, dropped));
    assert_eq!(ended(true, false).action, CleanupAction::Start(RestoreStep::DropDatabase, 1));
    assert_eq!(ended(true, true).action, CleanupAction::Nothing);
    assert_eq!(ended(false, false).action, CleanupAction::Nothing);
    assert_eq!(ended(true, false).undo, UndoAvailability::Never);
}

#[test]
fn a_schedule_that_is_gone_is_told_and_nothing_is_guessed() {
    let gone = with(|f| (f.safety_backup_ready, f.reachable) = (false, false));
    assert!(gone.action == CleanupAction::Nothing && gone.note.contains("by hand"), "{gone:?}");
    let gone = with(|f| (f.dropping, f.reachable) = (true, false));
    assert!(gone.action == CleanupAction::Nothing && gone.note.contains("by hand"), "{gone:?}");
}

#[test]
fn i3_nothing_is_cleaned_up_before_restore_has_written_the_end() {
    let leftover = |ended, stopped| {
        with(|f| (f.undo_until, f.leftover, f.ended, f.claimed, f.stopped) = (None, true, ended, false, stopped)).action
    };
    assert_eq!(leftover(false, false), CleanupAction::Nothing);
    for written in [(true, false), (false, true)] {
        assert_eq!(leftover(written.0, written.1), CleanupAction::Start(RestoreStep::DropDatabase, 1));
    }
}

#[test]
fn i2_an_undo_that_is_found_when_the_drop_is_due_holds_it_up() {
    let found = with(|f| (over(f), f.dropping = true, f.undoing = UndoRequests::Open("u".into())).0);
    assert_eq!((found.action, found.undo), (CleanupAction::Nothing, UndoAvailability::Gone));
    assert!(found.wake.is_some() && found.note.contains("RestoreRequest u"), "{}", found.note);
    assert!(with(over).drops() && with(|f| (over(f), f.dropping = true).0).drops() && !with(|_| ()).drops());
}

#[test]
fn a_request_stays_while_a_database_of_it_is_on_the_server_unless_nobody_can_reach_that() {
    let minutes = |ago: i64| Some(now() - TimeDelta::minutes(ago));
    for (ended, claimed, deleting, nothing_left, reachable, wanted) in [
        (true, true, None, false, true, Finalizer::Stays),
        (true, true, None, true, true, Finalizer::Goes),
        (true, true, None, false, false, Finalizer::Stays),
        (true, true, minutes(9000), false, true, Finalizer::Stays),
        (true, true, minutes(1), false, false, Finalizer::GoesAndTells),
        (false, true, minutes(9000), false, true, Finalizer::Stays),
        (false, true, minutes(9000), true, false, Finalizer::Stays),
        (false, false, None, true, true, Finalizer::Stays),
        (false, false, minutes(1), true, true, Finalizer::Goes),
        (false, false, minutes(14), false, true, Finalizer::Stays),
        (false, false, minutes(15), false, true, Finalizer::GoesAndTells),
        (false, false, minutes(1), false, false, Finalizer::GoesAndTells),
    ] {
        let mut facts = replaced();
        (facts.ended, facts.claimed, facts.deleting) = (ended, claimed, deleting);
        (facts.nothing_left, facts.reachable) = (nothing_left, reachable);
        assert_eq!(finalizer(&facts, now()), wanted, "{facts:?}");
    }
}

fn step() -> impl Strategy<Value = StepState> {
    prop_oneof![
        Just(StepState::None),
        Just(StepState::Running { attempt: 1 }),
        Just(failed(1, 5)),
        Just(failed(3, 9000)),
        Just(StepState::Succeeded(Done::Preflighted(Preflight::default()))),
    ]
}

proptest! {
    #[test]
    fn i3_a_drop_begins_only_dumped_out_of_the_window_and_wanted_by_nobody(
        hours in -100_i64..100, open: bool, done: bool, unknown: bool, held: bool, safe: bool, dropping: bool,
        dropped: bool, reachable: bool, slot_free: bool, safety in step(), drop_step in step(),
    ) {
        let mut f = replaced();
        f.undo_until = Some(now() + TimeDelta::hours(hours));
        f.undoing = match (open, done, unknown) {
            (true, _, _) => UndoRequests::Open("u".into()),
            (_, true, _) => UndoRequests::Done("u".into()),
            (_, _, true) => UndoRequests::Unknown("u".into()),
            _ => UndoRequests::None,
        };
        f.held_by = held.then(|| "u".to_owned());
        (f.safety_backup_ready, f.dropping, f.dropped, f.reachable, f.slot_free) = (safe, dropping, dropped, reachable, slot_free);
        (f.safety_backup, f.drop_step) = (safety, drop_step);
        let plan = decide(&f, now());
        if plan.action == CleanupAction::BeginDropping {
            prop_assert!(safe && hours <= 0 && f.undoing == UndoRequests::None && !held);
        }
        if matches!(plan.action, CleanupAction::Start(RestoreStep::DropDatabase, _)) {
            prop_assert!(safe && dropping && !dropped && f.undoing == UndoRequests::None);
        }
        f.ended = false;
        prop_assert_eq!(decide(&f, now()).action, CleanupAction::Nothing);
    }
}
