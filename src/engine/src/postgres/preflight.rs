//! Collects the facts for a preflight, from the maintenance database and without changing anything. The rules over them are
//! in [`super::preflight_rules`].

use super::catalog;
use super::connect::Session;
use super::contents::entries;
use super::create::{is_ours, is_previous};
use super::database_properties::{self, Properties};
use super::error::EngineError;
use super::preflight_facts::{ExtensionOffer, PreflightFacts, RestoreRole, RoleState, TablespaceState};
use super::restore_plan::SUPERUSERS_KINDS;
use super::script::Needs;
use super::tools::Tools;
use super::{loading_role, owners};
use sennight_core::manifest::{Extension, Manifest, ServerFacts};
use sennight_core::names::{new_database, previous_database};
use sennight_protocol::restore::RestoreTask;

/// What the schema archive of the backup contains.
#[derive(Debug, Clone)]
pub struct ArchiveContents {
    /// Table of contents, as `pg_restore --list` prints it.
    pub list: String,
    /// Tablespaces and superuser rights that its SQL needs.
    pub needs: Needs,
}

/// Collects the facts. `contents` is absent where the schema archive could not be read.
pub async fn gather_facts(
    admin: &Session,
    task: &RestoreTask,
    manifest: &Manifest,
    contents: Option<&ArchiveContents>,
) -> Result<PreflightFacts, EngineError> {
    let name = &task.database.database;
    let live = catalog::by_name(admin, name).await?;
    let oid = live.as_ref().map_or(0, |d| d.oid);
    let live_properties = match &live {
        Some(live) => Some(database_properties::read(admin, live.oid).await?),
        None => None,
    };
    let names = [new_database(name, &task.request_uid), previous_database(name, &task.request_uid)];
    let (names_in_use, already_swapped) = name_conflicts(admin, &names, &task.request_uid).await?;
    let role = role(admin).await?;
    let owner = live.as_ref().map(|d| vec![d.owner.clone()]).unwrap_or_default();
    let mut facts = PreflightFacts {
        database: name.clone(),
        server_major: admin.server_major(),
        in_recovery: one(admin, "SELECT pg_catalog.pg_is_in_recovery()").await?,
        backup: manifest.server.clone(),
        backup_raw_bytes: manifest.totals.raw_bytes,
        tools_major: Tools::find(admin.server_major()).map(|t| t.major()).map_err(|e| e.to_string()),
        archive_major: tool_major(&manifest.schema.tool),
        reserved: *name == task.database.maintenance_database
            || ["postgres", "template0", "template1"].contains(&name.as_str()),
        live_bytes: size(admin, oid).await?,
        live_sessions: sessions(admin, oid).await?,
        is_owner: may_act_as(admin, &owner).await?.iter().all(|r| r.granted),
        tablespace_allowed: tablespace_allowed(admin, oid).await?,
        roles: may_act_as(admin, &manifest.roles).await?,
        loading_role: loading_role::means(admin).await?,
        owners: Vec::new(),
        allow_shared_owners: task.allow_shared_owners,
        superuser_objects: Vec::new(),
        tablespaces: Vec::new(),
        locale_known: locale_known(admin, &manifest.server).await?,
        headroom_bytes: task.headroom_bytes,
        offers: offers(admin, &manifest.server.extensions).await?,
        prepared_transactions: list(admin, PREPARED, name).await?,
        logical_slots: list(admin, SLOTS, name).await?,
        subscriptions: list(admin, SUBSCRIPTIONS, name).await?,
        superuser_sessions: superuser_sessions(admin, name).await?,
        names_needed: names.to_vec(),
        names_in_use,
        already_swapped,
        name_limit: name_limit(admin).await?,
        settings_denied: Vec::new(),
        role_settings_denied: Vec::new(),
        notes: Vec::new(),
        live,
        role,
    };
    if let Some(live_properties) = &live_properties {
        properties(admin, live_properties, &mut facts).await?;
    }
    of_archive(admin, task, &mut facts, contents).await?;
    Ok(facts)
}

/// Adds what the archive needs, and whose its objects are.
async fn of_archive(
    admin: &Session,
    task: &RestoreTask,
    facts: &mut PreflightFacts,
    contents: Option<&ArchiveContents>,
) -> Result<(), EngineError> {
    let Some(contents) = contents else {
        let note = "the schema archive is too large to look into: owners and objects in it were not checked";
        facts.notes.push(note.to_owned());
        return Ok(());
    };
    read_contents(admin, facts, contents).await?;
    let owners: Vec<String> = facts.roles.iter().filter(|r| r.owns).map(|r| r.name.clone()).collect();
    facts.owners = owners::look(admin, &owners, &facts.database, &task.database.maintenance_database).await?;
    Ok(())
}

