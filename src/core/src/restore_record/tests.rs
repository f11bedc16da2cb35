//! A request that waits for the helpdesk, and one that has ended; each test changes a few facts and expects one plan.

use super::*;
use crate::audit::{AuditEntry, AuditEvent, VERSION};

fn now() -> DateTime<Utc> {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

fn hours(ago: i64) -> DateTime<Utc> {
    now() - TimeDelta::hours(ago)
}

/// Created an hour ago, and waits for the helpdesk.
fn waiting() -> RecordInputs {
    RecordInputs {
        state: RecordState::UpToDate,
        keys_unnamed: false,
        head_behind: true,
        created: hours(1),
        approved_since: None,
        waiting_on: Some(WaitingOn::Helpdesk),
        deadline: Some(hours(1) + TimeDelta::hours(72)),
        message: "the helpdesk decides".to_owned(),
        reminded: None,
        paid: false,
        reference: None,
        refund: None,
        refund_shown: false,
        claimed: false,
        end: None,
        released: false,
        deleting: false,
        nothing_left: true,
        retention: TimeDelta::days(90),
    }
}

fn with(mutate: impl Fn(&mut RecordInputs)) -> RecordPlan {
    let mut facts = waiting();
    mutate(&mut facts);
    decide(&facts, now())
}

/// Paid, ended so many days ago without result, and released.
fn failed(f: &mut RecordInputs, days: i64) {
    f.end = Some(RecordedEnd { at: now() - TimeDelta::days(days), delivered: false, unknown: false });
    (f.paid, f.released, f.waiting_on) = (true, true, Some(WaitingOn::Billing));
    (f.reference, f.deadline) = (Some("INV-1".to_owned()), None);
}

fn done(f: &mut RecordInputs, days: i64) {
    failed(f, days);
    f.end = f.end.map(|end| RecordedEnd { delivered: true, ..end });
}

#[test]
fn i10_people_are_reminded_before_their_time_is_over_and_once() {
    let asked = |ago: i64, reminded: Option<i64>| {
        with(|f| {
            (f.created, f.deadline) = (hours(ago), Some(hours(ago) + TimeDelta::hours(72)));
            f.reminded = reminded.map(hours);
        })
    };
    let early = asked(1, None);
    assert_eq!((early.remind, early.wake), (None, Some(now() + TimeDelta::hours(35))));
    let half = asked(36, None).remind.unwrap();
    assert_eq!((half.mark, half.on), (now(), WaitingOn::Helpdesk));
    assert_eq!(half.text, "waiting for Helpdesk until 2026-11-24 00:00 UTC: the helpdesk decides");
    assert_eq!(asked(37, Some(1)).remind, None);
    assert_eq!(asked(69, Some(33)).remind.unwrap().mark, hours(1));
    let billing = with(|f| {
        (f.waiting_on, f.approved_since) = (Some(WaitingOn::Billing), Some(hours(60)));
        (f.deadline, f.reminded) = (Some(hours(60) + TimeDelta::hours(120)), Some(hours(70)));
    });
    assert_eq!(billing.remind.map(|r| (r.mark, r.on)), Some((now(), WaitingOn::Billing)));
    for on in [None, Some(WaitingOn::Operator), Some(WaitingOn::PlatformTeam), Some(WaitingOn::Queue)] {
        let plan = with(|f| (f.waiting_on, f.created) = (on, hours(70)));
        assert_eq!(plan.remind, None, "{on:?}: nobody is asked for anything");
    }
}

#[test]
fn i10_a_refund_is_waited_for_with_a_deadline_and_reminders() {
    let owed = |days: i64, reminded: Option<i64>| with(|f| (failed(f, days), f.reminded = reminded.map(hours)).0);
    let fresh = owed(0, None);
    let due = fresh.refund_due.unwrap();
    assert_eq!((due.due, due.reason), (Some(true), "PaidAndNotDelivered"));
    assert_eq!((fresh.remind, fresh.wake), (None, Some(now() + TimeDelta::days(7))));
    assert_eq!(owed(7, None).remind.map(|r| (r.mark, r.on)), Some((now(), WaitingOn::Billing)));
    assert_eq!(owed(7, Some(0)).remind, None);
    let late = owed(15, None);
    assert_eq!(late.refund_due.unwrap().reason, "RefundOverdue");
    assert_eq!((late.remind, late.wake), (None, None));
}

#[test]
fn a_refund_is_due_for_what_was_paid_and_not_delivered() {
    type Change = fn(&mut RecordInputs);
    type Said = Option<(Option<bool>, &'static str)>;
    let cases: [(&str, Change, Said); 6] = [
        ("open", |f| f.paid = true, None),
        ("failed", |f| failed(f, 1), Some((Some(true), "PaidAndNotDelivered"))),
        ("not paid", |f| (failed(f, 1), f.paid = false).0, None),
        ("delivered", |f| done(f, 1), None),
        ("refunded", |f| (failed(f, 1), f.refund = Some("R-1".into())).0, Some((Some(false), "RefundRecorded"))),
        (
            "nobody knows",
            |f| (failed(f, 1), f.end = f.end.map(|end| RecordedEnd { unknown: true, ..end })).0,
            Some((None, "OutcomeUnknown")),
        ),
    ];
    for (what, change, wanted) in cases {
        let found = with(change).refund_due;
        assert_eq!(found.map(|refund| (refund.due, refund.reason)), wanted, "{what}");
    }
}

#[test]
fn the_head_goes_into_status_before_the_claim_and_after_the_end_and_not_between() {
    type Change = fn(&mut RecordInputs);
    let cases: [(&str, Change, bool); 10] = [
        ("an entry more, and people wait", |_| (), false),
        ("both keys", |f| f.keys_unnamed = true, true),
        ("both keys, and the record is behind", |f| (f.keys_unnamed, f.state) = (true, RecordState::Behind), false),
        ("both keys, and the record is broken", |f| (f.keys_unnamed, f.state) = (true, RecordState::Broken), false),
        ("claimed", |f| (f.keys_unnamed, f.claimed) = (true, true), false),
        ("ended, and the backup is held", |f| (done(f, 1), f.released = false).0, false),
        ("ended", |f| done(f, 1), true),
        ("ended, named", |f| (done(f, 1), f.head_behind = false).0, false),
        ("a refund is due, and status does not say so", |f| failed(f, 1), false),
        ("a refund is due", |f| (failed(f, 1), f.refund_shown = true).0, true),
    ];
    for (what, change, wanted) in cases {
        assert_eq!(with(change).write_head, wanted, "{what}");
    }
}

#[test]
fn what_is_owed_and_what_is_not_recorded_keeps_the_request() {
    type Change = fn(&mut RecordInputs);
    use RecordAction::{Delete, LetGo, Nothing};
    let cases: [(&str, Change, RecordAction); 13] = [
        ("open", |_| (), Nothing),
        ("deleted before its claim", |f| f.deleting = true, LetGo),
        ("deleted, the bucket away", |f| (f.deleting, f.state) = (true, RecordState::Behind), LetGo),
        ("deleted after its claim", |f| (f.deleting, f.claimed) = (true, true), Nothing),
        ("done, its head not named", |f| done(f, 1), Nothing),
        ("done", |f| (done(f, 1), f.head_behind = false).0, LetGo),
        ("done, the bucket away", |f| (done(f, 1), (f.head_behind, f.state) = (false, RecordState::Behind)).0, Nothing),
        ("done, still held", |f| (done(f, 1), (f.head_behind, f.released) = (false, false)).0, Nothing),
        ("done and deleted", |f| (done(f, 1), f.deleting = true).0, LetGo),
        ("owed", |f| (failed(f, 1), (f.head_behind, f.refund_shown) = (false, true)).0, Nothing),
        ("owed and deleted", |f| (failed(f, 100), (f.deleting, f.refund_shown) = (true, true)).0, Nothing),
        ("its retention is over", |f| done(f, 90), Delete),
        ("over, a database left", |f| (done(f, 90), (f.nothing_left, f.head_behind) = (false, false)).0, LetGo),
    ];
    for (what, change, wanted) in cases {
        assert_eq!(with(change).action, wanted, "{what}");
    }
    assert_eq!(with(|f| done(f, 1)).wake, Some(now() + TimeDelta::days(89)));
}

#[test]
fn whoever_deletes_what_was_paid_is_told_of_the_debt() {
    assert_eq!(with(|f| f.deleting = true).warning, None);
    let paid = |f: &mut RecordInputs| (f.deleting, f.paid, f.reference) = (true, true, Some("INV-1".into()));
    assert!(with(paid).warning.unwrap().starts_with("deleted after it was paid (INV-1) and before it ran"));
    assert_eq!(with(|f| (paid(f), f.claimed = true).0).warning, None, "it runs to its end");
    assert!(with(|f| (failed(f, 1), f.deleting = true).0).warning.unwrap().contains("it stays until billing"));
    assert_eq!(with(|f| (done(f, 1), f.deleting = true).0).warning, None);
}

#[test]
fn since_which_entry_the_record_has_the_keys() {
    let decision = |decision: &str| Some(AuditedDecision { decision: decision.to_owned(), by: None });
    let payment = |paid| {
        let (reason, none) = ("R".to_owned(), None);
        Some(AuditedPayment { paid, reason, reference: none.clone(), amount: none.clone(), currency: none, by: None })
    };
    let entry = |seq: i64, approval: &Option<AuditedDecision>, payment: &Option<AuditedPayment>| {
        let state = AuditState { approval: approval.clone(), payment: payment.clone(), ..AuditState::default() };
        let (uid, event) = ("u".to_owned(), AuditEvent::Phase);
        Recorded::of(AuditEntry { version: VERSION, uid, seq, previous: None, at: now(), event, by: None, state })
    };
    let entries = [
        entry(1, &None, &None),
        entry(2, &decision("Approved"), &None),
        entry(3, &decision("Approved"), &payment(true)),
        entry(4, &decision("Approved"), &payment(true)),
    ];
    let keys = RecordedKeys::after(None, &entries).unwrap();
    assert!(keys.are_both() && keys.are_within(Some(3)) && !keys.are_within(Some(2)) && !keys.are_within(None));
    assert!(keys.are_those_of(&entries[2].entry.state) && !keys.are_those_of(&entries[1].entry.state));
    let more = RecordedKeys::after(Some(keys.clone()), &[entry(5, &decision("Approved"), &payment(true))]).unwrap();
    assert!(more.are_within(Some(3)), "nothing of them has changed");
    for (approval, payment) in [(decision("Denied"), payment(true)), (decision("Approved"), payment(false))] {
        let changed = RecordedKeys::after(Some(keys.clone()), &[entry(5, &approval, &payment)]).unwrap();
        assert!(!changed.are_both() && !changed.are_within(Some(4)));
    }
}
