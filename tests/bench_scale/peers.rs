//! What people use today, in the same run on the same API server: a native CronJob a tenant.

use crate::cluster;
use crate::etcd::Etcd;
use crate::process::Process;
use crate::report::Page;
use crate::scope::Scope;
use crate::support::env;
use serde_json::{Value, json};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Measures and adds to the page.
pub async fn run_and_judge(scope: &Scope, page: &mut Page) {
    let namespace = cluster::namespace("scale-cronjobs", &[]);
    let alone = started().await;
    let first = cron_job(&namespace, "c0000000");
    cluster::apply(&first.to_string());
    let made = cluster::kubectl_ok(
        &["-n", &namespace, "get", "cronjob", "c0000000", "-o", "json", "--show-managed-fields"],
        "",
    );
    let mut made: Value = serde_json::from_str(&made).unwrap();
    made["metadata"].as_object_mut().unwrap().remove("resourceVersion");
    let (text, uid) = (made.to_string(), made["metadata"]["uid"].as_str().unwrap().to_owned());
    let objects = (1..scope.schedules).map({
        let namespace = namespace.clone();
        move |n| {
            let name = format!("c{n:07}");
            let uid_n = format!("{:08x}-0000-4000-8000-{n:012x}", rand::random::<u32>());
            let minute = format!("\"schedule\":\"{} {} * * *\"", n % 60, hour(n / 60));
            let text = text.replace("c0000000", &name).replace(&uid, &uid_n).replace(&first_minute(), &minute);
            (format!("/registry/cronjobs/{namespace}/{name}"), text)
        }
    });
    Etcd::of_tier().put(objects).await;
    let with = started().await;
    let words = format!(
        "kube-controller-manager with {} CronJobs that name distinct minutes of six hours: {:.0} MiB, peak {:.0} MiB, {:.1} CPU \
         seconds until it is at rest; without any: {:.0} MiB, {:.1} CPU seconds. So the CronJobs cost {:.0} MiB and {:.2} ms of CPU \
         each at a start; they have 360 distinct start minutes, no budget, no catch-up beyond the last slot, and one Job (a default \
         controller-manager completes 3.4 a second) a tenant.",
        scope.schedules,
        with.memory,
        with.peak,
        with.cpu,
        alone.memory,
        alone.cpu,
        with.memory - alone.memory,
        (with.cpu - alone.cpu) / scope.schedules as f64 * 1000.0,
    );
    page.section("Peers: native CronJobs", &words);
    Etcd::of_tier().clear(&format!("/registry/cronjobs/{namespace}/")).await;
    cluster::kubectl_ok(&["delete", "namespace", &namespace, "--wait=false"], "");
}

fn hour(n: usize) -> u32 {
    use chrono::Timelike;
    ((chrono::Utc::now().hour() as usize + 4 + n % 6) % 24) as u32
}

fn first_minute() -> String {
    format!("\"schedule\":\"0 {} * * *\"", hour(0))
}

fn cron_job(namespace: &str, name: &str) -> Value {
    json!({
        "apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "schedule": format!("0 {} * * *", hour(0)), "concurrencyPolicy": "Forbid", "timeZone": "Etc/UTC",
            "jobTemplate": {"spec": {"template": {"spec": {
                "restartPolicy": "Never",
                "containers": [{
                    "name": "dump", "image": "backup:1", "args": ["dump", name],
                    "env": [{"name": "PGHOST", "value": "db.example.com"}, {"name": "PGDATABASE", "value": name}],
                    "envFrom": [{"secretRef": {"name": "s3"}}],
                    "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}}
                }]
            }}}}
        }
    })
}

struct Started {
    memory: f64,
    peak: f64,
    cpu: f64,
}

/// Starts the controller manager anew, and waits until it is at rest.
async fn started() -> Started {
    let script = format!("{}/tests/cluster/api-tier.sh", env!("CARGO_MANIFEST_DIR"));
    let done = Command::new(script)
        .arg("restart-kcm")
        .env("SENNIGHT_RUN_DIR", env("SENNIGHT_CLUSTER_DIR"))
        .stdin(Stdio::null())
        .status()
        .unwrap();
    assert!(done.success());
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