/// Adds the settings of the live database that the role may not set on the new one.
pub(super) async fn properties(
    admin: &Session,
    had: &Properties,
    facts: &mut PreflightFacts,
) -> Result<(), EngineError> {
    let set: Vec<String> = had.settings.iter().filter_map(|s| s.role.clone()).collect();
    let states = may_act_as(admin, &set).await?;
    facts.role_settings_denied = states.into_iter().filter(|r| !r.granted).map(|r| r.name).collect();
    facts.settings_denied = settings_denied(admin, had).await?;
    Ok(())
}

pub(super) const PREPARED: &str =
    "SELECT gid::pg_catalog.text FROM pg_catalog.pg_prepared_xacts WHERE database = $1::pg_catalog.text ORDER BY 1";
pub(super) const SLOTS: &str = "SELECT slot_name::pg_catalog.text FROM pg_catalog.pg_replication_slots WHERE database = $1::pg_catalog.text ORDER BY 1";
pub(super) const SUBSCRIPTIONS: &str = "SELECT s.subname::pg_catalog.text FROM pg_catalog.pg_subscription s
   JOIN pg_catalog.pg_database d ON d.oid = s.subdbid WHERE d.datname = $1::pg_catalog.text ORDER BY 1";
/// Background workers of extensions count: they run as a superuser, and keep the database in use like a session does.
const SUPERUSERS: &str = "SELECT coalesce(a.usename::pg_catalog.text, '?') || ' (' ||
        coalesce(nullif(a.application_name, ''), a.backend_type, '?') || ')'
   FROM pg_catalog.pg_stat_activity a JOIN pg_catalog.pg_roles r ON r.oid = a.usesysid
  WHERE a.datname = $1::pg_catalog.text AND r.rolsuper AND a.backend_type IS DISTINCT FROM 'autovacuum worker' ORDER BY 1";

/// Sessions of superusers on a database, as `role (application)`: only a superuser may end them.
pub async fn superuser_sessions(admin: &Session, database: &str) -> Result<Vec<String>, EngineError> {
    list(admin, SUPERUSERS, database).await
}

pub(super) async fn list(admin: &Session, query: &str, database: &str) -> Result<Vec<String>, EngineError> {
    let failed = |e| EngineError::query("looking at what holds the live database", e);
    let rows = admin.query(query, &[&database]).await.map_err(failed)?;
    rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>().map_err(failed)
}

pub(super) async fn one<T>(admin: &Session, query: &str) -> Result<T, EngineError>
where
    T: for<'a> tokio_postgres::types::FromSql<'a>,
{
    let failed = |e| EngineError::query("looking at the server", e);
    admin.query_one(query, &[]).await.map_err(failed)?.try_get(0).map_err(failed)
}

pub(super) async fn role(admin: &Session) -> Result<RestoreRole, EngineError> {
    let failed = |e| EngineError::query("asking for the role's rights", e);
    let row = admin
        .query_one(
            "SELECT rolname::pg_catalog.text, rolsuper, rolsuper OR rolcreatedb,
                    pg_catalog.pg_has_role(oid, 'pg_signal_backend', 'USAGE')
               FROM pg_catalog.pg_roles WHERE rolname = current_user",
            &[],
        )
        .await
        .map_err(failed)?;
    Ok(RestoreRole {
        name: row.try_get(0).map_err(failed)?,
        superuser: row.try_get(1).map_err(failed)?,
        create_db: row.try_get(2).map_err(failed)?,
        signal: row.try_get(3).map_err(failed)?,
    })
}

/// Which of the roles exist, and which the session's role has all rights of: to use them, and to give objects to them.
pub(super) async fn may_act_as(admin: &Session, names: &[String]) -> Result<Vec<RoleState>, EngineError> {
    let failed = |e| EngineError::query("asking for the role's memberships", e);
    let give = if admin.server_major() >= 16 { "SET" } else { "MEMBER" };
    let query = format!(
        "SELECT n, r.oid IS NOT NULL,
                coalesce(pg_catalog.pg_has_role(r.oid, 'USAGE') AND pg_catalog.pg_has_role(r.oid, '{give}'), false),
                coalesce(pg_catalog.pg_has_role(r.oid, 'MEMBER WITH ADMIN OPTION'), false)
           FROM pg_catalog.unnest($1::pg_catalog.text[]) WITH ORDINALITY u(n, i)
           LEFT JOIN pg_catalog.pg_roles r ON r.rolname = n ORDER BY i"
    );
    let rows = admin.query(&query, &[&names]).await.map_err(failed)?;
    rows.iter()
        .map(|row| {
            Ok(RoleState {
                name: row.try_get(0)?,
                exists: row.try_get(1)?,
                granted: row.try_get(2)?,
                admin: row.try_get(3)?,
                owns: false,
            })
        })
        .collect::<Result<_, _>>()
        .map_err(failed)
}

