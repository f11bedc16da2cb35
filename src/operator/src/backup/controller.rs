//! What the controller of BackupSchedule works with.

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
use kube::Client;
use kube::runtime::reflector::Store;
use sennight_api::{BackupStorage, DatabaseServer};
use std::sync::Arc;
use std::time::Duration;

/// The controller of BackupSchedule.
pub struct BackupController {
    /// Reads Jobs that the cache lacks, and writes status.
    pub client: Client,
    /// The operator's clock.
    pub clock: Clock,
    /// Pause between two reconciles while a Job runs.
    pub job_interval: Duration,
    /// First pause before a failed dump is tried again.
    pub dump_retry: Duration,
    /// Kubernetes deletes a finished Job after this.
    pub job_ttl: Duration,
    /// Publishes Events.
    pub reconcile_metrics: ReconcileMetrics,
    /// Counts dumps that ended.
    pub metrics: Metrics,
    /// The storages that schedules name.
    pub storages: Store<BackupStorage>,
    /// The servers that schedules name.
    pub servers: Store<DatabaseServer>,
    /// The other schedules: two may claim the same database.
    pub schedules: ScheduleIndex,
    /// Requests that hold a backup, or have claimed the database.
    pub open: OpenRequests,
    /// The operator's Jobs.
    pub jobs: Jobs,
    /// Dumps that wait for a Job.
    pub dispatch: Dispatch,
    /// Open S3 clients.
    pub stores: Arc<Stores>,
    /// Reconciles schedules later.
    pub schedules_timer: DelayQueue<Key>,
}
