//! Restores that run: from both keys to the end, once.

use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt;
use kube::api::{DeleteParams, PostParams};
use sennight_api::ConditionStatus::{False, True, Unknown};
use serde_json::json;
use std::time::Duration;
use testkit::cluster::until;
use testkit::cluster::{self, HELPDESK};
use testkit::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn i1_both_keys_claim_an_export_and_its_job_delivers_that_days_contacts() {
    let world = World::on_servers("export").await;
    let tenant = world.tenant("acme").await;
    let backup = world.backup(&tenant).await;
    tenant.database.run("DELETE FROM contacts WHERE id > 7").await;
    let _operator = world.operator(&[]);
    world.request(&tenant, "r", backup.day, json!({})).await;
    world.says("r", "Held", True, "HoldPlaced").await;
    world.decide("r", "Approved").await;
    world.refused("r", "Progressing", False, "AwaitingPayment").await;
    world.pay("r").await;
    let job = world.step("export").await;
    let claimed = world.get("r").await.status.unwrap();
    assert_eq!(claimed.claim.unwrap().job, job, "the claim stands before the Job");
    assert_eq!(world.run(&job).await, 0);
    world.says("r", "Complete", True, "Exported").await;
    world.tells("r", "Exported").await;
    let status = world.get("r").await.status.unwrap();
    let result = status.result.unwrap();
    assert_eq!((result.files[0].name.as_str(), result.rows), ("contacts.csv", Some(100)));
    assert!(world.bucket().keys().await.contains(&result.key.unwrap()));
    assert_eq!(tenant.database.count("SELECT count(*) FROM contacts").await, 7, "live data is not touched");
    world.says("r", "Held", False, "Released").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i1_i2_a_full_restore_runs_once_when_both_keys_are_turned_and_nothing_starts_it_again() {
    let world = World::on_servers("full").await;
    let tenant = world.tenant("acme").await;
    let backup = world.backup(&tenant).await;
    let that_day = tenant.database.rows("contacts").await;
    tenant.database.run("DELETE FROM contacts WHERE id > 7; INSERT INTO contacts VALUES (1000, 'Later')").await;
    world.hooks(&json!({"10-mark.sql": "CREATE TABLE hooked AS SELECT current_setting('sennight.tenant') AS tenant"}));
    let mut operator = world.operator(&[]);
    let full = json!({"mode": "FullRestore", "acknowledgeDataLoss": true});
    let object = world.request(&tenant, "r", backup.day, full).await;
    let preflight = world.step("preflight").await;
    world.says("r", "Eligible", Unknown, "Checking").await;
    assert_eq!(world.run(&preflight).await, 0);
    world.refused("r", "Progressing", False, "AwaitingApproval").await;
    world.says("r", "Eligible", True, "Possible").await;
    world.sign("r").await;

    let prepare = world.step("prepare").await;
    assert_eq!(world.get("r").await.status.unwrap().claim, None, "preparing can be revoked");
    assert_eq!(world.run(&prepare).await, 0);
    let cutover = world.step("cutover").await;
    assert_eq!(world.get("r").await.status.unwrap().claim.unwrap().job, cutover);
    assert_eq!(tenant.database.count("SELECT count(*) FROM contacts").await, 8, "I3: the old one until the swap");
    assert_eq!(world.run(&cutover).await, 0);
    world.says("r", "Complete", True, "Restored").await;
    world.tells("r", "Restored").await;
    assert_eq!(tenant.database.rows("contacts").await, that_day);
    assert_eq!(tenant.database.count("SELECT count(*) FROM hooked WHERE tenant = 'id-acme'").await, 1);
    let status = world.get("r").await.status.unwrap();
    assert_eq!(status.prepared.unwrap().hooks[0].name, "10-mark.sql");
    let kept = status.result.unwrap().previous_database.unwrap();
    let kept = testkit::Database::existing(&kept);
    assert_eq!(kept.count("SELECT count(*) FROM contacts").await, 8, "what was replaced is kept");

    // What was replaced is dumped; beyond that nothing happens any more.
    assert_eq!(world.run(&world.step("safety-backup").await).await, 0);
    until("the safety backup is written down", async || {
        world.get("r").await.status.unwrap().previous_database.is_some_and(|kept| kept.safety_backup.is_some())
    })
    .await;
    tenant.database.run("INSERT INTO contacts VALUES (2000, 'After the restore')").await;
    let before: Vec<String> = world.jobs().await.iter().map(ResourceExt::name_any).filter(|n| *n != cutover).collect();
    let background = DeleteParams::background();
    world.api::<Job>().delete(&cutover, &background).await.unwrap();
    cluster::apply(
        &serde_json::to_string(&json!({
            "apiVersion": "sennight.dev/v1alpha1", "kind": "RestoreRequest",
            "metadata": {"name": "r", "namespace": world.namespace, "labels": {"again": "please"}}, "spec": object.spec
        }))
        .unwrap(),
    );
    tokio::time::sleep(Duration::from_secs(3)).await;
    world.restart(&mut operator).await;
    until("the Job is gone", async || world.api::<Job>().get_opt(&cutover).await.unwrap().is_none()).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let after: Vec<String> = world.jobs().await.iter().map(ResourceExt::name_any).collect();
    assert_eq!(after, before, "nothing was started");
    assert_eq!(tenant.database.count("SELECT count(*) FROM contacts").await, 101);
}

#[tokio::test(flavor = "multi_thread")]
async fn i2_an_operator_killed_between_the_claim_and_its_job_makes_one_job_when_it_comes_back() {
    let world = World::on_servers("killed").await;
    let tenant = world.tenant("acme").await;
    let backup = world.backup(&tenant).await;
    // A full quota stands for the instant between the two writes.
    let quota = json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "full", "namespace": world.namespace},
        "spec": {"hard": {"count/jobs.batch": "0"}}
    });
    cluster::apply(&quota.to_string());
    world.request(&tenant, "r", backup.day, json!({})).await;
    world.sign("r").await;
    let mut operator = world.operator(&[]);
    until("the claim", async || world.get("r").await.status.is_some_and(|s| s.claim.is_some())).await;
    operator.kill();
    let claim = world.get("r").await.status.unwrap().claim.unwrap();
    assert_eq!(world.jobs().await.len(), 0);
    cluster::kubectl_ok(&["-n", &world.namespace, "delete", "resourcequota", "full"], "");

    world.restart(&mut operator).await;
    let job = world.step("export").await;
    assert_eq!(claim.job, job);
    let uid = world.api::<Job>().get(&job).await.unwrap().uid();
    world.restart(&mut operator).await;
    assert_eq!(world.run(&job).await, 0);
    world.says("r", "Complete", True, "Exported").await;
    assert_eq!(world.get("r").await.status.unwrap().claim.unwrap(), claim);
    let jobs = world.jobs().await;
    assert_eq!((jobs.len(), jobs[0].uid()), (1, uid), "one Job, and still the same");
}

