//! A compacted request gives the same answers as the whole one to all who read it from the cache.

use super::*;
use crate::authority::check as authority;
use crate::cache::open_requests;
use crate::request::undo;
use crate::restore::gather;
use sennight_api::ConditionStatus;
use sennight_api::restore_report::AuditHead;
use sennight_core::result::TAKEN_BACK;
use serde_json::{Value, json};
use std::sync::Arc;

/// A request of this name and mode that has ended with these fields in its status, its record kept.
fn ended(name: &str, mode: &str, fields: &Value) -> RestoreRequest {
    let mut status = json!({
        "observedGeneration": 1, "tenant": "t", "waitingOn": "Nobody", "finishedAt": "2026-11-22T03:00:00Z",
        "approval": {"decision": "Approved", "by": "ann", "reason": "a long story of what the tenant lost and when"},
        "estimate": {"backupBytes": 5, "notContained": ["activities", "comments", "history"]},
        "history": [{"time": "2026-11-22T02:00:00Z", "event": "Pinned", "message": "a sentence about it"}]
    });
    status.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    let object = json!({
        "apiVersion": "sennight.dev/v1alpha1", "kind": "RestoreRequest",
        "metadata": {
            "name": name, "namespace": "n", "uid": format!("uid-{name}"), "generation": 1, "resourceVersion": "7",
            "creationTimestamp": "2026-11-22T01:00:00Z", "labels": {"team": "helpdesk"}
        },
        "spec": {
            "scheduleRef": {"name": "s"}, "mode": mode, "requester": {"userId": "1"},
            "ticket": {"id": "T-1", "url": "https://desk.example/T-1"}, "reason": "everything is gone since noon",
            "undoOf": (mode == "Undo").then(|| json!({"name": "full"}))
        },
        "status": status
    });
    recorded(serde_json::from_value(object).unwrap())
}

/// The same with a head that tells of what it is now.
fn recorded(mut request: RestoreRequest) -> RestoreRequest {
    let state = audit_state(&request).digest();
    if let Some(status) = &mut request.status {
        status.audit = Some(AuditHead { storage: "b".into(), seq: 9, sha256: "0".repeat(64), state });
    }
    request
}

fn conditions(of: &[(&str, &str, &str)]) -> Value {
    of.iter()
        .map(|(type_, status, reason)| json!({"type": type_, "status": status, "reason": reason, "message": "a sentence"}))
        .collect()
}

fn job(step: &str, outcome: &str, reason: Option<&str>) -> Value {
    json!({
        "name": format!("j-{step}"), "uid": "u", "step": step, "attempt": 1, "outcome": outcome, "reason": reason,
        "message": "a sentence", "startedAt": "2026-11-22T02:00:00Z", "finishedAt": "2026-11-22T02:10:00Z"
    })
}

const COMPLETE: [(&str, &str, &str); 3] =
    [("Complete", "True", "Done"), ("Failed", "False", "Done"), ("Paid", "True", "Paid")];

fn paid() -> Value {
    json!({"reference": "INV-1", "amount": "49.00", "currency": "EUR", "by": "bill"})
}

fn backup() -> Value {
    json!({
        "id": "c", "prefix": "backups/daily/n/s/c/", "day": "2026-11-21", "snapshotTime": "2026-11-21T00:00:00Z",
        "bytes": 77, "rows": 8, "manifestSha256": "x"
    })
}

/// A full restore that took effect, and what became of the replaced database.
fn swapped(undo: &str) -> Value {
    let mut all = COMPLETE.to_vec();
    all.push(("UndoAvailable", "False", undo));
    json!({
        "phase": "Complete", "payment": paid(), "backup": backup(), "conditions": conditions(&all),
        "prepared": {"at": "2026-11-22T02:10:00Z", "job": "p", "database": "d__new", "liveOid": 3, "newOid": 4, "rows": 8, "tables": 1},
        "claim": {"attempt": 1, "job": "c", "at": "2026-11-22T02:20:00Z"},
        "jobs": [job("prepare", "Succeeded", None), job("cutover", "Succeeded", None)],
        "result": {"committedAt": "2026-11-22T02:30:00Z", "downtimeMillis": 40, "previousDatabase": "d__old"},
        "previousDatabase": {"name": "d__old", "oid": 3, "undoUntil": "2026-11-25T03:00:00Z",
            "droppedAt": (undo == "Dropped").then_some("2026-11-25T03:10:00Z")}
    })
}

