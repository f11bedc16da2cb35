//! Whose roles the owners in a backup are. A role that is the tenant's alone may run what the tenant wrote. One that owns other
//! databases, or may do more than a tenant, may not.

use super::connect::Session;
use super::error::EngineError;
use super::loading_role::Owners;

/// What is known of one owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnerState {
    /// Name by which statements refer to it.
    pub name: String,
    /// It is a superuser, or may become one: before 16 by CREATEROLE.
    pub powerful: bool,
    /// It owns another database, or objects in one.
    pub owns_elsewhere: bool,
    /// Somebody has granted it something in another database.
    pub granted_elsewhere: bool,
}

impl OwnerState {
    /// Other tenants have the same owner, so that no restore can keep them apart.
    pub fn is_shared(&self) -> bool {
        self.powerful || self.owns_elsewhere
    }

    // guard(only_an_owner_that_is_the_tenants_alone_runs_what_the_tenant_wrote, = false): a role that others use runs nothing of a tenant's
    /// Another role stands in for it: what the tenant wrote would otherwise have rights that are not the tenant's alone. Nobody can
    /// be a member of `pg_database_owner`.
    pub fn stands_apart(&self) -> bool {
        self.is_shared() || self.granted_elsewhere || self.name.starts_with("pg_")
    }
}

/// The database's own OIDs are left out of "another database": the live one, and previous ones of earlier restores.
const OWNERS: &str = "
WITH RECURSIVE named AS (
       SELECT r.oid, r.rolname::pg_catalog.text AS name FROM pg_catalog.pg_roles r WHERE r.rolname::pg_catalog.text = ANY($1)),
     reach AS (
       SELECT n.oid AS named, n.oid AS role FROM named n
        UNION SELECT x.named, m.roleid FROM reach x JOIN pg_catalog.pg_auth_members m ON m.member = x.role),
     own AS (
       SELECT d.oid FROM pg_catalog.pg_database d
        WHERE d.datname::pg_catalog.text = ANY($2)
           OR pg_catalog.starts_with(d.datname::pg_catalog.text, $3)
              AND pg_catalog.starts_with(pg_catalog.shobj_description(d.oid, 'pg_database'), 'sennight.dev/')),
     elsewhere AS (
       SELECT x.named, s.deptype FROM reach x
         JOIN pg_catalog.pg_shdepend s ON s.refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass AND s.refobjid = x.role
        WHERE s.dbid <> 0 AND s.dbid NOT IN (SELECT oid FROM own)
           OR s.classid = 'pg_catalog.pg_database'::pg_catalog.regclass AND s.objid NOT IN (SELECT oid FROM own))
SELECT n.name,
       EXISTS (SELECT FROM reach x JOIN pg_catalog.pg_roles r ON r.oid = x.role
                WHERE x.named = n.oid AND (r.rolsuper OR r.rolreplication
                   OR r.rolcreaterole AND pg_catalog.current_setting('server_version_num')::pg_catalog.int4 < 160000
                   OR r.rolname::pg_catalog.text IN ('pg_execute_server_program', 'pg_read_server_files', 'pg_write_server_files',
                         'pg_read_all_data', 'pg_write_all_data', 'pg_signal_backend', 'pg_maintain', 'pg_checkpoint'))),
       EXISTS (SELECT FROM elsewhere e WHERE e.named = n.oid AND e.deptype = 'o'),
       EXISTS (SELECT FROM elsewhere e WHERE e.named = n.oid AND e.deptype = 'a')
  FROM named n ORDER BY 1";

/// Looks at the roles that own something in the backup. What a tenant has in the maintenance database counts for nothing.
pub async fn look(
    admin: &Session,
    owners: &[String],
    live: &str,
    maintenance: &str,
) -> Result<Vec<OwnerState>, EngineError> {
    let failed = |e| EngineError::query("looking at the backup's owners", e);
    let rows = admin.query(OWNERS, &[&owners, &vec![live, maintenance], &format!("{live}__")]).await.map_err(failed)?;
    rows.iter()
        .map(|row| {
            Ok(OwnerState {
                name: row.try_get(0)?,
                powerful: row.try_get(1)?,
                owns_elsewhere: row.try_get(2)?,
                granted_elsewhere: row.try_get(3)?,
            })
        })
        .collect::<Result<_, _>>()
        .map_err(failed)
}

/// Whom the loading role becomes a member of, and whom another role stands in for.
pub fn divide(states: &[OwnerState]) -> Owners {
    let names = |some: Vec<&OwnerState>| some.into_iter().map(|state| state.name.clone()).collect();
    let powerful = names(states.iter().filter(|state| state.powerful).collect());
    let (stood_in_for, members) = states.iter().partition(|state| state.stands_apart());
    Owners { members: names(members), stood_in_for: names(stood_in_for), powerful }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_owner_that_is_the_tenants_alone_runs_what_the_tenant_wrote() {
        let state = |name: &str, powerful, owns_elsewhere, granted_elsewhere| OwnerState {
            name: name.to_owned(),
            powerful,
            owns_elsewhere,
            granted_elsewhere,
        };
        let states = [
            state("acme", false, false, false),
            state("postgres", true, false, false),
            state("all", false, true, false),
            state("support", false, false, true),
            state("pg_database_owner", false, false, false),
        ];
        let divided = divide(&states);
        assert_eq!(divided.members, ["acme"]);
        assert_eq!(divided.stood_in_for, ["postgres", "all", "support", "pg_database_owner"]);
        let shared: Vec<bool> = states.iter().map(OwnerState::is_shared).collect();
        assert_eq!(shared, [false, true, true, false, false]);
    }
}
