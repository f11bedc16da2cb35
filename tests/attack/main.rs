//! The gate under attack: whoever may write one part of a RestoreRequest tries every way to write another. `make attack`
//! runs all of it; `make test` runs a part and says what it left out.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on should say where")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a suite says what it did, and with which seed")]
#![allow(clippy::needless_pass_by_value, reason = "a line of the table gives its JSON away")]
#![allow(dead_code, reason = "shared with tests/api, which uses more of it")]

#[path = "../api/cluster.rs"]
mod cluster;
mod forging;
mod gate;
mod guards_cel;
mod how;
mod latency;
#[path = "../api/operator.rs"]
mod operator;
mod private_api;
mod scene;
mod storm;
#[path = "../support/mod.rs"]
mod support;
// One case a line, however long.
#[rustfmt::skip]
mod table;
mod weakened;
#[path = "../api/admission/world.rs"]
mod world;

/// How many cases a suite runs of its `whole` number.
fn cases(suite: &str, whole: usize) -> usize {
    support::part::cases("make attack", suite, whole)
}

/// The same of a suite whose cases cost more: one for each `cost` of them.
fn part(suite: &str, whole: usize, cost: usize) -> usize {
    support::part::costly("make attack", suite, whole, cost)
}

/// `SENNIGHT_SEED`, or a new one.
fn seed(suite: &str) -> u64 {
    support::part::seed(suite)
}
