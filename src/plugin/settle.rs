//! `settle`: billing's half of the gate. Paid and the payment by server-side apply under a field manager of its own, so
//! that nobody else's conditions are touched; a refund, which comes after the end, by a merge patch of its one field.

use super::args::{ClusterArgs, SettleArgs};
use super::cluster::Cluster;
use super::error::PluginError;
use super::output::Io;
use crate::api::ConditionStatus;
use crate::api::conditions::reason::{CHARGED_BACK, INCLUDED_IN_PLAN, PAYMENT_RECORDED, WAIVED};
use crate::api::conditions::{RequestCondition, is_true};
use crate::api::{RestoreRequest, RestoreRequestStatus};
use serde_json::{Value, json};

/// The field manager of Paid and the payment.
pub const MANAGER: &str = "kubectl-sennight-settle";

/// Records.
pub async fn run(args: &ClusterArgs, settle: &SettleArgs, io: &mut Io<'_>) -> Result<(), PluginError> {
    let cluster = Cluster::connect(args).await?;
    let request = cluster.request(&settle.name).await?;
    let status = request.status.clone().unwrap_or_default();
    if let Some(reference) = &settle.refund {
        let refund = json!({"payment": {"refund": {"reference": reference}}});
        return cluster.write(&settle.name, refund, None, "refunded", &settle.write, io).await;
    }
    may_settle(&request, settle)?;
    if is_early(&status) {
        io.complain("note: this request is not approved yet; the payment is kept and nothing runs before the approval");
    }
    let paid = payment(settle, cluster.whoami().await, &status);
    let done = if settle.charged_back { "charged back" } else { "settled" };
    cluster.write(&settle.name, paid, Some(MANAGER), done, &settle.write, io).await
}

fn is_early(status: &RestoreRequestStatus) -> bool {
    status.approval.is_none() && !is_true(&status.conditions, RequestCondition::Approved)
}

/// Refuses what could not take effect any more, with the way out.
pub fn may_settle(request: &RestoreRequest, settle: &SettleArgs) -> Result<(), PluginError> {
    let Some(status) = &request.status else {
        return Ok(());
    };
    let name = &settle.name;
    if status.finished_at.is_some() {
        let message =
            format!("{name} has ended: a payment changes nothing any more; money goes back by --refund REFERENCE");
        return Err(PluginError::NotNow(message));
    }
    if status.claim.is_some() {
        let message =
            format!("{name} is past its point of no return: Paid no longer changes; use --refund after its end");
        return Err(PluginError::NotNow(message));
    }
    Ok(())
}

/// The status to apply.
pub fn payment(settle: &SettleArgs, by: Option<String>, status: &RestoreRequestStatus) -> Value {
    let (holds, reason) = match settle {
        SettleArgs { charged_back: true, .. } => (ConditionStatus::False, CHARGED_BACK),
        SettleArgs { waive: true, .. } => (ConditionStatus::True, WAIVED),
        SettleArgs { included_in_plan: true, .. } => (ConditionStatus::True, INCLUDED_IN_PLAN),
        _ => (ConditionStatus::True, PAYMENT_RECORDED),
    };
    let mut condition = json!({"type": RequestCondition::Paid.as_ref(), "status": holds, "reason": reason});
    if let Some(message) = &settle.message {
        condition["message"] = message.as_str().into();
    }
    let mut payment = json!({});
    // What was recorded before stays, unless it is named anew: an apply drops what it leaves out.
    let before = status.payment.clone().unwrap_or_default();
    let fields = [
        ("reference", settle.reference.clone().or(before.reference)),
        ("amount", settle.amount.clone().or(before.amount)),
        ("currency", settle.currency.clone().or(before.currency)),
        ("by", by),
    ];
    for (field, value) in fields {
        if let Some(value) = value {
            payment[field] = value.into();
        }
    }
    json!({"conditions": [condition], "payment": payment})
}
