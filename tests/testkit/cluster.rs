//! The API server as everybody finds it: the kinds, policies and roles of config/install.yaml in force, namespaces with
//! people bound to their roles, and kubectl.

use crate::env;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client, Config};
use sennight_api::{RestoreRequest, admission};
use serde_json::{Value, json};
use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};
use tokio::sync::{OnceCell, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Helpdesk.
pub const HELPDESK: &str = "alice@helpdesk";
/// Billing.
pub const BILLING: &str = "system:serviceaccount:billing:controller";
/// The operator's account, as config/install.yaml binds it.
pub const OPERATOR: &str = "system:serviceaccount:sennight-system:sennight";

static INSTALLED: OnceCell<()> = OnceCell::const_new();
static POLICIES: RwLock<()> = RwLock::const_new(());

/// A test's turn. Policies are the whole cluster's: whoever takes one away wants to be alone.
#[must_use]
pub enum Turn {
    /// Beside others; the policies stay in force.
    Among(RwLockReadGuard<'static, ()>),
    /// While no other test runs.
    Alone(RwLockWriteGuard<'static, ()>),
}

impl Turn {
    /// With everything installed, beside others.
    pub async fn among() -> Self {
        let turn = Self::Among(POLICIES.read().await);
        INSTALLED.get_or_init(install).await;
        turn
    }

    /// With everything installed, and nobody else there.
    pub async fn alone() -> Self {
        let turn = Self::Alone(POLICIES.write().await);
        INSTALLED.get_or_init(install).await;
        turn
    }
}

/// A client that acts as `user`; empty is the administrator.
pub async fn client(user: &str) -> Client {
    env("KUBECONFIG");
    let mut config = Config::infer().await.unwrap();
    if !user.is_empty() {
        config.auth_info.impersonate = Some(user.to_owned());
        config.auth_info.impersonate_groups = Some(vec!["system:authenticated".to_owned()]);
    }
    Client::try_from(config).unwrap()
}

/// The path of a kubeconfig with `user`'s own certificate.
pub fn kubeconfig(user: &str) -> String {
    let output = Command::new(env("SENNIGHT_TEST_USER_KUBECONFIG")).arg(user).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Runs kubectl, with `input` as its standard input.
pub fn kubectl(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env("SENNIGHT_TEST_KUBECTL"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// Runs kubectl, which must succeed; what it printed.
#[track_caller]
pub fn kubectl_ok(arguments: &[&str], input: &str) -> String {
    let output = kubectl(arguments, input);
    assert!(output.status.success(), "kubectl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Applies documents server-side.
#[track_caller]
pub fn apply(documents: &str) {
    kubectl_ok(&["apply", "--server-side", "--force-conflicts", "-f", "-"], documents);
}

/// A name that no other test's namespace has.
pub fn name(test: &str) -> String {
    format!("{test}-{:06x}", rand::random::<u32>() & 0xff_ffff)
}

/// A namespace of a test's own, and who has which ClusterRole in it.
pub fn namespace(test: &str, people: &[(&str, &str)]) -> String {
    let namespace = name(test);
    let bindings = people.iter().enumerate().map(|(number, (who, role))| {
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": {"name": format!("binding-{number}"), "namespace": namespace},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": who}]
        })
    });
    let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
    let documents: Vec<String> = std::iter::once(object).chain(bindings).map(|object| object.to_string()).collect();
    apply(&documents.join("\n---\n"));
    namespace
}

/// The kinds of config/install.yaml that the gate and the roles are made of.
const GATE: [&str; 7] = [
    "CustomResourceDefinition",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
    "MutatingAdmissionPolicy",
    "MutatingAdmissionPolicyBinding",
    "ClusterRole",
    "ClusterRoleBinding",
];

/// Whether this Kubernetes has the policies that write names (1.36 and newer); else people name themselves.
pub fn stamps() -> bool {
    static STAMPS: LazyLock<bool> = LazyLock::new(|| {
        let served = kubectl_ok(&["get", "--raw", "/apis/admissionregistration.k8s.io/v1"], "");
        served.contains("\"mutatingadmissionpolicies\"")
    });
    *STAMPS
}

/// The gate and the roles of config/install.yaml, or of the one for older clusters, as documents.
pub fn gate() -> String {
    let file = if stamps() { "install.yaml" } else { "install-before-1.36.yaml" };
    let manifest = crate::file(&format!("config/{file}"));
    let gate: Vec<&str> = manifest
        .split("\n---\n")
        .filter(|document| GATE.iter().any(|kind| document.contains(&format!("\nkind: {kind}\n"))))
        .collect();
    assert!(gate.len() >= 18, "config/{file} has {} objects of the gate", gate.len());
    gate.join("\n---\n")
}

async fn install() {
    apply(&gate());
    let kinds = ["backupschedules", "backupstorages", "databaseservers", "exportprofiles", "restorerequests"]
        .map(|plural| format!("crd/{plural}.sennight.dev"));
    let mut wait = vec!["wait", "--for=condition=Established", "--timeout=30s"];
    wait.extend(kinds.iter().map(String::as_str));
    kubectl_ok(&wait, "");
    in_force().await;
}

/// A request of tenant acme for a backup of its contacts.
pub fn request(name: &str, mode: &str) -> RestoreRequest {
    serde_json::from_value(json!({
        "apiVersion": "sennight.dev/v1alpha1", "kind": "RestoreRequest", "metadata": {"name": name},
        "spec": {
            "scheduleRef": {"name": "acme"}, "mode": mode, "date": "2026-11-20", "requester": {"userId": "1"},
            "ticket": {"id": "T-1"}, "reason": "contacts are gone"
        }
    }))
    .unwrap()
}

/// Policies are enforced some tenths of a second after their creation, each by itself: until a request is stamped, every
/// forgery is refused and a decision is stamped.
pub async fn in_force() {
    let namespace = namespace("probe", &[(HELPDESK, "sennight-helpdesk"), (OPERATOR, "sennight-operator")]);
    let began = Instant::now();
    let soon = || assert!(began.elapsed() < Duration::from_secs(30), "the policies are not in force after 30 s");
    let helpdesk: Api<RestoreRequest> = Api::namespaced(client(HELPDESK).await, &namespace);
    let mut number = 0;
    let made = loop {
        number += 1;
        let mut probe = request(&format!("probe-{number}"), "CrmExport");
        probe.spec.requested_by = (!stamps()).then(|| HELPDESK.to_owned());
        match helpdesk.create(&PostParams::default(), &probe).await {
            Ok(made) if made.spec.requested_by.as_deref() == Some(HELPDESK) => break made,
            Ok(_) | Err(_) => soon(),
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    let operator: Api<RestoreRequest> = Api::namespaced(client(OPERATOR).await, &namespace);
    let dry = PatchParams { dry_run: true, ..PatchParams::default() };
    let name = made.metadata.name.as_deref().unwrap();
    for forgery in admission::forgeries(&made) {
        while !refused(operator.patch_status(name, &dry, &Patch::Merge(&forgery.patch)).await) {
            soon();
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
    let by = (!stamps()).then_some(HELPDESK);
    let denial = json!({"status": {"approval": {"decision": "Denied", "reason": "a probe", "by": by}}});
    while helpdesk.patch_status(name, &dry, &Patch::Merge(&denial)).await.is_err() {
        soon();
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn refused(answer: kube::Result<RestoreRequest>) -> bool {
    matches!(answer, Err(kube::Error::Api(status)) if admission::is_own_refusal(&status.message))
}

/// An object as a document for [`apply`].
pub fn object(namespace: &str, kind: &str, name: &str, spec: &Value) -> String {
    let metadata = json!({"name": name, "namespace": namespace});
    json!({"apiVersion": "sennight.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}).to_string()
}

/// How long a test waits for what must come: a minute, or `SENNIGHT_TEST_MINUTES` on a machine that does other things.
pub fn patience() -> Duration {
    let minutes = std::env::var("SENNIGHT_TEST_MINUTES").ok().and_then(|text| text.parse().ok());
    Duration::from_mins(minutes.unwrap_or(1))
}

/// Waits until it is so; panics with `what` after [`patience`].
pub async fn until(what: &str, so: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + patience();
    while !so().await {
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
