//! The policies as data: constant text, no parameters, server defaults written out so that a comparison can be exact.
//!
//! Nothing in a policy reads a clock (CEL has none) or another object. A part of `status` that no line here names belongs
//! to the operator: new fields are closed by default.

use serde_json::{Value, json};

/// Name of the policy that divides `status` among helpdesk, billing and operator.
pub const STATUS: &str = "sennight-restorerequest-status";
/// Name of the policy that a request's creator is who they say.
pub const CREATE: &str = "sennight-restorerequest-create";
/// Name of the policy that reserves the names of restore Jobs and their pods.
pub const JOBS: &str = "sennight-restore-jobs";
/// Name of the policy that writes the creator's name into a request.
pub const STAMP_REQUESTER: &str = "sennight-stamp-requester";
/// Name of the policy that writes the caller's name beside a decision or payment.
pub const STAMP_DECIDER: &str = "sennight-stamp-decider";

const APPROVAL_CHANGED: &str = "variables.before.?approval != variables.after.?approval";

/// Payment and the condition Paid, without the refund: recording a refund is not recording a payment.
const PAYMENT_CHANGED: &str = "variables.paidBefore != variables.paidAfter \
|| variables.payAfter.exists(k, k != 'refund' && (!(k in variables.payBefore) || variables.payBefore[k] != variables.payAfter[k])) \
|| variables.payBefore.exists(k, k != 'refund' && !(k in variables.payAfter))";

/// Every key of status that is not somebody else's, and every condition but Paid.
const REST_CHANGED: &str = "variables.after.exists(k, !(k in ['approval', 'payment', 'conditions']) && (!(k in variables.before) || variables.before[k] != variables.after[k])) \
|| variables.before.exists(k, !(k in ['approval', 'payment', 'conditions']) && !(k in variables.after)) \
|| variables.before.?conditions.orValue([]).filter(c, c.type != 'Paid') != variables.after.?conditions.orValue([]).filter(c, c.type != 'Paid')";

/// The caller may do this to this request.
fn may(verb: &str) -> String {
    format!(
        "authorizer.group('sennight.dev').resource('restorerequests').namespace(request.namespace).name(request.name).check('{verb}').allowed()"
    )
}

fn variable(name: &str, expression: &str) -> Value {
    json!({"name": name, "expression": expression})
}

fn status_variables() -> Vec<Value> {
    vec![
        variable("before", "oldObject.?status.orValue({})"),
        variable("after", "object.?status.orValue({})"),
        variable("payBefore", "variables.before.?payment.orValue({})"),
        variable("payAfter", "variables.after.?payment.orValue({})"),
        variable("paidBefore", "variables.before.?conditions.orValue([]).filter(c, c.type == 'Paid')"),
        variable("paidAfter", "variables.after.?conditions.orValue([]).filter(c, c.type == 'Paid')"),
        variable("approvalChanged", APPROVAL_CHANGED),
        variable("paymentChanged", PAYMENT_CHANGED),
    ]
}

fn rule(groups: &str, resources: &[&str], operations: &[&str]) -> Value {
    json!({
        "apiGroups": [groups], "apiVersions": ["*"], "operations": operations, "resources": resources, "scope": "*"
    })
}

fn constraints(rules: &[Value]) -> Value {
    json!({"matchPolicy": "Equivalent", "namespaceSelector": {}, "objectSelector": {}, "resourceRules": rules})
}

fn refuse_unless(expression: &str, message: &str) -> Value {
    json!({"expression": expression, "message": format!("{} {message}", super::DENIAL_PREFIX), "reason": "Forbidden"})
}

/// Spec of [`STATUS`].
pub fn status() -> Value {
    let mut variables = status_variables();
    variables.push(variable("restChanged", REST_CHANGED));
    variables.push(variable("refundChanged", "variables.payBefore.?refund != variables.payAfter.?refund"));
    json!({
        "failurePolicy": "Fail",
        "matchConstraints": constraints(&[rule("sennight.dev", &["restorerequests/status"], &["UPDATE"])]),
        "variables": variables,
        "validations": status_validations(),
        "auditAnnotations": [{
            "key": "decision",
            "valueExpression": "variables.approvalChanged ? 'approval ' + variables.after.?approval.?decision.orValue('removed') + ' by ' + request.userInfo.username : (variables.paymentChanged || variables.refundChanged ? 'payment by ' + request.userInfo.username : '')"
        }]
    })
}

