//! From a watch to a running controller: the same plumbing for each kind.

use super::context::{Caches, Context, Timers};
use super::observed::{Ailing, Failure, Outcome, error_policy, observed};
use super::scopes::{Watched, cached};
use super::wakeups::Wakeups;
use crate::api::{BackupSchedule, BackupStorage, DatabaseServer, ExportProfile, RestoreRequest};
use crate::http::Readiness;
use crate::settings::Watch;
use chrono::{TimeDelta, Utc};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use kube::runtime::controller::{Action, Config, Error};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::{Controller, watcher};
use kube::{Client, ResourceExt};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

/// Objects of a watch are listed in pages of this many.
const PAGE: u32 = 500;
/// Changes of schedules are counted this long after the first of them.
const RECOUNT: TimeDelta = TimeDelta::seconds(2);

/// What drives one kind's controller: its cache, the stream that fills it, and its timer.
pub struct Feed<K: Watched> {
    cache: Store<K>,
    changes: BoxStream<'static, Result<K, watcher::Error>>,
    due: BoxStream<'static, ObjectRef<K>>,
    filled: CancellationToken,
}

impl<K: Watched> Feed<K> {
    fn start(client: &Client, watched: &Watch) -> (Self, Store<K>, Wakeups<ObjectRef<K>>) {
        let (cache, changes, filled) = cached::<K>(client, watched, &watcher::Config::default().page_size(PAGE));
        let (timer, due) = Wakeups::start(Utc::now);
        let feed = Self { cache: cache.clone(), changes, due: due.boxed(), filled };
        (feed, cache, timer)
    }

    /// Runs the kind's controller until `stop` and until its last reconcile is done. `wire` adds what else wakes it
    /// (owned Jobs, referenced objects).
    pub async fn run<E, F>(
        self,
        ctx: Arc<Context>,
        stop: CancellationToken,
        wire: impl FnOnce(Controller<K>) -> Controller<K>,
        reconcile: fn(Arc<K>, Arc<Context>) -> F,
    ) where
        K: Ailing,
        E: Failure + Sync,
        F: Future<Output = Result<Outcome, E>> + Send + 'static,
    {
        let controller = Controller::for_stream(self.changes, self.cache)
            .with_config(Config::default().concurrency(ctx.settings.concurrency))
            .reconcile_on(self.due)
            .graceful_shutdown_on(stop.clone().cancelled_owned());
        wire(controller)
            .run(
                move |object, ctx| {
                    let stop = stop.clone();
                    async move {
                        tokio::select! {
                            () = ctx.caches.filled() => observed(object, ctx.clone(), reconcile).await,
                            () = stop.cancelled() => Ok(Action::await_change()),
                        }
                    }
                },
                |object, error, ctx| error_policy(&*object, error, ctx.now()),
                ctx,
            )
            .for_each(|step| async move {
                match step {
                    // A failed reconcile has been told by its observer.
                    Ok(_) | Err(Error::ReconcilerFailed(..)) => {}
                    // It was deleted while its turn came.
                    Err(Error::ObjectNotFound(gone)) => debug!(object = %gone, "gone"),
                    Err(error) => warn!(%error, kind = %K::kind(&()), "the watch stumbled; it goes on"),
                }
            })
            .await;
    }

    /// Keeps the cache filled for others, without a controller.
    pub async fn drain(mut self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                change = self.changes.next() => match change {
                    Some(Ok(_)) => {}
                    Some(Err(error)) => warn!(%error, kind = %K::kind(&()), "the watch stumbled; it goes on"),
                    None => return,
                }
            }
        }
    }

    fn gate(&self, readiness: &Readiness) {
        let what = format!("the list of {}s", K::kind(&()));
        readiness.expect(what.clone());
        let (filled, readiness) = (self.filled.clone(), readiness.clone());
        tokio::spawn(async move {
            filled.cancelled().await;
            readiness.done(&what);
        });
    }
}

impl Feed<BackupSchedule> {
    /// Has the storage and the server of a schedule that changed count again, once for all changes of a moment.
    fn recount(&mut self, timers: &Timers) {
        let (storages, servers) = (timers.storages.clone(), timers.servers.clone());
        let changes = std::mem::replace(&mut self.changes, futures::stream::empty().boxed());
        let told = changes.inspect_ok(move |schedule| {
            let due = Utc::now() + RECOUNT;
            let namespace = schedule.namespace().unwrap_or_default();
            storages.hasten(ObjectRef::new(&schedule.spec.storage_ref.name).within(&namespace), due);
            servers.hasten(ObjectRef::new(&schedule.spec.database.server_ref.name).within(&namespace), due);
        });
        self.changes = told.boxed();
    }
}

/// The feeds of our kinds.
pub struct Feeds {
    /// BackupStorages.
    pub storages: Feed<BackupStorage>,
    /// DatabaseServers.
    pub servers: Feed<DatabaseServer>,
    /// BackupSchedules.
    pub schedules: Feed<BackupSchedule>,
    /// RestoreRequests.
    pub requests: Feed<RestoreRequest>,
    /// ExportProfiles.
    pub profiles: Feed<ExportProfile>,
}

impl Feeds {
    /// Starts the watches; nothing is asked before somebody runs or drains them.
    pub fn start(client: &Client, watched: &Watch) -> (Self, Caches, Timers) {
        let (storages, storages_cache, storages_timer) = Feed::start(client, watched);
        let (servers, servers_cache, servers_timer) = Feed::start(client, watched);
        let (mut schedules, schedules_cache, schedules_timer) = Feed::start(client, watched);
        let (requests, requests_cache, requests_timer) = Feed::start(client, watched);
        // Nobody reads them from a cache: a request reads its profile afresh.
        let (profiles, _, profiles_timer) = Feed::start(client, watched);
        let caches = Caches {
            storages: storages_cache,
            servers: servers_cache,
            schedules: schedules_cache,
            requests: requests_cache,
            filled: [
                storages.filled.clone(),
                servers.filled.clone(),
                schedules.filled.clone(),
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
        schedules.recount(&timers);
        let feeds = Self { storages, servers, schedules, requests, profiles };
        (feeds, caches, timers)
    }

    /// Ready only once every cache is filled.
    pub fn gate(&self, readiness: &Readiness) {
        self.storages.gate(readiness);
        self.servers.gate(readiness);
        self.schedules.gate(readiness);
        self.requests.gate(readiness);
    }
}
