//! Decides in whose name each entry of a schema archive is restored, and in which order. The restore role makes only what needs its
//! rights and runs nothing that a tenant wrote; the loading role makes all the rest.

use super::contents::{Entry, entries};
use std::collections::{BTreeMap, BTreeSet};

/// In whose name a run of `pg_restore` works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Runner {
    /// The loading role.
    Loader,
    /// The loading role as a role that stands in for an owner: what is made belongs to that role, until it is handed over.
    StandIn(String),
    /// The restore role.
    RestoreRole,
}

/// Some entries for one run of `pg_restore`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// In whose name.
    pub runner: Runner,
    /// The entries' lines, in the archive's order.
    pub list: String,
}

/// What the plan rests on.
#[derive(Debug, Clone, Default)]
pub struct PlanInputs {
    /// Owners that another role stands in for, with that role.
    pub stand_ins: BTreeMap<String, String>,
    /// All roles that the backup names.
    pub roles: Vec<String>,
    /// Beginnings of entries that only a superuser may make although their kind does not say so: `FUNCTION public fast(integer) `.
    pub superuser: BTreeSet<String>,
    /// Tables of extensions in the new database, as `schema name`.
    pub of_extensions: BTreeSet<String>,
    /// The restore role is a superuser.
    pub restore_role_is_superuser: bool,
}

/// All runs, in the order in which they are carried out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RestorePlan {
    /// Schemas.
    pub schemas: Vec<Run>,
    /// Extensions and their comments, by the restore role: nothing of the tenant's is there but schemas.
    pub extensions: Vec<Run>,
    /// Rows of extensions' configuration, before the first function of the tenant exists.
    pub configuration: Vec<Run>,
    /// Types, functions, tables.
    pub definitions: Vec<Run>,
    /// Sequences' states, large objects, the rest of the configuration.
    pub data: Vec<Run>,
    /// Owner, comment and grants of the schema `public`, which is the database owner's.
    pub public: Vec<Run>,
    /// Grants.
    pub grants: Vec<Run>,
    /// Statistics objects, while their owners may still create in every schema.
    pub statistics: Vec<Run>,
    /// Indexes and constraints: what there must be when the hooks run.
    pub before_hooks: String,
    /// Triggers, rules, policies, materialised views' rows, default privileges, publications.
    pub after_hooks: String,
    /// Comments, by a restore role that is a superuser: it need not own what they are about. Before the first event trigger.
    pub comments: Vec<Run>,
    /// What nobody but the restore role may make, or would run in its name if it came earlier.
    pub last: Vec<Run>,
}

/// Kinds of entries that only a superuser may make.
pub const SUPERUSERS_KINDS: [&str; 11] = [
    "ACCESS METHOD ",
    "EVENT TRIGGER ",
    "FOREIGN DATA WRAPPER ",
    "OPERATOR CLASS ",
    "OPERATOR FAMILY ",
    "PROCEDURAL LANGUAGE ",
    "PUBLICATION TABLES IN SCHEMA ",
    "SHELL TYPE ",
    "SUBSCRIPTION ",
    "TEXT SEARCH PARSER ",
    "TEXT SEARCH TEMPLATE ",
];

/// Kinds whose comments only a superuser may write, beside those.
const SUPERUSERS_COMMENTS: [&str; 1] = ["LANGUAGE "];

/// Grants without which later entries cannot be made (functions in a language), with the entry that makes what they are about. Where
/// there is none, an extension made it.
const EARLY_GRANTS: [(&str, &str); 1] = [("ACL - LANGUAGE ", "PROCEDURAL LANGUAGE - ")];

/// Kinds that set no owner: whoever may change the table may make them. Attaching touches two tables, whose owners may differ: the
/// loading role is a member of both.
const WITHOUT_OWNER: [&str; 9] = [
    "CHECK CONSTRAINT ",
    "COMMENT ",
    "CONSTRAINT ",
    "DEFAULT ",
    "INDEX ",
    "INDEX ATTACH ",
    "SECURITY LABEL ",
    "SEQUENCE OWNED BY ",
    "TABLE ATTACH ",
];

/// Kinds that hooks must not meet: they would run what a tenant wrote, or hide rows.
const AFTER_HOOKS: [&str; 8] = [
    "DEFAULT ACL ",
    "EVENT TRIGGER ",
    "MATERIALIZED VIEW DATA ",
    "POLICY ",
    "PUBLICATION ",
    "ROW SECURITY ",
    "RULE ",
    "TRIGGER ",
];

