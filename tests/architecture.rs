//! The house's rules that the compiler does not know: which room may import which (DESIGN, section 9), how long a file
//! may be, and that each says in its first line what belongs into it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's helpers fail by panicking")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// What a room may use of this crate and of others. Its own modules and `std` always.
struct Room {
    name: &'static str,
    /// Rooms of this crate.
    rooms: &'static [&'static str],
    /// Other crates; `None` is every one that `never` does not name.
    crates: Option<&'static [&'static str]>,
    /// Beginnings of paths that must not appear.
    never: &'static [&'static str],
}

/// Dependencies that Cargo.toml certainly has: without them it was read wrongly.
const KUBERNETES: &[&str] = &["kube", "k8s_openapi", "schemars"];

const ROOMS: &[Room] = &[
    Room {
        name: "domain",
        rooms: &[],
        crates: Some(&[
            "chrono",
            "chrono_tz",
            "croner",
            "hex",
            "hmac",
            "serde",
            "serde_json",
            "sha2",
            "strum",
            "thiserror",
        ]),
        // Pure: `now` is an argument, and so is everything else that the outside knows.
        never: &[
            "Utc::now",
            "Local::now",
            "chrono::Local",
            "Instant::now",
            "SystemTime::now",
            "std::env",
            "std::fs",
            "std::net",
            "std::process",
            "std::thread",
        ],
    },
    Room {
        name: "protocol",
        rooms: &["domain"],
        crates: Some(&["chrono", "serde", "serde_json", "strum", "thiserror"]),
        never: &["Utc::now", "std::env", "std::fs", "std::process"],
    },
    Room {
        name: "api",
        rooms: &["domain"],
        crates: Some(&[
            "chrono",
            "k8s_openapi",
            "kube",
            "schemars",
            "serde",
            "serde_json",
            "serde_saphyr",
            "strum",
            "thiserror",
        ]),
        never: &[
            "kube::Client",
            "kube::client",
            "kube::Api",
            "kube::api",
            "kube::runtime",
            "Utc::now",
            "std::env",
            "std::fs",
        ],
    },
    Room {
        name: "export",
        rooms: &["domain"],
        crates: None,
        never: &[
            "kube",
            "k8s_openapi",
            "aws_config",
            "aws_sdk_",
            "aws_smithy_",
            "aws_credential_",
            "tokio",
            "mysql_async",
            "tokio_postgres",
            "clap",
            "Utc::now",
            "std::env",
            "std::net",
        ],
    },
    Room {
        name: "store",
        rooms: &["domain", "protocol"],
        crates: None,
        never: &["kube", "k8s_openapi", "mysql_async", "tokio_postgres", "clap"],
    },
    Room {
        name: "engine",
        rooms: &["domain", "protocol"],
        crates: None,
        never: &["kube", "k8s_openapi", "aws_config", "aws_sdk_", "aws_smithy_", "aws_credential_", "clap"],
    },
    Room {
        name: "worker",
        rooms: &["domain", "protocol", "store", "engine", "export"],
        crates: None,
        never: &[
            "kube",
            "k8s_openapi",
            "aws_config",
            "aws_sdk_",
            "aws_smithy_",
            "aws_credential_",
            "mysql_async",
            "tokio_postgres",
            "clap",
        ],
    },
    Room {
        name: "controller",
        // settings, telemetry and http are how main tells it what to do, where to count and whom to tell that it is ready.
        rooms: &["api", "domain", "protocol", "store", "settings", "telemetry", "http"],
        crates: None,
        never: &[
            "aws_config",
            "aws_sdk_",
            "aws_smithy_",
            "aws_credential_",
            "mysql_async",
            "tokio_postgres",
            "clap",
            "csv",
            "zip",
        ],
    },
    Room {
        name: "plugin",
        rooms: &["api", "domain", "protocol", "store"],
        crates: None,
        never: &["mysql_async", "tokio_postgres", "aws_sdk_", "aws_smithy_"],
    },
];

