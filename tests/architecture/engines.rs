//! Engines are equals: the worker names none of them, and none names another. `engine::of` is the one place that chooses.

use crate::crates;
use crate::modules::Files;
use proc_macro2::{TokenStream, TokenTree};
use std::collections::BTreeSet;

/// Identifiers that stand for one engine: the kinds, and the folders.
const NAMES: [&str; 5] = ["PostgreSQL", "MySQL", "MariaDB", "postgres", "mysql"];

/// What each engine does, one file each, under the same name.
const SHELVES: [&str; 16] = [
    "backup_load",
    "connect",
    "cutover",
    "drill",
    "drop_database",
    "dump",
    "engine",
    "hooks",
    "inventory",
    "load",
    "plain_files",
    "preflight_report",
    "prepare",
    "read",
    "snapshot",
    "swap",
];

/// Every identifier of the tokens. What comments and strings say is none.
fn identifiers(tokens: TokenStream, found: &mut BTreeSet<(usize, String)>) {
    for token in tokens {
        match token {
            TokenTree::Ident(ident) => {
                found.insert((ident.span().start().line, ident.to_string()));
            }
            TokenTree::Group(group) => identifiers(group.stream(), found),
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
}

/// Where a text names one of `engines`: `src/a.rs:3 PostgreSQL`.
fn named(file: &str, text: &str, engines: &[&str]) -> Vec<String> {
    let mut all = BTreeSet::new();
    identifiers(text.parse().unwrap(), &mut all);
    let named = all.into_iter().filter(|(_, name)| engines.contains(&name.as_str()));
    named.map(|(line, name)| format!("{file}:{line} {name}")).collect()
}

fn files_of(krate: &str) -> Files {
    crates().into_iter().find(|(name, _)| name == krate).unwrap().1
}

#[test]
fn the_worker_names_no_engine() {
    let files = files_of("worker");
    let found: Vec<String> = files.iter().flat_map(|(file, text)| named(file, text, &NAMES)).collect();
    assert!(found.is_empty(), "src/worker asks `engine::of`, and nothing else:\n{}", found.join("\n"));
}

#[test]
fn no_engine_names_another_and_what_they_share_names_none() {
    let mut found = vec![];
    for (file, text) in files_of("engine") {
        let others: &[&str] = match file.trim_start_matches("src/").split('/').next().unwrap() {
            "postgres" => &["MySQL", "MariaDB", "mysql"],
            "mysql" => &["PostgreSQL", "postgres"],
            "lib.rs" => continue,
            _ => &NAMES,
        };
        found.extend(named(&file, &text, others));
    }
    assert!(found.is_empty(), "src/engine:\n{}", found.join("\n"));
}

#[test]
fn engines_do_the_same_things_under_the_same_names() {
    let files = files_of("engine");
    let file = |engine: &str, shelf: &str| format!("src/{engine}/{shelf}.rs");
    let all = ["postgres", "mysql"].into_iter().flat_map(|engine| SHELVES.map(|shelf| file(engine, shelf)));
    let missing: Vec<String> = all.filter(|file| !files.contains_key(file)).collect();
    assert!(missing.is_empty(), "src/engine lacks {missing:?}");
}

#[test]
fn an_engine_is_found_in_patterns_comparisons_imports_and_macros() {
    let text = "//! MySQL.\nuse sennight_engine::postgres::connect;\nfn f(k: EngineKind) -> bool {\n\
                matches!(k, EngineKind::MariaDB) || k != EngineKind::MySQL || g(\"PostgreSQL\") // mysql\n}";
    assert_eq!(named("a.rs", text, &NAMES), ["a.rs:2 postgres", "a.rs:4 MariaDB", "a.rs:4 MySQL"]);
}
