//! The inputs of a restore decision ([`RestoreInputs`]) and its result ([`RestorePlan`]).

use crate::gate::RunInputs;
use crate::names::RestoreStep;
use crate::result::{Done, ExportSummary};
use chrono::{DateTime, TimeDelta, Utc};

/// Deadlines of people, and the pause before a retry.
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
    /// End of the request: the refund's deadline counts from it.
    pub since: DateTime<Utc>,
}

/// Whether the request can be served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Eligibility {
    /// It can.
    Yes,
    /// Not known, or an obstacle that may pass.
    NotYet {
        /// Reason in CamelCase.
        reason: String,
        /// Sentence for people.
        message: String,
    },
    /// It cannot; the request ends.
    Never {
        /// Reason in CamelCase.
        reason: String,
        /// Sentence for people.
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
        /// Number of the attempt, from 1.
        attempt: i32,
    },
    /// Its Job succeeded and said so.
    Succeeded(Done),
    /// Its Job failed and said why.
    Failed {
        /// Number of the attempt, from 1.
        attempt: i32,
        /// Whether another attempt may succeed.
        retryable: bool,
        /// Reason in CamelCase.
        reason: String,
        /// Sentence for people.
        message: String,
        /// When it ended: the pause before the next attempt counts from it.
        at: DateTime<Utc>,
    },
    /// Its Job ended or vanished without saying what it did.
    Lost {
        /// Number of the attempt, from 1.
        attempt: i32,
        /// What is known.
        message: String,
        /// When it ended: the pause before the next attempt counts from it.
        at: DateTime<Utc>,
    },
}

/// How a request ended. It never runs again (I2).
#[derive(Debug, Clone, PartialEq)]
pub enum Terminal {
    /// A full restore was done.
    Restored {
        /// Name of the replaced database, which is kept.
        previous_database: String,
        /// Milliseconds without a database of the live name; -1 if nobody measured it.
        downtime_millis: i64,
        /// When the swap committed.
        committed_at: DateTime<Utc>,
    },
    /// The CSV files are in the bucket.
    Exported(ExportSummary),
    /// The helpdesk denied it; the text says who and why.
    Denied(String),
    /// A deadline passed.
    Expired {
        /// `ApprovalExpired`, `PaymentExpired` or `HoldExpired`.
        reason: &'static str,
        /// Sentence for people.
        message: String,
    },
    /// It could not be done; the live database is as it was.
    Failed {
        /// Reason in CamelCase.
        reason: String,
        /// Sentence for people.
        message: String,
    },
    /// Whether the destructive step took effect is not known.
    NeedsAttention {
        /// Reason in CamelCase.
        reason: String,
        /// What a person must check.
        message: String,
    },
}

/// The claim as status has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimState {
    /// When it was written.
    pub at: DateTime<Utc>,
    /// The claimed Job was seen in the cluster at least once.
    pub job_seen: bool,
    /// That Job exists although status does not say so: the operator crashed between creating it and writing that down.
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
    /// UID of the Job that claimed.
    pub job_uid: String,
    /// Name of the pod that claimed.
    pub pod: String,
    /// What that Job reported; [`StepState::None`] if nothing so far.
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
    /// A prepared database may be left on the server: it never became the live one and was not dropped.
    pub prepared_left: bool,
    /// It ended earlier.
    pub ended: bool,
    /// The backup is pinned in status.
    pub pinned: bool,
    /// Why it can or cannot be served.
    pub eligibility: Eligibility,
    /// Approval, payment and what else must hold before a Job runs; its `eligible` agrees with `eligibility`.
    pub gate: RunInputs,
    /// End of the hold, while there is one.
    pub held_until: Option<DateTime<Utc>>,
    /// The claim in status.
    pub claim: Option<ClaimState>,
    /// A claim in the bucket that status does not know.
    pub unknown_claim: Option<WorkerClaim>,
    /// Why the audit record in the bucket is not what was written there: nothing new begins on top of it.
    pub record_error: Option<String>,
    /// Status names an entry of the audit record that has the present approval and payment.
    pub keys_recorded: bool,
    /// How long the claimed step's Job may run.
    pub job_limit: TimeDelta,
    /// Latest preflight.
    pub preflight: StepState,
    /// Latest attempt to fill the new database.
    pub prepare: StepState,
    /// The one cut-over.
    pub cutover: StepState,
    /// Whether a swap that was lost in the middle can be ended by another Job: its server is known.
    pub can_recover: bool,
    /// Latest attempt to recover a lost cut-over.
    pub recover: StepState,
    /// Latest attempt to write the export.
    pub export: StepState,
    /// Failed attempts at prepare or export that count against the request ([`super::is_fault`]).
    pub faults: i32,
    /// Latest attempt to list the live database's ids; `None` where the export does not need them.
    pub live_ids: Option<StepState>,
    /// Whether the server has a free restore slot.
    pub slot_free: bool,
    /// Whether a dump of this database runs: it ends before the claim.
    pub dumping: bool,
    /// The maintenance window's begin.
    pub not_before: Option<DateTime<Utc>>,
    /// The maintenance window's end.
    pub not_after: Option<DateTime<Utc>>,
    /// Deadlines of people, and the pause before a retry.
    pub deadlines: Deadlines,
    /// The request has ended, was paid, brought nothing, and no refund is recorded.
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
    /// Create the step's Job, as this attempt.
    Start(RestoreStep, i32),
    /// Write the claim, then create its Job.
    Claim(RestoreStep),
    /// Wait until status names the record of both keys; write nothing.
    AwaitRecord,
    /// Stop its Jobs: `restore_cleanup` drops the database that they prepared.
    Drop,
    /// Write the end.
    Finish(Terminal),
    /// Release the hold, and let the object be deleted.
    Release,
}

/// How far a request is. For people only: nothing is decided by it.
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
    /// Nobody: it has ended.
    Nobody,
}

/// The decision, and what status shows of it.
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
        }
    }

    pub(super) fn waiting_for(self, waiting_on: WaitingOn) -> Self {
        Self { waiting_on, ..self }
    }

    pub(super) fn with_deadline(self, deadline: DateTime<Utc>) -> Self {
        // Whatever else wakes it, the deadline does, or nobody would end the wait (I10).
        Self { deadline: Some(deadline), wake: Some(self.wake.map_or(deadline, |w| w.min(deadline))), ..self }
    }

    pub(super) fn wake_at(self, at: DateTime<Utc>) -> Self {
        Self { wake: Some(at), ..self }
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
