//! Collects the facts for a preflight, by a session without a database. Changes nothing.

use super::accounts::{self, Account};
use super::lockout;
use super::marks::Role;
use super::preflight_facts::{PreflightFacts, needed_bytes};
use super::schemas::{Schema, size};
use super::script_needs::ScriptNeeds;
use crate::mysql::inventory::{UNREADABLE, unreadable_views};
use crate::mysql::{EngineError, Flavour, Session, literal, rights};
use mysql_async::Row;
use sennight_core::manifest::Manifest;
use sennight_core::names::{new_database, previous_database};
use sennight_protocol::restore::RestoreTask;
use std::collections::{BTreeMap, BTreeSet};

/// The server's own schemas.
const RESERVED: [&str; 4] = ["mysql", "sys", "information_schema", "performance_schema"];
/// Rights that the restore account needs on `*.*`.
const RIGHTS: [&str; 18] = [
    "SELECT",
    "INSERT",
    "UPDATE",
    "DELETE",
    "CREATE",
    "DROP",
    "ALTER",
    "INDEX",
    "REFERENCES",
    "CREATE VIEW",
    "SHOW VIEW",
    "CREATE ROUTINE",
    "ALTER ROUTINE",
    "EXECUTE",
    "TRIGGER",
    "EVENT",
    "CREATE USER",
    "PROCESS",
];

/// Collects the facts of a full restore. `script_needs` is absent where the backup's script was not read.
pub async fn gather_facts(
    session: &mut Session,
    task: &RestoreTask,
    manifest: &Manifest,
    copied: Option<ScriptNeeds>,
) -> Result<PreflightFacts, EngineError> {
    let database = &task.database.database;
    let (new, previous) = (new_database(database, &task.request_uid), previous_database(database, &task.request_uid));
    let mut definers = copied.as_ref().map(|c| c.definers.clone()).unwrap_or_default();
    let mut facts = gather_server_facts(session, database).await?;
    definers.extend(definers_of(session, database).await?);
    missing_definers(session, &definers, &mut facts).await?;
    facts.backup = minor_too(&manifest.server.version).or(Some((manifest.server.major, 0)));
    facts.needed_bytes = needed_bytes(&manifest.server, manifest.totals.raw_bytes);
    facts.headroom_bytes = task.headroom_bytes;
    facts.names_needed = [&new, &previous].map(|name| (name.clone(), directory_length(name))).into();
    if copied.is_none() {
        facts.notes.push("the backup's schema is too large to be looked into here: prepare will".to_owned());
    }
    let unreadable = manifest.warnings.iter().filter(|warning| warning.starts_with(UNREADABLE));
    facts.notes.extend(unreadable.map(|warning| format!("in the backup {warning}")));
    facts.functions_guarded &= copied.as_ref().is_none_or(|c| c.functions);
    facts.script_needs = copied;
    if let Some(found) = Schema::find(session, &new).await? {
        let ours = found.is_empty() || found.mark(Role::Restored, &task.request_uid).is_some();
        facts.names_in_use.extend((!ours).then_some(new.clone()));
    }
    if let Some(found) = Schema::find(session, &previous).await?.filter(|schema| !schema.is_empty()) {
        match found.mark(Role::Previous, &task.request_uid) {
            Some(_) => facts.already_swapped = Some(previous),
            None => facts.names_in_use.push(previous),
        }
    }
    note_pattern_grants(session, &new, &mut facts).await?;
    Ok(facts)
}

/// Facts about the server and the live schema only.
pub async fn gather_server_facts(session: &mut Session, database: &str) -> Result<PreflightFacts, EngineError> {
    let known = accounts::schema_access(session, database).await?;
    let affected = known.affected();
    let settings = settings(session).await?;
    let on = |name: &str| settings.get(name).is_some_and(|value| value != "OFF" && value != "0");
    let granted = rights::global(session).await?;
    let mut rights_missing = rights_missing(session, &granted);
    let revoked = rights::revoked(session, &RIGHTS, database).await?;
    rights_missing.extend(revoked.iter().map(|right| format!("{right} on this database (revoked there)")));
    let names = |accounts: &[Account]| accounts.iter().map(ToString::to_string).collect::<Vec<_>>();
    let mut facts = PreflightFacts {
        database: database.to_owned(),
        account: known.own.to_string(),
        server: (session.version().major, session.version().minor),
        read_only: on("read_only") || on("super_read_only"),
        clustered: on("wsrep_on") || grouped(session).await,
        folds_names: on("lower_case_table_names"),
        functions_guarded: on("log_bin") && !on("log_bin_trust_function_creators") && !granted.contains("SUPER"),
        reserved: RESERVED.iter().any(|name| name.eq_ignore_ascii_case(database)),
        live: Schema::find(session, database).await?.is_some(),
        rights_missing,
        may_grant: rights::may_grant(session).await?,
        routine_grants: accounts::routine_grants(session, database).await?,
        other_engines: other_engines(session, database).await?,
        foreign: foreign_keys(session, database).await?,
        accounts_to_lock: names(&affected.to_lock),
        administrators: names(&affected.administrators),
        live_bytes: size(session, database).await?,
        live_sessions: lockout::count(session, database).await?,
        ..PreflightFacts::default()
    };
    if let Some(views) = unreadable_views(session, &literal(database)).await? {
        facts.notes.push(format!("in the live database {UNREADABLE}; an Undo would not bring them back: {views}"));
    }
    gather_replication_facts(session, &mut facts).await?;
    Ok(facts)
}

