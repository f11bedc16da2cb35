//! The long suites: many damaged backups, many failing dumps, many histories, and one of everything. `make integrity` runs
//! them whole; `make test` runs `SENNIGHT_CASES` of each and says what it left out.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on should say where")]
#![allow(
    clippy::large_futures,
    clippy::similar_names,
    reason = "a suite's futures are run once, on a heap that has room"
)]
#![allow(clippy::print_stdout, reason = "a suite says how many cases it ran, and with which seed")]

mod faults;
mod fixtures;
mod hostile;
mod model;
mod mutants;
mod partitions;
mod private_postgres;
mod races;
mod retention;
mod scale;
mod servers;
mod stores;

/// How many cases a suite runs of its `whole` number.
fn cases(suite: &str, whole: usize) -> usize {
    testkit::sampling::cases("make integrity", suite, whole)
}

/// `SENNIGHT_SEED`, or a new one.
fn seed(suite: &str) -> u64 {
    testkit::sampling::seed(suite)
}
