//! Restores under `kill -9`: the worker's process, or the database server, dies at every statement boundary of `prepare` and
//! of the cut-over, with clients reading and writing all the while. `make restore-faults` tries every boundary; `make test`
//! some, and says how many it left out. This suite crashes the server of its tier: it has one of its own.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot go on should say where"
)]

mod clients;
mod cutover;
mod downtime;
mod operator;
mod prepare;
mod process;
mod tenant;

use std::sync::LazyLock;
use tokio::sync::Mutex;

/// Each test crashes the server under the others: one at a time.
pub static ALONE: LazyLock<Mutex<()>> = LazyLock::new(|| Mutex::new(()));

/// Which of `all` points are tried: every one, or `SENNIGHT_CASES` spread evenly over them, the first and the last included.
/// `SENNIGHT_SHARD` (`2/3`) takes every third of them, from the second on: a campaign is mostly waiting.
pub fn chosen<T: Clone>(suite: &str, all: &[T]) -> Vec<T> {
    let asked = std::env::var("SENNIGHT_CASES").ok().and_then(|text| text.parse::<usize>().ok());
    // A case here takes seconds, those of the other long suites fractions of one.
    let wanted = asked.map_or(all.len(), |asked| (asked / 15).clamp(2, all.len()));
    if wanted < all.len() {
        let left = all.len() - wanted;
        println!("{suite}: {wanted} of {} points; left out: {left} (make restore-faults runs all)", all.len());
    }
    let spread = (0..wanted).map(|n| all[n * (all.len() - 1) / (wanted - 1).max(1)].clone());
    let Some((number, of)) = shard() else { return spread.collect() };
    println!("{suite}: shard {number} of {of}");
    spread.skip(number - 1).step_by(of).collect()
}

fn shard() -> Option<(usize, usize)> {
    let shard = std::env::var("SENNIGHT_SHARD").ok()?;
    let (number, of) = shard.split_once('/').expect("SENNIGHT_SHARD is like 2/3");
    Some((number.parse().unwrap(), of.parse().unwrap()))
}

/// A line now and then: a whole campaign takes a quarter of an hour.
pub fn progress(suite: &str, number: usize, all: usize) {
    if number > 0 && number.is_multiple_of(50) {
        println!("{suite}: {number} of {all} points");
    }
}
