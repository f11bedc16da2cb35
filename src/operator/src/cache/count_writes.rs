//! When each server's count of running dumps was last written: a limit for how often it is.

use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::time::Duration;

/// When each server's count of running dumps was last written, by UID. The count changes with every Job, and each write
/// starts another reconcile. Without a limit a busy night would cost one write for each Job and server.
#[derive(Debug, Default)]
pub struct CountWrites(Mutex<HashMap<String, DateTime<Utc>>>);

impl CountWrites {
    /// Whether the count may be written now: by default once in a quarter of an hour. Every five minutes would be too often:
    /// for 200 servers and 100,000 tenants in six hours, one write for every seven backups.
    pub fn allow(&self, uid: &str, interval: Duration, now: DateTime<Utc>) -> bool {
        let pause = TimeDelta::from_std(interval * 3 / 2).unwrap_or_default();
        let mut last = self.0.lock();
        // Also drops the entries of servers that are gone.
        last.retain(|_, at| now - *at < pause);
        if last.contains_key(uid) {
            return false;
        }
        last.insert(uid.to_owned(), now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i8_a_servers_count_of_running_dumps_is_written_once_in_a_quarter_of_an_hour_and_one_that_is_gone_is_forgotten() {
        let (limiter, interval) = (CountWrites::default(), Duration::from_mins(10));
        let at = |minute: i64| DateTime::UNIX_EPOCH + TimeDelta::minutes(minute);
        let night: Vec<i64> = (0..60).filter(|minute| limiter.allow("a", interval, at(*minute))).collect();
        assert_eq!(night, [0, 15, 30, 45]);
        assert!(limiter.allow("b", interval, at(80)));
        assert_eq!(limiter.0.lock().len(), 1);
    }
}
