//! Whether the gate of approval and payment stands: the admission policies are there, as shipped, and refuse a forgery.
//! If not, no restore runs (I6).

use std::sync::{Mutex, PoisonError};

/// What is wrong with the gate. The variant's name is the condition's reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, strum::IntoStaticStr)]
pub enum AuthorityFault {
    /// A policy or binding is not there.
    #[error(
        "{kind} {name} is missing, so anybody could approve or pay: install it (config/ or the chart); no restore runs until then"
    )]
    PolicyMissing {
        /// Kind of the object.
        kind: String,
        /// Its name.
        name: String,
    },
    /// A policy or binding is not as shipped.
    #[error(
        "{kind} {name} is not the one that this version ships ({difference}): install it again; no restore runs until then"
    )]
    PolicyChanged {
        /// Kind of the object.
        kind: String,
        /// Its name.
        name: String,
        /// Where it differs.
        difference: String,
    },
    /// The API server took what it should have refused.
    #[error(
        "a forged {what} was not refused by the admission policies (dry run): somebody has weakened them, or they are not in force yet; no restore runs until then"
    )]
    ForgeryAccepted {
        /// What was forged.
        what: String,
    },
    /// It cannot be told.
    #[error("the admission policies cannot be checked: {why}; no restore runs until they can")]
    Unverifiable {
        /// Why not.
        why: String,
    },
}

impl AuthorityFault {
    /// Reason in CamelCase.
    pub fn reason(&self) -> &'static str {
        self.into()
    }
}

/// What the last look found.
#[derive(Default)]
pub struct Authority {
    last: Mutex<Option<Result<(), AuthorityFault>>>,
}

impl Authority {
    /// The last look's result; `None` before the first.
    pub fn last(&self) -> Option<Result<(), AuthorityFault>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Remembers a look's result; true when it is not what it was.
    pub fn saw(&self, now: Result<(), AuthorityFault>) -> bool {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = last.as_ref() != Some(&now);
        *last = Some(now);
        changed
    }
}

/// Looks now, before a claim (being written: until then what was seen last, and nothing when nothing was).
pub async fn verify(ctx: &super::context::Context, _fresh: &crate::api::RestoreRequest) -> Result<(), AuthorityFault> {
    ctx.authority.last().unwrap_or(Err(AuthorityFault::Unverifiable { why: "never looked".to_owned() }))
}
