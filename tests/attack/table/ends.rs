//! Attacks on the rest of status: keys of the operator's, what is smuggled beside a lawful change, what is taken out, and
//! what comes too late.

use super::{apply, approve, case, json_patch, merge};
use crate::how::Want::{Allowed, Barred, Refused};
use crate::how::{Case, How};
use crate::scene::Scene::{Approved, Claimed, Deleting, Denied, Ended, Expired, Fresh, Open, Paid, Refunded, Signed};
use crate::scene::{paid, point};
use testkit::world::{ALICE, BILLING, BILLING_2, BOB, OPERATOR};
use serde_json::json;

const OPERATORS: super::Want = Refused("this part of status is the operator's");
const HELPDESK: super::Want = Refused("takes the verb approve");
const SETTLE: super::Want = Refused("take the verb settle");
const MERGED: super::Want = Barred("use kubectl apply --server-side --subresource=status");

pub fn rest() -> Vec<Case> {
    let time = "2026-11-22T01:00:00Z";
    let prepared = json!({"at": time, "job": "j", "database": "d", "liveOid": 1, "newOid": 2, "rows": 1, "tables": 1});
    let condition = |kind: &str| json!({"conditions": [{"type": kind, "status": "True", "reason": "Forged"}]});
    vec![
        case(ALICE, "sets the phase", Open, merge(json!({"phase": "Complete"})), OPERATORS),
        case(BILLING, "sets the phase where there is nothing yet", Fresh, merge(json!({"phase": "Complete"})), OPERATORS),
        case(BILLING, "claims", Signed, merge(json!({"claim": {"attempt": 1, "job": "j", "at": time}})), OPERATORS),
        case(ALICE, "claims", Signed, merge(json!({"claim": {"attempt": 1, "job": "j", "at": time}})), OPERATORS),
        case(ALICE, "ends it", Open, merge(json!({"finishedAt": time})), OPERATORS),
        case(BILLING, "moves the deadline", Open, merge(json!({"deadline": "2036-11-22T01:00:00Z"})), OPERATORS),
        case(ALICE, "says that nobody is waited for", Open, merge(json!({"waitingOn": "Nobody"})), OPERATORS),
        case(ALICE, "says which generation was seen", Open, merge(json!({"observedGeneration": 1})), OPERATORS),
        case(ALICE, "names another tenant", Open, merge(json!({"tenant": "somebody-else"})), OPERATORS),
        case(ALICE, "pins a backup", Fresh, merge(json!({"backup": point()})), OPERATORS),
        case(ALICE, "moves the pinned backup's place", Open, merge(json!({"backup": {"prefix": "daily/t/other/"}})), OPERATORS),
        case(BILLING, "writes an estimate", Open, merge(json!({"estimate": {"rows": 1}})), OPERATORS),
        case(ALICE, "says that a database is prepared", Open, merge(json!({"prepared": prepared})), OPERATORS),
        case(ALICE, "invents a Job", Open, merge(json!({"jobs": [{"name": "j", "step": "export", "attempt": 1}]})), OPERATORS),
        case(ALICE, "invents a result", Open, merge(json!({"result": {"key": "exports/other.zip"}})), OPERATORS),
        case(BILLING, "invents history", Open, merge(json!({"history": [{"time": time, "event": "Approved", "by": ALICE}]})), OPERATORS),
        case(ALICE, "takes the phase out", Open, json_patch("remove", "/status/phase", json!(null)), OPERATORS),
        case(ALICE, "sets Eligible", Fresh, merge(condition("Eligible")), OPERATORS),
        case(ALICE, "sets Held", Fresh, merge(condition("Held")), OPERATORS),
        case(BILLING, "sets the condition Approved", Fresh, apply("billing", condition("Approved")), OPERATORS),
        case(BILLING, "sets Complete", Signed, json_patch("add", "/status/conditions/-", condition("Complete")["conditions"][0].clone()), OPERATORS),
        case(BILLING, "turns Eligible to False", Open, json_patch("replace", "/status/conditions/0/status", json!("False")), OPERATORS),
        case(BILLING, "turns the conditions round", Signed, How::Put("status", |o| o["status"]["conditions"].as_array_mut().unwrap().reverse()), OPERATORS),
        case(OPERATOR, "writes its own part", Signed, apply("sennight", json!({"phase": "Queued", "backup": point(), "conditions": [{"type": "Eligible", "status": "True", "reason": "Possible"}, {"type": "Held", "status": "True", "reason": "HoldPlaced"}]})), Allowed(json!({"phase": "Queued", "approval": {"by": ALICE}, "payment": {"by": BILLING}}))),
    ]
}

