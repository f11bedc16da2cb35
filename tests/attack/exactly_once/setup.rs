//! A setup: one namespace, bucket and tenant, an operator behind a gateway, people who sign when they are asked, and a
//! kubelet. Restores run in it one after the other; after each, what it did to the world is counted.

use super::gateway::{Fault, Gateway, soon};
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams};
use sennight_api::RestoreRequest;
use sennight_core::names::{new_database, previous_database};
use sennight_core::result::BackupSummary;
use serde_json::json;
use std::collections::HashSet;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use testkit::Database;
use testkit::operator::Operator;
use testkit::world::{Tenant, World};

/// From the fault's end to the request's. A part runs beside other suites on the same cores.
pub fn bar() -> Duration {
    Duration::from_mins(if std::env::var_os("SENNIGHT_CASES").is_some() { 2 } else { 1 })
}
/// An attempt that hangs is a failure, too.
const LONGEST: Duration = Duration::from_mins(3);

/// The flags of every operator here: a Lease that is taken over within seconds.
pub const FLAGS: [&str; 6] = [
    "--lease-duration=6s",
    "--lease-renew-deadline=4s",
    "--lease-retry-period=500ms",
    "--authority-interval=1s",
    "--job-interval=2s",
    "--restore-retry=1s",
];

/// What is restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    CrmExport,
    FullRestore,
}

pub struct Setup {
    pub world: Arc<World>,
    pub tenant: Arc<Tenant>,
    pub backup: BackupSummary,
    pub gateway: Gateway,
    pub operator: Option<Operator>,
    _node: tokio_util::sync::DropGuard,
    /// Counts how often nodes have forgotten which pods they have run.
    epoch: Arc<AtomicUsize>,
    flags: Vec<&'static str>,
    /// Jobs whose pods were run: name and UID.
    pub ran: Arc<Mutex<Vec<(String, String)>>>,
}

/// How a restore ended.
#[derive(Debug)]
pub struct Ended {
    pub phase: String,
    pub reason: String,
    pub message: String,
    pub writes: Vec<String>,
    /// Whether the harm came to be done.
    pub fired: bool,
    /// From the harm (or its end, told by the caller) to the request's end.
    pub took: Duration,
}

/// What a restore did to the world.
#[derive(Debug, PartialEq, Eq)]
pub struct Effects {
    pub claims: usize,
    pub exports: usize,
    pub swaps: usize,
    pub destructive_pods: usize,
}

impl Setup {
    pub async fn new(test: &str) -> Self {
        Self::within(World::on_servers(test).await, &FLAGS).await
    }

