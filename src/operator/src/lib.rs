//! The operator: leads, watches, reconciles. One room a kind; this page starts them and ends them in order.

pub mod authority;
pub mod backup;
pub mod clients;
pub mod clock;
pub mod context;
pub mod delay_queue;
pub mod dispatch;
pub mod error;
pub mod gauges;
pub mod http;
pub mod informer;
pub mod instrumented;
pub mod jobs;
pub mod leader_election;
pub mod namespaced_watch;
pub mod open_requests;
pub mod profile;
pub mod restore;
pub mod schedule_index;
pub mod server;
pub mod settings;
pub mod storage;
pub mod storage_clients;
pub mod targets;
pub mod telemetry;
pub mod worker_job;
pub mod write_fence;
pub mod writes;

use crate::http::Readiness;
use crate::settings::Settings;
use crate::telemetry::Metrics;
use clients::Clients;
pub use clock::Clock;
use context::Context;
use informer::Informers;
use leader_election::{LeaseCandidate, LeaseError};
use sennight_api::{BackupSchedule, BackupStorage, DatabaseServer, ExportProfile, RestoreRequest};
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use write_fence::Leading;

/// Longest time that running reconciles get after SIGTERM; below a pod's usual 30 s.
const DRAIN: Duration = Duration::from_secs(20);
/// Longest time that the HTTP server gets to end its connections.
const HTTP_END: Duration = Duration::from_secs(1);
/// Pause between two looks for CRDs.
const CRD_RETRY: Duration = Duration::from_secs(2);
const CRDS: &str = "CustomResourceDefinitions";

