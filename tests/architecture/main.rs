//! The rules that the compiler does not know: what Cargo resolved against docs/architecture.md (`crates`), no cycle of
//! modules (`cycles`), that the worker names no engine (`engines`), that pure crates deny what clippy knows of the outside, and how long a file may be.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's helpers fail by panicking")]

mod crates;
mod cycles;
mod engines;
mod modules;

use modules::{Crate, Edge, Files};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;

/// A file with more lines has two subjects; from the second number on it fails.
const LINES: (usize, usize) = (600, 800);

/// Functions of values: everything that changes from one run to the next is an argument.
const PURE: &[&str] = &["core", "export", "protocol", "present"];

/// Clippy's lists of what reads the clock, the environment, files or the network are in .clippy.toml.
const NO_OUTSIDE: &str = "#![deny(clippy::disallowed_methods, clippy::disallowed_types)]";

/// Every Rust file of a crate, by its path below the crate's folder.
fn files(krate: &Path) -> Files {
    let mut found = Files::new();
    let mut folders = vec![krate.join("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let name = path.strip_prefix(krate).unwrap().display().to_string();
                found.insert(name, std::fs::read_to_string(&path).unwrap());
            }
        }
    }
    found
}

/// Each crate below src/: its folder's name and its files.
fn crates() -> Vec<(String, Files)> {
    let members = std::fs::read_dir(testkit::repository().join("src")).unwrap().map(|entry| entry.unwrap());
    let crates: Vec<_> = members.map(|entry| (entry.file_name().display().to_string(), files(&entry.path()))).collect();
    assert!(crates.len() > 9, "src is read wrongly");
    crates
}

#[test]
fn no_crate_has_a_cycle_of_modules() {
    let cycles = |(name, files): &(String, Files)| {
        cycles::cycles(files).into_iter().map(|cycle| format!("src/{name}: {cycle}")).collect::<Vec<_>>()
    };
    let faults: Vec<String> = crates().iter().flat_map(cycles).collect();
    assert!(faults.is_empty(), "what two modules need goes into a third:\n{}", faults.join("\n"));
}

/// Files and folders of the operator in the order of the page's table, by module. Several in one row may use each other.
fn rows_of_the_operator(page: &str) -> BTreeMap<String, usize> {
    let rows = page.split_once("| below `src/operator/src/` |").unwrap().1.lines().skip(2);
    let rows = rows.take_while(|line| line.starts_with('|')).map(|row| row.split('|').nth(1).unwrap());
    let module = |name: &str| name.trim_end_matches('/').trim_end_matches(".rs").to_owned();
    let modules = |row: (usize, &str)| -> Vec<_> {
        row.1.split('`').skip(1).step_by(2).map(|name| (module(name), row.0)).collect()
    };
    rows.enumerate().flat_map(modules).collect()
}

#[test]
fn a_part_of_the_operator_knows_nothing_of_those_below_it_in_the_table() {
    let page = std::fs::read_to_string(testkit::repository().join("docs/architecture.md")).unwrap();
    let rows = rows_of_the_operator(&page);
    let files = files(&testkit::repository().join("src/operator"));
    let row =
        |module: &String| rows.get(module).unwrap_or_else(|| panic!("docs/architecture.md has no row of {module}"));
    let mut faults = BTreeSet::new();
    for Edge { from, to, place } in Crate::read(&files).edges() {
        if let (Some(user), Some(used)) = (from.first(), to.first())
            && row(used) > row(user)
        {
            faults.insert(format!("{user} uses {used} ({place})"));
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

/// The files of each reconcile of a RestoreRequest, in the order of the page: a column for each controller.
fn reconciles(page: &str) -> Vec<Vec<String>> {
    let rows = page.split_once("| `restore` | `restore_cleanup` | `restore_record` |").unwrap().1.lines().skip(2);
    let rows: Vec<Vec<&str>> =
        rows.take_while(|line| line.starts_with('|')).map(|row| row.split('|').collect()).collect();
    let file = |cell: &str| {
        let name = cell.split('`').nth(1)?;
        let krate = if cell.trim_start().starts_with("core:") { "core" } else { "operator" };
        Some(format!("src/{krate}/src/{name}"))
    };
    (1..=3).map(|column| rows.iter().filter_map(|row| file(row[column])).collect()).collect()
}

#[test]
fn a_reconcile_of_a_restore_request_reads_at_most_twelve_files_each_called_by_one_before_it() {
    let page = std::fs::read_to_string(testkit::repository().join("docs/architecture.md")).unwrap();
    for files in reconciles(&page) {
        assert!((6..=12).contains(&files.len()), "{} files: {files:#?}", files.len());
        assert_eq!(files.iter().collect::<BTreeSet<_>>().len(), files.len(), "a file stands twice in {files:#?}");
        let texts: Vec<String> = files.iter().map(|file| testkit::file(file)).collect();
        for (at, file) in files.iter().enumerate().skip(1) {
            let module = file.rsplit('/').next().unwrap().trim_end_matches(".rs");
            // A folder's mod.rs is known by the folder's name, and nobody calls it but the loop.
            let named = |text: &String| {
                text.contains(&format!("{module}::"))
                    || text.contains(&format!("::{module}"))
                    || text.contains(&format!("{module},"))
                    || text.contains(&format!("mod {module};"))
            };
            assert!(texts[..at].iter().any(named), "no file before {file} calls it: {files:#?}");
        }
    }
}

#[test]
fn pure_crates_deny_what_clippy_knows_of_the_outside() {
    for (name, files) in crates().iter().filter(|(name, _)| PURE.contains(&name.as_str())) {
        assert!(files["src/lib.rs"].contains(NO_OUTSIDE), "src/{name}/src/lib.rs must have {NO_OUTSIDE}");
    }
}

#[test]
fn a_file_says_what_belongs_into_it_and_is_no_longer_than_800_lines() {
    let mut faults = BTreeSet::new();
    for (name, files) in crates() {
        for (file, text) in files {
            let lines = text.lines().count();
            if !text.starts_with("//! ") {
                faults.insert(format!("src/{name}/{file}: its first line must be `//! <what belongs in here>`"));
            }
            if lines > LINES.1 {
                faults.insert(format!("src/{name}/{file}: {lines} lines; divide it where its subjects part"));
            } else if lines > LINES.0 {
                // Not by `eprintln!`, which cargo shows for a failed test only.
                writeln!(std::io::stderr(), "warning: src/{name}/{file} has {lines} lines").unwrap();
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}
