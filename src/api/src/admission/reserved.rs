//! The policies that reserve the names of worker Jobs and their pods for the operator. Restores have `-sennight-restore` in
//! their names; those of dumps and drills begin with `sennight-dump-` and `sennight-drill-`.
//!
//! They prevent that somebody passes a Job off as a restore, or enters a pod that holds credentials. Entering is judged by
//! the pod's name alone, because labels can be removed. Whoever may create pods in a tenants' namespace can still mount its
//! Secrets in a pod of another name; no policy on names changes that.

use super::policies::{constraints, refuse_unless, rule};
use serde_json::{Value, json};

/// Name of the policy that reserves the names of worker Jobs and their pods.
pub const JOBS: &str = "sennight-restore-jobs";
/// Name of the policy against exec, attach and the like in worker pods.
pub const PODS: &str = "sennight-restore-pods";

/// Match condition: a reserved name in the object's name, its Job labels or its owners. A generated name is already filled in
/// when policies run.
const RESERVED: &str = "(has(object.metadata.name) && (object.metadata.name.contains('-sennight-restore') \
|| object.metadata.name.startsWith('sennight-dump-') || object.metadata.name.startsWith('sennight-drill-'))) \
|| (has(object.metadata.labels) && ['batch.kubernetes.io/job-name', 'job-name'].exists(k, k in object.metadata.labels \
&& (object.metadata.labels[k].contains('-sennight-restore') \
|| object.metadata.labels[k].startsWith('sennight-dump-') || object.metadata.labels[k].startsWith('sennight-drill-')))) \
|| (has(object.metadata.ownerReferences) && object.metadata.ownerReferences.exists(o, o.kind == 'Job' \
&& (o.name.contains('-sennight-restore') || o.name.startsWith('sennight-dump-') || o.name.startsWith('sennight-drill-'))))";

/// Match condition: the write creates the object or changes more than annotations and finalizers. `subResource` is absent
/// when it is empty. Of a dump's or drill's Job only the template counts: Kueue, or a person, suspends and resumes it and
/// resets its status.
const RELEVANT_CHANGE: &str = "request.operation == 'CREATE' \
|| (request.resource.resource == 'jobs' && (object.metadata.name.startsWith('sennight-dump-') || object.metadata.name.startsWith('sennight-drill-')) \
? object.spec.template != oldObject.spec.template \
: ((has(request.subResource) && request.subResource == 'status') || object.spec != oldObject.spec)) \
|| has(object.metadata.labels) != has(oldObject.metadata.labels) \
|| (has(object.metadata.labels) && object.metadata.labels != oldObject.metadata.labels) \
|| has(object.metadata.ownerReferences) != has(oldObject.metadata.ownerReferences) \
|| (has(object.metadata.ownerReferences) && object.metadata.ownerReferences != oldObject.metadata.ownerReferences)";

/// Match condition: the pod that is entered has a reserved name.
const ENTERED: &str = "request.name.contains('-sennight-restore') \
|| request.name.startsWith('sennight-dump-') || request.name.startsWith('sennight-drill-')";

const MAY_OPERATE: &str = "authorizer.group('sennight.dev').resource('restorerequests').namespace(request.namespace).check('operate').allowed()";

/// The controllers that create the pods of Jobs, and that remove references to deleted owners.
const CONTROLLERS: &str = "['system:serviceaccount:kube-system:job-controller', 'system:serviceaccount:kube-system:generic-garbage-collector', 'system:kube-controller-manager']";

/// Spec of [`JOBS`]. A pod of a Job has the Job's name in its own name, its labels and its owner.
pub fn jobs() -> Value {
    json!({
        "failurePolicy": "Fail",
        "matchConstraints": constraints(&[
            rule("batch", &["jobs"], &["CREATE", "UPDATE"]),
            // A forged status could pass a restore's Job off as ended.
            rule("batch", &["jobs/status"], &["UPDATE"]),
            rule("", &["pods"], &["CREATE", "UPDATE"]),
        ]),
        "matchConditions": [
            {"name": "acts-for-a-restore-request", "expression": RESERVED},
            {"name": "is-new-or-does-something-else", "expression": RELEVANT_CHANGE}
        ],
        "validations": [refuse_unless(
            &format!("{MAY_OPERATE} || request.userInfo.username in {CONTROLLERS}"),
            "names with -sennight-restore, and those that begin with sennight-dump- or sennight-drill-, are kept for the operator's own Jobs: a restore takes a RestoreRequest that is approved and paid",
        )]
    })
}

/// Spec of [`PODS`].
pub fn pods() -> Value {
    json!({
        "failurePolicy": "Fail",
        "matchConstraints": constraints(&[
            rule("", &["pods/exec", "pods/attach", "pods/portforward", "pods/proxy"], &["CONNECT"]),
            // A container for debugging can share the pod's mounts and processes.
            rule("", &["pods/ephemeralcontainers", "pods/resize"], &["UPDATE"]),
        ]),
        "matchConditions": [
            {"name": "is-a-workers-pod", "expression": ENTERED}
        ],
        "validations": [refuse_unless(
            MAY_OPERATE,
            "nobody enters the pod of a restore, a dump or a drill, it holds credentials: its log says how far it is, and status.progress of a RestoreRequest",
        )]
    })
}
