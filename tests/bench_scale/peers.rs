//! What people use today, in the same run on the same API server: a native CronJob a tenant. What they cost a default
//! kube-controller-manager at a start, and how late their Jobs come where as many are due in a minute as 100,000 schedules have in
//! a window of six hours.

use crate::etcd::Etcd;
use crate::ledger::quantile;
use crate::process::Process;
use crate::report::{Bar, Page};
use crate::scope::{Scope, WHOLE};
use crate::tier;
use chrono::{DateTime, TimeDelta, Timelike, Utc};
use k8s_openapi::api::batch::v1::Job;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use testkit::cluster;

/// Minutes of the window.
const WINDOW: usize = 360;
/// Minutes in which starts are measured,
const MEASURED: usize = 5;
/// and for which is waited until the last of them has come.
const PATIENCE: TimeDelta = TimeDelta::minutes(10);
/// What a controller manager has when nobody says otherwise; the tier's own has ten times that.
const DEFAULTS: [(&str, &str); 2] = [("SENNIGHT_KCM_QPS", "20"), ("SENNIGHT_KCM_BURST", "30")];
/// Says for which minute a Job was made.
const SCHEDULED: &str = "batch.kubernetes.io/cronjob-scheduled-timestamp";
/// The first one, replaced in its likes.
const NAME: &str = "c0000000";

/// Measures and adds to the page.
pub async fn run_and_judge(scope: &Scope, page: &mut Page) {
    let namespace = cluster::namespace("scale-cronjobs", &[]);
    let alone = started().await;
    let plan = Plan::of(scope.schedules, Utc::now());
    put(&namespace, &plan).await;
    tier::restart("apiserver", &[]);
    // One that runs already would hear of them from a watch, or not: puts into etcd share revisions.
    let with = started().await;
    let starts = starts(&cluster::client("").await, &namespace, &plan).await;
    page.section("Peers: native CronJobs", &words(&plan, &alone, &with, &starts));
    let each = (with.cpu - alone.cpu) / plan.number as f64 * 1000.0;
    page.bars(vec![
        Bar::told("CronJobs: CPU of kube-controller-manager to start one, ms", each),
        Bar::told("CronJobs: memory of kube-controller-manager beside its own, MiB", with.memory - alone.memory),
        Bar::told("CronJobs: Jobs created a second", starts.rate),
        Bar::told("CronJobs: p99 start lag, minutes", starts.lag(0.99)),
        Bar::told("CronJobs: Jobs that had not come when the wait ended", (plan.due() - starts.lags.len()) as f64),
    ]);
    if scope.followed("cronjobs") {
        Etcd::of_tier().clear(&format!("/registry/cronjobs/{namespace}/")).await;
        Etcd::of_tier().clear(&format!("/registry/jobs/{namespace}/")).await;
        tier::restart("kcm", &[]);
    }
}

/// How many, and when.
struct Plan {
    number: usize,
    /// The first minute.
    first: DateTime<Utc>,
}

impl Plan {
    /// The controller manager has listed them by the first minute; with 100,000 that takes minutes.
    fn of(number: usize, now: DateTime<Utc>) -> Self {
        let first = now + TimeDelta::minutes(3 + (number / 12_500) as i64);
        Self { number, first: first.with_second(0).unwrap().with_nanosecond(0).unwrap() }
    }

    /// In a minute: as many as all schedules have, also in a reduced run.
    fn a_minute() -> usize {
        WHOLE / WINDOW
    }

    /// Those that are due while starts are measured.
    fn due(&self) -> usize {
        self.number.min(Self::a_minute() * MEASURED)
    }

    fn end(&self) -> DateTime<Utc> {
        self.first + TimeDelta::minutes(MEASURED as i64)
    }

    fn schedule(&self, n: usize) -> String {
        let at = self.first + TimeDelta::minutes((n / Self::a_minute() % WINDOW) as i64);
        format!("{} {} * * *", at.minute(), at.hour())
    }
}

/// One goes through the API, the rest are its likes.
async fn put(namespace: &str, plan: &Plan) {
    let first = plan.schedule(0);
    cluster::apply(&cron_job(namespace, &first).to_string());
    let made =
        cluster::kubectl_ok(&["-n", namespace, "get", "cronjob", NAME, "-o", "json", "--show-managed-fields"], "");
    let mut made: Value = serde_json::from_str(&made).unwrap();
    made["metadata"].as_object_mut().unwrap().remove("resourceVersion");
    let (text, uid) = (made.to_string(), made["metadata"]["uid"].as_str().unwrap().to_owned());
    let schedule = |minute: &str| format!("\"schedule\":\"{minute}\"");
    let objects: Vec<_> = (1..plan.number)
        .map(|n| {
            let name = format!("c{n:07}");
            let own = format!("{:08x}-0000-4000-8000-{n:012x}", rand::random::<u32>());
            let text = text.replace(NAME, &name).replace(&uid, &own);
            let text = text.replace(&schedule(&first), &schedule(&plan.schedule(n)));
            (format!("/registry/cronjobs/{namespace}/{name}"), text)
        })
        .collect();
    Etcd::of_tier().put(objects.into_iter()).await;
}