/// One of each kind of rest.
fn all() -> Vec<RestoreRequest> {
    let refunded = json!({"reference": "INV-1", "amount": "49.00", "refund": {"reference": "R-1", "by": "bill"}});
    let mut undo = swapped("Dropped");
    let of = |uid: &str| json!({"requestUid": uid, "database": "d__old", "previousOid": 3, "liveOid": 4, "heldUntil": "2026-12-01T00:00:00Z"});
    undo["undo"] = of("uid-full");
    undo["prepared"] = Value::Null;
    let failed = [("Complete", "False", "Failed"), ("Failed", "True", "Failed"), ("RefundDue", "False", "Refunded")];
    let claimed = |jobs: Value| {
        json!({
            "phase": "Failed", "payment": refunded, "conditions": conditions(&failed), "undo": of("uid-full"), "jobs": jobs,
            "claim": {"attempt": 1, "job": "c", "at": "2026-11-22T02:20:00Z"}
        })
    };
    vec![
        ended(
            "denied",
            "CrmExport",
            &json!({"phase": "Denied", "approval": {"decision": "Denied"}, "conditions": conditions(&failed)}),
        ),
        ended(
            "refunded",
            "CrmExport",
            &json!({"phase": "Expired", "payment": refunded, "conditions": conditions(&failed)}),
        ),
        ended(
            "export",
            "CrmExport",
            &json!({
                "phase": "Complete", "payment": paid(), "backup": backup(), "conditions": conditions(&COMPLETE),
                "jobs": [job("export", "Succeeded", None)],
                "result": {"key": "exports/n/export.zip", "sha256": "y", "files": [{"name": "deals.csv", "rows": 4}]}
            }),
        ),
        ended(
            "cleared",
            "FullRestore",
            &json!({
                "phase": "Failed", "conditions": conditions(&failed), "jobs": [job("prepare", "Failed", None)],
                "droppedDatabase": {"at": "2026-11-22T02:40:00Z", "database": "d__new"}
            }),
        ),
        ended("full", "FullRestore", &swapped("Dropped")),
        ended("undone", "FullRestore", &swapped("Undone")),
        ended("undo", "Undo", &undo),
        ended("unknown", "Undo", &claimed(json!([job("cutover", "Unknown", None)]))),
        ended(
            "taken-back",
            "Undo",
            &claimed(json!([job("cutover", "Unknown", None), job("recover-cutover", "Failed", Some(TAKEN_BACK))])),
        ),
    ]
}

/// All that is asked of a request in the cache by anybody.
fn answers(other: &RestoreRequest) -> Vec<String> {
    let asker = ended("asker", "FullRestore", &json!({"payment": {"reference": "INV-1"}}));
    let full = ended("full", "FullRestore", &json!({}));
    let status = other.status.as_ref().unwrap();
    let own = (other.name_any(), other.namespace(), other.uid(), other.resource_version(), other.creation_timestamp());
    vec![
        format!("{own:?} {:?} {:?} {:?}", other.spec.schedule_ref, other.spec.mode, other.spec.undo_of),
        format!(
            "{} {} {}",
            open_requests::is_open(other),
            authority::accepts_forgery_test(other),
            authority::accepts_refund_test(other)
        ),
        format!("{:?} {}", payments::owed(other), nothing_owed(other)),
        format!("{:?}", payments::same_reference(&asker, other)),
        format!("{:?}", gather::measured(other)),
        format!("{} {:?} {:?}", undo::swapped(other), undo::live_oid_after(other), undo::committed_at(other)),
        format!("{:?}", undo::undoing(&full, &[Arc::new(other.clone())])),
        format!("{} {:?} {:?}", nothing_left(status), status.previous_database, status.claim),
        format!("{:?} {}", status.waiting_on, is_true(&status.conditions, RequestCondition::RefundDue)),
        format!("{:?}", status.backup.as_ref().map(|backup| &backup.id)),
    ]
}

