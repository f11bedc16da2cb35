//! Reads accounts, roles and rights on a schema from the server's own tables.

use super::account_access::SchemaAccess;
pub use super::account_access::{Account, AffectedAccounts};
use crate::mysql::{EngineError, Flavour, Session, literal};
use std::collections::BTreeSet;

const DOING: &str = "reading who has rights on the database";

/// Accounts with a global right that also applies to the schema.
const GLOBAL: &str = "SELECT User, Host FROM mysql.user WHERE 'Y' IN (Select_priv, Insert_priv, Update_priv, Delete_priv,
   Create_priv, Drop_priv, References_priv, Index_priv, Alter_priv, Lock_tables_priv, Execute_priv, Create_view_priv, Show_view_priv,
   Create_routine_priv, Alter_routine_priv, Event_priv, Trigger_priv)";
const ADMINISTRATORS: &str = "SELECT User, Host FROM mysql.user WHERE 'Y' IN (Super_priv, Create_user_priv)";
const MYSQL_ADMINISTRATORS: &str =
    "SELECT USER, HOST FROM mysql.global_grants WHERE PRIV IN ('CONNECTION_ADMIN', 'SYSTEM_USER')";
const MYSQL_ACCOUNTS: &str = "SELECT User, Host, account_locked = 'Y' FROM mysql.user";
const MARIADB_ACCOUNTS: &str = "SELECT User, Host, COALESCE(JSON_VALUE(Priv, '$.account_locked'), '0') IN ('1', 'true')
   FROM mysql.global_priv WHERE COALESCE(JSON_VALUE(Priv, '$.is_role'), '0') NOT IN ('1', 'true')";
const MYSQL_ROLES: &str = "SELECT FROM_USER, FROM_HOST, TO_USER, TO_HOST FROM mysql.role_edges";
const MARIADB_ROLES: &str = "SELECT Role, '', User, Host FROM mysql.roles_mapping";
const PROXIES: &str = "SELECT Proxied_user, Proxied_host, User, Host FROM mysql.proxies_priv WHERE Proxied_user <> ''";

fn account((user, host): (String, String)) -> Account {
    Account { user, host }
}

/// Reads the accounts, and their rights on `schema`.
pub async fn schema_access(session: &mut Session, schema: &str) -> Result<SchemaAccess, EngineError> {
    let mysql = session.version().flavour == Flavour::MySQL;
    let of = literal(schema);
    let named = format!(
        "SELECT User, Host FROM mysql.db WHERE {of} LIKE Db UNION SELECT User, Host FROM mysql.tables_priv WHERE Db = {of}
          UNION SELECT User, Host FROM mysql.columns_priv WHERE Db = {of} UNION SELECT User, Host FROM mysql.procs_priv WHERE Db = {of}"
    );
    let mut known = SchemaAccess { own: own(session).await?, ..SchemaAccess::default() };
    let accounts: Vec<(String, String, i64)> =
        session.rows(if mysql { MYSQL_ACCOUNTS } else { MARIADB_ACCOUNTS }, DOING).await?;
    known.accounts = accounts.into_iter().map(|(user, host, locked)| (account((user, host)), locked != 0)).collect();
    for query in [GLOBAL, named.as_str()] {
        let found: Vec<(String, String)> = session.rows(query, DOING).await?;
        known.with_rights.extend(found.into_iter().map(account));
    }
    let mut administrators: Vec<(String, String)> = session.rows(ADMINISTRATORS, DOING).await?;
    if mysql {
        administrators.extend(session.rows::<(String, String)>(MYSQL_ADMINISTRATORS, DOING).await?);
    }
    known.administrators = administrators.into_iter().map(account).collect();
    for query in [if mysql { MYSQL_ROLES } else { MARIADB_ROLES }, PROXIES] {
        let found: Vec<(String, String, String, String)> = session.rows(query, DOING).await?;
        known.inherits.extend(found.into_iter().map(|(a, b, c, d)| (account((a, b)), account((c, d)))));
    }
    if mysql {
        // Every account has the mandatory roles, although `role_edges` does not list them.
        let mandatory = mandatory_roles(session).await?;
        let everybody = Account { user: "PUBLIC".to_owned(), host: String::new() };
        known.inherits.extend(mandatory.into_iter().map(|role| (role, everybody.clone())));
    }
    Ok(known)
}

