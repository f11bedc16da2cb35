//! A valid object; each test changes one thing and expects one refusal. That the rules agree with the admission policies is
//! tested in tests/unit/authority.rs.

use super::*;
use serde_json::json;

/// Field managers of the operator.
const MANAGERS: &[&str] = &["sennight", "sennight-cleanup", "sennight-record"];
const OWN: OperatorIdentity<'_> = OperatorIdentity { user: Some("operator"), managers: MANAGERS };

fn signed() -> Value {
    json!({
        "metadata": {"name": "r", "managedFields": [
            {"manager": "kubectl-patch", "operation": "Update", "subresource": "status",
             "fieldsV1": {"f:status": {"f:approval": {"f:by": {}}}}},
            {"manager": "sennight", "operation": "Apply", "subresource": "status", "fieldsV1": {"f:status": {"f:phase": {}}}}
        ]},
        "spec": {"mode": "FullRestore", "requestedBy": "anna"},
        "status": {
            "phase": "Queued",
            "approval": {"decision": "Approved", "by": "bert"},
            "payment": {"reference": "INV-1", "by": "billing"},
            "conditions": [
                {"type": "Approved", "status": "True", "reason": "HelpdeskApproved"},
                {"type": "Paid", "status": "True", "reason": "PaymentRecorded"}
            ]
        }
    })
}

fn distrust(setting: FourEyes, mutate: impl Fn(&mut Value)) -> Option<&'static str> {
    let mut object = signed();
    mutate(&mut object);
    check_signatures(&object, setting, OWN).err().map(|d| d.reason())
}

#[test]
fn i6_lawful_signatures_stand() {
    assert_eq!(distrust(FourEyes::All, |_| ()), None);
    assert_eq!(distrust(FourEyes::All, |o| o["status"] = json!({})), None);
    let refunded = json!({"reference": "R-1", "by": "another of billing's"});
    assert_eq!(distrust(FourEyes::All, |o| o["status"]["payment"]["refund"] = refunded.clone()), None);
    assert_eq!(distrust(FourEyes::All, |o| o["status"]["claim"] = json!({"attempt": 1})), None);
    assert_eq!(distrust(FourEyes::All, |o| o["metadata"]["deletionTimestamp"] = json!("2026-11-22T00:00:00Z")), None);
    assert_eq!(distrust(FourEyes::None, |o| o["status"]["approval"]["by"] = json!("anna")), None);
}

#[test]
fn i6_each_signature_that_cannot_be_lawful_is_distrusted() {
    let set =
        |pointer: &'static str, value: Value| move |o: &mut Value| *o.pointer_mut(pointer).unwrap() = value.clone();
    for (word, mutation) in [
        ("ForgedSignature", set("/status/approval/by", json!("billing"))),
        ("ForgedSignature", set("/status/payment/by", json!("bert"))),
        ("SignedByOperator", set("/status/approval/by", json!("operator"))),
        ("SignedByOperator", set("/status/payment/by", json!("operator"))),
        ("SignedByOperator", set("/metadata/managedFields/0/manager", json!("sennight"))),
        ("BesideTheSubresource", set("/metadata/managedFields/0/subresource", json!(""))),
        (
            "DenialReversed",
            set("/status/conditions/0", json!({"type": "Approved", "status": "False", "reason": "Denied"})),
        ),
    ] {
        assert_eq!(distrust(FourEyes::None, mutation), Some(word));
    }
    assert_eq!(distrust(FourEyes::FullRestore, set("/status/approval/by", json!("anna"))), Some("ForgedSignature"));
    assert_eq!(distrust(FourEyes::FullRestore, set("/spec/requestedBy", json!("bert"))), Some("ForgedSignature"));
}

