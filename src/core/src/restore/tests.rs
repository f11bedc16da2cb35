//! Decisions about a request that is ready to restore, with one input changed at a time.

use super::*;
use crate::gate::{FourEyes, RunInputs};
use crate::result::{DatabaseNumber, Done, Preflight, TAKEN_BACK};
use proptest::prelude::*;

mod claims;
mod undo_and_lost;
mod waits;

use claims::proof;

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

pub(super) fn now() -> DateTime<Utc> {
    at("2026-11-22T12:00:00Z")
}

/// A FullRestore that is approved and paid, ready to prepare.
pub(super) fn ready() -> RestoreInputs {
    RestoreInputs {
        created: at("2026-11-22T10:00:00Z"),
        approved_since: Some(at("2026-11-22T11:00:00Z")),
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
        held_until: Some(at("2026-12-10T00:00:00Z")),
        claim: None,
        unknown_claim: None,
        record_error: None,
        keys_recorded: true,
        job_limit: TimeDelta::hours(1),
        preflight: StepState::Succeeded(Done::Preflighted(Preflight::default())),
        prepare: StepState::None,
        cutover: StepState::None,
        can_recover: false,
        recover: StepState::None,
        export: StepState::None,
        faults: 0,
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

fn with(mutate: impl Fn(&mut RestoreInputs)) -> RestorePlan {
    let mut facts = ready();
    mutate(&mut facts);
    decide(&facts, now())
}

fn failed(attempt: i32, retryable: bool) -> StepState {
    StepState::Failed { attempt, retryable, reason: "DiskFull".into(), message: "no room".into(), at: now() }
}

fn prepared() -> StepState {
    StepState::Succeeded(Done::Prepared {
        live_number: DatabaseNumber(1),
        new_number: DatabaseNumber(2),
        new_database: "n".into(),
        rows: 1,
        tables: 1,
        hooks: vec![],
    })
}

fn lost_long_ago() -> StepState {
    StepState::Lost { attempt: 1, message: "gone".into(), at: now() - TimeDelta::hours(1) }
}

fn lost() -> StepState {
    StepState::Lost { attempt: 1, message: "gone".into(), at: now() }
}

fn claim(minutes_ago: i64, job_seen: bool) -> ClaimState {
    ClaimState { at: now() - TimeDelta::minutes(minutes_ago), job_seen, job_exists: false, impossible: None }
}

#[test]
fn both_keys_lead_to_prepare_then_to_the_claim() {
    assert_eq!(with(|_| ()).action, RestoreAction::Start(RestoreStep::Prepare, 1));
    assert_eq!(with(|f| f.prepare = prepared()).action, RestoreAction::Claim(RestoreStep::Cutover));
    assert_eq!(with(|f| f.gate.mode = Mode::CrmExport).action, RestoreAction::Claim(RestoreStep::Export));
}

#[test]
fn checking_pins_holds_and_looks_in_this_order() {
    assert_eq!(with(|f| (f.pinned, f.gate.held) = (false, false)).action, RestoreAction::Pin);
    assert_eq!(with(|f| f.gate.held = false).action, RestoreAction::Hold);
    assert_eq!(with(|f| f.preflight = StepState::None).action, RestoreAction::Start(RestoreStep::Preflight, 1));
    assert_eq!(with(|f| f.preflight = failed(1, true)).action, RestoreAction::Nothing, "at most one in ten minutes");
    let lost = with(|f| f.preflight = StepState::Lost { attempt: 1, message: "killed".into(), at: now() });
    assert_eq!((lost.action, lost.reason.as_str()), (RestoreAction::Nothing, "PreflightLost"), "nor one that died");
    assert_eq!(with(|f| f.preflight = lost_long_ago()).action, RestoreAction::Start(RestoreStep::Preflight, 2));
}

#[test]
fn i10_a_server_that_is_never_fit_ends_the_request_at_the_deadline() {
    for preflight in [StepState::None, StepState::Running { attempt: 7 }, failed(7, true), lost_long_ago()] {
        let unfit = |mutate: &dyn Fn(&mut RestoreInputs)| {
            with(|f| {
                (f.preflight, f.created, f.approved_since) = (preflight.clone(), now() - TimeDelta::hours(72), None);
                mutate(f);
            })
        };
        let plan = unfit(&|_| ());
        assert_eq!((plan.phase, plan.reason.as_str()), (Some(Phase::Expired), "ApprovalExpired"), "{preflight:?}");
        let approved = |f: &mut RestoreInputs| {
            (f.approved_since, f.gate.payment) = (Some(now() - TimeDelta::hours(119)), Payment::Open);
        };
        assert_eq!(unfit(&approved).deadline, Some(now() + TimeDelta::hours(1)), "{preflight:?}");
        let paid = unfit(&|f| f.approved_since = Some(now() - TimeDelta::hours(119)));
        assert_eq!(paid.deadline, ready().held_until, "{preflight:?}");
    }
}

#[test]
fn i10_every_wait_says_for_whom_and_until_when() {
    let approval = with(|f| f.gate.approval = Approval::Undecided);
    assert_eq!((approval.phase, approval.waiting_on), (Some(Phase::AwaitingApproval), WaitingOn::Helpdesk));
    assert_eq!(approval.deadline, Some(at("2026-11-25T10:00:00Z")));
    let payment = with(|f| f.gate.payment = Payment::Open);
    assert_eq!((payment.phase, payment.waiting_on), (Some(Phase::AwaitingPayment), WaitingOn::Billing));
    assert_eq!(payment.deadline, Some(at("2026-11-27T11:00:00Z")));
    let policies = with(|f| f.gate.policies = Err("binding gone".into()));
    assert_eq!((policies.waiting_on, policies.reason.as_str()), (WaitingOn::PlatformTeam, "PoliciesMissing"));
    for plan in [approval, payment, policies] {
        assert!(plan.deadline.is_some() && plan.wake.is_some_and(|w| Some(w) <= plan.deadline), "{plan:?}");
    }
}

#[test]
fn payment_before_approval_is_kept_and_runs_nothing() {
    let plan = with(|f| f.gate.approval = Approval::Undecided);
    assert_eq!(plan.action, RestoreAction::Nothing);
    assert!(plan.message.contains("payment is kept"));
}

#[test]
fn deadlines_end_a_request_with_their_own_reason() {
    let late = |mutate: &dyn Fn(&mut RestoreInputs)| match with(mutate).action {
        RestoreAction::Finish(Terminal::Expired { reason, .. }) => reason,
        other => panic!("{other:?}"),
    };
    let long_ago = at("2026-11-10T00:00:00Z");
    assert_eq!(late(&|f| (f.created, f.gate.approval) = (long_ago, Approval::Undecided)), "ApprovalExpired");
    assert_eq!(late(&|f| (f.approved_since, f.gate.payment) = (Some(long_ago), Payment::Open)), "PaymentExpired");
    assert_eq!(late(&|f| f.held_until = Some(long_ago)), "HoldExpired");
}

#[test]
fn a_denial_and_an_impossible_request_end_it() {
    let denied = with(|f| f.gate.approval = Approval::Denied { by: "anna".into(), why: "not the owner".into() });
    assert!(matches!(denied.action, RestoreAction::Finish(Terminal::Denied(why)) if why.contains("not the owner")));
    let never = Eligibility::Never { reason: "NoBackupOfThatDay".into(), message: "none".into() };
    let failed = with(|f| f.eligibility = never.clone());
    assert!(
        matches!(failed.action, RestoreAction::Finish(Terminal::Failed { reason, .. }) if reason == "NoBackupOfThatDay")
    );
}

#[test]
fn i2_an_unknown_cut_over_is_never_tried_again() {
    let attention = |mutate: &dyn Fn(&mut RestoreInputs)| match with(mutate).action {
        RestoreAction::Finish(Terminal::NeedsAttention { reason, .. }) => reason,
        other => panic!("{other:?}"),
    };
    assert_eq!(attention(&|f| (f.claim, f.cutover) = (Some(claim(1, true)), lost())), "CutoverOutcomeUnknown");
    assert_eq!(attention(&|f| f.claim = Some(claim(1, true))), "CutoverJobGone");
    assert_eq!(attention(&|f| f.claim = Some(claim(6, false))), "CutoverNeverStarted");
    assert_eq!(with(|f| f.claim = Some(claim(1, false))).action, RestoreAction::Start(RestoreStep::Cutover, 1));
}

#[test]
fn i2_a_job_that_is_there_is_taken_up_however_late_and_a_new_one_is_made_only_soon_after_the_claim() {
    for (mode, step) in [(Mode::FullRestore, RestoreStep::Cutover), (Mode::CrmExport, RestoreStep::Export)] {
        let decided = |minutes, there| {
            with(|f| {
                f.gate.mode = mode;
                f.claim = Some(ClaimState { job_exists: there, ..claim(minutes, false) });
            })
        };
        assert_eq!(decided(4, false).action, RestoreAction::Start(step, 1));
        assert_eq!(decided(600, true).action, RestoreAction::Start(step, 1), "a crash before it was written down");
        assert_eq!(decided(5, false).phase, Some(Phase::NeedsAttention));
    }
}

#[test]
fn a_claim_outlives_revocation_and_deletion() {
    let plan = with(|f| {
        f.claim = Some(claim(1, true));
        f.cutover = StepState::Running { attempt: 1 };
        (f.deleting, f.prepared_left) = (Some(now()), true);
        f.gate.approval = Approval::Denied { by: "anna".into(), why: "too late".into() };
    });
    assert_eq!((plan.action, plan.phase), (RestoreAction::Nothing, Some(Phase::CuttingOver)));
    assert_eq!(with(|f| f.deleting = Some(now())).action, RestoreAction::Release, "before the claim it just goes");
}

#[test]
fn a_running_dump_and_a_full_lane_are_waited_for() {
    assert_eq!(with(|f| (f.prepare, f.dumping) = (prepared(), true)).reason, "DumpInProgress");
    assert_eq!(with(|f| f.slot_free = false).reason, "RestoreLaneFull");
}

#[test]
fn i5_nobody_is_waited_for_longer_than_the_backup_is_held() {
    let end = now() + TimeDelta::hours(5);
    for change in [
        (|f| f.gate.approval = Approval::Undecided) as fn(&mut RestoreInputs),
        |f| f.gate.payment = Payment::Open,
        |f| f.gate.payment = Payment::Reused { reference: "INV-1".into(), other: "first".into() },
        |f| f.gate.policies = Err("gone".into()),
        |f| f.slot_free = false,
        |f| (f.prepare, f.not_before) = (prepared(), Some(now() + TimeDelta::hours(4))),
        |f| f.prepare = lost(),
    ] {
        let plan = with(|f| (change(f), f.held_until = Some(end)).1);
        assert!(plan.deadline.is_some_and(|deadline| deadline <= end), "{plan:?}");
        assert!(plan.wake.is_some_and(|wake| wake <= end), "{plan:?}");
        let over = with(|f| (change(f), f.held_until = Some(now())).1);
        assert!(matches!(over.action, RestoreAction::Finish(Terminal::Expired { .. })), "{over:?}");
    }
}

#[test]
fn a_used_payment_reference_runs_nothing_and_waits_for_billing() {
    let reused = Payment::Reused { reference: "INV-1".into(), other: "first".into() };
    let plan = with(|f| f.gate.payment = reused.clone());
    assert_eq!((plan.action, plan.reason.as_str()), (RestoreAction::Nothing, "PaymentReferenceUsed"));
    assert_eq!((plan.phase, plan.waiting_on), (Some(Phase::AwaitingPayment), WaitingOn::Billing));
    assert_eq!((plan.deadline, plan.wake), (Some(at("2026-11-27T11:00:00Z")), Some(now() + RECHECK)));
    assert!(plan.message.contains("\"first\""), "{}", plan.message);
    let late = with(|f| (f.gate.payment, f.approved_since) = (reused.clone(), Some(at("2026-11-10T00:00:00Z"))));
    assert_eq!(late.reason, "PaymentExpired");
}

#[test]
fn i10_a_refund_is_waited_for_with_a_deadline() {
    let owed =
        |days: i64| with(|f| (f.ended, f.owed) = (true, Some(RefundOwed { since: now() - TimeDelta::days(days) })));
    let fresh = owed(0);
    assert_eq!((fresh.action, fresh.waiting_on), (RestoreAction::Release, WaitingOn::Billing));
    assert_eq!((fresh.deadline, fresh.wake), (Some(now() + TimeDelta::days(14)), Some(now() + TimeDelta::days(14))));
    let late = owed(15);
    assert_eq!((late.reason.as_str(), late.waiting_on, late.wake), ("RefundOverdue", WaitingOn::Billing, None));
    assert_eq!(with(|f| f.ended = true).waiting_on, WaitingOn::Nobody);
}

#[test]
fn i1_nothing_is_claimed_before_status_names_the_record_of_both_keys() {
    for change in
        [|f: &mut RestoreInputs| f.gate.mode = Mode::CrmExport, |f: &mut RestoreInputs| f.prepare = prepared()]
    {
        let plan = with(|f| (change(f), f.keys_recorded = false).1);
        assert_eq!((plan.action, plan.wake), (RestoreAction::AwaitRecord, Some(now() + RECHECK)));
    }
}

#[test]
fn an_approval_withdrawn_while_preparing_ends_it_and_the_claim_is_never_written() {
    let denied = Approval::Denied { by: "anna".into(), why: "the owner changed their mind".into() };
    for prepare in [StepState::Running { attempt: 1 }, prepared(), failed(1, true)] {
        let plan = with(|f| (f.gate.approval, f.prepare) = (denied.clone(), prepare.clone()));
        assert!(matches!(plan.action, RestoreAction::Finish(Terminal::Denied(_))), "{prepare:?}: {plan:?}");
    }
    let charged_back = with(|f| (f.gate.payment, f.prepare) = (Payment::Open, prepared()));
    assert_eq!((charged_back.action, charged_back.phase), (RestoreAction::Nothing, Some(Phase::AwaitingPayment)));
}

fn step() -> impl Strategy<Value = StepState> {
    prop_oneof![
        Just(StepState::None),
        Just(StepState::Running { attempt: 1 }),
        Just(prepared()),
        Just(failed(1, true)),
        Just(failed(3, false)),
        Just(lost()),
    ]
}

proptest! {
    #[test]
    fn i1_no_job_and_no_claim_unless_every_lock_is_open(
        prepare in step(), preflight in step(), export_mode: bool, pinned: bool, held: bool, eligible: bool,
        approved: bool, paid: bool, intact: bool, ended: bool, deleting: bool, begun: bool,
    ) {
        let mut f = ready();
        f.unknown_claim = begun.then(|| proof(600, StepState::None));
        if export_mode { f.gate.mode = Mode::CrmExport }
        if !approved { f.gate.approval = Approval::Undecided }
        if !paid { f.gate.payment = Payment::Open }
        if !intact { f.gate.policies = Err("x".into()) }
        if !eligible {
            f.eligibility = Eligibility::NotYet { reason: "X".into(), message: String::new() };
        }
        (f.prepare, f.preflight, f.pinned, f.gate.held, f.gate.eligible) = (prepare, preflight, pinned, held, eligible);
        (f.ended, f.deleting) = (ended, deleting.then(now));
        let acts = matches!(
            decide(&f, now()).action,
            RestoreAction::Claim(_) | RestoreAction::Start(RestoreStep::Prepare | RestoreStep::Cutover | RestoreStep::Export, _)
        );
        let open = pinned && held && eligible && approved && paid && intact && !ended && !deleting && !begun;
        prop_assert!(!acts || open, "{:?}", decide(&f, now()));
    }

    #[test]
    fn i2_an_ended_request_only_lets_go(prepare in step(), cutover in step(), export in step(), claimed: bool) {
        let mut f = ready();
        (f.prepare, f.cutover, f.export, f.ended) = (prepare, cutover, export, true);
        f.claim = claimed.then(|| claim(1, true));
        prop_assert_eq!(decide(&f, now()).action, RestoreAction::Release);
    }
}