fn status_validations() -> Vec<Value> {
    vec![
        refuse_unless(
            &format!("!variables.approvalChanged || {}", may("approve")),
            "status.approval is the helpdesk's: it takes the verb approve on restorerequests.sennight.dev (ClusterRole sennight-helpdesk)",
        ),
        refuse_unless(
            &format!("!(variables.paymentChanged || variables.refundChanged) || {}", may("settle")),
            "status.payment and the condition Paid are billing's: they take the verb settle on restorerequests.sennight.dev (ClusterRole sennight-billing)",
        ),
        refuse_unless(
            &format!("!variables.restChanged || {}", may("operate")),
            "this part of status is the operator's; the helpdesk writes status.approval, billing status.payment and the condition Paid. A merge patch replaces all conditions: use kubectl apply --server-side --subresource=status",
        ),
        refuse_unless(
            "!variables.approvalChanged || variables.after.?approval.?by.orValue('') == request.userInfo.username",
            "status.approval.by must be your own user name: leave it out where a MutatingAdmissionPolicy stamps it, else write it yourself",
        ),
        refuse_unless(
            "!variables.paymentChanged || variables.payAfter.?by.orValue('') == request.userInfo.username",
            "status.payment.by must be your own user name: leave it out where a MutatingAdmissionPolicy stamps it, else write it yourself",
        ),
        refuse_unless(
            "!(variables.approvalChanged || variables.paymentChanged) || !has(object.status.approval) || !(('by' in variables.payAfter)) || variables.after.?approval.?by.orValue('') != variables.payAfter.by",
            "whoever approved may not record the payment, nor the other way round: another account must",
        ),
        refuse_unless(
            "!variables.paymentChanged || !('finishedAt' in variables.before || 'claim' in variables.before)",
            "too late: the restore has been claimed or has ended; only payment.refund may still be recorded",
        ),
        refuse_unless(
            "!variables.approvalChanged || !('finishedAt' in variables.before || 'claim' in variables.before)",
            "too late: the restore has been claimed or has ended, its approval no longer changes",
        ),
        refuse_unless(
            "!(variables.approvalChanged || variables.paymentChanged) || !has(object.metadata.deletionTimestamp)",
            "this request is being deleted: create another one",
        ),
    ]
}

/// Spec of [`CREATE`].
pub fn create() -> Value {
    json!({
        "failurePolicy": "Fail",
        "matchConstraints": constraints(&[rule("sennight.dev", &["restorerequests"], &["CREATE"])]),
        "validations": [refuse_unless(
            "object.spec.?requestedBy.orValue('') == request.userInfo.username",
            "spec.requestedBy must be your own user name: leave it out where a MutatingAdmissionPolicy stamps it, else write it yourself",
        )]
    })
}

/// Spec of [`JOBS`]. A pod of a Job has the Job's name in its own name, its generateName and its label.
pub fn jobs() -> Value {
    json!({
        "failurePolicy": "Fail",
        "matchConstraints": constraints(&[
            rule("batch", &["jobs"], &["CREATE", "UPDATE"]),
            rule("", &["pods"], &["CREATE"]),
        ]),
        "matchConditions": [
            {
                "name": "acts-for-a-restore-request",
                "expression": "object.metadata.?name.orValue('').contains('-sennight-restore') \
                    || object.metadata.?generateName.orValue('').contains('-sennight-restore') \
                    || (has(object.metadata.labels) && 'batch.kubernetes.io/job-name' in object.metadata.labels \
                        && object.metadata.labels['batch.kubernetes.io/job-name'].contains('-sennight-restore'))"
            },
            {
                "name": "is-new-or-does-something-else",
                "expression": "request.operation == 'CREATE' || object.spec != oldObject.spec"
            }
        ],
        "validations": [refuse_unless(
            "authorizer.group('sennight.dev').resource('restorerequests').namespace(request.namespace).check('operate').allowed() \
             || request.userInfo.username in ['system:serviceaccount:kube-system:job-controller', 'system:kube-controller-manager']",
            "names with -sennight-restore are kept for the operator's restore Jobs: a restore takes a RestoreRequest that is approved and paid",
        )]
    })
}

/// Spec of [`STAMP_REQUESTER`].
pub fn stamp_requester() -> Value {
    json!({
        "failurePolicy": "Fail",
        "reinvocationPolicy": "IfNeeded",
        "matchConstraints": constraints(&[rule("sennight.dev", &["restorerequests"], &["CREATE"])]),
        "mutations": [{
            "patchType": "JSONPatch",
            "jsonPatch": {"expression": "[JSONPatch{op: 'add', path: '/spec/requestedBy', value: request.userInfo.username}]"}
        }]
    })
}

/// Spec of [`STAMP_DECIDER`].
pub fn stamp_decider() -> Value {
    json!({
        "failurePolicy": "Fail",
        "reinvocationPolicy": "IfNeeded",
        "matchConstraints": constraints(&[rule("sennight.dev", &["restorerequests/status"], &["UPDATE"])]),
        "variables": status_variables(),
        "mutations": [
            {
                "patchType": "JSONPatch",
                "jsonPatch": {"expression": "variables.approvalChanged && 'approval' in variables.after \
                    ? [JSONPatch{op: 'add', path: '/status/approval/by', value: request.userInfo.username}] : []"}
            },
            {
                "patchType": "JSONPatch",
                "jsonPatch": {"expression": "!variables.paymentChanged ? [] : ('payment' in variables.after \
                    ? [JSONPatch{op: 'add', path: '/status/payment/by', value: request.userInfo.username}] \
                    : (has(object.status) && !('payment' in variables.before) \
                        ? [JSONPatch{op: 'add', path: '/status/payment', value: {'by': request.userInfo.username}}] : []))"}
            }
        ]
    })
}
