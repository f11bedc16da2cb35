//! From a watch to a running controller: cache, change stream and delay queue of a kind, and the loop that they drive.

use crate::runtime::clock::Clock;
use crate::runtime::delay_queue::DelayQueue;
use crate::runtime::http::Readiness;
use crate::runtime::instrumented::{FailingSince, ReconcileFailure, ReconcileMetrics, error_policy};
use crate::runtime::key::Key;
use crate::runtime::namespaced_watch::{Watch, Watched, cached};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use kube::Client;
use kube::runtime::controller::{Action, Config, Error};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::{Controller, watcher};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

/// Objects in one page of a list.
const PAGE: u32 = 500;
/// Waits until the caches have been listed once. No reconcile begins before: a budget counted over half the objects would let
/// too many Jobs start.
#[derive(Clone)]
pub struct CachesFilled(Arc<[CancellationToken]>);

impl CachesFilled {
    /// Over caches, each with a token that is cancelled once it has been listed.
    pub fn new(filled: impl Into<Arc<[CancellationToken]>>) -> Self {
        Self(filled.into())
    }

    /// Waits until the last of them has been listed.
    pub async fn wait(&self) {
        for filled in &*self.0 {
            filled.cancelled().await;
        }
    }
}

/// What the loops of all kinds share.
#[derive(Clone)]
pub struct ReconcileLoop {
    /// Reconciles of one kind that run at once.
    pub concurrency: u16,
    /// The operator's clock.
    pub clock: Clock,
    /// What counts and times each reconcile.
    pub reconcile_metrics: ReconcileMetrics,
    /// Before they are filled, nothing is reconciled.
    pub caches: CachesFilled,
}

/// What drives one kind's controller: its cache, the stream that fills it, and the keys that are due.
pub struct Informer<K: Watched> {
    cache: Store<K>,
    changes: BoxStream<'static, Result<K, watcher::Error>>,
    due: BoxStream<'static, ObjectRef<K>>,
    /// Another controller's watch fills the cache.
    follows: bool,
    /// Cancelled once the cache has been listed.
    pub filled: CancellationToken,
}

impl<K: Watched> Informer<K> {
    /// Builds the watch of a kind. No request is sent before it is run.
    pub fn start(client: &Client, watched: &Watch, clock: Clock) -> (Self, Store<K>, DelayQueue<Key>) {
        let (cache, changes, filled) = cached::<K>(client, watched, &watcher::Config::default().page_size(PAGE));
        let (informer, timer) = Self::from_changes(cache.clone(), changes, filled, clock);
        (informer, cache, timer)
    }

    /// The same over a cache and changes that the caller has made.
    pub fn from_changes(
        cache: Store<K>,
        changes: BoxStream<'static, Result<K, watcher::Error>>,
        filled: CancellationToken,
        clock: Clock,
    ) -> (Self, DelayQueue<Key>) {
        let (timer, due) = DelayQueue::start(clock);
        let due = due.map(|key: Key| ObjectRef::new(&key.name).within(&key.namespace));
        (Self { cache, changes, due: due.boxed(), follows: false, filled }, timer)
    }

    /// For one more controller of a kind: over a cache that another one's watch fills, and woken by keys only.
    pub fn follower(cache: Store<K>, filled: CancellationToken, clock: Clock) -> (Self, DelayQueue<Key>) {
        let (follower, timer) = Self::from_changes(cache, stream::pending().boxed(), filled, clock);
        (Self { follows: true, ..follower }, timer)
    }

    /// Runs the kind's controller until `stop` and until its last reconcile is done. Causes other than the object itself
    /// go through the kind's [`DelayQueue`].
    pub async fn run<C, F, E>(
        self,
        controller: Arc<C>,
        shared: ReconcileLoop,
        stop: CancellationToken,
        reconcile: fn(Arc<K>, Arc<C>) -> F,
    ) where
        K: FailingSince,
        C: Send + Sync + 'static,
        F: Future<Output = Result<Action, E>> + Send + 'static,
        E: ReconcileFailure,
    {
        let clock = shared.clock;
        // See `namespaced_watch::cached`: of several that wait for one cache only one would wake.
        if self.follows {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.filled.cancelled() => {}
            }
        }
        Controller::for_stream(self.changes, self.cache)
            .with_config(Config::default().concurrency(shared.concurrency))
            .reconcile_on(self.due)
            .graceful_shutdown_on(stop.clone().cancelled_owned())
            .run(
                move |object, controller| {
                    let (stop, shared) = (stop.clone(), shared.clone());
                    async move {
                        tokio::select! {
                            () = shared.caches.wait() => {
                                let work = reconcile(object.clone(), controller);
                                shared.reconcile_metrics.reconcile(&*object, work).await
                            }
                            () = stop.cancelled() => Ok(Action::await_change()),
                        }
                    }
                },
                move |object, error, _| error_policy(&*object, error, clock),
                controller,
            )
            .for_each(|step| async move {
                match step {
                    // `ReconcileMetrics` has logged it.
                    Ok(_) | Err(Error::ReconcilerFailed(..)) => {}
                    // It was deleted while it was in the queue.
                    Err(Error::ObjectNotFound(gone)) => debug!(object = %gone, "object deleted before its reconcile"),
                    Err(error) => warn!(%error, kind = %K::kind(&()), "watch failed; retrying"),
                }
            })
            .await;
    }

    /// Makes `/readyz` wait until the cache is filled.
    pub fn expect_filled(&self, readiness: &Readiness) {
        expect_filled(&K::kind(&()), &self.filled, readiness);
    }
}

/// Makes `/readyz` wait for one cache.
pub fn expect_filled(kind: &str, filled: &CancellationToken, readiness: &Readiness) {
    let what = format!("the list of {kind}s");
    readiness.expect(what.clone());
    let (filled, readiness) = (filled.clone(), readiness.clone());
    tokio::spawn(async move {
        filled.cancelled().await;
        readiness.done(&what);
    });
}
