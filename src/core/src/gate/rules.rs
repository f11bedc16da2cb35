//! The locks between a request and its Job: helpdesk's key, billing's key, and what makes them good.

use super::Mode;
use crate::authority::Distrust;
pub use crate::authority::FourEyes;
use chrono::{DateTime, Utc};

/// Helpdesk's decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Approval {
    /// None yet.
    Undecided,
    /// Yes.
    Approved {
        /// Who, as admission stamped it.
        by: String,
    },
    /// No; final.
    Denied {
        /// Who.
        by: String,
        /// Why.
        why: String,
    },
}

/// Billing's word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payment {
    /// Not paid, or not known to be.
    Open,
    /// Paid.
    Paid {
        /// Who recorded it, as admission stamped it.
        by: String,
    },
    /// Paid, by a reference that another request of the namespace has: one payment is one restore.
    Reused {
        /// The reference.
        reference: String,
        /// The request that has it.
        other: String,
    },
}

/// Another request that was paid by the same reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SameReference {
    /// Its name.
    pub name: String,
    /// Its restore has begun, or it has ended: the reference is spent.
    pub spent: bool,
    /// When it was created.
    pub created: DateTime<Utc>,
}

/// Which of the others with the same reference it belongs to, if not to the request `name` that was created then: the one
/// that has spent it, else the one that was there first. Of two that are paid at once exactly one may go on.
pub fn reference_holder<'a>(
    name: &str,
    created: DateTime<Utc>,
    others: &'a [SameReference],
) -> Option<&'a SameReference> {
    let before = |other: &&SameReference| other.spent || (other.created, other.name.as_str()) < (created, name);
    others.iter().filter(before).min_by_key(|other| (!other.spent, other.created, other.name.clone()))
}

/// The state of every lock at one instant, from a fresh read (I1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunInputs {
    /// Mode, for the four-eyes rule.
    pub mode: Mode,
    /// Whether the request can be served.
    pub eligible: bool,
    /// Whether its backup is held.
    pub held: bool,
    /// Helpdesk.
    pub approval: Approval,
    /// Billing.
    pub payment: Payment,
    /// Who created the request, as admission stamped it.
    pub requested_by: Option<String>,
    /// The four-eyes setting.
    pub four_eyes: FourEyes,
    /// Whether the signatures could have come about by the rules.
    pub signatures: Result<(), Distrust>,
    /// Whether the admission policies were found whole; the text says what is missing.
    pub policies: Result<(), String>,
}

/// Which lock is closed. The variant's name is the reason of Progressing, the Event's and the metric's label.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, strum::IntoStaticStr)]
pub enum RunRefusal {
    /// The request cannot be served.
    #[error("the request is not eligible")]
    NotEligible,
    /// The backup is not held.
    #[error("the backup is not held yet")]
    NotHeld,
    /// Helpdesk said no.
    #[error("denied by {by}: {why}")]
    Denied {
        /// Who.
        by: String,
        /// Why.
        why: String,
    },
    /// Helpdesk has not decided.
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
    /// One payment, two requests.
    #[error(
        "payment reference {reference:?} was used for RestoreRequest {other:?}: one payment is one restore; record this \
         request's own reference (kubectl sennight settle)"
    )]
    PaymentReferenceUsed {
        /// The reference.
        reference: String,
        /// The request that has it.
        other: String,
    },
    /// One hand turned both keys.
    #[error("{0} both approved and settled: approval and payment must come from different accounts")]
    ApproverIsPayer(String),
    /// A key was forged.
    #[error(transparent)]
    Distrusted(Distrust),
    /// Nobody guards the keys.
    #[error("no restore runs while the admission policies are not intact: {0}")]
    PoliciesMissing(String),
}

impl RunRefusal {
    /// CamelCase reason.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Distrusted(why) => why.reason(),
            other => other.into(),
        }
    }

    /// Whether the next look may find it open without anybody's signature. After the claim no signature comes any more: a
    /// request that was claimed without one was not claimed by us.
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

/// In the order of a request's life.
const RUN_CHECKS: &[RunCheck] =
    &[eligible, held, not_denied, approved, four_eyes, paid, paid_once, approver_is_not_payer, signatures_trusted, policies_intact];

fn eligible(k: &RunInputs) -> Option<RunRefusal> {
    (!k.eligible).then_some(RunRefusal::NotEligible)
}

fn held(k: &RunInputs) -> Option<RunRefusal> {
    (!k.held).then_some(RunRefusal::NotHeld)
}

fn not_denied(k: &RunInputs) -> Option<RunRefusal> {
    match &k.approval {
        Approval::Denied { by, why } => Some(RunRefusal::Denied { by: by.clone(), why: why.clone() }),
        Approval::Undecided | Approval::Approved { .. } => None,
    }
}

fn approved(k: &RunInputs) -> Option<RunRefusal> {
    match &k.approval {
        // An approval that admission did not stamp is nobody's.
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
    (applies && same).then(|| RunRefusal::ApproverIsRequester(by.clone()))
}

fn paid(k: &RunInputs) -> Option<RunRefusal> {
    match &k.payment {
        Payment::Paid { by } if !by.is_empty() => None,
        Payment::Reused { .. } => None,
        Payment::Paid { .. } | Payment::Open => Some(RunRefusal::AwaitingPayment),
    }
}

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
        (Approval::Approved { by: a }, Payment::Paid { by: p }) if a == p => Some(RunRefusal::ApproverIsPayer(a.clone())),
        _ => None,
    }
}

fn signatures_trusted(k: &RunInputs) -> Option<RunRefusal> {
    k.signatures.as_ref().err().map(|why| RunRefusal::Distrusted(why.clone()))
}

fn policies_intact(k: &RunInputs) -> Option<RunRefusal> {
    k.policies.as_ref().err().map(|why| RunRefusal::PoliciesMissing(why.clone()))
}

/// Whether all locks are open (I1, I6); the first closed one otherwise.
pub fn may_run(keys: &RunInputs) -> Result<(), RunRefusal> {
    RUN_CHECKS.iter().find_map(|lock| lock(keys)).map_or(Ok(()), Err)
}
