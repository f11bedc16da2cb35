//! The token bucket that limits how fast Jobs are created: a burst at once, then so many a minute. A restore's Job never
//! waits for a token, but takes one.

use chrono::{DateTime, TimeDelta, Utc};

/// Tokens are counted in thousandths: a slow rate adds less than a whole one between two calls.
const TOKEN: i64 = 1000;
/// Milliseconds.
const MINUTE: i64 = 60_000;

/// A limit on Jobs created per minute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenBucket {
    per_minute: i64,
    burst: i64,
    /// Thousandths of a token; below zero after Jobs that did not wait.
    level: i64,
    /// What the last refill left over, in thousandths of a token times milliseconds: less than [`MINUTE`].
    remainder: i64,
    at: DateTime<Utc>,
}

impl TokenBucket {
    /// A full bucket.
    pub fn new(per_minute: i32, burst: i32, now: DateTime<Utc>) -> Self {
        let burst = i64::from(burst.max(1)) * TOKEN;
        Self { per_minute: i64::from(per_minute.max(1)) * TOKEN, burst, level: burst, remainder: 0, at: now }
    }

    /// The bucket as it is after Jobs were created at these times. A process that restarts again and again must not create
    /// more Jobs than one that keeps running.
    pub fn after(per_minute: i32, burst: i32, mut created: Vec<DateTime<Utc>>, now: DateTime<Utc>) -> Self {
        created.sort_unstable();
        // Older Jobs do not matter: the bucket has been full since.
        let mut bucket = Self::new(per_minute, burst, created.first().map_or(now, |first| (*first).min(now)));
        for at in created {
            bucket.spend(at.min(now));
        }
        bucket.refill(now);
        bucket
    }

    /// Whole tokens that are there now; 0 while in debt.
    pub fn tokens(&mut self, now: DateTime<Utc>) -> i64 {
        self.refill(now);
        self.level.div_euclid(TOKEN).max(0)
    }

    /// Takes a token for a Job that was created, even if none is left. The debt is at most a burst.
    pub fn spend(&mut self, now: DateTime<Utc>) {
        self.refill(now);
        self.level = (self.level - TOKEN).max(-self.burst);
    }

    fn refill(&mut self, now: DateTime<Utc>) {
        let full = TimeDelta::days(2);
        // A clock that was set back adds nothing.
        let passed = (now - self.at).clamp(TimeDelta::zero(), full).num_milliseconds();
        let gained = self.remainder + passed * self.per_minute;
        self.level += gained / MINUTE;
        // Kept for the next call: asked twice a second, a slow rate would otherwise never gain a whole thousandth.
        self.remainder = gained % MINUTE;
        if self.level >= self.burst {
            self.level = self.burst;
            self.remainder = 0;
        }
        self.at = now;
    }
}
