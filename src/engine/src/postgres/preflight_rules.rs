//! The rules of a preflight: which facts refuse a full restore. Pure, so that each can be tested without a server. The
//! refusals' texts are in [`super::preflight_refusal`].

use super::loading_role::Means;
use super::preflight_facts::{ExtensionOffer, PreflightFacts, RoleState};
use super::preflight_refusal::PreflightRefusal;
use sennight_core::manifest::Extension;
use std::cmp::Ordering;

/// Every rule, in the order in which a person would work through them.
const RULES: [fn(&PreflightFacts, &mut Vec<PreflightRefusal>); 8] =
    [server, client_tools, live_database, rights, backup_fits, extensions, swap_is_free, properties];

/// All refusals at once: whoever reads them wants to mend everything in one go.
pub fn refusals(facts: &PreflightFacts) -> Vec<PreflightRefusal> {
    let mut refused = Vec::new();
    for rule in RULES {
        rule(facts, &mut refused);
    }
    refused
}

/// What people should know before they approve, and nothing fails over.
pub fn warnings(facts: &PreflightFacts) -> Vec<String> {
    let mut warnings = Vec::new();
    if facts.headroom_bytes.is_none() {
        warnings.push(format!(
            "nobody said how much disk the server can spare (restoreHeadroomBytes): the restore takes about {} bytes beside the live database until the old one is dropped",
            facts.needed_bytes()
        ));
    }
    for (wanted, offer) in facts.extensions() {
        if offer.version.as_ref().is_some_and(|v| newer(v, &wanted.version)) {
            let has = offer.version.as_deref().unwrap_or_default();
            warnings.push(format!(
                "extension {} comes back as version {has}, the backup had {}",
                wanted.name, wanted.version
            ));
        }
    }
    if facts.live_sessions > 0 {
        warnings.push(format!(
            "{} sessions on the live database will be ended; clients must connect again",
            facts.live_sessions
        ));
    }
    let shared = facts.owners.iter().filter(|owner| owner.is_shared());
    if let Some(owners) = listed(shared.map(|owner| &owner.name)) {
        warnings.push(format!(
            "other databases belong to owners in this backup, or they are superusers ({owners}): what one of these tenants may do, the others may"
        ));
    }
    warnings.extend(facts.notes.iter().cloned());
    warnings
}

fn server(e: &PreflightFacts, refused: &mut Vec<PreflightRefusal>) {
    if e.in_recovery {
        refused.push(PreflightRefusal::ServerReadOnly);
    }
    if e.backup.major > e.server_major {
        refused.push(PreflightRefusal::BackupNewerThanServer { backup: e.backup.major, server: e.server_major });
    }
}

/// The archive format grew with PostgreSQL 16 (1.15) and 17 (1.16); a `pg_restore` reads its own and older ones.
fn archive_format(major: i32) -> i32 {
    match major {
        ..16 => 14,
        16 => 15,
        _ => 16,
    }
}

fn client_tools(e: &PreflightFacts, refused: &mut Vec<PreflightRefusal>) {
    let tools = match &e.tools_major {
        Ok(major) => *major,
        Err(why) => return refused.push(PreflightRefusal::ClientToolsMissing { why: why.clone() }),
    };
    if let Some(archive) = e.archive_major
        && archive_format(archive) > archive_format(tools)
    {
        refused.push(PreflightRefusal::ClientToolsTooOld { archive, tools });
    }
}

fn live_database(e: &PreflightFacts, refused: &mut Vec<PreflightRefusal>) {
    let database = e.database.clone();
    if e.reserved {
        refused.push(PreflightRefusal::LiveDatabaseReserved { database: database.clone() });
    }
    let Some(live) = &e.live else {
        return refused.push(PreflightRefusal::LiveDatabaseMissing { database });
    };
    if !live.allows_connections {
        refused.push(PreflightRefusal::LiveDatabaseClosed { database: database.clone() });
    }
    if live.is_template {
        refused.push(PreflightRefusal::LiveDatabaseIsTemplate { database });
    }
}

fn rights(e: &PreflightFacts, refused: &mut Vec<PreflightRefusal>) {
    if e.role.superuser {
        return;
    }
    let role = &e.role.name;
    if !e.role.create_db {
        refused.push(PreflightRefusal::CreateDbMissing { role: role.clone() });
    }
    if !e.role.signal {
        refused.push(PreflightRefusal::SignalMissing { role: role.clone() });
    }
    if let Some(live) = &e.live {
        if !e.is_owner {
            refused.push(PreflightRefusal::NotOwner {
                role: role.clone(),
                owner: live.owner.clone(),
                database: live.name.clone(),
            });
        }
        if !e.tablespace_allowed {
            refused.push(PreflightRefusal::TablespaceDenied {
                role: role.clone(),
                tablespace: live.tablespace.clone(),
                database: live.name.clone(),
            });
        }
    }
}

