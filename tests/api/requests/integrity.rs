//! What a status says of its backups: rebuilt from the bucket, alarmed when one shrank, kept when nothing better came.

use chrono::{TimeDelta, Utc};
use kube::api::DeleteParams;
use sennight_api::ConditionStatus::{False, True};
use sennight_api::{BackupSchedule, BackupStorage};
use serde_json::json;
use testkit::cluster;
use testkit::cluster::until;
use testkit::world::{Tenant, World, holds};

/// The ids that a status lists, newest first.
async fn ids(world: &World, tenant: &Tenant) -> Vec<String> {
    world.schedule_status(tenant).await.backups.into_iter().map(|point| point.id).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn i4_an_empty_cluster_finds_all_backups_again_also_when_a_schedule_came_before_its_storage() {
    let world = World::on_servers("rebuilt").await;
    let (acme, beta) = (world.tenant("acme").await, world.tenant("beta").await);
    let mut wanted = Vec::new();
    for tenant in [&acme, &beta] {
        world.backup(tenant).await;
        world.backup(tenant).await;
        let found = world.bucket().store().await.catalogue(&world.namespace, &tenant.name).await.unwrap();
        wanted.push(found.backups.iter().map(|entry| entry.summary.id.to_string()).collect::<Vec<_>>());
        assert_eq!(wanted.last().map(Vec::len), Some(2));
    }
    let mut operator = world.operator(&[]);
    until("both list their backups", async || {
        ids(&world, &acme).await == wanted[0] && ids(&world, &beta).await == wanted[1]
    })
    .await;

    // The cluster is lost; what is applied to the next one comes in any order.
    operator.kill();
    let (schedules, storages) = (world.api::<BackupSchedule>(), world.api::<BackupStorage>());
    let storage = storages.get("main").await.unwrap().spec;
    for tenant in [&acme, &beta] {
        schedules.delete(&tenant.name, &DeleteParams::default()).await.unwrap();
    }
    storages.delete("main", &DeleteParams::default()).await.unwrap();
    world.schedule(&acme, json!({"suspend": true}));
    world.restart(&mut operator).await;
    until("the missing storage is named", async || {
        holds(&world.schedule_status(&acme).await.conditions, "Ready", False, "StorageMissing")
    })
    .await;
    cluster::apply(&cluster::object(&world.namespace, "BackupStorage", "main", &json!(storage)));
    world.schedule(&beta, json!({"suspend": true}));
    until("both list their backups again", async || {
        ids(&world, &acme).await == wanted[0] && ids(&world, &beta).await == wanted[1]
    })
    .await;
    assert!(world.jobs().await.is_empty(), "the backups were found, not made");
    let point = &world.schedule_status(&acme).await.backups[0];
    assert_eq!((point.rows, point.tables, point.suspicious), (100, Some(1), false));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_shrank_is_told_is_no_failure_and_can_be_accepted() {
    let world = World::on_servers("shrunk").await;
    let tenant = world.tenant("acme").await;
    world.backup(&tenant).await;
    let _operator = world.operator(&[]);
    until("the first backup is listed", async || ids(&world, &tenant).await.len() == 1).await;
    tenant.database.run("DELETE FROM contacts WHERE id > 40").await;
    world.schedule(&tenant, json!({"suspend": true, "trigger": {"manual": "two"}}));
    assert_eq!(world.run(&world.dump(&tenant).await).await, 0);
    until("the alarm", async || {
        holds(&world.schedule_status(&tenant).await.conditions, "Suspicious", True, "RowsFell")
    })
    .await;
    world.tells(&tenant.name, "RowsFell").await;
    let status = world.schedule_status(&tenant).await;
    let marks: Vec<bool> = status.backups.iter().map(|point| point.suspicious).collect();
    assert_eq!((marks, status.consecutive_failures), (vec![true, false], Some(0)), "an alarm is no failure");
    assert!(status.last_failure.is_none());

    let accepted = status.backups[0].id.clone();
    world.schedule(&tenant, json!({"suspend": true, "trigger": {"manual": "two"}, "alarm": {"accept": accepted}}));
    until("it is accepted", async || {
        holds(&world.schedule_status(&tenant).await.conditions, "Suspicious", False, "NothingUnusual")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i5_the_last_good_backup_is_held_when_its_end_is_near_and_a_storage_that_sweeps_says_so() {
    let world = World::on_servers("lastgood").await;
    let tenant = world.tenant("acme").await;
    let storages = world.api::<BackupStorage>();
    let mut spec = json!(storages.get("main").await.unwrap().spec);
    spec["retention"] = json!({"days": 1, "keepLastGood": true});
    spec["lifecycle"] = json!({"mode": "Sweep"});
    cluster::apply(&cluster::object(&world.namespace, "BackupStorage", "main", &spec));
    let backup = world.backup(&tenant).await;
    let _operator = world.operator(&["--storage-interval=2s", "--patrol-interval=2s"]);
    until("it sweeps and has patrolled", async || {
        let status = storages.get("main").await.unwrap().status.unwrap_or_default();
        holds(&status.conditions, "RetentionEnforced", True, "SweptByOperator")
            && holds(&status.conditions, "NothingOverdue", True, "PatrolClean")
            && status.patrol.is_some_and(|patrol| (patrol.backups, patrol.swept_objects) == (1, 0))
    })
    .await;
    until("the backup is listed", async || ids(&world, &tenant).await.len() == 1).await;
    let point = world.schedule_status(&tenant).await.backups.remove(0);
    // A backup of one day ends between 24 and 48 hours from now, by the time of day; held it is from 36 hours before.
    let near = point.expires_at.unwrap() - TimeDelta::hours(36) < Utc::now();
    let store = world.bucket().store().await;
    let held = store.held_until(&testkit::backup_ref(&backup)).await.unwrap();
    assert_eq!((point.held_until.is_some(), held.is_some()), (near, near), "{point:?}");
    if near {
        assert_eq!(point.held_until, Some(backup.snapshot_time + TimeDelta::days(30)));
        // A newer good backup takes its place, and this one is let go.
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        world.schedule(&tenant, json!({"suspend": true, "trigger": {"manual": "two"}}));
        assert_eq!(world.run(&world.dump(&tenant).await).await, 0);
        until("the older one is let go", async || {
            store.held_until(&testkit::backup_ref(&backup)).await.unwrap().is_none()
        })
        .await;
    }
}
