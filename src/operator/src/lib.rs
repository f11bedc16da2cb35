//! The operator process: takes the Lease, starts one controller for each kind, and stops them in order.
//! What a controller does is in the module of its kind: `backup`, `restore`, `restore_cleanup`, `restore_record`, `storage`, `server`, `profile`.

pub mod authority;
pub mod backup;
pub mod cache;
pub mod dispatch;
pub mod error;
pub mod gauges;
pub mod informers;
pub mod jobs_watch;
mod parts;
pub mod profile;
pub mod request;
pub mod restore;
pub mod restore_cleanup;
pub mod restore_record;
pub mod runtime;
pub mod server;
pub mod settings;
pub mod storage;
pub mod targets;
pub mod worker_job;

use crate::cache::jobs::Jobs;
use crate::informers::Informers;
use crate::parts::Parts;
use crate::runtime::clients::Clients;
pub use crate::runtime::clock::Clock;
use crate::runtime::http::{self, Readiness};
use crate::runtime::leader_election::{LeaseCandidate, LeaseError};
use crate::runtime::telemetry::Metrics;
use crate::runtime::write_fence::WriteFence;
use crate::settings::Settings;
use sennight_api::{BackupSchedule, BackupStorage, DatabaseServer, ExportProfile, RestoreRequest};
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// Longest time that running reconciles get after SIGTERM; below a pod's usual 30 s.
const DRAIN_LIMIT: Duration = Duration::from_secs(20);
/// Longest time that the HTTP server gets to end its connections at exit.
const HTTP_DRAIN_LIMIT: Duration = Duration::from_secs(1);
/// Pause between two checks whether the CRDs are served.
const CRD_RETRY: Duration = Duration::from_secs(2);
const CRDS: &str = "CustomResourceDefinitions";

