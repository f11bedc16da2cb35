//! The loading role: made for one restore, it fills the new database and runs what the tenant wrote there. It is a member of the
//! tenant's own owners and of nothing else. It has no way in but the sessions that the worker opened before the first object of the
//! tenant existed. It is found again by its comment, which no tenant can write.

use super::connect::Session;
use super::error::{EngineError, words};
use super::failure::RestoreError;
use super::{ident, literal};
use crate::credentials::Credentials;
use sennight_core::names::{GROUP, stable_hash};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

/// Name of the schema with the three functions, in the maintenance database.
const FUNCTIONS: &str = "sennight";
/// How long ended sessions may take to go.
const PATIENCE: Duration = Duration::from_secs(30);

/// How the restore role comes to a loading role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Means {
    /// By CREATE ROLE: a superuser, or from 16 on CREATEROLE, which there is no more than it says.
    Statements,
    /// By the functions of `config/postgresql/loading-role.sql`, which an administrator has installed.
    Functions,
}

/// The means that the session's role has; `None` if it cannot make a role.
pub async fn means(admin: &Session) -> Result<Option<Means>, EngineError> {
    const ASK: &str = "
SELECT r.rolsuper, r.rolcreaterole,
       coalesce((SELECT pg_catalog.has_function_privilege(p.oid, 'EXECUTE') AND pg_catalog.has_schema_privilege(n.oid, 'USAGE')
          FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
         WHERE n.nspname = 'sennight' AND p.proname = 'make_role'), false)
  FROM pg_catalog.pg_roles r WHERE r.rolname = current_user";
    let failed = |e| EngineError::query("asking how a loading role can be made", e);
    let row = admin.query_one(ASK, &[]).await.map_err(failed)?;
    let (superuser, create_role, functions): (bool, bool, bool) =
        (row.try_get(0).map_err(failed)?, row.try_get(1).map_err(failed)?, row.try_get(2).map_err(failed)?);
    Ok(if superuser || (create_role && admin.server_major() >= 16) {
        Some(Means::Statements)
    } else if functions {
        Some(Means::Functions)
    } else {
        None
    })
}

/// The comment on the roles of a request.
pub fn marker(request_uid: &str) -> String {
    format!("{GROUP}/load={request_uid}")
}

/// Name of a request's loading role.
pub fn name(request_uid: &str) -> String {
    format!("sennight_load_{}", stable_hash(&["load", request_uid], 12))
}

/// A loading role that was made.
pub struct LoadingRole {
    /// Its name and a password that only this process knows.
    pub credentials: Credentials,
    /// Owners that another role stands in for, with that role.
    pub stand_ins: BTreeMap<String, String>,
    means: Means,
}

/// Who the loading role may be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Owners {
    /// Roles that are the tenant's alone: the loading role becomes a member.
    pub members: Vec<String>,
    /// Roles that others use as well, or that may do more: another role stands in for each.
    pub stood_in_for: Vec<String>,
    /// Those of them that may read what anybody owns: what stands in for one may read all that this restore makes, and no more.
    pub powerful: Vec<String>,
}

/// Makes the roles of a request, each with its mark in the same transaction. It may log in, at most `sessions` times at once.
pub async fn make(
    admin: &Session,
    request_uid: &str,
    owners: &Owners,
    sessions: usize,
) -> Result<LoadingRole, RestoreError> {
    let Some(means) = means(admin).await? else {
        return Err(RestoreError::LoadingRoleDenied { why: "it has no right to make roles".to_owned() });
    };
    let name = name(request_uid);
    let stand_ins: BTreeMap<String, String> =
        owners.stood_in_for.iter().zip(1..).map(|(owner, n)| (owner.clone(), format!("{name}_{n}"))).collect();
    let password = format!("{:032x}{:032x}", rand::random::<u128>(), rand::random::<u128>());
    // What the server logs of the statement does not let anybody in.
    let verifier = postgres_protocol::password::scram_sha_256(password.as_bytes());
    let members: Vec<&String> = owners.members.iter().chain(stand_ins.values()).collect();
    let role = |role: &str, verifier: Option<&str>, members: &[&String]| match means {
        Means::Statements => statements(role, verifier, members, request_uid, sessions),
        Means::Functions => call(role, verifier, members, request_uid, sessions),
    };
    let mut text = "BEGIN;".to_owned();
    if means == Means::Statements && admin.server_major() >= 16 {
        // The maker of a role may otherwise not act as it, and could not hand over what it owns.
        text.push_str("SET LOCAL createrole_self_grant = 'set, inherit';");
    }
    let is_powerful = |owner: &String| owners.powerful.contains(owner);
    let (powerful, others): (Vec<_>, Vec<_>) = stand_ins.iter().partition(|(owner, _)| is_powerful(owner));
    for (_, stand_in) in &others {
        text.push_str(&role(stand_in, None, &[]));
    }
    let all: Vec<&String> = owners.members.iter().chain(others.iter().map(|(_, stand_in)| *stand_in)).collect();
    for (_, stand_in) in &powerful {
        text.push_str(&role(stand_in, None, &all));
    }
    text.push_str(&role(&name, Some(&verifier), &members));
    text.push_str("COMMIT");
    let made = admin.batch_execute(&text).await;
    made.map_err(|e| EngineError::query(format!("making the loading role {name:?}"), e))?;
    Ok(LoadingRole { credentials: Credentials { username: name, password }, stand_ins, means })
}