/// Makes the plan. `all` is the archive's table of contents, `data` and `last_section` are those of its second and third section.
pub fn plan(all: &str, data: &str, last_section: &str, facts: &PlanInputs) -> RestorePlan {
    let mut plan = RestorePlan::default();
    let of = |section: &str| -> BTreeSet<u32> { entries(section).map(|entry| entry.number).collect() };
    let (data, last) = (of(data), of(last_section));
    let early: Vec<(String, Entry<'_>)> =
        entries(all).filter_map(|entry| Some((early_grant(entry.text)?, entry))).collect();
    for entry in entries(all) {
        let text = entry.text;
        let superuser =
            facts.superuser.iter().any(|begin| text.starts_with(begin)) || begins_with(text, &SUPERUSERS_KINDS);
        if is_of_public(text) {
            push(&mut plan.public, Runner::RestoreRole, entry);
        } else if text.starts_with("EXTENSION ") || text.starts_with("COMMENT - EXTENSION ") {
            push(&mut plan.extensions, Runner::RestoreRole, entry);
        } else if text.starts_with("SCHEMA - ") {
            push(&mut plan.schemas, facts.creator(text), entry);
        } else if let Some(of) = early_grant(text) {
            // With what it is about, see below; an extension's after the extensions.
            if !entries(all).any(|entry| entry.text.starts_with(&of)) {
                push(&mut plan.extensions, Runner::RestoreRole, entry);
            }
        } else if text.starts_with("ACL ") {
            push(&mut plan.grants, facts.granter(text), entry);
        } else if facts.restore_role_is_superuser
            && text.starts_with("COMMENT ")
            && !comments_on(text, &SUPERUSERS_KINDS)
            && !comments_on(text, &["PUBLICATION "])
        {
            push(&mut plan.comments, Runner::RestoreRole, entry);
        } else if data.contains(&entry.number) {
            let of_extension = facts.of_extensions.iter().any(|table| {
                text.starts_with(&format!("TABLE DATA {table} ")) || text.starts_with(&format!("SEQUENCE SET {table} "))
            });
            if of_extension && facts.restore_role_is_superuser {
                push(&mut plan.configuration, Runner::RestoreRole, entry);
            } else {
                push(&mut plan.data, facts.creator(text), entry);
            }
        } else if last.contains(&entry.number) {
            plan.late(entry, superuser, facts);
        } else {
            plan.definition(entry, superuser, facts);
            for (_, grant) in early.iter().filter(|(of, _)| text.starts_with(of.as_str())) {
                push(&mut plan.definitions, Runner::RestoreRole, *grant);
            }
        }
    }
    plan
}

impl RestorePlan {
    /// An entry of the archive's last section.
    fn late(&mut self, entry: Entry<'_>, superuser: bool, facts: &PlanInputs) {
        let text = entry.text;
        let stood_in_for = facts.creator(text) != Runner::Loader;
        // A statement names the role of default privileges, and a publication's owner must be a member: no other can stand in.
        let named = stood_in_for && begins_with(text, &["DEFAULT ACL ", "PUBLICATION "]);
        // A comment finds its publication only where that is made: all of them late, if some are.
        let publication = text.starts_with("PUBLICATION ") || comments_on(text, &["PUBLICATION "]);
        let privileged = superuser
            || named
            || comments_on(text, &SUPERUSERS_KINDS)
            || (publication && facts.restore_role_is_superuser);
        if privileged {
            push(&mut self.last, Runner::RestoreRole, entry);
        } else if text.starts_with("STATISTICS ") {
            push(&mut self.statistics, facts.creator(text), entry);
        } else if begins_with(text, &AFTER_HOOKS) || comments_on(text, &AFTER_HOOKS) {
            self.after_hooks.extend([entry.line, "\n"]);
        } else {
            self.before_hooks.extend([entry.line, "\n"]);
        }
    }

    /// A type, function, table, or what is about one.
    fn definition(&mut self, entry: Entry<'_>, superuser: bool, facts: &PlanInputs) {
        let text = entry.text;
        let comment = comments_on(text, &SUPERUSERS_KINDS) || comments_on(text, &SUPERUSERS_COMMENTS);
        let runner = if superuser || comment {
            Runner::RestoreRole
        } else if begins_with(text, &WITHOUT_OWNER) {
            Runner::Loader
        } else {
            facts.creator(text)
        };
        push(&mut self.definitions, runner, entry);
    }
}

impl PlanInputs {
    /// In whose name the owner's objects are made.
    fn creator(&self, text: &str) -> Runner {
        let stand_in = owner(text, &self.roles).and_then(|owner| self.stand_ins.get(owner));
        stand_in.map_or(Runner::Loader, |role| Runner::StandIn(role.clone()))
    }

    // guard(i11_the_restore_role_makes_only_what_needs_its_rights, = Runner::RestoreRole): the restore role gives no grants of a tenant's
    /// In whose name grants on the owner's objects are given. A superuser may give them all, those on extensions' objects too.
    fn granter(&self, text: &str) -> Runner {
        match self.creator(text) {
            Runner::StandIn(_) if self.restore_role_is_superuser => Runner::RestoreRole,
            other => other,
        }
    }
}

/// How the entry begins that makes what this early grant is about.
fn early_grant(text: &str) -> Option<String> {
    EARLY_GRANTS.iter().find_map(|(grant, made)| {
        let name = text.strip_prefix(grant)?.rsplit_once(' ')?.0;
        Some(format!("{made}{name} "))
    })
}

/// The owner at the end of an entry, if it is one of `roles`.
pub fn owner<'a>(text: &str, roles: &'a [String]) -> Option<&'a str> {
    let of = |role: &&String| text.strip_suffix(role.as_str()).is_some_and(|rest| rest.ends_with(' '));
    roles.iter().filter(of).max_by_key(|role| role.len()).map(String::as_str)
}