/// Why the operator ended.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// No client could be made of the kubeconfig or the pod's service account.
    #[error("cannot reach Kubernetes: {0}; run in a pod with a service account, or set KUBECONFIG")]
    Config(#[from] kube::config::InferConfigError),
    /// The client's TLS or proxy settings.
    #[error("cannot make a Kubernetes client: {0}")]
    Client(#[source] kube::Error),
    /// The port is taken, or forbidden.
    #[error("cannot listen on {address}: {source}; choose another --metrics-addr")]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// Another process leads now.
    #[error(transparent)]
    Lease(#[from] LeaseError),
    /// A controller's stream came to an end that nobody asked for.
    #[error("a controller ended by itself; the process ends and starts over")]
    ControllerEnded,
}

/// Runs the operator until `stop` (then `Ok`) or until it must not go on (then the process has to end at once).
pub async fn operate(settings: Settings, stop: CancellationToken) -> Result<(), OperatorError> {
    operate_by(settings, stop, Clock::default()).await
}

/// The same by another clock: a rehearsal of a whole day in minutes.
pub async fn operate_by(settings: Settings, stop: CancellationToken, clock: Clock) -> Result<(), OperatorError> {
    let config = kube::Config::infer().await?;
    let leading = Leading::default();
    let clients = Clients::new(&config, &leading).map_err(OperatorError::Client)?;
    let (metrics, registry) = Metrics::new();
    let readiness = Readiness::default();
    readiness.expect(CRDS);
    let address = settings.metrics_addr;
    let listener = http::bind(address).await.map_err(|source| OperatorError::Listen { address, source })?;
    if let Ok(address) = listener.local_addr() {
        info!(%address, "serving /livez, /readyz and /metrics");
    }
    let http_stop = CancellationToken::new();
    let guard = http_stop.clone().drop_guard();
    let server = tokio::spawn(http::serve(listener, readiness.clone(), Arc::new(registry), http_stop));
    let process = Process { settings: Arc::new(settings), clock, clients, metrics, readiness };
    let ended = lead(process, leading, stop).await;
    drop(guard);
    // A scraper that keeps its connection open must not keep a process alive that has lost its Lease.
    if let Ok(Ok(Err(error))) = tokio::time::timeout(HTTP_END, server).await {
        warn!(%error, "the HTTP server ended");
    }
    ended
}

/// What a process has from its start to its end, leading or not.
struct Process {
    settings: Arc<Settings>,
    clock: Clock,
    clients: Clients,
    metrics: Metrics,
    readiness: Readiness,
}

async fn lead(process: Process, leading: Leading, stop: CancellationToken) -> Result<(), OperatorError> {
    let Process { settings, clients, metrics, .. } = &process;
    if !crds_served(clients, settings, &stop).await {
        return Ok(());
    }
    process.readiness.done(CRDS);
    let (namespace, name) = (&settings.namespace, &settings.lease_name);
    let mut candidate = LeaseCandidate::new(
        clients.lease.clone(),
        namespace,
        name,
        &settings.identity,
        settings.lease,
        leading.clone(),
    );
    if !candidate.acquire(&stop).await {
        return Ok(());
    }
    info!(identity = %settings.identity, "leading");
    let metrics = metrics.clone();
    metrics.leader.set(1);

    let ended = work_while_leading(&mut candidate, process, stop).await;
    leading.end();
    metrics.leader.set(0);
    if ended.is_ok() {
        candidate.release().await;
    }
    ended
}

/// Works until `stop`. The Lease is renewed until the last reconcile is done: nobody else begins while this process still
/// writes.
async fn work_while_leading(
    candidate: &mut LeaseCandidate,
    process: Process,
    stop: CancellationToken,
) -> Result<(), OperatorError> {
    let drained = CancellationToken::new();
    let work = work(process, stop);
    let held = candidate.hold(&drained);
    tokio::pin!(work, held);
    tokio::select! {
        ended = &mut work => {
            drained.cancel();
            ended.and(held.await.map_err(OperatorError::from))
        }
        lost = &mut held => lost.map_err(OperatorError::from),
    }
}

/// Runs every controller until `stop`, then until each has finished what it was doing, at most [`DRAIN`].
async fn work(process: Process, stop: CancellationToken) -> Result<(), OperatorError> {
    let Process { settings, clock, clients, metrics, readiness } = process;
    let (feeds, caches, timers) = Informers::start(&clients.watch, &settings.watch, clock);
    feeds.gate(&readiness);
    let (jobs, job_changes) = jobs::Jobs::start(&clients.watch, &settings.watch);
    let ctx = Arc::new(Context::new(clients, settings, metrics, caches, timers, jobs, clock));
    let mut rooms = JoinSet::new();
    rooms.spawn(jobs::run(job_changes, ctx.clone(), stop.clone()));
    rooms.spawn(dispatch::run(ctx.clone(), stop.clone()));
    rooms.spawn(storage::run(feeds.storages, ctx.clone(), stop.clone()));
    rooms.spawn(authority::watch(ctx.clone(), stop.clone()));
    rooms.spawn(gauges::run(ctx.clone(), stop.clone()));
    rooms.spawn(server::run(feeds.servers, ctx.clone(), stop.clone()));
    rooms.spawn(backup::run(feeds.schedules, ctx.clone(), stop.clone()));
    rooms.spawn(restore::run(feeds.requests, ctx.clone(), stop.clone()));
    rooms.spawn(profile::run(feeds.profiles, ctx.clone(), stop.clone()));
    tokio::select! {
        () = stop.cancelled() => {}
        _ = rooms.join_next() => if !stop.is_cancelled() {
            return Err(OperatorError::ControllerEnded);
        }
    }
    info!("stopping: no new reconcile starts");
    let drain = async { while rooms.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN, drain).await.is_err() {
        warn!("reconciles were still running after {DRAIN:?}; they are cut off");
    }
    Ok(())
}

/// Waits until the API server serves every kind of ours; `false` when `stop` came first.
async fn crds_served(clients: &Clients, settings: &Settings, stop: &CancellationToken) -> bool {
    let scope = settings.watch.scopes().into_iter().next().flatten();
    loop {
        let missing = [
            missing::<BackupStorage>(clients, scope).await,
            missing::<DatabaseServer>(clients, scope).await,
            missing::<BackupSchedule>(clients, scope).await,
            missing::<RestoreRequest>(clients, scope).await,
            missing::<ExportProfile>(clients, scope).await,
        ];
        let missing: Vec<String> = missing.into_iter().flatten().collect();
        if missing.is_empty() {
            return true;
        }
        warn!(
            missing = missing.join("; "),
            "waiting for CustomResourceDefinitions: install them with crds/ or the chart"
        );
        tokio::select! {
            () = stop.cancelled() => return false,
            () = tokio::time::sleep(CRD_RETRY) => {}
        }
    }
}

async fn missing<K: namespaced_watch::Watched>(clients: &Clients, scope: Option<&str>) -> Option<String> {
    let one = kube::api::ListParams::default().limit(1);
    let listed = namespaced_watch::api::<K>(&clients.lease, scope).list_metadata(&one).await;
    listed.err().map(|error| format!("{}: {error}", K::kind(&())))
}
