//! The watches of our kinds, and what they fill: the caches and the delay queues that the controllers are built from.

use crate::backup::{Runner, ScheduleTimers};
use crate::cache::audit_ledger::AuditLedger;
use crate::cache::open_requests::OpenRequests;
use crate::cache::schedule_index::ScheduleIndex;
use crate::request::closed::{compact, is_compacted};
use crate::request::wakes::RequestWakes;
use crate::runtime::clock::Clock;
use crate::runtime::delay_queue::DelayQueue;
use crate::runtime::http::Readiness;
use crate::runtime::informer::{CachesFilled, Informer, expect_filled};
use crate::runtime::key::Key;
use crate::runtime::namespaced_watch::{Watch, cached_events};
use crate::runtime::turns::Turns;
use futures::future::ready;
use futures::{StreamExt, TryStreamExt};
use kube::Client;
use kube::runtime::reflector::Store;
use kube::runtime::{WatchStreamExt, watcher};
use sennight_api::{BackupStorage, DatabaseServer, ExportProfile, RestoreRequest};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// RestoreRequests in one page. Smaller, because the memory that a page takes while it is read is not given back to the
/// system, and little of each request is kept.
const REQUESTS_PAGE: u32 = 100;

/// The caches of our kinds, over all watched namespaces. They may lag: what guards a restore reads the API server instead.
#[derive(Clone)]
pub struct Caches {
    /// BackupStorages.
    pub storages: Store<BackupStorage>,
    /// DatabaseServers.
    pub servers: Store<DatabaseServer>,
    /// BackupSchedules, as a few hundred bytes each.
    pub schedules: ScheduleIndex,
    /// RestoreRequests.
    pub requests: Store<RestoreRequest>,
    /// How the audit records of open requests stand.
    pub ledger: AuditLedger,
    /// Which controller works on a RestoreRequest.
    pub turns: Turns<RestoreRequest>,
    /// Names of RestoreRequests by schedule, and which of them are open.
    pub open: OpenRequests,
    /// Whether all of them have been listed.
    pub filled: CachesFilled,
}

/// One delay queue for each kind: `timers.schedules.schedule(key, at)` has that object reconciled at `at`.
#[derive(Clone)]
pub struct Timers {
    /// BackupStorages.
    pub storages: DelayQueue<Key>,
    /// DatabaseServers.
    pub servers: DelayQueue<Key>,
    /// BackupSchedules.
    pub schedules: DelayQueue<Key>,
    /// RestoreRequests, for `restore`.
    pub restores: DelayQueue<Key>,
    /// RestoreRequests, for `restore_cleanup`.
    pub cleanups: DelayQueue<Key>,
    /// RestoreRequests, for `restore_record`.
    pub records: DelayQueue<Key>,
    /// ExportProfiles.
    pub profiles: DelayQueue<Key>,
}

/// The informers of our kinds.
pub struct Informers {
    /// BackupStorages.
    pub storages: Informer<BackupStorage>,
    /// DatabaseServers.
    pub servers: Informer<DatabaseServer>,
    /// BackupSchedules.
    pub schedules: Runner,
    schedules_filled: CancellationToken,
    /// RestoreRequests, for `restore`.
    pub restores: Informer<RestoreRequest>,
    /// RestoreRequests, for `restore_cleanup`.
    pub cleanups: Informer<RestoreRequest>,
    /// RestoreRequests, for `restore_record`.
    pub records: Informer<RestoreRequest>,
    /// ExportProfiles.
    pub profiles: Informer<ExportProfile>,
}

impl Informers {
    /// Builds the watches. No request is sent before they are run. `retention`: how long a RestoreRequest stays after its end.
    pub fn start(client: &Client, watched: &Watch, retention: Duration, clock: Clock) -> (Self, Caches, Timers) {
        let (storages, storages_cache, storages_timer) = Informer::start(client, watched, clock);
        let (servers, servers_cache, servers_timer) = Informer::start(client, watched, clock);
        let requests = Requests::start(client, watched, retention, clock);
        let (schedules_timer, due) = DelayQueue::start(clock);
        let schedule_timers = ScheduleTimers {
            clock,
            schedules: schedules_timer.clone(),
            storages: storages_timer.clone(),
            servers: servers_timer.clone(),
        };
        let (schedules, index, schedules_filled) = Runner::start(client, watched, due.boxed(), schedule_timers);
        // Its cache is dropped: a RestoreRequest reads its profile from the API server.
        let (profiles, _, profiles_timer) = Informer::start(client, watched, clock);
        let caches = Caches {
            storages: storages_cache,
            servers: servers_cache,
            schedules: index,
            requests: requests.wakes.cache,
            ledger: requests.wakes.ledger,
            turns: requests.wakes.turns,
            open: requests.open,
            filled: CachesFilled::new([
                storages.filled.clone(),
                servers.filled.clone(),
                schedules_filled.clone(),
                requests.restores.filled.clone(),
            ]),
        };
        let timers = Timers {
            storages: storages_timer,
            servers: servers_timer,
            schedules: schedules_timer,
            restores: requests.restore_timer,
            cleanups: requests.wakes.cleanup_timer,
            records: requests.wakes.record_timer,
            profiles: profiles_timer,
        };
        let Requests { restores, cleanups, records, .. } = requests;
        let informers = Self { storages, servers, schedules, schedules_filled, restores, cleanups, records, profiles };
        (informers, caches, timers)
    }

    /// Makes `/readyz` wait until every cache is filled.
    pub fn expect_filled(&self, readiness: &Readiness) {
        self.storages.expect_filled(readiness);
        self.servers.expect_filled(readiness);
        expect_filled("BackupSchedule", &self.schedules_filled, readiness);
        self.restores.expect_filled(readiness);
    }
}

/// The watch of RestoreRequests with all that it feeds.
struct Requests {
    restores: Informer<RestoreRequest>,
    cleanups: Informer<RestoreRequest>,
    records: Informer<RestoreRequest>,
    restore_timer: DelayQueue<Key>,
    open: OpenRequests,
    wakes: RequestWakes,
}

impl Requests {
    fn start(client: &Client, watched: &Watch, retention: Duration, clock: Clock) -> Self {
        let paged = watcher::Config::default().page_size(REQUESTS_PAGE);
        let (cache, events, filled) = cached_events::<RestoreRequest>(client, watched, &paged, compact);
        let (cleanups, cleanup_timer) = Informer::follower(cache.clone(), filled.clone(), clock);
        let (records, record_timer) = Informer::follower(cache.clone(), filled.clone(), clock);
        let open = OpenRequests::new(cache.clone());
        let turns = Turns::new(cache.clone());
        let ledger = AuditLedger::default();
        let wakes = RequestWakes { cache: cache.clone(), retention, ledger, turns, cleanup_timer, record_timer };
        let observers = (open.clone(), wakes.clone());
        let observed = events.inspect_ok(move |event| {
            observers.0.observe(event);
            observers.1.observe(event);
        });
        let changes = observed.touched_objects().try_filter(|request| ready(!is_compacted(request))).boxed();
        let (restores, restore_timer) = Informer::from_changes(cache, changes, filled, clock);
        Self { restores, cleanups, records, restore_timer, open, wakes }
    }
}
