//! The people who use requests, each with their role, and what the API server answers them.

use super::World;
use crate::cluster::{kubectl, request};
use kube::ResourceExt;
use kube::api::{Patch, PatchParams, PostParams};
use sennight_api::{RestoreRequest, admission};
use serde_json::{Value, json};

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

impl World {
    /// A request that alice created.
    pub async fn plain_request(&self, name: &str) -> RestoreRequest {
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

    /// The request's status as it is, as JSON.
    pub async fn status(&self, name: &str) -> Value {
        serde_json::to_value(self.get(name).await.status).unwrap()
    }
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
