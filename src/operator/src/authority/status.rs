//! What is known of the gate of approval and payment: the result of the last check, and whether signatures can be genuine.

use crate::runtime::writes::FIELD_MANAGERS;
use parking_lot::Mutex;
use sennight_api::RestoreRequest;
use sennight_api::admission::Weakness;
use sennight_core::authority::{self as rules, Distrust, OperatorIdentity};
use std::sync::OnceLock;

/// What is wrong with the gate. [`AuthorityFault::reason`] is the condition's reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, strum::IntoStaticStr)]
pub enum AuthorityFault {
    /// A policy, a binding or the definition of RestoreRequest is not as shipped.
    #[error(
        "{kind} {name}: {} ({difference}); install the manifests or the chart of this version again, and look at what was approved and paid meanwhile; no restore runs until then",
        .weakness.meaning()
    )]
    Weakened {
        /// In which way.
        weakness: Weakness,
        /// Kind of the object.
        kind: String,
        /// Its name.
        name: String,
        /// Where it differs.
        difference: String,
    },
    /// A dry run of a forged write was not refused.
    #[error(
        "a forged {what} was not refused by the admission policies (dry run): somebody has weakened them, or they are not in force yet; no restore runs until then"
    )]
    ForgeryAccepted {
        /// What was forged.
        what: String,
    },
    /// The check itself failed.
    #[error("the admission policies cannot be checked: {why}; no restore runs until they can")]
    Unverifiable {
        /// What failed.
        why: String,
    },
}

impl AuthorityFault {
    /// CamelCase reason; for a weakened gate it says in which way.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Weakened { weakness, .. } => weakness.reason(),
            other => other.into(),
        }
    }
}

/// Result of the last check.
#[derive(Default)]
pub struct Authority {
    last: Mutex<Option<Result<(), AuthorityFault>>>,
    /// The operator's own user name, once the API server has answered.
    user: OnceLock<String>,
}

impl Authority {
    /// Result of the last check; `None` before the first.
    pub fn last(&self) -> Option<Result<(), AuthorityFault>> {
        self.last.lock().clone()
    }

    /// Stores a result; true when it differs from the last one.
    pub fn record(&self, now: Result<(), AuthorityFault>) -> bool {
        let mut last = self.last.lock();
        let changed = last.as_ref() != Some(&now);
        *last = Some(now);
        changed
    }

    /// Whether the operator's own user name is known.
    pub fn knows_own_user(&self) -> bool {
        self.user.get().is_some()
    }

    /// Stores the operator's own user name.
    pub fn learn_own_user(&self, user: String) {
        let _ = self.user.set(user);
    }

    /// Whether approval and payment on a request can have been written by the rules. A signature in the operator's own name
    /// cannot.
    pub fn check_signatures(&self, request: &RestoreRequest, setting: rules::FourEyes) -> Result<(), Distrust> {
        let object = serde_json::to_value(request).map_err(|_| Distrust::SignaturesUnknown)?;
        let own = OperatorIdentity { user: self.user.get().map(String::as_str), managers: FIELD_MANAGERS };
        rules::check_signatures(&object, setting, own)
    }
}
