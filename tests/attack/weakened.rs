//! While the gate is weakened, in whichever way, no restore begins, even though both keys are turned; the condition
//! AuthorityIntact and the metric say in which way it is. Put back, the restore goes on.

use crate::forging::until_so;
use crate::gate::Gate;
use crate::scene::Senders;
use k8s_openapi::api::coordination::v1::Lease;
use kube::ResourceExt;
use kube::api::DeleteParams;
use sennight_api::ConditionStatus::{False, True};
use sennight_api::admission::{self, Guard};
use sennight_api::{BackupStorage, crds};
use sennight_core::names::{RestoreStep, restore_job};
use serde_json::{Value, json};
use testkit::cluster::{self, BILLING, HELPDESK, OPERATOR, apply, kubectl_ok, until};
use testkit::operator;
use testkit::world::{World, holds};

const STATUS: &str = "sennight-restorerequest-status";

/// A way to weaken the gate, the reason that AuthorityIntact gives, and what its message names.
type Way = (&'static str, fn(&mut Parts), &'static str, &'static str);

/// The objects of the gate, to be changed or, where `None`, deleted.
struct Parts {
    policy: Option<Value>,
    binding: Option<Value>,
    gate: Gate,
}

impl Parts {
    fn policy(&mut self) -> &mut Value {
        &mut self.policy.as_mut().unwrap()["spec"]
    }

    fn binding(&mut self) -> &mut Value {
        &mut self.binding.as_mut().unwrap()["spec"]
    }
}

const WAYS: &[Way] = &[
    ("the policy is deleted", |p| p.policy = None, "PolicyMissing", STATUS),
    ("its binding is deleted", |p| p.binding = None, "BindingMissing", STATUS),
    (
        "it only warns",
        |p| p.binding()["validationActions"] = json!(["Warn"]),
        "BindingDoesNotDeny",
        "spec/validationActions",
    ),
    (
        "it only records",
        |p| p.binding()["validationActions"] = json!(["Audit"]),
        "BindingDoesNotDeny",
        "spec/validationActions",
    ),
    ("it fails open", |p| p.policy()["failurePolicy"] = json!("Ignore"), "PolicyFailsOpen", "spec/failurePolicy"),
    (
        "it does not look at this namespace",
        |p| p.policy()["matchConstraints"]["namespaceSelector"] = json!({"matchLabels": {"guarded": "yes"}}),
        "PolicyMatchesLess",
        "spec/matchConstraints",
    ),
    (
        "it does not look at billing",
        |p| {
            p.policy()["matchConditions"] =
                json!([{"name": "trusted", "expression": "!request.userInfo.username.contains('billing')"}]);
        },
        "PolicyMatchesLess",
        "spec/matchConditions",
    ),
    (
        "its binding leaves this namespace out",
        |p| p.binding()["matchResources"] = json!({"namespaceSelector": {"matchLabels": {"guarded": "yes"}}}),
        "PolicyMatchesLess",
        "spec/matchResources",
    ),
    (
        "it is bound to parameters that are not there",
        |p| {
            p.policy()["paramKind"] = json!({"apiVersion": "v1", "kind": "ConfigMap"});
            p.binding()["paramRef"] = json!({"name": "none", "parameterNotFoundAction": "Allow"});
        },
        "PolicyMatchesLess",
        "spec/param",
    ),
    (
        "an expression is true",
        |p| p.policy()["validations"][0]["expression"] = json!("true"),
        "RuleChanged",
        "spec/validations",
    ),
    (
        "a rule of the definition is gone",
        |p| p.gate.rule("/properties/status/properties/approval", "a decision is final"),
        "SchemaChanged",
        "CustomResourceDefinition",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn i6_while_the_gate_is_weakened_in_any_way_no_restore_begins() {
    let world = World::on_servers("weakened").alone().await;
    let tenant = world.tenant("acme").await;
    let backup = world.backup(&tenant).await;
    let mut operator = world.operator(&[]);
    let address = operator.address().await;
    intact(&world).await;
    let senders = Senders::default();
    for (number, (what, weaken, reason, names)) in WAYS.iter().enumerate() {
        let back = PutBack;
        let shipped = Gate::shipped();
        let (policy, binding) = guards();
        let mut parts = Parts { policy: Some(policy.object()), binding: Some(binding.object()), gate: shipped.clone() };
        weaken(&mut parts);
        enforce(&parts, &policy, &binding);
        parts.gate.enforce(&shipped, &senders).await;
        let name = format!("r{number}");
        world.request(&tenant, &name, backup.day, json!({})).await;
        world.sign(&name).await;
        says(&world, what, reason, names).await;
        world.refused(&name, "Progressing", False, "PoliciesMissing").await;
        let status = world.get(&name).await.status.unwrap();
        assert_eq!(status.claim, None, "{what}");
        assert_eq!(status.phase.unwrap().to_string(), "Queued", "{what}");
        let metrics = operator::get(address, "/metrics").await;
        assert!(metrics.contains("\nsennight_authority_intact 0\n"), "{what}: {metrics}");
        println!("  {what}: {reason}");
        // Before the gate is whole again: then it would run.
        kubectl_ok(&["-n", &world.namespace, "delete", "rreq", &name, "--wait=true"], "");
        shipped.enforce(&parts.gate, &senders).await;
        drop(back);
        intact(&world).await;
    }
    println!("weakened: {} ways, none of them led to a Job", WAYS.len());
    world.request(&tenant, "last", backup.day, json!({})).await;
    world.sign("last").await;
    world.step("export").await;
}

fn guards() -> (Guard, Guard) {
    let mut all = admission::validating().into_iter().filter(|guard| guard.name == STATUS);
    (all.next().unwrap(), all.next().unwrap())
}

fn enforce(parts: &Parts, policy: &Guard, binding: &Guard) {
    for (guard, object) in [(policy, &parts.policy), (binding, &parts.binding)] {
        match object {
            None => drop(kubectl_ok(&["delete", guard.kind, guard.name], "")),
            // Not applied: what is left out of an applied list stays.
            Some(object) if *object != guard.object() => drop(kubectl_ok(&["replace", "-f", "-"], &object.to_string())),
            Some(_) => {}
        }
    }
}

/// Puts the policy and its binding back, whatever becomes of the test.
struct PutBack;

impl Drop for PutBack {
    fn drop(&mut self) {
        for guard in <[Guard; 2]>::from(guards()) {
            if cluster::kubectl(&["replace", "-f", "-"], &guard.object().to_string()).status.success() {
                continue;
            }
            apply(&guard.object().to_string());
        }
        let crds = crds::all().unwrap();
        let definition = crds.iter().find(|crd| crd.spec.names.plural == "restorerequests").unwrap();
        apply(&serde_json::to_string(definition).unwrap());
    }
}

async fn condition(world: &World, status: sennight_api::ConditionStatus, reason: &str, names: &str) -> bool {
    let storage = world.api::<BackupStorage>().get("main").await.unwrap();
    let conditions = storage.status.unwrap_or_default().conditions;
    let found = conditions.iter().find(|c| c.type_ == "AuthorityIntact").and_then(|c| c.message.clone());
    holds(&conditions, "AuthorityIntact", status, reason) && found.is_some_and(|message| message.contains(names))
}

async fn intact(world: &World) {
    until("AuthorityIntact", async || condition(world, True, "PoliciesInForce", "").await).await;
}

async fn says(world: &World, what: &str, reason: &str, names: &str) {
    until(&format!("{what}: AuthorityIntact says {reason}"), async || condition(world, False, reason, names).await)
        .await;
}

/// A forgery, the status that it writes, and the reason that Progressing then gives.
type Forged = (&'static str, fn() -> Value, &'static str);

/// What was signed while nobody guarded the gate, in ways that the rules tell apart from lawful ones.
const FORGED: &[Forged] = &[
    ("one name on both keys", || signed(HELPDESK, HELPDESK), "ApproverIsPayer"),
    ("the operator's name on the approval", || signed(OPERATOR, BILLING), "SignedByOperator"),
    ("the operator's name on the payment", || signed(HELPDESK, OPERATOR), "SignedByOperator"),
    ("no name on the payment", || signed(HELPDESK, ""), "AwaitingPayment"),
];

fn signed(approver: &str, payer: &str) -> Value {
    let mut payment = json!({"reference": "INV-7"});
    if !payer.is_empty() {
        payment["by"] = json!(payer);
    }
    json!({
        "approval": {"decision": "Approved", "by": approver}, "payment": payment,
        "conditions": [{"type": "Paid", "status": "True", "reason": "PaymentRecorded"}]
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn i6_what_was_forged_while_nobody_guarded_the_gate_is_not_trusted_once_it_is_whole() {
    let world = World::on_servers("forged").alone().await;
    let tenant = world.tenant("acme").await;
    let backup = world.backup(&tenant).await;
    for (number, (what, status, reason)) in FORGED.iter().enumerate() {
        let name = format!("r{number}");
        world.request(&tenant, &name, backup.day, json!({})).await;
        // The operator's own account can write all of it.
        unguarded(&world, what, OPERATOR, &name, &status(), &["approval", "payment"]).await;
        let operator = world.operator(&[]);
        intact(&world).await;
        world.refused(&name, "Progressing", False, reason).await;
        assert_eq!(world.get(&name).await.status.unwrap().claim, None, "{what}");
        println!("  {what}: {reason}");
        kubectl_ok(&["-n", &world.namespace, "delete", "rreq", &name, "--wait=true"], "");
        drop(operator);
        // Nobody waits for the dead one's Lease to run out.
        world.api::<Lease>().delete("sennight", &DeleteParams::default()).await.unwrap();
    }
}

/// Writes a status while no policy is in force, as soon as it is taken as it is (`parts` of it are compared).
async fn unguarded(world: &World, what: &str, who: &'static str, name: &str, status: &Value, parts: &[&str]) {
    let bindings = admission::validating().into_iter().chain(admission::mutating());
    let bindings: Vec<Guard> = bindings.filter(|guard| guard.kind.ends_with("Binding")).collect();
    for guard in &bindings {
        kubectl_ok(&["delete", guard.kind, guard.name], "");
    }
    let path = format!("/apis/sennight.dev/v1alpha1/namespaces/{}/restorerequests/{name}/status", world.namespace);
    let body = json!({"status": status}).to_string();
    let merge = "application/merge-patch+json";
    until_so(what, async |senders| {
        let dry = format!("{path}?dryRun=All");
        let answer = senders.send((who, None), "PATCH", &dry, merge, body.clone()).await;
        answer.is_ok_and(|object| parts.iter().all(|part| object["status"][part] == status[part]))
    })
    .await;
    Senders::default().send((who, None), "PATCH", &path, merge, body).await.unwrap();
    apply(&bindings.iter().map(|guard| guard.object().to_string()).collect::<Vec<_>>().join("\n---\n"));
}

/// What somebody claims, the claim's Job and how many minutes from now it is, and the reason that Progressing then gives.
const CLAIMS: &[(&str, Option<&str>, i64, &str)] = &[
    ("the claim that the operator would write, without any key", None, 0, "ClaimWithoutKeys"),
    ("another Job", Some("mine-sennight-restore"), 0, "ClaimNotOurs"),
    ("a time that has not come", None, 60, "ClaimNotOurs"),
];

#[tokio::test(flavor = "multi_thread")]
async fn i1_a_claim_that_was_forged_while_nobody_guarded_the_gate_begins_nothing() {
    let world = World::on_servers("claims").alone().await;
    let tenant = world.tenant("acme").await;
    let backup = world.backup(&tenant).await;
    for (number, (what, job, minutes, reason)) in CLAIMS.iter().enumerate() {
        let name = format!("r{number}");
        let mut operator = world.operator(&[]);
        intact(&world).await;
        let uid = world.request(&tenant, &name, backup.day, json!({})).await.uid().unwrap();
        world.says(&name, "Held", True, "HoldPlaced").await;
        operator.kill();
        world.api::<Lease>().delete("sennight", &DeleteParams::default()).await.unwrap();
        let own = restore_job(&uid, RestoreStep::Export, 1);
        let at = chrono::Utc::now() + chrono::TimeDelta::minutes(*minutes);
        let claim = json!({"claim": {"attempt": 1, "job": job.unwrap_or(&own), "at": at.to_rfc3339()}});
        unguarded(&world, what, HELPDESK, &name, &claim, &[]).await;
        let operator = world.operator(&[]);
        intact(&world).await;
        world.refused(&name, "Progressing", False, reason).await;
        assert_eq!(world.get(&name).await.status.unwrap().phase.unwrap().to_string(), "NeedsAttention", "{what}");
        println!("  {what}: {reason}");
        kubectl_ok(&["-n", &world.namespace, "delete", "rreq", &name, "--wait=true"], "");
        drop(operator);
        world.api::<Lease>().delete("sennight", &DeleteParams::default()).await.unwrap();
    }
}
