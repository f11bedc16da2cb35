//! When dumps run, how many at once, and what becomes of them.

use chrono::{DateTime, TimeDelta, Utc};
use sennight_api::ConditionStatus::{False, True, Unknown};
use sennight_core::schedule::{Schedule, Window};
use serde_json::json;
use std::time::Duration;
use testkit::cluster;
use testkit::cluster::until;
use testkit::env;
use testkit::world::{Tenant, World, holds};

/// Waits until a tenant has so many backups.
async fn backups(world: &World, tenant: &Tenant, number: usize) {
    until(&format!("{number} backups"), async || world.schedule_status(tenant).await.backups.len() == number).await;
}

/// Waits until Ready or Fresh has this status and reason.
async fn says(world: &World, tenant: &Tenant, type_: &str, status: sennight_api::ConditionStatus, reason: &str) {
    until(&format!("{type_} {status:?} {reason}"), async || {
        holds(&world.schedule_status(tenant).await.conditions, type_, status, reason)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manual_trigger_makes_one_backup_and_is_answered() {
    let world = World::on_servers("manual").await;
    let tenant = world.tenant("acme").await;
    let _operator = world.operator(&[]);
    world.schedule(&tenant, json!({"suspend": true, "trigger": {"manual": "before-migration"}}));
    let job = world.dump(&tenant).await;
    until("the token is answered", async || {
        world.schedule_status(&tenant).await.manual_trigger.as_deref() == Some("before-migration")
    })
    .await;
    assert_eq!(world.schedule_status(&tenant).await.backups, [], "I4: not before its manifest");
    assert_eq!(world.run(&job).await, 0);
    backups(&world, &tenant, 1).await;
    let status = world.schedule_status(&tenant).await;
    let found = world.bucket().store().await.catalogue(&world.namespace, &tenant.name).await.unwrap();
    let (point, backup) = (&status.backups[0], &found.backups[0].summary);
    assert_eq!((&point.id, &point.manifest_sha256), (&backup.id.to_string(), &backup.manifest_sha256));
    assert_eq!((point.rows, point.day), (100, backup.day));
    assert!(point.expires_at.unwrap() > Utc::now() + TimeDelta::days(7), "never less than a week");
    assert_eq!(status.active_job, None);

    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(world.dumps(&tenant).await, [(job, false)], "a token is answered once");
}

#[tokio::test(flavor = "multi_thread")]
async fn i4_a_dump_that_fails_leaves_no_recovery_point_says_why_and_the_next_one_works() {
    let world = World::on_servers("fails").await;
    let tenant = world.tenant("acme").await;
    let wrong = json!({"username": env("SENNIGHT_TEST_PG_USER"), "password": "not-the-password"});
    cluster::apply(&world.secret("pg", &wrong));
    let operator = world.operator(&[]);
    world.schedule(&tenant, json!({"suspend": true, "trigger": {"manual": "one"}}));
    assert_ne!(world.run(&world.dump(&tenant).await).await, 0);
    until("the failure is told", async || world.schedule_status(&tenant).await.last_failure.is_some()).await;
    let status = world.schedule_status(&tenant).await;
    let failure = status.last_failure.unwrap();
    assert!(holds(&status.conditions, "Ready", False, &failure.reason), "{:?}", status.conditions);
    assert_eq!((status.backups.len(), status.consecutive_failures), (0, Some(1)));
    assert!(failure.message.contains("password"), "{failure:?}");
    assert!(!failure.message.contains("not-the-password") && !operator.log().contains("not-the-password"), "I9");
    world.tells(&tenant.name, &failure.reason).await;

    // The next one is killed while it waits for a table's lock.
    let right = json!({"username": env("SENNIGHT_TEST_PG_USER"), "password": env("SENNIGHT_TEST_PG_PASSWORD")});
    cluster::apply(&world.secret("pg", &right));
    let blocker = tenant.database.session().await;
    blocker.batch_execute("BEGIN; LOCK TABLE contacts IN ACCESS EXCLUSIVE MODE").await.unwrap();
    world.schedule(&tenant, json!({"suspend": true, "trigger": {"manual": "two"}}));
    let container = world.start(&world.dump(&tenant).await).await;
    tenant.database.wait_for_a_waiting_dump().await;
    world.kill(container).await;
    says(&world, &tenant, "Ready", False, "JobFailed").await;
    world.tells(&tenant.name, "JobFailed").await;
    assert_eq!(world.schedule_status(&tenant).await.backups, []);
    assert_eq!(world.bucket().manifests().await, 0);

    blocker.batch_execute("ROLLBACK").await.unwrap();
    world.schedule(&tenant, json!({"suspend": true, "trigger": {"manual": "three"}}));
    assert_eq!(world.run(&world.dump(&tenant).await).await, 0);
    backups(&world, &tenant, 1).await;
    let status = world.schedule_status(&tenant).await;
    assert_eq!((status.last_failure, status.consecutive_failures), (None, Some(0)));
    assert!(status.conditions.iter().any(|c| c.type_ == "Ready" && c.is_true()), "{:?}", status.conditions);
}

/// The name of a schedule whose daily slot comes in some seconds, and that slot. Time enough to apply it before, also on a
/// busy machine: a slot before its creation is no missed one.
fn soon(world: &World) -> (String, DateTime<Utc>) {
    let now = Utc::now();
    let wanted = now + TimeDelta::seconds(9)..now + TimeDelta::seconds(12);
    let named = (0..1_000_000).map(|n| format!("acme-{n}")).find_map(|name| {
        let schedule = Schedule::parse("@daily", "Etc/UTC", Window::default(), &[&world.namespace, &name]).unwrap();
        schedule.next_after(now).filter(|slot| wanted.contains(slot)).map(|slot| (name, slot))
    });
    named.unwrap()
}

/// Waits until a slot is over.
async fn over(slot: DateTime<Utc>) {
    let left = slot + TimeDelta::seconds(1) - Utc::now();
    tokio::time::sleep(left.to_std().unwrap_or_default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i8_a_slot_that_passed_while_no_operator_ran_is_caught_up_once() {
    let world = World::on_servers("catchup").await;
    let mut tenant = world.tenant("acme").await;
    world.api::<sennight_api::BackupSchedule>().delete("acme", &kube::api::DeleteParams::default()).await.unwrap();
    let (name, due) = soon(&world);
    tenant.name = name;
    world.schedule(&tenant, json!({}));
    over(due).await;

    let mut operator = world.operator(&[]);
    let job = world.dump(&tenant).await;
    let status = world.schedule_status(&tenant).await;
    let slot = status.last_run.as_ref().and_then(|run| run.slot);
    operator.kill();
    assert_eq!(world.run(&job).await, 0, "it ends while nobody looks");
    world.restart(&mut operator).await;
    backups(&world, &tenant, 1).await;
    world.restart(&mut operator).await;
    says(&world, &tenant, "Fresh", True, "BackupIsFresh").await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(world.dumps(&tenant).await, [(job, false)], "one local day, one dump");
    let status = world.schedule_status(&tenant).await;
    if slot.is_some() {
        assert_eq!(status.last_run.unwrap().slot, slot);
    }
    assert!(status.next_run_time.unwrap() > Utc::now());
}

#[tokio::test(flavor = "multi_thread")]
async fn of_three_tenants_due_on_one_server_that_takes_one_dump_one_runs_at_a_time() {
    let world = World::on_servers("budget").await;
    cluster::apply(&world.server(1));
    let mut tenants = Vec::new();
    for name in ["a", "b", "c"] {
        let tenant = world.tenant(name).await;
        world.schedule(&tenant, json!({"suspend": true, "trigger": {"manual": "now"}}));
        tenants.push(tenant);
    }
    // A Job a tenant: three in one would be one Job.
    let mut operator = world.operator(&["--batch-tenants=1"]);
    for done in 0..3 {
        let mut running = Vec::new();
        until("a dump runs", async || {
            let mut any = false;
            for tenant in &tenants {
                any |= world.dumps(tenant).await.iter().any(|(_, running)| *running);
            }
            any
        })
        .await;
        if done == 1 {
            // The places are counted anew from what runs.
            world.restart_with(&mut operator, &["--batch-tenants=1"]).await;
        }
        tokio::time::sleep(Duration::from_secs(3)).await;
        for tenant in &tenants {
            running.extend(world.dumps(tenant).await.into_iter().filter(|(_, running)| *running));
        }
        assert_eq!((running.len(), world.jobs().await.len()), (1, done + 1), "one at a time: {running:?}");
        if done == 0 {
            until("two say that they wait", async || {
                let mut waiting = 0;
                for tenant in &tenants {
                    let status = world.schedule_status(tenant).await;
                    waiting += usize::from(holds(&status.conditions, "Ready", True, "BudgetReached"));
                }
                waiting == 2
            })
            .await;
        }
        assert_eq!(world.run(&running[0].0).await, 0);
    }
    for tenant in &tenants {
        backups(&world, tenant, 1).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_schedule_runs_nothing_and_says_so_and_catches_up_once_when_it_is_resumed() {
    let world = World::on_servers("suspend").await;
    let mut tenant = world.tenant("acme").await;
    world.api::<sennight_api::BackupSchedule>().delete("acme", &kube::api::DeleteParams::default()).await.unwrap();
    let _operator = world.operator(&[]);
    let (name, due) = soon(&world);
    tenant.name = name;
    world.schedule(&tenant, json!({"suspend": true}));
    says(&world, &tenant, "Ready", True, "Suspended").await;
    says(&world, &tenant, "Fresh", Unknown, "Suspended").await;
    over(due).await;
    assert_eq!(world.dumps(&tenant).await, []);
    assert_eq!(world.schedule_status(&tenant).await.next_run_time, None);

    world.schedule(&tenant, json!({"suspend": false}));
    let job = world.dump(&tenant).await;
    assert_eq!(world.run(&job).await, 0);
    backups(&world, &tenant, 1).await;
    assert_eq!(world.dumps(&tenant).await, [(job, false)]);
}
