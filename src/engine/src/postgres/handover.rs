//! Rights that a load needs for its time only: to create in schemas, which owners then have no longer. And at its end, what belongs
//! to the roles of the load goes to whom it belongs.

use super::connect::Session;
use super::error::EngineError;
use super::ident;
use super::loading_role::{LoadingRole, Owners};
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// Everybody who may come to own something: a role can be given only what lies in a schema in which it may create.
fn creators(role: &LoadingRole, owners: &Owners) -> String {
    let all: Vec<String> = role.all().chain(owners.members.iter().map(String::as_str)).map(ident).collect();
    all.join(", ")
}

/// Whether the session's role may grant on the schema `public`: it owns it, or is a superuser. Before 15 only a superuser may, and
/// everybody may create there.
async fn may_grant_on_public(restore_role: &Session) -> Result<bool, EngineError> {
    const ASK: &str = "
SELECT pg_catalog.pg_has_role(n.nspowner, 'USAGE') FROM pg_catalog.pg_namespace n WHERE n.nspname = 'public'";
    let failed = |e| EngineError::query("looking at the schema public", e);
    let row = restore_role.query_opt(ASK, &[]).await.map_err(failed)?;
    row.map_or(Ok(false), |row| row.try_get(0)).map_err(failed)
}

async fn on_public(restore_role: &Session, statement: String) -> Result<(), EngineError> {
    if !may_grant_on_public(restore_role).await? {
        return Ok(());
    }
    let done = restore_role.batch_execute(&statement).await;
    done.map_err(|e| EngineError::query("opening and closing the schema public", e))
}

/// Lets the roles of the load, and all owners, create in `public`. Nothing of the tenant's is there yet.
pub async fn open_public(restore_role: &Session, role: &LoadingRole, owners: &Owners) -> Result<(), EngineError> {
    on_public(restore_role, format!("GRANT CREATE ON SCHEMA public TO {}", creators(role, owners))).await
}

/// Takes that back from the owners, before the backup's own grants on it come: afterwards it would take those.
pub async fn owners_leave_public(restore_role: &Session, owners: &Owners) -> Result<(), EngineError> {
    if owners.members.is_empty() {
        return Ok(());
    }
    let members: Vec<String> = owners.members.iter().map(|owner| ident(owner)).collect();
    on_public(restore_role, format!("REVOKE CREATE ON SCHEMA public FROM {}", members.join(", "))).await
}

/// Takes it back from the roles of the load, which needed it for every index there.
pub async fn close_public(restore_role: &Session, role: &LoadingRole) -> Result<(), EngineError> {
    let roles: Vec<String> = role.all().map(ident).collect();
    on_public(restore_role, format!("REVOKE ALL ON SCHEMA public FROM {}", roles.join(", "))).await
}

/// Schemas of the backup, with their owners. Those of extensions are not the loading role's to open.
const SCHEMAS: &str = "
SELECT n.nspname::pg_catalog.text, pg_catalog.pg_get_userbyid(n.nspowner)::pg_catalog.text FROM pg_catalog.pg_namespace n
 WHERE n.oid >= 16384 AND n.nspname <> 'public' AND pg_catalog.pg_has_role(n.nspowner, 'USAGE')
   AND NOT pg_catalog.starts_with(n.nspname::pg_catalog.text, 'pg_')
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_namespace'::pg_catalog.regclass
                      AND d.objid = n.oid AND d.deptype = 'e')
 ORDER BY 1";

async fn on_schemas(session: &Session, role: &LoadingRole, owners: &Owners, open: bool) -> Result<(), EngineError> {
    let failed = |e| EngineError::query("opening and closing the schemas", e);
    let schemas = session.query(SCHEMAS, &[]).await.map_err(failed)?;
    let mut text = String::new();
    for row in &schemas {
        let (schema, owner): (String, String) = (row.try_get(0).map_err(failed)?, row.try_get(1).map_err(failed)?);
        let others: Vec<String> = role
            .stand_ins
            .values()
            .chain(&owners.members)
            .filter(|other| **other != owner)
            .map(|other| ident(other))
            .collect();
        if !others.is_empty() {
            let (grant, to) = if open { ("GRANT", "TO") } else { ("REVOKE", "FROM") };
            let _ = write!(text, "{grant} ALL ON SCHEMA {} {to} {};", ident(&schema), others.join(", "));
        }
    }
    session.batch_execute(&text).await.map_err(failed)
}

