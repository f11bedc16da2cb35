//! The cases of the two other ways to install the gate: without stamps, and with four eyes.

use super::{case, json_patch, merge};
use crate::how::Want::{Allowed, Refused};
use crate::how::{Case, How};
use crate::scene::Scene::{Ended, Full, Nothing, Open, Paid};
use crate::scene::paid;
use testkit::world::{ALICE, BILLING, BILLING_2, BOB, BOTH};
use serde_json::{Value, json};

fn approves(by: Option<&str>) -> How {
    let mut approval = json!({"decision": "Approved"});
    if let Some(by) = by {
        approval["by"] = json!(by);
    }
    merge(json!({"approval": approval}))
}

fn pays(by: Option<&str>) -> How {
    let mut status = json!({"conditions": paid("True")});
    if let Some(by) = by {
        status["payment"] = json!({"by": by});
    }
    super::apply("billing", status)
}

fn refunds(by: Option<&str>) -> How {
    let mut refund = json!({"reference": "R-1"});
    if let Some(by) = by {
        refund["by"] = json!(by);
    }
    merge(json!({"payment": {"refund": refund}}))
}

fn creates(by: Option<&str>) -> How {
    let mut spec = json!({
        "scheduleRef": {"name": "acme"}, "mode": "CrmExport", "date": "2026-11-20", "requester": {"userId": "1"},
        "ticket": {"id": "T-1"}, "reason": "gone"
    });
    if let Some(by) = by {
        spec["requestedBy"] = json!(by);
    }
    let whole = json!({
        "apiVersion": "sennight.dev/v1alpha1", "kind": "RestoreRequest", "metadata": {"name": "{name}"}, "spec": spec
    });
    How::Raw("POST", "/apis/sennight.dev/v1alpha1/namespaces/{ns}/restorerequests", "application/json", whole)
}

const APPROVER: super::Want = Refused("status.approval.by must be your own user name");
const PAYER: super::Want = Refused("status.payment.by must be your own user name");
const REFUNDER: super::Want = Refused("for a refund payment.refund.by");
const CREATOR: super::Want = Refused("spec.requestedBy must be your own user name");
const SETTLE: super::Want = Refused("take the verb settle");

/// Where nothing stamps names: who writes names themselves, and truly.
pub fn unstamped() -> Vec<Case> {
    vec![
        case(ALICE, "approves and names herself", Open, approves(Some(ALICE)), Allowed(json!({"approval": {"by": ALICE}}))),
        case(ALICE, "approves without a name", Open, approves(None), APPROVER),
        case(ALICE, "approves in bob's name", Open, approves(Some(BOB)), APPROVER),
        case(BOTH, "approves in alice's name what they are paid for", Open, approves(Some(ALICE)), APPROVER),
        case(BILLING, "is paid and names itself", Open, pays(Some(BILLING)), Allowed(json!({"payment": {"by": BILLING}}))),
        case(BILLING, "is paid without a name", Open, pays(None), PAYER),
        case(BILLING, "is paid in alice's name", Open, pays(Some(ALICE)), PAYER),
        case(BILLING_2, "records a refund and names itself", Ended, refunds(Some(BILLING_2)), Allowed(json!({"payment": {"by": BILLING, "refund": {"by": BILLING_2}}}))),
        case(BILLING, "records a refund without a name", Ended, refunds(None), REFUNDER),
        case(BILLING_2, "records a refund in the payer's name", Ended, refunds(Some(BILLING)), REFUNDER),
        case(ALICE, "takes the amount out", Paid, json_patch("remove", "/status/payment/amount", json!(null)), SETTLE),
        case(ALICE, "adds Paid", Open, json_patch("add", "/status/conditions/-", paid("True")[0].clone()), SETTLE),
        case(ALICE, "creates a request and names herself", Nothing, creates(Some(ALICE)), Allowed(Value::Null)),
        case(ALICE, "creates a request without a name", Nothing, creates(None), CREATOR),
        case(ALICE, "creates a request in bob's name", Nothing, creates(Some(BOB)), CREATOR),
    ]
}

/// With four eyes, for every request or for those that replace a database; alice asked.
pub fn four_eyes(said: &'static str, every_mode: bool) -> [Case; 4] {
    let yes = |by: &str| Allowed(json!({"approval": {"by": by}}));
    let export = if every_mode { Refused(said) } else { yes(ALICE) };
    [
        case(ALICE, "approves an export that she asked for", Open, approves(Some(ALICE)), export),
        case(ALICE, "approves a full restore that she asked for", Full, approves(Some(ALICE)), Refused(said)),
        case(ALICE, "denies what she asked for", Full, merge(json!({"approval": {"decision": "Denied", "by": ALICE}})), yes(ALICE)),
        case(BOB, "approves what alice asked for", Full, approves(Some(BOB)), yes(BOB)),
    ]
}