pub(super) async fn size(admin: &Session, oid: u32) -> Result<i64, EngineError> {
    // Without the right CONNECT the size cannot be read; a rule of its own reports the missing right.
    let query = format!(
        "SELECT coalesce((SELECT pg_catalog.pg_database_size(oid) FROM pg_catalog.pg_database
          WHERE oid = {oid} AND pg_catalog.has_database_privilege(oid, 'CONNECT')), 0)"
    );
    one(admin, &query).await
}

pub(super) async fn sessions(admin: &Session, oid: u32) -> Result<i64, EngineError> {
    let query = format!(
        "SELECT count(*) FROM pg_catalog.pg_stat_activity
          WHERE datid = {oid} AND pid <> pg_catalog.pg_backend_pid() AND backend_type = 'client backend'"
    );
    one(admin, &query).await
}

async fn tablespace_allowed(admin: &Session, oid: u32) -> Result<bool, EngineError> {
    // `pg_default` needs no right.
    let query = format!(
        "SELECT coalesce((SELECT t.spcname = 'pg_default' OR pg_catalog.has_tablespace_privilege(t.oid, 'CREATE')
           FROM pg_catalog.pg_database d JOIN pg_catalog.pg_tablespace t ON t.oid = d.dattablespace
          WHERE d.oid = {oid}), true)"
    );
    one(admin, &query).await
}

/// State of each tablespace that single tables and indexes of the backup lie in.
async fn spaces(admin: &Session, needs: &Needs) -> Result<Vec<TablespaceState>, EngineError> {
    let failed = |e| EngineError::query("looking for the backup's tablespaces", e);
    let names: Vec<&str> = needs.tablespaces.iter().map(String::as_str).collect();
    let rows = admin
        .query(
            "SELECT n, t.oid IS NOT NULL, coalesce(pg_catalog.has_tablespace_privilege(t.oid, 'CREATE WITH GRANT OPTION'), false)
               FROM pg_catalog.unnest($1::pg_catalog.text[]) n LEFT JOIN pg_catalog.pg_tablespace t ON t.spcname = n ORDER BY 1",
            &[&names],
        )
        .await
        .map_err(failed)?;
    rows.iter()
        .map(|row| Ok(TablespaceState { name: row.try_get(0)?, exists: row.try_get(1)?, allowed: row.try_get(2)? }))
        .collect::<Result<_, _>>()
        .map_err(failed)
}

pub(super) async fn name_limit(admin: &Session) -> Result<usize, EngineError> {
    let limit: i32 = one(admin, "SELECT pg_catalog.current_setting('max_identifier_length')::int").await?;
    Ok(usize::try_from(limit).unwrap_or(63))
}

/// True if a database of the server has this locale and encoding, or `pg_collation` lists both halves.
async fn locale_known(admin: &Session, backup: &ServerFacts) -> Result<bool, EngineError> {
    match backup.locale_provider.as_str() {
        "builtin" => return Ok(admin.server_major() >= 17),
        "icu" if admin.server_major() < 15 => return Ok(false),
        _ => {}
    }
    let failed = |e| EngineError::query("looking for the backup's locale", e);
    let row = admin
        .query_one(
            "WITH wanted AS (SELECT pg_catalog.pg_char_to_encoding($1::pg_catalog.text) AS encoding)
             SELECT encoding >= 0 AND (
                 EXISTS (SELECT FROM pg_catalog.pg_database d
                          WHERE d.datcollate = $2::pg_catalog.text AND d.datctype = $3::pg_catalog.text AND d.encoding = wanted.encoding)
                 OR NOT EXISTS (SELECT FROM (VALUES ($2::pg_catalog.text), ($3::pg_catalog.text)) l(name)
                     WHERE l.name NOT IN ('C', 'POSIX') AND NOT EXISTS (SELECT FROM pg_catalog.pg_collation c
                          WHERE c.collprovider = 'c' AND c.collcollate = l.name
                            AND c.collencoding IN (-1, wanted.encoding))))
               FROM wanted",
            &[&backup.encoding, &backup.collate, &backup.ctype],
        )
        .await
        .map_err(failed)?;
    row.try_get(0).map_err(failed)
}

