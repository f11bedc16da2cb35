//! Properties that belong to a database's OID and not to its name, so that a swap must copy them: grants, per-database and
//! per-role settings, comment, connection limit. Without them a restored database would be open to PUBLIC.

use super::connect::Session;
use super::error::EngineError;
use super::{ident, literal};
use std::collections::BTreeSet;

/// Who may connect to the database that receives the properties.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Nobody, while it waits for the swap. Comment and connection limit stay: they are Sennight's mark.
    Closed,
    /// Everyone who may connect to the source.
    Open,
}

/// One granted privilege on a database.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Grant {
    /// The role; `None` is PUBLIC.
    pub grantee: Option<String>,
    /// `CONNECT`, `CREATE` or `TEMPORARY`.
    pub privilege: String,
    /// With grant option.
    pub grantable: bool,
}

/// One `ALTER DATABASE … SET` or `ALTER ROLE … IN DATABASE … SET`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Setting {
    /// The role; `None` is for all.
    pub role: Option<String>,
    /// The parameter.
    pub name: String,
    /// Its value as the catalog keeps it.
    pub value: String,
}

/// All properties of one database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Properties {
    /// Name of the owner.
    pub owner: String,
    /// Grants in the catalog's order, the default ones included. The grantor is not read: the owner grants them anew.
    pub grants: Vec<Grant>,
    /// Settings; those of one role in the catalog's order.
    pub settings: Vec<Setting>,
    /// Comment of the database.
    pub comment: Option<String>,
    /// `CONNECTION LIMIT`; -1 is none.
    pub connection_limit: i32,
}

/// Parameters whose value is a list of quoted names. The catalogs do not say so; `pg_dump` has the same list.
const LISTS: [&str; 6] = [
    "local_preload_libraries",
    "search_path",
    "session_preload_libraries",
    "shared_preload_libraries",
    "temp_tablespaces",
    "unix_socket_directories",
];

/// Reads the properties of the database with this OID.
pub async fn read(admin: &Session, oid: u32) -> Result<Properties, EngineError> {
    let failed = |e| EngineError::query(format!("reading the properties of the database with OID {oid}"), e);
    let row = admin
        .query_one(
            "SELECT pg_catalog.pg_get_userbyid(datdba)::pg_catalog.text, datconnlimit,
                    pg_catalog.shobj_description(oid, 'pg_database')
               FROM pg_catalog.pg_database WHERE oid = $1",
            &[&oid],
        )
        .await
        .map_err(failed)?;
    let grants = admin
        .query(
            "SELECT CASE WHEN a.grantee <> 0 THEN pg_catalog.pg_get_userbyid(a.grantee)::pg_catalog.text END,
                    a.privilege_type, pg_catalog.bool_or(a.is_grantable)
               FROM pg_catalog.pg_database d,
                    pg_catalog.aclexplode(coalesce(d.datacl, pg_catalog.acldefault('d', d.datdba)))
                        WITH ORDINALITY a(grantor, grantee, privilege_type, is_grantable, n)
              WHERE d.oid = $1 GROUP BY 1, 2 ORDER BY min(a.n)",
            &[&oid],
        )
        .await
        .map_err(failed)?;
    let settings = admin
        .query(
            "SELECT CASE WHEN s.setrole <> 0 THEN pg_catalog.pg_get_userbyid(s.setrole)::pg_catalog.text END,
                    pg_catalog.split_part(c, '=', 1), pg_catalog.substr(c, pg_catalog.strpos(c, '=') + 1)
               FROM pg_catalog.pg_db_role_setting s, pg_catalog.unnest(s.setconfig) WITH ORDINALITY u(c, n)
              WHERE s.setdatabase = $1 ORDER BY 1 NULLS FIRST, n",
            &[&oid],
        )
        .await
        .map_err(failed)?;
    let read = || -> Result<Properties, tokio_postgres::Error> {
        Ok(Properties {
            owner: row.try_get(0)?,
            connection_limit: row.try_get(1)?,
            comment: row.try_get(2)?,
            grants: grants
                .iter()
                .map(|r| Ok(Grant { grantee: r.try_get(0)?, privilege: r.try_get(1)?, grantable: r.try_get(2)? }))
                .collect::<Result<_, tokio_postgres::Error>>()?,
            settings: settings
                .iter()
                .map(|r| Ok(Setting { role: r.try_get(0)?, name: r.try_get(1)?, value: r.try_get(2)? }))
                .collect::<Result<_, tokio_postgres::Error>>()?,
        })
    };
    read().map_err(failed)
}