/// These put the others together and may use all of them.
const FRONT: &[&str] = &["main", "lib", "cli", "settings", "telemetry", "logging", "http"];

fn root() -> PathBuf {
    testkit::repository().to_owned()
}

fn sources(dir: &Path) -> Vec<PathBuf> {
    let mut found = vec![];
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The module path of a source file below `src`: `["worker", "dump"]`.
fn module(relative: &Path) -> Vec<String> {
    let mut parts: Vec<String> =
        relative.with_extension("").iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if parts.last().is_some_and(|last| last == "mod") {
        parts.pop();
    }
    parts
}

/// The text without comments, strings and characters, so that only code is left.
fn code(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let (mut out, mut i) = (String::with_capacity(text.len()), 0);
    while i < chars.len() {
        let rest = &chars[i..];
        let step = match rest {
            ['/', '/', ..] => rest.iter().position(|c| *c == '\n').unwrap_or(rest.len()),
            ['/', '*', ..] => block_comment(rest),
            ['r', '"' | '#', ..] if !chars[..i].last().is_some_and(|c| c.is_alphanumeric() || *c == '_') => {
                raw_string(rest)
            }
            ['"', ..] => string(rest),
            ['\'', '\\', ..] => rest.iter().skip(2).position(|c| *c == '\'').map_or(rest.len(), |end| end + 3),
            ['\'', _, '\'', ..] => 3,
            _ => 0,
        };
        if step == 0 {
            out.push(chars[i]);
            i += 1;
        } else {
            out.push(' ');
            i += step;
        }
    }
    out
}

fn block_comment(text: &[char]) -> usize {
    let (mut depth, mut i) = (0, 0);
    while i < text.len() {
        match &text[i..] {
            ['/', '*', ..] => (depth, i) = (depth + 1, i + 2),
            ['*', '/', ..] if depth == 1 => return i + 2,
            ['*', '/', ..] => (depth, i) = (depth - 1, i + 2),
            _ => i += 1,
        }
    }
    text.len()
}

fn string(text: &[char]) -> usize {
    let mut i = 1;
    while i < text.len() {
        match text[i] {
            '\\' => i += 2,
            '"' => return i + 1,
            _ => i += 1,
        }
    }
    text.len()
}

/// Zero if it is a raw identifier and no string.
fn raw_string(text: &[char]) -> usize {
    let hashes = text[1..].iter().take_while(|c| **c == '#').count();
    if text.get(1 + hashes) != Some(&'"') {
        return 0;
    }
    let end: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
    text[2 + hashes..].windows(end.len()).position(|w| w == end).map_or(text.len(), |at| 2 + hashes + at + end.len())
}

/// Code that is compiled into the product: what follows `#[cfg(test)]` at a file's end is not.
fn product(text: &str) -> String {
    let code = code(text);
    let end = code.find("#[cfg(test)]\nmod tests {").unwrap_or(code.len());
    code[..end].to_owned()
}

/// Every path in the code, `use` trees unfolded, written `a::b::c`. Relative ones are made absolute (`crate::…`) for a
/// file whose module path is `module`.
fn paths(code: &str, module: &[String]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let chars: Vec<char> = code.chars().collect();
    let mut i = 0;
    while i < chars.len() {
        let starts = (chars[i].is_alphabetic() || chars[i] == '_')
            && !(i > 0 && (chars[i - 1].is_alphanumeric() || chars[i - 1] == '_'));
        if !starts {
            i += 1;
            continue;
        }
        let (tree, end) = tree(&chars, i);
        // `name::` is a path, and so is a lone name that `use` brings in.
        let is_use = preceded_by_use(&chars, i);
        for path in tree {
            if is_use || path.contains("::") {
                found.insert(absolute(&path, module));
            }
        }
        i = end.max(i + 1);
    }
    found
}

fn preceded_by_use(chars: &[char], at: usize) -> bool {
    let mut before = chars[..at].iter().rev().skip_while(|c| c.is_whitespace());
    let word: String = before.by_ref().take_while(|c| c.is_alphanumeric() || **c == '_').collect();
    word == "esu"
}

/// The paths of a use tree or a plain path that begins at `at`, and where it ends.
fn tree(chars: &[char], at: usize) -> (Vec<String>, usize) {
    let mut i = at;
    while i < chars.len() && (chars[i].is_alphanumeric() || chars[i] == '_') {
        i += 1;
    }
    let name: String = chars[at..i].iter().collect();
    if !chars[i..].starts_with(&[':', ':']) {
        return (vec![name], i);
    }
    i += 2;
    match chars.get(i) {
        Some('{') => {
            let mut all = vec![name.clone()];
            i += 1;
            while i < chars.len() && chars[i] != '}' {
                if chars[i].is_alphanumeric() || chars[i] == '_' {
                    let (below, end) = tree(chars, i);
                    all.extend(below.iter().map(|path| format!("{name}::{path}")));
                    i = end;
                } else {
                    i += 1;
                }
            }
            (all, i + 1)
        }
        Some(c) if c.is_alphabetic() || *c == '_' => {
            let (below, end) = tree(chars, i);
            (below.iter().map(|path| format!("{name}::{path}")).collect(), end)
        }
        _ => (vec![format!("{name}::*")], i),
    }
}

fn absolute(path: &str, module: &[String]) -> String {
    let mut here: Vec<&str> = module.iter().map(String::as_str).collect();
    let mut parts = path.split("::").peekable();
    match parts.peek() {
        Some(&"self") => drop(parts.next()),
        Some(&"super") => {
            while parts.next_if_eq(&"super").is_some() {
                here.pop();
            }
        }
        _ => return path.to_owned(),
    }
    std::iter::once("crate").chain(here).chain(parts).collect::<Vec<_>>().join("::")
}

fn dependencies() -> BTreeSet<String> {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let section = manifest.split("\n[dependencies]\n").nth(1).unwrap().split("\n[").next().unwrap();
    section.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name.trim().replace('-', "_")).collect()
}