    /// A setup in a corner that is there, its operators with these flags.
    pub async fn within(world: World, flags: &[&'static str]) -> Self {
        let tenant = world.tenant("acme").await;
        let backup = world.backup(&tenant).await;
        tenant.database.run("INSERT INTO contacts VALUES (5000, 'Before')").await;
        let (world, tenant) = (Arc::new(world), Arc::new(tenant));
        let ran = Arc::default();
        let stop = tokio_util::sync::CancellationToken::new();
        let epoch = Arc::<AtomicUsize>::default();
        node(world.clone(), tenant.clone(), Arc::clone(&ran), epoch.clone(), stop.clone());
        // A test that fails on its way must not leave a node behind: it would keep the others waiting for their turn.
        let node = stop.drop_guard();
        let mut setup = Self {
            world,
            tenant,
            backup,
            gateway: Gateway::start().await,
            operator: None,
            _node: node,
            epoch,
            flags: flags.to_vec(),
            ran,
        };
        setup.start();
        setup.world.storage_is_owned().await;
        setup
    }

    /// Nodes forget which pods they have run.
    pub fn forget_pods(&self) {
        self.epoch.fetch_add(1, Ordering::SeqCst);
    }

    /// Another operator behind the gateway.
    pub fn start(&mut self) {
        let operator = Operator::start_as(&self.gateway.kubeconfig, &self.world.namespace, "operator", &self.flags);
        self.gateway.operator(operator.id());
        self.operator = Some(operator);
    }

    /// What a Deployment does: a process that has ended is started again. Nobody waits for the dead one's Lease.
    pub async fn supervise(&mut self) {
        if self.operator.as_mut().is_some_and(|operator| !operator.runs()) {
            // An API server that is being set back does not answer.
            let _ = self.world.api::<Lease>().delete("sennight", &DeleteParams::default()).await;
            self.start();
        }
    }

    /// A request with a name of its own.
    pub async fn ask(&self, mode: Mode) -> String {
        let name = unique();
        self.request(mode, &name).await;
        name
    }

    async fn request(&self, mode: Mode, name: &str) {
        let fields = match mode {
            Mode::CrmExport => json!({}),
            Mode::FullRestore => json!({"mode": "FullRestore", "acknowledgeDataLoss": true}),
        };
        self.world.request(&self.tenant, name, self.backup.day, fields).await;
    }

    /// People, and a Deployment, do what is theirs; the request as it is now.
    pub async fn tend(&mut self, name: &str) -> Option<RestoreRequest> {
        self.supervise().await;
        let object = self.world.api::<RestoreRequest>().get_opt(name).await.ok()??;
        let status = object.status.clone().unwrap_or_default();
        match status.phase.map(|phase| phase.to_string()).as_deref() {
            Some("AwaitingApproval") if status.approval.is_none() => self.world.decide(name, "Approved").await,
            Some("AwaitingPayment") if status.payment.is_none() => self.world.pay(name).await,
            _ => {}
        }
        Some(object)
    }

    /// One restore from its request until nothing is left to do, with one harm on its way.
    pub async fn restore(&mut self, mode: Mode, fault: Option<(usize, Fault)>) -> (String, Ended) {
        let name = unique();
        self.gateway.expect(&name, fault);
        self.request(mode, &name).await;
        let ended = self.finish(&name, None).await;
        (name, ended)
    }

    /// Tends a request until nothing is left to do. `since`: when the harm ended, if not the gateway knows.
    pub async fn finish(&mut self, name: &str, since: Option<Instant>) -> Ended {
        let began = Instant::now();
        let mut finished = None;
        loop {
            let object = self.tend(name).await;
            if let Some(object) = &object
                && object.status.as_ref().is_some_and(|s| s.finished_at.is_some())
            {
                let at = *finished.get_or_insert_with(Instant::now);
                // Its hold goes after the end, and then its record's head is written.
                if over(object) {
                    let since = since.or(self.gateway.fired()).unwrap_or(began);
                    return self.ended(object, at.saturating_duration_since(since));
                }
            }
            assert!(
                began.elapsed() < LONGEST,
                "{name} has not ended: {object:#?}\nwrites: {:#?}\n{}",
                self.gateway.writes(),
                self.operator.as_ref().map(Operator::log).unwrap_or_default()
            );
            tokio::time::sleep(Duration::from_millis(150)).await;
        }
    }

    fn ended(&self, object: &RestoreRequest, took: Duration) -> Ended {
        let status = object.status.clone().unwrap();
        let progressing = status.conditions.iter().find(|c| c.type_ == "Progressing").cloned();
        Ended {
            phase: status.phase.unwrap().to_string(),
            reason: progressing.as_ref().map(|c| c.reason.clone()).unwrap_or_default(),
            message: progressing.and_then(|c| c.message).unwrap_or_default(),
            writes: self.gateway.writes(),
            fired: self.gateway.fired().is_some(),
            took,
        }
    }

    /// Counts what a request did, by what S3 and PostgreSQL have, and which pods ran.
    pub async fn effects(&self, name: &str) -> Effects {
        let uid = self.world.get(name).await.uid().unwrap();
        self.effects_of(&uid).await
    }

    /// [`Setup::effects`] of a request that etcd may have forgotten.
    pub async fn effects_of(&self, uid: &str) -> Effects {
        let keys = self.world.bucket().keys().await;
        let live = &self.tenant.database.target.database;
        let (new, kept) = (new_database(live, uid), previous_database(live, uid));
        let server = Database::existing("postgres");
        let there = async |name: &str| {
            server.count(&format!("SELECT count(*) FROM pg_database WHERE datname = '{name}'")).await
        };
        assert!(there(live).await == 1, "I3: the tenant's database is gone");
        // The prepared one becomes the live one, the live one the kept one: once, or both names are wrong.
        let swaps = there(&kept).await;
        if swaps > 0 {
            assert_eq!(there(&new).await, 0, "a second database was prepared after the swap");
            let wiped = "SELECT count(*) FROM contacts WHERE name = 'Before'";
            assert_eq!(self.tenant.database.count(wiped).await, 0, "the live one is the restored one");
            let after = "SELECT count(*) FROM contacts WHERE name = 'After'";
            let there = soon(Duration::from_secs(10), async || self.tenant.database.count(after).await == 1).await;
            assert!(there, "what the tenant wrote after the restore is gone: it was restored again");
        }
        let short: String = uid.chars().filter(char::is_ascii_hexdigit).take(20).collect();
        let ran = self.ran.lock().unwrap();
        let destructive =
            |job: &str| job.starts_with(&format!("r{short}-cutover")) || job.starts_with(&format!("r{short}-export"));
        Effects {
            claims: keys.iter().filter(|key| key.contains("/claims/") && key.ends_with(uid)).count(),
            exports: keys.iter().filter(|key| key.contains("/exports/") && key.contains(uid)).count(),
            swaps: usize::try_from(swaps).unwrap(),
            destructive_pods: ran.iter().filter(|(job, _)| destructive(job)).count(),
        }
    }

    /// What the bucket's lifecycle does a week later.
    pub async fn forget_reports(&self, name: &str) {
        let store = self.world.bucket().store().await;
        let keys = self.world.bucket().keys().await;
        let mine: Vec<String> = keys.into_iter().filter(|key| key.ends_with(&format!("/{name}.json"))).collect();
        assert!(!mine.is_empty(), "no report of {name}");
        store.delete(&mine).await.unwrap();
    }

    /// The next restore finds the tenant as this one did.
    pub async fn tidy(&self, uid: &str) {
        let live = &self.tenant.database.target.database;
        let server = Database::existing("postgres");
        for name in [previous_database(live, uid), new_database(live, uid)] {
            server.run(&format!("DROP DATABASE IF EXISTS \"{name}\" WITH (FORCE)")).await;
        }
        self.tenant.database.run("DELETE FROM contacts WHERE name IN ('Before', 'After')").await;
        self.tenant.database.run("INSERT INTO contacts VALUES (5000, 'Before')").await;
    }
}

fn unique() -> String {
    format!("r-{:06x}", rand::random::<u32>() & 0xff_ffff)
}

/// A node: a thread of its own, because it must not wait for the test, nor the test for it.
fn node(
    world: Arc<World>,
    tenant: Arc<Tenant>,
    ran: Arc<Mutex<Vec<(String, String)>>>,
    epoch: Arc<AtomicUsize>,
    stop: tokio_util::sync::CancellationToken,
) {
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            tokio::select! {
                () = stop.cancelled() => {}
                () = kubelet(world, tenant, ran, epoch) => {}
            }
        });
    });
}

