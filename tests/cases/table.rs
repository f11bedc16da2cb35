//! `expected.tsv`: how each case ends today, how it should, and the issue that brings it there.

use crate::outcome::Outcome;
use std::collections::BTreeMap;
use std::io::Write as _;

/// A line that cargo does not swallow when the test passes.
pub fn say(words: &str) {
    let _ = writeln!(std::io::stderr(), "cases: {words}");
}

/// One row of the table.
#[derive(Debug)]
struct Row {
    case: String,
    way: String,
    /// Names of servers, or `*`.
    servers: String,
    /// Outcomes with ` | ` between them, where a race decides.
    today: String,
    right: String,
    /// Number of the issue, or `-` where none is needed.
    issue: String,
}

impl Row {
    fn is_for(&self, case: &str, way: &str, server: &str) -> bool {
        let here = self.servers == "*" || self.servers.split(',').any(|name| name == server);
        self.case == case && self.way == way && here
    }
}

fn rows() -> Vec<Row> {
    let text = testkit::file("tests/cases/expected.tsv");
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines
        .map(|line| {
            let cells: Vec<String> = line.split('\t').map(str::to_owned).collect();
            let Ok([case, way, servers, today, right, issue]) = <[String; 6]>::try_from(cells) else {
                panic!("expected.tsv: not six cells: {line}")
            };
            Row { case, way, servers, today, right, issue }
        })
        .collect()
}

/// Outcomes held against the table.
pub struct Run {
    rows: Vec<Row>,
    counts: BTreeMap<&'static str, usize>,
    faults: Vec<String>,
}

impl Run {
    pub fn new() -> Self {
        Self { rows: rows(), counts: BTreeMap::new(), faults: Vec::new() }
    }

    /// How a case ended.
    pub fn hold(&mut self, case: &str, way: &str, server: &str, outcome: &Outcome) {
        let kind = match outcome {
            Outcome::Same => "same",
            Outcome::Differs(_) => "differ",
            Outcome::Refused(_) => "refused",
            Outcome::Failed(_) => "failed",
        };
        *self.counts.entry(kind).or_default() += 1;
        self.said(case, way, server, &outcome.to_string());
    }

    /// What a script said of one of its tries.
    pub fn hold_words(&mut self, case: &str, way: &str, server: &str, words: &str) {
        let kind = if words == "held" { "held" } else { "not held" };
        *self.counts.entry(kind).or_default() += 1;
        self.said(case, way, server, words);
    }

    fn said(&mut self, case: &str, way: &str, server: &str, words: &str) {
        say(&format!("\t{case}\t{way}\t{server}\t{words}"));
        match self.rows.iter().find(|row| row.is_for(case, way, server)) {
            None => self.faults.push(format!("{case} {way} {server}: {words}; expected.tsv has no row for it")),
            Some(row) if !row.today.split(" | ").any(|today| today == words) => {
                let better = if row.right == words { "; that is right: move its row" } else { "" };
                self.faults.push(format!("{case} {way} {server}: {words}; the table says {}{better}", row.today));
            }
            Some(_) => {}
        }
    }

    /// Fails where a case ended otherwise.
    pub fn end(self, what: &str) {
        let counted: Vec<String> = self.counts.iter().map(|(kind, n)| format!("{n} {kind}")).collect();
        say(&format!("{what}: {}", counted.join(", ")));
        assert!(self.faults.is_empty(), "{} ended otherwise:\n{}", self.faults.len(), self.faults.join("\n"));
    }
}

#[test]
fn every_case_has_a_row_and_every_row_a_case_and_a_reason() {
    let rows = rows();
    let files =
        [("postgres", ".sql"), ("mysql", ".sql"), ("mysql/held", ".sql"), ("security", ".sh"), ("postgres", ".sh")];
    let cases: Vec<String> = files
        .into_iter()
        .flat_map(|(directory, ending)| crate::case::Case::all(directory, ending))
        .map(|case| case.name)
        .collect();
    let without: Vec<&String> = cases.iter().filter(|case| !rows.iter().any(|row| &row.case == *case)).collect();
    assert!(without.is_empty(), "no row: {without:?}");
    if std::env::var("SENNIGHT_CASE").is_err() {
        let gone: Vec<&Row> = rows.iter().filter(|row| !cases.contains(&row.case)).collect();
        assert!(gone.is_empty(), "no file: {gone:?}");
    }
    for row in &rows {
        assert!(row.today == row.right || row.issue.parse::<u32>().is_ok(), "no issue mends it: {row:?}");
        let held = row.case.starts_with("mysql/held/") || row.case.contains("nasty-held");
        assert!(!held || row.today == "Same", "it held in the review: {row:?}");
    }
}
