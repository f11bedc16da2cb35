//! What a swap must know to be ended by somebody else: written into the bucket before the first change.

use super::accounts::Account;
use crate::mysql::schema::Object;
use serde::{Deserialize, Serialize};

/// The journal of one swap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Journal {
    /// The request.
    pub request_uid: String,
    /// Accounts that were not locked before, and are to be unlocked.
    pub accounts: Vec<Account>,
    /// Views, routines, triggers and events of the live schema as it was.
    pub live: Vec<Object>,
    /// Those of the one that replaces it.
    pub source: Vec<Object>,
    /// Rights on single routines of the live schema, as statements that give them again.
    pub routine_grants: Vec<String>,
}

impl Journal {
    /// Of a swap that changed nothing, and now never will.
    pub fn nothing(request_uid: &str) -> Self {
        Self {
            request_uid: request_uid.to_owned(),
            accounts: Vec::new(),
            live: Vec::new(),
            source: Vec::new(),
            routine_grants: Vec::new(),
        }
    }
}