fn backup_fits(e: &PreflightFacts, refused: &mut Vec<PreflightRefusal>) {
    if let Some(roles) = listed(e.roles.iter().filter(|r| !r.exists).map(|r| &r.name)) {
        refused.push(PreflightRefusal::RolesMissing { roles });
    }
    let not_granted = |r: &&RoleState| r.exists && r.owns && !r.granted && !e.role.superuser;
    if let Some(owners) = listed(e.roles.iter().filter(not_granted).map(|r| &r.name)) {
        refused.push(PreflightRefusal::OwnersNotGranted { role: e.role.name.clone(), owners });
    }
    loading(e, refused);
    if let (Some(objects), false) = (listed(&e.superuser_objects), e.role.superuser) {
        refused.push(PreflightRefusal::ObjectsNeedSuperuser { objects });
    }
    if let Some(tablespaces) = listed(e.tablespaces.iter().filter(|s| !s.exists).map(|s| &s.name)) {
        refused.push(PreflightRefusal::TablespacesMissing { tablespaces });
    }
    let denied = e.tablespaces.iter().filter(|s| s.exists && !s.allowed && !e.role.superuser);
    if let Some(tablespaces) = listed(denied.map(|s| &s.name)) {
        refused.push(PreflightRefusal::TablespacesDenied { role: e.role.name.clone(), tablespaces });
    }
    if !e.locale_known {
        let other = e.backup.locale.as_ref().map(|l| format!(", {} {l}", e.backup.locale_provider));
        refused.push(PreflightRefusal::LocaleMissing {
            locale: format!("{}/{}{}", e.backup.collate, e.backup.ctype, other.unwrap_or_default()),
            encoding: e.backup.encoding.clone(),
        });
    }
    if let Some(headroom) = e.headroom_bytes
        && headroom < e.needed_bytes()
    {
        refused.push(PreflightRefusal::HeadroomTooSmall { needed: e.needed_bytes(), headroom });
    }
}

/// Whether the tenant's code would run in a session that can do no more than the tenant.
fn loading(e: &PreflightFacts, refused: &mut Vec<PreflightRefusal>) {
    let role = e.role.name.clone();
    match e.loading_role {
        None if e.server_major >= 16 => {
            refused.push(PreflightRefusal::LoadingRoleDenied { role, way_out: "ALTER ROLE … CREATEROLE".to_owned() });
        }
        None => refused.push(PreflightRefusal::LoadingRoleDenied {
            role,
            way_out: "a superuser installs config/postgresql/loading-role.sql in the maintenance database".to_owned(),
        }),
        Some(Means::Statements) if !e.role.superuser => {
            let members = e.roles.iter().filter(|r| r.owns && r.granted && !r.admin);
            let members = members.filter(|r| !e.owners.iter().any(|o| o.name == r.name && o.stands_apart()));
            if let Some(owners) = listed(members.map(|r| &r.name)) {
                refused.push(PreflightRefusal::OwnersNotAdmin { role, owners });
            }
        }
        Some(_) => {}
    }
    let shared = e.owners.iter().filter(|owner| owner.is_shared() && !e.allow_shared_owners);
    if let Some(owners) = listed(shared.map(|owner| &owner.name)) {
        refused.push(PreflightRefusal::OwnersShared { owners });
    }
}

/// Extensions that need steps of their own around a restore.
const NEED_STEPS: [&str; 2] = ["timescaledb", "citus"];

fn extensions(e: &PreflightFacts, refused: &mut Vec<PreflightRefusal>) {
    let pick = |wanted: fn(&Extension, &ExtensionOffer) -> bool| {
        let some = e.extensions().filter(|(w, o)| wanted(w, o));
        listed(some.map(|(w, _)| format!("{} {}", w.name, w.version)).collect::<Vec<_>>().iter())
    };
    if let Some(extensions) = pick(|_, o| o.version.is_none()) {
        refused.push(PreflightRefusal::ExtensionsMissing { extensions });
    }
    if let Some(extensions) = pick(|w, o| o.version.as_ref().is_some_and(|v| newer(&w.version, v))) {
        refused.push(PreflightRefusal::ExtensionsOlder { extensions });
    }
    if let (Some(extensions), false) = (pick(|_, o| o.superuser_only), e.role.superuser) {
        refused.push(PreflightRefusal::ExtensionsNeedSuperuser { extensions });
    }
    if let Some(extensions) = pick(|w, _| NEED_STEPS.contains(&w.name.as_str())) {
        refused.push(PreflightRefusal::ExtensionsUnsupported { extensions });
    }
}

