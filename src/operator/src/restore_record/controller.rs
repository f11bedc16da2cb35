//! What the controller of a RestoreRequest's record works with.

use crate::cache::audit_ledger::AuditLedger;
use crate::cache::storage_clients::Stores;
use crate::runtime::clock::Clock;
use crate::runtime::delay_queue::DelayQueue;
use crate::runtime::instrumented::ReconcileMetrics;
use crate::runtime::key::Key;
use crate::runtime::telemetry::Metrics;
use crate::runtime::turns::Turns;
use kube::Client;
use kube::runtime::reflector::Store;
use sennight_api::{BackupStorage, RestoreRequest};
use std::sync::Arc;
use std::time::Duration;

/// The controller of audit record, refunds, reminders, and deletion after retention.
pub struct RecordController {
    /// Reads requests afresh, writes its part of status, deletes.
    pub client: Client,
    /// The operator's clock.
    pub clock: Clock,
    /// How long a request stays after its end.
    pub retention: Duration,
    /// Publishes Events.
    pub reconcile_metrics: ReconcileMetrics,
    /// Counts reminders.
    pub metrics: Metrics,
    /// The storages of the records.
    pub storages: Store<BackupStorage>,
    /// Open S3 clients.
    pub stores: Arc<Stores>,
    /// How the records stand: `restore` waits for it.
    pub ledger: AuditLedger,
    /// One controller works on a request at a time.
    pub turns: Turns<RestoreRequest>,
    /// Wakes `restore` when something was recorded.
    pub restore_timer: DelayQueue<Key>,
    /// Wakes this controller later.
    pub record_timer: DelayQueue<Key>,
}