impl Properties {
    /// The statements that give `target` these properties, in an order that works inside one transaction. `present` is
    /// what `target` has now; `superuser` says whether the session may set any role's settings without becoming it.
    pub fn statements_for(&self, target: &str, present: &Self, opening: Access, superuser: bool) -> Vec<String> {
        let mut statements = self.settings_onto(target, present, superuser);
        if opening == Access::Open && present.owner != self.owner {
            // It has belonged to the restore role. What that had granted is the owner's now.
            statements.push(format!("ALTER DATABASE {} OWNER TO {}", ident(target), ident(&self.owner)));
        }
        statements.extend(self.grants_onto(target, present, opening));
        if opening == Access::Open {
            statements.push(format!("ALTER DATABASE {} CONNECTION LIMIT {}", ident(target), self.connection_limit));
            statements.push(comment(target, self.comment.as_deref()));
        }
        statements
    }

    fn settings_onto(&self, target: &str, present: &Self, superuser: bool) -> Vec<String> {
        let database = ident(target);
        let mut statements = Vec::new();
        if present.settings.iter().any(|s| s.role.is_none()) {
            statements.push(format!("ALTER DATABASE {database} RESET ALL"));
        }
        for setting in self.settings.iter().filter(|s| s.role.is_none()) {
            statements.push(format!(
                "ALTER DATABASE {database} SET {} TO {}",
                parameter(&setting.name),
                value(&setting.name, &setting.value)
            ));
        }
        let both = self.settings.iter().chain(&present.settings);
        let roles: BTreeSet<&str> = both.filter_map(|s| s.role.as_deref()).collect();
        for role in roles {
            // Only a superuser may change another role's settings, but everybody may change their own.
            if !superuser {
                statements.push(format!("SET LOCAL ROLE {}", ident(role)));
            }
            let alter = format!("ALTER ROLE {} IN DATABASE {database}", ident(role));
            statements.push(format!("{alter} RESET ALL"));
            for setting in self.settings.iter().filter(|s| s.role.as_deref() == Some(role)) {
                statements.push(format!(
                    "{alter} SET {} TO {}",
                    parameter(&setting.name),
                    value(&setting.name, &setting.value)
                ));
            }
            if !superuser {
                statements.push("SET LOCAL ROLE NONE".to_owned());
            }
        }
        statements
    }

    fn grants_onto(&self, target: &str, present: &Self, opening: Access) -> Vec<String> {
        let database = ident(target);
        // The owner's too: granted anew, they all stand in the order that they had.
        let mut revoked = present.grantees();
        revoked.insert(ident(&self.owner));
        let mut statements =
            vec![format!("REVOKE ALL ON DATABASE {database} FROM {} CASCADE", Vec::from_iter(revoked).join(", "))];
        for grant in &self.grants {
            if opening == Access::Closed && grant.privilege == "CONNECT" {
                continue;
            }
            statements.push(format!(
                "GRANT {} ON DATABASE {database} TO {}{}",
                grant.privilege,
                grantee(grant.grantee.as_deref()),
                if grant.grantable { " WITH GRANT OPTION" } else { "" }
            ));
        }
        statements
    }

    /// The statements that revoke CONNECT on `target` from everyone and give it to the session's role, so that its owner can
    /// neither change nor drop it. `target` has these properties now.
    pub fn close_statements(&self, target: &str) -> Vec<String> {
        let others: Vec<String> = self
            .grants
            .iter()
            .filter(|g| g.privilege == "CONNECT" && g.grantee.as_deref() != Some(self.owner.as_str()))
            .map(|g| grantee(g.grantee.as_deref()))
            .collect();
        let mut statements = Vec::new();
        if !others.is_empty() {
            statements.push(format!("REVOKE CONNECT ON DATABASE {} FROM {} CASCADE", ident(target), others.join(", ")));
        }
        statements.push(format!("ALTER DATABASE {} OWNER TO CURRENT_USER", ident(target)));
        statements
    }

    /// Everyone named in the grants, always with PUBLIC and the owner.
    fn grantees(&self) -> BTreeSet<String> {
        let mut all: BTreeSet<String> = self.grants.iter().map(|g| grantee(g.grantee.as_deref())).collect();
        all.insert(grantee(None));
        all.insert(ident(&self.owner));
        all
    }
}

/// `COMMENT ON DATABASE`.
pub fn comment(database: &str, text: Option<&str>) -> String {
    format!("COMMENT ON DATABASE {} IS {}", ident(database), text.map_or_else(|| "NULL".to_owned(), literal))
}

fn grantee(role: Option<&str>) -> String {
    role.map_or_else(|| "PUBLIC".to_owned(), ident)
}

/// A parameter's name: `work_mem`, or `app.tenant` with each part quoted.
fn parameter(name: &str) -> String {
    name.split('.').map(ident).collect::<Vec<_>>().join(".")
}

/// A value as SET takes it. A list's elements are quoted one by one: as one string it would be a single name.
fn value(name: &str, value: &str) -> String {
    if !LISTS.contains(&name.to_ascii_lowercase().as_str()) {
        return literal(value);
    }
    let elements = elements(value);
    if elements.is_empty() {
        return "''".to_owned();
    }
    elements.iter().map(|e| literal(e)).collect::<Vec<_>>().join(", ")
}

