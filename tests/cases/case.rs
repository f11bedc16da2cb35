//! A case's file: its text, and the lines of its head that the suite reads. `tests/cases/README.md` lists them.

use std::collections::BTreeMap;
use testkit::repository;

/// One file.
#[derive(Debug, Clone)]
pub struct Case {
    /// Its path below `tests/cases/`.
    pub name: String,
    pub text: String,
    head: BTreeMap<String, String>,
}

/// Lines of a head that the suite reads; every other one is for people.
const KEYS: [&str; 15] = [
    "ways",
    "servers",
    "database",
    "dump by",
    "globals",
    "lenient",
    "setup",
    "teardown",
    "before restore",
    "check",
    "benign",
    "account",
    "rights",
    "non-transactional",
    "no warning",
];

impl Case {
    /// The files of a directory with this ending, in order. `SENNIGHT_CASE`, part of a path, chooses some.
    pub fn all(directory: &str, ending: &str) -> Vec<Self> {
        let chosen = std::env::var("SENNIGHT_CASE").unwrap_or_default();
        let mut names: Vec<String> = std::fs::read_dir(repository().join("tests/cases").join(directory))
            .unwrap()
            .map(|entry| format!("{directory}/{}", entry.unwrap().file_name().to_str().unwrap()))
            .filter(|name| name.ends_with(ending) && !name.contains("/lib") && name.contains(&chosen))
            .collect();
        names.sort();
        names.into_iter().map(Self::read).collect()
    }

    fn read(name: String) -> Self {
        let text = testkit::file(&format!("tests/cases/{name}"));
        let comments = text.lines().take_while(|line| line.starts_with("-- ") || line.starts_with('#'));
        let lines = comments.filter_map(|line| line.trim_start_matches(['-', '#']).trim_start().split_once(':'));
        let known = lines.filter(|(key, _)| KEYS.contains(key));
        let head = known.map(|(key, value)| (key.to_owned(), value.trim().to_owned())).collect();
        Self { name, text, head }
    }

    /// A line of the head.
    pub fn head(&self, key: &str) -> Option<&str> {
        assert!(KEYS.contains(&key), "{key}");
        self.head.get(key).map(String::as_str)
    }

    /// The ways to bring the database back that are tried.
    pub fn ways(&self, otherwise: &str) -> Vec<String> {
        self.head("ways").unwrap_or(otherwise).split_whitespace().map(str::to_owned).collect()
    }

    /// Whether it concerns this server: one that is named, or whose name begins with a named one.
    pub fn concerns(&self, server: &str) -> bool {
        self.head("servers").is_none_or(|names| names.split_whitespace().any(|name| server.starts_with(name)))
    }

    /// Whether a part of a picture is to be the same.
    pub fn looks_at(&self, part: &str) -> bool {
        self.head("benign").is_none_or(|parts| parts.split('|').all(|benign| benign.trim() != part))
    }
}