async fn settings(session: &mut Session) -> Result<BTreeMap<String, String>, EngineError> {
    let query = "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('read_only', 'super_read_only', 'wsrep_on', 'log_bin',
        'log_bin_trust_function_creators', 'lower_case_table_names')";
    Ok(session.rows::<(String, String)>(query, "reading the server's settings").await?.into_iter().collect())
}

async fn grouped(session: &mut Session) -> bool {
    let query = "SELECT COUNT(*) FROM performance_schema.replication_group_members WHERE MEMBER_STATE <> 'OFFLINE'";
    // A server without group replication has no such table.
    session.row::<(i64,)>(query, "looking for group replication").await.is_ok_and(|(count,)| count > 0)
}

fn rights_missing(session: &Session, granted: &BTreeSet<String>) -> Vec<String> {
    let own: [&str; 2] = match session.version().flavour {
        Flavour::MySQL => ["CONNECTION_ADMIN", "SET_ANY_DEFINER"],
        Flavour::MariaDB => ["CONNECTION ADMIN", "SET USER"],
    };
    let missing = |right: &&&str| !granted.contains(**right);
    RIGHTS.iter().chain(&own).filter(missing).map(|right| format!("{right} ON *.*")).collect()
}

async fn other_engines(session: &mut Session, database: &str) -> Result<Vec<String>, EngineError> {
    let query = format!(
        "SELECT CONCAT(TABLE_NAME, ' (', ENGINE, ')') FROM information_schema.TABLES WHERE TABLE_SCHEMA = {}
          AND TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED') AND ENGINE <> 'InnoDB' ORDER BY 1",
        literal(database)
    );
    let found: Vec<(String,)> = session.rows(&query, "listing the tables' engines").await?;
    Ok(found.into_iter().map(|(table,)| table).collect())
}

async fn foreign_keys(session: &mut Session, database: &str) -> Result<Vec<String>, EngineError> {
    let of = literal(database);
    let query = format!(
        "SELECT CONCAT(CONSTRAINT_SCHEMA, '.', TABLE_NAME, ' to ', UNIQUE_CONSTRAINT_SCHEMA, '.', REFERENCED_TABLE_NAME)
           FROM information_schema.REFERENTIAL_CONSTRAINTS
          WHERE {of} IN (CONSTRAINT_SCHEMA, UNIQUE_CONSTRAINT_SCHEMA) AND CONSTRAINT_SCHEMA <> UNIQUE_CONSTRAINT_SCHEMA ORDER BY 1"
    );
    let found: Vec<(String,)> = session.rows(&query, "listing foreign keys").await?;
    Ok(found.into_iter().map(|(key,)| key).collect())
}

/// Accounts that the live schema's objects run as. The objects must be created again, also by an Undo.
pub async fn definers_of(session: &mut Session, database: &str) -> Result<BTreeSet<Account>, EngineError> {
    let of = literal(database);
    let query = format!(
        "SELECT DEFINER FROM information_schema.VIEWS WHERE TABLE_SCHEMA = {of} UNION SELECT DEFINER FROM information_schema.TRIGGERS
          WHERE TRIGGER_SCHEMA = {of} UNION SELECT DEFINER FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = {of}
          UNION SELECT DEFINER FROM information_schema.EVENTS WHERE EVENT_SCHEMA = {of}"
    );
    let found: Vec<(String,)> = session.rows(&query, "listing who objects run as").await?;
    Ok(found.into_iter().map(|(text,)| Account::parse(&text)).collect())
}

/// Adds the definers that the server does not have, and those that this account may not use.
pub async fn missing_definers(
    session: &mut Session,
    definers: &BTreeSet<Account>,
    facts: &mut PreflightFacts,
) -> Result<(), EngineError> {
    let missing = accounts::missing(session, definers).await?;
    facts.definers_missing = missing.iter().map(ToString::to_string).collect();
    // On MySQL only an account with SYSTEM_USER creates objects that run as one.
    let protected: Vec<Account> = accounts::protected(session).await?;
    let ours = protected.iter().any(|account| account.to_string() == facts.account);
    if let Some(one) = protected.iter().find(|account| definers.contains(account)).filter(|_| !ours) {
        facts.rights_missing.push(format!("SYSTEM_USER ON *.* (objects run as {one}, who has it)"));
    }
    Ok(())
}

