//! Lockout during a swap, while a schema has parts of old and new: accounts are locked, and their sessions ended until none is
//! left. Locking an account does not end its open sessions.

use super::accounts::{Account, AffectedAccounts};
use super::failure::RestoreError;
use crate::mysql::{EngineError, Session};
use mysql_async::Row;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Pause between two rounds.
const PERIOD: Duration = Duration::from_millis(20);
/// Rounds in a row that must find no session: a login that had begun when its account was locked shows up late.
const EMPTY_ROUNDS: u32 = 3;
/// How long sessions may take to end: one that rolls back a large transaction takes a while.
const PATIENCE: Duration = Duration::from_mins(1);

/// Which sessions are ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SessionFilter {
    /// User names whose sessions are ended.
    pub logins: BTreeSet<String>,
    /// Schemas whose sessions are ended, of every user but those in `spared`.
    pub schemas: BTreeSet<String>,
    /// User names whose sessions are never ended.
    pub spared: BTreeSet<String>,
}

impl SessionFilter {
    /// Sessions of the affected accounts, and all sessions on one of these schemas.
    pub fn of(reach: &AffectedAccounts, own: &Account, schemas: &[&str]) -> Self {
        let spared = reach.administrators.iter().map(|a| a.user.clone()).chain([own.user.clone()]).collect();
        Self { logins: reach.logins(own), schemas: schemas.iter().map(|&s| s.to_owned()).collect(), spared }
    }

    fn matches(&self, user: &str, schema: Option<&str>) -> bool {
        let system = matches!(user, "system user" | "event_scheduler" | "unauthenticated user");
        if system || self.spared.contains(user) {
            return false;
        }
        self.logins.contains(user) || schema.is_some_and(|schema| self.schemas.contains(schema))
    }
}

/// Locks accounts. One that was dropped meanwhile is no error.
pub async fn lock(session: &mut Session, accounts: &[Account]) -> Result<(), EngineError> {
    for account in accounts {
        set(session, account, "LOCK").await?;
    }
    Ok(())
}

/// Unlocks accounts. One that was dropped meanwhile is no error.
pub async fn unlock(session: &mut Session, accounts: &[Account]) -> Result<(), EngineError> {
    for account in accounts {
        set(session, account, "UNLOCK").await?;
    }
    Ok(())
}

async fn set(session: &mut Session, account: &Account, word: &str) -> Result<(), EngineError> {
    let statement = format!("ALTER USER IF EXISTS {} ACCOUNT {word}", account.sql());
    session.run(&statement, &format!("{}ing the account {account}", word.to_ascii_lowercase())).await
}

/// A session in SHOW PROCESSLIST.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessEntry {
    id: u64,
    user: String,
    host: String,
    schema: Option<String>,
}

/// All sessions but this one.
pub async fn sessions(session: &mut Session) -> Result<Vec<ProcessEntry>, EngineError> {
    let doing = "listing the sessions";
    let own = u64::from(session.id());
    let rows: Vec<Row> = session.rows("SHOW PROCESSLIST", doing).await?;
    let text = |row: &Row, at: usize| row.get_opt::<Option<String>, usize>(at).and_then(Result::ok).flatten();
    let entry = |row: &Row| {
        let id = row.get_opt::<u64, usize>(0).and_then(Result::ok)?;
        let user = text(row, 1).unwrap_or_default();
        Some(ProcessEntry { id, user, host: text(row, 2).unwrap_or_default(), schema: text(row, 3) })
    };
    Ok(rows.iter().filter_map(entry).filter(|s| s.id != own).collect())
}

/// Number of sessions on a schema.
pub async fn count(session: &mut Session, schema: &str) -> Result<i64, EngineError> {
    let found = sessions(session).await?;
    let here = found.iter().filter(|s| s.schema.as_deref() == Some(schema)).count();
    Ok(i64::try_from(here).unwrap_or(i64::MAX))
}

/// Ends the matching sessions until none is left.
pub async fn terminate_sessions(session: &mut Session, whom: &SessionFilter) -> Result<(), RestoreError> {
    let deadline = Instant::now() + PATIENCE;
    let mut empty_rounds = 0;
    loop {
        let left = round(session, whom).await?;
        empty_rounds = if left.is_empty() { empty_rounds + 1 } else { 0 };
        if empty_rounds >= EMPTY_ROUNDS {
            return Ok(());
        }
        if Instant::now() >= deadline {
            let who: BTreeSet<String> = left.iter().map(|s| format!("{} from {}", s.user, s.host)).collect();
            return Err(RestoreError::SessionsStay { who: Vec::from_iter(who).join("; ") });
        }
        tokio::time::sleep(PERIOD).await;
    }
}

/// Ends each matching session once. Returns those that were found.
async fn round(session: &mut Session, whom: &SessionFilter) -> Result<Vec<ProcessEntry>, EngineError> {
    let mut found = sessions(session).await?;
    found.retain(|s| whom.matches(&s.user, s.schema.as_deref()));
    for entry in &found {
        let killed = session.run(&format!("KILL {}", entry.id), "ending a session").await;
        // It may have ended by itself, or may not be ended: the next round shows which.
        if let Err(error @ EngineError::ConnectionLost { .. }) = killed {
            return Err(error);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i3_who_is_ended_and_who_is_not() {
        let account = |user: &str| Account { user: user.into(), host: "%".into() };
        let reach = AffectedAccounts {
            to_lock: vec![account("app"), account("root")],
            already_locked: vec![],
            administrators: vec![account("root")],
        };
        let whom = SessionFilter::of(&reach, &account("me"), &["live"]);
        for (user, schema, ended) in [
            ("app", None, true),
            ("app", Some("other"), true),
            ("entry", Some("live"), true),
            ("entry", Some("other"), false),
            ("root", Some("live"), false),
            ("me", Some("live"), false),
            ("event_scheduler", None, false),
        ] {
            assert_eq!(whom.matches(user, schema), ended, "{user} on {schema:?}");
        }
    }
}
