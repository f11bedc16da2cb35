//! How a long suite runs a part of itself, and how one of its runs can be had again.
#![allow(clippy::print_stdout, reason = "a suite says how many cases it ran, and with which seed")]

/// How many cases a suite runs of its `whole` number: `SENNIGHT_CASES`, if that is fewer. `command` runs all.
pub fn cases(command: &str, suite: &str, whole: usize) -> usize {
    let asked = std::env::var("SENNIGHT_CASES").ok().and_then(|text| text.parse().ok());
    let cases = asked.map_or(whole, |asked: usize| asked.min(whole));
    if cases < whole {
        println!("{suite}: {cases} of {whole} cases; left out: {} ({command} runs all)", whole - cases);
    }
    cases
}

/// The same of a suite whose cases cost so much more than others: one for each `cost` that `SENNIGHT_CASES` asks for.
pub fn costly(command: &str, suite: &str, whole: usize, cost: usize) -> usize {
    let asked = std::env::var("SENNIGHT_CASES").ok().and_then(|text| text.parse().ok());
    let cases = asked.map_or(whole, |asked: usize| (asked / cost).clamp(1, whole));
    if cases < whole {
        println!("{suite}: {cases} of {whole} cases; left out: {} ({command} runs all)", whole - cases);
    }
    cases
}

/// `SENNIGHT_SEED`, or a new one; printed, so that a failure can be had again.
pub fn seed(suite: &str) -> u64 {
    let seed = std::env::var("SENNIGHT_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or_else(rand::random);
    println!("{suite}: SENNIGHT_SEED={seed}");
    seed
}
