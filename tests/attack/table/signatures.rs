//! Attacks on the approval, on the payment, and on the names beside them.

use super::{apply, approve, case, json_patch, merge};
use crate::how::Want::{Allowed, Barred, Refused};
use crate::how::{Case, How};
use crate::scene::Scene::{Approved, ApprovedByBoth, Ended, Fresh, Nothing, Open, Paid, Signed};
use crate::scene::paid;
use testkit::world::{ALICE, BILLING, BILLING_2, BOB, BOTH, MALLORY, OPERATOR, PAT};
use serde_json::json;

const HELPDESK: super::Want = Refused("takes the verb approve");
const SETTLE: super::Want = Refused("take the verb settle");
const OTHER_HAND: super::Want = Refused("may not record the payment");

pub fn approvals() -> Vec<Case> {
    let for_alice = || json!({"approval": {"decision": "Approved", "by": ALICE}});
    vec![
        case(ALICE, "approves", Open, merge(approve()), Allowed(json!({"approval": {"decision": "Approved", "by": ALICE}}))),
        case(ALICE, "denies", Open, merge(json!({"approval": {"decision": "Denied"}})), Allowed(json!({"approval": {"by": ALICE}}))),
        case(BOB, "withdraws alice's approval", Approved, merge(json!({"approval": {"decision": "Denied"}})), Allowed(json!({"approval": {"decision": "Denied", "by": BOB}}))),
        case(BILLING, "approves by merge patch", Open, merge(approve()), HELPDESK),
        case(BILLING, "approves what nobody has looked at", Fresh, merge(approve()), HELPDESK),
        case(BILLING, "approves in alice's name", Open, merge(for_alice()), HELPDESK),
        case(BILLING, "approves by JSON patch", Open, json_patch("add", "/status/approval", approve()["approval"].clone()), HELPDESK),
        case(BILLING, "approves by apply", Open, apply("billing", approve()), HELPDESK),
        case(BILLING, "approves by apply as field manager alice", Open, apply(ALICE, for_alice()), HELPDESK),
        case(BILLING, "approves by PUT", Open, How::Put("status", |o| o["status"]["approval"] = json!({"decision": "Approved"})), HELPDESK),
        case(BILLING, "approves by PUT with managedFields that say it was alice", Open, How::Put("status", |o| {
            o["status"]["approval"] = json!({"decision": "Approved", "by": ALICE});
            o["metadata"]["managedFields"] = json!([{
                "manager": "alice", "operation": "Update", "apiVersion": "sennight.dev/v1alpha1", "fieldsType": "FieldsV1",
                "fieldsV1": {"f:status": {"f:approval": {}}}, "subresource": "status", "time": "2020-01-01T00:00:00Z"
            }]);
        }), HELPDESK),
        case(BILLING, "denies", Open, merge(json!({"approval": {"decision": "Denied"}})), HELPDESK),
        case(BILLING, "withdraws alice's approval", Approved, merge(json!({"approval": {"decision": "Denied", "by": ALICE}})), HELPDESK),
        case(OPERATOR, "approves", Open, merge(approve()), HELPDESK),
        case(OPERATOR, "approves by its own apply, in alice's name", Open, apply("sennight-too", for_alice()), HELPDESK),
        case(OPERATOR, "denies", Open, merge(json!({"approval": {"decision": "Denied"}})), HELPDESK),
        case(PAT, "approves, as the platform team", Open, merge(approve()), Barred("cannot patch resource")),
        case(MALLORY, "approves, as an editor of the namespace", Open, merge(approve()), Barred("cannot patch resource")),
        case(MALLORY, "impersonates alice", Open, How::As(ALICE), Barred("cannot impersonate")),
        case(BILLING, "impersonates alice", Open, How::As(ALICE), Barred("cannot impersonate")),
        case(OPERATOR, "impersonates alice", Open, How::As(ALICE), Barred("cannot impersonate")),
        case(BOTH, "turns both keys in one write", Open, merge(json!({"approval": {"decision": "Approved", "by": BOTH}, "payment": {"reference": "INV-1", "by": BOTH}})), OTHER_HAND),
        case(BOTH, "approves what somebody else was paid for", Paid, merge(approve()), Allowed(json!({"approval": {"by": BOTH}, "payment": {"by": BILLING}}))),
    ]
}

