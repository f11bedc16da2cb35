//! deny.toml held against what cargo has resolved: licences, banned crates, sources. cargo-deny does the same where it is installed
//! and more (advisories, which need a network); this needs cargo only, so that it runs everywhere.

use serde_json::Value;
use std::collections::BTreeSet;
use std::process::Command;

/// A list of deny.toml's, by the lines of the table that it stands in: each entry's first quoted word.
fn listed(deny: &str, table: &str, key: &str) -> BTreeSet<String> {
    let (_, rest) = deny.split_once(&format!("\n[{table}]\n")).unwrap();
    let (_, rest) = rest.split_once(&format!("\n{key} = [")).unwrap();
    let (list, _) = rest.split_once("\n]").unwrap_or_else(|| rest.split_once(']').unwrap());
    list.lines().filter_map(|line| line.split('"').nth(1)).map(str::to_owned).collect()
}

/// Whether an SPDX expression is met by allowed licences. `OR` binds weaker than `AND`; `/` is how old crates wrote `OR`.
fn met(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    let is_met = any(&words, &mut at, allowed);
    assert_eq!(at, words.len(), "not read to its end: {expression}");
    is_met
}

fn any(words: &[&str], at: &mut usize, allowed: &BTreeSet<String>) -> bool {
    let mut met = every(words, at, allowed);
    while words.get(*at) == Some(&"OR") {
        *at += 1;
        met |= every(words, at, allowed);
    }
    met
}

fn every(words: &[&str], at: &mut usize, allowed: &BTreeSet<String>) -> bool {
    let mut met = one(words, at, allowed);
    while words.get(*at) == Some(&"AND") {
        *at += 1;
        met &= one(words, at, allowed);
    }
    met
}

fn one(words: &[&str], at: &mut usize, allowed: &BTreeSet<String>) -> bool {
    *at += 1;
    if words[*at - 1] == "(" {
        let met = any(words, at, allowed);
        assert_eq!(words.get(*at), Some(&")"), "{words:?}");
        *at += 1;
        return met;
    }
    let mut name = words[*at - 1].to_owned();
    if words.get(*at) == Some(&"WITH") {
        name = format!("{name} WITH {}", words[*at + 1]);
        *at += 2;
    }
    allowed.contains(&name)
}

/// Every package that is compiled for one of deny.toml's targets.
fn packages(deny: &str) -> Vec<Value> {
    let mut command = Command::new(env!("CARGO"));
    command.args(["metadata", "--locked", "--format-version=1"]).current_dir(testkit::repository());
    let (_, targets) = deny.split_once("targets = [").unwrap();
    let (targets, _) = targets.split_once(']').unwrap();
    for target in targets.split('"').skip(1).step_by(2) {
        command.args(["--filter-platform", target]);
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let nodes = metadata["resolve"]["nodes"].as_array().unwrap();
    let used: BTreeSet<&str> = nodes.iter().map(|node| node["id"].as_str().unwrap()).collect();
    let all = metadata["packages"].as_array().unwrap();
    all.iter().filter(|package| used.contains(package["id"].as_str().unwrap())).cloned().collect()
}

#[test]
fn expressions_are_read_as_spdx_means_them() {
    let allowed = BTreeSet::from(["MIT".to_owned(), "ISC".to_owned(), "Apache-2.0 WITH LLVM-exception".to_owned()]);
    for yes in [
        "MIT",
        "MIT OR GPL-3.0",
        "GPL-3.0/MIT",
        "(MIT OR X) AND ISC",
        "X OR MIT AND ISC",
        "Apache-2.0 WITH LLVM-exception",
    ] {
        assert!(met(yes, &allowed), "{yes}");
    }
    for no in ["GPL-3.0", "MIT AND X", "Apache-2.0", "(MIT OR ISC) AND X", "X OR MIT AND Y"] {
        assert!(!met(no, &allowed), "{no}");
    }
}

#[test]
fn every_dependency_has_an_allowed_licence_comes_from_crates_io_and_is_not_banned() {
    let deny = testkit::file("deny.toml");
    let (allowed, banned) = (listed(&deny, "licenses", "allow"), listed(&deny, "bans", "deny"));
    assert!(allowed.contains("MIT") && banned.contains("openssl-sys"), "{allowed:?} {banned:?}");
    let packages = packages(&deny);
    assert!(packages.len() > 100, "{} packages", packages.len());
    let mut faults = vec![];
    for package in &packages {
        let name = package["name"].as_str().unwrap();
        let source = package["source"].as_str();
        if source.is_some_and(|source| source != "registry+https://github.com/rust-lang/crates.io-index") {
            faults.push(format!("{name} comes from {source:?}"));
        }
        if !package["license"].as_str().is_some_and(|expression| met(expression, &allowed)) {
            faults.push(format!("{name} has the licence {}", package["license"]));
        }
        if banned.contains(name) {
            faults.push(format!("{name} is banned"));
        }
        // A path of this repository's has no source, and its own dependencies are ours to pin, but for those by path.
        for dependency in package["dependencies"].as_array().unwrap().iter().filter(|_| source.is_none()) {
            if dependency["req"] == "*" && dependency["path"].is_null() {
                faults.push(format!("{name} takes any {}", dependency["name"]));
            }
        }
    }
    assert!(faults.is_empty(), "deny.toml forbids: {faults:#?}");
}
