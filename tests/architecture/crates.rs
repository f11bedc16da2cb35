//! Which crate may use which: the table of docs/architecture.md against what Cargo resolved.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// Packages that a crate's whole tree of normal dependencies must not have. `*` at the end stands for any more letters.
const NEVER: &[(&[&str], &[&str])] = &[
    // Pure: no server to talk to and nothing to wait for.
    (
        &["-p", "sennight-core", "-p", "sennight-protocol", "-p", "sennight-export"],
        &["kube*", "k8s-openapi", "tokio*", "aws-*", "mysql_async"],
    ),
    // kube with `derive` is only the macro and its types.
    (
        &["-p", "sennight-api", "-p", "sennight-present"],
        &["kube-client", "kube-runtime", "tokio*", "aws-*", "mysql_async"],
    ),
    (&["-p", "sennight-storage"], &["kube*", "k8s-openapi", "mysql_async", "tokio-postgres*"]),
    (&["-p", "sennight-engine"], &["kube*", "k8s-openapi", "aws-sdk-*"]),
    // A download for laptops.
    (&["-p", "kubectl-sennight", "--all-features"], &["mysql_async", "tokio-postgres*"]),
    (
        &["-p", "kubectl-sennight", "--no-default-features"],
        &["aws-sdk-*", "aws-config", "aws-smithy-*", "mysql_async", "tokio-postgres*"],
    ),
    // Only tests make values by chance.
    (&["-p", "sennight", "-p", "kubectl-sennight", "--all-features"], &["proptest*"]),
];

/// Folder of a crate (`core`) to the folders that it depends on, with the feature that brings each, or nothing.
type Table = BTreeMap<String, Allowed>;

#[derive(Debug, PartialEq)]
enum Allowed {
    All,
    Only(BTreeMap<String, String>),
}

fn cargo(arguments: &[&str]) -> String {
    let out = Command::new(env!("CARGO"))
        .args(arguments)
        .args(["--locked", "--offline"])
        .current_dir(testkit::repository())
        .output()
        .unwrap();
    assert!(out.status.success(), "cargo {arguments:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

/// The page's table. Its cells: `` `core`, `api`; `storage` with the feature `s3` ``, or `all`, or a dash.
fn documented(page: &str) -> Table {
    let rows = page.split_once("| crate |").unwrap().1.lines().skip(2).take_while(|line| line.starts_with('|'));
    rows.map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let folder = cells[0].trim_matches('`').trim_start_matches("src/").to_owned();
        if cells[2] == "all" {
            return (folder, Allowed::All);
        }
        let mut only = BTreeMap::new();
        for part in cells[2].split(';') {
            let (names, feature) = part.split_once("with the feature").unwrap_or((part, ""));
            let feature = feature.trim().trim_matches('`').to_owned();
            only.extend(names.split('`').skip(1).step_by(2).map(|name| (name.to_owned(), feature.clone())));
        }
        (folder, Allowed::Only(only))
    })
    .collect()
}

/// A path of `cargo metadata` as the table writes it.
fn folder(path: &str) -> String {
    let below = path.strip_prefix(testkit::repository().to_str().unwrap()).unwrap().trim_start_matches('/');
    below.trim_end_matches("/Cargo.toml").trim_start_matches("src/").to_owned()
}

/// The feature of a package that switches an optional dependency on.
fn feature_of(package: &Value, dependency: &Value) -> String {
    if dependency["optional"] == false {
        return String::new();
    }
    let switch = format!("dep:{}", dependency["name"].as_str().unwrap());
    let features = package["features"].as_object().unwrap().iter();
    let mut with = features.filter(|(_, on)| on.as_array().unwrap().iter().any(|one| *one == switch.as_str()));
    with.next().map_or_else(|| switch.clone(), |(name, _)| name.clone())
}

