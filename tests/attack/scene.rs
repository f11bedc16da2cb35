//! The state in which an attacker meets a request, made by lawful writes only; and sending anything to the API server as
//! anybody.

use http::Request;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::config::KubeConfigOptions;
use kube::{Client, Config};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Mutex;
use testkit::cluster::{self, apply, kubectl_ok};
use testkit::world::{ALICE, BILLING, BOTH, OPERATOR, World};

/// May do anything with Jobs and pods in the test's namespace, subresources included.
pub const EVE: &str = "eve@cluster";

/// How far a request is when somebody attacks it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scene {
    /// Alice has created it; nobody has looked.
    Fresh,
    /// The operator has: eligible, held, a backup pinned.
    Open,
    /// The same, and it replaces the whole database.
    Full,
    /// Alice approved.
    Approved,
    /// Somebody approved who holds both roles.
    ApprovedByBoth,
    /// Alice denied.
    Denied,
    /// Billing was paid.
    Paid,
    /// Approved and paid.
    Signed,
    /// The operator has claimed it.
    Claimed,
    /// It has run.
    Ended,
    /// It has run, and the money went back.
    Refunded,
    /// It has ended and nobody ever signed.
    Expired,
    /// It is being deleted.
    Deleting,
    /// No request: something else is attacked.
    Nothing,
}

pub fn point() -> Value {
    json!({
        "id": "20261122T000000Z-0123abcd", "prefix": "daily/t/acme/20261122T000000Z-0123abcd/", "day": "2026-11-22",
        "snapshotTime": "2026-11-22T00:00:00Z", "bytes": 1, "rows": 1, "manifestSha256": "00"
    })
}

pub fn paid(status: &str) -> Value {
    json!([{"type": "Paid", "status": status, "reason": "PaymentRecorded"}])
}

fn opened() -> Value {
    json!({
        "phase": "AwaitingApproval", "waitingOn": "Helpdesk", "backup": point(), "conditions": [
            {"type": "Eligible", "status": "True", "reason": "Possible"},
            {"type": "Held", "status": "True", "reason": "HoldPlaced"}
        ]
    })
}

impl Scene {
    /// Makes a request that is so far.
    pub async fn lay(self, world: &World, name: &str) {
        if self == Self::Nothing {
            return;
        }
        let mode = if self == Self::Full { "FullRestore" } else { "CrmExport" };
        let mut request = cluster::request(name, mode);
        request.spec.requested_by = Some(ALICE.to_owned());
        request.spec.acknowledge_data_loss = (self == Self::Full).then_some(true);
        world.requests(ALICE).await.create(&PostParams::default(), &request).await.unwrap();
        if self == Self::Fresh {
            return;
        }
        world.apply(OPERATOR, "sennight", name, opened()).await.unwrap();
        let approver = match self {
            Self::Approved | Self::Signed | Self::Claimed | Self::Ended | Self::Refunded => Some((ALICE, "Approved")),
            Self::ApprovedByBoth => Some((BOTH, "Approved")),
            Self::Denied => Some((ALICE, "Denied")),
            _ => None,
        };
        if let Some((who, decision)) = approver {
            world.merge(who, name, json!({"approval": {"decision": decision, "by": who}})).await.unwrap();
        }
        if matches!(self, Self::Paid | Self::Signed | Self::Claimed | Self::Ended | Self::Refunded) {
            let payment = json!({"reference": "INV-1", "amount": "49.00", "currency": "EUR", "by": BILLING});
            let written = json!({"conditions": paid("True"), "payment": payment});
            world.apply(BILLING, "billing", name, written).await.unwrap();
        }
        if matches!(self, Self::Claimed | Self::Ended | Self::Refunded) {
            let claim = json!({"attempt": 1, "job": "j", "at": "2026-11-22T01:00:00Z"});
            world.merge(OPERATOR, name, json!({"claim": claim})).await.unwrap();
        }
        if matches!(self, Self::Ended | Self::Refunded | Self::Expired) {
            world.merge(OPERATOR, name, json!({"finishedAt": "2026-11-22T02:00:00Z"})).await.unwrap();
        }
        if self == Self::Refunded {
            world
                .merge(BILLING, name, json!({"payment": {"refund": {"reference": "R-1", "by": BILLING}}}))
                .await
                .unwrap();
        }
        if self == Self::Deleting {
            let finalizer = Patch::Merge(json!({"metadata": {"finalizers": ["sennight.dev/hold"]}}));
            world.requests(OPERATOR).await.patch(name, &PatchParams::default(), &finalizer).await.unwrap();
            world.requests(ALICE).await.delete(name, &DeleteParams::default()).await.unwrap();
        }
    }
}