/// What the file uses that its room may not.
fn trespasses(room: &Room, found: &BTreeSet<String>, dependencies: &BTreeSet<String>) -> Vec<String> {
    let rooms: BTreeSet<&str> = ROOMS.iter().map(|r| r.name).chain(FRONT.iter().copied()).collect();
    found
        .iter()
        .filter(|path| {
            let mut parts = path.split("::");
            let first = parts.next().unwrap_or_default();
            if first == "crate" {
                let other = parts.next().unwrap_or_default();
                return rooms.contains(other) && other != room.name && !room.rooms.contains(&other);
            }
            let never = room.never.iter().any(|bad| {
                if bad.ends_with('_') {
                    path.starts_with(bad)
                } else {
                    *path == bad || path.starts_with(&format!("{bad}::"))
                }
            });
            let foreign = dependencies.contains(first) && room.crates.is_some_and(|all| !all.contains(&first));
            never || foreign
        })
        .cloned()
        .collect()
}

#[test]
fn every_room_imports_only_what_the_table_allows() {
    let (src, dependencies) = (root().join("src"), dependencies());
    assert!(KUBERNETES.iter().all(|name| dependencies.contains(*name)), "Cargo.toml is read wrongly");
    let mut faults = vec![];
    for file in sources(&src) {
        let relative = file.strip_prefix(&src).unwrap();
        let module = module(relative);
        let Some(room) = ROOMS.iter().find(|room| module.first().is_some_and(|first| first == room.name)) else {
            assert!(
                FRONT.contains(&module[0].as_str()),
                "{} is in no room: add it to DESIGN's table and to this test",
                relative.display()
            );
            continue;
        };
        // The two thin binaries start rooms and are none; a file of tests only is not in the product.
        if relative == Path::new("plugin/main.rs") || module.last().is_some_and(|last| last == "tests") {
            continue;
        }
        let found = paths(&product(&std::fs::read_to_string(&file).unwrap()), &module);
        for path in trespasses(room, &found, &dependencies) {
            faults.push(format!("src/{} uses {path}", relative.display()));
        }
    }
    assert!(faults.is_empty(), "DESIGN section 9 forbids:\n{}", faults.join("\n"));
}

