//! Each change makes one entry, in order; every way to tamper with a chain is found.

use super::*;
use proptest::prelude::*;

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn subject() -> Subject {
    Subject { request: "t-1".into(), ticket: "4711".into(), requested_by: Some("hanna".into()), ..Subject::default() }
}

/// A request from its creation to its end.
fn life() -> Vec<AuditState> {
    let mut state = AuditState { subject: subject(), ..AuditState::default() };
    let mut all = vec![state.clone()];
    let mut step = |change: &dyn Fn(&mut AuditState)| {
        change(&mut state);
        all.push(state.clone());
    };
    let backup = AuditedBackup {
        id: "20261120T021000Z-1a2b3c4d".into(),
        day: "2026-11-20".parse().unwrap(),
        snapshot_time: at("2026-11-20T02:10:00Z"),
        manifest_sha256: "ab".repeat(32),
    };
    step(&|s| s.backup = Some(backup.clone()));
    step(&|s| s.held = true);
    step(&|s| s.approval = Some(AuditedDecision { decision: "Approved".into(), by: Some("hanna".into()) }));
    step(&|s| s.payment = Some(AuditedPayment { paid: true, by: Some("bill".into()), ..AuditedPayment::default() }));
    step(&|s| s.claim = Some(AuditedClaim { job: "j".into(), at: at("2026-11-22T12:00:00Z") }));
    let ended = |reason: &str| AuditedEnd {
        outcome: "Failed".into(),
        reason: reason.into(),
        at: at("2026-11-22T13:00:00Z"),
        previous_database: None,
        export_sha256: None,
    };
    step(&|s| (s.end, s.refund_due) = (Some(ended("DiskFull")), true));
    step(&|s| {
        (s.refund, s.refund_by) = (Some("R-1".into()), Some("bill".into()));
        (s.refund_due, s.held) = (false, false);
    });
    all
}

/// The chain of that life.
fn chain() -> Vec<Recorded> {
    let mut all: Vec<Recorded> = Vec::new();
    for state in life() {
        let more = follow("u", all.last(), &state, at("2026-11-22T12:00:00Z"));
        all.extend(more);
    }
    all
}

fn stored(chain: &[Recorded]) -> Vec<StoredEntry> {
    let file =
        |r: &Recorded| StoredEntry { key: format!("{}", r.entry.seq), seq: Some(r.entry.seq), bytes: r.bytes.clone() };
    chain.iter().map(file).collect()
}

fn head(chain: &[Recorded]) -> ChainHead {
    let last = chain.last().unwrap();
    ChainHead { seq: last.entry.seq, sha256: last.sha256.clone() }
}

#[test]
fn a_life_is_told_in_order_with_who_did_what() {
    let chain = chain();
    let events: Vec<(String, Option<&str>)> =
        chain.iter().map(|r| (r.entry.event.to_string(), r.entry.by.as_deref())).collect();
    let events: Vec<(&str, Option<&str>)> = events.iter().map(|(event, by)| (event.as_str(), *by)).collect();
    assert_eq!(
        events,
        [
            ("Created", Some("hanna")),
            ("BackupChosen", None),
            ("Held", None),
            ("Approved", Some("hanna")),
            ("Paid", Some("bill")),
            ("Claimed", None),
            ("Ended", None),
            ("RefundDue", None),
            ("Released", None),
            ("Refunded", Some("bill")),
        ]
    );
    assert_eq!(verify("u", &stored(&chain), Some(&head(&chain)), 1).unwrap().entries, chain);
    assert_eq!(follow("u", chain.last(), life().last().unwrap(), at("2026-11-23T00:00:00Z")), [], "recorded once");
}

#[test]
fn each_change_has_its_own_name() {
    let all = life();
    let full = all.last().unwrap().clone();
    let events = |change: &dyn Fn(&mut AuditState)| -> Vec<AuditEvent> {
        let mut now = full.clone();
        change(&mut now);
        transitions(Some(&full), &now).into_iter().map(|(event, ..)| event).collect()
    };
    assert_eq!(events(&|_| ()), []);
    assert_eq!(events(&|s| s.subject.tenant = Some("acme".into())), [], "what it is is learned, not changed");
    assert_eq!(events(&|s| s.approval.as_mut().unwrap().decision = "Denied".into()), [AuditEvent::Denied]);
    assert_eq!(events(&|s| s.payment.as_mut().unwrap().paid = false), [AuditEvent::PaymentChanged]);
    assert_eq!(events(&|s| s.payment.as_mut().unwrap().reference = Some("INV-2".into())), [AuditEvent::PaymentChanged]);
    assert_eq!(events(&|s| s.claim = None), [AuditEvent::ClaimVanished]);
    assert_eq!(events(&|s| s.end = None), [AuditEvent::EndVanished]);
    assert_eq!(events(&|s| s.deleted = true), [AuditEvent::Deleted]);
    assert_eq!(
        events(&|s| (s.end, s.phase) = (None, Some("Queued".into()))),
        [AuditEvent::Phase, AuditEvent::EndVanished]
    );
}