#[test]
fn i6_every_rule_refuses_by_itself() {
    let everything = Actor { name: "bert", approve: true, settle: true, operate: true };
    let mut old = signed();
    old["status"]["approval"] = Value::Null;
    old["status"].as_object_mut().unwrap().remove("approval");
    let new = signed();
    let judge = |actor, mutate: &dyn Fn(&mut Value, &mut Value)| {
        let (mut before, mut after) = (old.clone(), new.clone());
        mutate(&mut before, &mut after);
        breaches(&Write { before: &before, after: &after, actor, four_eyes: FourEyes::All })
    };
    assert_eq!(judge(everything, &|_, _| ()), []);
    assert_eq!(judge(Actor { approve: false, ..everything }, &|_, _| ()), [Breach::NotHelpdesk]);
    assert_eq!(judge(Actor { name: "carl", ..everything }, &|_, _| ()), [Breach::NotHelpdesk]);
    let pays = |_: &mut Value, a: &mut Value| {
        a["status"].as_object_mut().unwrap().remove("approval");
        a["status"]["payment"]["amount"] = json!("1.00");
    };
    let billing = Actor { name: "billing", ..everything };
    assert_eq!(judge(billing, &pays), []);
    assert_eq!(judge(Actor { settle: false, ..billing }, &pays), [Breach::NotBilling]);
    assert_eq!(judge(everything, &pays), [Breach::NotBilling]);
    let refund = |by: &'static str| {
        move |b: &mut Value, a: &mut Value| {
            b["status"]["finishedAt"] = json!("x");
            *a = b.clone();
            a["status"]["payment"]["refund"] = json!({"reference": "R-1", "by": by});
        }
    };
    assert_eq!(judge(everything, &refund("bert")), []);
    assert_eq!(judge(everything, &refund("billing")), [Breach::NotBilling]);
    let both = |_: &mut Value, a: &mut Value| a["status"]["payment"]["by"] = json!("bert");
    assert_eq!(judge(everything, &both), [Breach::OneHand]);
    let operate = Actor { operate: false, ..everything };
    assert_eq!(judge(operate, &|_, a| a["status"]["newField"] = json!(1)), [Breach::NotOperator]);
    assert_eq!(
        judge(everything, &|b, a| {
            b["status"]["claim"] = json!({});
            a["status"]["claim"] = json!({});
        }),
        [Breach::TooLate]
    );
    assert_eq!(
        judge(billing, &|b, a| {
            pays(b, a);
            b["status"]["finishedAt"] = json!("x");
            a["status"]["finishedAt"] = json!("x");
        }),
        [Breach::TooLate]
    );
    assert_eq!(judge(everything, &|_, a| a["metadata"]["deletionTimestamp"] = json!("x")), [Breach::TooLate]);
    let own = |_: &mut Value, a: &mut Value| a["spec"]["requestedBy"] = json!("bert");
    assert_eq!(judge(everything, &own), [Breach::FourEyes(FourEyes::All)]);
}

#[test]
fn i6_while_its_own_name_is_unknown_the_operator_trusts_no_signature() {
    let signed = serde_json::json!({"status": {"approval": {"decision": "Approved", "by": "anna"}}});
    let unknown = OperatorIdentity { user: None, managers: MANAGERS };
    assert_eq!(check_signatures(&signed, FourEyes::None, unknown), Err(Distrust::SignaturesUnknown));
    assert_eq!(check_signatures(&signed, FourEyes::None, OWN), Ok(()));
    assert_eq!(
        check_signatures(&serde_json::json!({"status": {}}), FourEyes::None, unknown),
        Ok(()),
        "nothing is signed"
    );
}

#[test]
fn i6_no_field_manager_of_the_operator_signs() {
    for manager in MANAGERS {
        for (what, field) in [("status.approval", "f:approval"), ("status.payment", "f:payment")] {
            let mut object = signed();
            let fields = json!({"f:status": {field: {}}});
            let entry = json!({"manager": manager, "operation": "Apply", "subresource": "status", "fieldsV1": fields});
            object["metadata"]["managedFields"].as_array_mut().unwrap().push(entry);
            assert_eq!(
                check_signatures(&object, FourEyes::None, OWN),
                Err(Distrust::SignedByOperator { what }),
                "{manager}"
            );
        }
    }
    assert_eq!(check_signatures(&signed(), FourEyes::None, OWN), Ok(()), "others' managers sign");
}
