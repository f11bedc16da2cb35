//! Looks at everything that a full restore needs, by a session without a database, and changes nothing.

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

const RESERVED: [&str; 4] = ["mysql", "sys", "information_schema", "performance_schema"];
/// What the account must have on everything.
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

/// Looks for a full restore. `copied` is what the backup's script says, where it was read.
pub async fn gather_facts(
    session: &mut Session,
    task: &RestoreTask,
    manifest: &Manifest,
    copied: Option<ScriptNeeds>,
) -> Result<PreflightFacts, EngineError> {
    let database = &task.database.database;
    let (new, kept) = (new_database(database, &task.request_uid), previous_database(database, &task.request_uid));
    let mut definers = copied.as_ref().map(|c| c.definers.clone()).unwrap_or_default();
    let mut evidence = gather_server_facts(session, database).await?;
    definers.extend(definers_of(session, database).await?);
    missing_definers(session, &definers, &mut evidence).await?;
    evidence.backup = minor_too(&manifest.server.version).or(Some((manifest.server.major, 0)));
    evidence.needed_bytes = needed_bytes(&manifest.server, manifest.totals.raw_bytes);
    evidence.headroom_bytes = task.headroom_bytes;
    evidence.names_needed = [&new, &kept].map(|name| (name.clone(), directory_length(name))).into();
    if copied.is_none() {
        evidence.notes.push("the backup's schema is too large to be looked into here: prepare will".to_owned());
    }
    let unreadable = manifest.warnings.iter().filter(|warning| warning.starts_with(UNREADABLE));
    evidence.notes.extend(unreadable.map(|warning| format!("in the backup {warning}")));
    evidence.functions_guarded &= copied.as_ref().is_none_or(|c| c.functions);
    evidence.script_needs = copied;
    if let Some(found) = Schema::find(session, &new).await? {
        let ours = found.is_empty() || found.mark(Role::Restored, &task.request_uid).is_some();
        evidence.names_in_use.extend((!ours).then_some(new.clone()));
    }
    if let Some(found) = Schema::find(session, &kept).await?.filter(|schema| !schema.is_empty()) {
        match found.mark(Role::Previous, &task.request_uid) {
            Some(_) => evidence.already_swapped = Some(kept),
            None => evidence.names_in_use.push(kept),
        }
    }
    note_pattern_grants(session, &new, &mut evidence).await?;
    Ok(evidence)
}

