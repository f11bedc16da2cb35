//! Preflight of an Undo, and the last check before a swap. Changes nothing. The rules are those of a full restore as far as
//! they are about the swap, and two of an Undo's own.

use super::catalog::{self, Database};
use super::connect::Session;
use super::create::is_previous;
use super::database_properties;
use super::error::EngineError;
use super::loading_role::Means;
use super::preflight::{self, PREPARED, SLOTS, SUBSCRIPTIONS};
use super::preflight_facts::PreflightFacts;
use super::preflight_refusal::PreflightRefusal;
use super::preflight_rules::refusals;
use super::swap::is_ready;
use sennight_core::manifest::ServerFacts;
use sennight_core::result::{Preflight, Refusal};
use sennight_protocol::cutover::CutoverTask;

/// Collects the facts of an Undo and applies the rules.
pub async fn preflight_undo(admin: &Session, task: &CutoverTask) -> Result<Preflight, EngineError> {
    let live = catalog::by_name(admin, &task.database.database).await?;
    let previous = catalog::by_oid(admin, task.new_number.0).await?;
    let mut refused = undo_refusals(task, live.as_ref(), previous.as_ref());
    let facts = facts(admin, task, live, previous).await?;
    refused.extend(refusals(&facts));
    let mut warnings = vec![format!(
        "every change since the restore goes with the restored database, which is then kept as {:?}",
        task.previous_database
    )];
    if facts.live_sessions > 0 {
        warnings.push(format!("{} sessions on the live database will be ended", facts.live_sessions));
    }
    Ok(Preflight {
        refusals: refused.iter().map(Refusal::from).collect(),
        warnings,
        live_bytes: facts.live_bytes,
        live_sessions: facts.live_sessions,
    })
}

/// Refusals in the moment before the swap: the preflight's facts may be days old. Superusers' sessions are left out: the
/// swap waits for them by itself, before each of its attempts.
pub async fn before_swap(admin: &Session, task: &CutoverTask) -> Result<Vec<PreflightRefusal>, EngineError> {
    let live = catalog::by_name(admin, &task.database.database).await?;
    let new = catalog::by_oid(admin, task.new_number.0).await?;
    let mut refused =
        if task.undo_of.is_some() { undo_refusals(task, live.as_ref(), new.as_ref()) } else { Vec::new() };
    refused.extend(refusals(&facts(admin, task, live, new).await?));
    refused.retain(|r| !matches!(r, PreflightRefusal::SuperuserSessions { .. }));
    Ok(refused)
}

/// Refuses unless the two databases are those that the undone swap left, by OID and mark.
fn undo_refusals(task: &CutoverTask, live: Option<&Database>, previous: Option<&Database>) -> Vec<PreflightRefusal> {
    let mut refused = Vec::new();
    if !previous.is_some_and(|d| d.name == task.new_database && is_ready(d, task)) {
        let found = previous.map_or_else(
            || "gone".to_owned(),
            |d| format!("called {:?}, with the comment {:?}", d.name, d.comment.as_deref().unwrap_or_default()),
        );
        refused.push(PreflightRefusal::PreviousDatabaseGone {
            name: task.new_database.clone(),
            oid: task.new_number.0,
            found,
        });
    }
    if let Some(live) = live.filter(|d| d.oid != task.live_number.0) {
        refused.push(PreflightRefusal::LiveDatabaseReplaced {
            database: live.name.clone(),
            oid: live.oid,
            expected: task.live_number.0,
        });
    }
    refused
}

async fn facts(
    admin: &Session,
    task: &CutoverTask,
    live: Option<Database>,
    previous: Option<Database>,
) -> Result<PreflightFacts, EngineError> {
    let name = &task.database.database;
    let oid = live.as_ref().map_or(0, |d| d.oid);
    let owners: Vec<String> = live.iter().chain(&previous).map(|d| d.owner.clone()).collect();
    let major = admin.server_major();
    let mut facts = PreflightFacts {
        database: name.clone(),
        server_major: major,
        in_recovery: preflight::one(admin, "SELECT pg_catalog.pg_is_in_recovery()").await?,
        // An Undo has no backup: these values pass the rules about one.
        backup: ServerFacts { major, ..no_facts() },
        backup_raw_bytes: 0,
        tools_major: Ok(major),
        archive_major: None,
        roles: Vec::new(),
        // Nothing is loaded.
        loading_role: Some(Means::Statements),
        owners: Vec::new(),
        allow_shared_owners: true,
        superuser_objects: Vec::new(),
        tablespaces: Vec::new(),
        locale_known: true,
        headroom_bytes: None,
        offers: Vec::new(),
        tablespace_allowed: true,
        reserved: *name == task.database.maintenance_database,
        live_bytes: preflight::size(admin, oid).await?,
        live_sessions: preflight::sessions(admin, oid).await?,
        is_owner: preflight::may_act_as(admin, &owners).await?.iter().all(|r| r.granted),
        prepared_transactions: preflight::list(admin, PREPARED, name).await?,
        logical_slots: preflight::list(admin, SLOTS, name).await?,
        subscriptions: preflight::list(admin, SUBSCRIPTIONS, name).await?,
        superuser_sessions: preflight::superuser_sessions(admin, name).await?,
        names_needed: vec![task.previous_database.clone()],
        names_in_use: Vec::new(),
        already_swapped: None,
        name_limit: preflight::name_limit(admin).await?,
        settings_denied: Vec::new(),
        role_settings_denied: Vec::new(),
        notes: Vec::new(),
        role: preflight::role(admin).await?,
        live,
    };
    if let Some(previous) = &previous {
        // The previous database is renamed too, so its sessions are in the way as well.
        facts.prepared_transactions.extend(preflight::list(admin, PREPARED, &previous.name).await?);
        facts.superuser_sessions.extend(preflight::superuser_sessions(admin, &previous.name).await?);
    }
    match catalog::by_name(admin, &task.previous_database).await? {
        Some(found) if is_previous(&found, &task.request_uid) => {
            facts.already_swapped = Some(found.name);
        }
        Some(found) => facts.names_in_use.push(found.name),
        None => {}
    }
    if facts.live.is_some() {
        let had = database_properties::read(admin, oid).await?;
        preflight::properties(admin, &had, &mut facts).await?;
    }
    Ok(facts)
}

fn no_facts() -> ServerFacts {
    ServerFacts {
        version: String::new(),
        major: 0,
        encoding: String::new(),
        collate: String::new(),
        ctype: String::new(),
        locale_provider: String::new(),
        locale: None,
        icu_rules: None,
        extensions: Vec::new(),
        database_bytes: None,
    }
}
