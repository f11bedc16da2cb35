//! What the controller of a restore's databases works with.

use crate::cache::jobs::Jobs;
use crate::cache::open_requests::OpenRequests;
use crate::cache::storage_clients::Stores;
use crate::request::job_creation::JobCreator;
use crate::runtime::clock::Clock;
use crate::runtime::delay_queue::DelayQueue;
use crate::runtime::instrumented::ReconcileMetrics;
use crate::runtime::key::Key;
use crate::runtime::turns::Turns;
use crate::settings::Timing;
use kube::Client;
use kube::runtime::reflector::Store;
use sennight_api::{BackupStorage, DatabaseServer, RestoreRequest};
use std::sync::Arc;

/// The controller of safety backup, undo window and drop.
pub struct CleanupController {
    /// Reads requests and schedules afresh, writes its part of status.
    pub client: Client,
    /// The operator's clock.
    pub clock: Clock,
    /// Deadlines and pauses.
    pub timing: Timing,
    /// Dumps that run at once, over all servers: a safety backup is one.
    pub max_dumps: i32,
    /// Publishes Events.
    pub reconcile_metrics: ReconcileMetrics,
    /// The storages of the safety backups.
    pub storages: Store<BackupStorage>,
    /// The servers of the databases.
    pub servers: Store<DatabaseServer>,
    /// The requests of one schedule: an Undo is one.
    pub open: OpenRequests,
    /// The operator's Jobs.
    pub jobs: Jobs,
    /// Creates Jobs.
    pub creator: JobCreator,
    /// Open S3 clients.
    pub stores: Arc<Stores>,
    /// One controller works on a request at a time.
    pub turns: Turns<RestoreRequest>,
    /// Wakes this controller later.
    pub cleanup_timer: DelayQueue<Key>,
}
