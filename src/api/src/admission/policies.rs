//! The admission policies as data: constant text, no parameters, server defaults written out so that they can be compared
//! exactly. The policy of status is in `status_policy`, that of names of Jobs in `reserved`.
//!
//! No policy reads a clock (CEL has none) or another object. A part of `status` that no line here names belongs to the
//! operator: new fields are closed by default. The expressions use no optional syntax, so that the same text can be run
//! without an API server and compared with `core::authority` (tests/unit/authority.rs).

use serde_json::{Value, json};

/// Name of the policy that checks the creator's name in a new request.
pub const CREATE: &str = "sennight-restorerequest-create";
/// Name of the policy that the creator of a request may not approve it (setting `gate.fourEyes`).
pub const FOUR_EYES: &str = "sennight-four-eyes";
/// Name of the policy that writes the creator's name into a request.
pub const STAMP_REQUESTER: &str = "sennight-stamp-requester";
/// Name of the policy that writes the caller's name beside a decision or payment.
pub const STAMP_DECIDER: &str = "sennight-stamp-decider";

const APPROVAL_CHANGED: &str = "('approval' in variables.before) != ('approval' in variables.after) \
|| ('approval' in variables.before && variables.before.approval != variables.after.approval)";

/// Expression: the conditions whose type is (`==`) or is not (`!=`) Paid.
fn conditions(of: &str, operator: &str) -> String {
    format!("('conditions' in variables.{of} ? variables.{of}.conditions.filter(c, c.type {operator} 'Paid') : [])")
}

/// Expression: payment or the condition Paid changed, the refund aside. Recording a refund is not recording a payment.
fn payment_changed() -> String {
    let (before, after) = (conditions("before", "=="), conditions("after", "=="));
    format!(
        "variables.payAfter.exists(k, k != 'refund' && (!(k in variables.payBefore) || variables.payBefore[k] != variables.payAfter[k])) \
         || variables.payBefore.exists(k, k != 'refund' && !(k in variables.payAfter)) \
         || {before} != {after}"
    )
}

fn variable(name: &str, expression: &str) -> Value {
    json!({"name": name, "expression": expression})
}

fn status_variables() -> Vec<Value> {
    vec![
        variable("before", "has(oldObject.status) ? oldObject.status : {}"),
        variable("after", "has(object.status) ? object.status : {}"),
        variable("payBefore", "'payment' in variables.before ? variables.before.payment : {}"),
        variable("payAfter", "'payment' in variables.after ? variables.after.payment : {}"),
        variable("approvalChanged", APPROVAL_CHANGED),
        variable("paymentChanged", &payment_changed()),
    ]
}

/// One rule of `matchConstraints`: which requests a policy checks.
pub fn rule(group: &str, resources: &[&str], operations: &[&str]) -> Value {
    json!({
        "apiGroups": [group], "apiVersions": ["*"], "operations": operations, "resources": resources, "scope": "*"
    })
}

/// `matchConstraints` with these rules, in all namespaces.
pub fn constraints(rules: &[Value]) -> Value {
    // Equivalent: a write by another version or group of the same API is looked at, too. Empty selectors are what the
    // server fills in.
    json!({"matchPolicy": "Equivalent", "namespaceSelector": {}, "objectSelector": {}, "resourceRules": rules})
}

/// A validation: an expression that must be true, and the message if it is not.
pub fn refuse_unless(expression: &str, message: &str) -> Value {
    json!({"expression": expression, "message": format!("{} {message}", super::DENIAL_PREFIX), "reason": "Forbidden"})
}

/// `matchConstraints` for writes to a request's status.
pub fn status_writes() -> Value {
    constraints(&[rule("sennight.dev", &["restorerequests/status"], &["UPDATE"])])
}

/// Spec of [`CREATE`].
pub fn create() -> Value {
    json!({
        // An expression that cannot be evaluated refuses: a gate that fails open is none.
        "failurePolicy": "Fail",
        "matchConstraints": constraints(&[rule("sennight.dev", &["restorerequests"], &["CREATE"])]),
        "validations": [refuse_unless(
            "has(object.spec.requestedBy) && object.spec.requestedBy == request.userInfo.username",
            "spec.requestedBy must be your own user name: leave it out where a MutatingAdmissionPolicy stamps it, else write it yourself",
        )]
    })
}

