//! The fence around the moment in which a schema is neither old nor new in all its parts: accounts are locked, their sessions
//! ended until none is left. A lock alone does not end an open session.

use super::accounts::{Account, AffectedAccounts};
use super::failure::RestoreError;
use crate::mysql::{EngineError, Session};
use mysql_async::Row;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Between two rounds.
const PERIOD: Duration = Duration::from_millis(20);
/// Rounds that must find nobody: a login that was under way when its account was locked shows up late.
const CLEAN: u32 = 3;
/// How long sessions may take to end: one that takes back a large transaction is not gone at once.
const PATIENCE: Duration = Duration::from_mins(1);

/// Whose sessions are ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SessionFilter {
    /// By login name.
    pub logins: BTreeSet<String>,
    /// By what they work on, whoever they are, but those in `spared`.
    pub schemas: BTreeSet<String>,
    /// Login names that are left alone.
    pub spared: BTreeSet<String>,
}

impl SessionFilter {
    /// Of a reach, and of everybody who has one of these schemas open.
    pub fn of(reach: &AffectedAccounts, own: &Account, schemas: &[&str]) -> Self {
        let spared = reach.administrators.iter().map(|a| a.user.clone()).chain([own.user.clone()]).collect();
        Self { logins: reach.logins(own), schemas: schemas.iter().map(|&s| s.to_owned()).collect(), spared }
    }

    fn concerns(&self, user: &str, schema: Option<&str>) -> bool {
        let system = matches!(user, "system user" | "event_scheduler" | "unauthenticated user");
        if system || self.spared.contains(user) {
            return false;
        }
        self.logins.contains(user) || schema.is_some_and(|schema| self.schemas.contains(schema))
    }
}

/// Locks accounts.
pub async fn lock(session: &mut Session, accounts: &[Account]) -> Result<(), EngineError> {
    for account in accounts {
        set(session, account, "LOCK").await?;
    }
    Ok(())
}

/// Unlocks them. One that was dropped meanwhile needs no unlocking.
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

/// A session of the process list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessEntry {
    id: u64,
    user: String,
    host: String,
    schema: Option<String>,
}

/// Everybody's sessions but ours.
pub async fn sessions(session: &mut Session) -> Result<Vec<ProcessEntry>, EngineError> {
    let doing = "listing the sessions";
    let own = u64::from(session.id());
    let rows: Vec<Row> = session.rows("SHOW PROCESSLIST", doing).await?;
    let text = |row: &Row, at: usize| row.get_opt::<Option<String>, usize>(at).and_then(Result::ok).flatten();
    let somebody = |row: &Row| {
        let id = row.get_opt::<u64, usize>(0).and_then(Result::ok)?;
        let user = text(row, 1).unwrap_or_default();
        Some(ProcessEntry { id, user, host: text(row, 2).unwrap_or_default(), schema: text(row, 3) })
    };
    Ok(rows.iter().filter_map(somebody).filter(|s| s.id != own).collect())
}

/// How many of them work on a schema.
pub async fn count(session: &mut Session, schema: &str) -> Result<i64, EngineError> {
    let found = sessions(session).await?;
    let here = found.iter().filter(|s| s.schema.as_deref() == Some(schema)).count();
    Ok(i64::try_from(here).unwrap_or(i64::MAX))
}

/// Ends sessions until none is left.
pub async fn terminate_sessions(session: &mut Session, whom: &SessionFilter) -> Result<(), RestoreError> {
    let deadline = Instant::now() + PATIENCE;
    let mut clean = 0;
    loop {
        let left = round(session, whom).await?;
        clean = if left.is_empty() { clean + 1 } else { 0 };
        if clean >= CLEAN {
            return Ok(());
        }
        if Instant::now() >= deadline {
            let who: BTreeSet<String> = left.iter().map(|s| format!("{} from {}", s.user, s.host)).collect();
            return Err(RestoreError::SessionsStay { who: Vec::from_iter(who).join("; ") });
        }
        tokio::time::sleep(PERIOD).await;
    }
}

/// Ends each once, and tells who was there.
async fn round(session: &mut Session, whom: &SessionFilter) -> Result<Vec<ProcessEntry>, EngineError> {
    let mut found = sessions(session).await?;
    found.retain(|s| whom.concerns(&s.user, s.schema.as_deref()));
    for somebody in &found {
        let killed = session.run(&format!("KILL {}", somebody.id), "ending a session").await;
        // Gone by itself, or not to be ended: the next round tells.
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
            ("somebody", Some("live"), true),
            ("somebody", Some("other"), false),
            ("root", Some("live"), false),
            ("me", Some("live"), false),
            ("event_scheduler", None, false),
        ] {
            assert_eq!(whom.concerns(user, schema), ended, "{user} on {schema:?}");
        }
    }
}
