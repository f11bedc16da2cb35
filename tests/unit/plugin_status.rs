//! What `kubectl sennight` says of all schedules and of a record, and what it proposes to a shell, without a cluster.

use chrono::{DateTime, Utc};
use kubectl_sennight::complete::{Completion, completion};
use kubectl_sennight::status::{Overview, text};
use kubectl_sennight::{audit, settle};
use sennight_api::{BackupSchedule, BackupStorage, RestoreRequest};
use sennight_core::audit::{AuditEntry, AuditState, AuditedClaim, AuditedEnd, AuditedPayment, Subject, follow};
use serde_json::{Value, json};

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn now() -> DateTime<Utc> {
    at("2026-11-22T12:00:00Z")
}

/// A tenant whose last backup is so old and whose condition Fresh says this.
fn schedule(name: &str, fresh: &str, last: Option<&str>, failures: i32) -> BackupSchedule {
    serde_json::from_value(json!({
        "apiVersion": "sennight.dev/v1alpha1", "kind": "BackupSchedule", "metadata": {"name": name, "namespace": "tenants"},
        "spec": {
            "tenant": {"id": name, "owner": "1", "plan": {"name": "free"}},
            "database": {"serverRef": {"name": "pg"}, "name": name}, "storageRef": {"name": "main"}
        },
        "status": {
            "lastSuccessfulTime": last, "consecutiveFailures": failures,
            "conditions": [{"type": "Fresh", "status": fresh, "reason": "BackupTooOld"}]
        }
    }))
    .unwrap()
}

