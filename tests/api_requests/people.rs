//! The committed CRDs, policies and roles of config/install.yaml, and who has which role.

use crate::support::env;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client, Config};
use sennight::api::{RestoreRequest, admission};
use serde_json::{Value, json};
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};
use tokio::sync::OnceCell;

/// Helpdesk.
pub const HELPDESK: &str = "alice@helpdesk";
/// Billing.
pub const BILLING: &str = "system:serviceaccount:billing:controller";
/// The operator's account, as config/install.yaml binds it.
pub const OPERATOR: &str = "system:serviceaccount:sennight-system:sennight";

static INSTALLED: OnceCell<()> = OnceCell::const_new();

/// The path of the operator's kubeconfig. An administrator's would do too much: the operator would find that it can
/// forge approvals, and run nothing.
pub static OPERATOR_KUBECONFIG: LazyLock<String> = LazyLock::new(|| {
    let output = Command::new(env("SENNIGHT_TEST_USER_KUBECONFIG")).arg(OPERATOR).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
});

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

/// Runs kubectl with `input` as its standard input; it must succeed.
pub fn kubectl(arguments: &[&str], input: &str) {
    let mut child = Command::new(env("SENNIGHT_TEST_KUBECTL"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "kubectl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Applies documents server-side.
pub fn apply(documents: &str) {
    kubectl(&["apply", "--server-side", "--force-conflicts", "-f", "-"], documents);
}

/// A namespace with everything installed and everybody bound to their roles in it.
pub async fn namespace(test: &str) -> String {
    INSTALLED.get_or_init(install).await;
    empty(test)
}

fn empty(test: &str) -> String {
    let namespace = format!("requests-{test}-{:06x}", rand::random::<u32>() & 0xff_ffff);
    let bind = |name: &str, kind: &str, role: &str, user: &str| {
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": {"name": name, "namespace": namespace},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}]
        })
    };
    let leader = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "leader", "namespace": namespace},
        "rules": [{"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create", "get", "update", "patch"]}]
    });
    let documents: Vec<Value> = vec![
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}),
        bind("helpdesk", "ClusterRole", "sennight-helpdesk", HELPDESK),
        bind("billing", "ClusterRole", "sennight-billing", BILLING),
        leader,
        bind("leader", "Role", "leader", OPERATOR),
    ];
    apply(&documents.iter().map(Value::to_string).collect::<Vec<_>>().join("\n---\n"));
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

async fn install() {
    let manifest = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/config/install.yaml")).unwrap();
    let gate: Vec<&str> = manifest
        .split("\n---\n")
        .filter(|document| GATE.iter().any(|kind| document.contains(&format!("\nkind: {kind}\n"))))
        .collect();
    assert!(gate.len() >= 20, "config/install.yaml has {} objects of the gate", gate.len());
    apply(&gate.join("\n---\n"));
    let kinds = ["backupschedules", "backupstorages", "databaseservers", "exportprofiles", "restorerequests"]
        .map(|plural| format!("crd/{plural}.sennight.dev"));
    let mut wait = vec!["wait", "--for=condition=Established", "--timeout=30s"];
    wait.extend(kinds.iter().map(String::as_str));
    kubectl(&wait, "");
    in_force().await;
}

/// Policies are enforced some tenths of a second after their creation.
async fn in_force() {
    let namespace = empty("probe");
    let began = Instant::now();
    let helpdesk: Api<RestoreRequest> = Api::namespaced(client(HELPDESK).await, &namespace);
    let probe: RestoreRequest = serde_json::from_value(json!({
        "apiVersion": "sennight.dev/v1alpha1", "kind": "RestoreRequest", "metadata": {"generateName": "probe-"},
        "spec": {
            "scheduleRef": {"name": "none"}, "mode": "CrmExport", "date": "2026-11-20", "requester": {"userId": "1"},
            "ticket": {"id": "T-1"}, "reason": "is the gate shut?"
        }
    }))
    .unwrap();
    let soon = || assert!(began.elapsed() < Duration::from_secs(30), "the policies are not in force after 30 s");
    let made = loop {
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
        loop {
            match operator.patch_status(name, &dry, &Patch::Merge(&forgery.patch)).await {
                Err(kube::Error::Api(status)) if admission::is_own_refusal(&status.message) => break,
                Ok(_) | Err(_) => soon(),
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}
