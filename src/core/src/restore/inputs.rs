//! What a restore decision rests on and what it says.

use super::reminders;
use crate::gate::RunInputs;
use crate::names::RestoreStep;
use crate::result::{Done, ExportSummary};
use chrono::{DateTime, TimeDelta, Utc};

/// How long people have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// From creation to the helpdesk's decision.
    pub approval: TimeDelta,
    /// From approval to payment.
    pub payment: TimeDelta,
    /// From a repeatable step's first attempt that failed to the next one; each further pause is twice as long.
    pub retry: TimeDelta,
}

/// A refund that billing owes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefundOwed {
    /// Since when: the end of the request.
    pub since: DateTime<Utc>,
}

/// Whether the request can be served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Eligibility {
    /// It can.
    Yes,
    /// Not known, or an obstacle that may pass.
    NotYet {
        /// CamelCase.
        reason: String,
        /// For people.
        message: String,
    },
    /// It cannot; the request ends.
    Never {
        /// CamelCase.
        reason: String,
        /// For people.
        message: String,
    },
}

/// What became of a step's latest attempt.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum StepState {
    /// Never started.
    #[default]
    None,
    /// Its Job runs.
    Running {
        /// Which attempt, from 1.
        attempt: i32,
    },
    /// Its Job succeeded and said so.
    Succeeded(Done),
    /// Its Job failed and said why.
    Failed {
        /// Which attempt.
        attempt: i32,
        /// Whether another attempt may succeed.
        retryable: bool,
        /// CamelCase.
        reason: String,
        /// For people.
        message: String,
        /// When.
        at: DateTime<Utc>,
    },
    /// Its Job ended or vanished without saying what it did.
    Lost {
        /// Which attempt.
        attempt: i32,
        /// What is known.
        message: String,
        /// When.
        at: DateTime<Utc>,
    },
}

/// How a request ended. It never runs again (I2).
#[derive(Debug, Clone, PartialEq)]
pub enum Terminal {
    /// A full restore was done.
    Restored {
        /// The name that the old database is kept under.
        previous_database: String,
        /// How long the live name was not to be had.
        downtime_millis: i64,
        /// When the swap committed.
        committed_at: DateTime<Utc>,
    },
    /// The CSV files are in the bucket.
    Exported(ExportSummary),
    /// Helpdesk said no.
    Denied(String),
    /// A deadline passed.
    Expired {
        /// `ApprovalExpired`, `PaymentExpired` or `HoldExpired`.
        reason: &'static str,
        /// For people.
        message: String,
    },
    /// It could not be done; the live database is as it was.
    Failed {
        /// CamelCase.
        reason: String,
        /// For people.
        message: String,
    },
    /// It cannot be told whether the destructive step took effect.
    NeedsAttention {
        /// CamelCase.
        reason: String,
        /// What a human must look at.
        message: String,
    },
}

/// The claim as status has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimState {
    /// When it was written.
    pub at: DateTime<Utc>,
    /// The Job it is for was seen in the cluster at least once.
    pub job_seen: bool,
    /// That Job is in the cluster now, though status does not say so: whoever created it ended before writing it down.
    pub job_exists: bool,
    /// What no operator would have written: the name of another Job, or a time that has not come.
    pub impossible: Option<String>,
}

/// A claim in the bucket by a Job that status does not know: the cluster was set back (an etcd restored from a snapshot)
/// after the restore had begun.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkerClaim {
    /// When the worker claimed, by its clock.
    pub at: DateTime<Utc>,
    /// UID of its Job.
    pub job_uid: String,
    /// Its pod.
    pub pod: String,
    /// What that Job reported; [`Step::None`] is nothing, so far.
    pub step: StepState,
}

/// Everything that the decision rests on.
#[derive(Debug, Clone)]
#[allow(clippy::struct_excessive_bools, reason = "independent facts, each with its own name")]
pub struct RestoreInputs {
    /// When the request was created.
    pub created: DateTime<Utc>,
    /// Since when it is approved, as the operator's condition has it.
    pub approved_since: Option<DateTime<Utc>>,
    /// Since when it is being deleted.
    pub deleting: Option<DateTime<Utc>>,
    /// It has prepared something that never became the live database and was not dropped.
    pub prepared_left: bool,
    /// It ended earlier.
    pub ended: bool,
    /// The backup is pinned in status.
    pub pinned: bool,
    /// Why it can or cannot be served.
    pub eligibility: Eligibility,
    /// The locks, `eligible` as in `eligibility`.
    pub gate: RunInputs,
    /// End of the hold, while there is one.
    pub held_until: Option<DateTime<Utc>>,
    /// The claim.
    pub claim: Option<ClaimState>,
    /// What the bucket knows of a claim and status does not.
    pub unknown_claim: Option<WorkerClaim>,
    /// Why this request's record in the bucket is not what was written there: nothing new is begun on top of it.
    pub record_error: Option<String>,
    /// How long the claimed step's Job may run.
    pub job_limit: TimeDelta,
    /// Steps.
    pub preflight: StepState,
    /// Steps.
    pub prepare: StepState,
    /// Steps.
    pub cutover: StepState,
    /// Whether a swap that was lost in the middle can be ended by another Job: its server is known.
    pub can_recover: bool,
    /// Steps.
    pub recover: StepState,
    /// Steps.
    pub export: StepState,
    /// Attempts at the mode's repeatable step, filling or exporting, that failed in a way that the next one meets again.
    pub faults: i32,
    /// Of an export that wants to know what the live database still has: how far asking it is.
    pub live_ids: Option<StepState>,
    /// Whether the server's restore lane has room.
    pub slot_free: bool,
    /// Whether a dump of this database runs: it ends before the claim.
    pub dumping: bool,
    /// The maintenance window's begin.
    pub not_before: Option<DateTime<Utc>>,
    /// The maintenance window's end.
    pub not_after: Option<DateTime<Utc>>,
    /// How long people have.
    pub deadlines: Deadlines,
    /// The mark that people were reminded of last.
    pub reminded: Option<DateTime<Utc>>,
    /// It has ended, was paid, brought nothing, and no refund is recorded.
    pub owed: Option<RefundOwed>,
}