pub fn smuggled() -> Vec<Case> {
    let eligible = json!({"type": "Eligible", "status": "True", "reason": "Forged"});
    vec![
        case(ALICE, "approves, and sets the phase beside it", Open, merge(json!({"approval": {"decision": "Approved"}, "phase": "Queued"})), OPERATORS),
        case(ALICE, "denies, and ends it beside it", Open, merge(json!({"approval": {"decision": "Denied"}, "finishedAt": "2026-11-22T01:00:00Z"})), OPERATORS),
        case(ALICE, "approves, and sets Eligible beside it", Fresh, merge(json!({"approval": {"decision": "Approved"}, "conditions": [eligible]})), OPERATORS),
        case(ALICE, "approves, and records a payment beside it", Open, merge(json!({"approval": {"decision": "Approved"}, "payment": {"reference": "INV-1"}})), SETTLE),
        case(BILLING, "is paid, and sets Eligible beside it", Fresh, apply("billing", json!({"conditions": [eligible, paid("True")[0]]})), OPERATORS),
        case(BILLING, "is paid, and claims beside it", Signed, merge(json!({"payment": {"reference": "INV-2"}, "claim": {"attempt": 1, "job": "j", "at": "2026-11-22T01:00:00Z"}})), OPERATORS),
        case(BILLING, "is paid, and approves beside it", Open, apply("billing", json!({"conditions": paid("True"), "approval": {"decision": "Approved"}})), HELPDESK),
        case(BILLING, "refunds, and moves the end beside it", Ended, How::Put("status", |o| {
            o["status"]["payment"]["refund"] = json!({"reference": "R-1"});
            o["status"]["phase"] = json!("Queued");
        }), OPERATORS),
        case(OPERATOR, "writes its own part, and approves beside it", Open, apply("sennight", json!({"phase": "Queued", "backup": point(), "approval": {"decision": "Approved"}, "conditions": [{"type": "Eligible", "status": "True", "reason": "P"}, {"type": "Held", "status": "True", "reason": "H"}]})), HELPDESK),
        case(OPERATOR, "writes its own part, and Paid beside it", Open, How::Put("status", |o| {
            o["status"]["phase"] = json!("Queued");
            o["status"]["conditions"].as_array_mut().unwrap().push(paid("True")[0].clone());
        }), SETTLE),
    ]
}

pub fn removed() -> Vec<Case> {
    let remove = |path: &str| json_patch("remove", path, json!(null));
    vec![
        case(BILLING, "merges Paid, as kubectl patch does by default", Open, merge(json!({"conditions": paid("True")})), MERGED),
        case(BILLING, "removes the status", Open, remove("/status"), Barred("never vanish")),
        case(ALICE, "merges null over the status", Denied, How::Merge("status", json!({"status": null})), Barred("never vanish")),
        case(OPERATOR, "puts it back without a status", Open, How::Put("status", |o| drop(o.as_object_mut().unwrap().remove("status"))), Barred("status never vanishes")),
        case(OPERATOR, "puts it back with an empty status", Denied, How::Put("status", |o| o["status"] = json!({})), Barred("never vanish")),
        case(OPERATOR, "removes all conditions", Open, remove("/status/conditions"), MERGED),
        case(OPERATOR, "removes one condition", Open, How::Put("status", |o| drop(o["status"]["conditions"].as_array_mut().unwrap().remove(0))), MERGED),
        case(BILLING, "applies a list without Paid", Paid, apply("billing", json!({"payment": {"reference": "INV-1", "amount": "49.00", "currency": "EUR", "by": BILLING}})), Barred("conditions never vanish")),
        case(BILLING, "removes the payment", Paid, remove("/status/payment"), Barred("payment never vanishes")),
        case(OPERATOR, "removes the payment", Paid, remove("/status/payment"), Barred("payment never vanishes")),
        case(ALICE, "removes her approval", Approved, remove("/status/approval"), Barred("a decision is final and never vanishes")),
        case(ALICE, "merges null over her denial", Denied, merge(json!({"approval": null})), Barred("a decision is final and never vanishes")),
        case(BILLING, "removes the approval", Approved, remove("/status/approval"), Barred("a decision is final and never vanishes")),
        case(OPERATOR, "removes the pinned backup", Open, remove("/status/backup"), Barred("pinned once and never taken back")),
        case(OPERATOR, "removes the claim", Claimed, remove("/status/claim"), Barred("never vanishes")),
        case(OPERATOR, "removes the end", Ended, remove("/status/finishedAt"), Barred("never runs again")),
    ]
}