#[test]
fn every_file_says_what_belongs_into_it_and_is_at_most_400_lines_long() {
    let mut faults = vec![];
    for file in sources(&root().join("src")) {
        let text = std::fs::read_to_string(&file).unwrap();
        let lines = text.lines().count();
        let name = file.strip_prefix(root()).unwrap().display().to_string();
        if !text.starts_with("//! ") {
            faults.push(format!("{name}: its first line must be `//! <what belongs in here>`"));
        }
        if lines > 400 {
            faults.push(format!("{name}: {lines} lines; cut it where its subjects part (400 is the limit)"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn paths_are_found_in_use_trees_plain_code_and_behind_super() {
    let text = r##"
        //! crate::comment::is_none
        use crate::{api::{self, Condition}, store as s};
        use super::super::engine::{postgres, mysql::rows};
        use tokio;
        fn f<'a>(x: &'a str) -> char {
            let _ = "crate::string::is_none \" still";
            let _ = r#"aws_sdk_s3::none"#;
            let c = '"'; /* kube::none /* nested */ kube::none */
            kube::Client::try_default();
            super::own();
            '\''
        }
        #[cfg(test)]
mod tests {
            use proptest::none;
        }
    "##
    .replace("        #[cfg(test)]", "#[cfg(test)]");
    let module = ["worker".to_owned(), "dump".to_owned()];
    let found = paths(&product(&text), &module);
    for wanted in [
        "crate::api::self",
        "crate::api::Condition",
        "crate::store",
        "crate::engine::postgres",
        "crate::engine::mysql::rows",
        "tokio",
        "kube::Client::try_default",
        "crate::worker::own",
    ] {
        assert!(found.contains(wanted), "{wanted} in {found:?}");
    }
    assert!(!found.iter().any(|path| path.contains("none")), "{found:?}");
}

#[test]
fn a_trespass_is_found() {
    let dependencies = dependencies();
    let room = |name: &str| ROOMS.iter().find(|room| room.name == name).unwrap();
    let one = |path: &str| BTreeSet::from([path.to_owned()]);
    for (name, path) in [
        ("domain", "kube::Client"),
        ("domain", "tokio"),
        ("domain", "crate::api::Condition"),
        ("domain", "Utc::now"),
        ("domain", "std::env::var"),
        ("domain", "crate::protocol::task"),
        ("protocol", "crate::store::Store"),
        ("export", "crate::protocol::task"),
        ("api", "crate::store::Store"),
        ("api", "kube::Client"),
        ("store", "crate::engine"),
        ("export", "aws_sdk_s3::Client"),
        ("worker", "crate::controller::lease"),
        ("worker", "kube::Api"),
        ("controller", "crate::engine::postgres"),
        ("plugin", "crate::worker::run"),
        ("controller", "crate::cli::Cli"),
    ] {
        assert_eq!(trespasses(room(name), &one(path), &dependencies), [path], "{name} {path}");
    }
    for (name, path) in [
        ("domain", "chrono::Utc"),
        ("domain", "crate::domain::names"),
        ("worker", "crate::store::Store"),
        ("controller", "kube::Client"),
        ("api", "crate::domain::names"),
        ("api", "kube::CustomResource"),
        ("domain", "std::collections::BTreeMap"),
    ] {
        assert!(trespasses(room(name), &one(path), &dependencies).is_empty(), "{name} {path}");
    }
}
