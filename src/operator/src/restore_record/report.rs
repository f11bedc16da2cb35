//! Writes the record's part of a request's status, and tells people what is new in it.

use super::controller::RecordController;
use crate::error::ReconcileError;
use crate::request::ownership::{Controller, own};
use crate::request::{api, events};
use crate::runtime::turns::Turn;
use crate::runtime::writes::apply_status;
use chrono::{DateTime, Utc};
use kube::runtime::events::EventType;
use sennight_api::conditions::{RequestCondition, set};
use sennight_api::restore_report::AuditHead;
use sennight_api::{Condition, ConditionStatus, RestoreRequest, RestoreRequestStatus};
use sennight_core::restore_record::RecordPlan;

/// The part of status that the plan wants.
fn wanted(
    object: &RestoreRequest,
    plan: &RecordPlan,
    head: Option<&AuditHead>,
    now: DateTime<Utc>,
) -> RestoreRequestStatus {
    let mut status = own(&object.status.clone().unwrap_or_default(), Controller::Record);
    if let Some(refund) = &plan.refund_due {
        let holds = refund.due.map_or(ConditionStatus::Unknown, ConditionStatus::from);
        let condition = Condition::new(RequestCondition::RefundDue, holds, refund.reason, refund.message.clone());
        set(&mut status.conditions, condition.observed(object.metadata.generation), now);
    }
    if let Some(reminder) = &plan.remind {
        status.reminded_at = Some(reminder.mark);
    }
    if let Some(head) = head.filter(|_| plan.write_head) {
        status.audit = Some(head.clone());
    }
    status
}

/// Writes status if it changed, then Events and metric. True if it was written: the watch brings the next reconcile.
pub async fn write(
    turn: &Turn<RestoreRequest>,
    plan: &RecordPlan,
    head: Option<&AuditHead>,
    controller: &RecordController,
) -> Result<bool, ReconcileError> {
    let object = &*turn.object;
    let before = own(&object.status.clone().unwrap_or_default(), Controller::Record);
    let status = wanted(object, plan, head, controller.clock.now());
    let (api, manager) = (api(object, &controller.client), Controller::Record.manager());
    let written = apply_status(&api, manager, object, Some(&before), &status).await?;
    if written.is_none() {
        return Ok(false);
    }
    turn.wrote(written);
    events::publish(object, &before.conditions, &status.conditions, &controller.reconcile_metrics).await;
    if let Some(reminder) = &plan.remind {
        // Status is written first: a crash in between costs the Event, and never sends it twice.
        controller.metrics.reminded(reminder.on.into());
        let (type_, note) = (EventType::Warning, &reminder.text);
        controller.reconcile_metrics.publish_event(object, type_, "DeadlineNear", "Remind", note).await;
    }
    Ok(true)
}
