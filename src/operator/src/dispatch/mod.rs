//! Turns due dumps into Jobs: a queue in memory, and one task that asks it twice a second what the budgets allow.
//! It writes nothing but Jobs; they are the record of what runs.

mod dump_job;
mod launch;
mod queue;
mod recheck;

pub use launch::Launcher;
pub use queue::{CreationFailure, Dispatch, DumpLimits, DumpOrder, QueuedDump};
pub use recheck::{recheck_after, report_after};

use crate::runtime::informer::CachesFilled;
use chrono::TimeDelta;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Pause between two passes over the queue.
const TICK: Duration = Duration::from_millis(500);
/// The shortest [`TICK`] in real time, when the operator's clock runs fast.
const SHORTEST_TICK: Duration = Duration::from_millis(50);
/// Creates Jobs until `stop`.
pub async fn run(launcher: Launcher, caches: CachesFilled, stop: CancellationToken) {
    let ready = async {
        // Budgets are counted from what runs: without the Jobs' list a restart would start everything at once.
        launcher.jobs.filled().await;
        caches.wait().await;
    };
    tokio::select! {
        () = stop.cancelled() => return,
        () = ready => {}
    }
    // Under a fast clock (`make bench-scale`) the pass is more frequent, too.
    let tick = launcher.clock.real(TimeDelta::from_std(TICK).unwrap_or_default()).max(SHORTEST_TICK);
    let mut tick = tokio::time::interval(tick);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = tick.tick() => {}
        }
        let now = launcher.clock.now();
        let batches = launcher.dispatch.take_batches(&launcher.jobs, &launcher.limits, now);
        launch::create_all(batches, now, &launcher).await;
    }
}
