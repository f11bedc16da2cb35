//! Finds the guards that are marked in the code (docs/guards.md), checks the marks, and takes one guard away in a copy of its file.
//! tests/attack/guards.sh compiles these copies and runs the tests. Works in the current directory, the repository's root.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command of the build")]

use mark::Mark;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

mod mark;
mod page;
mod place;

const USAGE: &str = "usage: guards check | page | list | mutate NUMBER
  check           every mark is well formed, can be taken away, names one test, and stands in docs/guards.md
  page            writes the table of docs/guards.md anew
  list            number, suite, test, file and words of each guard, separated by tabs
  mutate NUMBER   the file of this guard without it, on stdout";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args[..] {
        ["check"] => check(),
        ["page"] => write_page(),
        ["list"] => list(),
        ["mutate", number] => mutate(number),
        _ => Err(USAGE.to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

/// Every guard, in the order of files and lines.
fn guards() -> Result<Vec<Mark>, String> {
    let mut found = Vec::new();
    for file in rust_files(Path::new("src"))? {
        found.extend(mark::marks(&file, &read(&file)?)?);
    }
    Ok(found)
}

fn check() -> Result<(), String> {
    let all = guards()?;
    let mut faults = Vec::new();
    let mut words = HashSet::new();
    for mark in &all {
        let place = format!("{}:{}", mark.file.display(), mark.line);
        if let Err(why) = place::without(&read(&mark.file)?, mark) {
            faults.push(why);
        }
        if !words.insert(&mark.what) {
            faults.push(format!("{place}: another guard is called {:?} as well", mark.what));
        }
        let among = if mark.tier == "lib" { PathBuf::from("src") } else { Path::new("tests").join(&mark.tier) };
        let found = tests_named(&mark.test, &among)?;
        if found != 1 {
            faults.push(format!(
                "{place}: {found} tests below {} are called {}; it must be one",
                among.display(),
                mark.test
            ));
        }
    }
    let text = read(Path::new(page::PAGE))?;
    if page::with_table(&text, &all)? != text {
        faults.push(format!("{} does not say what the marks say: run `make generate`", page::PAGE));
    }
    if faults.is_empty() { Ok(()) } else { Err(faults.join("\n")) }
}

fn tests_named(name: &str, below: &Path) -> Result<usize, String> {
    let head = format!("fn {name}(");
    let mut count = 0;
    for file in rust_files(below)? {
        count += read(&file)?.matches(&head).count();
    }
    Ok(count)
}

fn write_page() -> Result<(), String> {
    let text = page::with_table(&read(Path::new(page::PAGE))?, &guards()?)?;
    std::fs::write(page::PAGE, text).map_err(|error| format!("{}: {error}", page::PAGE))
}

fn list() -> Result<(), String> {
    for (number, mark) in guards()?.iter().enumerate() {
        println!("{number}\t{}\t{}\t{}\t{}", mark.tier, mark.test, mark.file.display(), mark.what);
    }
    Ok(())
}

fn mutate(number: &str) -> Result<(), String> {
    let all = guards()?;
    let mark = number.parse().ok().and_then(|number: usize| all.get(number)).ok_or("no guard has this number")?;
    print!("{}", place::without(&read(&mark.file)?, mark)?);
    Ok(())
}

/// Every Rust file below a directory, sorted.
fn rust_files(dir: &Path) -> Result<Vec<PathBuf>, String> {
    let fault = |error: std::io::Error| format!("{}: {error}", dir.display());
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(fault)? {
        let path = entry.map_err(fault)?.path();
        if path.is_dir() {
            files.extend(rust_files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn read(file: &Path) -> Result<String, String> {
    std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))
}
