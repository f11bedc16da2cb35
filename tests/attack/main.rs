//! The gate under attack: whoever may write one part of a RestoreRequest tries every way to write another. `make attack`
//! runs all of it; `make test` runs a part and says what it left out.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on should say where")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a suite says what it did, and with which seed")]
#![allow(clippy::needless_pass_by_value, reason = "a line of the table gives its JSON away")]

mod exactly_once;
mod forging;
mod gate;
mod guards_cel;
mod how;
mod latency;
mod private_api;
mod scene;
mod storm;
// One case a line, however long.
#[rustfmt::skip]
mod table;
mod weakened;

/// How many cases a suite runs of its `whole` number.
fn cases(suite: &str, whole: usize) -> usize {
    testkit::sampling::cases("make attack", suite, whole)
}

/// The same of a suite whose cases cost more: one for each `cost` of them.
fn part(suite: &str, whole: usize, cost: usize) -> usize {
    testkit::sampling::costly("make attack", suite, whole, cost)
}

/// Some of a suite's cases in an order of chance: all of them, or one for each `cost` that `SENNIGHT_CASES` asks for.
fn some<T>(suite: &str, all: &mut Vec<T>, cost: usize) -> Vec<T> {
    let wanted = part(suite, all.len(), cost);
    let mut state = seed(suite);
    let mut chance = |below: usize| {
        // SplitMix64: any order will do, and the same one again for the same seed.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % below as u64).unwrap()
    };
    (0..wanted).map(|_| all.swap_remove(chance(all.len()))).collect()
}

/// `SENNIGHT_SEED`, or a new one.
fn seed(suite: &str) -> u64 {
    testkit::sampling::seed(suite)
}