pub fn late() -> Vec<Case> {
    let again = || json!({"claim": {"attempt": 2, "job": "j", "at": "2026-11-22T03:00:00Z"}});
    vec![
        case(ALICE, "approves what she denied", Denied, merge(approve()), Barred("a decision is final")),
        case(BOB, "approves what alice denied", Denied, merge(approve()), Barred("a decision is final")),
        case("", "approves what alice denied, as administrator", Denied, merge(approve()), Barred("a decision is final")),
        case(ALICE, "words her denial anew", Denied, merge(json!({"approval": {"reason": "other"}})), Barred("a decision is final")),
        case(BOB, "denies after the claim", Claimed, merge(json!({"approval": {"decision": "Denied"}})), Barred("its approval no longer changes")),
        case(ALICE, "approves after the end", Expired, merge(approve()), Barred("its approval no longer changes")),
        case(BILLING, "turns Paid to False after the claim", Claimed, json_patch("replace", "/status/conditions/2/status", json!("False")), Barred("record payment.refund instead")),
        case(BILLING, "is paid after the end", Expired, json_patch("add", "/status/conditions/-", paid("True")[0].clone()), Barred("record payment.refund instead")),
        case(BILLING, "changes the amount after the claim", Claimed, merge(json!({"payment": {"amount": "1.00"}})), Refused("only payment.refund may still be recorded")),
        case(BILLING, "records a reference after the end", Expired, merge(json!({"payment": {"reference": "INV-1"}})), Refused("only payment.refund may still be recorded")),
        case(BILLING_2, "records a refund after the end", Ended, merge(json!({"payment": {"refund": {"reference": "R-1"}}})), Allowed(json!({"payment": {"by": BILLING, "refund": {"reference": "R-1", "by": BILLING_2}}}))),
        case(BILLING, "records a refund of its own payment, in another's name", Ended, merge(json!({"payment": {"refund": {"reference": "R-1", "by": BILLING_2}}})), Allowed(json!({"payment": {"by": BILLING, "refund": {"reference": "R-1", "by": BILLING}}}))),
        case(BILLING_2, "puts another's name beside the refund", Refunded, merge(json!({"payment": {"refund": {"by": BILLING_2}}})), Barred("written once and never changes")),
        case(BILLING, "refunds before the end, and would have it run", Signed, merge(json!({"payment": {"refund": {"reference": "R-1"}}})), Barred("once the request has ended")),
        case(BILLING, "words the refund anew", Refunded, merge(json!({"payment": {"refund": {"reference": "R-2"}}})), Barred("written once and never changes")),
        case(BILLING, "takes the refund back", Refunded, json_patch("remove", "/status/payment/refund", json!(null)), Barred("written once and never changes")),
        case(OPERATOR, "claims a second time", Claimed, merge(again()), Barred("claimed once")),
        case(OPERATOR, "claims what has ended", Expired, merge(again()), Barred("cannot be claimed any more")),
        case(OPERATOR, "moves the end", Ended, merge(json!({"finishedAt": "2026-11-23T00:00:00Z"})), Barred("never runs again")),
        case(OPERATOR, "pins another backup", Open, merge(json!({"backup": {"id": "20261121T000000Z-0123abcd"}})), Barred("never re-chosen")),
        case(OPERATOR, "says that the backup is another manifest's", Open, merge(json!({"backup": {"manifestSha256": "11"}})), Barred("never re-chosen")),
        case(ALICE, "approves what is being deleted", Deleting, merge(approve()), Refused("is being deleted")),
        case(BILLING, "is paid for what is being deleted", Deleting, json_patch("add", "/status/conditions/-", paid("True")[0].clone()), Refused("is being deleted")),
    ]
}