#[test]
fn what_is_kept_of_a_request_at_rest_answers_all_that_others_ask() {
    let mut given = Vec::new();
    for whole in all() {
        let mut kept = whole.clone();
        compact(&mut kept);
        let (name, size) = (whole.name_any(), |r: &RestoreRequest| serde_json::to_vec(r).unwrap().len());
        assert!(kept.status.as_ref().unwrap().compacted, "{name}");
        assert!(size(&kept) < size(&whole), "{name}");
        assert!(is_closed(&kept), "{name}: it is not looked at");
        assert_eq!(answers(&kept), answers(&whole), "{name}");
        given.extend(answers(&whole));
    }
    // The cases are such that each question has another answer somewhere.
    for answer in [
        "Some(SameReference",
        "Some(Sample",
        "Some(4)",
        "Done(\"undo\")",
        "Unknown(\"unknown\")",
        "false false true",
        "Some(PreviousDatabase",
    ] {
        assert!(given.iter().any(|line| line.contains(answer)), "{answer}: {given:#?}");
    }
}

#[test]
fn a_request_for_which_something_is_to_be_done_is_kept_whole() {
    type Change = fn(&mut RestoreRequest);
    let refund: Change = |r| {
        let due = of(r).conditions.iter_mut().find(|c| c.type_ == "RefundDue").unwrap();
        due.status = ConditionStatus::True;
    };
    let owed: Change = |r| {
        of(r).payment.as_mut().unwrap().refund = None;
        of(r).conditions.push(Condition::new("Paid", true, "Paid", ""));
    };
    let told: [(&str, &str, Change); 11] = [
        ("open", "denied", |r| of(r).finished_at = None),
        ("never looked at", "denied", |r| r.status = None),
        ("edited", "export", |r| r.metadata.generation = Some(2)),
        ("being deleted", "export", |r| r.metadata.deletion_timestamp.clone_from(&r.metadata.creation_timestamp)),
        ("a finalizer", "export", |r| r.metadata.finalizers = Some(vec!["f".into()])),
        ("what it prepared is there", "cleared", |r| of(r).dropped_database = None),
        ("a Job runs", "full", |r| of(r).jobs[0].outcome = None),
        ("the way back is open", "full", |r| of(r).previous_database.as_mut().unwrap().dropped_at = None),
        ("holds its backup", "export", |r| of(r).conditions.push(Condition::new("Held", true, "HoldPlaced", ""))),
        ("its refund is not told yet", "refunded", refund),
        ("owed a refund", "refunded", owed),
    ];
    let untold: [(&str, &str, Change); 2] = [
        ("its record is behind", "export", |r| of(r).audit.as_mut().unwrap().state = "x".into()),
        ("no record", "export", |r| of(r).audit = None),
    ];
    for (why, name, change) in told.into_iter().chain(untold) {
        let mut whole = all().into_iter().find(|r| r.name_any() == name).unwrap();
        change(&mut whole);
        if told.iter().any(|(case, ..)| *case == why) {
            whole = recorded(whole);
        }
        let mut kept = whole.clone();
        compact(&mut kept);
        assert_eq!(kept, whole, "{why}");
    }
}

fn of(request: &mut RestoreRequest) -> &mut RestoreRequestStatus {
    request.status.as_mut().unwrap()
}

#[test]
fn nobody_can_write_that_a_request_is_abridged() {
    let mut object = serde_json::to_value(&all()[0]).unwrap();
    object["status"]["compacted"] = json!(true);
    let read: RestoreRequest = serde_json::from_value(object).unwrap();
    assert!(!read.status.as_ref().unwrap().compacted);
    let mut kept = all().remove(0);
    compact(&mut kept);
    assert_eq!(serde_json::to_value(&kept).unwrap()["status"].get("compacted"), None);
}
