//! Creates the new database beside the live one, and the marks by which databases are recognised. After a crash between any
//! two statements the next attempt recognises the database as its own, and nobody else can connect to it.

use super::catalog::{self, Database};
use super::connect::Session;
use super::error::EngineError;
use super::failure::RestoreError;
use super::loading_role::{LoadingRole, Owners};
use super::{ident, literal};
use sennight_core::manifest::ServerFacts;
use sennight_core::names::{GROUP, stable_hash};
use std::time::Duration;
use tokio_postgres::error::SqlState;

/// How long the server may take to notice that an earlier attempt's session is gone.
const LOCK_PATIENCE: Duration = Duration::from_mins(1);

/// The comment on a database that is loaded for a RestoreRequest.
pub fn restore_marker(request_uid: &str) -> String {
    format!("{GROUP}/restore={request_uid}")
}

/// The comment on a database that a RestoreRequest's swap replaced: the server's own proof that it took effect.
pub fn previous_marker(request_uid: &str) -> String {
    format!("{GROUP}/kept={request_uid}")
}

/// Follows a previous database's mark, once for each Undo that `recover-cutover` has ended before it swapped.
const BARRED: &str = " not-by=";

/// Whether this is the previous database of the request: the one that its swap replaced.
pub fn is_previous(database: &Database, request_uid: &str) -> bool {
    let marker = previous_marker(request_uid);
    let rest = database.comment.as_deref().and_then(|comment| comment.strip_prefix(&marker));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(BARRED))
}

/// The comment of a previous database with one more Undo that may never swap it in. Other Undos still may.
pub fn barred_comment(comment: &str, undo_uid: &str) -> String {
    format!("{comment}{BARRED}{undo_uid}")
}

/// Whether this Undo may never swap the database in, because `recover-cutover` has ended it.
pub fn undo_is_barred(database: &Database, undo_uid: &str) -> bool {
    let comment = database.comment.as_deref().unwrap_or_default();
    comment.split(BARRED).skip(1).any(|uid| uid == undo_uid)
}

/// A connection limit so high that it never limits, and that nobody else would choose. `CREATE DATABASE` cannot set a comment
/// in the same statement: this number marks the database until the comment is there.
pub fn marker_limit(request_uid: &str) -> i32 {
    let hash = stable_hash(&["birthmark", request_uid], 7);
    1_000_000_000 + i32::from_str_radix(&hash, 16).unwrap_or_default()
}

/// Whether `prepare` made this database for this request.
pub fn is_ours(database: &Database, request_uid: &str) -> bool {
    match &database.comment {
        Some(comment) => *comment == restore_marker(request_uid),
        None => database.connection_limit == marker_limit(request_uid) && !database.allows_connections,
    }
}

/// Properties of the new database.
#[derive(Debug, Clone, Copy)]
pub struct Creation<'a> {
    /// Name of the new database.
    pub name: &'a str,
    /// The live database's tablespace.
    pub tablespace: &'a str,
    /// Encoding and locale, from the backup.
    pub facts: &'a ServerFacts,
    /// UID of the request that it is made for.
    pub request_uid: &'a str,
}

impl Creation<'_> {
    /// `CREATE DATABASE` for a server of this major.
    fn statement(&self, server_major: i32) -> String {
        let facts = self.facts;
        let mut clauses = vec![format!(
            "CREATE DATABASE {} TEMPLATE template0 ENCODING {} LC_COLLATE {} LC_CTYPE {}",
            ident(self.name),
            literal(&facts.encoding),
            literal(&facts.collate),
            literal(&facts.ctype)
        )];
        if server_major >= 15 {
            let locale = facts.locale.as_deref().map(literal);
            clauses.push(match (facts.locale_provider.as_str(), locale) {
                ("icu", Some(locale)) => format!("LOCALE_PROVIDER icu ICU_LOCALE {locale}"),
                ("builtin", Some(locale)) => format!("LOCALE_PROVIDER builtin BUILTIN_LOCALE {locale}"),
                _ => "LOCALE_PROVIDER libc".to_owned(),
            });
        }
        if let (16.., Some(rules)) = (server_major, facts.icu_rules.as_deref()) {
            clauses.push(format!("ICU_RULES {}", literal(rules)));
        }
        // Naming `pg_default` would need a right that leaving the clause out does not.
        if self.tablespace != "pg_default" {
            clauses.push(format!("TABLESPACE {}", ident(self.tablespace)));
        }
        clauses.push(format!("ALLOW_CONNECTIONS false CONNECTION LIMIT {}", marker_limit(self.request_uid)));
        clauses.join(" ")
    }
}

