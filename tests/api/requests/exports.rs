//! Exports on their way through the cluster: the profile's condition, the live database asked before the claim, and what
//! the export's pod can see.

use k8s_openapi::api::batch::v1::Job;
use sennight_api::ConditionStatus::{False, True, Unknown};
use sennight_api::ExportProfile;
use sennight_api::conditions::find;
use serde_json::{Value, json};
use std::io::{Cursor, Read};
use testkit::cluster;
use testkit::world::World;

fn profile(change: impl Fn(&mut Value)) -> Value {
    let mut spec = json!({
        "missingOnly": true,
        "entities": [{
            "name": "contacts", "file": "contacts.csv", "table": {"name": "contacts"}, "key": "ID",
            "columns": [{"column": "ID"}, {"column": "NAME"}]
        }]
    });
    change(&mut spec);
    spec
}

fn apply_profile(world: &World, change: impl Fn(&mut Value)) {
    cluster::apply(&cluster::object(&world.namespace, "ExportProfile", "bitrix24-crm", &profile(change)));
}

/// What the profile says of itself: status, reason, message.
async fn profile_says(world: &World, reason: &str) -> (sennight_api::ConditionStatus, String) {
    let api = world.api::<ExportProfile>();
    let found = async || {
        let object = api.get("bitrix24-crm").await.unwrap();
        let status = object.status.filter(|s| s.observed_generation == object.metadata.generation)?;
        find(&status.conditions, "Ready").filter(|ready| ready.reason == reason).cloned()
    };
    cluster::until(&format!("the profile to say {reason}"), async || found().await.is_some()).await;
    let ready = found().await.unwrap();
    (ready.status, ready.message.unwrap_or_default())
}

async fn zip(world: &World, request: &str) -> Vec<u8> {
    let key = world.get(request).await.status.unwrap().result.unwrap().key.unwrap();
    world.bucket().store().await.get(&key).await.unwrap().to_vec()
}

fn text(zip: &[u8], name: &str) -> String {
    let mut archive = zip::ZipArchive::new(Cursor::new(zip)).unwrap();
    let mut text = String::new();
    archive.by_name(name).unwrap().read_to_string(&mut text).unwrap();
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_says_what_is_wrong_with_it_and_nobody_is_asked_to_pay_for_it() {
    let world = World::on_servers("profile").await;
    let tenant = world.tenant("acme").await;
    let backup = world.backup(&tenant).await;
    let _operator = world.operator(&[]);
    apply_profile(&world, |spec| spec["entities"][0]["table"]["name"] = json!("b_crm_timeline"));
    let (status, message) = profile_says(&world, "ExcludedTable").await;
    assert_eq!(status, False);
    assert!(message.starts_with("spec.entities[contacts].table names \"b_crm_timeline\""), "{message}");
    world.request(&tenant, "r", backup.day, json!({})).await;
    world.says("r", "Eligible", Unknown, "ExcludedTable").await;
    // The API server knows the presets, too.
    let bad = cluster::object(
        &world.namespace,
        "ExportProfile",
        "x",
        &profile(|s| s["format"] = json!({"preset": "salesforce"})),
    );
    let refused = cluster::kubectl(&["apply", "--server-side", "-f", "-"], &bad).stderr;
    let refused = String::from_utf8_lossy(&refused);
    assert!(refused.contains("spec.format.preset") && refused.contains("excel-eu"), "{refused}");
    // By itself it makes sense; the backup says that it does not fit.
    apply_profile(&world, |spec| spec["entities"][0]["columns"][1]["column"] = json!("FULL_NAME"));
    assert_eq!(profile_says(&world, "ProfileAccepted").await.0, True);
    world.says("r", "Eligible", Unknown, "ColumnMissing").await;
    apply_profile(&world, |_| ());
    world.says("r", "Eligible", True, "Possible").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i1_the_live_database_is_asked_only_after_both_keys_and_the_export_sees_no_database() {
    let world = World::on_servers("missing").await;
    apply_profile(&world, |_| ());
    let tenant = world.tenant("acme").await;
    let backup = world.backup(&tenant).await;
    tenant.database.run("DELETE FROM contacts WHERE id IN (3, 50); INSERT INTO contacts VALUES (1000, 'Later')").await;
    let _operator = world.operator(&[]);
    world.request(&tenant, "r", backup.day, json!({})).await;
    world.refused("r", "Progressing", False, "AwaitingApproval").await;
    world.decide("r", "Approved").await;
    world.refused("r", "Progressing", False, "AwaitingPayment").await;
    world.pay("r").await;
    let asking = world.step("live-ids").await;
    assert_eq!(world.get("r").await.status.unwrap().claim, None, "asking can be revoked");
    let pod = |job: Job| job.spec.unwrap().template.spec.unwrap();
    let jobs = world.api::<Job>();
    let port = format!("port\\\":{}", testkit::env("SENNIGHT_TEST_PG_PORT"));
    let asks = serde_json::to_string(&pod(jobs.get(&asking).await.unwrap())).unwrap();
    assert!(asks.contains("/secrets/database") && asks.contains(&port), "{asks}");
    assert_eq!(world.run(&asking).await, 0);
    let job = world.step("export").await;
    // Nothing of a database: no Secret, no directory, no host.
    let pod = serde_json::to_string(&pod(jobs.get(&job).await.unwrap())).unwrap();
    for hint in
        ["database-", "/secrets/database", "\"secretName\":\"pg\"", &port, "credentialsDir\\\":\\\"/secrets/database"]
    {
        assert!(!pod.contains(hint), "{hint}: {pod}");
    }
    assert_eq!(world.run(&job).await, 0);
    world.says("r", "Complete", True, "Exported").await;
    let zip = zip(&world, "r").await;
    let missing = text(&zip, "missing-only/contacts.csv");
    assert_eq!(missing.lines().skip(1).collect::<Vec<_>>(), ["\"3\";\"Contact 3\"", "\"50\";\"Contact 50\""]);
    assert_eq!(text(&zip, "contacts.csv").lines().count(), 101);
    assert_eq!(world.get("r").await.status.unwrap().result.unwrap().rows, Some(100), "nothing is counted twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_database_that_cannot_be_asked_does_not_keep_the_tenant_from_the_full_set() {
    let world = World::on_servers("unreachable").await;
    apply_profile(&world, |_| ());
    let tenant = world.tenant("acme").await;
    let backup = world.backup(&tenant).await;
    // Its ids have another name now: nobody can say what is missing.
    tenant.database.run("ALTER TABLE contacts RENAME COLUMN id TO number").await;
    let _operator = world.operator(&[]);
    world.request(&tenant, "r", backup.day, json!({})).await;
    world.sign("r").await;
    assert_eq!(world.run(&world.step("live-ids").await).await, 3, "refused for good");
    assert_eq!(world.run(&world.step("export").await).await, 0);
    world.says("r", "Complete", True, "Exported").await;
    let zip = zip(&world, "r").await;
    let told: Value = serde_json::from_str(&text(&zip, "manifest.json")).unwrap();
    assert_eq!(told["missingOnly"], json!({"live": "Unreachable", "why": "LiveKeyGone"}));
    assert!(text(&zip, "README.txt").contains("THERE IS NO SET OF ONLY WHAT IS MISSING"));
    assert_eq!(text(&zip, "contacts.csv").lines().count(), 101);
}
