//! Drills: the operator has a tenant's newest copy restored into a scratch database, and writes down what that proved.

use super::world::{Tenant, World};
use crate::cluster::{self, until};
use crate::support::env;
use sennight::api::DatabaseServer;
use sennight::api::database_server::DrillRun;
use serde_json::json;
use std::time::Duration;

/// The server `pg` with drills on itself.
fn with_drills(world: &World) -> String {
    let spec = json!({
        "engine": "PostgreSQL", "host": env("SENNIGHT_TEST_PG_HOST"),
        "port": env("SENNIGHT_TEST_PG_PORT").parse::<i32>().unwrap(),
        "tls": {"caSecretRef": {"name": "pg-ca", "key": "ca.pem"}},
        "dumpCredentialsSecretRef": {"name": "pg"}, "restoreCredentialsSecretRef": {"name": "pg"},
        "drill": {"perDay": 1000, "serverRef": {"name": "pg"}}
    });
    cluster::object(&world.namespace, "DatabaseServer", "pg", &spec)
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
async fn i4_a_drill_proves_the_newest_copy_and_finds_a_damaged_one() {
    let world = World::new("drill").await;
    let (good, bad) = (world.tenant("good").await, world.tenant("bad").await);
    let (copy, damaged) = (world.copy(&good).await, world.copy(&bad).await);
    let data = format!("{}data/", damaged.prefix);
    let key = world.bucket.keys().await.into_iter().find(|key| key.starts_with(&data)).unwrap();
    world.bucket.store().await.delete(&[key]).await.unwrap();
    let _operator = world.operator(&[]);
    for tenant in [&good, &bad] {
        until("the copy is known", async || !world.schedule_status(tenant).await.recovery_points.is_empty()).await;
    }
    cluster::apply(&with_drills(&world));
    let first = world.run(&world.step("drill").await).await;
    // A thousand a day are one in 86 seconds.
    tokio::time::sleep(Duration::from_secs(50)).await;
    let second = world.run(&world.step("drill").await).await;
    assert_eq!((first == 0, first + second > 0), (second != 0, true), "one of the two is proven");

    let run = drilled(&world, &good).await;
    assert_eq!((run.proven, run.recovery_point), (Some(true), copy.id.to_string()));
    until("provenTime", async || world.schedule_status(&good).await.recovery_points[0].proven_time.is_some()).await;
    let run = drilled(&world, &bad).await;
    assert_eq!(run.proven, Some(false), "{run:?}");
    assert!(run.reason.is_some() && run.message.is_some(), "{run:?}");
    assert_eq!(world.schedule_status(&bad).await.recovery_points[0].proven_time, None);
}