fn swap_is_free(e: &PreflightFacts, refused: &mut Vec<PreflightRefusal>) {
    let database = e.database.clone();
    if let Some(gids) = listed(&e.prepared_transactions) {
        refused.push(PreflightRefusal::PreparedTransactions { database: database.clone(), gids });
    }
    if let Some(slots) = listed(&e.logical_slots) {
        refused.push(PreflightRefusal::LogicalSlots { database: database.clone(), slots });
    }
    if let Some(subscriptions) = listed(&e.subscriptions) {
        refused.push(PreflightRefusal::Subscriptions { database: database.clone(), subscriptions });
    }
    if let (Some(sessions), false) = (listed(&e.superuser_sessions), e.role.superuser) {
        refused.push(PreflightRefusal::SuperuserSessions { database, role: e.role.name.clone(), sessions });
    }
    for name in &e.names_in_use {
        refused.push(PreflightRefusal::NameTaken { name: name.clone() });
    }
    if let Some(previous) = &e.already_swapped {
        refused.push(PreflightRefusal::AlreadyCutOver { previous: previous.clone() });
    }
    for name in e.names_needed.iter().filter(|n| n.len() > e.name_limit) {
        refused.push(PreflightRefusal::NameTooLong { name: name.clone(), length: name.len(), limit: e.name_limit });
    }
}

fn properties(e: &PreflightFacts, refused: &mut Vec<PreflightRefusal>) {
    if e.role.superuser {
        return;
    }
    if let Some(settings) = listed(&e.settings_denied) {
        refused.push(PreflightRefusal::SettingsDenied {
            role: e.role.name.clone(),
            database: e.database.clone(),
            settings,
        });
    }
    if let Some(roles) = listed(&e.role_settings_denied) {
        refused.push(PreflightRefusal::RoleSettingsDenied {
            role: e.role.name.clone(),
            database: e.database.clone(),
            roles,
        });
    }
}

/// At most ten names as a list, then how many more; `None` if there are none.
fn listed<'a>(names: impl IntoIterator<Item = &'a String>) -> Option<String> {
    let mut names: Vec<&str> = names.into_iter().map(String::as_str).collect();
    names.dedup();
    let more = names.len().saturating_sub(10);
    names.truncate(10);
    match (names.is_empty(), more) {
        (true, _) => None,
        (false, 0) => Some(names.join(", ")),
        (false, more) => Some(format!("{} and {more} more", names.join(", "))),
    }
}