/// The things that are no requests: Jobs and pods of a restore, a dump and a drill, a harmless pod, and what Eve may do.
pub async fn furnish(world: &World) {
    let space = &world.namespace;
    let metadata = |name: &str| json!({"name": name, "namespace": space});
    let pod = |name: &str| json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata(name), "spec": pod_spec()});
    let documents = [
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": metadata("anything"), "rules": [
            {"apiGroups": ["", "batch"], "resources": ["*"], "verbs": ["*"]}
        ]}),
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": metadata("eve"),
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "anything"},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": EVE}]}),
        job("r1-export-a1-sennight-restore", space),
        pod("r1-export-a1-sennight-restore-abcde"),
        job("sennight-dump-01234567890123456789", space),
        // One that is resumed: a template of a Job that was started never changes, whoever asks.
        job("sennight-dump-98765432109876543210", space),
        pod("sennight-dump-01234567890123456789-abcde"),
        pod("sennight-drill-01234567890123456789-abcde"),
        pod("harmless"),
    ];
    cluster::until("the namespace's default account", async || {
        cluster::kubectl(&["-n", space, "get", "serviceaccount", "default"], "").status.success()
    })
    .await;
    apply(&documents.map(|document| document.to_string()).join("\n---\n"));
}

pub fn pod_spec() -> Value {
    json!({"automountServiceAccountToken": false, "containers": [{"name": "worker", "image": "none.invalid/none"}]})
}

/// A Job that does not run.
pub fn job(name: &str, space: &str) -> Value {
    let mut spec = pod_spec();
    spec["restartPolicy"] = json!("Never");
    json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"name": name, "namespace": space, "labels": {"app.kubernetes.io/managed-by": "sennight"}},
        "spec": {"suspend": true, "backoffLimit": 0, "template": {"spec": spec}}
    })
}

/// Who somebody really is, and whom they claim to be.
pub type Identity = (&'static str, Option<&'static str>);

/// Clients that send each request once, one an identity.
#[derive(Default)]
pub struct Senders {
    known: Mutex<HashMap<Identity, Client>>,
}

impl Senders {
    async fn client(&self, (who, as_whom): Identity) -> Client {
        let known = self.known.lock().unwrap().get(&(who, as_whom)).cloned();
        if let Some(client) = known {
            return client;
        }
        let mut config = if as_whom.is_some() {
            // With a certificate of their own: impersonation is theirs, not the administrator's.
            let file = kube::config::Kubeconfig::read_from(cluster::kubeconfig(who)).unwrap();
            Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.unwrap()
        } else {
            Config::infer().await.unwrap()
        };
        let name = as_whom.unwrap_or(who);
        if !name.is_empty() {
            config.auth_info.impersonate = Some(name.to_owned());
            let groups = if as_whom.is_some() { "system:masters" } else { "system:authenticated" };
            config.auth_info.impersonate_groups = Some(vec![groups.to_owned()]);
        }
        config.default_retry = false;
        let client = Client::try_from(config).unwrap();
        self.known.lock().unwrap().insert((who, as_whom), client.clone());
        client
    }

    /// What the API server answers: the object, or the message of its refusal.
    pub async fn send(
        &self,
        identity: Identity,
        method: &str,
        path: &str,
        content: &str,
        body: String,
    ) -> Result<Value, String> {
        let request = Request::builder().method(method).uri(path).header("Content-Type", content);
        let request = request.body(body.into_bytes()).unwrap();
        match self.client(identity).await.request_text(request).await {
            Ok(text) => Ok(serde_json::from_str(&text).unwrap_or(Value::String(text))),
            Err(kube::Error::Api(status)) => Err(status.message.clone()),
            Err(other) => Err(format!("no answer: {other}")),
        }
    }
}

/// Applies policies or definitions, or takes them away.
pub fn change(documents: &[Value]) {
    apply(&documents.iter().map(Value::to_string).collect::<Vec<_>>().join("\n---\n"));
}

/// Deletes an object of the whole cluster.
pub fn remove(kind: &str, name: &str) {
    kubectl_ok(&["delete", kind, name], "");
}