/// Facts about replication, its filters, backups and two-phase transactions. What the account may not read becomes a note.
async fn gather_replication_facts(session: &mut Session, facts: &mut PreflightFacts) -> Result<(), EngineError> {
    let mysql = session.version().flavour == Flavour::MySQL;
    let replicas = if mysql { "SHOW REPLICA STATUS" } else { "SHOW ALL REPLICAS STATUS" };
    if let Some(rows) = query_or_note::<Row>(session, replicas, "whether it is a replica", facts).await? {
        facts.replica = !rows.is_empty();
    }
    let log = if mysql { "SHOW BINARY LOG STATUS" } else { "SHOW MASTER STATUS" };
    if let Some(rows) = query_or_note::<Row>(session, log, "whether its binary log is filtered", facts).await? {
        let text = |row: &Row, at: usize| row.get_opt::<String, usize>(at).and_then(Result::ok).unwrap_or_default();
        let filters: Vec<String> = rows.iter().flat_map(|row| [text(row, 2), text(row, 3)]).collect();
        let filters: Vec<&String> = filters.iter().filter(|filter| !filter.is_empty()).collect();
        facts.log_filter = filters.first().map(|filter| (*filter).clone());
    }
    let xa = query_or_note::<(i64, i64, i64, Vec<u8>)>(session, "XA RECOVER", "open XA transactions", facts).await?;
    facts.xa = xa.unwrap_or_default().iter().map(|x| String::from_utf8_lossy(&x.3).into_owned()).collect();
    let backups = if mysql {
        "SELECT CONCAT('thread ', COALESCE(OWNER_THREAD_ID, 0)) FROM performance_schema.metadata_locks
          WHERE OBJECT_TYPE = 'BACKUP LOCK' AND LOCK_TYPE = 'SHARED'"
    } else {
        "SELECT CONCAT('session ', THREAD_ID) FROM information_schema.METADATA_LOCK_INFO
          WHERE LOCK_MODE LIKE 'MDL_BACKUP%' AND LOCK_MODE NOT IN ('MDL_BACKUP_DML', 'MDL_BACKUP_TRANS_DML', 'MDL_BACKUP_SYS_DML', 'MDL_BACKUP_DDL', 'MDL_BACKUP_ALTER_COPY', 'MDL_BACKUP_COMMIT')"
    };
    // Not every server has these tables: a backup is then found when the RENAME waits for it.
    let found: Vec<(String,)> = session.rows(backups, "looking for backups").await.unwrap_or_default();
    facts.backups = found.into_iter().map(|(who,)| who).collect();
    Ok(())
}

/// The rows of a query; a note and `None` if the account may not run it.
async fn query_or_note<T: mysql_async::prelude::FromRow + Send + 'static>(
    session: &mut Session,
    query: &str,
    what: &str,
    facts: &mut PreflightFacts,
) -> Result<Option<Vec<T>>, EngineError> {
    match session.rows(query, &format!("looking for {what}")).await {
        Ok(rows) => Ok(Some(rows)),
        Err(EngineError::PermissionDenied { why, .. }) => {
            facts.notes.push(format!("nobody could look at {what}: {why}"));
            Ok(None)
        }
        Err(error @ EngineError::ConnectionLost { .. }) => Err(error),
        Err(error) => {
            facts.notes.push(format!("nobody could look at {what}: {error}"));
            Ok(None)
        }
    }
}

/// Notes accounts whose rights on a pattern of names also apply to the new schema.
async fn note_pattern_grants(session: &mut Session, new: &str, facts: &mut PreflightFacts) -> Result<(), EngineError> {
    let query =
        format!("SELECT DISTINCT CONCAT(User, '@', Host) FROM mysql.db WHERE {} LIKE Db ORDER BY 1", literal(new));
    let found: Vec<(String,)> = session.rows(&query, "reading rights by patterns").await?;
    let others: Vec<String> = found.into_iter().map(|(who,)| who).filter(|who| *who != facts.account).collect();
    if !others.is_empty() {
        facts.notes.push(format!(
            "by a pattern of names these accounts can read the new database {new} while it is filled, and the replaced one: {}",
            others.join(", ")
        ));
    }
    Ok(())
}

/// `10.11.19-MariaDB-…` as (10, 11).
fn minor_too(text: &str) -> Option<(i32, i32)> {
    let mut numbers = text.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse().ok());
    Some((numbers.next()?, numbers.next()?))
}

/// Bytes of a schema's name as a directory: characters other than these take five bytes.
pub fn directory_length(name: &str) -> usize {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { 1 } else { 5 }).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_and_directories_are_read_as_servers_write_them() {
        assert_eq!(minor_too("10.11.19-MariaDB-0+deb12u1-log"), Some((10, 11)));
        assert_eq!(minor_too("9.7.4-2"), Some((9, 7)));
        assert_eq!(minor_too("what"), None);
        assert_eq!((directory_length("acme_1"), directory_length("a-é")), (6, 11));
    }
}