/// All of `roles` that own an entry.
pub fn owners(all: &str, roles: &[String]) -> BTreeSet<String> {
    entries(all).filter_map(|entry| owner(entry.text, roles)).map(ToOwned::to_owned).collect()
}

fn begins_with(text: &str, kinds: &[&str]) -> bool {
    kinds.iter().any(|kind| text.starts_with(kind))
}

/// `COMMENT public TRIGGER …`, `COMMENT - EVENT TRIGGER …`.
fn comments_on(text: &str, kinds: &[&str]) -> bool {
    let of = text.strip_prefix("COMMENT ").and_then(|rest| rest.split_once(' '));
    of.is_some_and(|(_, rest)| begins_with(rest, kinds))
}

fn is_of_public(text: &str) -> bool {
    ["SCHEMA - public ", "COMMENT - SCHEMA public ", "ACL - SCHEMA public "].iter().any(|begin| text.starts_with(begin))
}

/// Adds an entry to the last run if that has the same runner.
fn push(runs: &mut Vec<Run>, runner: Runner, entry: Entry<'_>) {
    match runs.last_mut() {
        Some(run) if run.runner == runner => run.list.extend([entry.line, "\n"]),
        _ => runs.push(Run { runner, list: [entry.line, "\n"].concat() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTENTS: &str = ";
6; 2615 16400 SCHEMA - crm acme
7; 2615 16401 SCHEMA - tools postgres
8; 2615 2200 SCHEMA - public acme
9; 0 0 COMMENT - SCHEMA public acme
2; 3079 16402 EXTENSION - citext \n3; 0 0 COMMENT - EXTENSION citext \n20; 1247 16500 TYPE crm state acme
21; 1255 16501 FUNCTION crm fast(integer) postgres
22; 1255 16502 FUNCTION crm slow() acme
23; 1259 16503 TABLE crm contacts acme
24; 0 0 COMMENT crm TABLE contacts acme
25; 1259 16504 TABLE tools log postgres
26; 2604 16505 DEFAULT tools log id postgres
27; 2753 16506 OPERATOR FAMILY crm f acme
30; 0 16402 TABLE DATA public dictionary postgres
31; 2613 16510 BLOB - 16510 acme
40; 2606 16520 CONSTRAINT crm contacts contacts_pkey acme
41; 1259 16521 INDEX tools log_i postgres
42; 3381 16522 STATISTICS tools s postgres
43; 2620 16523 TRIGGER crm contacts t acme
44; 0 0 COMMENT crm TRIGGER t ON contacts acme
45; 2606 16524 FK CONSTRAINT crm contacts to_log acme
46; 0 0 ROW SECURITY crm contacts acme
47; 3466 16525 EVENT TRIGGER - e postgres
48; 0 16526 MATERIALIZED VIEW DATA crm m acme
49; 826 16527 DEFAULT ACL crm DEFAULT PRIVILEGES FOR TABLES acme
50; 826 16528 DEFAULT ACL tools DEFAULT PRIVILEGES FOR TABLES postgres
60; 0 0 ACL - SCHEMA public acme
61; 0 0 ACL crm TABLE contacts acme
62; 0 0 ACL tools TABLE log postgres
";

    fn some(from: u32, to: u32) -> String {
        entries(CONTENTS).filter(|e| (from..to).contains(&e.number)).flat_map(|e| [e.line, "\n"]).collect()
    }

    fn facts(superuser: bool) -> PlanInputs {
        PlanInputs {
            stand_ins: BTreeMap::from([("postgres".to_owned(), "load_1".to_owned())]),
            roles: vec!["acme".to_owned(), "postgres".to_owned()],
            superuser: BTreeSet::from(["FUNCTION crm fast(integer) ".to_owned()]),
            of_extensions: BTreeSet::from(["public dictionary".to_owned()]),
            restore_role_is_superuser: superuser,
        }
    }

    fn planned(superuser: bool) -> RestorePlan {
        plan(CONTENTS, &some(30, 40), &some(40, 60), &facts(superuser))
    }

    fn shown(runs: &[Run]) -> Vec<(Runner, Vec<u32>)> {
        runs.iter().map(|run| (run.runner.clone(), numbers(&run.list))).collect()
    }

    fn numbers(list: &str) -> Vec<u32> {
        entries(list).map(|entry| entry.number).collect()
    }

    fn stand_in() -> Runner {
        Runner::StandIn("load_1".to_owned())
    }

    #[test]
    fn i11_the_restore_role_makes_only_what_needs_its_rights() {
        let plan = planned(true);
        assert_eq!(shown(&plan.schemas), [(Runner::Loader, vec![6]), (stand_in(), vec![7])]);
        assert_eq!(shown(&plan.extensions), [(Runner::RestoreRole, vec![2, 3])]);
        assert_eq!(shown(&plan.public), [(Runner::RestoreRole, vec![8, 9, 60])]);
        let definitions = [
            (Runner::Loader, vec![20]),
            (Runner::RestoreRole, vec![21]),
            (Runner::Loader, vec![22, 23]),
            (stand_in(), vec![25]),
            (Runner::Loader, vec![26]),
            (Runner::RestoreRole, vec![27]),
        ];
        assert_eq!(shown(&plan.definitions), definitions);
        assert_eq!(shown(&plan.configuration), [(Runner::RestoreRole, vec![30])]);
        assert_eq!(shown(&plan.data), [(Runner::Loader, vec![31])]);
        assert_eq!(shown(&plan.last), [(Runner::RestoreRole, vec![47, 50])]);
        assert_eq!(shown(&plan.grants), [(Runner::Loader, vec![61]), (Runner::RestoreRole, vec![62])]);
    }

    #[test]
    fn a_lesser_restore_role_leaves_grants_and_configuration_to_the_load() {
        let plan = planned(false);
        assert_eq!(shown(&plan.grants), [(Runner::Loader, vec![61]), (stand_in(), vec![62])]);
        assert_eq!(shown(&plan.data), [(stand_in(), vec![30]), (Runner::Loader, vec![31])]);
        assert_eq!(plan.configuration, []);
    }

    #[test]
    fn hooks_meet_no_trigger_no_rule_and_no_policy() {
        let plan = planned(true);
        assert_eq!(numbers(&plan.before_hooks), [40, 41, 45]);
        assert_eq!(shown(&plan.statistics), [(stand_in(), vec![42])]);
        assert_eq!(numbers(&plan.after_hooks), [43, 46, 48, 49]);
        assert_eq!(shown(&plan.comments), [(Runner::RestoreRole, vec![24, 44])]);
        assert_eq!(numbers(&planned(false).after_hooks), [43, 44, 46, 48, 49]);
    }

    #[test]
    fn every_entry_is_in_exactly_one_run() {
        for superuser in [true, false] {
            let plan = planned(superuser);
            let runs = [
                plan.schemas,
                plan.extensions,
                plan.configuration,
                plan.definitions,
                plan.data,
                plan.public,
                plan.grants,
                plan.statistics,
                plan.comments,
                plan.last,
            ];
            let mut all: Vec<u32> = runs.concat().iter().flat_map(|run| numbers(&run.list)).collect();
            all.extend(numbers(&plan.before_hooks).into_iter().chain(numbers(&plan.after_hooks)));
            all.sort_unstable();
            let mut expected = numbers(CONTENTS);
            expected.sort_unstable();
            assert_eq!(all, expected);
        }
    }

    #[test]
    fn grants_that_later_entries_need_come_with_what_they_are_about() {
        let contents = "1; 2612 1 PROCEDURAL LANGUAGE - l postgres\n2; 1255 2 FUNCTION s f() acme\n3; 0 0 COMMENT - LANGUAGE l \n\
                        4; 0 0 ACL - LANGUAGE l postgres\n5; 0 0 ACL - LANGUAGE plperl postgres\n";
        let plan = plan(contents, "", "", &facts(true));
        assert_eq!(shown(&plan.extensions), [(Runner::RestoreRole, vec![5])]);
        let definitions = [(Runner::RestoreRole, vec![1, 4]), (Runner::Loader, vec![2])];
        assert_eq!((shown(&plan.definitions), plan.grants), (definitions.to_vec(), vec![]));
        assert_eq!(shown(&plan.comments), [(Runner::RestoreRole, vec![3])]);
    }
}
