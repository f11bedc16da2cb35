//! The gate on a real API server: who may write which part of a RestoreRequest's status (I6), with the CRDs, policies and
//! roles of config/install.yaml. Forgeries are refused, each by the rule that is there for it; the documented commands work.

mod jobs;

use kube::ResourceExt;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::json;
use testkit::cluster::{kubectl_ok, request};
use testkit::world::{
    ALICE, Answer, BILLING, BILLING_2, BOB, BOTH, MALLORY, OPERATOR, PAT, World, paid, refused, refused_before,
};

#[tokio::test]
async fn the_documented_commands_approve_and_pay() {
    let world = World::on_api("gate").with_people().await;
    world.plain_request("r").await;
    let space = world.namespace.as_str();
    world
        .apply(
            OPERATOR,
            "sennight",
            "r",
            json!({"phase": "AwaitingApproval", "conditions": [
                {"type": "Eligible", "status": "True", "reason": "Possible"}
            ]}),
        )
        .await
        .unwrap();
    let approve = r#"{"status":{"approval":{"decision":"Approved"}}}"#;
    kubectl_ok(
        &["--as", ALICE, "-n", space, "patch", "rreq", "r", "--subresource=status", "--type=merge", "-p", approve],
        "",
    );
    let pay = json!({
        "apiVersion": "sennight.dev/v1alpha1", "kind": "RestoreRequest", "metadata": {"name": "r", "namespace": space},
        "status": {"conditions": paid("True")}
    })
    .to_string();
    let apply =
        ["--as", BILLING, "apply", "--server-side", "--subresource=status", "--field-manager=billing", "-f", "-"];
    kubectl_ok(&apply, &pay);
    kubectl_ok(&apply, &pay);
    let status = world.status("r").await;
    assert_eq!(status["approval"], json!({"decision": "Approved", "by": ALICE}));
    assert_eq!(status["payment"], json!({"by": BILLING}));
    assert_eq!(status["conditions"].as_array().unwrap().len(), 2, "Eligible stayed: {status}");
}

#[tokio::test]
async fn payment_may_come_before_approval_and_the_operators_writes_leave_both_alone() {
    let world = World::on_api("gate").with_people().await;
    world.plain_request("r").await;
    let payment =
        json!({"conditions": paid("True"), "payment": {"reference": "INV-1", "amount": "49.00", "currency": "EUR"}});
    world.apply(BILLING, "billing", "r", payment.clone()).await.unwrap();
    world.merge(ALICE, "r", json!({"approval": {"decision": "Approved", "reason": "owner confirmed"}})).await.unwrap();
    for phase in ["AwaitingPayment", "Queued"] {
        world
            .apply(
                OPERATOR,
                "sennight",
                "r",
                json!({"phase": phase, "conditions": [
                    {"type": "Held", "status": "True", "reason": "Held"}
                ]}),
            )
            .await
            .unwrap();
    }
    let status = world.status("r").await;
    assert_eq!(status["payment"]["by"], BILLING);
    assert_eq!(status["payment"]["reference"], "INV-1");
    assert_eq!(status["approval"]["by"], ALICE);
    assert_eq!(status["phase"], "Queued");
    let again = world.apply(BILLING, "billing", "r", payment).await.unwrap();
    assert_eq!(again.resource_version(), world.get("r").await.resource_version(), "applying again changes nothing");
}

#[tokio::test]
async fn i6_an_approval_takes_the_verb_approve() {
    let world = World::on_api("gate").with_people().await;
    world.plain_request("r").await;
    let approval = json!({"approval": {"decision": "Approved"}});
    let forged = json!({"approval": {"decision": "Approved", "by": ALICE}});
    refused(world.merge(BILLING, "r", approval.clone()).await, "takes the verb approve");
    refused(world.merge(BILLING, "r", forged.clone()).await, "takes the verb approve");
    refused(world.apply(BILLING, ALICE, "r", forged.clone()).await, "takes the verb approve");
    refused(world.merge(OPERATOR, "r", approval.clone()).await, "takes the verb approve");
    refused(world.merge(OPERATOR, "r", forged).await, "takes the verb approve");
    refused_before(world.merge(PAT, "r", approval.clone()).await, "cannot patch resource");
    refused_before(world.merge(MALLORY, "r", approval).await, "cannot patch resource");
    assert_eq!(world.status("r").await["approval"], json!(null));
}