/// Spec of [`FOUR_EYES`]: for every mode, or for those that replace a database. An unknown creator might be the approver.
pub fn four_eyes(every_mode: bool) -> Value {
    let (mode, which) = if every_mode { ("", "All") } else { ("object.spec.mode == 'CrmExport' || ", "FullRestore") };
    let expression = format!(
        "!variables.approvalChanged || !('approval' in variables.after) || variables.after.approval.decision != 'Approved' \
         || {mode}(has(object.spec.requestedBy) && object.spec.requestedBy != request.userInfo.username)"
    );
    // Each variable costs the API server some 20 µs a write: only those that the expression uses.
    let wanted = ["before", "after", "approvalChanged"];
    let variables: Vec<Value> =
        status_variables().into_iter().filter(|v| wanted.iter().any(|name| v["name"] == *name)).collect();
    json!({
        "failurePolicy": "Fail",
        "matchConstraints": status_writes(),
        "variables": variables,
        "validations": [refuse_unless(
            &expression,
            &format!("whoever created a request may not approve it (gate.fourEyes: {which}): another person must"),
        )]
    })
}

/// Spec of [`STAMP_REQUESTER`].
pub fn stamp_requester() -> Value {
    json!({
        "failurePolicy": "Fail",
        // Whatever changes the object after us has it stamped once more.
        "reinvocationPolicy": "IfNeeded",
        "matchConstraints": constraints(&[rule("sennight.dev", &["restorerequests"], &["CREATE"])]),
        "mutations": [{
            "patchType": "JSONPatch",
            "jsonPatch": {"expression": "[JSONPatch{op: 'add', path: '/spec/requestedBy', value: request.userInfo.username}]"}
        }]
    })
}

/// Match condition of [`STAMP_DECIDER`]: an approval, payment or refund may lack its writer's name. Making and applying a
/// patch costs far more than this test, and most writes need none. It may match too much, because the mutation is exact; it
/// must miss nothing.
const MAY_NEED_A_NAME: &str = "has(object.status) && (\
(has(object.status.approval) \
&& !(has(object.status.approval.by) && object.status.approval.by == request.userInfo.username) \
&& !(has(oldObject.status) && has(oldObject.status.approval) && oldObject.status.approval == object.status.approval)) \
|| (!(has(object.status.payment) && has(object.status.payment.by) && object.status.payment.by == request.userInfo.username) \
&& (!has(oldObject.status) \
|| has(object.status.payment) != has(oldObject.status.payment) \
|| (has(object.status.payment) && object.status.payment != oldObject.status.payment) \
|| (has(object.status.conditions) ? object.status.conditions.filter(c, c.type == 'Paid') : []) \
!= (has(oldObject.status.conditions) ? oldObject.status.conditions.filter(c, c.type == 'Paid') : []))) \
|| (has(object.status.payment) && has(object.status.payment.refund) \
&& !(has(object.status.payment.refund.by) && object.status.payment.refund.by == request.userInfo.username) \
&& !(has(oldObject.status) && has(oldObject.status.payment) && has(oldObject.status.payment.refund) \
&& oldObject.status.payment.refund == object.status.payment.refund)))";

/// Spec of [`STAMP_DECIDER`]: one patch, because each is made, applied and read back by itself.
pub fn stamp_decider() -> Value {
    let approval = "variables.approvalChanged && 'approval' in variables.after \
        ? [JSONPatch{op: 'add', path: '/status/approval/by', value: request.userInfo.username}] : []";
    // A Paid without `status.payment` gets one, so that the name has a place.
    let payment = "!variables.paymentChanged ? [] : ('payment' in variables.after \
        ? [JSONPatch{op: 'add', path: '/status/payment/by', value: request.userInfo.username}] \
        : (has(object.status) && !('payment' in variables.before) \
            ? [JSONPatch{op: 'add', path: '/status/payment', value: {'by': request.userInfo.username}}] : []))";
    let refund = "'refund' in variables.payAfter && !('refund' in variables.payBefore && variables.payBefore.refund == variables.payAfter.refund) \
        ? [JSONPatch{op: 'add', path: '/status/payment/refund/by', value: request.userInfo.username}] : []";
    json!({
        "failurePolicy": "Fail",
        "reinvocationPolicy": "IfNeeded",
        "matchConstraints": status_writes(),
        "matchConditions": [{"name": "may-need-a-name", "expression": MAY_NEED_A_NAME}],
        "variables": status_variables(),
        "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": format!("({approval}) + ({payment}) + ({refund})")}}]
    })
}
