//! A namespace on the real API server with the committed CRDs, policies and roles, and the people who use them.

use k8s_openapi::api::core::v1::Namespace;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, Client, Config, ResourceExt};
use sennight::api::{RestoreRequest, admission};
use serde_json::{Value, json};
use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::OnceCell;

/// Who acts, and the role that they are given in the test's namespace.
pub const PEOPLE: [(&str, &str); 8] = [
    ("alice@helpdesk", "sennight-helpdesk"),
    ("bob@helpdesk", "sennight-helpdesk"),
    ("system:serviceaccount:billing:controller", "sennight-billing"),
    ("second@billing", "sennight-billing"),
    ("system:serviceaccount:sennight-system:sennight", "sennight-operator"),
    ("pat@platform", "sennight-platform"),
    ("both@everywhere", "sennight-helpdesk"),
    ("both@everywhere", "sennight-billing"),
];

pub const ALICE: &str = PEOPLE[0].0;
pub const BOB: &str = PEOPLE[1].0;
pub const BILLING: &str = PEOPLE[2].0;
pub const BILLING_2: &str = PEOPLE[3].0;
pub const OPERATOR: &str = PEOPLE[4].0;
pub const PAT: &str = PEOPLE[5].0;
pub const BOTH: &str = PEOPLE[6].0;
pub const MALLORY: &str = "mallory";

static INSTALLED: OnceCell<()> = OnceCell::const_new();
static NUMBER: AtomicU32 = AtomicU32::new(0);

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run tests/cluster/with.sh api -- cargo test"))
}

/// A client that acts as `user`; empty is the administrator.
pub async fn client(user: &str) -> Client {
    variable("KUBECONFIG");
    let mut config = Config::infer().await.unwrap();
    if !user.is_empty() {
        config.auth_info.impersonate = Some(user.to_owned());
        config.auth_info.impersonate_groups = Some(vec!["system:authenticated".to_owned()]);
    }
    Client::try_from(config).unwrap()
}