/// Splits `"$user", public` as the server does: commas outside quotes part, a doubled quote is one.
fn elements(list: &str) -> Vec<String> {
    let (mut all, mut current, mut quoted, mut non_empty) = (Vec::new(), String::new(), false, false);
    let mut chars = list.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                current.push('"');
            }
            '"' => (quoted, non_empty) = (!quoted, true),
            ',' if !quoted => {
                all.push(std::mem::take(&mut current));
                non_empty = false;
            }
            c if c.is_ascii_whitespace() && !quoted => {}
            c => {
                current.push(c);
                non_empty = true;
            }
        }
    }
    if non_empty || !all.is_empty() {
        all.push(current);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(grantee: Option<&str>, privilege: &str, grantable: bool) -> Grant {
        Grant { grantee: grantee.map(str::to_owned), privilege: privilege.to_owned(), grantable }
    }

    fn setting(role: Option<&str>, name: &str, value: &str) -> Setting {
        Setting { role: role.map(str::to_owned), name: name.to_owned(), value: value.to_owned() }
    }

    fn live() -> Properties {
        Properties {
            owner: "acme".to_owned(),
            grants: vec![
                grant(Some("acme"), "CONNECT", false),
                grant(Some("app"), "CONNECT", true),
                grant(Some("app"), "TEMPORARY", false),
            ],
            settings: vec![
                setting(None, "search_path", "\"$user\", public, \"odd, \"\"name\""),
                setting(None, "app.tenant", "it's"),
                setting(Some("app"), "work_mem", "7MB"),
            ],
            comment: Some("it's acme".to_owned()),
            connection_limit: 33,
        }
    }

    fn fresh() -> Properties {
        Properties {
            grants: vec![grant(None, "CONNECT", false), grant(None, "TEMPORARY", false)],
            settings: Vec::new(),
            comment: None,
            connection_limit: -1,
            ..live()
        }
    }

    #[test]
    fn a_list_is_split_as_the_server_splits_it() {
        assert_eq!(elements("\"$user\", public, \"odd, \"\"name\""), ["$user", "public", "odd, \"name"]);
        assert_eq!(elements(""), Vec::<String>::new());
        assert_eq!(elements("\"\""), [""]);
        assert_eq!(value("search_path", ""), "''");
        assert_eq!(value("Search_Path", "a, b"), "'a', 'b'");
        assert_eq!(value("work_mem", "a, b"), "'a, b'");
    }

    #[test]
    fn a_closed_database_gets_settings_and_grants_but_nobody_new_may_connect() {
        assert_eq!(
            live().statements_for("x", &fresh(), Access::Closed, false),
            [
                "ALTER DATABASE \"x\" SET \"search_path\" TO '$user', 'public', 'odd, \"name'",
                "ALTER DATABASE \"x\" SET \"app\".\"tenant\" TO 'it''s'",
                "SET LOCAL ROLE \"app\"",
                "ALTER ROLE \"app\" IN DATABASE \"x\" RESET ALL",
                "ALTER ROLE \"app\" IN DATABASE \"x\" SET \"work_mem\" TO '7MB'",
                "SET LOCAL ROLE NONE",
                "REVOKE ALL ON DATABASE \"x\" FROM \"acme\", PUBLIC CASCADE",
                "GRANT TEMPORARY ON DATABASE \"x\" TO \"app\"",
            ]
        );
    }

    #[test]
    fn an_opened_database_gets_everything_and_loses_what_the_live_one_has_not() {
        let mut present = Properties { owner: "sr".to_owned(), ..fresh() };
        present.settings = vec![setting(None, "jit", "off"), setting(Some("gone"), "jit", "off")];
        let statements = live().statements_for("x", &present, Access::Open, true);
        for wanted in [
            "ALTER DATABASE \"x\" RESET ALL",
            "ALTER DATABASE \"x\" OWNER TO \"acme\"",
            "REVOKE ALL ON DATABASE \"x\" FROM \"acme\", \"sr\", PUBLIC CASCADE",
            "ALTER ROLE \"gone\" IN DATABASE \"x\" RESET ALL",
            "GRANT CONNECT ON DATABASE \"x\" TO \"app\" WITH GRANT OPTION",
            "ALTER DATABASE \"x\" CONNECTION LIMIT 33",
            "COMMENT ON DATABASE \"x\" IS 'it''s acme'",
        ] {
            assert!(statements.iter().any(|s| s == wanted), "{wanted} is not in {statements:#?}");
        }
        assert!(!statements.iter().any(|s| s.contains("ROLE NONE")), "a superuser need not become anybody");
    }

    #[test]
    fn a_closed_database_belongs_to_the_restore_role_and_lets_nobody_else_in() {
        let owner = "ALTER DATABASE \"k\" OWNER TO CURRENT_USER";
        assert_eq!(live().close_statements("k"), ["REVOKE CONNECT ON DATABASE \"k\" FROM \"app\" CASCADE", owner]);
        assert_eq!(fresh().close_statements("k"), ["REVOKE CONNECT ON DATABASE \"k\" FROM PUBLIC CASCADE", owner]);
    }
}
