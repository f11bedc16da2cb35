//! When a schedule is reconciled again whose dump waits, or has a Job.

use chrono::TimeDelta;
use std::time::Duration;

/// A run that waits or works for more than this many `timing.job_interval` is written to status.
const REPORT_AFTER_INTERVALS: u32 = 4;
/// Schedules in a batch are reconciled this many times later: the Job takes longer, and none of them has news meanwhile.
const BATCH_RECHECK_FACTOR: i32 = 5;

/// How long a run may wait or work before status says so. Most runs have ended by then, and cost one write of status
/// instead of two.
pub fn report_after(job_interval: Duration) -> TimeDelta {
    TimeDelta::from_std(job_interval * REPORT_AFTER_INTERVALS).unwrap_or(TimeDelta::minutes(2))
}

/// Time until a schedule whose run has a Job is reconciled if no event comes. The Job's end brings one. A suspended Job or
/// one of a single tenant has news before its end.
pub fn recheck_after(runs: usize, suspended: bool, job_interval: Duration) -> TimeDelta {
    if runs > 1 && !suspended { report_after(job_interval) * BATCH_RECHECK_FACTOR } else { report_after(job_interval) }
}