fn statements(role: &str, verifier: Option<&str>, members: &[&String], request_uid: &str, sessions: usize) -> String {
    let id = ident(role);
    let login = verifier.map_or_else(
        || "NOLOGIN".to_owned(),
        |verifier| format!("LOGIN PASSWORD {} CONNECTION LIMIT {sessions}", literal(verifier)),
    );
    let mut text = format!("CREATE ROLE {id} {login} INHERIT;");
    for owner in members {
        let _ = write!(text, "GRANT {} TO {id};", ident(owner));
    }
    let _ = write!(text, "COMMENT ON ROLE {id} IS {};", literal(&marker(request_uid)));
    text
}

fn call(role: &str, verifier: Option<&str>, members: &[&String], request_uid: &str, sessions: usize) -> String {
    let verifier = verifier.map_or_else(|| "NULL".to_owned(), literal);
    let members: Vec<String> = members.iter().map(|owner| literal(owner)).collect();
    format!(
        "SELECT {FUNCTIONS}.make_role({}, {verifier}, ARRAY[{}]::pg_catalog.text[], {}, {sessions});",
        literal(role),
        members.join(", "),
        literal(request_uid)
    )
}

impl LoadingRole {
    /// Takes the login away: from now on there are only the sessions that are open, whatever becomes of the password.
    pub async fn close(&self, admin: &Session) -> Result<(), EngineError> {
        close(admin, self.means, &self.credentials.username).await
    }

    /// All roles that were made.
    pub fn all(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.credentials.username.as_str()).chain(self.stand_ins.values().map(String::as_str))
    }
}

async fn close(admin: &Session, means: Means, role: &str) -> Result<(), EngineError> {
    let statement = match means {
        Means::Statements => format!("ALTER ROLE {} NOLOGIN PASSWORD NULL", ident(role)),
        Means::Functions => format!("SELECT {FUNCTIONS}.close_role({})", literal(role)),
    };
    let closed = admin.batch_execute(&statement).await;
    closed.map_err(|e| EngineError::query(format!("closing the loading role {role:?}"), e))
}

/// Drops the roles of a request, if there are any. Its new database must be gone, or handed over: what a role still owns there
/// keeps it.
pub async fn drop_own(admin: &Session, request_uid: &str) -> Result<(), RestoreError> {
    let failed = |e| EngineError::query("looking for loading roles", e);
    let found = admin
        .query(
            "SELECT rolname::pg_catalog.text FROM pg_catalog.pg_roles
              WHERE pg_catalog.shobj_description(oid, 'pg_authid') = $1 ORDER BY 1",
            &[&marker(request_uid)],
        )
        .await
        .map_err(failed)?;
    let roles: Vec<String> = found.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>().map_err(failed)?;
    if roles.is_empty() {
        return Ok(());
    }
    let Some(means) = means(admin).await? else {
        let why = format!("it may not drop {}", roles.join(", "));
        return Err(RestoreError::LoadingRoleDenied { why });
    };
    for role in &roles {
        close(admin, means, role).await?;
    }
    end_sessions(admin, &roles).await?;
    for role in &roles {
        revoke(admin, role).await?;
        let statement = match means {
            Means::Statements => format!("DROP ROLE {}", ident(role)),
            Means::Functions => format!("SELECT {FUNCTIONS}.drop_role({})", literal(role)),
        };
        let dropped = admin.batch_execute(&statement).await;
        dropped.map_err(|e| EngineError::query(format!("dropping the loading role {role:?}"), e))?;
    }
    tracing::info!(roles = roles.join(", "), "loading roles dropped");
    Ok(())
}

