//! The gate under attack: whoever may write one part of a RestoreRequest tries every way to write another. `make attack`
//! runs all of it; `make test` runs a part and says what it left out.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on should say where")]
#![allow(clippy::print_stdout, reason = "a suite says what it did, and with which seed")]
#![allow(dead_code, reason = "shared with tests/api, which uses more of it")]

#[path = "../api/cluster.rs"]
mod cluster;
mod forging;
#[path = "../support/mod.rs"]
mod support;
#[path = "../api/admission/world.rs"]
mod world;

/// How many cases a suite runs of its `whole` number.
fn cases(suite: &str, whole: usize) -> usize {
    support::part::cases("make attack", suite, whole)
}

/// `SENNIGHT_SEED`, or a new one.
fn seed(suite: &str) -> u64 {
    support::part::seed(suite)
}
