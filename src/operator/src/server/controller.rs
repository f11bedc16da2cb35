//! What the controller of DatabaseServer works with.

use crate::cache::count_writes::CountWrites;
use crate::cache::jobs::Jobs;
use crate::cache::schedule_index::ScheduleIndex;
use crate::cache::storage_clients::Stores;
use crate::runtime::clock::Clock;
use crate::runtime::delay_queue::DelayQueue;
use crate::runtime::instrumented::ReconcileMetrics;
use crate::runtime::key::Key;
use crate::runtime::telemetry::Metrics;
use crate::worker_job::PodDefaults;
use kube::Client;
use kube::runtime::reflector::Store;
use sennight_api::{BackupStorage, DatabaseServer};
use std::sync::Arc;
use std::time::Duration;

/// The controller of DatabaseServer.
pub struct ServerController {
    /// Writes status, and creates the drills' Jobs.
    pub client: Client,
    /// The operator's clock.
    pub clock: Clock,
    /// Pause between two reconciles of a server.
    pub storage_interval: Duration,
    /// Pause between two reconciles while a drill runs.
    pub job_interval: Duration,
    /// Longest time for a drill.
    pub restore_deadline: Duration,
    /// What worker pods look like.
    pub pod: PodDefaults,
    /// Publishes Events.
    pub reconcile_metrics: ReconcileMetrics,
    /// Counts drills.
    pub metrics: Metrics,
    /// The tenants of a server.
    pub schedules: ScheduleIndex,
    /// The servers that scratch databases are created on.
    pub servers: Store<DatabaseServer>,
    /// The storages of the tenants' backups.
    pub storages: Store<BackupStorage>,
    /// The operator's Jobs.
    pub jobs: Jobs,
    /// Open S3 clients, for the drills' reports.
    pub stores: Arc<Stores>,
    /// Reconciles the schedule whose drill has ended.
    pub schedules_timer: DelayQueue<Key>,
    /// Limits how often the count of running dumps is written.
    pub count_writes: CountWrites,
}
