//! Which priority gets the next Job: the highest, unless a lower one was skipped too often. So a priority that is never
//! empty slows the others down and starves none.

use super::Priority;

/// A priority with something to start is skipped at most so often.
const MAX_SKIPPED: u8 = 3;

/// How often each priority was skipped in a row.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RoundRobin {
    skipped: [u8; 3],
}

impl RoundRobin {
    /// The priority that goes next, of those that `can_start` start something.
    pub fn next(&self, can_start: impl Fn(Priority) -> bool) -> Option<Priority> {
        let overdue = |priority: &&Priority| self.skipped[**priority as usize] >= MAX_SKIPPED && can_start(**priority);
        // Of two that were skipped too often the lower one also waited for the other.
        let priority = Priority::ALL
            .iter()
            .rev()
            .find(overdue)
            .or_else(|| Priority::ALL.iter().find(|priority| can_start(**priority)));
        priority.copied()
    }

    /// Notes that this priority got a Job.
    pub fn served(&mut self, priority: Priority, can_start: impl Fn(Priority) -> bool) {
        for other in Priority::ALL {
            let skipped = &mut self.skipped[other as usize];
            // One that had nothing to start was not skipped, and did not get a Job either.
            *skipped = if other == priority { 0 } else { skipped.saturating_add(u8::from(can_start(other))) };
        }
    }
}
