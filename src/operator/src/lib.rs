//! The operator process: takes the Lease, starts one controller for each kind, and stops them in order.
//! What a controller does is in the module of its kind: `backup`, `restore`, `storage`, `server`, `profile`.

pub mod authority;
pub mod backup;
pub mod cache;
pub mod context;
pub mod dispatch;
pub mod error;
pub mod gauges;
pub mod informers;
pub mod jobs_watch;
pub mod profile;
pub mod restore;
pub mod runtime;
pub mod server;
pub mod settings;
pub mod storage;
pub mod targets;
pub mod worker_job;

use crate::informers::Informers;
use crate::runtime::clients::Clients;
pub use crate::runtime::clock::Clock;
use crate::runtime::http::{self, Readiness};
use crate::runtime::leader_election::{LeaseCandidate, LeaseError};
use crate::runtime::telemetry::Metrics;
use crate::runtime::write_fence::WriteFence;
use crate::settings::Settings;
use authority::watch::AuthorityWatch;
use cache::count_writes::CountWrites;
use cache::patrols::Patrols;
use context::Context;
use dispatch::{DumpLimits, Launcher};
use gauges::Gauges;
use jobs_watch::JobsWatch;
use profile::ProfileController;
use sennight_api::{BackupSchedule, BackupStorage, DatabaseServer, ExportProfile, RestoreRequest};
use server::ServerController;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;
use storage::StorageController;
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
    let (informers, caches, timers) = Informers::start(&clients.watch, &settings.watch, clock);
    informers.expect_filled(&readiness);
    let (jobs, job_changes) = cache::jobs::Jobs::start(&clients.watch, &settings.watch);
    let ctx = Arc::new(Context::new(clients, settings, metrics, caches, timers, jobs, clock));
    let jobs_watch = JobsWatch {
        jobs: ctx.jobs.clone(),
        schedules_timer: ctx.timers.schedules.clone(),
        requests_timer: ctx.timers.requests.clone(),
    };
    let profile = ProfileController { client: ctx.clients.write.clone(), clock };
    let mut tasks = JoinSet::new();
    tasks.spawn(jobs_watch.run(job_changes, stop.clone()));
    tasks.spawn(dispatch::run(launcher(&ctx), ctx.caches.filled.clone(), stop.clone()));
    tasks.spawn(storage::run(informers.storages, storage(&ctx), ctx.shared_loop(), stop.clone()));
    tasks.spawn(authority_watch(&ctx).run(stop.clone()));
    tasks.spawn(gauges(&ctx).run(stop.clone()));
    tasks.spawn(server::run(informers.servers, server(&ctx), ctx.shared_loop(), stop.clone()));
    tasks.spawn(backup::run(informers.schedules, ctx.clone(), stop.clone()));
    tasks.spawn(restore::run(informers.requests, ctx.clone(), stop.clone()));
    tasks.spawn(profile::run(informers.profiles, profile, ctx.shared_loop(), stop.clone()));
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

/// The task that creates dump Jobs.
fn launcher(ctx: &Context) -> Launcher {
    let Context { settings, clock, jobs, dispatch, caches, timers, .. } = ctx;
    Launcher {
        client: ctx.clients.write.clone(),
        clock: *clock,
        jobs: jobs.clone(),
        dispatch: dispatch.clone(),
        limits: DumpLimits {
            total: settings.max_dumps,
            servers: caches.servers.clone(),
            storages: caches.storages.clone(),
        },
        schedules: caches.schedules.clone(),
        open: caches.open.clone(),
        schedules_timer: timers.schedules.clone(),
        dump_deadline: settings.timing.dump_deadline,
        job_interval: settings.timing.job_interval,
        pod: settings.worker.pod_defaults(),
    }
}

/// The task that checks the admission policies.
fn authority_watch(ctx: &Context) -> AuthorityWatch {
    let Context { settings, metrics, caches, timers, .. } = ctx;
    AuthorityWatch {
        client: ctx.clients.write.clone(),
        four_eyes: settings.four_eyes,
        interval: settings.timing.authority_interval,
        authority: ctx.authority.clone(),
        metrics: metrics.clone(),
        storages: caches.storages.clone(),
        requests: caches.requests.clone(),
        storages_timer: timers.storages.clone(),
        requests_timer: timers.requests.clone(),
    }
}

/// The controller of BackupStorage.
fn storage(ctx: &Context) -> StorageController {
    let Context { settings, clock, metrics, caches, .. } = ctx;
    StorageController {
        client: ctx.clients.write.clone(),
        clock: *clock,
        storage_interval: settings.timing.storage_interval,
        patrol_interval: settings.timing.patrol_interval,
        reconcile_metrics: ctx.reconcile_metrics.clone(),
        metrics: metrics.clone(),
        storages: caches.storages.clone(),
        schedules: caches.schedules.clone(),
        requests: caches.requests.clone(),
        stores: ctx.stores.clone(),
        authority: ctx.authority.clone(),
        patrols: Patrols::default(),
    }
}

/// The controller of DatabaseServer.
fn server(ctx: &Context) -> ServerController {
    let Context { settings, clock, metrics, caches, timers, jobs, .. } = ctx;
    ServerController {
        client: ctx.clients.write.clone(),
        clock: *clock,
        storage_interval: settings.timing.storage_interval,
        job_interval: settings.timing.job_interval,
        restore_deadline: settings.timing.restore_deadline,
        pod: settings.worker.pod_defaults(),
        reconcile_metrics: ctx.reconcile_metrics.clone(),
        metrics: metrics.clone(),
        schedules: caches.schedules.clone(),
        servers: caches.servers.clone(),
        storages: caches.storages.clone(),
        jobs: jobs.clone(),
        stores: ctx.stores.clone(),
        schedules_timer: timers.schedules.clone(),
        count_writes: CountWrites::default(),
    }
}

/// The task that sets the gauges.
fn gauges(ctx: &Context) -> Gauges {
    let Context { settings, clock, metrics, caches, jobs, dispatch, .. } = ctx;
    Gauges {
        metrics: metrics.clone(),
        clock: *clock,
        max_dumps: settings.max_dumps,
        dispatch: dispatch.clone(),
        jobs: jobs.clone(),
        schedules: caches.schedules.clone(),
        storages: caches.storages.clone(),
        servers: caches.servers.clone(),
        requests: caches.requests.clone(),
    }
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