/// Is version `a` newer than `b`? Numbers count as numbers: 1.10 is newer than 1.9.
fn newer(a: &str, b: &str) -> bool {
    let parts = |v: &str| -> Vec<u64> {
        v.split(|c: char| !c.is_ascii_digit())
            .filter(|p| !p.is_empty())
            .map(|p| p.parse().unwrap_or(u64::MAX))
            .collect()
    };
    parts(a).cmp(&parts(b)) == Ordering::Greater
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres::preflight_facts::{RestoreRole, TablespaceState, fine};

    fn extension(name: &str, version: &str) -> Extension {
        Extension { name: name.to_owned(), version: version.to_owned() }
    }

    fn offer(version: Option<&str>, superuser_only: bool) -> ExtensionOffer {
        ExtensionOffer { version: version.map(str::to_owned), superuser_only }
    }

    fn reasons(change: impl FnOnce(&mut PreflightFacts)) -> Vec<&'static str> {
        let mut facts = fine();
        change(&mut facts);
        refusals(&facts).iter().map(PreflightRefusal::reason).collect()
    }

    #[test]
    fn nothing_in_the_way_is_go() {
        assert_eq!(reasons(|_| ()), Vec::<&str>::new());
        assert_eq!(warnings(&fine()), Vec::<String>::new());
    }

    #[test]
    fn servers_and_tools_that_do_not_fit_are_refused() {
        assert_eq!(reasons(|e| e.in_recovery = true), ["ServerReadOnly"]);
        assert_eq!(reasons(|e| e.backup.major = 17), ["BackupNewerThanServer"]);
        assert_eq!(reasons(|e| e.tools_major = Err("none".to_owned())), ["ClientToolsMissing"]);
        assert_eq!(reasons(|e| e.reserved = true), ["LiveDatabaseReserved"]);
        assert_eq!(reasons(|e| e.tablespace_allowed = false), ["TablespaceDenied"]);
        assert_eq!(reasons(|e| e.locale_known = false), ["LocaleMissing"]);
        assert_eq!(reasons(|e| e.name_limit = 7), ["NameTooLong"]);
    }

    #[test]
    fn tablespaces_of_single_tables_must_be_there_and_open() {
        let space = |exists, allowed| vec![TablespaceState { name: "fast".to_owned(), exists, allowed }];
        assert_eq!(reasons(|e| e.tablespaces = space(true, true)), Vec::<&str>::new());
        assert_eq!(reasons(|e| e.tablespaces = space(false, false)), ["TablespacesMissing"]);
        assert_eq!(reasons(|e| e.tablespaces = space(true, false)), ["TablespacesDenied"]);
        assert_eq!(reasons(|e| (e.tablespaces, e.role.superuser) = (space(true, false), true)), Vec::<&str>::new());
        assert_eq!(
            reasons(|e| (e.tablespaces, e.role.superuser) = (space(false, false), true)),
            ["TablespacesMissing"]
        );
    }

    #[test]
    fn the_tools_that_work_for_a_server_are_exactly_these() {
        // (server, pg_dump that wrote the archive, pg_restore) and what is wrong with it.
        for (server, archive, tools, expected) in [
            (13, 13, 13, None),
            (13, 13, 15, None),
            (13, 13, 16, None),
            (13, 15, 13, None),
            (13, 16, 15, Some("ClientToolsTooOld")),
            (13, 13, 17, None),
            (16, 16, 17, None),
            (17, 17, 17, None),
            (17, 16, 18, None),
            (18, 17, 18, None),
            (17, 18, 17, None),
        ] {
            let found = reasons(|e| {
                (e.server_major, e.backup.major, e.archive_major, e.tools_major) =
                    (server, 13, Some(archive), Ok(tools));
            });
            assert_eq!(found, Vec::from_iter(expected), "server {server}, archive {archive}, tools {tools}");
        }
    }

    #[test]
    fn extensions_are_missing_older_untrusted_or_unknown_to_us() {
        assert_eq!(reasons(|e| e.offers = vec![offer(None, false)]), ["ExtensionsMissing"]);
        assert_eq!(reasons(|e| e.offers = vec![offer(Some("1.5"), false)]), ["ExtensionsOlder"]);
        assert_eq!(reasons(|e| e.offers = vec![offer(Some("1.6"), true)]), ["ExtensionsNeedSuperuser"]);
        let timescale = |e: &mut PreflightFacts| e.backup.extensions = vec![extension("timescaledb", "1.6")];
        assert_eq!(reasons(timescale), ["ExtensionsUnsupported"]);
        let mut newer = fine();
        newer.offers = vec![offer(Some("1.10"), false)];
        assert_eq!(refusals(&newer), []);
        assert_eq!(warnings(&newer), ["extension citext comes back as version 1.10, the backup had 1.6"]);
    }

    #[test]
    fn a_superuser_may_what_others_may_not() {
        let powerless = |e: &mut PreflightFacts| {
            e.role = RestoreRole { name: "r".to_owned(), ..RestoreRole::default() };
            e.is_owner = false;
            e.superuser_objects = vec!["EVENT TRIGGER - e".to_owned()];
            e.settings_denied = vec!["log_statement".to_owned()];
            e.superuser_sessions = vec!["postgres".to_owned()];
        };
        assert_eq!(reasons(powerless).len(), 6, "{:?}", reasons(powerless));
        let superuser = |e: &mut PreflightFacts| {
            powerless(e);
            e.role.superuser = true;
        };
        assert_eq!(reasons(superuser), Vec::<&str>::new());
    }

    #[test]
    fn unknown_headroom_is_shown_and_known_headroom_counts() {
        assert_eq!(reasons(|e| e.headroom_bytes = Some(999)), ["HeadroomTooSmall"]);
        let mut unknown = fine();
        unknown.headroom_bytes = None;
        assert_eq!(refusals(&unknown), []);
        assert!(warnings(&unknown)[0].contains("1000 bytes"), "{:?}", warnings(&unknown));
    }

    #[test]
    fn every_refusal_says_the_way_out_in_one_line_and_a_long_list_is_cut() {
        let many: Vec<String> = (0..12).map(|n| format!("slot{n}")).collect();
        let mut facts = fine();
        facts.logical_slots = many;
        let refused = refusals(&facts);
        assert!(refused[0].to_string().contains("slot9 and 2 more; drop them"), "{}", refused[0]);
        assert!(refused[0].matters_at_the_swap_only());
    }
}