/// Lets every owner create in every schema.
pub async fn open_schemas(session: &Session, role: &LoadingRole, owners: &Owners) -> Result<(), EngineError> {
    on_schemas(session, role, owners, true).await
}

/// Takes that back, before the backup's own grants come.
pub async fn close_schemas(session: &Session, role: &LoadingRole, owners: &Owners) -> Result<(), EngineError> {
    on_schemas(session, role, owners, false).await
}

async fn on_wrappers(
    restore_role: &Session,
    role: &LoadingRole,
    owners: &Owners,
    open: bool,
) -> Result<(), EngineError> {
    const WRAPPERS: &str = "
SELECT fdwname::pg_catalog.text FROM pg_catalog.pg_foreign_data_wrapper WHERE pg_catalog.pg_has_role(fdwowner, 'USAGE') ORDER BY 1";
    let failed = |e| EngineError::query("opening and closing the foreign data wrappers", e);
    let (grant, to) = if open { ("GRANT", "TO") } else { ("REVOKE", "FROM") };
    let mut text = String::new();
    for row in &restore_role.query(WRAPPERS, &[]).await.map_err(failed)? {
        let wrapper: String = row.try_get(0).map_err(failed)?;
        let creators = creators(role, owners);
        let _ = write!(text, "{grant} USAGE ON FOREIGN DATA WRAPPER {} {to} {creators};", ident(&wrapper));
    }
    restore_role.batch_execute(&text).await.map_err(failed)
}

/// Lets every owner make servers of the wrappers that are there: the grant by which it may is loaded later, and an owner whom a
/// superuser gave a server need not have one.
pub async fn open_wrappers(restore_role: &Session, role: &LoadingRole, owners: &Owners) -> Result<(), EngineError> {
    on_wrappers(restore_role, role, owners, true).await
}

/// Takes that back, before the backup's own grants come.
pub async fn close_wrappers(restore_role: &Session, role: &LoadingRole, owners: &Owners) -> Result<(), EngineError> {
    on_wrappers(restore_role, role, owners, false).await
}

/// Tables and sequences that extensions made, as `schema name`.
pub async fn tables_of_extensions(session: &Session) -> Result<BTreeSet<String>, EngineError> {
    const TABLES: &str = "
SELECT n.nspname::pg_catalog.text || ' ' || c.relname::pg_catalog.text
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid
 WHERE d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND d.deptype = 'e' AND c.relkind IN ('r', 'p', 'S')";
    let failed = |e| EngineError::query("looking at the extensions' tables", e);
    let rows = session.query(TABLES, &[]).await.map_err(failed)?;
    rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>().map_err(failed)
}

/// What the loading role itself owns goes to the database's owner, by its own hand: an honest backup has nothing of the kind, but
/// what a tenant wrote may have made some.
pub async fn of_the_loader(session: &Session, role: &LoadingRole, live_owner: &str) -> Result<(), EngineError> {
    let loader = ident(&role.credentials.username);
    let owner = role.stand_ins.get(live_owner).map_or(live_owner, String::as_str);
    let failed = |e| EngineError::query("handing over what the loading role owns", e);
    // What the tenant wrote may have changed the session: it begins as it was. Not in one message, which would be a transaction.
    session.batch_execute("DISCARD ALL").await.map_err(failed)?;
    let text = format!("REASSIGN OWNED BY {loader} TO {}; DROP OWNED BY {loader}", ident(owner));
    session.batch_execute(&text).await.map_err(failed)
}

/// What a role owns in somebody's place goes to them. No trigger on DDL exists yet.
pub async fn of_stand_ins(restore_role: &Session, role: &LoadingRole) -> Result<(), EngineError> {
    for (owner, stand_in) in &role.stand_ins {
        let (owner, stand_in) = (ident(owner), ident(stand_in));
        let text = format!("REASSIGN OWNED BY {stand_in} TO {owner}; DROP OWNED BY {stand_in}");
        let handed = restore_role.batch_execute(&text).await;
        handed.map_err(|e| EngineError::query(format!("handing over what belongs to {owner}"), e))?;
    }
    Ok(())
}
