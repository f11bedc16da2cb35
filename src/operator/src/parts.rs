//! Builds each controller and each task from what it uses. They keep the handles, and none of them sees the whole.

use crate::authority::status::Authority;
use crate::authority::watch::AuthorityWatch;
use crate::backup::BackupController;
use crate::cache::count_writes::CountWrites;
use crate::cache::jobs::Jobs;
use crate::cache::patrols::Patrols;
use crate::cache::storage_clients::Stores;
use crate::dispatch::{Dispatch, DumpLimits, Launcher};
use crate::gauges::Gauges;
use crate::informers::{Caches, Timers};
use crate::jobs_watch::JobsWatch;
use crate::profile::ProfileController;
use crate::request::job_creation::JobCreator;
use crate::restore::RestoreController;
use crate::restore_cleanup::CleanupController;
use crate::restore_record::RecordController;
use crate::runtime::clock::Clock;
use crate::runtime::informer::ReconcileLoop;
use crate::runtime::instrumented::ReconcileMetrics;
use crate::runtime::telemetry::Metrics;
use crate::server::ServerController;
use crate::settings::Settings;
use crate::storage::StorageController;
use kube::Client;
use kube::runtime::events::{Recorder, Reporter};
use std::sync::Arc;

/// What controllers and tasks are built from.
pub struct Parts {
    /// For all reads and writes of reconciles.
    client: Client,
    settings: Arc<Settings>,
    clock: Clock,
    reconcile_metrics: ReconcileMetrics,
    metrics: Metrics,
    /// The caches of our kinds.
    pub caches: Caches,
    timers: Timers,
    jobs: Jobs,
    dispatch: Dispatch,
    stores: Arc<Stores>,
    authority: Arc<Authority>,
}

impl Parts {
    /// Makes what several share; sends no request.
    pub fn new(
        client: Client,
        settings: Arc<Settings>,
        metrics: Metrics,
        caches: Caches,
        timers: Timers,
        jobs: Jobs,
        clock: Clock,
    ) -> Self {
        let reporter =
            Reporter { controller: "sennight.dev/operator".to_owned(), instance: Some(settings.identity.clone()) };
        let recorder = Recorder::new(client.clone(), reporter);
        Self {
            reconcile_metrics: ReconcileMetrics::new(metrics.clone(), recorder),
            stores: Arc::new(Stores::new(client.clone(), settings.ambient_s3_namespaces.clone())),
            authority: Arc::default(),
            dispatch: Dispatch::new(&settings.jobs, clock.now()),
            clock,
            client,
            settings,
            metrics,
            caches,
            timers,
            jobs,
        }
    }

    /// What the loops of all kinds share.
    pub fn shared_loop(&self) -> ReconcileLoop {
        ReconcileLoop {
            concurrency: self.settings.concurrency,
            clock: self.clock,
            reconcile_metrics: self.reconcile_metrics.clone(),
            caches: self.caches.filled.clone(),
        }
    }

    /// The task that keeps the index of Jobs.
    pub fn jobs_watch(&self) -> JobsWatch {
        JobsWatch {
            jobs: self.jobs.clone(),
            schedules_timer: self.timers.schedules.clone(),
            restore_timer: self.timers.restores.clone(),
            cleanup_timer: self.timers.cleanups.clone(),
        }
    }

    /// The task that creates dump Jobs.
    pub fn launcher(&self) -> Launcher {
        Launcher {
            client: self.client.clone(),
            clock: self.clock,
            jobs: self.jobs.clone(),
            dispatch: self.dispatch.clone(),
            limits: DumpLimits {
                total: self.settings.max_dumps,
                servers: self.caches.servers.clone(),
                storages: self.caches.storages.clone(),
            },
            schedules: self.caches.schedules.clone(),
            open: self.caches.open.clone(),
            schedules_timer: self.timers.schedules.clone(),
            dump_deadline: self.settings.timing.dump_deadline,
            job_interval: self.settings.timing.job_interval,
            pod: self.settings.worker.pod_defaults(),
        }
    }

    /// The task that checks the admission policies.
    pub fn authority_watch(&self) -> AuthorityWatch {
        AuthorityWatch {
            client: self.client.clone(),
            four_eyes: self.settings.four_eyes,
            interval: self.settings.timing.authority_interval,
            authority: self.authority.clone(),
            metrics: self.metrics.clone(),
            storages: self.caches.storages.clone(),
            requests: self.caches.requests.clone(),
            storages_timer: self.timers.storages.clone(),
            requests_timer: self.timers.restores.clone(),
        }
    }

    /// The task that sets the gauges.
    pub fn gauges(&self) -> Gauges {
        Gauges {
            metrics: self.metrics.clone(),
            clock: self.clock,
            max_dumps: self.settings.max_dumps,
            dispatch: self.dispatch.clone(),
            jobs: self.jobs.clone(),
            schedules: self.caches.schedules.clone(),
            storages: self.caches.storages.clone(),
            servers: self.caches.servers.clone(),
            requests: self.caches.requests.clone(),
        }
    }