/// The one thing to do next.
#[derive(Debug, Clone, PartialEq)]
pub enum RestoreAction {
    /// Nothing: wait.
    Nothing,
    /// Write the resolved backup into status.
    Pin,
    /// Hold the backup.
    Hold,
    /// Create the step's Job.
    Start(RestoreStep, i32),
    /// Write the claim, then create its Job.
    Claim(RestoreStep),
    /// End its Jobs, and drop what they prepared.
    Drop,
    /// Write the end.
    Finish(Terminal),
    /// Release the hold and let the object go.
    Release,
}

/// How far a request is. For eyes only: nothing is decided by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Whether it is possible is being found out.
    Checking,
    /// The helpdesk has to decide.
    AwaitingApproval,
    /// Billing has to record the payment.
    AwaitingPayment,
    /// Waits for a place on the server, or for its window.
    Queued,
    /// The new database is being filled.
    Preparing,
    /// The databases are being swapped.
    CuttingOver,
    /// The CSV files are being written.
    Exporting,
    /// The end: done.
    Complete,
    /// The end: the helpdesk said no.
    Denied,
    /// The end: a deadline passed.
    Expired,
    /// The end: it did not work; the live database is as it was.
    Failed,
    /// The end: whether the swap took effect is unknown.
    NeedsAttention,
}

/// Who a request waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::Display, strum::IntoStaticStr)]
pub enum WaitingOn {
    /// The operator itself.
    Operator,
    /// The helpdesk.
    Helpdesk,
    /// Billing.
    Billing,
    /// The platform team.
    PlatformTeam,
    /// The maintenance window or a free place.
    Queue,
    /// Nobody.
    Nobody,
}

/// The decision, with what people are told.
#[derive(Debug, Clone, PartialEq)]
pub struct RestorePlan {
    /// What to do.
    pub action: RestoreAction,
    /// The phase from now on; `None` leaves it as it is.
    pub phase: Option<Phase>,
    /// Who it waits for.
    pub waiting_on: WaitingOn,
    /// Until when (I10).
    pub deadline: Option<DateTime<Utc>>,
    /// Reason of Progressing.
    pub reason: String,
    /// Message of Progressing.
    pub message: String,
    /// When to decide again, besides changes of the objects.
    pub wake: Option<DateTime<Utc>>,
    /// The mark of the wait that people are to be reminded of now.
    pub remind: Option<DateTime<Utc>>,
}

impl RestorePlan {
    pub(super) fn new(
        action: RestoreAction,
        phase: impl Into<Option<Phase>>,
        reason: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            action,
            phase: phase.into(),
            waiting_on: WaitingOn::Operator,
            deadline: None,
            reason: reason.into(),
            message: message.into(),
            wake: None,
            remind: None,
        }
    }

    pub(super) fn waiting_for(self, waiting_on: WaitingOn) -> Self {
        Self { waiting_on, ..self }
    }

    pub(super) fn with_deadline(self, deadline: DateTime<Utc>) -> Self {
        Self { deadline: Some(deadline), wake: Some(self.wake.map_or(deadline, |w| w.min(deadline))), ..self }
    }

    pub(super) fn wake_at(self, at: DateTime<Utc>) -> Self {
        Self { wake: Some(at), ..self }
    }

    /// Reminds whoever it waits for, now and later, until the deadline.
    pub(super) fn reminding(self, since: DateTime<Utc>, told: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Self {
        let Some(deadline) = self.deadline else { return self };
        let next = reminders::next(since, deadline, now);
        let wake = self.wake.into_iter().chain(next).min();
        Self { remind: reminders::due(since, deadline, told, now), wake, ..self }
    }

    pub(super) fn finish(terminal: Terminal) -> Self {
        let (phase, reason, message) = match &terminal {
            Terminal::Restored { previous_database, .. } => (
                Phase::Complete,
                "Restored".to_owned(),
                format!("restored; the old database is kept as {previous_database}"),
            ),
            Terminal::Exported(e) => (Phase::Complete, "Exported".to_owned(), format!("exported to {}", e.key)),
            Terminal::Denied(why) => (Phase::Denied, "Denied".to_owned(), why.clone()),
            Terminal::Expired { reason, message } => (Phase::Expired, (*reason).to_owned(), message.clone()),
            Terminal::Failed { reason, message } => (Phase::Failed, reason.clone(), message.clone()),
            Terminal::NeedsAttention { reason, message } => (Phase::NeedsAttention, reason.clone(), message.clone()),
        };
        Self::new(RestoreAction::Finish(terminal), phase, reason, message).waiting_for(WaitingOn::Nobody)
    }

    pub(super) fn fail(reason: &str, message: &str) -> Self {
        Self::finish(Terminal::Failed { reason: reason.to_owned(), message: message.to_owned() })
    }

    pub(super) fn attention(reason: &str, message: String) -> Self {
        Self::finish(Terminal::NeedsAttention { reason: reason.to_owned(), message })
    }
}
