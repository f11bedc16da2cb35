//! Whose turn it is among the lanes: the first one's, unless another has been passed over too often. So a lane that is
//! never empty slows the others down and starves none.

use super::Priority;

/// So often is a lane passed over that could have had a Job.
const MAX_SKIPPED: u8 = 3;

/// How often each lane was passed over.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RoundRobin {
    skipped: [u8; 3],
}

impl RoundRobin {
    /// The lane that goes next of those that could.
    pub fn next(&self, could: impl Fn(Priority) -> bool) -> Option<Priority> {
        let patient = |lane: &&Priority| self.skipped[**lane as usize] >= MAX_SKIPPED && could(**lane);
        // Of two that ran out of patience the lower one waited for the other, too.
        let lane = Priority::ALL.iter().rev().find(patient).or_else(|| Priority::ALL.iter().find(|lane| could(**lane)));
        lane.copied()
    }

    /// It was this lane's turn.
    pub fn served(&mut self, lane: Priority, could: impl Fn(Priority) -> bool) {
        for other in Priority::ALL {
            let passed = &mut self.skipped[other as usize];
            // Who could not go has not been passed over, and has not had its turn either.
            *passed = if other == lane { 0 } else { passed.saturating_add(u8::from(could(other))) };
        }
    }
}