    /// The controller of ExportProfile.
    pub fn profile(&self) -> ProfileController {
        ProfileController { client: self.client.clone(), clock: self.clock }
    }

    /// The controller of BackupStorage.
    pub fn storage(&self) -> StorageController {
        StorageController {
            client: self.client.clone(),
            clock: self.clock,
            storage_interval: self.settings.timing.storage_interval,
            patrol_interval: self.settings.timing.patrol_interval,
            reconcile_metrics: self.reconcile_metrics.clone(),
            metrics: self.metrics.clone(),
            storages: self.caches.storages.clone(),
            schedules: self.caches.schedules.clone(),
            requests: self.caches.requests.clone(),
            stores: self.stores.clone(),
            cluster: tokio::sync::OnceCell::new(),
            authority: self.authority.clone(),
            patrols: Patrols::default(),
        }
    }

    /// The controller of DatabaseServer.
    pub fn server(&self) -> ServerController {
        ServerController {
            client: self.client.clone(),
            clock: self.clock,
            storage_interval: self.settings.timing.storage_interval,
            job_interval: self.settings.timing.job_interval,
            restore_deadline: self.settings.timing.restore_deadline,
            pod: self.settings.worker.pod_defaults(),
            reconcile_metrics: self.reconcile_metrics.clone(),
            metrics: self.metrics.clone(),
            schedules: self.caches.schedules.clone(),
            servers: self.caches.servers.clone(),
            storages: self.caches.storages.clone(),
            jobs: self.jobs.clone(),
            stores: self.stores.clone(),
            schedules_timer: self.timers.schedules.clone(),
            count_writes: CountWrites::default(),
        }
    }

    /// The controller of BackupSchedule.
    pub fn backup(&self) -> BackupController {
        BackupController {
            client: self.client.clone(),
            clock: self.clock,
            job_interval: self.settings.timing.job_interval,
            dump_retry: self.settings.timing.dump_retry,
            job_ttl: self.settings.worker.ttl,
            reconcile_metrics: self.reconcile_metrics.clone(),
            metrics: self.metrics.clone(),
            storages: self.caches.storages.clone(),
            servers: self.caches.servers.clone(),
            schedules: self.caches.schedules.clone(),
            open: self.caches.open.clone(),
            jobs: self.jobs.clone(),
            dispatch: self.dispatch.clone(),
            stores: self.stores.clone(),
            schedules_timer: self.timers.schedules.clone(),
        }
    }

    /// What Jobs of restores are created with.
    fn creator(&self) -> JobCreator {
        JobCreator {
            client: self.client.clone(),
            clock: self.clock,
            pod: self.settings.worker.pod_defaults(),
            jobs: self.jobs.clone(),
            dispatch: self.dispatch.clone(),
        }
    }

    /// The controller that restores.
    pub fn restore(&self) -> RestoreController {
        RestoreController {
            client: self.client.clone(),
            clock: self.clock,
            timing: self.settings.timing,
            four_eyes: self.settings.four_eyes,
            creator: self.creator(),
            reconcile_metrics: self.reconcile_metrics.clone(),
            metrics: self.metrics.clone(),
            storages: self.caches.storages.clone(),
            servers: self.caches.servers.clone(),
            schedules: self.caches.schedules.clone(),
            requests: self.caches.requests.clone(),
            open: self.caches.open.clone(),
            jobs: self.jobs.clone(),
            dispatch: self.dispatch.clone(),
            stores: self.stores.clone(),
            authority: self.authority.clone(),
            ledger: self.caches.ledger.clone(),
            turns: self.caches.turns.clone(),
            restore_timer: self.timers.restores.clone(),
            cleanup_timer: self.timers.cleanups.clone(),
            record_timer: self.timers.records.clone(),
        }
    }

    /// The controller of the databases that a restore leaves.
    pub fn restore_cleanup(&self) -> CleanupController {
        CleanupController {
            client: self.client.clone(),
            clock: self.clock,
            timing: self.settings.timing,
            max_dumps: self.settings.max_dumps,
            reconcile_metrics: self.reconcile_metrics.clone(),
            storages: self.caches.storages.clone(),
            servers: self.caches.servers.clone(),
            open: self.caches.open.clone(),
            jobs: self.jobs.clone(),
            creator: self.creator(),
            stores: self.stores.clone(),
            turns: self.caches.turns.clone(),
            cleanup_timer: self.timers.cleanups.clone(),
        }
    }

    /// The controller of a restore's record.
    pub fn restore_record(&self) -> RecordController {
        RecordController {
            client: self.client.clone(),
            clock: self.clock,
            retention: self.settings.timing.request_retention,
            reconcile_metrics: self.reconcile_metrics.clone(),
            metrics: self.metrics.clone(),
            storages: self.caches.storages.clone(),
            stores: self.stores.clone(),
            ledger: self.caches.ledger.clone(),
            turns: self.caches.turns.clone(),
            restore_timer: self.timers.restores.clone(),
            record_timer: self.timers.records.clone(),
        }
    }
}