/// Why the operator ended.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// Neither a kubeconfig nor a pod's service account gave a client configuration.
    #[error("cannot reach Kubernetes: {0}; run in a pod with a service account, or set KUBECONFIG")]
    Config(#[from] kube::config::InferConfigError),
    /// The client's TLS or proxy settings make no client.
    #[error("cannot make a Kubernetes client: {0}")]
    Client(#[source] kube::Error),
    /// The port is taken, or forbidden.
    #[error("cannot listen on {address}: {source}; choose another --metrics-addr")]
    Listen {
        /// Address of `--metrics-addr`.
        address: std::net::SocketAddr,
        /// What the operating system answered.
        source: std::io::Error,
    },
    /// The Lease was lost, or etcd was restored from a snapshot.
    #[error(transparent)]
    Lease(#[from] LeaseError),
    /// A controller's task ended before `stop`.
    #[error("a controller ended by itself; the process ends and starts over")]
    ControllerEnded,
}

/// Runs the operator until `stop` (then `Ok`). On `Err` the caller has to end the process at once: it may not write any
/// more.
pub async fn operate(settings: Settings, stop: CancellationToken) -> Result<(), OperatorError> {
    operate_by(settings, stop, Clock::default()).await
}

/// [`operate`] with another clock. `make bench-scale` runs a whole day in minutes by it.
pub async fn operate_by(settings: Settings, stop: CancellationToken, clock: Clock) -> Result<(), OperatorError> {
    let config = kube::Config::infer().await?;
    let leading = WriteFence::default();
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
    if let Ok(Ok(Err(error))) = tokio::time::timeout(HTTP_DRAIN_LIMIT, server).await {
        warn!(%error, "HTTP server failed");
    }
    ended
}

/// What a process has from start to end, whether it leads or stands by.
struct Process {
    settings: Arc<Settings>,
    clock: Clock,
    clients: Clients,
    metrics: Metrics,
    readiness: Readiness,
}

/// Waits for the CRDs and the Lease, then runs the controllers. `Ok` also when `stop` came before this process led.
async fn lead(process: Process, leading: WriteFence, stop: CancellationToken) -> Result<(), OperatorError> {
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

    let ended = run_while_leading(&mut candidate, process, stop).await;
    leading.end();
    metrics.leader.set(0);
    if ended.is_ok() {
        candidate.release().await;
    }
    ended
}

/// Runs the controllers until `stop`. The Lease is renewed until the last reconcile is done: no other process begins
/// while this one still writes.
async fn run_while_leading(
    candidate: &mut LeaseCandidate,
    process: Process,
    stop: CancellationToken,
) -> Result<(), OperatorError> {
    let drained = CancellationToken::new();
    let controllers = run_controllers(process, stop);
    let renewal = candidate.hold(&drained);
    tokio::pin!(controllers, renewal);
    tokio::select! {
        ended = &mut controllers => {
            drained.cancel();
            ended.and(renewal.await.map_err(OperatorError::from))
        }
        lost = &mut renewal => lost.map_err(OperatorError::from),
    }
}

/// Runs every controller until `stop`, then waits for those under way, at most [`DRAIN_LIMIT`].
async fn run_controllers(process: Process, stop: CancellationToken) -> Result<(), OperatorError> {
    let Process { settings, clock, clients, metrics, readiness } = process;
    let (informers, caches, timers) =
        Informers::start(&clients.watch, &settings.watch, settings.timing.request_retention, clock);
    informers.expect_filled(&readiness);
    let (jobs, job_changes) = Jobs::start(&clients.watch, &settings.watch);
    let parts = Parts::new(clients.write, settings, metrics, caches, timers, jobs, clock);
    let mut tasks = JoinSet::new();
    tasks.spawn(parts.jobs_watch().run(job_changes, stop.clone()));
    tasks.spawn(dispatch::run(parts.launcher(), parts.caches.filled.clone(), stop.clone()));
    tasks.spawn(storage::run(informers.storages, parts.storage(), parts.shared_loop(), stop.clone()));
    tasks.spawn(parts.authority_watch().run(stop.clone()));
    tasks.spawn(parts.gauges().run(stop.clone()));
    tasks.spawn(server::run(informers.servers, parts.server(), parts.shared_loop(), stop.clone()));
    tasks.spawn(backup::run(informers.schedules, parts.backup(), parts.shared_loop(), stop.clone()));
    tasks.spawn(restore::run(informers.restores, parts.restore(), parts.shared_loop(), stop.clone()));
    tasks.spawn(restore_cleanup::run(informers.cleanups, parts.restore_cleanup(), parts.shared_loop(), stop.clone()));
    tasks.spawn(restore_record::run(informers.records, parts.restore_record(), parts.shared_loop(), stop.clone()));
    tasks.spawn(profile::run(informers.profiles, parts.profile(), parts.shared_loop(), stop.clone()));
    tokio::select! {
        () = stop.cancelled() => {}
        _ = tasks.join_next() => if !stop.is_cancelled() {
            return Err(OperatorError::ControllerEnded);
        }
    }
    info!("stop requested; waiting for running reconciles");
    let drain = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN_LIMIT, drain).await.is_err() {
        warn!("reconciles still ran after {DRAIN_LIMIT:?}; aborted");
    }
    Ok(())
}

/// Waits until the API server serves all five kinds; `false` when `stop` came first.
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
            "CustomResourceDefinitions missing; retrying (install them with crds/ or the chart)"
        );
        tokio::select! {
            () = stop.cancelled() => return false,
            () = tokio::time::sleep(CRD_RETRY) => {}
        }
    }
}

/// Why the API server does not list a kind; `None`: it does.
async fn missing<K: runtime::namespaced_watch::Watched>(clients: &Clients, scope: Option<&str>) -> Option<String> {
    let one = kube::api::ListParams::default().limit(1);
    let listed = runtime::namespaced_watch::api::<K>(&clients.lease, scope).list_metadata(&one).await;
    listed.err().map(|error| format!("{}: {error}", K::kind(&())))
}