pub fn payments() -> Vec<Case> {
    let condition = || json!({"conditions": paid("True")});
    let reference = || json!({"payment": {"reference": "INV-9", "by": BILLING}});
    let refund = || json!({"payment": {"refund": {"reference": "R-1"}}});
    vec![
        case(BILLING, "records a payment", Open, apply("billing", json!({"conditions": paid("True"), "payment": {"reference": "INV-1"}})), Allowed(json!({"payment": {"reference": "INV-1", "by": BILLING}}))),
        case(BILLING, "records Paid alone, by JSON patch", Open, json_patch("add", "/status/conditions/-", paid("True")[0].clone()), Allowed(json!({"payment": {"by": BILLING}}))),
        case(BILLING_2, "corrects the reference", Paid, merge(json!({"payment": {"reference": "INV-2"}})), Allowed(json!({"payment": {"reference": "INV-2", "by": BILLING_2}}))),
        case(BOTH, "is paid for what alice approved", Approved, apply("billing", condition()), Allowed(json!({"approval": {"by": ALICE}, "payment": {"by": BOTH}}))),
        case(BOTH, "is paid for what they approved", ApprovedByBoth, apply("billing", condition()), OTHER_HAND),
        case(BOTH, "takes over the payment of what they approved", ApprovedByBoth, merge(json!({"payment": {"reference": "INV-3"}})), OTHER_HAND),
        case(ALICE, "sets Paid by apply", Open, apply("billing", condition()), SETTLE),
        case(ALICE, "sets Paid where there is nothing yet", Fresh, merge(condition()), SETTLE),
        case(ALICE, "sets Paid by JSON patch", Open, json_patch("add", "/status/conditions/-", paid("True")[0].clone()), SETTLE),
        case(ALICE, "sets Paid by PUT", Open, How::Put("status", |o| o["status"]["conditions"].as_array_mut().unwrap().push(paid("True")[0].clone())), SETTLE),
        case(ALICE, "turns Paid to False", Paid, json_patch("replace", "/status/conditions/2/status", json!("False")), SETTLE),
        case(ALICE, "records a payment's reference", Open, merge(reference()), SETTLE),
        case(ALICE, "lowers the amount", Paid, merge(json!({"payment": {"amount": "0.01"}})), SETTLE),
        case(ALICE, "takes the amount out", Paid, json_patch("remove", "/status/payment/amount", json!(null)), SETTLE),
        case(ALICE, "writes her name beside the payment", Paid, json_patch("replace", "/status/payment/by", json!(ALICE)), SETTLE),
        case(ALICE, "records a refund", Ended, merge(refund()), SETTLE),
        case(ALICE, "approves and pays in one write", Open, How::Put("status", |o| {
            o["status"]["approval"] = json!({"decision": "Approved"});
            o["status"]["conditions"].as_array_mut().unwrap().push(paid("True")[0].clone());
        }), SETTLE),
        case(OPERATOR, "sets Paid by apply", Open, apply("sennight-too", condition()), SETTLE),
        case(OPERATOR, "sets Paid by PUT", Open, How::Put("status", |o| o["status"]["conditions"].as_array_mut().unwrap().push(paid("True")[0].clone())), SETTLE),
        case(OPERATOR, "records a payment in billing's name", Open, merge(reference()), SETTLE),
        case(OPERATOR, "records a refund", Ended, merge(refund()), SETTLE),
        case(PAT, "sets Paid, as the platform team", Open, apply("billing", condition()), Barred("cannot patch resource")),
        case(MALLORY, "sets Paid, as an editor of the namespace", Open, apply("billing", condition()), Barred("cannot patch resource")),
        case(MALLORY, "impersonates billing", Signed, How::As(BILLING), Barred("cannot impersonate")),
    ]
}

pub fn names() -> Vec<Case> {
    let created = |spec: &str| {
        let mut spec: serde_json::Value = serde_json::from_str(spec).unwrap();
        spec["scheduleRef"] = json!({"name": "acme"});
        spec["requester"] = json!({"userId": "1"});
        spec["ticket"] = json!({"id": "T-1"});
        spec["reason"] = json!("gone");
        json!({
            "apiVersion": "sennight.dev/v1alpha1", "kind": "RestoreRequest", "metadata": {"name": "{name}"}, "spec": spec,
            "status": {"approval": {"decision": "Approved", "by": ALICE}, "phase": "Queued"}
        })
    };
    let post = |spec: &str| How::Raw("POST", "/apis/sennight.dev/v1alpha1/namespaces/{ns}/restorerequests", "application/json", created(spec));
    let lawful = r#"{"mode": "CrmExport", "date": "2026-11-20"}"#;
    vec![
        case(ALICE, "approves in bob's name", Open, merge(json!({"approval": {"decision": "Approved", "by": BOB}})), Allowed(json!({"approval": {"by": ALICE}}))),
        case(ALICE, "approves in her own name with a character that nobody sees", Open, merge(json!({"approval": {"decision": "Approved", "by": "alice\u{200b}@helpdesk"}})), Allowed(json!({"approval": {"by": ALICE}}))),
        case(BILLING, "records a payment in somebody's name", Open, apply("billing", json!({"conditions": paid("True"), "payment": {"by": "somebody"}})), Allowed(json!({"payment": {"by": BILLING}}))),
        case("", "approves in alice's name, as administrator", Open, merge(json!({"approval": {"decision": "Approved", "by": ALICE}})), Allowed(json!({"approval": {"by": "admin"}}))),
        case(BOB, "writes his name over alice's", Approved, json_patch("replace", "/status/approval/by", json!(BOB)), Barred("a decision is final")),
        case(ALICE, "creates a request that is approved already, in bob's name", Nothing, post(&lawful.replace('}', r#", "requestedBy": "bob@helpdesk"}"#)), Allowed(json!(null))),
        case(BILLING, "creates a request", Nothing, post(lawful), Barred("cannot create resource")),
        case(MALLORY, "creates a request", Nothing, post(lawful), Barred("cannot create resource")),
        case(ALICE, "creates a FullRestore that nobody agreed to", Nothing, post(r#"{"mode": "FullRestore", "date": "2026-11-20"}"#), Barred("set acknowledgeDataLoss")),
        case(ALICE, "changes the day after the approval", Approved, How::Merge("", json!({"spec": {"date": "2026-11-19"}})), Barred("cannot patch resource")),
        case(OPERATOR, "changes the day after the approval", Approved, How::Merge("", json!({"spec": {"date": "2026-11-19"}})), Barred("spec is immutable")),
        case(OPERATOR, "changes who asked", Open, How::Merge("", json!({"spec": {"requestedBy": BOB}})), Barred("spec is immutable")),
        case(ALICE, "deletes a denied request and brings it back with its uid and a status", Signed, How::Reborn, Allowed(json!(null))),
    ]
}
