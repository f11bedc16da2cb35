//! Drills: the operator has a tenant's newest backup restored into a scratch database, of itself and when asked, and writes down
//! what that proved.

use sennight_api::database_server::DrillRun;
use sennight_api::{ConditionStatus, DatabaseServer};
use serde_json::json;
use std::process::{Command, Stdio};
use testkit::cluster::{self, until};
use testkit::world::{Tenant, World};

/// The server `pg` with drills on the server of this name.
fn with_drills(world: &World, scratch: &str) -> String {
    world.server_with(json!({"drill": {"perDay": 1000, "serverRef": {"name": scratch}}}))
}

async fn drilled(world: &World, tenant: &Tenant) -> DrillRun {
    let find = async || {
        let status = world.api::<DatabaseServer>().get("pg").await.unwrap().status.unwrap_or_default();
        status.drill.and_then(|d| d.last.into_iter().find(|run| run.schedule == tenant.name))
    };
    until("the drill is written down", async || find().await.is_some()).await;
    find().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn i4_a_drill_proves_the_newest_backup_and_finds_a_damaged_one() {
    let world = World::on_servers("drill").await;
    let (good, bad) = (world.tenant("good").await, world.tenant("bad").await);
    let (backup, damaged) = (world.backup(&good).await, world.backup(&bad).await);
    let data = format!("{}data/", damaged.prefix);
    let key = world.bucket().keys().await.into_iter().find(|key| key.starts_with(&data)).unwrap();
    world.bucket().store().await.delete(&[key]).await.unwrap();
    let _operator = world.operator(&[]);
    for tenant in [&good, &bad] {
        until("the backup is known", async || !world.schedule_status(tenant).await.backups.is_empty()).await;
    }
    cluster::apply(&with_drills(&world, "pg"));
    // The first is the day's, the second is asked for: by itself it came 86 seconds later.
    let first = world.run(&world.step("drill").await).await;
    let other = if first == 0 { &bad } else { &good };
    let asks = Command::new(testkit::binary("kubectl-sennight"))
        .args(["-n", &world.namespace, "drill", &other.name])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let second = world.run(&world.step("drill").await).await;
    assert_eq!((first == 0, first + second > 0), (second != 0, true), "one of the two is proven");
    let told = tokio::task::spawn_blocking(|| asks.wait_with_output().unwrap()).await.unwrap();
    let words = String::from_utf8_lossy(&told.stderr);
    assert_eq!(told.status.code(), Some(if second == 0 { 0 } else { 8 }), "{words}");
    assert!(second == 0 || words.contains("is not proven"), "{words}");

    let run = drilled(&world, &good).await;
    assert_eq!((run.proven, run.backup), (Some(true), backup.id.to_string()));
    until("provenTime", async || world.schedule_status(&good).await.backups[0].proven_time.is_some()).await;
    let status = world.schedule_status(&good).await;
    assert_eq!(status.last_proven_time, status.backups[0].proven_time);
    let run = drilled(&world, &bad).await;
    assert_eq!(run.proven, Some(false), "{run:?}");
    assert!(run.reason.is_some() && run.message.is_some(), "{run:?}");
    assert_eq!(world.schedule_status(&bad).await.backups[0].proven_time, None);
    let conditions = world.api::<DatabaseServer>().get("pg").await.unwrap().status.unwrap().conditions;
    let proven = conditions.iter().find(|c| c.type_ == "BackupsProven").unwrap();
    assert_eq!((proven.is_true(), proven.reason.as_str()), (false, "DrillFailed"));
    assert!(proven.message.as_deref().unwrap().contains(&bad.name), "{proven:?}");
}

async fn proven(world: &World) -> Option<(ConditionStatus, String)> {
    let status = world.api::<DatabaseServer>().get("pg").await.unwrap().status?;
    let condition = status.conditions.iter().find(|c| c.type_ == "BackupsProven")?;
    Some((condition.status, condition.reason.clone()))
}

#[tokio::test(flavor = "multi_thread")]
async fn drills_without_a_place_are_told_and_one_that_is_interrupted_is_no_failure() {
    let world = World::on_servers("interrupted").await;
    let tenant = world.tenant("acme").await;
    let backup = world.backup(&tenant).await;
    let _operator = world.operator(&[]);
    until("the backup is known", async || !world.schedule_status(&tenant).await.backups.is_empty()).await;
    cluster::apply(&with_drills(&world, "nowhere"));
    let says = async |status, reason: &str| {
        let wanted = Some((status, reason.to_owned()));
        until(&format!("BackupsProven says {reason}"), async || proven(&world).await == wanted).await;
    };
    says(ConditionStatus::False, "NoScratchServer").await;
    cluster::apply(&with_drills(&world, "pg"));
    world.evict(&world.step("drill").await).await;
    let run = drilled(&world, &tenant).await;
    assert_eq!((run.proven, run.backup), (None, backup.id.to_string()), "nothing is known of the backup");
    assert_eq!(run.reason.as_deref(), Some("NoReport"));
    says(ConditionStatus::Unknown, "NoDrillYet").await;
    assert_eq!(world.schedule_status(&tenant).await.last_proven_time, None);
}