/// Runs every pod that the Job controller makes, each once, as a node does. After a swap the tenant works on.
async fn kubelet(
    world: Arc<World>,
    tenant: Arc<Tenant>,
    ran: Arc<Mutex<Vec<(String, String)>>>,
    epoch: Arc<AtomicUsize>,
) {
    let (mut known, mut now) = (HashSet::new(), 0);
    let mut running = FuturesUnordered::new();
    loop {
        if std::mem::replace(&mut now, epoch.load(Ordering::SeqCst)) != now {
            known.clear();
        }
        let pods = world.api::<Pod>().list(&ListParams::default()).await.map(|list| list.items).unwrap_or_default();
        for pod in pods {
            let pending = pod.status.as_ref().and_then(|s| s.phase.as_deref()) == Some("Pending");
            let Some(job) = pod.labels().get("batch.kubernetes.io/job-name").cloned() else { continue };
            if !pending || pod.metadata.deletion_timestamp.is_some() || !known.insert(pod.uid()) {
                continue;
            }
            let uid = pod.labels().get("batch.kubernetes.io/controller-uid").cloned().unwrap_or_default();
            ran.lock().unwrap().push((job.clone(), uid));
            let (world, tenant) = (world.clone(), tenant.clone());
            let uid = pod.uid();
            running.push(async move {
                // An API server that is away ends this try, not the node.
                let Ok(code) = AssertUnwindSafe(world.run(&job)).catch_unwind().await else { return uid };
                if code == 0 && job.contains("-cutover") {
                    let after = "INSERT INTO contacts SELECT 6000, 'After' ON CONFLICT DO NOTHING";
                    tenant.database.run(after).await;
                }
                None
            });
        }
        let pause = tokio::time::sleep(Duration::from_millis(150));
        tokio::pin!(pause);
        loop {
            tokio::select! {
                () = &mut pause => break,
                Some(again) = running.next() => {
                    known.remove(&again);
                }
            }
        }
    }
}

/// The Jobs of a namespace that carry a step's name.
pub async fn jobs(world: &World, step: &str) -> Vec<Job> {
    let all = world.api::<Job>().list(&ListParams::default()).await.unwrap().items;
    all.into_iter().filter(|job| job.name_any().contains(&format!("-{step}"))).collect()
}

/// It has ended, is released and recorded. A replaced database keeps a finalizer of its own for days.
pub fn over(object: &RestoreRequest) -> bool {
    let finished = object.status.as_ref().is_some_and(|s| s.finished_at.is_some());
    finished && object.finalizers().iter().all(|name| name == "sennight.dev/databases")
}
