//! `kubectl sennight` without a cluster: its words, its questions, what it would write.

use chrono::{DateTime, Utc};
use kubectl_sennight::args::{Awaiting, SettleArgs};
use kubectl_sennight::{Args, Io, PluginError, Verb, decide, link, list, settle};
use sennight_api::{BackupSchedule, RestoreRequest};
use sennight_present::{explain, facts};
use serde_json::{Value, json};

fn now() -> DateTime<Utc> {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

fn merged(mut base: Value, change: &Value) -> Value {
    match (base.as_object_mut(), change.as_object()) {
        (Some(fields), Some(changes)) => {
            for (field, value) in changes {
                let old = fields.remove(field).unwrap_or_default();
                fields.insert(field.clone(), merged(old, value));
            }
            base
        }
        _ => change.clone(),
    }
}

/// A full restore of tenant acme that waits for the helpdesk, with changes.
fn request(change: &Value) -> RestoreRequest {
    let base = json!({
        "apiVersion": "sennight.dev/v1alpha1", "kind": "RestoreRequest",
        "metadata": {"name": "ticket-4711", "namespace": "tenants", "uid": "0f3b2c1d", "creationTimestamp": "2026-11-22T10:30:00Z"},
        "spec": {
            "scheduleRef": {"name": "acme"}, "mode": "FullRestore", "date": "2026-11-20", "requester": {"userId": "17"},
            "ticket": {"id": "4711"}, "reason": "All deals were merged by mistake", "acknowledgeDataLoss": true
        },
        "status": {
            "tenant": "acme-corp", "phase": "AwaitingApproval", "waitingOn": "Helpdesk", "deadline": "2026-11-25T10:30:00Z",
            "backup": {
                "id": "20261120T021000Z-1a2b3c4d", "prefix": "daily/tenants/acme/20261120T021000Z-1a2b3c4d/", "day": "2026-11-20",
                "snapshotTime": "2026-11-20T02:10:00Z", "bytes": 1_610_612_736, "rows": 253_277, "manifestSha256": "ab",
                "heldUntil": "2026-12-04T00:00:00Z"
            },
            "estimate": {"liveBytes": 5_368_709_120_i64, "liveSessions": 12, "warnings": ["headroom is not known"]},
            "conditions": [{"type": "Eligible", "status": "True", "reason": "Eligible"}]
        }
    });
    serde_json::from_value(merged(base, change)).unwrap()
}

fn schedule() -> BackupSchedule {
    serde_json::from_value(json!({
        "apiVersion": "sennight.dev/v1alpha1", "kind": "BackupSchedule", "metadata": {"name": "acme", "namespace": "tenants"},
        "spec": {
            "tenant": {"id": "acme-corp", "owner": "17", "plan": {"name": "Standard"}},
            "database": {"serverRef": {"name": "pg-1"}, "name": "crm_acme"}, "storageRef": {"name": "main"}, "timeZone": "Europe/Berlin"
        }
    }))
    .unwrap()
}

fn told(change: &Value) -> String {
    explain::paragraph(&request(change), Some(&schedule()), now())
}

#[test]
fn a_request_that_waits_for_the_helpdesk_is_explained_whole() {
    assert_eq!(
        told(&json!({})),
        "Ticket 4711: user 17 asked for the whole database of tenant acme-corp back as of 2026-11-20 (restore request \
         ticket-4711). The backup chosen is from 2026-11-20 02:10 UTC (03:10 Europe/Berlin) (253,277 rows, 1.5 GiB); it is kept \
         until 2026-12-04 00:00 UTC (01:00 Europe/Berlin). It is not approved yet and not paid yet. It waits for the helpdesk \
         to approve or deny it. The deadline is 2026-11-25 10:30 UTC (11:30 Europe/Berlin), 2d22h left. Next: kubectl sennight \
         approve ticket-4711 (or deny ticket-4711 --reason …); then billing records the payment; then the database is rebuilt \
         beside the live one and then swapped; every later change is lost. After the deadline the request expires."
    );
}

#[test]
fn every_stage_says_whom_it_waits_for_and_what_is_next() {
    let paid = json!([{"type": "Paid", "status": "True", "reason": "PaymentRecorded"}]);
    for (status, said) in [
        (
            json!({"waitingOn": "Billing", "phase": "AwaitingPayment", "approval": {"decision": "Approved", "by": "hanna"}}),
            vec!["approved by hanna and not paid yet", "waits for billing", "kubectl sennight settle ticket-4711"],
        ),
        (
            json!({"conditions": paid, "payment": {"reference": "INV-9", "by": "bill"}}),
            vec!["It is not approved yet and paid by bill, reference INV-9.", "waits for the helpdesk"],
        ),
        (
            json!({"waitingOn": "PlatformTeam", "conditions": [{"type": "Eligible", "status": "False", "reason": "PreflightRefused", "message": "role tenant cannot create databases."}]}),
            vec!["platform team", "PreflightRefused: role tenant cannot create databases.", "goes on by itself"],
        ),
        (
            json!({"waitingOn": "Billing", "phase": "AwaitingPayment", "conditions": [
                {"type": "Progressing", "status": "False", "reason": "PaymentReferenceUsed", "message": "INV-1 was used for \"first\""}]}),
            vec!["waits for billing", "PaymentReferenceUsed: INV-1 was used for \"first\"."],
        ),
        (json!({"waitingOn": "Operator", "phase": "Preparing"}), vec!["filling and checking the new database"]),
        (
            json!({"waitingOn": "PlatformTeam", "phase": "Preparing", "conditions": [
                {"type": "Progressing", "status": "True", "reason": "Unreachable", "message": "attempt 2 failed: db is away; the next one begins at noon"}]}),
            vec!["platform team", "Unreachable: attempt 2 failed: db is away; the next one begins at noon."],
        ),
        (
            json!({"waitingOn": "Operator", "phase": "Preparing", "progress": {
                "at": "2026-11-22T11:59:00Z", "stage": "Rows", "bytes": 512, "totalBytes": 2048, "rows": 1000, "totalRows": 4000,
                "tables": 3, "totalTables": 12, "expectedEnd": "2026-11-22T13:00:00Z"}}),
            vec![
                "So far 3 of 12 tables and 1,000 of 4,000 rows, 25 % of 2.0 KiB; rows are being brought over",
                "It may be done at 2026-11-22 13:00 UTC",
            ],
        ),
        (
            json!({"waitingOn": "Operator", "phase": "Preparing", "progress": {
                "at": "2026-11-22T11:59:00Z", "stage": "Indexes", "bytes": 9, "rows": 7, "tables": 3}}),
            vec!["So far 3 tables and 7 rows; indexes and constraints are being built (as of 2026-11-22 11:59 UTC"],
        ),
        (json!({"waitingOn": "Queue", "phase": "Queued"}), vec!["its turn"]),
        (json!({"deadline": "2026-11-22T11:59:00Z"}), vec!["now past"]),
    ] {
        let text = told(&json!({"status": status}));
        for part in said {
            assert!(text.contains(part), "{part}\n{text}");
        }
    }
    let unseen = request(&json!({}));
    let unseen = RestoreRequest { status: None, ..unseen };
    let text = explain::paragraph(&unseen, None, now());
    assert!(text.contains("has not looked at it yet"), "{text}");
}

#[test]
fn every_end_says_what_came_of_it() {
    let end = json!({"finishedAt": "2026-11-22T11:00:00Z", "waitingOn": "Nobody"});
    for (status, said) in [
        (
            json!({"phase": "Denied", "approval": {"decision": "Denied", "by": "hanna", "reason": "not the owner"}}),
            vec!["denied by hanna at 2026-11-22 11:00 UTC: not the owner.", "final"],
        ),
        (
            json!({"phase": "Expired", "conditions": [
                {"type": "Failed", "status": "True", "reason": "PaymentExpired", "message": "not paid, until 2026-11-22 11:00 UTC"}]}),
            vec!["expired", "not paid, until", "Nothing was changed"],
        ),
        (
            json!({"phase": "Failed", "conditions": [
                {"type": "Failed", "status": "True", "reason": "BackupDamaged", "message": "a frame is damaged"},
                {"type": "RefundDue", "status": "True", "reason": "RestoreFailed"}]}),
            vec!["failed at", "a frame is damaged. Live data is untouched.", "billing owes a refund"],
        ),
        (json!({"phase": "NeedsAttention"}), vec!["A person must look"]),
        (
            json!({"phase": "Complete", "result": {"previousDatabase": "crm_acme__old0f3b2c1d", "undoUntil": "2026-11-25T11:00:00Z", "downtimeMillis": 87}}),
            vec![
                "It is done",
                "not to be had for 87 ms",
                "kept as crm_acme__old0f3b2c1d until 2026-11-25 11:00 UTC",
                "until then a RestoreRequest of mode Undo brings it back",
            ],
        ),
        (
            json!({"phase": "Complete", "result": {"previousDatabase": "k", "downtimeMillis": -1}}),
            vec!["It is done at 2026-11-22 11:00 UTC. The replaced database is kept as k"],
        ),
        (
            json!({"phase": "Complete", "result": {"key": "exports/a.zip", "bytes": 2048, "files": [{"name": "deals.csv", "rows": 19960}]}}),
            vec!["deals.csv (19,960 records), 2.0 KiB", "kubectl sennight link ticket-4711"],
        ),
    ] {
        let text = told(&json!({"status": merged(end.clone(), &status)}));
        for part in said {
            assert!(text.contains(part), "{part}\n{text}");
        }
    }
}

#[test]
fn whoever_approves_sees_what_it_is_and_what_will_be_lost() {
    let text = facts::text(&request(&json!({})), Some(&schedule()), now());
    for said in [
        "Tenant:        acme-corp\n",
        "Plan:          Standard (does not include restores)\n",
        "Database:      crm_acme on pg-1\n",
        "Asked by:      user 17 (the account's owner), ticket 4711\n",
        "Data as of:    2026-11-20 02:10 UTC (03:10 Europe/Berlin), 2d9h ago; backup 20261120T021000Z-1a2b3c4d\n",
        "Backup:        253,277 rows, 1.5 GiB in the bucket\n",
        "Live database: 5.0 GiB, 12 open sessions\n",
        "Warning:       headroom is not known\n",
        "Will be lost:  every change made since 2026-11-20 02:10 UTC (03:10 Europe/Berlin): the last 2d9h of everybody's work\n",
    ] {
        assert!(text.contains(said), "{said}\n{text}");
    }
    let refused = json!({"status": {"preflight": {"at": "2026-11-22T10:00:00Z", "job": "j", "refusals": [
        {"reason": "LogicalSlots", "message": "slot cdc: drop it"}, {"reason": "RolesMissing", "message": "create role x"}
    ]}}});
    let refused = facts::text(&request(&refused), Some(&schedule()), now());
    for said in ["Refused:       LogicalSlots: slot cdc: drop it\n", "Refused:       RolesMissing: create role x\n"] {
        assert!(refused.contains(said), "{said}\n{refused}");
    }
    let stranger = facts::text(&request(&json!({"spec": {"requester": {"userId": "18"}}})), Some(&schedule()), now());
    assert!(stranger.contains("user 18 (NOT the account's owner)"), "{stranger}");
    let export = facts::text(&request(&json!({"spec": {"mode": "CrmExport"}})), None, now());
    assert!(export.contains("Will be lost:  nothing"), "{export}");
}

/// Asks to confirm, with this answer at hand; gives what the person saw.
fn asked(request: &RestoreRequest, answer: Option<&str>) -> (Result<(), PluginError>, String) {
    let mut seen = Vec::new();
    let given = answer.unwrap_or_default().to_owned();
    let mut io = Io {
        out: Box::new(std::io::sink()),
        err: Box::new(&mut seen),
        input: Box::new(std::io::Cursor::new(given)),
        interactive: answer.is_some(),
    };
    let result = decide::confirm(request, Some(&schedule()), &mut io);
    drop(io);
    (result, String::from_utf8(seen).unwrap())
}

#[test]
fn a_full_restore_is_approved_only_with_the_tenants_id_typed() {
    let full = request(&json!({}));
    let (right, seen) = asked(&full, Some("acme-corp\n"));
    right.unwrap();
    assert_eq!(seen, "Type the tenant's id to approve: ");
    for (answer, said) in
        [(Some("acme\n"), "\"acme\" is not this request's tenant"), (Some(""), "\"\" is not"), (None, "pass --yes")]
    {
        let error = asked(&full, answer).0.unwrap_err();
        assert_eq!((error.exit_code(), error.to_string().contains(said)), (5, true), "{error}");
    }
    let (export, seen) = asked(&request(&json!({"spec": {"mode": "CrmExport"}})), None);
    assert!(export.is_ok() && seen.is_empty(), "a CrmExport touches nothing");
}

#[test]
fn an_approval_that_means_nothing_is_refused_before_it_is_sent() {
    assert!(decide::may_approve(&request(&json!({}))).is_ok());
    let mut no_backup = request(&json!({}));
    no_backup.status.as_mut().unwrap().backup = None;
    let unseen = RestoreRequest { status: None, ..request(&json!({})) };
    for (request, said) in [
        (no_backup, "no backup is chosen"),
        (unseen, "has not looked"),
        (request(&json!({"status": {"approval": {"decision": "Approved"}}})), "approved already"),
        (request(&json!({"status": {"approval": {"decision": "Denied"}}})), "final"),
        (request(&json!({"status": {"finishedAt": "2026-11-22T11:00:00Z"}})), "has ended"),
    ] {
        let error = decide::may_approve(&request).unwrap_err();
        assert!(error.to_string().contains(said), "{error}");
    }
}

#[test]
fn what_cannot_be_done_is_neither_approved_nor_paid_but_a_plan_is_bought() {
    let eligible = |status: &str, reason: &str| {
        let condition = json!({"type": "Eligible", "status": status, "reason": reason, "message": "m"});
        request(&json!({"status": {"conditions": [condition]}}))
    };
    let (pay, back) = (settling("--reference INV-9"), settling("--reference INV-9 --charged-back"));
    let no = eligible("False", "CreateDbMissing");
    for error in [decide::may_approve(&no).unwrap_err(), settle::may_settle(&no, &pay).unwrap_err()] {
        assert!(error.to_string().contains("(CreateDbMissing: m)"), "{error}");
    }
    assert!(settle::may_settle(&no, &back).is_ok(), "money goes back whatever can be done");
    for fine in
        [eligible("False", "PlanUpgradeRequired"), eligible("Unknown", "Checking"), eligible("True", "Possible")]
    {
        assert!(decide::may_approve(&fine).is_ok());
        assert!(settle::may_settle(&fine, &pay).is_ok());
    }
}

fn settling(line: &str) -> SettleArgs {
    use clap::Parser;
    let words = ["kubectl-sennight", "settle", "ticket-4711"].into_iter().chain(line.split(' '));
    match Args::try_parse_from(words).unwrap().verb {
        Verb::Settle(settle) => settle,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_payment_is_written_as_the_condition_and_the_record() {
    let nothing = request(&json!({})).status.unwrap();
    let by = || Some("bill".to_owned());
    assert_eq!(
        settle::payment(&settling("--reference INV-9 --amount 49.00 --currency EUR"), by(), &nothing),
        json!({
            "conditions": [{"type": "Paid", "status": "True", "reason": "PaymentRecorded"}],
            "payment": {"reference": "INV-9", "amount": "49.00", "currency": "EUR", "by": "bill"}
        })
    );
    for (line, status, reason) in [
        ("--reference W-1 --waive", "True", "Waived"),
        ("--reference P-1 --included-in-plan", "True", "IncludedInPlan"),
        ("--reference C-1 --charged-back", "False", "ChargedBack"),
    ] {
        let written = settle::payment(&settling(line), None, &nothing);
        assert_eq!(written["conditions"][0]["status"], status);
        assert_eq!(written["conditions"][0]["reason"], reason);
        assert_eq!(written["payment"].get("by"), None);
    }
    let paid = request(&json!({"status": {"payment": {"reference": "INV-9", "amount": "49.00", "currency": "EUR"}}}));
    let back = settle::payment(&settling("--reference INV-9 --charged-back"), None, &paid.status.unwrap());
    assert_eq!(back["payment"]["amount"], "49.00", "an apply drops what it leaves out");
}

#[test]
fn a_payment_that_comes_too_late_is_refused_with_the_way_out() {
    let settle = settling("--reference INV-9");
    assert!(settle::may_settle(&request(&json!({})), &settle).is_ok());
    for status in [
        json!({"claim": {"attempt": 1, "job": "r-cutover-sennight-restore", "at": "2026-11-22T11:00:00Z"}}),
        json!({"finishedAt": "2026-11-22T11:00:00Z"}),
    ] {
        let error = settle::may_settle(&request(&json!({"status": status})), &settle).unwrap_err();
        assert!(error.to_string().contains("--refund"), "{error}");
    }
}

#[test]
fn the_list_shows_who_has_to_act_and_filters_by_it() {
    let requests = [
        request(&json!({})),
        request(
            &json!({"metadata": {"name": "b"}, "status": {"waitingOn": "Billing", "deadline": "2026-11-22T11:00:00Z"}}),
        ),
        request(&json!({"metadata": {"name": "c"}, "status": {"waitingOn": "Billing", "conditions": [
            {"type": "RefundDue", "status": "True", "reason": "RestoreFailed"}]}})),
    ];
    let table = list::rows(&requests[..2], true, now());
    assert_eq!(
        table,
        "NAMESPACE   NAME          TENANT      MODE          DATE         PHASE              WAITING-ON   DEADLINE   TICKET   AGE\n\
         tenants     ticket-4711   acme-corp   FullRestore   2026-11-20   AwaitingApproval   Helpdesk     in 2d22h   4711     1h30m\n\
         tenants     b             acme-corp   FullRestore   2026-11-20   AwaitingApproval   Billing      1h ago     4711     1h30m\n"
    );
    let waiting = |what| requests.iter().map(|request| list::awaits(request, what)).collect::<Vec<_>>();
    assert_eq!(waiting(Awaiting::Approval), [true, false, false]);
    assert_eq!(waiting(Awaiting::Payment), [false, true, false]);
    assert_eq!(waiting(Awaiting::Refund), [false, false, true]);
}

#[test]
fn only_a_finished_export_has_a_link() {
    for (change, said) in [(json!({}), "only a CrmExport"), (json!({"spec": {"mode": "CrmExport"}}), "not finished")] {
        assert!(link::export_key(&request(&change)).unwrap_err().to_string().contains(said));
    }
    let done = request(&json!({"spec": {"mode": "CrmExport"}, "status": {"result": {"key": "exports/a.zip"}}}));
    assert_eq!(link::export_key(&done).unwrap(), "exports/a.zip");
}
