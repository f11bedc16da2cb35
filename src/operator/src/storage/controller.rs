//! What the controller of BackupStorage works with.

use crate::authority::status::Authority;
use crate::cache::patrols::Patrols;
use crate::cache::schedule_index::ScheduleIndex;
use crate::cache::storage_clients::Stores;
use crate::runtime::clock::Clock;
use crate::runtime::instrumented::ReconcileMetrics;
use crate::runtime::telemetry::Metrics;
use kube::Client;
use kube::runtime::reflector::Store;
use sennight_api::{BackupStorage, RestoreRequest};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OnceCell;

/// The controller of BackupStorage.
pub struct StorageController {
    /// Writes status.
    pub client: Client,
    /// The operator's clock.
    pub clock: Clock,
    /// Pause between two probes of a bucket.
    pub storage_interval: Duration,
    /// Pause between two walks through all backups of a bucket.
    pub patrol_interval: Duration,
    /// Publishes Events.
    pub reconcile_metrics: ReconcileMetrics,
    /// Has the gauge of storages that are ready.
    pub metrics: Metrics,
    /// All storages: two must not share a part of a bucket.
    pub storages: Store<BackupStorage>,
    /// The schedules that a storage counts.
    pub schedules: ScheduleIndex,
    /// Requests that need a backup beyond its retention.
    pub requests: Store<RestoreRequest>,
    /// Open S3 clients.
    pub stores: Arc<Stores>,
    /// UID of the namespace kube-system, once read: the cluster's part of a prefix's owner.
    pub cluster: OnceCell<String>,
    /// The last check of the admission policies, for the condition AuthorityIntact.
    pub authority: Arc<Authority>,
    /// Walks under way.
    pub patrols: Patrols,
}
