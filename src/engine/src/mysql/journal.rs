//! The journal of a swap: all that another process needs to end it. Written into the bucket before the first change.

use super::accounts::Account;
use crate::mysql::schema::Object;
use serde::{Deserialize, Serialize};

/// The journal of one swap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Journal {
    /// UID of the RestoreRequest.
    pub request_uid: String,
    /// Accounts that the swap locks, and that must be unlocked at its end.
    pub accounts: Vec<Account>,
    /// Views, routines, triggers and events of the live schema as it was.
    pub live: Vec<Object>,
    /// Those of the schema that replaces it.
    pub source: Vec<Object>,
    /// Rights on single routines of the live schema, as statements that give them again.
    pub routine_grants: Vec<String>,
}

impl Journal {
    /// The journal of a swap that has changed nothing; once it is written, the swap cannot begin.
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
