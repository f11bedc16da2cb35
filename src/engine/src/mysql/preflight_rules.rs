//! The rules of a preflight: which facts refuse a full restore. Pure, so that each can be tested without a server. The
//! refusals' texts are in [`super::preflight_refusal`].

use super::preflight_facts::PreflightFacts;
use super::preflight_refusal::PreflightRefusal;
use super::schemas::NAME_LIMIT;

/// Longest name of a directory, in bytes.
const DIRECTORY_LIMIT: usize = 255;

/// Every rule, in the order in which a person would work through them.
const RULES: [fn(&PreflightFacts, &mut Vec<PreflightRefusal>); 6] =
    [server, live_database, rights, backup_fits, names, swap_is_free];

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
    if let Some(accounts) = listed(&facts.accounts_to_lock) {
        warnings.push(format!(
            "these accounts are locked and their sessions ended during the cut-over, also where they work on other databases: {accounts}"
        ));
    }
    if let Some(accounts) = listed(&facts.administrators) {
        warnings.push(format!(
            "these accounts administer the server and are not locked: {accounts}; nothing of theirs should write into {:?} during the cut-over, while its triggers are not there",
            facts.database
        ));
    }
    if facts.live_sessions > 0 {
        warnings.push(format!("{} sessions on the live database will be ended", facts.live_sessions));
    }
    if facts.headroom_bytes.is_none() && facts.needed_bytes > 0 {
        warnings.push(format!(
            "nobody said how much disk the server can spare (restoreHeadroomBytes): the restore takes about {} bytes beside the live database until the old one is dropped",
            facts.needed_bytes
        ));
    }
    warnings.extend(facts.notes.iter().cloned());
    warnings
}

fn server(e: &PreflightFacts, refused: &mut Vec<PreflightRefusal>) {
    if e.read_only {
        refused.push(PreflightRefusal::ServerReadOnly);
    }
    if e.replica {
        refused.push(PreflightRefusal::ServerIsReplica);
    }
    if e.clustered {
        refused.push(PreflightRefusal::ServerClustered);
    }
    if let Some(filter) = &e.log_filter {
        refused.push(PreflightRefusal::BinaryLogFiltered { filter: filter.clone() });
    }
    if let Some(backup) = e.backup.filter(|backup| *backup > e.server) {
        let words = |(major, minor): (i32, i32)| format!("{major}.{minor}");
        refused.push(PreflightRefusal::BackupNewerThanServer { backup: words(backup), server: words(e.server) });
    }
}

fn live_database(e: &PreflightFacts, refused: &mut Vec<PreflightRefusal>) {
    let database = e.database.clone();
    if e.reserved {
        refused.push(PreflightRefusal::LiveDatabaseReserved { database });
    } else if !e.live {
        refused.push(PreflightRefusal::LiveDatabaseMissing { database });
    }
}

fn rights(e: &PreflightFacts, refused: &mut Vec<PreflightRefusal>) {
    let account = e.account.clone();
    if let Some(rights) = listed(&e.rights_missing) {
        refused.push(PreflightRefusal::RightsMissing { account: account.clone(), rights });
    }
    if e.functions_guarded {
        refused.push(PreflightRefusal::FunctionCreatorsNotTrusted { account: account.clone() });
    }
    if let Some(grants) = listed(&e.routine_grants).filter(|_| !e.may_grant) {
        refused.push(PreflightRefusal::RoutineGrants { account, grants });
    }
}

fn backup_fits(e: &PreflightFacts, refused: &mut Vec<PreflightRefusal>) {
    if let Some(accounts) = listed(&e.definers_missing) {
        refused.push(PreflightRefusal::DefinersMissing { accounts });
    }
    let script = e.script_needs.clone().unwrap_or_default();
    let of_backup = |all: &[String]| all.iter().map(|table| format!("{table} of the backup")).collect::<Vec<_>>();
    let engines = [e.other_engines.clone(), of_backup(&script.other_engines)].concat();
    if let Some(tables) = listed(&engines) {
        refused.push(PreflightRefusal::NonTransactional { tables });
    }
    let foreign = [e.foreign.clone(), of_backup(&script.foreign)].concat();
    if let Some(keys) = listed(&foreign) {
        refused.push(PreflightRefusal::ForeignKeysAcross { database: e.database.clone(), keys });
    }
    if e.folds_names && script.capitals {
        refused.push(PreflightRefusal::NamesFolded);
    }
    if let Some(headroom) = e.headroom_bytes.filter(|headroom| *headroom < e.needed_bytes) {
        refused.push(PreflightRefusal::HeadroomTooSmall { needed: e.needed_bytes, headroom });
    }
}