/// What is about the server and the live schema only.
pub async fn gather_server_facts(session: &mut Session, database: &str) -> Result<PreflightFacts, EngineError> {
    let known = accounts::schema_access(session, database).await?;
    let reach = known.affected();
    let settings = settings(session).await?;
    let on = |name: &str| settings.get(name).is_some_and(|value| value != "OFF" && value != "0");
    let held = rights::global(session).await?;
    let mut rights_missing = rights_missing(session, &held);
    let revoked = rights::revoked(session, &RIGHTS, database).await?;
    rights_missing.extend(revoked.iter().map(|right| format!("{right} on this database (revoked there)")));
    let names = |accounts: &[Account]| accounts.iter().map(ToString::to_string).collect::<Vec<_>>();
    let mut evidence = PreflightFacts {
        database: database.to_owned(),
        account: known.own.to_string(),
        server: (session.version().major, session.version().minor),
        read_only: on("read_only") || on("super_read_only"),
        clustered: on("wsrep_on") || grouped(session).await,
        folds_names: on("lower_case_table_names"),
        functions_guarded: on("log_bin") && !on("log_bin_trust_function_creators") && !held.contains("SUPER"),
        reserved: RESERVED.iter().any(|name| name.eq_ignore_ascii_case(database)),
        live: Schema::find(session, database).await?.is_some(),
        rights_missing,
        may_grant: rights::may_grant(session).await?,
        routine_grants: accounts::routine_grants(session, database).await?,
        other_engines: other_engines(session, database).await?,
        foreign: foreign_keys(session, database).await?,
        accounts_to_lock: names(&reach.to_lock),
        administrators: names(&reach.administrators),
        live_bytes: size(session, database).await?,
        live_sessions: lockout::count(session, database).await?,
        ..PreflightFacts::default()
    };
    if let Some(views) = unreadable_views(session, &literal(database)).await? {
        evidence.notes.push(format!("in the live database {UNREADABLE}; an Undo would not bring them back: {views}"));
    }
    gather_replication_facts(session, &mut evidence).await?;
    Ok(evidence)
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

fn rights_missing(session: &Session, held: &BTreeSet<String>) -> Vec<String> {
    let own: [&str; 2] = match session.version().flavour {
        Flavour::MySQL => ["CONNECTION_ADMIN", "SET_ANY_DEFINER"],
        Flavour::MariaDB => ["CONNECTION ADMIN", "SET USER"],
    };
    let missing = |right: &&&str| !held.contains(**right);
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

/// Who the live schema's objects run as: they must be made again, on the way back as well.
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

/// Those that are not there.
pub async fn missing_definers(
    session: &mut Session,
    definers: &BTreeSet<Account>,
    evidence: &mut PreflightFacts,
) -> Result<(), EngineError> {
    let missing = accounts::missing(session, definers).await?;
    evidence.definers_missing = missing.iter().map(ToString::to_string).collect();
    // On MySQL only a protected account makes objects that run as one.
    let protected: Vec<Account> = accounts::protected(session).await?;
    let ours = protected.iter().any(|account| account.to_string() == evidence.account);
    if let Some(one) = protected.iter().find(|account| definers.contains(account)).filter(|_| !ours) {
        evidence.rights_missing.push(format!("SYSTEM_USER ON *.* (objects run as {one}, who has it)"));
    }
    Ok(())
}

/// Replication, its filters, backups, two-phase transactions. What the account may not see is said.
async fn gather_replication_facts(session: &mut Session, evidence: &mut PreflightFacts) -> Result<(), EngineError> {
    let mysql = session.version().flavour == Flavour::MySQL;
    let replicas = if mysql { "SHOW REPLICA STATUS" } else { "SHOW ALL REPLICAS STATUS" };
    if let Some(rows) = query_or_note::<Row>(session, replicas, "whether it is a replica", evidence).await? {
        evidence.replica = !rows.is_empty();
    }
    let log = if mysql { "SHOW BINARY LOG STATUS" } else { "SHOW MASTER STATUS" };
    if let Some(rows) = query_or_note::<Row>(session, log, "whether its binary log is filtered", evidence).await? {
        let text = |row: &Row, at: usize| row.get_opt::<String, usize>(at).and_then(Result::ok).unwrap_or_default();
        let filters: Vec<String> = rows.iter().flat_map(|row| [text(row, 2), text(row, 3)]).collect();
        let filters: Vec<&String> = filters.iter().filter(|filter| !filter.is_empty()).collect();
        evidence.log_filter = filters.first().map(|filter| (*filter).clone());
    }
    let xa = query_or_note::<(i64, i64, i64, Vec<u8>)>(session, "XA RECOVER", "open XA transactions", evidence).await?;
    evidence.xa = xa.unwrap_or_default().iter().map(|x| String::from_utf8_lossy(&x.3).into_owned()).collect();
    let backups = if mysql {
        "SELECT CONCAT('thread ', COALESCE(OWNER_THREAD_ID, 0)) FROM performance_schema.metadata_locks
          WHERE OBJECT_TYPE = 'BACKUP LOCK' AND LOCK_TYPE = 'SHARED'"
    } else {
        "SELECT CONCAT('session ', THREAD_ID) FROM information_schema.METADATA_LOCK_INFO
          WHERE LOCK_MODE LIKE 'MDL_BACKUP%' AND LOCK_MODE NOT IN ('MDL_BACKUP_DML', 'MDL_BACKUP_TRANS_DML', 'MDL_BACKUP_SYS_DML', 'MDL_BACKUP_DDL', 'MDL_BACKUP_ALTER_COPY', 'MDL_BACKUP_COMMIT')"
    };
    // Not there on every server: a backup is then found when the RENAME waits for it.
    let found: Vec<(String,)> = session.rows(backups, "looking for backups").await.unwrap_or_default();
    evidence.backups = found.into_iter().map(|(who,)| who).collect();
    Ok(())
}

/// The answer, or a note where the account may not ask.
async fn query_or_note<T: mysql_async::prelude::FromRow + Send + 'static>(
    session: &mut Session,
    query: &str,
    what: &str,
    evidence: &mut PreflightFacts,
) -> Result<Option<Vec<T>>, EngineError> {
    match session.rows(query, &format!("looking for {what}")).await {
        Ok(rows) => Ok(Some(rows)),
        Err(EngineError::PermissionDenied { why, .. }) => {
            evidence.notes.push(format!("nobody could look at {what}: {why}"));
            Ok(None)
        }
        Err(error @ EngineError::ConnectionLost { .. }) => Err(error),
        Err(error) => {
            evidence.notes.push(format!("nobody could look at {what}: {error}"));
            Ok(None)
        }
    }
}

/// Rights on patterns of names reach databases that nobody thought of.
async fn note_pattern_grants(
    session: &mut Session,
    new: &str,
    evidence: &mut PreflightFacts,
) -> Result<(), EngineError> {
    let query =
        format!("SELECT DISTINCT CONCAT(User, '@', Host) FROM mysql.db WHERE {} LIKE Db ORDER BY 1", literal(new));
    let found: Vec<(String,)> = session.rows(&query, "reading rights by patterns").await?;
    let others: Vec<String> = found.into_iter().map(|(who,)| who).filter(|who| *who != evidence.account).collect();
    if !others.is_empty() {
        evidence.notes.push(format!(
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

/// How long a schema's name is as a directory: other characters than these take five bytes.
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