async fn offers(admin: &Session, wanted: &[Extension]) -> Result<Vec<ExtensionOffer>, EngineError> {
    let failed = |e| EngineError::query("looking for the backup's extensions", e);
    let names: Vec<&str> = wanted.iter().map(|e| e.name.as_str()).collect();
    let rows = admin
        .query(
            "SELECT a.default_version, coalesce(v.superuser AND NOT v.trusted, false)
               FROM pg_catalog.unnest($1::pg_catalog.text[]) WITH ORDINALITY u(n, i)
               LEFT JOIN pg_catalog.pg_available_extensions a ON a.name = n
               LEFT JOIN pg_catalog.pg_available_extension_versions v ON v.name = n AND v.version = a.default_version
              ORDER BY i",
            &[&names],
        )
        .await
        .map_err(failed)?;
    rows.iter()
        .map(|row| Ok(ExtensionOffer { version: row.try_get(0)?, superuser_only: row.try_get(1)? }))
        .collect::<Result<_, _>>()
        .map_err(failed)
}

/// Names that the restore needs and that other databases have, and the previous database of this request if there is one.
/// A database of an earlier attempt of this request is no conflict.
async fn name_conflicts(
    admin: &Session,
    [new, previous]: &[String; 2],
    request_uid: &str,
) -> Result<(Vec<String>, Option<String>), EngineError> {
    let mut in_use = Vec::new();
    if catalog::by_name(admin, new).await?.is_some_and(|found| !is_ours(&found, request_uid)) {
        in_use.push(new.clone());
    }
    let mut already_swapped = None;
    match catalog::by_name(admin, previous).await? {
        Some(found) if is_previous(&found, request_uid) => already_swapped = Some(previous.clone()),
        Some(_) => in_use.push(previous.clone()),
        None => {}
    }
    Ok((in_use, already_swapped))
}

/// Settings that the role may not set: parameters for superusers, and names that no loaded library has declared.
async fn settings_denied(admin: &Session, had: &Properties) -> Result<Vec<String>, EngineError> {
    let failed = |e| EngineError::query("asking for the rights to set parameters", e);
    let granted = if admin.server_major() >= 15 {
        "pg_catalog.has_parameter_privilege(coalesce(r, current_user::pg_catalog.text), n, 'SET')"
    } else {
        "false"
    };
    let query = format!(
        "SELECT DISTINCT n FROM ROWS FROM (pg_catalog.unnest($1::pg_catalog.text[]), pg_catalog.unnest($2::pg_catalog.text[])) u(n, r)
           LEFT JOIN pg_catalog.pg_settings s ON pg_catalog.lower(s.name) = pg_catalog.lower(n)
          WHERE s.context IS DISTINCT FROM 'user' AND NOT {granted} ORDER BY 1"
    );
    let names: Vec<&str> = had.settings.iter().map(|s| s.name.as_str()).collect();
    let roles: Vec<Option<&str>> = had.settings.iter().map(|s| s.role.as_deref()).collect();
    let rows = admin.query(&query, &[&names, &roles]).await.map_err(failed)?;
    rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>().map_err(failed)
}

async fn read_contents(
    admin: &Session,
    facts: &mut PreflightFacts,
    contents: &ArchiveContents,
) -> Result<(), EngineError> {
    for entry in entries(&contents.list) {
        let text = entry.text;
        let owner = facts
            .roles
            .iter_mut()
            .filter(|r| text.strip_suffix(r.name.as_str()).is_some_and(|rest| rest.ends_with(' ')))
            .max_by_key(|r| r.name.len());
        if let Some(owner) = owner {
            owner.owns = true;
        }
        if SUPERUSERS_KINDS.iter().any(|kind| text.starts_with(kind)) {
            facts.superuser_objects.push(text.to_owned());
        }
        // Before 15 the bootstrap superuser owns the schema: a grant by another role has no effect, only a warning.
        if facts.server_major < 15 && text.starts_with("ACL - SCHEMA public ") {
            facts.superuser_objects.push("grants on schema public".to_owned());
        }
    }
    facts.superuser_objects.extend(contents.needs.superuser.iter().cloned());
    facts.tablespaces = spaces(admin, &contents.needs).await?;
    Ok(())
}

/// The major version in `pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`.
fn tool_major(tool: &str) -> Option<i32> {
    let version = tool.split_once("(PostgreSQL) ")?.1;
    version.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}