fn names(e: &PreflightFacts, refused: &mut Vec<PreflightRefusal>) {
    for name in &e.names_in_use {
        refused.push(PreflightRefusal::NameTaken { name: name.clone() });
    }
    for (name, directory) in &e.names_needed {
        if name.chars().count() > NAME_LIMIT || *directory > DIRECTORY_LIMIT {
            refused.push(PreflightRefusal::NameTooLong { name: name.clone() });
        }
    }
    if let Some(previous) = &e.already_swapped {
        refused.push(PreflightRefusal::AlreadyCutOver { previous: previous.clone() });
    }
    if let Some(name) = &e.previous_gone {
        refused.push(PreflightRefusal::PreviousDatabaseGone { name: name.clone() });
    }
    if let Some((number, expected)) = e.replaced {
        refused.push(PreflightRefusal::LiveDatabaseReplaced { database: e.database.clone(), number, expected });
    }
}

fn swap_is_free(e: &PreflightFacts, refused: &mut Vec<PreflightRefusal>) {
    if let Some(xids) = listed(&e.xa) {
        refused.push(PreflightRefusal::PreparedTransactions { xids });
    }
    if let Some(sessions) = listed(&e.backups) {
        refused.push(PreflightRefusal::BackupRunning { sessions });
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

#[cfg(test)]
mod tests {
    use super::super::script_needs::ScriptNeeds;
    use super::*;

    /// What makes a good server one that cannot be restored onto.
    type Mutation = fn(&mut PreflightFacts);

    fn fine() -> PreflightFacts {
        PreflightFacts {
            database: "acme".into(),
            account: "r@%".into(),
            server: (10, 11),
            backup: Some((10, 11)),
            live: true,
            headroom_bytes: Some(1000),
            needed_bytes: 1000,
            ..PreflightFacts::default()
        }
    }

    fn reasons(change: impl FnOnce(&mut PreflightFacts)) -> Vec<&'static str> {
        let mut facts = fine();
        change(&mut facts);
        refusals(&facts).iter().map(PreflightRefusal::reason).collect()
    }

    fn one() -> Vec<String> {
        vec!["x".to_owned()]
    }

    #[test]
    fn nothing_in_the_way_is_go() {
        assert_eq!(reasons(|_| ()), Vec::<&str>::new());
        assert_eq!(warnings(&fine()), Vec::<String>::new());
    }

    #[test]
    fn each_obstacle_has_its_own_word() {
        let cases: [(Mutation, &str); 20] = [
            (|e| e.read_only = true, "ServerReadOnly"),
            (|e| e.replica = true, "ServerIsReplica"),
            (|e| e.clustered = true, "ServerClustered"),
            (|e| e.log_filter = Some("x".into()), "BinaryLogFiltered"),
            (|e| e.backup = Some((11, 4)), "BackupNewerThanServer"),
            (|e| e.live = false, "LiveDatabaseMissing"),
            (|e| e.reserved = true, "LiveDatabaseReserved"),
            (|e| e.rights_missing = one(), "RightsMissing"),
            (|e| e.functions_guarded = true, "FunctionCreatorsNotTrusted"),
            (|e| e.routine_grants = one(), "RoutineGrants"),
            (|e| e.definers_missing = one(), "DefinersMissing"),
            (|e| e.other_engines = one(), "NonTransactional"),
            (|e| e.foreign = one(), "ForeignKeysAcross"),
            (|e| e.headroom_bytes = Some(999), "HeadroomTooSmall"),
            (|e| e.names_in_use = one(), "NameTaken"),
            (|e| e.names_needed = vec![("é".repeat(52), 260)], "NameTooLong"),
            (|e| e.already_swapped = Some("k".into()), "AlreadyCutOver"),
            (|e| e.previous_gone = Some("k".into()), "PreviousDatabaseGone"),
            (|e| e.replaced = Some((1, 2)), "LiveDatabaseReplaced"),
            (|e| e.backups = one(), "BackupRunning"),
        ];
        for (change, reason) in cases {
            assert_eq!(reasons(change), [reason]);
        }
        assert_eq!(reasons(|e| e.xa = one()), ["PreparedTransactions"]);
        assert_eq!(reasons(|e| (e.routine_grants, e.may_grant) = (one(), true)), Vec::<&str>::new());
    }

    #[test]
    fn what_the_backup_needs_counts_as_what_the_live_database_has() {
        let copied = ScriptNeeds { other_engines: one(), foreign: one(), capitals: true, ..ScriptNeeds::default() };
        let found = reasons(|e| (e.script_needs, e.folds_names) = (Some(copied), true));
        assert_eq!(found, ["NonTransactional", "ForeignKeysAcross", "NamesFolded"]);
    }

    #[test]
    fn people_are_told_who_will_be_locked() {
        let mut e = fine();
        (e.accounts_to_lock, e.administrators, e.live_sessions) = (vec!["app@%".into()], vec!["root@%".into()], 3);
        let words = warnings(&e);
        assert!(
            words[0].contains("app@%") && words[1].contains("root@%") && words[2].starts_with("3 sessions"),
            "{words:?}"
        );
        let swap = PreflightRefusal::BackupRunning { sessions: String::new() };
        assert!(swap.matters_at_the_swap_only() && !PreflightRefusal::NamesFolded.matters_at_the_swap_only());
    }
}
