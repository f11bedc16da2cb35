//! Several tenants in one Job: each has its own backup, result and failure, and none is dumped twice whatever ends when.

use chrono::{DateTime, TimeDelta, Timelike, Utc};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::coordination::v1::Lease;
use kube::ResourceExt;
use kube::api::{DeleteParams, Patch, PatchParams};
use sennight_api::ConditionStatus::True;
use sennight_api::backup_schedule::RunOutcome;
use sennight_core::schedule::{Schedule, Window};
use sennight_operator::cache::jobs::{JobState, runs, state};
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;
use testkit::Database;
use testkit::cluster;
use testkit::cluster::until;
use testkit::world::{Tenant, World, holds};

/// How often each run was given to a Job, by tenant and run.
async fn given(world: &World) -> BTreeMap<(String, String), usize> {
    let mut given = BTreeMap::new();
    for run in world.jobs().await.iter().flat_map(runs) {
        *given.entry((run.schedule, run.run)).or_default() += 1;
    }
    given
}

async fn tenants(world: &World, names: &[&str]) -> Vec<Tenant> {
    let mut tenants = Vec::new();
    for name in names {
        tenants.push(world.tenant(name).await);
    }
    tenants
}

async fn trigger(world: &World, tenants: &[Tenant], token: &str) {
    for tenant in tenants {
        let patch = json!({"spec": {"trigger": {"manual": token}}});
        let api = world.api::<sennight_api::BackupSchedule>();
        api.patch(&tenant.name, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    }
}

/// Waits until each of them has so many backups.
async fn backups(world: &World, tenants: &[Tenant], number: usize) {
    for tenant in tenants {
        until(&format!("{number} backups of {}", tenant.name), async || {
            world.schedule_status(tenant).await.backups.len() == number
        })
        .await;
    }
}

/// A daily slot that comes in some seconds: when its minute begins, when it is, and so many names that all have it.
fn together(world: &World, number: usize) -> (String, DateTime<Utc>, Vec<String>) {
    let slot = (Utc::now() + TimeDelta::seconds(20)).with_nanosecond(0).unwrap();
    let start = slot.format("%H:%M").to_string();
    let window = Window::parse(Some(&start), Some("1m")).unwrap();
    let at = |name: &String| {
        let schedule = Schedule::parse("@daily", "Etc/UTC", window, &[&world.namespace, name]).unwrap();
        schedule.time().second() == slot.second()
    };
    let names = (0..).map(|n| format!("tenant-{n}")).filter(at).take(number).collect();
    (start, slot, names)
}

#[tokio::test(flavor = "multi_thread")]
async fn i8_six_tenants_due_in_one_second_ride_one_job_the_poisoned_one_fails_and_is_tried_again_alone() {
    let world = World::on_servers("batch").await;
    cluster::apply(&world.server(4));
    let mut six = tenants(&world, &["a", "b", "c", "d", "e", "f"]).await;
    let schedules = world.api::<sennight_api::BackupSchedule>();
    for tenant in &six {
        schedules.delete(&tenant.name, &DeleteParams::default()).await.unwrap();
    }
    let (start, slot, names) = together(&world, 6);
    for (tenant, name) in six.iter_mut().zip(names) {
        tenant.name = name;
        world.schedule(tenant, json!({"windowStart": start, "window": "1m"}));
    }
    assert!(Utc::now() < slot, "this machine is too slow for this test");
    let poisoned = six.pop().unwrap();
    let server = Database::existing("postgres");
    let let_in = async |yes: bool| {
        let name = &poisoned.database.target.database;
        server.run(&format!("ALTER DATABASE \"{name}\" ALLOW_CONNECTIONS {yes}")).await;
    };
    let_in(false).await;
    let mut operator = world.operator(&["--dump-retry=2s"]);

    let first = world.dump(&poisoned).await;
    let jobs = world.jobs().await;
    assert_eq!(jobs.len(), 1, "{:?}", given(&world).await);
    assert_eq!(runs(&jobs[0]).len(), 6);
    assert_eq!(jobs[0].annotations()["sennight.dev/concurrency"], "4", "no more at once than the server takes");
    // Later than four looks at a Job, a dump in a Job of its own would be written down.
    tokio::time::sleep(Duration::from_secs(10)).await;
    for tenant in &six {
        let status = world.schedule_status(tenant).await;
        assert_eq!((status.active_job, status.last_run), (None, None), "nothing is written before there is news");
    }
    assert_ne!(world.run(&first).await, 0);
    backups(&world, &six, 1).await;
    until("the poisoned one's own failure is told", async || {
        let failure = world.schedule_status(&poisoned).await.last_failure;
        failure.is_some_and(|failure| failure.message.contains("not currently accepting connections"))
    })
    .await;
    for tenant in &six {
        let status = world.schedule_status(tenant).await;
        let run = status.last_run.unwrap();
        assert_eq!((run.slot, run.outcome, run.job), (Some(slot), Some(RunOutcome::Succeeded), first.clone()));
        assert_eq!((status.consecutive_failures, status.backups[0].rows), (Some(0), 100));
    }

    let_in(true).await;
    let second = world.dump(&poisoned).await;
    let again: Vec<_> = world.jobs().await.into_iter().filter(|job| job.name_any() == second).collect();
    assert_eq!((runs(&again[0]).len(), second != first), (1, true), "it has a Job of its own");
    assert!(runs(&again[0])[0].run.ends_with("-a2"));
    operator.kill();
    assert_eq!(world.run(&second).await, 0, "it ends while nobody looks");
    world.restart_with(&mut operator, &["--dump-retry=2s"]).await;
    backups(&world, std::slice::from_ref(&poisoned), 1).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(
        (world.jobs().await.len(), world.bucket().manifests().await),
        (2, 6),
        "one local day, one backup of each"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn i8_an_operator_that_is_killed_again_and_again_has_each_tenant_dumped_once() {
    let world = World::on_servers("batch-kill").await;
    // Room for both Jobs, whichever comes first: three dumps at once and one.
    cluster::apply(&world.server(4));
    let mut all = tenants(&world, &["a", "b", "c"]).await;
    // A tenant with its own credentials has a Job of its own.
    let secret = json!({
        "username": testkit::env("SENNIGHT_TEST_PG_USER"), "password": testkit::env("SENNIGHT_TEST_PG_PASSWORD")
    });
    cluster::apply(&world.secret("own", &secret));
    let own = world.tenant("own").await;
    let database = json!({
        "serverRef": {"name": "pg"}, "name": own.database.target.database, "credentialsSecretRef": {"name": "own"}
    });
    world.schedule(&own, json!({"suspend": true, "database": database}));
    all.push(own);
    trigger(&world, &all, "once").await;
    let mut operator = world.operator(&[]);
    for millis in [0, 300, 700, 1000, 1300] {
        until("it leads", async || operator.log().contains("\"leading\"")).await;
        tokio::time::sleep(Duration::from_millis(millis)).await;
        world.restart(&mut operator).await;
    }
    for tenant in &all {
        world.dump(tenant).await;
    }
    let once = |given: &BTreeMap<(String, String), usize>| given.len() == 4 && given.values().all(|times| *times == 1);
    assert!(once(&given(&world).await), "{:?}", given(&world).await);
    let shared = world.jobs().await.iter().map(|job| runs(job).len()).max();
    assert_eq!(shared, Some(3), "those with the server's credentials share a Job");

    operator.kill();
    for job in world.jobs().await {
        assert_eq!(world.run(&job.name_any()).await, 0);
    }
    for millis in [0, 200, 400, 600] {
        world.api::<Lease>().delete("sennight", &DeleteParams::default()).await.unwrap();
        operator = world.operator(&[]);
        until("it leads", async || operator.log().contains("\"leading\"")).await;
        tokio::time::sleep(Duration::from_millis(millis)).await;
        operator.kill();
    }
    world.restart(&mut operator).await;
    backups(&world, &all, 1).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(once(&given(&world).await), "{:?}", given(&world).await);
    assert_eq!(world.bucket().manifests().await, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_job_is_waited_for_and_a_deleted_one_keeps_what_it_did() {
    let world = World::on_servers("batch-suspend").await;
    let both = tenants(&world, &["a", "b"]).await;
    let _operator = world.operator(&[]);
    trigger(&world, &both, "one").await;
    let name = world.dump(&both[1]).await;
    let jobs = world.api::<Job>();
    let suspend = async |suspend: bool| {
        let patch = json!({"spec": {"suspend": suspend}});
        jobs.patch(&name, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    };
    // As Kueue does with a Job that has to wait.
    suspend(true).await;
    until("it says so", async || {
        let status = world.schedule_status(&both[0]).await;
        holds(&status.conditions, "Ready", True, "JobSuspended")
    })
    .await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let status = world.schedule_status(&both[0]).await;
    assert_eq!(
        (status.consecutive_failures.unwrap_or(0), world.jobs().await.len()),
        (0, 1),
        "neither failed nor doubled"
    );
    suspend(false).await;

    // It is deleted when one of the two has its backup: that one is not dumped again.
    let locker = both[1].database.session().await;
    locker.batch_execute("BEGIN; LOCK TABLE contacts IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let container = world.start(&name).await;
    until("one backup", async || world.bucket().manifests().await == 1).await;
    until("its report", async || world.bucket().keys().await.iter().any(|key| key.ends_with("/a.json"))).await;
    jobs.delete(&name, &DeleteParams::background()).await.unwrap();
    drop(container);
    locker.batch_execute("ROLLBACK").await.unwrap();
    backups(&world, &both[..1], 1).await;
    until("the other one's failure is told", async || {
        world.schedule_status(&both[1]).await.last_failure.is_some_and(|failure| failure.message.contains("deleted"))
    })
    .await;
    let running = world.jobs().await.iter().filter(|job| state(job) == JobState::Running).count();
    assert_eq!((running, world.bucket().manifests().await), (0, 1));
}