#[tokio::test]
async fn i6_a_payment_takes_the_verb_settle() {
    let world = World::on_api("gate").with_people().await;
    world.plain_request("r").await;
    for who in [ALICE, OPERATOR] {
        refused(world.apply(who, "billing", "r", json!({"conditions": paid("True")})).await, "take the verb settle");
        let payment = json!({"payment": {"reference": "INV-1", "by": BILLING}});
        refused(world.merge(who, "r", payment).await, "take the verb settle");
        let refund = json!({"payment": {"refund": {"reference": "R-1"}}});
        refused_before(world.merge(who, "r", refund).await, "once the request has ended");
    }
    let both = json!({"approval": {"decision": "Approved"}, "conditions": paid("True")});
    refused(world.merge(ALICE, "r", both).await, "take the verb settle");
    assert_eq!(world.status("r").await, json!(null));
}

#[tokio::test]
async fn i6_the_rest_of_status_takes_the_verb_operate_whatever_it_is() {
    let world = World::on_api("gate").with_people().await;
    world.plain_request("r").await;
    let claim = json!({"attempt": 1, "job": "j", "at": "2026-11-22T01:00:00Z"});
    for (who, status) in [
        (ALICE, json!({"phase": "Complete"})),
        (BILLING, json!({"phase": "Complete"})),
        (BILLING, json!({"claim": claim})),
        (ALICE, json!({"finishedAt": "2026-11-22T01:00:00Z"})),
        (ALICE, json!({"deadline": "2036-11-22T01:00:00Z"})),
        (ALICE, json!({"observedGeneration": 1})),
        (ALICE, json!({"conditions": [{"type": "Eligible", "status": "True", "reason": "Forged"}]})),
        (BILLING, json!({"conditions": [{"type": "Approved", "status": "True", "reason": "Forged"}]})),
        (ALICE, json!({"approval": {"decision": "Approved"}, "waitingOn": "Nobody"})),
    ] {
        refused(world.merge(who, "r", status).await, "the operator's");
    }
    for kind in ["paid", "Paid ", "PAID\n"] {
        let condition = json!({"conditions": [{"type": kind, "status": "True", "reason": "X"}]});
        refused_before(world.merge(BILLING, "r", condition).await, "should match");
    }
    assert_eq!(world.status("r").await, json!(null));
}

#[tokio::test]
async fn i6_names_are_stamped_and_forged_ones_overwritten() {
    let world = World::on_api("gate").with_people().await;
    let mut forged = request("r", "CrmExport");
    forged.spec.requested_by = Some(BOB.to_owned());
    forged.status = serde_json::from_value(json!({"approval": {"decision": "Approved", "by": BOB}})).unwrap();
    let made = world.requests(ALICE).await.create(&PostParams::default(), &forged).await.unwrap();
    assert_eq!(made.spec.requested_by.as_deref(), Some(ALICE));
    assert_eq!(made.status, None, "a status cannot be born with an object");
    let approved = json!({"approval": {"decision": "Approved", "by": BOB}});
    let approved = world.merge(ALICE, "r", approved).await.unwrap();
    assert_eq!(approved.status.unwrap().approval.unwrap().by.as_deref(), Some(ALICE));
    let pay = json!({"conditions": paid("True"), "payment": {"by": "somebody"}});
    world.apply(BILLING, "billing", "r", pay).await.unwrap();
    assert_eq!(world.status("r").await["payment"]["by"], BILLING);
    refused(
        world.json_patch(ALICE, "r", &json!([{"op": "replace", "path": "/status/payment/by", "value": ALICE}])),
        "settle",
    );
    let again = json!([{"op": "replace", "path": "/status/approval/by", "value": BOB}]);
    refused_before(world.json_patch(BOB, "r", &again), "a decision is final");
}

#[tokio::test]
async fn i6_whoever_approves_never_pays_whatever_they_may_do() {
    let world = World::on_api("gate").with_people().await;
    world.plain_request("r").await;
    // `both` holds both roles; the administrator holds every verb.
    for (name, who) in [("a", BOTH), ("b", "")] {
        world.plain_request(name).await;
        world.merge(who, name, json!({"approval": {"decision": "Approved"}})).await.unwrap();
        let pay = json!({"conditions": paid("True")});
        refused(world.apply(who, "billing", name, pay).await, "may not record the payment");
    }
    world.apply(BOTH, "billing", "r", json!({"conditions": paid("True")})).await.unwrap();
    refused(world.merge(BOTH, "r", json!({"approval": {"decision": "Approved"}})).await, "may not record the payment");
    world.merge(ALICE, "r", json!({"approval": {"decision": "Approved"}})).await.unwrap();
}

