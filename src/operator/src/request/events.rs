//! Publishes an Event for each condition of a request whose status or reason changed.

use crate::runtime::instrumented::ReconcileMetrics;
use kube::runtime::events::EventType;
use sennight_api::conditions::{RequestCondition, changed};
use sennight_api::{Condition, ConditionStatus, RestoreRequest};

/// Tells of the conditions that `after` has and `before` has not. Called once they are written.
pub async fn publish(
    object: &RestoreRequest,
    before: &[Condition],
    after: &[Condition],
    reconcile_metrics: &ReconcileMetrics,
) {
    for c in changed(before, after) {
        let bad = [RequestCondition::Eligible, RequestCondition::Held].iter().any(|k| k.as_ref() == c.type_);
        let warning = (bad && c.status == ConditionStatus::False && c.reason != "Released")
            || (c.is_true()
                && [RequestCondition::Failed, RequestCondition::RefundDue].iter().any(|k| k.as_ref() == c.type_));
        // Failed=False beside Complete=True needs no Event, nor the other way round.
        let silent = c.status == ConditionStatus::False
            && [RequestCondition::Failed, RequestCondition::Complete].iter().any(|k| k.as_ref() == c.type_);
        if !silent {
            let type_ = if warning { EventType::Warning } else { EventType::Normal };
            let message = c.message.as_deref().unwrap_or_default();
            reconcile_metrics.publish_event(object, type_, &c.reason, &c.type_, message).await;
        }
    }
}
