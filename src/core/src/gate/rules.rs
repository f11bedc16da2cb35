//! May the Job of a request run? Approval by the helpdesk, payment by billing, and nothing that suggests a forgery of either.

use super::Mode;
use crate::authority::Distrust;
pub use crate::authority::FourEyes;
use chrono::{DateTime, Utc};

/// The helpdesk's decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Approval {
    /// No decision yet.
    Undecided,
    /// Approved; can still be withdrawn until the claim.
    Approved {
        /// User name that admission stamped; empty if it did not.
        by: String,
    },
    /// Denied; final.
    Denied {
        /// User name that admission stamped.
        by: String,
        /// Reason that was given.
        why: String,
    },
}

/// What billing recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payment {
    /// Not paid, or not known to be.
    Open,
    /// Paid.
    Paid {
        /// User name that admission stamped; empty if it did not.
        by: String,
    },
    /// Paid, by a reference that another request of the namespace has: one payment is one restore.
    Reused {
        /// Billing's reference.
        reference: String,
        /// Name of the request that it belongs to.
        other: String,
    },
}

/// Another request that was paid by the same reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SameReference {
    /// Name of that RestoreRequest.
    pub name: String,
    /// Its restore has begun, or it has ended: the reference is spent.
    pub spent: bool,
    /// When that request was created.
    pub created: DateTime<Utc>,
}

/// The other request that a payment reference belongs to; `None` if it belongs to the request `name`.
///
/// It belongs to the request that has spent it, else to the oldest. Of two that are paid at once exactly one may go on.
pub fn reference_holder<'a>(
    name: &str,
    created: DateTime<Utc>,
    others: &'a [SameReference],
) -> Option<&'a SameReference> {
    let before = |other: &&SameReference| {
        // guard(i2_a_payment_reference_belongs_to_whoever_spent_it_else_to_the_first, never): a payment reference stays with the request that spent it
        let spent = other.spent;
        spent || (other.created, other.name.as_str()) < (created, name)
    };
    others.iter().filter(before).min_by_key(|other| (!other.spent, other.created, other.name.clone()))
}

/// What decides whether the Job may run, from one fresh read of the API server (I1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunInputs {
    /// `spec.mode`, for the four-eyes rule.
    pub mode: Mode,
    /// Whether the request can be served (condition Eligible).
    pub eligible: bool,
    /// Whether its backup is held beyond the retention.
    pub held: bool,
    /// The helpdesk's decision.
    pub approval: Approval,
    /// What billing recorded.
    pub payment: Payment,
    /// Who created the request, as admission stamped it.
    pub requested_by: Option<String>,
    /// Setting `gate.fourEyes`.
    pub four_eyes: FourEyes,
    /// Whether approval and payment could have been written under the admission policies.
    pub signatures: Result<(), Distrust>,
    /// Whether the admission policies are intact; the text says what is missing.
    pub policies: Result<(), String>,
}

/// Why the Job may not run. The variant's name is the reason of Progressing, the Event's and the metric's label.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, strum::IntoStaticStr)]
pub enum RunRefusal {
    /// The request cannot be served.
    #[error("the request is not eligible")]
    NotEligible,
    /// The backup is not held.
    #[error("the backup is not held yet")]
    NotHeld,
    /// The helpdesk denied it.
    #[error("denied by {by}: {why}")]
    Denied {
        /// User name that admission stamped.
        by: String,
        /// Reason that was given.
        why: String,
    },
    /// The helpdesk has not decided.
    #[error("waiting for the helpdesk to approve or deny")]
    AwaitingApproval,
    /// The creator approved their own request.
    #[error(
        "{0} created the request and approved it: gate.fourEyes asks for another person's approval; a decision is final, so \
         deny this request and create another one"
    )]
    ApproverIsRequester(String),
    /// Billing has not settled.
    #[error("waiting for billing to set the Paid condition")]
    AwaitingPayment,
    /// The payment reference belongs to another request.
    #[error(
        "payment reference {reference:?} was used for RestoreRequest {other:?}: one payment is one restore; record this \
         request's own reference (kubectl sennight settle)"
    )]
    PaymentReferenceUsed {
        /// Billing's reference.
        reference: String,
        /// Name of the request that it belongs to.
        other: String,
    },
    /// One account both approved and recorded the payment.
    #[error("{0} both approved and settled: approval and payment must come from different accounts")]
    ApproverIsPayer(String),
    /// Approval or payment cannot have been written under the admission policies.
    #[error(transparent)]
    Distrusted(Distrust),
    /// The policies that guard approval and payment are not intact.
    #[error("no restore runs while the admission policies are not intact: {0}")]
    PoliciesMissing(String),
}