/// Takes the server-wide lock of this request; it ends with the session. An earlier attempt on a dead node holds it until the
/// server notices.
pub async fn lock(admin: &Session, request_uid: &str) -> Result<(), RestoreError> {
    let deadline = tokio::time::Instant::now() + LOCK_PATIENCE;
    loop {
        if try_lock(admin, request_uid).await? {
            return Ok(());
        }
        if tokio::time::Instant::now() >= deadline {
            return Err(RestoreError::AnotherAttempt);
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

fn lock_key(request_uid: &str) -> i64 {
    i64::from_str_radix(&stable_hash(&["prepare", request_uid], 15), 16).unwrap_or_default()
}

/// Takes the lock if nobody has it; `false` otherwise.
pub(super) async fn try_lock(admin: &Session, request_uid: &str) -> Result<bool, EngineError> {
    let row = admin
        .query_one("SELECT pg_catalog.pg_try_advisory_lock($1)", &[&lock_key(request_uid)])
        .await
        .map_err(|e| EngineError::query("locking the request", e))?;
    Ok(row.get(0))
}

/// Releases the lock before the session ends.
pub(super) async fn unlock(admin: &Session, request_uid: &str) -> Result<(), EngineError> {
    admin
        .query_one("SELECT pg_catalog.pg_advisory_unlock($1)", &[&lock_key(request_uid)])
        .await
        .map_err(|e| EngineError::query("unlocking the request", e))?;
    Ok(())
}

/// Drops what an earlier attempt of this request left; `false` if there is none. A database without its mark is an error.
pub async fn drop_own(admin: &Session, name: &str, request_uid: &str) -> Result<bool, RestoreError> {
    let Some(found) = catalog::by_name(admin, name).await? else {
        return Ok(false);
    };
    if !is_ours(&found, request_uid) {
        return Err(RestoreError::NameTaken { name: name.to_owned(), marker: restore_marker(request_uid) });
    }
    admin
        .batch_execute(&format!("DROP DATABASE {} WITH (FORCE)", ident(name)))
        .await
        .map_err(|e| EngineError::query(format!("dropping the earlier attempt {name:?}"), e))?;
    Ok(true)
}

/// Creates it, marked, and returns its OID. It belongs to the restore role, and only the loading role may connect: the owners of
/// what will be in it may not.
pub async fn create(
    admin: &Session,
    creation: &Creation<'_>,
    role: &LoadingRole,
    owners: &Owners,
) -> Result<u32, RestoreError> {
    let Creation { name, request_uid, .. } = *creation;
    let marker = restore_marker(request_uid);
    admin.batch_execute(&creation.statement(admin.server_major())).await.map_err(|e| match e.code() {
        Some(code) if *code == SqlState::DUPLICATE_DATABASE => {
            RestoreError::NameTaken { name: name.to_owned(), marker: marker.clone() }
        }
        _ => EngineError::query(format!("creating the database {name:?}"), e).into(),
    })?;
    // Who owns a schema or a publication must be allowed to make one. Nobody can grant to `pg_database_owner`, nor need they.
    let owners = owners.members.iter().chain(owners.stood_in_for.iter().filter(|owner| !owner.starts_with("pg_")));
    let creators: Vec<String> = role.all().chain(owners.map(String::as_str)).map(ident).collect();
    // One transaction: as soon as connections are allowed, the mark is there and PUBLIC is revoked.
    admin
        .batch_execute(&format!(
            "BEGIN; {}; REVOKE ALL ON DATABASE {id} FROM PUBLIC; GRANT CREATE ON DATABASE {id} TO {}; GRANT CONNECT, TEMPORARY ON DATABASE {id} TO {}; ALTER DATABASE {id} ALLOW_CONNECTIONS true; COMMIT",
            super::database_properties::comment(name, Some(&marker)),
            creators.join(", "),
            ident(&role.credentials.username),
            id = ident(name)
        ))
        .await
        .map_err(|e| EngineError::query(format!("marking the database {name:?}"), e))?;
    let made = catalog::by_name(admin, name).await?;
    made.map(|database| database.oid).ok_or_else(|| RestoreError::DatabasesChanged {
        found: format!("{name:?} vanished right after it was created"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const UID: &str = "0f3b2c1d-aaaa-4bbb-8ccc-1234567890ab";

    fn database(comment: Option<&str>, connection_limit: i32, allows_connections: bool) -> Database {
        Database {
            oid: 1,
            name: "x".to_owned(),
            owner: "o".to_owned(),
            tablespace: "pg_default".to_owned(),
            allows_connections,
            is_template: false,
            connection_limit,
            comment: comment.map(str::to_owned),
        }
    }

    #[test]
    fn only_a_marked_database_is_ours() {
        assert!(is_ours(&database(Some(&restore_marker(UID)), -1, true), UID));
        assert!(is_ours(&database(None, marker_limit(UID), false), UID), "crashed before the comment");
        assert!(!is_ours(&database(None, marker_limit(UID), true), UID));
        assert!(!is_ours(&database(None, -1, false), UID));
        assert!(!is_ours(&database(Some("a tenant's own words"), marker_limit(UID), false), UID));
        assert!(!is_ours(&database(Some(&restore_marker("another")), marker_limit("another"), false), UID));
        assert!(
            !is_ours(&database(Some(&previous_marker(UID)), -1, true), UID),
            "a previous database is never dropped here"
        );
    }

    #[test]
    fn i2_an_undo_that_was_ended_is_refused_and_the_way_back_stays_open_to_others() {
        let kept = database(Some(&previous_marker(UID)), -1, true);
        assert!(is_previous(&kept, UID) && !undo_is_barred(&kept, "u1"));
        let once = database(Some(&barred_comment(&previous_marker(UID), "u1")), -1, true);
        assert!(is_previous(&once, UID) && undo_is_barred(&once, "u1") && !undo_is_barred(&once, "u2"), "{once:?}");
        let twice = database(Some(&barred_comment(once.comment.as_deref().unwrap(), "u2")), -1, true);
        assert!(is_previous(&twice, UID) && undo_is_barred(&twice, "u1") && undo_is_barred(&twice, "u2"), "{twice:?}");
        let longer = format!("{UID}0");
        for other in
            [None, Some("a tenant's own words not-by=u1"), Some(&restore_marker(UID)), Some(&previous_marker(&longer))]
        {
            assert!(!is_previous(&database(other, -1, true), UID), "{other:?}");
        }
    }

    #[test]
    fn the_statement_says_only_what_the_server_knows() {
        let facts = ServerFacts {
            version: String::new(),
            major: 17,
            encoding: "UTF8".to_owned(),
            collate: "C".to_owned(),
            ctype: "C.UTF-8".to_owned(),
            locale_provider: "icu".to_owned(),
            locale: Some("de-DE".to_owned()),
            icu_rules: None,
            extensions: Vec::new(),
            database_bytes: None,
        };
        let creation = Creation { name: "a\"b", tablespace: "pg_default", facts: &facts, request_uid: UID };
        let common = "CREATE DATABASE \"a\"\"b\" TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C.UTF-8'";
        let end = format!(" ALLOW_CONNECTIONS false CONNECTION LIMIT {}", marker_limit(UID));
        assert_eq!(creation.statement(14), format!("{common}{end}"));
        assert_eq!(creation.statement(15), format!("{common} LOCALE_PROVIDER icu ICU_LOCALE 'de-DE'{end}"));
        let ruled = ServerFacts { icu_rules: Some("&V << w".to_owned()), ..facts.clone() };
        let creation = Creation { facts: &ruled, ..creation };
        let expected = format!("{common} LOCALE_PROVIDER icu ICU_LOCALE 'de-DE' ICU_RULES '&V << w'{end}");
        assert_eq!(creation.statement(16), expected);
        let libc = ServerFacts { locale_provider: "libc".to_owned(), locale: None, ..facts.clone() };
        let creation = Creation { facts: &libc, tablespace: "fast", ..creation };
        assert_eq!(creation.statement(18), format!("{common} LOCALE_PROVIDER libc TABLESPACE \"fast\"{end}"));
    }
}
