//! Rate limit of a dump: the readers of a task together read at most `maxBytesPerSecond` of row text. A reader that waits
//! takes nothing from its connection, so the server pauses too.

use parking_lot::Mutex;
use std::time::{Duration, Instant};

/// A limit that all readers of a dump share.
pub struct RateLimiter {
    per_second: Option<f64>,
    free_at: Mutex<Instant>,
}

impl RateLimiter {
    /// `None` means no limit.
    pub fn new(bytes_per_second: Option<i64>, now: Instant) -> Self {
        #[allow(clippy::cast_precision_loss, reason = "a rate")]
        let per_second = bytes_per_second.filter(|rate| *rate > 0).map(|rate| rate as f64);
        Self { per_second, free_at: Mutex::new(now) }
    }

    /// Called after `bytes` have arrived: waits until the rate is no longer above the limit.
    pub async fn wait_for(&self, bytes: usize) {
        let wait = self.reserve(bytes, Instant::now());
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
    }

    fn reserve(&self, bytes: usize, now: Instant) -> Duration {
        let Some(rate) = self.per_second else { return Duration::ZERO };
        #[allow(clippy::cast_precision_loss, reason = "a rate")]
        let cost = Duration::try_from_secs_f64(bytes as f64 / rate).unwrap_or(Duration::MAX);
        let mut free_at = self.free_at.lock();
        // Unused time is not saved up: after a slow store there is no burst.
        *free_at = (*free_at).max(now).checked_add(cost).unwrap_or(now);
        free_at.saturating_duration_since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn without_a_limit_nobody_waits() {
        let now = Instant::now();
        for none in [None, Some(0), Some(-1)] {
            assert_eq!(RateLimiter::new(none, now).reserve(usize::MAX, now), Duration::ZERO);
        }
    }

    proptest! {
        #[test]
        #[allow(clippy::cast_precision_loss, reason = "rates")]
        fn whoever_reads_the_sum_stays_below_the_rate(
            rate in 1_000_i64..1_000_000_000,
            blocks in prop::collection::vec((1_usize..16_000_000, 0_u64..5_000), 1..50),
        ) {
            let start = Instant::now();
            let pace = RateLimiter::new(Some(rate), start);
            let (mut now, mut sum, mut done) = (start, 0.0, start);
            for (bytes, idle) in blocks {
                now += Duration::from_millis(idle);
                done = now + pace.reserve(bytes, now);
                sum += bytes as f64;
                prop_assert!((done - start).as_secs_f64() >= sum / rate as f64 - 1e-6);
            }
            prop_assert!(done >= now);
        }
    }
}
