//! Names with `-sennight-restore`: who may make, change, finish or enter the Jobs and pods that bear them.
//!
//! This guards against passing something off as a restore, and against reaching into one. Whoever may create pods in a
//! tenants' namespace can mount that namespace's Secrets in a pod of any name; no policy on names changes that.

use super::policies::{constraints, refuse_unless, rule};
use serde_json::{Value, json};

/// Name of the policy that reserves the names of restore Jobs and their pods.
pub const JOBS: &str = "sennight-restore-jobs";
/// Name of the policy that nobody enters a restore's pod.
pub const PODS: &str = "sennight-restore-pods";

/// Bears the name in one of the places that Jobs and pods are told by. A generated name is there when policies are asked.
const RESERVED: &str = "(has(object.metadata.name) && object.metadata.name.contains('-sennight-restore')) \
|| (has(object.metadata.labels) && ['batch.kubernetes.io/job-name', 'job-name'].exists(k, k in object.metadata.labels && object.metadata.labels[k].contains('-sennight-restore'))) \
|| (has(object.metadata.ownerReferences) && object.metadata.ownerReferences.exists(o, o.kind == 'Job' && o.name.contains('-sennight-restore')))";

/// What merely changes an annotation or a finalizer is nobody's business here. `subResource` is not there when it is empty.
const MATTERS: &str = "request.operation == 'CREATE' || (has(request.subResource) && request.subResource == 'status') || object.spec != oldObject.spec \
|| has(object.metadata.labels) != has(oldObject.metadata.labels) \
|| (has(object.metadata.labels) && object.metadata.labels != oldObject.metadata.labels) \
|| has(object.metadata.ownerReferences) != has(oldObject.metadata.ownerReferences) \
|| (has(object.metadata.ownerReferences) && object.metadata.ownerReferences != oldObject.metadata.ownerReferences)";

const MAY_OPERATE: &str = "authorizer.group('sennight.dev').resource('restorerequests').namespace(request.namespace).check('operate').allowed()";

/// The controllers that make pods of Jobs, and take the traces of deleted owners away.
const CONTROLLERS: &str = "['system:serviceaccount:kube-system:job-controller', 'system:serviceaccount:kube-system:generic-garbage-collector', 'system:kube-controller-manager']";

/// Spec of [`JOBS`]. A pod of a Job has the Job's name in its own name, its labels and its owner.
pub fn jobs() -> Value {
    json!({
        "failurePolicy": "Fail",
        "matchConstraints": constraints(&[
            rule("batch", &["jobs"], &["CREATE", "UPDATE"]),
            rule("batch", &["jobs/status"], &["UPDATE"]),
            rule("", &["pods"], &["CREATE", "UPDATE"]),
        ]),
        "matchConditions": [
            {"name": "acts-for-a-restore-request", "expression": RESERVED},
            {"name": "is-new-or-does-something-else", "expression": MATTERS}
        ],
        "validations": [refuse_unless(
            &format!("{MAY_OPERATE} || request.userInfo.username in {CONTROLLERS}"),
            "names with -sennight-restore are kept for the operator's restore Jobs: a restore takes a RestoreRequest that is approved and paid",
        )]
    })
}

/// Spec of [`PODS`].
pub fn pods() -> Value {
    json!({
        "failurePolicy": "Fail",
        "matchConstraints": constraints(&[
            rule("", &["pods/exec", "pods/attach", "pods/portforward", "pods/proxy"], &["CONNECT"]),
            rule("", &["pods/ephemeralcontainers", "pods/resize"], &["UPDATE"]),
        ]),
        "matchConditions": [
            {"name": "is-a-restores-pod", "expression": "request.name.contains('-sennight-restore')"}
        ],
        "validations": [refuse_unless(
            MAY_OPERATE,
            "nobody enters the pod of a restore: its log and status.progress of the RestoreRequest say how far it is",
        )]
    })
}
