//! Of several schedules that claim one tenant or one database exactly one is followed; whoever was refused for it hears of its
//! end, of its edit, and of its own refusal.

use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams};
use sennight_api::ConditionStatus::{False, True};
use sennight_api::{BackupSchedule, Condition};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use testkit::cluster::{self, kubectl_ok, until};
use testkit::world::{Tenant, World, holds};

/// "At once" is well below the minute after which every refused one is looked at anyway.
const AT_ONCE: Duration = Duration::from_secs(30);

/// Applies a schedule that claims these; `fields` replace some of its spec's.
fn claim(world: &World, name: &str, tenant: &str, database: &str, fields: Value) {
    let mut spec = json!({
        "tenant": {"id": tenant, "owner": "1", "plan": {"name": "pro"}},
        "database": {"serverRef": {"name": "pg"}, "name": database},
        "storageRef": {"name": "main"}, "schedule": "0 3 * * *", "timeZone": "Etc/UTC"
    });
    let Value::Object(fields) = fields else { panic!("not fields: {fields}") };
    spec.as_object_mut().unwrap().extend(fields);
    cluster::apply(&cluster::object(&world.namespace, "BackupSchedule", name, &spec));
}

fn delete(world: &World, name: &str) {
    kubectl_ok(&["-n", &world.namespace, "delete", "bsched", name], "");
}

async fn ready(world: &World, name: &str) -> Option<Condition> {
    let status = world.api::<BackupSchedule>().get(name).await.unwrap().status?;
    status.conditions.into_iter().find(|condition| condition.type_ == "Ready")
}

