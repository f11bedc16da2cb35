//! What the controller that restores works with.

use crate::authority::status::Authority;
use crate::cache::audit_ledger::AuditLedger;
use crate::cache::jobs::Jobs;
use crate::cache::open_requests::OpenRequests;
use crate::cache::schedule_index::ScheduleIndex;
use crate::cache::storage_clients::Stores;
use crate::dispatch::Dispatch;
use crate::request::job_creation::JobCreator;
use crate::runtime::clock::Clock;
use crate::runtime::delay_queue::DelayQueue;
use crate::runtime::instrumented::ReconcileMetrics;
use crate::runtime::key::Key;
use crate::runtime::telemetry::Metrics;
use crate::runtime::turns::Turns;
use crate::settings::Timing;
use kube::Client;
use kube::runtime::reflector::Store;
use sennight_api::{BackupStorage, DatabaseServer, RestoreRequest};
use sennight_core::authority::FourEyes;
use std::sync::Arc;

/// The controller that checks, decides, runs the steps, claims and ends.
pub struct RestoreController {
    /// Reads requests afresh, writes status and the claim, creates Jobs.
    pub client: Client,
    /// The operator's clock.
    pub clock: Clock,
    /// Deadlines and pauses.
    pub timing: Timing,
    /// For which restores the requester must not be the approver.
    pub four_eyes: FourEyes,
    /// Creates Jobs.
    pub creator: JobCreator,
    /// Publishes Events.
    pub reconcile_metrics: ReconcileMetrics,
    /// Counts restores that ended.
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
    /// Dumps that wait for a Job, or get one now.
    pub dispatch: Dispatch,
    /// Open S3 clients.
    pub stores: Arc<Stores>,
    /// The last check of the admission policies. Before a claim it is made afresh.
    pub authority: Arc<Authority>,
    /// How the audit records stand: nothing new begins before the present state is recorded.
    pub ledger: AuditLedger,
    /// One controller works on a request at a time.
    pub turns: Turns<RestoreRequest>,
    /// Wakes this controller later.
    pub restore_timer: DelayQueue<Key>,
    /// Wakes `restore_cleanup`: an undone request writes who holds its previous database.
    pub cleanup_timer: DelayQueue<Key>,
    /// Wakes `restore_record`.
    pub record_timer: DelayQueue<Key>,
}
