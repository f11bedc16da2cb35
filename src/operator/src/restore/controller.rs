//! What the controller of RestoreRequest works with.

use crate::authority::status::Authority;
use crate::cache::jobs::Jobs;
use crate::cache::open_requests::OpenRequests;
use crate::cache::schedule_index::ScheduleIndex;
use crate::cache::storage_clients::Stores;
use crate::dispatch::Dispatch;
use crate::runtime::clock::Clock;
use crate::runtime::delay_queue::DelayQueue;
use crate::runtime::instrumented::ReconcileMetrics;
use crate::runtime::key::Key;
use crate::runtime::telemetry::Metrics;
use crate::settings::Timing;
use crate::worker_job::PodDefaults;
use kube::Client;
use kube::runtime::reflector::Store;
use sennight_api::{BackupStorage, DatabaseServer, RestoreRequest};
use sennight_core::authority::FourEyes;
use std::sync::Arc;

/// The controller of RestoreRequest.
pub struct RestoreController {
    /// Reads requests afresh, writes status and the claim, creates Jobs.
    pub client: Client,
    /// The operator's clock.
    pub clock: Clock,
    /// Deadlines and pauses.
    pub timing: Timing,
    /// For which restores the requester must not be the approver.
    pub four_eyes: FourEyes,
    /// Dumps that run at once, over all servers: a safety backup is one.
    pub max_dumps: i32,
    /// What worker pods look like.
    pub pod: PodDefaults,
    /// Publishes Events.
    pub reconcile_metrics: ReconcileMetrics,
    /// Counts restores that ended, and reminders.
    pub metrics: Metrics,
    /// The storages of the backups.
    pub storages: Store<BackupStorage>,
    /// The servers of the databases.
    pub servers: Store<DatabaseServer>,
    /// Which server a schedule is on.
    pub schedules: ScheduleIndex,
    /// All requests: for payments, and for estimates.
    pub requests: Store<RestoreRequest>,
    /// The requests of one schedule.
    pub open: OpenRequests,
    /// The operator's Jobs.
    pub jobs: Jobs,
    /// Dumps that wait for a Job: a restore's Job takes one of their tokens.
    pub dispatch: Dispatch,
    /// Open S3 clients.
    pub stores: Arc<Stores>,
    /// The last check of the admission policies. Before a claim it is made afresh.
    pub authority: Arc<Authority>,
    /// Reconciles requests later.
    pub requests_timer: DelayQueue<Key>,
}
