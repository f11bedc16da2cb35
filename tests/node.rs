//! The main job on a real node: the image of the Dockerfile, the chart by Helm, the plain manifests by kubectl. `make
//! test-node` brings the node up and runs this; what it tells is the demo's own story.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot go on should say where"
)]

use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Both tests install cluster-wide objects: one at a time.
static CLUSTER: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    CLUSTER.lock().unwrap_or_else(PoisonError::into_inner)
}

fn env(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is missing: run this by `make test-node`"))
}

fn run(program: &str, args: &[&str]) -> Output {
    let shown = format!("{program} {}", args.join(" "));
    let output = Command::new(program).args(args).current_dir(testkit::repository()).stderr(Stdio::inherit()).output();
    let output = output.unwrap_or_else(|error| panic!("{shown}: {error}"));
    println!("$ {shown}\n{}", String::from_utf8_lossy(&output.stdout));
    assert!(output.status.success(), "{shown} ended with {}", output.status);
    output
}

fn kubectl(args: &[&str]) -> String {
    String::from_utf8(run(&env("SENNIGHT_TEST_KUBECTL"), args).stdout).unwrap()
}

#[test]
fn the_chart_installs_the_main_job_runs_and_uninstalling_keeps_every_custom_resource() {
    let _alone = alone();
    let (helm, image, apps) =
        (env("SENNIGHT_TEST_HELM"), env("SENNIGHT_TEST_IMAGE"), env("SENNIGHT_TEST_APPS_NAMESPACE"));
    let (repository, tag) = image.rsplit_once(':').unwrap();
    let (repository, tag) = (format!("image.repository={repository}"), format!("image.tag={tag}"));
    run(
        &helm,
        &[
            "install",
            "sennight",
            "charts/sennight",
            "--namespace",
            "sennight-system",
            "--create-namespace",
            "--set",
            &repository,
            "--set",
            &tag,
            "--set",
            "image.pullPolicy=Never",
            "--wait",
            "--timeout",
            "180s",
        ],
    );
    run("tests/demo/story.sh", &[&apps]);
    run(&helm, &["uninstall", "sennight", "--namespace", "sennight-system", "--wait"]);
    kubectl(&["delete", "namespace", "sennight-system", "--wait", "--timeout=60s"]);
    let kept = kubectl(&["get", "rreq,bsched", "--namespace", &apps, "--output", "name"]);
    assert_eq!(kept.lines().count(), 6, "four requests and two schedules outlive the chart: {kept}");
}

#[test]
fn the_plain_manifests_install_an_operator_that_leads() {
    let _alone = alone();
    let manifests = testkit::file("config/install.yaml");
    let shipped = manifests.lines().find_map(|line| line.trim().strip_prefix("image: ")).unwrap().trim_matches('"');
    let manifests = manifests.replace(shipped, &env("SENNIGHT_TEST_IMAGE"));
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), manifests).unwrap();
    let path = file.path().to_str().unwrap();
    kubectl(&["apply", "--server-side", "--force-conflicts", "--filename", path]);
    kubectl(&["rollout", "status", "deployment/sennight", "--namespace", "sennight-system", "--timeout=180s"]);
    let lease = kubectl(&[
        "get",
        "lease",
        "sennight",
        "--namespace",
        "sennight-system",
        "--output",
        "jsonpath={.spec.holderIdentity}",
    ]);
    assert!(lease.starts_with("sennight-"), "{lease}");
    // The chart's test keeps its requests, and one that ended today waits for its undo window: nobody is left to release it.
    let left = "jsonpath={range .items[*]}{.metadata.namespace}{\" \"}{.metadata.name}{\"\\n\"}{end}";
    for request in kubectl(&["get", "restorerequests", "--all-namespaces", "--output", left]).lines() {
        if let Some((namespace, name)) = request.split_once(' ') {
            let none = "{\"metadata\":{\"finalizers\":null}}";
            kubectl(&["patch", "restorerequests", name, "--namespace", namespace, "--type=merge", "--patch", none]);
        }
    }
    kubectl(&["delete", "--filename", path, "--wait", "--timeout=60s", "--ignore-not-found"]);
}