#[tokio::test]
async fn i6_a_denial_is_final_and_an_approval_may_be_withdrawn_by_another() {
    let world = World::on_api("gate").with_people().await;
    world.plain_request("r").await;
    world.merge(ALICE, "r", json!({"approval": {"decision": "Approved"}})).await.unwrap();
    let withdrawn = world.merge(BOB, "r", json!({"approval": {"decision": "Denied", "reason": "not the owner"}})).await;
    assert_eq!(withdrawn.unwrap().status.unwrap().approval.unwrap().by.as_deref(), Some(BOB));
    for who in [ALICE, BOB, ""] {
        let approval = json!({"approval": {"decision": "Approved"}});
        refused_before(world.merge(who, "r", approval).await, "a decision is final");
        refused_before(world.merge(who, "r", json!({"approval": null})).await, "never vanishes");
    }
}

#[tokio::test]
async fn i6_what_is_recorded_cannot_be_taken_out() {
    let world = World::on_api("gate").with_people().await;
    world.plain_request("r").await;
    world
        .apply(
            OPERATOR,
            "sennight",
            "r",
            json!({"conditions": [
                {"type": "Eligible", "status": "True", "reason": "Possible"}
            ]}),
        )
        .await
        .unwrap();
    // The natural mistake: a merge patch replaces the whole list. The answer says what to do instead.
    let merge = json!({"conditions": paid("True")});
    refused_before(world.merge(BILLING, "r", merge).await, "use kubectl apply --server-side --subresource=status");
    let add = json!([{"op": "add", "path": "/status/conditions/-", "value": paid("True")[0]}]);
    world.json_patch(BILLING, "r", &add).unwrap();
    refused_before(world.json_patch(BILLING, "r", &add), "Duplicate value");
    refused_before(world.json_patch(BILLING, "r", &json!([{"op": "remove", "path": "/status"}])), "never vanish");
    refused_before(
        world.json_patch(OPERATOR, "r", &json!([{"op": "remove", "path": "/status/conditions"}])),
        "never vanish",
    );
    refused_before(
        world.json_patch(OPERATOR, "r", &json!([{"op": "remove", "path": "/status/payment"}])),
        "never vanish",
    );
    let mut bare = world.get("r").await;
    bare.status = None;
    let put = world.requests(OPERATOR).await.replace_status("r", &PostParams::default(), &bare).await;
    refused_before(put, "never vanish");
    // Applying a list without one's own entry takes that entry out.
    world.plain_request("s").await;
    world.apply(BILLING, "billing", "s", json!({"conditions": paid("True")})).await.unwrap();
    refused_before(world.apply(BILLING, "billing", "s", json!({"conditions": []})).await, "never vanish");
    assert_eq!(world.status("r").await["conditions"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn i2_after_the_claim_and_after_the_end_only_a_refund_may_be_recorded() {
    let world = World::on_api("gate").with_people().await;
    for (name, ending) in [
        ("claimed", json!({"claim": {"attempt": 1, "job": "j", "at": "2026-11-22T01:00:00Z"}})),
        ("ended", json!({"finishedAt": "2026-11-22T01:00:00Z"})),
    ] {
        world.plain_request(name).await;
        let pay = json!({"conditions": paid("True"), "payment": {"reference": "INV-1"}});
        world.apply(BILLING, "billing", name, pay).await.unwrap();
        world.merge(ALICE, name, json!({"approval": {"decision": "Approved"}})).await.unwrap();
        world.merge(OPERATOR, name, ending).await.unwrap();
        refused_before(world.merge(BOB, name, json!({"approval": {"decision": "Denied"}})).await, "no longer changes");
        let unpaid = json!([{"op": "replace", "path": "/status/conditions/0/status", "value": "False"}]);
        refused_before(world.json_patch(BILLING, name, &unpaid), "record payment.refund instead");
        refused(world.merge(BILLING, name, json!({"payment": {"amount": "1.00"}})).await, "only payment.refund");
        let refund = json!({"payment": {"refund": {"reference": "R-1"}}});
        if name == "claimed" {
            refused_before(world.merge(BILLING_2, name, refund).await, "once the request has ended");
            continue;
        }
        refused(world.merge(ALICE, name, refund.clone()).await, "take the verb settle");
        world.merge(BILLING_2, name, refund).await.unwrap();
        let status = world.status(name).await;
        assert_eq!(status["payment"]["refund"], json!({"reference": "R-1", "by": BILLING_2}));
        assert_eq!(status["payment"]["by"], BILLING, "who refunds is not who was paid");
    }
    let again = json!({"claim": {"attempt": 2, "job": "j", "at": "2026-11-22T01:00:00Z"}});
    refused_before(world.merge(OPERATOR, "claimed", again.clone()).await, "claimed once");
    refused_before(world.merge(OPERATOR, "ended", again).await, "cannot be claimed any more");
    refused_before(world.merge(OPERATOR, "ended", json!({"finishedAt": null})).await, "never runs again");
}

#[tokio::test]
async fn i6_the_main_resource_and_forged_history_are_no_way_round() {
    let world = World::on_api("gate").with_people().await;
    world.plain_request("r").await;
    // The operator may patch the object itself (finalizers); its status is not reachable that way.
    let patch = Patch::Merge(json!({"status": {"approval": {"decision": "Approved", "by": ALICE}}}));
    let object = world.requests(OPERATOR).await.patch("r", &PatchParams::default(), &patch).await.unwrap();
    assert_eq!(object.status, None);
    let spec = Patch::Merge(json!({"spec": {"date": "2026-11-19"}}));
    let changed = world.requests(OPERATOR).await.patch("r", &PatchParams::default(), &spec).await;
    refused_before(changed, "spec is immutable");
    let mut forged = world.get("r").await;
    forged.status = serde_json::from_value(json!({"approval": {"decision": "Approved", "by": ALICE}})).unwrap();
    forged.metadata.managed_fields = serde_json::from_value(json!([{
        "manager": "kubectl", "operation": "Update", "apiVersion": "sennight.dev/v1alpha1", "fieldsType": "FieldsV1",
        "fieldsV1": {}, "subresource": "status", "time": "2020-01-01T00:00:00Z"
    }]))
    .unwrap();
    let put = world.requests(BILLING).await.replace_status("r", &PostParams::default(), &forged).await;
    refused(put, "takes the verb approve");
    for who in [BILLING, MALLORY] {
        let created = world.requests(who).await.create(&PostParams::default(), &request("x", "CrmExport")).await;
        refused_before(created, "cannot create resource");
    }
}

#[tokio::test]
async fn i6_an_old_approval_is_not_inherited_and_a_dying_request_is_not_approved() {
    let world = World::on_api("gate").with_people().await;
    world.plain_request("r").await;
    world.merge(ALICE, "r", json!({"approval": {"decision": "Approved"}})).await.unwrap();
    let mut old = world.get("r").await;
    let requests = world.requests(ALICE).await;
    requests.delete("r", &DeleteParams::default()).await.unwrap();
    old.metadata.resource_version = None;
    let reborn = requests.create(&PostParams::default(), &old).await.unwrap();
    assert_eq!(reborn.status, None);
    assert_ne!(reborn.uid(), old.uid());

    let finalizer = Patch::Merge(json!({"metadata": {"finalizers": ["sennight.dev/hold"]}}));
    world.requests(OPERATOR).await.patch("r", &PatchParams::default(), &finalizer).await.unwrap();
    requests.delete("r", &DeleteParams::default()).await.unwrap();
    let approval = json!({"approval": {"decision": "Approved"}});
    refused(world.merge(ALICE, "r", approval).await, "is being deleted");
    let none = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    world.requests(OPERATOR).await.patch("r", &PatchParams::default(), &none).await.unwrap();
}

#[tokio::test]
async fn the_answer_of_a_refusal_names_the_way_out() {
    let world = World::on_api("gate").with_people().await;
    world.plain_request("r").await;
    let message = world.merge(BILLING, "r", json!({"approval": {"decision": "Approved"}})).await.refusal();
    assert!(
        message.contains("denied request: sennight: ") && message.contains("ClusterRole sennight-helpdesk"),
        "{message}"
    );
}
