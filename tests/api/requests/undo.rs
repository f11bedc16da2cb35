//! After a full restore: the replaced database is dumped, an Undo holds it and brings it back, and it goes when nobody
//! needs it any more.

use kube::api::DeleteParams;
use sennight_api::ConditionStatus::{False, True};
use sennight_api::RestoreRequest;
use serde_json::json;
use std::time::Duration;
use testkit::Database;
use testkit::cluster::until;
use testkit::operator::Operator;
use testkit::world::{Tenant, World};

/// A full restore from both keys to its end; the replaced database's name.
async fn restore(world: &World, tenant: &Tenant, name: &str) -> String {
    let backup = world.backup(tenant).await;
    tenant.database.run("INSERT INTO contacts VALUES (1000, 'Later')").await;
    world.request(tenant, name, backup.day, json!({"mode": "FullRestore", "acknowledgeDataLoss": true})).await;
    world.sign(name).await;
    for step in ["preflight", "prepare", "cutover"] {
        assert_eq!(world.run(&world.step(step).await).await, 0);
    }
    world.says(name, "UndoAvailable", True, "Kept").await;
    world.get(name).await.status.unwrap().previous_database.unwrap().name
}

async fn ask_to_undo(world: &World, tenant: &Tenant, name: &str, of: &str) {
    let day = chrono::Utc::now().date_naive();
    let fields = json!({"mode": "Undo", "undoOf": {"name": of}, "date": null, "acknowledgeDataLoss": true});
    world.request(tenant, name, day, fields).await;
}

async fn is_there(database: &str) -> bool {
    let query = format!("SELECT count(*) FROM pg_database WHERE datname = '{database}'");
    Database::existing("postgres").count(&query).await == 1
}

fn short(world: &World, window: &str) -> Operator {
    world.operator(&[&format!("--undo-window={window}")])
}

