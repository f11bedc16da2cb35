//! What is done for a RestoreRequest beside the restore: when status names the record's head, whether billing owes a refund,
//! who is reminded, when the request is deleted. The record itself is `audit`.

use super::audit::{AuditState, AuditedDecision, AuditedPayment, Recorded};
use super::reminders;
use super::restore::{RefundOwed, WaitingOn, refund_wait};
use chrono::{DateTime, TimeDelta, Utc};

/// How soon a record that is behind or broken is tried again.
const RETRY: TimeDelta = TimeDelta::seconds(30);

/// How a request's record stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordState {
    /// It tells what the cluster says, or there is nowhere to write it.
    UpToDate,
    /// Something could not be recorded, and the request may go on nevertheless.
    Behind,
    /// Somebody changed it. Nothing new may be done for the request.
    Broken,
}

/// Approval and payment as the record has them last, and since which entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedKeys {
    approval: Option<AuditedDecision>,
    payment: Option<AuditedPayment>,
    since: i64,
}

impl RecordedKeys {
    /// Those of an entry, which is the first that is known to have them.
    pub fn of(state: &AuditState, since: i64) -> Self {
        Self { approval: state.approval.clone(), payment: state.payment.clone(), since }
    }

    /// Those after more entries.
    pub fn after(earlier: Option<Self>, entries: &[Recorded]) -> Option<Self> {
        entries.iter().fold(earlier, |keys, recorded| {
            let same = keys.filter(|keys| keys.are_those_of(&recorded.entry.state));
            Some(same.unwrap_or_else(|| Self::of(&recorded.entry.state, recorded.entry.seq)))
        })
    }

    /// Whether a request has just these.
    pub fn are_those_of(&self, state: &AuditState) -> bool {
        self.approval == state.approval && self.payment == state.payment
    }

    /// Whether both are turned.
    pub fn are_both(&self) -> bool {
        self.approval.as_ref().is_some_and(|a| a.decision == "Approved")
            && self.payment.as_ref().is_some_and(|p| p.paid)
    }

    /// Whether the entry of this number, or one before it, has them.
    pub fn are_within(&self, head: Option<i64>) -> bool {
        head.is_some_and(|seq| seq >= self.since)
    }
}

/// How a request ended, as far as refunds need it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordedEnd {
    /// When.
    pub at: DateTime<Utc>,
    /// The tenant has what was asked for.
    pub delivered: bool,
    /// Nobody knows yet whether the tenant has it.
    pub unknown: bool,
}

/// Everything that the decision rests on.
#[derive(Debug, Clone)]
#[allow(clippy::struct_excessive_bools, reason = "independent facts, each with its own name")]
pub struct RecordInputs {
    /// How the record stands, now that what was missing is appended.
    pub state: RecordState,
    /// Both keys are recorded, and status names no entry that has them.
    pub keys_unnamed: bool,
    /// Status names another entry than the last one.
    pub head_behind: bool,
    /// When the request was created.
    pub created: DateTime<Utc>,
    /// Since when it is approved.
    pub approved_since: Option<DateTime<Utc>>,
    /// Who it waits for, by status.
    pub waiting_on: Option<WaitingOn>,
    /// Until when, by status.
    pub deadline: Option<DateTime<Utc>>,
    /// Message of Progressing.
    pub message: String,
    /// The reminder instant that was used last.
    pub reminded: Option<DateTime<Utc>>,
    /// Billing says that it is paid.
    pub paid: bool,
    /// Billing's reference of the payment.
    pub reference: Option<String>,
    /// Billing's reference of the refund.
    pub refund: Option<String>,
    /// The condition RefundDue is True.
    pub refund_shown: bool,
    /// The point of no return is behind it.
    pub claimed: bool,
    /// How it ended, once it has.
    pub end: Option<RecordedEnd>,
    /// Its hold is released, by status.
    pub released: bool,
    /// It is being deleted.
    pub deleting: bool,
    /// Nothing of it is left on the server.
    pub nothing_left: bool,
    /// How long it stays after its end.
    pub retention: TimeDelta,
}

/// What the condition RefundDue says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefundDue {
    /// Whether one is due; `None` while nobody can know.
    pub due: Option<bool>,
    /// Reason in CamelCase.
    pub reason: &'static str,
    /// Sentence for people.
    pub message: String,
}

/// A reminder that is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reminder {
    /// Its instant: no later reconcile sends it again.
    pub mark: DateTime<Utc>,
    /// Who is reminded.
    pub on: WaitingOn,
    /// What the Event says.
    pub text: String,
}

/// What is done once status is as the plan wants it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordAction {
    /// Nothing.
    Nothing,
    /// Take the finalizer away.
    LetGo,
    /// Delete the request: its retention is over.
    Delete,
}

/// The decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordPlan {
    /// The condition RefundDue; `None` leaves it as it is.
    pub refund_due: Option<RefundDue>,
    /// The reminder that is due now.
    pub remind: Option<Reminder>,
    /// Write the record's head into status.
    pub write_head: bool,
    /// The note of an Event: it is deleted, and money was paid for it.
    pub warning: Option<String>,
    /// What comes after the write of status.
    pub action: RecordAction,
    /// When to decide again, besides changes of the object.
    pub wake: Option<DateTime<Utc>>,
}

impl RecordInputs {
    /// The refund that billing owes: paid, ended, nothing delivered, none recorded. Not while nobody knows whether something
    /// was delivered.
    fn owed(&self) -> Option<RefundOwed> {
        let end = self.end.filter(|end| self.paid && !end.delivered && !end.unknown && self.refund.is_none())?;
        Some(RefundOwed { since: end.at })
    }

