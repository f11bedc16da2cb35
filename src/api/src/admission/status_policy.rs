//! The policy [`STATUS`], which divides a request's status: one rule each for the helpdesk's, billing's and the operator's
//! part, one against approving and settling by one account, one against late changes.
//!
//! Each expression, each variable and each computed message costs the API server some 20 µs a write; a `has` costs 3. So
//! there are five rules, no variables and constant messages, and the cheap test that mostly suffices comes first.

use super::policies::{refuse_unless, status_writes};
use serde_json::{Value, json};

/// Name of the policy that divides `status` among helpdesk, billing and operator.
pub const STATUS: &str = "sennight-restorerequest-status";

const NOT_HELPDESK: &str = "status.approval is the helpdesk's: it takes the verb approve on restorerequests.sennight.dev (ClusterRole sennight-helpdesk), and status.approval.by must be your own user name: leave it out where a MutatingAdmissionPolicy stamps it, else write it yourself";
const NOT_BILLING: &str = "status.payment and the condition Paid are billing's: they take the verb settle on restorerequests.sennight.dev (ClusterRole sennight-billing), and status.payment.by must be your own user name (for a refund payment.refund.by): leave it out where a MutatingAdmissionPolicy stamps it, else write it yourself";
const NOT_OPERATOR: &str = "this part of status is the operator's; the helpdesk writes status.approval, billing status.payment and the condition Paid. A merge patch replaces all conditions: use kubectl apply --server-side --subresource=status";
const SAME_ACCOUNT: &str = "whoever approved may not record the payment, nor the other way round: another account must";
const TOO_LATE: &str = "too late: the restore has been claimed or has ended, or this request is being deleted (create another one): its approval no longer changes, and only payment.refund may still be recorded";

/// Annotation in the API server's audit log: what was decided, and by whom.
const DECISION: &str = "has(object.status) && has(object.status.approval) \
&& !(has(oldObject.status) && has(oldObject.status.approval) && oldObject.status.approval == object.status.approval) \
? 'approval ' + string(object.status.approval.decision) + ' by ' + request.userInfo.username \
: (has(object.status) && has(object.status.payment) \
&& !(has(oldObject.status) && has(oldObject.status.payment) && oldObject.status.payment == object.status.payment) \
? 'payment by ' + request.userInfo.username : '')";

const REFUND_NAMED: &str = "!(has(object.status) && has(object.status.payment) && has(object.status.payment.refund)) \
|| (has(object.status.payment.refund.by) && object.status.payment.refund.by == request.userInfo.username) \
|| (has(oldObject.status) && has(oldObject.status.payment) && has(oldObject.status.payment.refund) \
&& oldObject.status.payment.refund == object.status.payment.refund)";
const CLOSED: &str = "has(object.metadata.deletionTimestamp) \
|| (has(oldObject.status) && (has(oldObject.status.claim) || has(oldObject.status.finishedAt)))";
const SAME_NAME: &str = "has(object.status) && has(object.status.approval) && has(object.status.payment) \
&& has(object.status.approval.by) && has(object.status.payment.by) \
&& object.status.approval.by == object.status.payment.by";

/// Spec of [`STATUS`].
pub fn status() -> Value {
    let (approval, payment, refund) = (unchanged("approval"), payment_unchanged(), payment_unchanged_but_refund());
    let (approver, payer) = (is_named("approval"), is_named("payment"));
    let (approve, settle, operate) = (may("approve"), may("settle"), may("operate"));
    json!({
        "failurePolicy": "Fail",
        "matchConstraints": status_writes(),
        "validations": [
            refuse_unless(&format!("({approval}) || ({approve} && {approver})"), NOT_HELPDESK),
            refuse_unless(&format!("({payment}) || ({settle} && (({payer}) || ({refund})) && ({REFUND_NAMED}))"), NOT_BILLING),
            refuse_unless(&format!("({}) || {operate}", operator_part_unchanged()), NOT_OPERATOR),
            // Only if one of the two changes: the operator must still be able to write to an object that bears one name
            // twice.
            refuse_unless(&format!("!({SAME_NAME}) || (({approval}) && ({refund}))"), SAME_ACCOUNT),
            refuse_unless(&format!("!({CLOSED}) || (({approval}) && ({refund}))"), TOO_LATE),
        ],
        // A decision that is changed again before the operator looks is in no record but the API server's
        // (docs/audit.md).
        "auditAnnotations": [{"key": "decision", "valueExpression": DECISION}]
    })
}

/// Expression: the caller has this verb on this request.
fn may(verb: &str) -> String {
    format!(
        "authorizer.group('sennight.dev').resource('restorerequests').namespace(request.namespace).name(request.name).check('{verb}').allowed()"
    )
}

/// Expression: this part of status bears the caller's name.
fn is_named(part: &str) -> String {
    format!(
        "has(object.status) && has(object.status.{part}) && has(object.status.{part}.by) && object.status.{part}.by == request.userInfo.username"
    )
}

/// Expression: this key of status is present and equal, or absent, before and after.
fn unchanged(key: &str) -> String {
    let before = format!("has(oldObject.status) && has(oldObject.status.{key})");
    format!(
        "has(object.status) && has(object.status.{key}) ? {before} && object.status.{key} == oldObject.status.{key} : !({before})"
    )
}

/// Expression: the conditions whose type is (`==`) or is not (`!=`) Paid.
fn conditions(of: &str, operator: &str) -> String {
    format!(
        "(has({of}.status) && has({of}.status.conditions) ? {of}.status.conditions.filter(c, c.type {operator} 'Paid') : [])"
    )
}

fn conditions_unchanged(operator: &str) -> String {
    format!("{} == {}", conditions("oldObject", operator), conditions("object", operator))
}

fn payment_unchanged() -> String {
    format!("({}) && {}", unchanged("payment"), conditions_unchanged("=="))
}

/// Expression: payment and the condition Paid are unchanged except for the refund. Recording a refund is not recording a
/// payment.
fn payment_unchanged_but_refund() -> String {
    let same = |one: &str, other: &str, with: &str| {
        format!(
            "(!(has({one}.status) && has({one}.status.payment)) || {one}.status.payment.all(k, k == 'refund' || \
             (has({other}.status) && has({other}.status.payment) && k in {other}.status.payment{with})))"
        )
    };
    let equal = " && oldObject.status.payment[k] == object.status.payment[k]";
    let (came, went) = (same("object", "oldObject", equal), same("oldObject", "object", ""));
    format!("{came} && {went} && {}", conditions_unchanged("=="))
}

/// Expression: every key of status that is not somebody else's, and every condition but Paid, is unchanged. New keys are
/// the operator's by default.
fn operator_part_unchanged() -> String {
    let same = |one: &str, other: &str, with: &str| {
        format!(
            "(!has({one}.status) || {one}.status.all(k, k in ['approval', 'payment', 'conditions'] || \
             (has({other}.status) && k in {other}.status{with})))"
        )
    };
    let equal = " && oldObject.status[k] == object.status[k]";
    let (came, went) = (same("object", "oldObject", equal), same("oldObject", "object", ""));
    format!("{came} && {went} && {}", conditions_unchanged("!="))
}