/// What the manifests say, for `[dependencies]` alone.
fn resolved(metadata: &Value) -> Table {
    let mut table = Table::new();
    for package in metadata["packages"].as_array().unwrap() {
        let own = package["dependencies"].as_array().unwrap().iter().filter(|d| d["kind"].is_null());
        let own = own.filter_map(|d| Some((folder(d["path"].as_str()?), feature_of(package, d)))).collect();
        table.insert(folder(package["manifest_path"].as_str().unwrap()), Allowed::Only(own));
    }
    table
}

/// Where the page and the manifests differ.
fn deviations(page: &Table, cargo: &Table) -> Vec<String> {
    let stale = page.keys().filter(|name| !cargo.contains_key(*name));
    let mut faults: Vec<_> = stale.map(|name| format!("{name} has a row and is no crate")).collect();
    for (name, own) in cargo {
        match (page.get(name), own) {
            (None, _) => faults.push(format!("{name} has no row")),
            (Some(Allowed::Only(page)), Allowed::Only(own)) => {
                let page: BTreeMap<_, _> = page.iter().collect();
                let own: BTreeMap<_, _> = own.iter().collect();
                let more = own.iter().filter(|row| page.get(row.0) != Some(row.1));
                let less = page.iter().filter(|row| own.get(row.0) != Some(row.1));
                faults.extend(more.map(|(d, f)| format!("{name} depends on {d} {f}: the table does not say so")));
                faults.extend(less.map(|(d, f)| format!("{name} does not depend on {d} {f}: the table says so")));
            }
            (Some(_), _) => {}
        }
    }
    faults
}

#[test]
fn the_table_of_crates_is_what_cargo_says() {
    let page = std::fs::read_to_string(testkit::repository().join("docs/architecture.md")).unwrap();
    let metadata: Value = serde_json::from_str(&cargo(&["metadata", "--no-deps", "--format-version", "1"])).unwrap();
    let faults = deviations(&documented(&page), &resolved(&metadata));
    assert!(faults.is_empty(), "docs/architecture.md:\n{}", faults.join("\n"));
}

#[test]
fn no_tree_of_dependencies_has_what_its_crate_must_not_know() {
    let mut faults = BTreeSet::new();
    for (which, never) in NEVER {
        let tree = cargo(&[&["tree", "-e", "normal", "--prefix", "none", "--format", "{p}"][..], which].concat());
        for package in tree.lines().filter_map(|line| line.split(' ').next()) {
            let is_meant =
                |rule: &&str| rule.strip_suffix('*').map_or(*rule == package, |start| package.starts_with(start));
            if never.iter().any(is_meant) {
                faults.insert(format!("cargo tree {} has {package}", which.join(" ")));
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn a_deviation_is_named() {
    let page = "| crate | what | may depend on |\n|---|---|---|\n| `src/a` | A. | – |\n| `src/b` | B. | `a` |\n\
                | `src/c` | C. | `a`; `b` with the feature `f` |\n| `src/d` | D. | all |\n\nText.";
    let page = documented(page);
    let only = |names: &[(&str, &str)]| {
        Allowed::Only(names.iter().map(|(name, feature)| ((*name).to_owned(), (*feature).to_owned())).collect())
    };
    let row = |name: &str, names: &[(&str, &str)]| (name.to_owned(), only(names));
    let right = [row("a", &[]), row("b", &[("a", "")]), row("c", &[("a", ""), ("b", "f")]), row("d", &[("a", "")])];
    assert_eq!(deviations(&page, &Table::from(right)), Vec::<String>::new());
    let wrong = [row("a", &[("b", "")]), row("b", &[]), row("c", &[("a", ""), ("b", "")]), row("e", &[])];
    assert_eq!(
        deviations(&page, &Table::from(wrong)),
        [
            "d has a row and is no crate",
            "a depends on b : the table does not say so",
            "b does not depend on a : the table says so",
            "c depends on b : the table does not say so",
            "c does not depend on b f: the table says so",
            "e has no row",
        ]
    );
}
