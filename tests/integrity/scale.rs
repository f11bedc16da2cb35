//! How many cases a suite runs, and from which seed.

/// The number of cases: `whole`, unless SENNIGHT_CASES asks for fewer. `weigh` turns its number, meant for cases of a
/// second each, into as many of this suite's own. What is left out is said.
pub fn cases(suite: &str, whole: u64, weigh: impl Fn(u64) -> u64) -> u64 {
    let asked =
        std::env::var("SENNIGHT_CASES").ok().map(|text| text.parse::<u64>().expect("SENNIGHT_CASES is a number"));
    match asked.map(weigh) {
        Some(asked) if asked < whole => {
            println!("{suite}: {asked} of {whole} cases; left out: {} (make integrity runs all)", whole - asked);
            asked
        }
        _ => whole,
    }
}

/// The first seed; SENNIGHT_SEED repeats a case that failed.
pub fn first_seed() -> u64 {
    std::env::var("SENNIGHT_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// A small seeded generator (SplitMix64): a case is its seed, on every machine.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5e99_1947)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Less than `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    /// True once in `times`.
    pub fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}
