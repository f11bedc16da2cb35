//! The rules that the compiler does not know: what Cargo resolved against docs/architecture.md (`crates`), no cycle of
//! modules (`cycles`), that pure crates deny what clippy knows of the outside, and how long a file may be.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's helpers fail by panicking")]

mod crates;
mod cycles;
mod modules;

use modules::Files;
use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;

/// A file with more lines has two subjects; from the second number on it fails.
const LINES: (usize, usize) = (600, 800);

/// Crates whose modules still need each other in circles.
const WITH_CYCLES: &[&str] = &["operator"];

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
fn no_crate_but_the_operator_has_a_cycle_of_modules() {
    let mut faults = vec![];
    for (name, files) in crates() {
        let cycles = cycles::cycles(&files);
        if !WITH_CYCLES.contains(&name.as_str()) {
            faults.extend(cycles.into_iter().map(|cycle| format!("src/{name}: {cycle}")));
        } else if cycles.is_empty() {
            faults.push(format!("src/{name} has no cycle any more: take it out of WITH_CYCLES"));
        }
    }
    assert!(faults.is_empty(), "what two modules need goes into a third:\n{}", faults.join("\n"));
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