/// Runs kubectl, with `input` as its standard input.
pub fn kubectl(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(variable("SENNIGHT_TEST_KUBECTL"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

#[track_caller]
pub fn kubectl_ok(arguments: &[&str], input: &str) -> String {
    let output = kubectl(arguments, input);
    assert!(output.status.success(), "kubectl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The kinds of config/install.yaml that the gate is made of.
const GATE: [&str; 6] = [
    "CustomResourceDefinition",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
    "MutatingAdmissionPolicy",
    "MutatingAdmissionPolicyBinding",
    "ClusterRole",
];

async fn install() {
    let manifest = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/config/install.yaml")).unwrap();
    let gate: Vec<&str> = manifest
        .split("\n---\n")
        .filter(|document| GATE.iter().any(|kind| document.contains(&format!("\nkind: {kind}\n"))))
        .collect();
    assert!(gate.len() >= 19, "config/install.yaml has {} objects of the gate", gate.len());
    kubectl_ok(&["apply", "--server-side", "--force-conflicts", "-f", "-"], &gate.join("\n---\n"));
    let crds = ["backupschedules", "backupstorages", "databaseservers", "exportprofiles", "restorerequests"]
        .map(|plural| format!("crd/{plural}.sennight.dev"));
    let mut wait = vec!["wait", "--for=condition=Established", "--timeout=30s"];
    wait.extend(crds.iter().map(String::as_str));
    kubectl_ok(&wait, "");
    in_force().await;
}

/// Policies are enforced some tenths of a second after their creation: until the forgeries are refused by them.
async fn in_force() {
    let world = World::empty().await;
    let began = Instant::now();
    let administrator = world.requests("").await;
    let request = loop {
        // Denied for want of a stamp while only the validating policies are in force.
        match administrator.create(&PostParams::default(), &request("probe", "CrmExport")).await {
            Ok(made) if made.spec.requested_by.is_some() => break made,
            Ok(_) => drop(administrator.delete("probe", &kube::api::DeleteParams::default()).await),
            Err(_) => {}
        }
        assert!(began.elapsed() < Duration::from_secs(30), "the policies are not in force after 30 s");
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    let operator = world.requests(OPERATOR).await;
    for forgery in admission::forgeries(&request) {
        loop {
            let params = PatchParams { dry_run: true, ..PatchParams::default() };
            match operator.patch_status("probe", &params, &Patch::Merge(&forgery.patch)).await {
                Err(kube::Error::Api(status)) if admission::is_own_refusal(&status.message) => break,
                other => assert!(began.elapsed() < Duration::from_secs(30), "{}: {other:?}", forgery.what),
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

/// A namespace of a test's own.
pub struct World {
    pub namespace: String,
}

impl World {
    /// With everything installed and the people bound to their roles.
    pub async fn new() -> Self {
        INSTALLED.get_or_init(install).await;
        Self::empty().await
    }

    async fn empty() -> Self {
        let namespace = format!("gate-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let object = Namespace {
            metadata: ObjectMeta { name: Some(namespace.clone()), ..ObjectMeta::default() },
            ..Namespace::default()
        };
        let administrator = client("").await;
        Api::all(administrator.clone()).create(&PostParams::default(), &object).await.unwrap();
        let world = Self { namespace };
        let mut bindings = PEOPLE.map(|(who, role)| (who, role.to_owned())).to_vec();
        // Somebody who may do anything with Jobs, as an administrator of a namespace may.
        bindings.push((MALLORY, "edit".to_owned()));
        let documents: Vec<String> = bindings
            .iter()
            .enumerate()
            .map(|(number, (who, role))| world.binding(number, who, role).to_string())
            .collect();
        kubectl_ok(&["apply", "-f", "-"], &documents.join("\n---\n"));
        world
    }

    fn binding(&self, number: usize, who: &str, role: &str) -> Value {
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": {"name": format!("binding-{number}"), "namespace": self.namespace},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": who}]
        })
    }

    /// The requests of this namespace, as `user` sees them.
    pub async fn requests(&self, user: &str) -> Api<RestoreRequest> {
        Api::namespaced(client(user).await, &self.namespace)
    }

    /// A request that alice created.
    pub async fn request(&self, name: &str) -> RestoreRequest {
        self.requests(ALICE).await.create(&PostParams::default(), &request(name, "CrmExport")).await.unwrap()
    }

    /// Merges into a request's status.
    pub async fn merge(&self, user: &str, name: &str, status: Value) -> Result<RestoreRequest, kube::Error> {
        let patch = json!({"status": status});
        self.requests(user).await.patch_status(name, &PatchParams::default(), &Patch::Merge(&patch)).await
    }

    /// Applies a status server-side, under a field manager of the caller's choice.
    pub async fn apply(
        &self,
        user: &str,
        manager: &str,
        name: &str,
        status: Value,
    ) -> Result<RestoreRequest, kube::Error> {
        let patch = json!({
            "apiVersion": "sennight.dev/v1alpha1", "kind": "RestoreRequest", "metadata": {"name": name}, "status": status
        });
        let params = PatchParams::apply(manager).force();
        self.requests(user).await.patch_status(name, &params, &Patch::Apply(&patch)).await
    }

    /// Sends a JSON patch to a request's status. What kubectl says if it is refused.
    pub fn json_patch(&self, user: &str, name: &str, operations: &Value) -> Result<(), String> {
        let patch = operations.to_string();
        let space = &self.namespace;
        let output = kubectl(
            &["--as", user, "-n", space, "patch", "rreq", name, "--subresource=status", "--type=json", "-p", &patch],
            "",
        );
        if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
    }

    /// The request as it is.
    pub async fn get(&self, name: &str) -> RestoreRequest {
        self.requests("").await.get(name).await.unwrap()
    }

    /// The request's status as it is, as JSON.
    pub async fn status(&self, name: &str) -> Value {
        serde_json::to_value(self.get(name).await.status).unwrap()
    }
}

/// A request of tenant acme.
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

/// The condition Paid.
pub fn paid(status: &str) -> Value {
    json!([{"type": "Paid", "status": status, "reason": "PaymentRecorded"}])
}

/// What an answer of the API server says.
pub trait Answer {
    /// The refusal's message; panics if the write was let through.
    fn refusal(self) -> String;
}

impl Answer for Result<RestoreRequest, kube::Error> {
    #[track_caller]
    fn refusal(self) -> String {
        match self {
            Err(kube::Error::Api(status)) => status.message,
            Err(other) => panic!("not an answer of the API server: {other}"),
            Ok(object) => panic!("{} was let through: {:?}", object.name_any(), object.status),
        }
    }
}

impl Answer for Result<(), String> {
    #[track_caller]
    fn refusal(self) -> String {
        self.expect_err("the write was let through")
    }
}

/// The write was refused by a policy of ours that says so.
#[track_caller]
pub fn refused(answer: impl Answer, way_out: &str) {
    let message = answer.refusal();
    assert!(admission::is_own_refusal(&message) && message.contains(way_out), "wanted {way_out:?}, got {message}");
}

/// The write was refused by a rule of the schema, which needs no policy, or by RBAC.
#[track_caller]
pub fn refused_before(answer: impl Answer, why: &str) {
    let message = answer.refusal();
    assert!(!admission::is_own_refusal(&message) && message.contains(why), "wanted {why:?}, got {message}");
}