    /// When the request is deleted; `None` while it has not ended or billing owes a refund for it.
    fn deletion(&self) -> Option<DateTime<Utc>> {
        // While RefundDue is True, a refund that billing has recorded is not in the record yet.
        let settled = self.owed().is_none() && !self.refund_shown;
        self.end.filter(|_| settled).map(|end| end.at + self.retention)
    }
}

/// What is to be done for a request whose missing entries have just been appended.
pub fn decide(facts: &RecordInputs, now: DateTime<Utc>) -> RecordPlan {
    let owed = facts.owed();
    let wait = wait(facts, owed, now);
    let remind = wait.as_ref().and_then(|wait| {
        let mark = reminders::due(wait.since, wait.deadline, facts.reminded, now)?;
        let until = wait.deadline.format("%Y-%m-%d %H:%M UTC");
        Some(Reminder { mark, on: wait.on, text: format!("waiting for {} until {until}: {}", wait.on, wait.message) })
    });
    let refund_due = refund_due(facts, owed, now);
    let settled = refund_due.as_ref().is_none_or(|refund| (refund.due == Some(true)) == facts.refund_shown);
    let over = facts.end.is_some() && (facts.released || facts.deleting);
    let up_to_date = facts.state == RecordState::UpToDate;
    let before_claim = !facts.claimed && facts.end.is_none() && !facts.deleting;
    let write_head = up_to_date && ((before_claim && facts.keys_unnamed) || (over && settled && facts.head_behind));
    let action = action(facts, over && settled, now);
    let retry = (!up_to_date).then(|| now + RETRY);
    let next_reminder = wait.as_ref().and_then(|wait| reminders::next(wait.since, wait.deadline, now));
    let overdue = owed.map(|owed| refund_wait(owed, now).0).filter(|deadline| now < *deadline);
    let deletion = facts.deletion().filter(|at| facts.nothing_left && !facts.deleting && now < *at);
    let wake = [retry, next_reminder, overdue, deletion].into_iter().flatten().min();
    RecordPlan { refund_due, remind, write_head, warning: warning(facts, owed), action, wake }
}

fn action(facts: &RecordInputs, over: bool, now: DateTime<Utc>) -> RecordAction {
    // While its previous database is on the server, the request is the only record of it.
    let expired = facts.deletion().is_some_and(|at| now >= at) && facts.nothing_left;
    if expired && !facts.deleting {
        return RecordAction::Delete;
    }
    // While billing owes a refund the finalizer stays, so that deleting the request does not hide it.
    let owing = facts.owed().is_some() || facts.refund_shown;
    let deleted_before_claim = facts.deleting && !facts.claimed && facts.end.is_none();
    let recorded = facts.deleting || (facts.state == RecordState::UpToDate && !facts.head_behind);
    // guard(what_is_owed_and_what_is_not_recorded_keeps_the_request, always): a request stays while a refund is owed
    if (deleted_before_claim || over) && recorded && !owing { RecordAction::LetGo } else { RecordAction::Nothing }
}

/// A wait for people.
struct Wait {
    on: WaitingOn,
    since: DateTime<Utc>,
    deadline: DateTime<Utc>,
    message: String,
}

fn wait(facts: &RecordInputs, owed: Option<RefundOwed>, now: DateTime<Utc>) -> Option<Wait> {
    if let Some(owed) = owed {
        let (deadline, _, message) = refund_wait(owed, now);
        return Some(Wait { on: WaitingOn::Billing, since: owed.since, deadline, message });
    }
    let on = facts.waiting_on.filter(|on| matches!(on, WaitingOn::Helpdesk | WaitingOn::Billing))?;
    let deadline = facts.deadline.filter(|_| facts.end.is_none() && !facts.deleting)?;
    let since = if on == WaitingOn::Billing { facts.approved_since.unwrap_or(now) } else { facts.created };
    Some(Wait { on, since, deadline, message: facts.message.clone() })
}

/// For a paid request that delivered nothing.
fn refund_due(facts: &RecordInputs, owed: Option<RefundOwed>, now: DateTime<Utc>) -> Option<RefundDue> {
    let end = facts.end.filter(|end| facts.paid && !end.delivered)?;
    let condition = |due, reason, message: &str| Some(RefundDue { due, reason, message: message.to_owned() });
    if let Some(reference) = &facts.refund {
        return condition(Some(false), "RefundRecorded", &format!("refunded: {reference}"));
    }
    if end.unknown {
        let message = "paid; whether a refund is due depends on what the person who looks at it finds";
        return condition(None, "OutcomeUnknown", message);
    }
    let overdue = owed.is_some_and(|owed| refund_wait(owed, now).1);
    let reason = if overdue { "RefundOverdue" } else { "PaidAndNotDelivered" };
    condition(
        Some(true),
        reason,
        "paid, and nothing was delivered: billing records the refund in status.payment.refund \
         (kubectl sennight refund)",
    )
}

/// A paid request is deleted before it ran, or while a refund is owed. Besides the record, the Event is all that stays of
/// the debt.
fn warning(facts: &RecordInputs, owed: Option<RefundOwed>) -> Option<String> {
    let open = facts.end.is_none() && !facts.claimed;
    if !facts.deleting || !facts.paid || !(open || owed.is_some()) {
        return None;
    }
    let reference = facts.reference.as_deref().unwrap_or("without a reference");
    Some(if owed.is_some() {
        format!(
            "paid ({reference}), nothing was delivered, and deleted: it stays until billing has recorded the refund"
        )
    } else {
        format!("deleted after it was paid ({reference}) and before it ran: billing owes a refund")
    })
}

#[cfg(test)]
mod tests;