impl RunRefusal {
    /// Reason of the condition Progressing, in CamelCase.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Distrusted(why) => why.reason(),
            other => other.into(),
        }
    }

    /// Whether it may resolve without a new approval or payment. After the claim neither can be added: a claimed request
    /// that lacks one was not claimed by this operator.
    // guard(i1_only_what_can_open_without_a_signature_may_pass, = true): after the claim no signature is waited for
    pub fn is_temporary(&self) -> bool {
        matches!(
            self,
            Self::NotEligible
                | Self::NotHeld
                | Self::PoliciesMissing(_)
                | Self::Distrusted(Distrust::SignaturesUnknown)
        )
    }
}

type RunCheck = fn(&RunInputs) -> Option<RunRefusal>;

/// In the order of a request's life: the first refusal is what has to be done next.
const RUN_CHECKS: &[RunCheck] = &[
    eligible,
    held,
    not_denied,
    approved,
    four_eyes,
    paid,
    paid_once,
    approver_is_not_payer,
    signatures_trusted,
    policies_intact,
];

// guard(i1_each_closed_lock_refuses_by_itself, = None): nothing runs for a request that is not eligible
fn eligible(k: &RunInputs) -> Option<RunRefusal> {
    (!k.eligible).then_some(RunRefusal::NotEligible)
}

// guard(i1_each_closed_lock_refuses_by_itself, = None): nothing runs while the backup is not held
fn held(k: &RunInputs) -> Option<RunRefusal> {
    (!k.held).then_some(RunRefusal::NotHeld)
}

fn not_denied(k: &RunInputs) -> Option<RunRefusal> {
    match &k.approval {
        // guard(i1_each_closed_lock_refuses_by_itself, = None): a denial is final
        Approval::Denied { by, why } => Some(RunRefusal::Denied { by: by.clone(), why: why.clone() }),
        Approval::Undecided | Approval::Approved { .. } => None,
    }
}

fn approved(k: &RunInputs) -> Option<RunRefusal> {
    match &k.approval {
        // An approval that admission did not stamp is nobody's.
        // guard(i1_each_closed_lock_refuses_by_itself, always): an approval without a stamped name is none
        Approval::Approved { by } if !by.is_empty() => None,
        Approval::Approved { .. } | Approval::Undecided | Approval::Denied { .. } => Some(RunRefusal::AwaitingApproval),
    }
}

fn four_eyes(k: &RunInputs) -> Option<RunRefusal> {
    let applies = match k.four_eyes {
        FourEyes::None => false,
        FourEyes::FullRestore => k.mode != Mode::CrmExport,
        FourEyes::All => true,
    };
    let Approval::Approved { by } = &k.approval else {
        return None;
    };
    // An unknown creator might be the approver: refuse.
    let same = k.requested_by.as_ref().is_none_or(|creator| creator == by);
    // guard(i1_each_closed_lock_refuses_by_itself, never): four eyes: the creator is not the approver
    (applies && same).then(|| RunRefusal::ApproverIsRequester(by.clone()))
}

fn paid(k: &RunInputs) -> Option<RunRefusal> {
    match &k.payment {
        // guard(i1_each_closed_lock_refuses_by_itself, always): a payment without a stamped name is none
        Payment::Paid { by } if !by.is_empty() => None,
        // It is paid. That the payment is another request's is the next check's to say, with what to do about it.
        Payment::Reused { .. } => None,
        Payment::Paid { .. } | Payment::Open => Some(RunRefusal::AwaitingPayment),
    }
}

// guard(i1_each_closed_lock_refuses_by_itself, = None): one payment is one request
fn paid_once(k: &RunInputs) -> Option<RunRefusal> {
    match &k.payment {
        Payment::Reused { reference, other } => {
            Some(RunRefusal::PaymentReferenceUsed { reference: reference.clone(), other: other.clone() })
        }
        Payment::Paid { .. } | Payment::Open => None,
    }
}

fn approver_is_not_payer(k: &RunInputs) -> Option<RunRefusal> {
    match (&k.approval, &k.payment) {
        // guard(i1_each_closed_lock_refuses_by_itself, never): the approver is not the payer
        (Approval::Approved { by: a }, Payment::Paid { by: p }) if a == p => {
            Some(RunRefusal::ApproverIsPayer(a.clone()))
        }
        _ => None,
    }
}

fn signatures_trusted(k: &RunInputs) -> Option<RunRefusal> {
    k.signatures.as_ref().err().map(|why| RunRefusal::Distrusted(why.clone()))
}

// guard(i1_each_closed_lock_refuses_by_itself, = None): nothing runs while the admission policies are not intact
fn policies_intact(k: &RunInputs) -> Option<RunRefusal> {
    k.policies.as_ref().err().map(|why| RunRefusal::PoliciesMissing(why.clone()))
}

/// Whether the Job may run (I1, I6); otherwise the first reason why not.
pub fn may_run(inputs: &RunInputs) -> Result<(), RunRefusal> {
    RUN_CHECKS.iter().find_map(|check| check(inputs)).map_or(Ok(()), Err)
}