/// Waits until each of these has this reason of Ready; the message of the last one.
async fn say(world: &World, wanted: &[(&str, &str)]) -> String {
    let began = Instant::now();
    for (name, reason) in wanted {
        until(&format!("{name} says {reason} ({wanted:?})"), async || {
            ready(world, name).await.is_some_and(|ready| ready.reason == *reason)
        })
        .await;
    }
    assert!(began.elapsed() < AT_ONCE, "{wanted:?}: {:?}", began.elapsed());
    let last = ready(world, wanted.last().unwrap().0).await.unwrap();
    last.message.unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renamed_schedule_is_followed_and_dumps() {
    let world = World::on_servers("renamed").await;
    let Tenant { database, .. } = world.tenant("other").await;
    let database_name = database.target.database.clone();
    delete(&world, "other");
    let _operator = world.operator(&[]);
    claim(&world, "a-old", "acme", &database_name, json!({}));
    say(&world, &[("a-old", "Scheduled")]).await;
    // What Argo CD and Flux do: apply, then prune.
    claim(&world, "b-new", "acme", &database_name, json!({"trigger": {"manual": "now"}}));
    let told = say(&world, &[("b-new", "Duplicate")]).await;
    assert!(told.contains("tenant \"acme\" is already backed up by BackupSchedule \"a-old\""), "{told}");
    let tenant = Tenant { name: "b-new".to_owned(), database };
    assert_eq!(world.dumps(&tenant).await, [], "one of the two");

    delete(&world, "a-old");
    let began = Instant::now();
    let job = world.dump(&tenant).await;
    assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
    assert_eq!(world.run(&job).await, 0);
    until("a backup", async || world.schedule_status(&tenant).await.backups.len() == 1).await;
    let status = world.schedule_status(&tenant).await;
    assert!(holds(&status.conditions, "Ready", True, "Scheduled"), "{:?}", status.conditions);
    assert!(status.next_run_time.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edited_rival_a_refused_one_and_a_suspended_one() {
    let world = World::on_servers("edited").await;
    let _operator = world.operator(&[]);
    claim(&world, "a", "ta", "d", json!({}));
    claim(&world, "b", "tb", "d", json!({}));
    let told = say(&world, &[("a", "Scheduled"), ("b", "Duplicate")]).await;
    assert!(told.contains("database \"d\" of DatabaseServer \"pg\" is already backed up by"), "{told}");

    claim(&world, "a", "ta", "elsewhere", json!({}));
    say(&world, &[("a", "Scheduled"), ("b", "Scheduled")]).await;
    claim(&world, "a", "ta", "d", json!({}));
    say(&world, &[("a", "Scheduled"), ("b", "Duplicate")]).await;

    // A zone that nobody knows, a server and a storage that are not there: the older one never runs, and keeps nothing.
    let elsewhere = json!({"database": {"serverRef": {"name": "pg"}, "name": "d"}, "storageRef": {"name": "none"}});
    for (fields, reason) in [(json!({"timeZone": "Mars"}), "UnknownTimeZone"), (elsewhere, "StorageMissing")] {
        claim(&world, "a", "ta", "d", fields);
        say(&world, &[("a", reason), ("b", "Scheduled")]).await;
        claim(&world, "a", "ta", "d", json!({}));
        say(&world, &[("a", "Scheduled"), ("b", "Duplicate")]).await;
    }

    claim(&world, "a", "ta", "d", json!({"suspend": true}));
    let told = say(&world, &[("a", "Suspended"), ("b", "Duplicate")]).await;
    let wanted = "belongs to BackupSchedule \"a\", which is suspended, so that nobody backs it up";
    until("it says why", async || ready(&world, "b").await.unwrap().message.is_some_and(|m| m.contains(wanted))).await;
    assert!(!told.contains("is already backed up by"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_three_rivals_exactly_one_is_followed_whoever_goes() {
    let world = World::on_servers("three").await;
    let _operator = world.operator(&[]);
    for (name, tenant) in [("a", "ta"), ("b", "tb"), ("c", "tc")] {
        claim(&world, name, tenant, "d", json!({}));
    }
    // In a row: x and y share a tenant, y and z a database. Of y nothing is kept from z.
    for (name, tenant, database) in [("x", "t1", "d1"), ("y", "t1", "d2"), ("z", "t2", "d2")] {
        claim(&world, name, tenant, database, json!({}));
    }
    say(&world, &[("x", "Scheduled"), ("y", "Duplicate"), ("z", "Scheduled")]).await;
    let told = say(&world, &[("a", "Scheduled"), ("b", "Duplicate"), ("c", "Duplicate")]).await;
    assert!(told.contains("by BackupSchedule \"a\""), "{told}");

    delete(&world, "a");
    delete(&world, "x");
    say(&world, &[("b", "Scheduled"), ("y", "Scheduled"), ("z", "Duplicate")]).await;
    until("the third one is told of the second", async || {
        ready(&world, "c").await.unwrap().message.is_some_and(|message| message.contains("by BackupSchedule \"b\""))
    })
    .await;

    // The one that is followed stays it; whoever is refused may go unheard.
    delete(&world, "c");
    tokio::time::sleep(Duration::from_secs(2)).await;
    say(&world, &[("b", "Scheduled"), ("y", "Scheduled"), ("z", "Duplicate")]).await;
    let followed = world.api::<BackupSchedule>().list(&ListParams::default()).await.unwrap();
    let refused =
        |s: &BackupSchedule| s.status.as_ref().is_some_and(|s| holds(&s.conditions, "Ready", False, "Duplicate"));
    let names: Vec<String> = followed.iter().filter(|s| !refused(s)).map(ResourceExt::name_any).collect();
    assert_eq!(names, ["b", "y"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_takes_over_from_one_whose_server_went_gives_it_back() {
    let world = World::on_servers("servers").await;
    let _operator = world.operator(&[]);
    let later = |name: &str| {
        let document: Value = serde_json::from_str(&world.server(2)).unwrap();
        cluster::object(&world.namespace, "DatabaseServer", name, &document["spec"])
    };
    cluster::apply(&later("later"));
    claim(&world, "a", "t", "d", json!({"database": {"serverRef": {"name": "later"}, "name": "d"}}));
    claim(&world, "b", "t", "e", json!({}));
    say(&world, &[("a", "Scheduled"), ("b", "Duplicate")]).await;
    world.api::<sennight_api::DatabaseServer>().delete("later", &DeleteParams::default()).await.unwrap();
    // Nothing but the minute tells them.
    let missed = Instant::now();
    while ready(&world, "b").await.unwrap().reason != "Scheduled" {
        assert!(missed.elapsed() < cluster::patience() + Duration::from_secs(20), "not after a minute");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    say(&world, &[("a", "ServerMissing")]).await;
    cluster::apply(&later("later"));
    say(&world, &[("a", "Scheduled"), ("b", "Duplicate")]).await;
}