/// Ends the sessions of the roles, and waits until they are gone. A restore role that may end no others' sessions only waits.
async fn end_sessions(admin: &Session, roles: &[String]) -> Result<(), EngineError> {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let open = admin
            .query("SELECT pid FROM pg_catalog.pg_stat_activity WHERE usename::pg_catalog.text = ANY($1)", &[&roles])
            .await
            .map_err(|e| EngineError::query("looking for the loading role's sessions", e))?;
        if open.is_empty() || tokio::time::Instant::now() > deadline {
            return Ok(());
        }
        for row in &open {
            let pid: i32 = row.get(0);
            if let Err(error) = admin.query("SELECT pg_catalog.pg_terminate_backend($1)", &[&pid]).await {
                tracing::debug!(error = words(&error), pid, "a session of the loading role is not ended");
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Lets the roles create in tablespaces of the backup's tables and indexes. Without the right to grant it nothing happens, but a
/// warning: preflight has refused that.
pub async fn open_tablespaces(
    admin: &Session,
    role: &LoadingRole,
    tablespaces: &BTreeSet<String>,
) -> Result<(), EngineError> {
    let roles: Vec<String> = role.all().map(ident).collect();
    for tablespace in tablespaces {
        let text = format!("GRANT CREATE ON TABLESPACE {} TO {}", ident(tablespace), roles.join(", "));
        let opened = admin.batch_execute(&text).await;
        opened.map_err(|e| EngineError::query(format!("opening the tablespace {tablespace:?}"), e))?;
    }
    Ok(())
}

/// What a role may do with databases and tablespaces.
const GRANTED: &str = "
SELECT DISTINCT CASE WHEN d.oid IS NULL THEN 'TABLESPACE' ELSE 'DATABASE' END, coalesce(d.datname, t.spcname)::pg_catalog.text
  FROM pg_catalog.pg_shdepend s
  LEFT JOIN pg_catalog.pg_database d ON s.classid = 'pg_catalog.pg_database'::pg_catalog.regclass AND d.oid = s.objid
  LEFT JOIN pg_catalog.pg_tablespace t ON s.classid = 'pg_catalog.pg_tablespace'::pg_catalog.regclass AND t.oid = s.objid
 WHERE s.dbid = 0 AND s.deptype = 'a' AND coalesce(d.oid, t.oid) IS NOT NULL
   AND s.refobjid = (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = $1::pg_catalog.text)";

/// Takes back what the role may do with databases and tablespaces: it cannot be dropped before.
async fn revoke(admin: &Session, role: &str) -> Result<(), EngineError> {
    let failed = |e| EngineError::query(format!("taking back the rights of {role:?}"), e);
    for row in &admin.query(GRANTED, &[&role]).await.map_err(failed)? {
        let (kind, name): (String, String) = (row.try_get(0).map_err(failed)?, row.try_get(1).map_err(failed)?);
        let revoked = admin.batch_execute(&format!("REVOKE ALL ON {kind} {} FROM {}", ident(&name), ident(role))).await;
        revoked.map_err(failed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_never_without_its_mark_and_no_password_is_in_the_statement() {
        let owners = ["a\"b".to_owned()];
        let members: Vec<&String> = owners.iter().collect();
        let text = statements("r", Some("SCRAM-SHA-256$x"), &members, "u'id", 3);
        assert_eq!(
            text,
            "CREATE ROLE \"r\" LOGIN PASSWORD 'SCRAM-SHA-256$x' CONNECTION LIMIT 3 INHERIT;GRANT \"a\"\"b\" TO \"r\";\
             COMMENT ON ROLE \"r\" IS 'sennight.dev/load=u''id';"
        );
        let text = call("r", None, &members, "uid", 3);
        assert_eq!(text, "SELECT sennight.make_role('r', NULL, ARRAY['a\"b']::pg_catalog.text[], 'uid', 3);");
    }

    #[test]
    fn two_requests_have_two_roles_whose_names_the_server_keeps_whole() {
        assert_ne!(name("a"), name("b"));
        assert!(name("a").len() + "_999".len() < 63);
    }
}
