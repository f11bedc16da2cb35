//! Names of worker Jobs are the operator's, and nobody enters their pods.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use sennight_api::admission;
use sennight_core::batch::job_name;
use sennight_core::names::{RestoreStep, drill_job, restore_job};
use serde_json::json;
use std::time::{Duration, Instant};
use strum::IntoEnumIterator;
use testkit::cluster::client;
use testkit::world::{ALICE, MALLORY, OPERATOR, World};

fn job(name: &str, suspend: bool) -> Job {
    serde_json::from_value(json!({
        "metadata": {"name": name},
        "spec": {"suspend": suspend, "backoffLimit": 0, "template": {"spec": {
            "restartPolicy": "Never", "automountServiceAccountToken": false,
            "containers": [{"name": "worker", "image": "none.invalid/none"}]
        }}}
    }))
    .unwrap()
}

fn pod(metadata: &serde_json::Value) -> Pod {
    serde_json::from_value(json!({
        "metadata": metadata,
        "spec": {"automountServiceAccountToken": false, "containers": [{"name": "worker", "image": "none.invalid/none"}]}
    }))
    .unwrap()
}

/// Pods are refused for want of the default account until the controller manager has made it.
async fn default_account(world: &World) {
    let accounts: Api<ServiceAccount> = Api::namespaced(client("").await, &world.namespace);
    let began = Instant::now();
    while accounts.get_opt("default").await.unwrap().is_none() {
        assert!(began.elapsed() < Duration::from_secs(30), "no default ServiceAccount after 30 s");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, kube::Error>) {
    match result {
        Err(kube::Error::Api(status)) if admission::is_own_refusal(&status.message) => {
            assert!(status.message.contains("a RestoreRequest that is approved and paid"), "{}", status.message);
        }
        other => panic!("not refused by us: {other:?}"),
    }
}

#[tokio::test]
async fn i1_nobody_but_the_operator_makes_or_starts_a_restore_job() {
    let world = World::on_api("gate").with_people().await;
    default_account(&world).await;
    let jobs = async |who: &str| -> Api<Job> { Api::namespaced(client(who).await, &world.namespace) };
    let (operator, mallory) = (jobs(OPERATOR).await, jobs(MALLORY).await);
    let name = "r0123-prepare-a1-sennight-restore";
    refused(mallory.create(&PostParams::default(), &job(name, false)).await);
    let other = mallory.create(&PostParams::default(), &job("something-else", true)).await;
    assert!(other.is_ok(), "other names are free: {other:?}");
    assert!(
        jobs(ALICE).await.create(&PostParams::default(), &job(name, false)).await.is_err(),
        "no right to Jobs at all"
    );

    operator.create(&PostParams::default(), &job(name, true)).await.unwrap();
    let start = Patch::Merge(json!({"spec": {"suspend": false}}));
    refused(mallory.patch(name, &PatchParams::default(), &start).await);
    operator.patch(name, &PatchParams::default(), &start).await.unwrap();

    // The Job controller makes its pod, which bears the reserved name too.
    let pods: Api<Pod> = Api::namespaced(client("").await, &world.namespace);
    let mine = ListParams::default().labels(&format!("batch.kubernetes.io/job-name={name}"));
    let began = Instant::now();
    while pods.list(&mine).await.unwrap().items.is_empty() {
        assert!(began.elapsed() < Duration::from_secs(30), "the Job controller made no pod in 30 s");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn i1_nobody_passes_a_pod_off_as_a_restores() {
    let world = World::on_api("gate").with_people().await;
    default_account(&world).await;
    let pods: Api<Pod> = Api::namespaced(client(MALLORY).await, &world.namespace);
    for metadata in [
        json!({"name": "r0123-cutover-sennight-restore-x"}),
        json!({"generateName": "r0123-cutover-sennight-restore-"}),
        json!({"name": "harmless", "labels": {"batch.kubernetes.io/job-name": "r0123-cutover-sennight-restore"}}),
    ] {
        refused(pods.create(&PostParams::default(), &pod(&metadata)).await);
    }
    pods.create(&PostParams::default(), &pod(&json!({"name": "harmless"}))).await.unwrap();
}

/// The names of all Jobs that the operator makes.
fn workers() -> Vec<String> {
    let uid = "0f8fad5b-d9cb-469f-a165-70867728950e";
    let restores = RestoreStep::iter().map(|step| restore_job(uid, step, 1));
    [job_name("chain", None), job_name("chain", Some(uid)), drill_job(uid, "backup", "day")]
        .into_iter()
        .chain(restores)
        .collect()
}

#[tokio::test]
async fn i9_nobody_enters_or_changes_a_workers_pod_whatever_it_works_at() {
    let world = World::on_api("gate").with_people().await;
    default_account(&world).await;
    let (admin, mallory) = (client("").await, client(MALLORY).await);
    let pods = |client: &kube::Client| -> Api<Pod> { Api::namespaced(client.clone(), &world.namespace) };
    let enter = async |name: &str, way: &str| {
        let path = format!("/api/v1/namespaces/{}/pods/{name}/{way}", world.namespace);
        match mallory.request_text(http::Request::post(path).body(Vec::new()).unwrap()).await {
            Err(kube::Error::Api(status)) => status.message.clone(),
            other => panic!("{name} {way}: {other:?}"),
        }
    };
    let other_image =
        Patch::Strategic(json!({"spec": {"containers": [{"name": "worker", "image": "mine.invalid/mine"}]}}));
    for job in workers() {
        // As the Job controller names it.
        let name = format!("{job}-abcde");
        pods(&admin).create(&PostParams::default(), &pod(&json!({"name": name}))).await.unwrap();
        for way in ["exec?command=sh", "attach", "portforward", "proxy/"] {
            let said = enter(&name, way).await;
            assert!(admission::is_own_refusal(&said) && said.contains("nobody enters the pod"), "{name} {way}: {said}");
        }
        refused(pods(&mallory).patch(&name, &PatchParams::default(), &other_image).await);
        refused(pods(&mallory).create(&PostParams::default(), &pod(&json!({"name": format!("{job}-mine")}))).await);
        let labels = json!({"name": "another", "labels": {"batch.kubernetes.io/job-name": job}});
        refused(pods(&mallory).create(&PostParams::default(), &pod(&labels)).await);
        let jobs: Api<Job> = Api::namespaced(mallory.clone(), &world.namespace);
        refused(jobs.create(&PostParams::default(), &self::job(&job, true)).await);
    }
    pods(&mallory).create(&PostParams::default(), &pod(&json!({"name": "harmless"}))).await.unwrap();
    let said = enter("harmless", "exec?command=sh").await;
    assert!(!admission::is_own_refusal(&said), "other pods are entered as before: {said}");
    pods(&mallory).patch("harmless", &PatchParams::default(), &other_image).await.unwrap();
}

#[tokio::test]
async fn kueue_or_a_person_still_suspends_and_resumes_a_dumps_job() {
    let world = World::on_api("gate").with_people().await;
    let jobs = async |who: &str| -> Api<Job> { Api::namespaced(client(who).await, &world.namespace) };
    let mallory = jobs(MALLORY).await;
    let name = job_name("chain", None);
    jobs(OPERATOR).await.create(&PostParams::default(), &job(&name, true)).await.unwrap();
    let template = json!({"spec": {"template": {"metadata": {"labels": {"mine": "yes"}}}}});
    refused(mallory.patch(&name, &PatchParams::default(), &Patch::Merge(template)).await);
    let labels = json!({"metadata": {"labels": {"app.kubernetes.io/managed-by": "me"}}});
    refused(mallory.patch(&name, &PatchParams::default(), &Patch::Merge(labels)).await);
    for suspend in [false, true] {
        let patch = Patch::Merge(json!({"spec": {"suspend": suspend}}));
        mallory.patch(&name, &PatchParams::default(), &patch).await.unwrap();
    }
    mallory.delete(&name, &kube::api::DeleteParams::background()).await.unwrap();
}
