//! Whether this process may write: it holds the Lease, and the last renewal is recent enough. A process that slept
//! (SIGSTOP, a frozen machine) finds the fence closed by the clock alone, before it learns that another one leads.

use parking_lot::Mutex;
use std::sync::Arc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Shared by the election, which opens it with each renewal, and the client, which checks it before each write. Closed
/// until the first renewal, and for good after [`WriteFence::end`].
#[derive(Debug, Clone, Default)]
pub struct WriteFence {
    ended: CancellationToken,
    until: Arc<Mutex<Option<Instant>>>,
}

impl WriteFence {
    /// Always open: for the client that acquires the Lease.
    pub fn always() -> Self {
        let leading = Self::default();
        leading.renewed_until(Instant::now() + std::time::Duration::from_hours(24 * 365 * 30));
        leading
    }

    /// The Lease was renewed: no other process takes it before this instant.
    pub fn renewed_until(&self, until: Instant) {
        *self.until.lock() = Some(until);
    }

    /// Closes the fence for good.
    pub fn end(&self) {
        self.ended.cancel();
    }

    /// Whether a write may be sent now.
    pub fn may_write(&self) -> bool {
        self.may_write_at(Instant::now())
    }

    fn may_write_at(&self, now: Instant) -> bool {
        let until = *self.until.lock();
        // guard(i2_a_process_that_slept_longer_than_its_lease_may_not_write_any_more, always): the right to write runs out by itself
        let in_time = until.is_some_and(|until| now < until);
        in_time && !self.ended.is_cancelled()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn i2_a_process_that_slept_longer_than_its_lease_may_not_write_any_more() {
        let (leading, start) = (WriteFence::default(), Instant::now());
        let after = |seconds| start + Duration::from_secs(seconds);
        assert!(!leading.may_write_at(start), "not before the first renewal");
        leading.renewed_until(after(10));
        assert!(leading.may_write_at(after(9)));
        assert!(!leading.may_write_at(after(10)), "nobody had to tell it");
        leading.renewed_until(after(20));
        assert!(leading.may_write_at(after(10)));
        leading.end();
        assert!(!leading.may_write_at(after(10)));
    }
}
