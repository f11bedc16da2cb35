//! Two pictures of a database side by side: lines by what they belong to, and what was lost and what came.

use std::collections::{BTreeMap, BTreeSet};

/// How many lines of a difference are shown, and how much of each.
const SHOWN: usize = 12;
const WIDTH: usize = 900;

/// Lines by what they belong to: a definition, a table's rows, a catalog.
pub type Parts = BTreeMap<String, Vec<String>>;

/// What differs, as a person reads it. Empty: equal.
pub fn differences(before: &Parts, now: &Parts) -> Vec<String> {
    let names: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
    let none = Vec::new();
    let of = |name: &String| [before, now].map(|parts| parts.get(name).unwrap_or(&none));
    let unequal = names.into_iter().map(|name| (name, of(name))).filter(|(_, [old, new])| old != new);
    unequal
        .map(|(name, [old, new])| {
            let (lost, came) = (missing(old, new), missing(new, old));
            format!("{name}: {} lines, now {}\n  lost: {lost:#?}\n  came: {came:#?}", old.len(), new.len())
        })
        .collect()
}

fn missing(from: &[String], of: &[String]) -> Vec<String> {
    let of: BTreeSet<&String> = of.iter().collect();
    from.iter().filter(|line| !of.contains(line)).take(SHOWN).map(|line| line.chars().take(WIDTH).collect()).collect()
}
