//! One payment, one restore: finds another request of the namespace with the same payment reference. And refunds: what
//! billing owes when a request ends or is deleted.

use super::list_beside;
use crate::error::ReconcileError;
use kube::runtime::reflector::Store;
use kube::{Client, ResourceExt};
use sennight_api::RestoreRequest;
use sennight_api::conditions::{RequestCondition, is_true};
use sennight_api::restore_status::RestorePhase;
use sennight_core::gate::{Payment, SameReference, reference_holder};
use sennight_core::restore::RefundOwed;

/// Billing's reference of the payment.
pub fn reference(object: &RestoreRequest) -> Option<&str> {
    object.status.as_ref()?.payment.as_ref()?.reference.as_deref()
}

/// Whether billing says that it is paid.
pub fn paid(object: &RestoreRequest) -> bool {
    object.status.as_ref().is_some_and(|s| is_true(&s.conditions, RequestCondition::Paid))
}

/// Another request that was paid by the same reference; `None` if it was not.
pub fn same_reference(object: &RestoreRequest, other: &RestoreRequest) -> Option<SameReference> {
    let ours = reference(object)?;
    let status = other.status.as_ref()?;
    let spent = status.claim.is_some() || status.finished_at.is_some();
    let meant = other.metadata.namespace == object.metadata.namespace
        && other.uid() != object.uid()
        && reference(other) == Some(ours)
        && (spent || paid(other));
    meant.then(|| SameReference {
        name: other.name_any(),
        spent,
        created: sennight_api::convert::created(&other.metadata).unwrap_or_default(),
    })
}

/// The refused payment, if the request is paid by a reference that belongs to another request.
fn reused_reference(object: &RestoreRequest, others: &[SameReference]) -> Option<Payment> {
    let reference = reference(object).filter(|_| paid(object))?;
    // A claimed request has spent the reference itself: one that comes with it later does not matter.
    let claimed = object.status.as_ref().is_some_and(|status| status.claim.is_some());
    let others: Vec<SameReference> = others.iter().filter(|other| other.spent || !claimed).cloned().collect();
    let created = sennight_api::convert::created(&object.metadata).unwrap_or_default();
    let holder = reference_holder(&object.name_any(), created, &others)?;
    Some(Payment::Reused { reference: reference.to_owned(), other: holder.name.clone() })
}

/// The refused payment, by the cache: for conditions and messages.
pub fn reused(object: &RestoreRequest, requests: &Store<RestoreRequest>) -> Option<Payment> {
    reference(object).filter(|_| paid(object))?;
    let others = requests.state_filter(|other| same_reference(object, other).is_some());
    let others: Vec<SameReference> = others.iter().filter_map(|other| same_reference(object, other)).collect();
    reused_reference(object, &others)
}

/// The refused payment, by a list from the API server: before a claim. Claims are rare enough for a list.
pub async fn reused_now(object: &RestoreRequest, client: &Client) -> Result<Option<Payment>, ReconcileError> {
    if reference(object).is_none() {
        return Ok(None);
    }
    let others = list_beside(object, client, |other| same_reference(object, &other)).await?;
    Ok(reused_reference(object, &others))
}

/// The refund that billing owes: the request is paid and ended, delivered nothing, and has no refund recorded. Not in phase
/// NeedsAttention: nobody knows yet whether something was delivered.
pub fn owed(object: &RestoreRequest) -> Option<RefundOwed> {
    let status = object.status.as_ref()?;
    let since = status.finished_at?;
    let undelivered = matches!(status.phase, Some(RestorePhase::Denied | RestorePhase::Expired | RestorePhase::Failed));
    let refunded = status.payment.as_ref().is_some_and(|payment| payment.refund.is_some());
    (paid(object) && undelivered && !refunded).then_some(RefundOwed { since })
}
