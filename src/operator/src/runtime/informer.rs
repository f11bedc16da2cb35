//! From a watch to a running controller: cache, change stream and delay queue of each kind. BackupSchedules have their own
//! runner (`schedule_index`).

use crate::backup::Runner;
use crate::cache::open_requests::OpenRequests;
use crate::cache::schedule_index::Key;
use crate::context::{Caches, Context, Timers};
use crate::error::ReconcileError;
use crate::restore::finished::compact;
use crate::runtime::clock::Clock;
use crate::runtime::delay_queue::DelayQueue;
use crate::runtime::http::Readiness;
use crate::runtime::instrumented::{FailingSince, error_policy, instrumented};
use crate::runtime::namespaced_watch::{Watched, cached, cached_events};
use crate::settings::Watch;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use kube::Client;
use kube::runtime::controller::{Action, Config, Error};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::{Controller, WatchStreamExt, watcher};
use sennight_api::{BackupStorage, DatabaseServer, ExportProfile, RestoreRequest};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

/// Objects in one page of a list.
const PAGE: u32 = 500;
/// RestoreRequests in one page. Smaller, because the memory that a page takes while it is read is not given back to the
/// system, and little of each request is kept.
const REQUESTS_PAGE: u32 = 100;

/// What drives one kind's controller: its cache, the stream that fills it, and the keys that are due.
pub struct Informer<K: Watched> {
    cache: Store<K>,
    changes: BoxStream<'static, Result<K, watcher::Error>>,
    due: BoxStream<'static, ObjectRef<K>>,
    filled: CancellationToken,
}

impl<K: Watched> Informer<K> {
    fn start(client: &Client, watched: &Watch, clock: Clock) -> (Self, Store<K>, DelayQueue<Key>) {
        let (cache, changes, filled) = cached::<K>(client, watched, &watcher::Config::default().page_size(PAGE));
        let (informer, timer) = Self::from_changes(cache.clone(), changes, filled, clock);
        (informer, cache, timer)
    }

    fn from_changes(
        cache: Store<K>,
        changes: BoxStream<'static, Result<K, watcher::Error>>,
        filled: CancellationToken,
        clock: Clock,
    ) -> (Self, DelayQueue<Key>) {
        let (timer, due) = DelayQueue::start(clock);
        let due = due.map(|key: Key| ObjectRef::new(&key.name).within(&key.namespace));
        (Self { cache, changes, due: due.boxed(), filled }, timer)
    }

    /// Runs the kind's controller until `stop` and until its last reconcile is done. Causes other than the object itself
    /// go through the kind's [`DelayQueue`].
    pub async fn run<F>(self, ctx: Arc<Context>, stop: CancellationToken, reconcile: fn(Arc<K>, Arc<Context>) -> F)
    where
        K: FailingSince,
        F: Future<Output = Result<Action, ReconcileError>> + Send + 'static,
    {
        Controller::for_stream(self.changes, self.cache)
            .with_config(Config::default().concurrency(ctx.settings.concurrency))
            .reconcile_on(self.due)
            .graceful_shutdown_on(stop.clone().cancelled_owned())
            .run(
                move |object, ctx| {
                    let stop = stop.clone();
                    async move {
                        tokio::select! {
                            () = ctx.caches.filled() => instrumented(object, ctx.clone(), reconcile).await,
                            () = stop.cancelled() => Ok(Action::await_change()),
                        }
                    }
                },
                |object, error, ctx| error_policy(&*object, error, ctx.clock),
                ctx,
            )
            .for_each(|step| async move {
                match step {
                    // `instrumented` has logged it.
                    Ok(_) | Err(Error::ReconcilerFailed(..)) => {}
                    // It was deleted while it was in the queue.
                    Err(Error::ObjectNotFound(gone)) => debug!(object = %gone, "object deleted before its reconcile"),
                    Err(error) => warn!(%error, kind = %K::kind(&()), "watch failed; retrying"),
                }
            })
            .await;
    }

    fn expect_filled(&self, readiness: &Readiness) {
        expect_filled(&K::kind(&()), &self.filled, readiness);
    }
}

/// Makes `/readyz` wait for one cache.
fn expect_filled(kind: &str, filled: &CancellationToken, readiness: &Readiness) {
    let what = format!("the list of {kind}s");
    readiness.expect(what.clone());
    let (filled, readiness) = (filled.clone(), readiness.clone());
    tokio::spawn(async move {
        filled.cancelled().await;
        readiness.done(&what);
    });
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
    /// RestoreRequests.
    pub requests: Informer<RestoreRequest>,
    /// ExportProfiles.
    pub profiles: Informer<ExportProfile>,
}

impl Informers {
    /// Builds the watches. No request is sent before they are run.
    pub fn start(client: &Client, watched: &Watch, clock: Clock) -> (Self, Caches, Timers) {
        let (storages, storages_cache, storages_timer) = Informer::start(client, watched, clock);
        let (servers, servers_cache, servers_timer) = Informer::start(client, watched, clock);
        let paged = watcher::Config::default().page_size(REQUESTS_PAGE);
        let (requests_cache, events, filled) = cached_events::<RestoreRequest>(client, watched, &paged, compact);
        let open = OpenRequests::new(requests_cache.clone());
        let observer = open.clone();
        let changes = events.inspect_ok(move |event| observer.observe(event)).touched_objects().boxed();
        let (requests, requests_timer) = Informer::from_changes(requests_cache.clone(), changes, filled, clock);
        let (schedules_timer, due) = DelayQueue::start(clock);
        let (schedules, index, schedules_filled) = Runner::start(client, watched, due.boxed());
        // Its cache is dropped: a RestoreRequest reads its profile from the API server.
        let (profiles, _, profiles_timer) = Informer::start(client, watched, clock);
        let caches = Caches {
            storages: storages_cache,
            servers: servers_cache,
            schedules: index,
            requests: requests_cache,
            open,
            filled: [
                storages.filled.clone(),
                servers.filled.clone(),
                schedules_filled.clone(),
                requests.filled.clone(),
            ],
        };
        let timers = Timers {
            storages: storages_timer,
            servers: servers_timer,
            schedules: schedules_timer,
            requests: requests_timer,
            profiles: profiles_timer,
        };
        let informers = Self { storages, servers, schedules, schedules_filled, requests, profiles };
        (informers, caches, timers)
    }

    /// Makes `/readyz` wait until every cache is filled.
    pub fn expect_filled(&self, readiness: &Readiness) {
        self.storages.expect_filled(readiness);
        self.servers.expect_filled(readiness);
        expect_filled("BackupSchedule", &self.schedules_filled, readiness);
        self.requests.expect_filled(readiness);
    }
}
