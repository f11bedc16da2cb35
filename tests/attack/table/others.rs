//! Attacks by look-alikes, by other paths of the API, and on Jobs and pods.

use super::{apply, approve, case, json_patch, merge};
use crate::how::Want::{Allowed, Barred, Ignored, Refused};
use crate::how::{Case, How};
use crate::scene::Scene::{Denied, Fresh, Nothing, Open, Paid, Signed};
use crate::scene::{EVE, job, paid, pod_spec};
use testkit::world::{ALICE, BILLING, BOB, MALLORY, OPERATOR};
use serde_json::{Value, json};

pub fn look_alikes() -> Vec<Case> {
    let typed = |kind: &str| merge(json!({"conditions": [{"type": kind, "status": "True", "reason": "X"}]}));
    let decided = |decision: &str| merge(json!({"approval": {"decision": decision}}));
    let pattern = || Barred("should match");
    let unsupported = || Barred("Unsupported value");
    vec![
        case(BILLING, "sets \"paid\"", Fresh, typed("paid"), pattern()),
        case(BILLING, "sets \"Paid \"", Fresh, typed("Paid "), pattern()),
        case(BILLING, "sets \"Paid\" and a line feed", Fresh, typed("Paid\n"), pattern()),
        case(BILLING, "sets Paid with Cyrillic letters", Fresh, typed("\u{420}\u{430}id"), pattern()),
        case(BILLING, "sets Paid in full width", Fresh, typed("\u{ff30}aid"), pattern()),
        case(BILLING, "sets Paid with a space of no width", Fresh, typed("Paid\u{200b}"), pattern()),
        case(OPERATOR, "sets \"paid\"", Fresh, typed("paid"), pattern()),
        case(ALICE, "decides \"approved\"", Open, decided("approved"), unsupported()),
        case(ALICE, "decides Approved with a Cyrillic letter", Open, decided("\u{410}pproved"), unsupported()),
        case(ALICE, "decides \"Approved \"", Open, decided("Approved "), unsupported()),
        case(ALICE, "decides nothing", Open, merge(json!({"approval": {"reason": "yes"}})), Barred("decision: Required value")),
        case(ALICE, "decides by a list", Open, merge(json!({"approval": [{"decision": "Approved"}]})), Barred("sennight-stamp-decider' denied request")),
        case(BILLING, "sets Paid to \"true\"", Fresh, merge(json!({"conditions": [{"type": "Paid", "status": "true", "reason": "X"}]})), unsupported()),
        case(BILLING, "writes approval with a Cyrillic letter", Open, merge(json!({"approv\u{430}l": {"decision": "Approved"}})), Ignored),
        case(BILLING, "writes Approval", Open, merge(json!({"Approval": {"decision": "Approved"}})), Ignored),
        case(BILLING, "sends approval twice in one body", Open, How::Bytes(r#"{"status":{"approval":null,"approval":{"decision":"Approved"}}}"#), Refused("takes the verb approve")),
        case(BILLING, "adds a second Paid", Paid, json_patch("add", "/status/conditions/-", paid("False")[0].clone()), Barred("Duplicate value")),
        case(BILLING, "adds two of Paid at once", Fresh, merge(json!({"conditions": [paid("False")[0], paid("True")[0]]})), Barred("Duplicate value")),
    ]
}

pub fn other_paths() -> Vec<Case> {
    const ONE: &str = "/apis/sennight.dev/v1alpha1/namespaces/{ns}/restorerequests/{name}";
    let status = || json!({"status": {"approval": {"decision": "Approved", "by": ALICE}}});
    let raw = |method, path: &'static str, content, body| How::Raw(method, path, content, body);
    vec![
        case(OPERATOR, "approves by the object itself, merged", Open, How::Merge("", status()), Ignored),
        case(OPERATOR, "approves by the object itself, applied", Open, How::Apply("", "sennight", status()), Ignored),
        case("", "approves by the object itself, put, as administrator", Open, How::Put("", |o| o["status"]["approval"] = json!({"decision": "Approved"})), Ignored),
        case(BILLING, "approves by the object itself", Open, How::Merge("", status()), Barred("cannot patch resource")),
        case(BILLING, "approves by the subresource scale", Open, raw("PUT", "/apis/sennight.dev/v1alpha1/namespaces/{ns}/restorerequests/{name}/scale", "application/json", status()), Barred("scale")),
        case("", "approves by the subresource approval, as administrator", Open, raw("PUT", "/apis/sennight.dev/v1alpha1/namespaces/{ns}/restorerequests/{name}/approval", "application/json", status()), Barred("not found")),
        case("", "approves by another version, as administrator", Open, raw("PATCH", "/apis/sennight.dev/v1/namespaces/{ns}/restorerequests/{name}/status", "application/merge-patch+json", status()), Barred("not found")),
        case(BILLING, "approves by a strategic merge patch", Open, raw("PATCH", "/apis/sennight.dev/v1alpha1/namespaces/{ns}/restorerequests/{name}/status", "application/strategic-merge-patch+json", status()), Barred("media type")),
        case(ALICE, "makes a status by POST", Open, raw("POST", "/apis/sennight.dev/v1alpha1/namespaces/{ns}/restorerequests/{name}/status", "application/json", status()), Barred("cannot create resource")),
        case(ALICE, "applies a status to what does not exist", Nothing, apply("alice", approve()), Barred("not found")),
        case(BILLING, "creates a request by applying it", Nothing, How::Apply("", "billing", json!({"spec": {}})), Barred("cannot patch resource")),
        case(ALICE, "deletes all requests at once", Signed, raw("DELETE", "/apis/sennight.dev/v1alpha1/namespaces/{ns}/restorerequests", "application/json", json!({})), Barred("cannot deletecollection resource")),
        case(BILLING, "deletes a request that it would have to refund", Signed, raw("DELETE", ONE, "application/json", json!({})), Barred("cannot delete resource")),
        case(BOB, "approves what he saw a while ago", Open, How::Merge("status", json!({"metadata": {"resourceVersion": "1"}, "status": approve()})), Barred("the object has been modified")),
        case(BOB, "approves another request of that name", Open, How::Put("status", |o| {
            o["metadata"]["uid"] = json!("00000000-0000-0000-0000-000000000000");
            o["status"]["approval"] = json!({"decision": "Approved"});
        }), Barred("UID")),
        case(BILLING, "gives the request another owner beside a payment", Open, How::Put("status", |o| {
            o["metadata"]["ownerReferences"] = json!([{"apiVersion": "v1", "kind": "Pod", "name": "x", "uid": "y"}]);
            o["metadata"]["labels"] = json!({"approved": "true"});
            o["metadata"]["annotations"] = json!({"sennight.dev/approved": "true"});
        }), Ignored),
        case(ALICE, "denies by PUT of what she read", Denied, How::Put("status", |_| ()), Ignored),
    ]
}

const RESERVED: super::Want = Refused("a RestoreRequest that is approved and paid");
const JOBS: &str = "/apis/batch/v1/namespaces/{ns}/jobs";
const JOB: &str = "/apis/batch/v1/namespaces/{ns}/jobs/r1-export-a1-sennight-restore";
const DUMP: &str = "/apis/batch/v1/namespaces/{ns}/jobs/sennight-dump-01234567890123456789";
const MERGE: &str = "application/merge-patch+json";
const PLAIN: &str = "application/json";

fn patch(path: &'static str, body: Value) -> How {
    How::Raw("PATCH", path, MERGE, body)
}

pub fn jobs() -> Vec<Case> {
    let mut generated = job("x", "{ns}");
    generated["metadata"] = json!({"generateName": "r2-cutover-sennight-restore-", "namespace": "{ns}"});
    vec![
        case(MALLORY, "makes a restore's Job", Nothing, How::Raw("POST", JOBS, PLAIN, job("r2-cutover-sennight-restore", "{ns}")), RESERVED),
        case(MALLORY, "makes a restore's Job by a generated name", Nothing, How::Raw("POST", JOBS, PLAIN, generated), RESERVED),
        case(MALLORY, "starts a restore's Job", Nothing, patch(JOB, json!({"spec": {"suspend": false}})), RESERVED),
        case(MALLORY, "gives a restore's Job more tries", Nothing, patch(JOB, json!({"spec": {"backoffLimit": 6}})), RESERVED),
        case(MALLORY, "hides a restore's Job from the operator", Nothing, patch(JOB, json!({"metadata": {"labels": {"app.kubernetes.io/managed-by": "me"}}})), RESERVED),
        case(MALLORY, "gives a restore's Job another owner", Nothing, patch(JOB, json!({"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "x", "uid": "y"}]}})), RESERVED),
        case(EVE, "says that a restore's Job has succeeded", Nothing, patch("/apis/batch/v1/namespaces/{ns}/jobs/r1-export-a1-sennight-restore/status", json!({"status": {"succeeded": 1}})), RESERVED),
        case(MALLORY, "notes something on a restore's Job", Nothing, patch(JOB, json!({"metadata": {"annotations": {"note": "seen"}}})), Allowed(json!({}))),
        case(OPERATOR, "makes a restore's Job", Nothing, How::Raw("POST", JOBS, PLAIN, job("r3-export-a1-sennight-restore", "{ns}")), Allowed(json!({}))),
        case(MALLORY, "makes a dump's Job", Nothing, How::Raw("POST", JOBS, PLAIN, job("sennight-dump-mine", "{ns}")), RESERVED),
        case(MALLORY, "makes a drill's Job", Nothing, How::Raw("POST", JOBS, PLAIN, job("sennight-drill-mine", "{ns}")), RESERVED),
        case(MALLORY, "gives the pods of a dump's Job a label", Nothing, patch(DUMP, json!({"spec": {"template": {"metadata": {"labels": {"mine": "yes"}}}}})), RESERVED),
        case(MALLORY, "hides a dump's Job from the operator", Nothing, patch(DUMP, json!({"metadata": {"labels": {"app.kubernetes.io/managed-by": "me"}}})), RESERVED),
        case(MALLORY, "resumes a dump's Job that is suspended", Nothing, patch("/apis/batch/v1/namespaces/{ns}/jobs/sennight-dump-98765432109876543210", json!({"spec": {"suspend": false}})), Allowed(json!({}))),
        case(OPERATOR, "makes a dump's Job", Nothing, How::Raw("POST", JOBS, PLAIN, job("sennight-dump-next", "{ns}")), Allowed(json!({}))),
        case(MALLORY, "makes a Job of another name", Nothing, How::Raw("POST", JOBS, PLAIN, job("something-else", "{ns}")), Allowed(json!({}))),
    ]
}

pub fn pods() -> Vec<Case> {
    let pod = |metadata: Value| How::Raw("POST", "/api/v1/namespaces/{ns}/pods", PLAIN, json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod_spec()}));
    let owner = json!([{"apiVersion": "batch/v1", "kind": "Job", "name": "r1-export-a1-sennight-restore", "uid": "y", "controller": true}]);
    let dump = json!([{"apiVersion": "batch/v1", "kind": "Job", "name": "sennight-dump-01234567890123456789", "uid": "y", "controller": true}]);
    let entered = || Refused("nobody enters the pod of a restore");
    vec![
        case(MALLORY, "makes a restore's pod", Nothing, pod(json!({"name": "r2-cutover-sennight-restore-x"})), RESERVED),
        case(MALLORY, "makes a restore's pod by a generated name", Nothing, pod(json!({"generateName": "r2-cutover-sennight-restore-"})), RESERVED),
        case(MALLORY, "labels a pod as a restore's", Nothing, pod(json!({"name": "p1", "labels": {"batch.kubernetes.io/job-name": "r1-export-a1-sennight-restore"}})), RESERVED),
        case(MALLORY, "labels a pod as a restore's, the old way", Nothing, pod(json!({"name": "p2", "labels": {"job-name": "r1-export-a1-sennight-restore"}})), RESERVED),
        case(MALLORY, "makes a pod that belongs to a restore's Job", Nothing, pod(json!({"name": "p3", "ownerReferences": owner})), RESERVED),
        case(MALLORY, "labels a running pod as a restore's", Nothing, patch("/api/v1/namespaces/{ns}/pods/harmless", json!({"metadata": {"labels": {"job-name": "r1-export-a1-sennight-restore"}}})), RESERVED),
        case(MALLORY, "puts another image into a restore's pod", Nothing, patch("/api/v1/namespaces/{ns}/pods/r1-export-a1-sennight-restore-abcde", json!({"spec": {"containers": [{"name": "worker", "image": "mine.invalid/mine"}]}})), RESERVED),
        case(MALLORY, "runs a command in a restore's pod", Nothing, How::Raw("POST", "/api/v1/namespaces/{ns}/pods/r1-export-a1-sennight-restore-abcde/exec?command=sh", PLAIN, json!({})), entered()),
        case(MALLORY, "attaches to a restore's pod", Nothing, How::Raw("POST", "/api/v1/namespaces/{ns}/pods/r1-export-a1-sennight-restore-abcde/attach", PLAIN, json!({})), entered()),
        case(MALLORY, "forwards a port of a restore's pod", Nothing, How::Raw("POST", "/api/v1/namespaces/{ns}/pods/r1-export-a1-sennight-restore-abcde/portforward", PLAIN, json!({})), entered()),
        case(EVE, "puts a container for debugging into a restore's pod", Nothing, patch("/api/v1/namespaces/{ns}/pods/r1-export-a1-sennight-restore-abcde/ephemeralcontainers", json!({"spec": {"ephemeralContainers": [{"name": "debug", "image": "mine.invalid/mine"}]}})), entered()),
        case(MALLORY, "makes a dump's pod", Nothing, pod(json!({"name": "sennight-dump-mine-x"})), RESERVED),
        case(MALLORY, "labels a pod as a drill's", Nothing, pod(json!({"name": "p5", "labels": {"job-name": "sennight-drill-mine"}})), RESERVED),
        case(MALLORY, "makes a pod that belongs to a dump's Job", Nothing, pod(json!({"name": "p6", "ownerReferences": dump})), RESERVED),
        case(MALLORY, "puts another image into a dump's pod", Nothing, patch("/api/v1/namespaces/{ns}/pods/sennight-dump-01234567890123456789-abcde", json!({"spec": {"containers": [{"name": "worker", "image": "mine.invalid/mine"}]}})), RESERVED),
        case(MALLORY, "runs a command in a dump's pod", Nothing, How::Raw("POST", "/api/v1/namespaces/{ns}/pods/sennight-dump-01234567890123456789-abcde/exec?command=sh", PLAIN, json!({})), entered()),
        case(MALLORY, "attaches to a dump's pod", Nothing, How::Raw("POST", "/api/v1/namespaces/{ns}/pods/sennight-dump-01234567890123456789-abcde/attach", PLAIN, json!({})), entered()),
        case(MALLORY, "forwards a port of a dump's pod", Nothing, How::Raw("POST", "/api/v1/namespaces/{ns}/pods/sennight-dump-01234567890123456789-abcde/portforward", PLAIN, json!({})), entered()),
        case(EVE, "puts a container for debugging into a dump's pod", Nothing, patch("/api/v1/namespaces/{ns}/pods/sennight-dump-01234567890123456789-abcde/ephemeralcontainers", json!({"spec": {"ephemeralContainers": [{"name": "debug", "image": "mine.invalid/mine"}]}})), entered()),
        case(MALLORY, "runs a command in a drill's pod", Nothing, How::Raw("POST", "/api/v1/namespaces/{ns}/pods/sennight-drill-01234567890123456789-abcde/exec?command=sh", PLAIN, json!({})), entered()),
        case(MALLORY, "runs a command in another pod", Nothing, How::Raw("POST", "/api/v1/namespaces/{ns}/pods/harmless/exec?command=sh", PLAIN, json!({})), Barred("does not have a host assigned")),
        case(MALLORY, "makes a pod of another name", Nothing, pod(json!({"name": "p4"})), Allowed(json!({}))),
    ]
}