#[tokio::test(flavor = "multi_thread")]
async fn i1_i3_an_undo_holds_what_was_replaced_takes_both_keys_and_brings_back_every_row() {
    let world = World::on_servers("undo").await;
    let tenant = world.tenant("acme").await;
    // The window ends while the request waits for people: from its creation on the database is held.
    let mut operator = short(&world, "25s");
    let kept = restore(&world, &tenant, "r").await;
    assert_eq!(tenant.database.count("SELECT count(*) FROM contacts").await, 100);
    ask_to_undo(&world, &tenant, "u", "r").await;
    world.says("u", "Held", True, "HoldPlaced").await;
    assert_eq!(world.run(&world.step("preflight").await).await, 0);
    world.says("u", "Eligible", True, "Possible").await;
    world.says("r", "UndoAvailable", True, "HeldForUndo").await;
    let until_ = world.get("r").await.status.unwrap().previous_database.unwrap().undo_until;
    until("the window is over", async || chrono::Utc::now() > until_).await;
    world.restart(&mut operator).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    world.says("u", "Progressing", False, "AwaitingApproval").await;
    assert_eq!(Database::existing(&kept).count("SELECT count(*) FROM contacts").await, 101, "held past the window");

    world.sign("u").await;
    let cutover = world.step("cutover").await;
    assert_eq!(world.get("u").await.status.unwrap().claim.unwrap().job, cutover);
    assert_eq!(world.run(&cutover).await, 0);
    world.says("u", "Complete", True, "Restored").await;
    assert_eq!(tenant.database.count("SELECT count(*) FROM contacts").await, 101, "every row until the swap");
    world.says("r", "UndoAvailable", False, "Undone").await;
    world.says("u", "UndoAvailable", True, "Kept").await;
    world.says("u", "Held", False, "Released").await;
    // A second one is told that there is nothing left to undo.
    ask_to_undo(&world, &tenant, "again", "r").await;
    world.says("again", "Eligible", False, "ReplacedSince").await;
    let status = world.get("again").await.status.unwrap();
    assert_eq!((status.phase.unwrap().to_string().as_str(), status.jobs.len()), ("Failed", 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn i3_what_was_replaced_goes_after_its_safety_dump_and_its_window_and_status_says_when() {
    let world = World::on_servers("kept").await;
    let tenant = world.tenant("acme").await;
    let _operator = short(&world, "15s");
    let kept = restore(&world, &tenant, "r").await;
    let safety = world.step("safety-backup").await;
    tokio::time::sleep(Duration::from_secs(16)).await;
    world.says("r", "UndoAvailable", True, "Kept").await;
    assert!(is_there(&kept).await, "past its window, and not dumped yet");
    assert_eq!(world.run(&safety).await, 0);
    let clear = world.step("drop-database").await;
    let status = world.get("r").await.status.unwrap().previous_database.unwrap();
    let safety = status.safety_backup.unwrap();
    assert_eq!(safety.rows, 101);
    assert!(status.dropping_since.is_some() && status.dropped_at.is_none());
    ask_to_undo(&world, &tenant, "late", "r").await;
    world.says("late", "Eligible", False, "PreviousDatabaseGone").await;
    assert_eq!(world.run(&clear).await, 0);
    world.says("r", "UndoAvailable", False, "Dropped").await;
    assert!(!is_there(&kept).await);
    assert!(world.get("r").await.status.unwrap().previous_database.unwrap().dropped_at.is_some());
    assert!(world.bucket().keys().await.contains(&format!("{}manifest.json", safety.prefix)));
    assert_eq!(tenant.database.count("SELECT count(*) FROM contacts").await, 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_is_deleted_after_its_end_goes_when_what_it_replaced_is_dropped() {
    let world = World::on_servers("left").await;
    let tenant = world.tenant("acme").await;
    let _operator = short(&world, "15s");
    let kept = restore(&world, &tenant, "r").await;
    world.api::<RestoreRequest>().delete("r", &DeleteParams::default()).await.unwrap();
    assert_eq!(world.run(&world.step("safety-backup").await).await, 0);
    let drop = world.step("drop-database").await;
    let waits = world.get("r").await.metadata;
    assert_eq!(waits.finalizers.unwrap(), ["sennight.dev/databases"], "what is released and recorded has let go");
    assert_eq!(world.run(&drop).await, 0);
    until("it goes", async || world.api::<RestoreRequest>().get_opt("r").await.unwrap().is_none()).await;
    assert!(!is_there(&kept).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_restore_whose_schedule_is_gone_goes_and_an_event_names_what_it_left() {
    let world = World::on_servers("orphan").await;
    let tenant = world.tenant("acme").await;
    let _operator = world.operator(&[]);
    let kept = restore(&world, &tenant, "r").await;
    world.api::<sennight_api::BackupSchedule>().delete(&tenant.name, &DeleteParams::default()).await.unwrap();
    world.api::<RestoreRequest>().delete("r", &DeleteParams::default()).await.unwrap();
    world.tells("r", "PreviousDatabaseLeft").await;
    until("it goes", async || world.api::<RestoreRequest>().get_opt("r").await.unwrap().is_none()).await;
    assert!(is_there(&kept).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_denied_restore_had_prepared_is_dropped() {
    let world = World::on_servers("leftover").await;
    let tenant = world.tenant("acme").await;
    let backup = world.backup(&tenant).await;
    let _operator = world.operator(&[]);
    let tomorrow = chrono::Utc::now() + chrono::TimeDelta::days(1);
    let fields = json!({"mode": "FullRestore", "acknowledgeDataLoss": true, "window": {"notBefore": tomorrow}});
    world.request(&tenant, "r", backup.day, fields).await;
    world.sign("r").await;
    for step in ["preflight", "prepare"] {
        assert_eq!(world.run(&world.step(step).await).await, 0);
    }
    world.says("r", "Progressing", False, "AwaitingWindow").await;
    let prepared = world.get("r").await.status.unwrap().prepared.unwrap().database;
    assert!(is_there(&prepared).await);
    world.decide("r", "Denied").await;
    assert_eq!(world.run(&world.step("drop-database").await).await, 0);
    until("it is written down", async || world.get("r").await.status.unwrap().dropped_database.is_some()).await;
    assert!(!is_there(&prepared).await);
    assert_eq!(tenant.database.count("SELECT count(*) FROM contacts").await, 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_deleted_restore_had_prepared_goes_before_the_request_does() {
    let world = World::on_servers("deleted").await;
    let tenant = world.tenant("acme").await;
    let backup = world.backup(&tenant).await;
    let _operator = world.operator(&[]);
    let tomorrow = chrono::Utc::now() + chrono::TimeDelta::days(1);
    let fields = json!({"mode": "FullRestore", "acknowledgeDataLoss": true, "window": {"notBefore": tomorrow}});
    world.request(&tenant, "r", backup.day, fields).await;
    world.sign("r").await;
    for step in ["preflight", "prepare"] {
        assert_eq!(world.run(&world.step(step).await).await, 0);
    }
    world.says("r", "Progressing", False, "AwaitingWindow").await;
    let prepared = world.get("r").await.status.unwrap().prepared.unwrap().database;
    world.api::<RestoreRequest>().delete("r", &DeleteParams::default()).await.unwrap();
    let clear = world.step("drop-database").await;
    world.says("r", "Progressing", False, "Deleting").await;
    assert!(is_there(&prepared).await && world.get("r").await.status.unwrap().deadline.is_some(), "I10");
    assert_eq!(world.run(&clear).await, 0);
    until("it goes", async || world.api::<RestoreRequest>().get_opt("r").await.unwrap().is_none()).await;
    assert!(!is_there(&prepared).await);
    assert_eq!(tenant.database.count("SELECT count(*) FROM contacts").await, 100);
}