fn cron_job(namespace: &str, schedule: &str) -> Value {
    json!({
        "apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": NAME, "namespace": namespace},
        "spec": {
            "schedule": schedule, "concurrencyPolicy": "Forbid", "timeZone": "Etc/UTC",
            "jobTemplate": {"spec": {"template": {"spec": {
                "restartPolicy": "Never",
                "containers": [{
                    "name": "dump", "image": "backup:1", "args": ["dump", NAME],
                    "env": [{"name": "PGHOST", "value": "db.example.com"}, {"name": "PGDATABASE", "value": NAME}],
                    "envFrom": [{"secretRef": {"name": "s3"}}],
                    "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}}
                }]
            }}}}
        }
    })
}

/// How Jobs came.
struct Starts {
    /// Seconds from the minute to the Job.
    lags: Vec<f64>,
    /// Jobs a second, from the first minute to the last Job.
    rate: f64,
}

impl Starts {
    fn lag(&self, share: f64) -> f64 {
        quantile(self.lags.iter().copied(), share) / 60.0
    }
}

/// Waits until all that are due have their Job, or for long enough.
async fn starts(client: &Client, namespace: &str, plan: &Plan) -> Starts {
    let until = plan.end() + PATIENCE;
    loop {
        let found = jobs(client, namespace, plan).await;
        if (found.len() >= plan.due() && Utc::now() > plan.end()) || Utc::now() > until {
            let last = found.iter().map(|(_, made)| *made).max().unwrap_or(plan.first);
            let seconds = ((last - plan.first).num_seconds() as f64).max(1.0);
            let lags: Vec<f64> = found.iter().map(|(due, made)| (*made - *due).num_seconds() as f64).collect();
            return Starts { rate: lags.len() as f64 / seconds, lags };
        }
        tokio::time::sleep(Duration::from_secs(10)).await;
    }
}

/// When each Job of the measured minutes was due, and when it was made.
async fn jobs(client: &Client, namespace: &str, plan: &Plan) -> Vec<(DateTime<Utc>, DateTime<Utc>)> {
    let api: Api<Job> = Api::namespaced(client.clone(), namespace);
    let (mut found, mut page) = (Vec::new(), ListParams::default().limit(500));
    loop {
        let list = api.list_metadata(&page).await.unwrap();
        for job in &list.items {
            let due: DateTime<Utc> = job.annotations()[SCHEDULED].parse().unwrap();
            let made: DateTime<Utc> = job.creation_timestamp().unwrap().0.to_string().parse().unwrap();
            if due < plan.end() {
                found.push((due, made));
            }
        }
        match list.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page.continue_token = Some(token),
            None => return found,
        }
    }
}

fn words(plan: &Plan, alone: &Started, with: &Started, starts: &Starts) -> String {
    format!(
        "kube-controller-manager, its rates as they are by default, with {} CronJobs that name distinct minutes of six hours: {:.0} MiB, \
         peak {:.0} MiB, {:.1} CPU seconds until it is at rest; without any: {:.0} MiB, {:.1} CPU seconds. {} of them were due in {} \
         minutes, {} a minute as 100,000 are in six hours: {} had their Job within {} minutes, {:.2} a second; lag p50 {:.2}, p99 {:.2}, \
         longest {:.2} minutes. No pod runs here: Jobs that end cost it more. CronJobs have 360 distinct start minutes, no budget, no \
         catch-up beyond the last slot, and one Job a tenant.",
        plan.number,
        with.memory,
        with.peak,
        with.cpu,
        alone.memory,
        alone.cpu,
        plan.due(),
        MEASURED,
        Plan::a_minute(),
        starts.lags.len(),
        (PATIENCE + TimeDelta::minutes(MEASURED as i64)).num_minutes(),
        starts.rate,
        starts.lag(0.5),
        starts.lag(0.99),
        starts.lag(1.0),
    )
}

struct Started {
    memory: f64,
    peak: f64,
    cpu: f64,
}

/// Starts the controller manager anew, and waits until it is at rest.
async fn started() -> Started {
    tier::restart("kcm", &DEFAULTS);
    let process = Process::of_tier("kcm");
    let (began, mut last) = (Instant::now(), 0.0);
    loop {
        tokio::time::sleep(Duration::from_secs(10)).await;
        let now = process.cpu();
        if now - last < 0.5 || began.elapsed() > Duration::from_mins(3) {
            return Started { memory: process.memory(), peak: process.peak(), cpu: now };
        }
        last = now;
    }
}
