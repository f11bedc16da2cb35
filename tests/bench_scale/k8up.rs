//! K8up as a peer, where somebody has its binary: what it costs to hold as many schedules, at a start and at rest.
//! `SENNIGHT_K8UP` names the binary, `SENNIGHT_K8UP_CRDS` the directory of its CRDs (config/crd/apiextensions.k8s.io/v1 of its
//! source).

use crate::etcd::Etcd;
use crate::process::Process;
use crate::report::{Bar, Page};
use crate::scope::Scope;
use crate::tier;
use serde_json::{Value, json};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use testkit::cluster;

/// It gives every new schedule a second object or a status through a client that asks 20 times a second: more would take hours.
const MOST: usize = 10_000;
/// The longest time that a start may take.
const PATIENCE: Duration = Duration::from_mins(20);
/// The first schedule's name, replaced in its likes.
const NAME: &str = "k0000000";

/// Measures and adds to the page, or says that there was nothing to measure: then it returns false.
pub async fn run_and_judge(scope: &Scope, page: &mut Page) -> bool {
    let given = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
    let (Some(binary), Some(crds)) = (given("SENNIGHT_K8UP"), given("SENNIGHT_K8UP_CRDS")) else {
        let words = "not given in this run (`SENNIGHT_K8UP` names its binary, `SENNIGHT_K8UP_CRDS` the directory of its CRDs). An earlier \
                     measurement on such a machine, 10,000 schedules: 138 MiB after a restart, 211 MiB peak while they are created, 8 s of CPU \
                     to start, 120 distinct start minutes a day.";
        page.section("Peers: K8up", words);
        return false;
    };
    let number = scope.schedules.min(MOST);
    cluster::kubectl_ok(&["apply", "--server-side", "-f", &crds], "");
    let crd = "crd/schedules.k8up.io";
    cluster::kubectl_ok(&["wait", crd, "--for=condition=Established", "--timeout=60s"], "");
    let namespace = cluster::namespace("scale-k8up", &[]);
    let alone = started(&binary, &namespace).await;
    schedules(&namespace, number).await;
    tier::restart("apiserver", &[]);
    let first = started(&binary, &namespace).await;
    let again = started(&binary, &namespace).await;
    let words = format!(
        "{number} Schedules. The first start: {:.0} MiB, peak {:.0} MiB, {:.1} CPU seconds in {:.0} s until it is at rest; a restart: \
         {:.0} MiB, peak {:.0} MiB, {:.1} CPU seconds, so {:.2} ms a schedule; without any: {:.0} MiB, {:.1} CPU seconds.",
        first.memory,
        first.peak,
        first.cpu,
        first.seconds,
        again.memory,
        again.peak,
        again.cpu,
        again.cpu / number as f64 * 1000.0,
        alone.memory,
        alone.cpu,
    );
    page.section("Peers: K8up", &words);
    page.bars(vec![
        Bar::told("K8up: CPU to start a schedule, ms", again.cpu / number as f64 * 1000.0),
        Bar::told("K8up: memory after a restart, MiB", again.memory),
        Bar::told("K8up: peak memory of the first start, MiB", first.peak),
    ]);
    true
}

/// One goes through the API, the rest are its likes.
async fn schedules(namespace: &str, number: usize) {
    let backend = json!({
        "repoPasswordSecretRef": {"name": "repository", "key": "password"},
        "s3": {"endpoint": "http://s3.invalid", "bucket": "backups"}
    });
    let first = json!({
        "apiVersion": "k8up.io/v1", "kind": "Schedule", "metadata": {"name": NAME, "namespace": namespace},
        "spec": {"backend": backend, "backup": {"schedule": "@daily-random"}}
    });
    cluster::apply(&first.to_string());
    let made = cluster::kubectl_ok(
        &["-n", namespace, "get", "schedules.k8up.io", NAME, "-o", "json", "--show-managed-fields"],
        "",
    );
    let mut made: Value = serde_json::from_str(&made).unwrap();
    made["metadata"].as_object_mut().unwrap().remove("resourceVersion");
    let (text, uid) = (made.to_string(), made["metadata"]["uid"].as_str().unwrap().to_owned());
    let likes = (1..number).map(|n| {
        let name = format!("k{n:07}");
        let own = format!("{:08x}-0000-4000-8000-{n:012x}", rand::random::<u32>());
        let text = text.replace(NAME, &name).replace(&uid, &own);
        (format!("/registry/k8up.io/schedules/{namespace}/{name}"), text)
    });
    Etcd::of_tier().put(likes).await;
}

struct Started {
    memory: f64,
    peak: f64,
    cpu: f64,
    seconds: f64,
}

/// Ends it with its scope.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts it, waits until it is at rest, and ends it.
async fn started(binary: &str, namespace: &str) -> Started {
    let child = Command::new(binary)
        .args(["operator", "--metrics-bindaddress=127.0.0.1:0", "--enable-leader-election=false"])
        .arg(format!("--operator-namespace={namespace}"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut running = Running(child);
    let process = Process(running.0.id());
    let (began, mut last) = (Instant::now(), 0.0);
    loop {
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert!(running.0.try_wait().unwrap().is_none(), "K8up ended by itself");
        let now = process.cpu();
        if now - last < 0.2 || began.elapsed() > PATIENCE {
            let seconds = began.elapsed().as_secs_f64();
            return Started { memory: process.memory(), peak: process.peak(), cpu: now, seconds };
        }
        last = now;
    }
}