#[test]
fn a_crash_between_two_entries_loses_neither_and_forks_nothing() {
    let (states, whole) = (life(), chain());
    let time = at("2026-11-22T12:00:00Z");
    let at_once = follow("u", None, states.last().unwrap(), time);
    for cut in 1..=at_once.len() {
        let rest = follow("u", Some(&at_once[cut - 1]), states.last().unwrap(), time);
        let all: Vec<Recorded> = at_once[..cut].iter().cloned().chain(rest).collect();
        assert_eq!(all, at_once, "cut after {cut}");
    }
    // A status that lags behind the bucket: what is there already is adopted.
    let stale = head(&whole[..4]);
    let tail = verify("u", &stored(&whole), Some(&stale), 4).unwrap();
    assert_eq!((tail.beyond, tail.entries.last()), (whole.len() - 4, whole.last()));
}

#[test]
fn every_way_to_tamper_is_found() {
    let (whole, end) = (chain(), head(&chain()));
    let found = |tamper: &dyn Fn(&mut Vec<StoredEntry>)| {
        let mut all = stored(&whole);
        tamper(&mut all);
        verify("u", &all, Some(&end), 1).unwrap_err().reason()
    };
    let text = |stored: &StoredEntry| String::from_utf8(stored.bytes.clone()).unwrap();
    assert_eq!(found(&|f| f[3].bytes = text(&f[3]).replace("hanna", "karla").into()), "EntryUnlinked");
    assert_eq!(found(&|f| f[9].bytes = text(&f[9]).replace("R-1", "R-2").into()), "HeadDiffers");
    assert_eq!(found(&|f| f[2].bytes.push(b' ')), "EntryUnlinked");
    assert_eq!(found(&|f| f[2].bytes.truncate(20)), "EntryUnreadable");
    assert_eq!(
        found(&|f| f[2].bytes = text(&f[2]).replace("\"version\":1", "\"version\":2").into()),
        "EntryUnreadable"
    );
    assert_eq!(found(&|f| drop(f.remove(0))), "EntryMissing");
    assert_eq!(found(&|f| drop(f.remove(4))), "EntryMissing");
    assert_eq!(found(&|f| f.truncate(9)), "RecordTruncated");
    assert_eq!(found(&Vec::clear), "RecordTruncated");
    assert_eq!(
        found(&|f| {
            let other = f[5].bytes.clone();
            f[5].bytes = std::mem::replace(&mut f[6].bytes, other);
        }),
        "EntryMisplaced"
    );
    assert_eq!(found(&|f| f[5].bytes = text(&f[5]).replace("\"uid\":\"u\"", "\"uid\":\"v\"").into()), "EntryMisplaced");
    assert_eq!(found(&|f| f.push(StoredEntry { key: "x.txt".into(), seq: None, bytes: vec![] })), "EntryAlien");
    // A second writer's branch: its entry carries the hash of another one.
    let fork =
        follow("u", Some(&whole[4]), &AuditState { deleted: true, ..life()[4].clone() }, at("2026-11-22T12:00:01Z"));
    assert_eq!(found(&|f| f[5].bytes.clone_from(&fork[0].bytes)), "EntryUnlinked");
    // All of it written anew from one entry on: only the head tells.
    let mut forged = whole[..5].to_vec();
    let state = AuditState { deleted: true, ..life().last().unwrap().clone() };
    forged.extend(follow("u", whole.get(4), &state, at("2026-11-22T12:00:00Z")));
    let forged = stored(&forged);
    assert_eq!(verify("u", &forged, Some(&end), 1).unwrap_err().reason(), "HeadDiffers");
    assert!(verify("u", &forged, None, 1).is_ok(), "what docs/audit.md says of a request that is gone");
}

proptest! {
    #[test]
    fn no_single_byte_changes_unseen(which in 0usize..10, place in 0usize..4000, to: u8) {
        let (whole, end) = (chain(), head(&chain()));
        let mut all = stored(&whole);
        let bytes = &mut all[which].bytes;
        let place = place % bytes.len();
        prop_assume!(bytes[place] != to);
        bytes[place] = to;
        prop_assert!(verify("u", &all, Some(&end), 1).is_err());
    }
}
