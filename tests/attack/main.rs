//! The gate under attack: whoever may write one part of a RestoreRequest tries every way to write another. `make attack`
//! runs all of it; `make test` runs a part and says what it left out.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on should say where")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a suite says what it did, and with which seed")]
#![allow(dead_code, reason = "shared with tests/api, which uses more of it")]

#[path = "../api/cluster.rs"]
mod cluster;
mod forging;
mod once;
#[path = "../api/operator.rs"]
mod operator;
#[path = "../support/mod.rs"]
mod support;
#[path = "../api/admission/world.rs"]
mod world;

/// How many cases a suite runs of its `whole` number.
fn cases(suite: &str, whole: usize) -> usize {
    support::part::cases("make attack", suite, whole)
}

/// Some of a suite's cases in an order of chance: all of them, or one for each `cost` that `SENNIGHT_CASES` asks for.
fn some<T>(suite: &str, all: &mut Vec<T>, cost: usize) -> Vec<T> {
    let whole = all.len();
    let asked: Option<usize> = std::env::var("SENNIGHT_CASES").ok().and_then(|text| text.parse().ok());
    let wanted = asked.map_or(whole, |asked| (asked / cost).clamp(1, whole));
    if wanted < whole {
        println!("{suite}: {wanted} of {whole} cases; left out: {} (make attack runs all)", whole - wanted);
    }
    let mut state = seed(suite);
    let chance = |below: usize, state: &mut u64| {
        // SplitMix64: any order will do, and the same one again for the same seed.
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = *state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % below as u64).unwrap()
    };
    (0..wanted).map(|_| all.swap_remove(chance(all.len(), &mut state))).collect()
}

/// `SENNIGHT_SEED`, or a new one.
fn seed(suite: &str) -> u64 {
    support::part::seed(suite)
}