#[tokio::test(flavor = "multi_thread")]
async fn i2_a_cutover_whose_job_vanished_is_ended_by_the_servers_word_and_not_tried_again() {
    let world = World::on_servers("vanished").await;
    let tenant = world.tenant("acme").await;
    let backup = world.backup(&tenant).await;
    let _operator = world.operator(&[]);
    world.request(&tenant, "r", backup.day, json!({"mode": "FullRestore", "acknowledgeDataLoss": true})).await;
    world.sign("r").await;
    for step in ["preflight", "prepare"] {
        assert_eq!(world.run(&world.step(step).await).await, 0);
    }
    let cutover = world.step("cutover").await;
    until("the operator knows its Job", async || {
        world.get("r").await.status.unwrap().jobs.iter().any(|job| job.name == cutover)
    })
    .await;
    world.api::<Job>().delete(&cutover, &DeleteParams::background()).await.unwrap();
    // Its pod never ran: nobody has claimed, and from now on nobody can.
    assert_eq!(world.run(&world.step("recover-cutover").await).await, 3);
    until("it ends", async || world.get("r").await.status.unwrap().finished_at.is_some()).await;
    world.says("r", "Failed", True, "CutoverTakenBack").await;
    let status = world.get("r").await.status.unwrap();
    assert_eq!(status.phase.unwrap().to_string(), "Failed");
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(!world.locked_jobs().await.contains(&cutover));
    let again = serde_json::from_value(json!({
        "apiVersion": "sennight.dev/v1alpha1", "kind": "RestoreRequest", "metadata": {"name": "r"}, "spec": world.get("r").await.spec
    }))
    .unwrap();
    assert!(world.requests(HELPDESK).await.create(&PostParams::default(), &again).await.is_err(), "the name is taken");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preflight_that_died_without_a_word_is_not_tried_again_at_once() {
    let world = World::on_servers("preflight").await;
    let tenant = world.tenant("acme").await;
    let backup = world.backup(&tenant).await;
    let _operator = world.operator(&[]);
    world.request(&tenant, "r", backup.day, json!({"mode": "FullRestore", "acknowledgeDataLoss": true})).await;
    world.evict(&world.step("preflight").await).await;
    until("its end is written down", async || {
        world.get("r").await.status.unwrap().jobs.iter().any(|job| job.outcome.is_some())
    })
    .await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(world.jobs().await.len(), 1, "at most one in ten minutes");
}
