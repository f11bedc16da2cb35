//! `settle` and `refund`: record billing's part. The condition Paid and the payment are written by server-side apply with an
//! own field manager, so that other conditions stay; a refund, which comes after the end, by a merge patch of one field.

use super::args::{ClusterArgs, RefundArgs, SettleArgs, WriteArgs};
use super::cluster::Cluster;
use super::error::PluginError;
use super::output::Io;
use chrono::Utc;
use kube::ResourceExt;
use sennight_api::ConditionStatus;
use sennight_api::conditions::reason::{CHARGED_BACK, INCLUDED_IN_PLAN, PAYMENT_RECORDED, WAIVED};
use sennight_api::conditions::{RequestCondition, is_true};
use sennight_api::{RestoreRequest, RestoreRequestStatus};
use sennight_present::facts;
use serde_json::{Value, json};

/// The field manager of Paid and the payment.
pub const MANAGER: &str = "kubectl-sennight-settle";

/// Runs `settle`.
pub async fn run(args: &ClusterArgs, settle: &SettleArgs, io: &mut Io<'_>) -> Result<(), PluginError> {
    let cluster = Cluster::connect(args).await?;
    let request = cluster.request(&settle.name).await?;
    let status = request.status.clone().unwrap_or_default();
    if let Some(reference) = &settle.refund {
        return record_refund(&cluster, &request, reference, &settle.write, io).await;
    }
    may_settle(&request, settle)?;
    // A charge-back names the reference that is recorded already.
    if let Some(reference) = settle.reference.as_deref().filter(|_| !settle.charged_back) {
        unused(reference, &request, &cluster.requests(false, "").await?)?;
    }
    let schedule = cluster.schedule(&request).await;
    io.complain(&facts::text(&request, schedule.as_ref(), Utc::now()));
    if is_early(&status) {
        io.complain("note: this request is not approved yet; the payment is kept and nothing runs before the approval");
    }
    let paid = payment(settle, cluster.whoami().await, &status);
    let done = if settle.charged_back { "charged back" } else { "settled" };
    cluster.write(&request, paid, Some(MANAGER), done, &settle.write, io).await
}

/// Records a refund.
pub async fn refund(args: &ClusterArgs, refund: &RefundArgs, io: &mut Io<'_>) -> Result<(), PluginError> {
    let cluster = Cluster::connect(args).await?;
    let request = cluster.request(&refund.name).await?;
    record_refund(&cluster, &request, &refund.reference, &refund.write, io).await
}

async fn record_refund(
    cluster: &Cluster,
    request: &RestoreRequest,
    reference: &str,
    write: &WriteArgs,
    io: &mut Io<'_>,
) -> Result<(), PluginError> {
    may_refund(request)?;
    let schedule = cluster.schedule(request).await;
    io.complain(&facts::text(request, schedule.as_ref(), Utc::now()));
    let mut refund = json!({"reference": reference});
    if let Some(by) = cluster.whoami().await {
        refund["by"] = by.into();
    }
    // A merge patch of one field: an apply that left out the payment would remove it, which is refused after the end.
    cluster.write(request, json!({"payment": {"refund": refund}}), None, "refunded", write, io).await
}

/// Whether the condition Paid is True.
pub fn is_paid(request: &RestoreRequest) -> bool {
    request.status.as_ref().is_some_and(|status| is_true(&status.conditions, RequestCondition::Paid))
}

/// Refuses a refund that makes no sense yet, or twice, with the way out.
pub fn may_refund(request: &RestoreRequest) -> Result<(), PluginError> {
    let refuse = |why: String| Err(PluginError::NotNow(why));
    let (name, status) = (request.name_any(), request.status.clone().unwrap_or_default());
    let payment = status.payment.unwrap_or_default();
    if let Some(refund) = payment.refund {
        return refuse(format!("the refund of {name} is recorded already: {}", refund.reference));
    }
    if !is_paid(request) {
        return refuse(format!("{name} is not paid: there is nothing to refund"));
    }
    if status.finished_at.is_none() {
        return refuse(format!(
            "{name} has not ended: it may still be delivered. Before its claim, the helpdesk's deny ends it, and \
             settle --charged-back takes the payment back"
        ));
    }
    Ok(())
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
        let message = format!(
            "{name} has ended: a payment changes nothing any more; money goes back by kubectl sennight refund (or --refund REFERENCE)"
        );
        return Err(PluginError::NotNow(message));
    }
    if status.claim.is_some() {
        let message =
            format!("{name} is past its point of no return: Paid no longer changes; use --refund after its end");
        return Err(PluginError::NotNow(message));
    }
    match facts::impossible(request) {
        // Money that was taken back is recorded whatever stands in the restore's way.
        Some(why) if !settle.charged_back => Err(PluginError::NotNow(format!(
            "{name} cannot be done as things stand ({why}): nobody should pay for it before that is mended"
        ))),
        _ => Ok(()),
    }
}

/// Refuses a reference that paid for another request of the namespace. The operator checks that too (one payment is one
/// restore); here the person learns it at once.
pub fn unused(reference: &str, request: &RestoreRequest, all: &[RestoreRequest]) -> Result<(), PluginError> {
    let uses = |other: &&RestoreRequest| {
        let status = other.status.clone().unwrap_or_default();
        let spent = status.claim.is_some() || status.finished_at.is_some();
        other.uid() != request.uid()
            // What was charged back before the claim paid for nothing: its reference is free again.
            && (spent || is_paid(other))
            && status.payment.and_then(|payment| payment.reference).as_deref() == Some(reference)
    };
    let Some(other) = all.iter().find(uses) else { return Ok(()) };
    Err(PluginError::NotNow(format!(
        "reference {reference} is recorded for {}: one payment is one restore; record {}'s own reference",
        other.name_any(),
        request.name_any()
    )))
}

/// The status to apply: condition Paid and `status.payment`.
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
    // An apply removes fields that it leaves out, so fields that were recorded before are repeated.
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
