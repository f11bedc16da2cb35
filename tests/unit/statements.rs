//! Statements for PostgreSQL name relations and types by their schema. With an empty `search_path` functions and operators
//! are those of `pg_catalog`, but relations and types are looked for among the session's temporary ones first.

use proc_macro2::{TokenStream, TokenTree};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Types that the grammar itself knows: their names are not looked up.
const GRAMMAR: [&str; 14] = [
    "int",
    "integer",
    "bigint",
    "smallint",
    "boolean",
    "real",
    "float",
    "numeric",
    "decimal",
    "char",
    "character",
    "varchar",
    "bit",
    "timestamp",
];

fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}

/// Every string literal of the code, its tests left out: they play the tenant.
fn literals(tokens: TokenStream, found: &mut Vec<String>) {
    for token in tokens {
        match token {
            TokenTree::Literal(literal) => {
                let text = literal.to_string();
                if text.starts_with(['"', 'r']) {
                    found.push(text);
                }
            }
            TokenTree::Group(group) => literals(group.stream(), found),
            _ => {}
        }
    }
}

fn word(text: &str) -> &str {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '.')).unwrap_or(text.len());
    &text[..end]
}

/// What of a statement would be looked up by a path.
fn unqualified(statement: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in statement.match_indices("::") {
        let name = word(&statement[at + 2..]);
        let known = name.is_empty() || name.starts_with("pg_catalog.") || GRAMMAR.contains(&name);
        if !known {
            found.push(format!("type {name}"));
        }
    }
    for before in ["FROM ", "JOIN ", "UPDATE ", "INTO ", "ONLY ", "'"] {
        for (at, _) in statement.match_indices(before) {
            let rest = statement[at + before.len()..].trim_start();
            let name = word(rest);
            let is_name = name.starts_with("pg_") && name != "pg_catalog" && !name.starts_with("pg_catalog.");
            // A quoted name is one only where it becomes a regclass.
            let is_read = if before == "'" {
                rest[name.len()..].starts_with("'::")
            } else {
                !rest[name.len()..].starts_with('(')
            };
            if is_name && is_read {
                found.push(format!("relation {name}"));
            }
        }
    }
    found
}

#[test]
fn i11_statements_name_relations_and_types_by_their_schema() {
    let source = testkit::repository().join("src");
    let mut statements = 0;
    let mut wrong = Vec::new();
    for file in [files(&source.join("engine/src/postgres")), files(&source.join("worker/src"))].concat() {
        let text = std::fs::read_to_string(&file).unwrap();
        // Comments of documentation would be literals, too.
        let code: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        let code = code.join("\n");
        let code = code.split("#[cfg(test)]").next().unwrap_or_default();
        let mut found = Vec::new();
        literals(TokenStream::from_str(code).unwrap_or_else(|e| panic!("{}: {e}", file.display())), &mut found);
        for literal in found {
            statements += usize::from(literal.contains("SELECT"));
            wrong
                .extend(unqualified(&literal).into_iter().map(|what| format!("{}: {what}: {literal}", file.display())));
        }
    }
    assert!(statements > 40, "only {statements} statements were found: where did they go?");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_looked_up_by_a_path_is_found() {
    for (statement, expected) in [
        ("SELECT relname::text FROM pg_class", vec!["type text", "relation pg_class"]),
        ("SELECT 1 FROM pg_catalog.pg_class JOIN  pg_am a ON true", vec!["relation pg_am"]),
        ("WHERE classid = 'pg_class'::pg_catalog.regclass", vec!["relation pg_class"]),
        ("SELECT $1::oid[], 'a'::pg_catalog.text, 2::int / 3", vec!["type oid"]),
        ("SELECT * FROM pg_get_keywords()", vec![]),
        ("REVOKE pg_read_all_data, 'pg_x'", vec![]),
    ] {
        assert_eq!(unqualified(statement), expected, "{statement}");
    }
}