async fn mandatory_roles(session: &mut Session) -> Result<Vec<Account>, EngineError> {
    let (text,): (Option<String>,) = session.row("SELECT @@global.mandatory_roles", DOING).await?;
    let plain = text.unwrap_or_default().replace(['`', '\'', '"'], "");
    let role = |name: &str| {
        let found = Account::parse(name.trim());
        if found.host.is_empty() { Account { host: "%".to_owned(), ..found } } else { found }
    };
    Ok(plain.split(',').filter(|name| !name.trim().is_empty()).map(role).collect())
}

/// The session's account.
pub async fn own(session: &mut Session) -> Result<Account, EngineError> {
    let (text,): (String,) = session.row("SELECT CURRENT_USER()", DOING).await?;
    Ok(Account::parse(&text))
}

/// Of `wanted` those that the server does not have; roles count as accounts.
pub async fn missing(session: &mut Session, wanted: &BTreeSet<Account>) -> Result<Vec<Account>, EngineError> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let found: Vec<(String, String)> = session.rows("SELECT User, Host FROM mysql.user", DOING).await?;
    let existing: BTreeSet<Account> = found.into_iter().map(account).collect();
    Ok(wanted.difference(&existing).cloned().collect())
}

/// Accounts with SYSTEM_USER (MySQL): only another such account may create objects that run as one.
pub async fn protected(session: &mut Session) -> Result<Vec<Account>, EngineError> {
    if session.version().flavour != Flavour::MySQL {
        return Ok(Vec::new());
    }
    let query = "SELECT USER, HOST FROM mysql.global_grants WHERE PRIV = 'SYSTEM_USER'";
    Ok(session.rows::<(String, String)>(query, DOING).await?.into_iter().map(account).collect())
}

/// GRANT statements for the rights on single routines, which are lost when a routine is dropped.
pub async fn routine_grants(session: &mut Session, schema: &str) -> Result<Vec<String>, EngineError> {
    let query = format!(
        "SELECT User, Host, Routine_name, CAST(Routine_type AS CHAR), CAST(Proc_priv AS CHAR) FROM mysql.procs_priv
          WHERE Db = {} ORDER BY 3, 1, 2",
        literal(schema)
    );
    let found: Vec<(String, String, String, String, String)> = session.rows(&query, DOING).await?;
    let me = own(session).await?;
    let words = |(user, host, name, kind, rights): (String, String, String, String, String)| {
        let to = Account { user, host };
        if to == me {
            return None;
        }
        let grant = rights.split(',').any(|right| right == "Grant");
        let rights: Vec<&str> = rights.split(',').filter(|right| *right != "Grant").collect();
        let rights = if rights.is_empty() { "USAGE".to_owned() } else { rights.join(", ") };
        let option = if grant { " WITH GRANT OPTION" } else { "" };
        let on = format!("{}.{}", crate::mysql::ident(schema), crate::mysql::ident(&name));
        Some(format!("GRANT {rights} ON {kind} {on} TO {}{option}", to.sql()))
    };
    Ok(found.into_iter().filter_map(words).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_read_as_the_server_writes_them() {
        for (text, user, host) in [("a@b@10.%", "a@b", "10.%"), ("r", "r", ""), ("@localhost", "", "localhost")] {
            let account = Account::parse(text);
            assert_eq!((account.user.as_str(), account.host.as_str()), (user, host));
            assert_eq!(account.to_string(), text);
        }
        assert_eq!(Account::parse("o'b@%").sql(), "'o''b'@'%'");
    }
}