#[test]
fn the_worst_are_named_and_the_rest_is_counted() {
    let mut overview = Overview::default();
    for n in 0..1000 {
        overview.add(&schedule(&format!("t{n}"), "True", Some("2026-11-22T02:00:00Z"), 0), 3);
    }
    assert!(overview.is_well() && text(&overview, now()).ends_with("\nEverybody is backed up.\n"));
    overview.add(&schedule("old", "False", Some("2026-11-19T12:00:00Z"), 2), 3);
    overview.add(&schedule("older", "False", Some("2026-11-18T12:00:00Z"), 9), 3);
    overview.add(&schedule("never", "False", None, 4), 3);
    overview.add(&schedule("young", "True", Some("2026-11-22T01:00:00Z"), 1), 3);
    assert!(!overview.is_well());
    let worst: Vec<&str> = overview.look_at.iter().map(|t| t.name.as_str()).collect();
    assert_eq!(worst, ["never", "older", "old"]);
    let text = text(&overview, now());
    for line in [
        "Tenants:       1,004 (0 suspended)\n",
        "Backed up:     1,001\n",
        "Not backed up: 3\n",
        "Failing:       4 (failed since their last backup)\n",
        "tenants     older   older    4d ago        9          BackupTooOld\n",
        "tenants     never   never    never         4          BackupTooOld\n",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    assert!(text.lines().count() < 25, "one screen");
}

#[test]
fn what_the_operator_counted_is_an_answer_while_it_is_young_and_names_as_many_as_are_asked_for() {
    let storage = |counted: &str, troubled: i32| -> BackupStorage {
        let worst: Vec<_> =
            (0..troubled.min(2)).map(|n| json!({"name": format!("w{n}"), "tenant": "t", "why": "NoBackup"})).collect();
        serde_json::from_value(json!({
            "apiVersion": "sennight.dev/v1alpha1", "kind": "BackupStorage", "metadata": {"name": "s", "namespace": "n"},
            "spec": {"bucket": "b"},
            "status": {"summary": {
                "schedules": 100_000, "fresh": 99_000, "suspended": 900, "stale": troubled, "troubled": troubled, "worst": worst,
                "countedAt": counted
            }}
        }))
        .unwrap()
    };
    let young = "2026-11-22T11:50:00Z";
    let overview = Overview::counted(&[storage(young, 1), storage(young, 2)], 5, now()).unwrap();
    assert_eq!(
        (overview.tenants, overview.backed_up, overview.not_backed_up, overview.unknown),
        (200_000, 198_000, 3, 1997)
    );
    assert_eq!(overview.look_at.len(), 3);
    assert!(text(&overview, now()).contains("by the operator (--exact"));
    assert_eq!(Overview::counted(&[storage(young, 50)], 5, now()), None, "it names two of the five");
    assert!(Overview::counted(&[storage(young, 50)], 2, now()).is_some());
    assert_eq!(Overview::counted(&[storage("2026-11-22T11:30:00Z", 1)], 5, now()), None, "nobody counts any more");
    assert_eq!(Overview::counted(&[], 5, now()), None);
}

#[test]
fn nobody_is_not_everybody() {
    assert!(text(&Overview::default(), now()).contains("nobody is backed up"));
    let mut overview = Overview::default();
    let mut asleep = schedule("asleep", "Unknown", None, 0);
    asleep.spec.suspend = true;
    overview.add(&asleep, 3);
    assert!(overview.is_well() && overview.look_at.is_empty(), "whoever is suspended is meant to be");
    overview.add(&schedule("unseen", "Unknown", None, 0), 3);
    assert!(!overview.is_well());
}

fn words(line: &str) -> Completion {
    completion(&line.split(' ').map(ToOwned::to_owned).collect::<Vec<_>>())
}

fn proposed(line: &str) -> Vec<String> {
    match words(line) {
        Completion::Words(all) => all.into_iter().map(|(word, _)| word).collect(),
        Completion::Request(verb) => panic!("{line}: a request for {verb}"),
    }
}

#[test]
fn the_shell_is_proposed_verbs_flags_values_and_names() {
    let verbs = proposed("");
    for verb in ["list", "explain", "approve", "deny", "settle", "refund", "link", "audit", "status", "completion"] {
        assert!(verbs.iter().any(|v| v == verb), "{verb}: {verbs:?}");
    }
    assert!(!verbs.iter().any(|v| v.starts_with("__")), "{verbs:?}");
    assert_eq!(words("approve "), Completion::Request("approve".into()));
    assert_eq!(words("-n acme approve --reason ok "), Completion::Request("approve".into()));
    assert_eq!(words("approve --yes "), Completion::Request("approve".into()));
    assert_eq!(words("approve --dry-run=server "), Completion::Request("approve".into()));
    assert_eq!(proposed("approve t-1 "), Vec::<String>::new());
    assert_eq!(proposed("list --awaiting "), ["approval", "payment", "refund"]);
    assert_eq!(proposed("list -o "), ["table", "json", "yaml", "name"]);
    assert!(proposed("approve t-1 --").contains(&"--dry-run".to_owned()));
    assert!(proposed("completion ").contains(&"zsh".to_owned()));
}

#[test]
fn a_record_reads_as_a_table() {
    let subject = Subject {
        mode: "FullRestore".into(),
        requester: "17".into(),
        ticket: "4711".into(),
        requested_by: Some("hanna".into()),
        ..Subject::default()
    };
    let paid = AuditedPayment {
        paid: true,
        reason: "PaymentRecorded".into(),
        reference: Some("INV-9".into()),
        amount: Some("49.00".into()),
        currency: Some("EUR".into()),
        by: Some("bill".into()),
    };
    let end = AuditedEnd {
        outcome: "Complete".into(),
        reason: "Restored".into(),
        at: now(),
        previous_database: None,
        export_sha256: None,
    };
    let claim = AuditedClaim { job: "r0-cutover-sennight-restore".into(), at: now() };
    let state =
        AuditState { subject, payment: Some(paid), claim: Some(claim), end: Some(end), ..AuditState::default() };
    let entries: Vec<AuditEntry> = follow("u", None, &state, now()).into_iter().map(|r| r.entry).collect();
    assert_eq!(
        audit::rows(&entries),
        "SEQ   RECORDED               EVENT     BY         WHAT\n\
         1     2026-11-22 12:00 UTC   Created   hanna      FullRestore for user 17, ticket 4711\n\
         2     2026-11-22 12:00 UTC   Paid      bill       INV-9 49.00 EUR PaymentRecorded\n\
         3     2026-11-22 12:00 UTC   Claimed   sennight   Job r0-cutover-sennight-restore\n\
         4     2026-11-22 12:00 UTC   Ended     sennight   Complete: Restored\n"
    );
}

fn request(status: &Value) -> RestoreRequest {
    serde_json::from_value(json!({
        "apiVersion": "sennight.dev/v1alpha1", "kind": "RestoreRequest", "metadata": {"name": "t-1", "namespace": "n"},
        "spec": {
            "scheduleRef": {"name": "acme"}, "mode": "CrmExport", "date": "2026-11-20", "requester": {"userId": "17"},
            "ticket": {"id": "4711"}, "reason": "gone"
        },
        "status": status
    }))
    .unwrap()
}

#[test]
fn a_reference_that_paid_for_another_request_is_refused_before_it_is_sent() {
    let named = |name: &str, status: &Value| {
        let mut request = request(status);
        (request.metadata.name, request.metadata.uid) = (Some(name.to_owned()), Some(name.to_owned()));
        request
    };
    let paid = json!([{"type": "Paid", "status": "True", "reason": "PaymentRecorded"}]);
    let back = json!([{"type": "Paid", "status": "False", "reason": "ChargedBack"}]);
    let mine = named("mine", &json!({"conditions": paid, "payment": {"reference": "INV-1"}}));
    let used = |other: &Value| settle::unused("INV-1", &mine, &[mine.clone(), named("other", other)]);
    assert!(used(&json!({})).is_ok());
    assert!(used(&json!({"conditions": paid, "payment": {"reference": "INV-2"}})).is_ok());
    assert!(used(&json!({"conditions": back, "payment": {"reference": "INV-1"}})).is_ok());
    for other in [
        json!({"conditions": paid, "payment": {"reference": "INV-1"}}),
        json!({"finishedAt": "2026-11-22T11:00:00Z", "payment": {"reference": "INV-1"}}),
    ] {
        let error = used(&other).unwrap_err().to_string();
        assert!(error.contains("recorded for other") && error.contains("mine's own"), "{error}");
    }
}

#[test]
fn a_refund_that_makes_no_sense_is_refused_with_the_way_out() {
    let paid = json!([{"type": "Paid", "status": "True", "reason": "PaymentRecorded"}]);
    let ended = "2026-11-22T11:00:00Z";
    for (status, said) in [
        (json!({}), "not paid"),
        (json!({"finishedAt": ended}), "not paid"),
        (json!({"conditions": paid}), "deny"),
        (json!({"conditions": paid, "finishedAt": ended, "payment": {"refund": {"reference": "R-1"}}}), "already: R-1"),
    ] {
        let error = settle::may_refund(&request(&status)).unwrap_err();
        assert_eq!((error.exit_code(), error.to_string().contains(said)), (1, true), "{error}");
    }
    assert!(settle::may_refund(&request(&json!({"conditions": paid, "finishedAt": ended}))).is_ok());
}
