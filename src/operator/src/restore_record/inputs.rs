//! Turns a request and its record into the inputs of the decision (`core::restore_record`). Pure.

use crate::cache::audit_ledger::{LedgerEntry, LedgerState};
use crate::request::leftovers::nothing_left;
use crate::request::payments;
use chrono::{DateTime, TimeDelta, Utc};
use sennight_api::conditions::{RequestCondition, find, is_true};
use sennight_api::convert::created;
use sennight_api::restore_status::{RestorePhase, WaitingOn as Waits};
use sennight_api::{RestoreRequest, RestoreRequestStatus};
use sennight_core::audit::AuditState;
use sennight_core::restore::WaitingOn;
use sennight_core::restore_record::{RecordInputs, RecordState, RecordedEnd, RecordedKeys};
use std::time::Duration;

/// The inputs for a request, once its record was brought up to date as far as that went.
pub fn inputs(
    object: &RestoreRequest,
    state: &AuditState,
    record: &LedgerEntry,
    retention: Duration,
    now: DateTime<Utc>,
) -> RecordInputs {
    let none = RestoreRequestStatus::default();
    let status = object.status.as_ref().unwrap_or(&none);
    let approved = find(&status.conditions, RequestCondition::Approved).filter(|c| c.is_true());
    let progressing = find(&status.conditions, RequestCondition::Progressing);
    let named = status.audit.as_ref();
    let payment = status.payment.as_ref();
    RecordInputs {
        state: match record.state {
            LedgerState::UpToDate => RecordState::UpToDate,
            LedgerState::Behind => RecordState::Behind,
            LedgerState::Broken(_) => RecordState::Broken,
        },
        keys_unnamed: record.keys.as_ref().is_some_and(RecordedKeys::are_both) && !record.names_keys(object, state),
        head_behind: record.head.as_ref().is_some_and(|head| named != Some(head)),
        created: created(&object.metadata).unwrap_or(now),
        approved_since: approved.and_then(|c| c.last_transition_time),
        waiting_on: status.waiting_on.and_then(people),
        deadline: status.deadline,
        message: progressing.and_then(|c| c.message.clone()).unwrap_or_default(),
        reminded: status.reminded_at,
        paid: payments::paid(object),
        reference: payments::reference(object).map(str::to_owned),
        refund: payment.and_then(|payment| payment.refund.as_ref()).map(|refund| refund.reference.clone()),
        refund_shown: is_true(&status.conditions, RequestCondition::RefundDue),
        claimed: status.claim.is_some(),
        end: status.finished_at.map(|at| end(status, at)),
        released: !is_true(&status.conditions, RequestCondition::Held),
        deleting: object.metadata.deletion_timestamp.is_some(),
        nothing_left: nothing_left(status),
        retention: TimeDelta::from_std(retention).unwrap_or(TimeDelta::days(90)),
    }
}

fn end(status: &RestoreRequestStatus, at: DateTime<Utc>) -> RecordedEnd {
    RecordedEnd {
        at,
        delivered: is_true(&status.conditions, RequestCondition::Complete),
        unknown: status.phase == Some(RestorePhase::NeedsAttention),
    }
}

/// Whom a reminder can go to.
fn people(on: Waits) -> Option<WaitingOn> {
    match on {
        Waits::Helpdesk => Some(WaitingOn::Helpdesk),
        Waits::Billing => Some(WaitingOn::Billing),
        Waits::Operator | Waits::Queue | Waits::PlatformTeam | Waits::Nobody => None,
    }
}
