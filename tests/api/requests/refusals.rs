//! What is refused, and by which word. Where it can be, both keys are turned before the operator sees the request: then
//! nothing but the refusal keeps it from running.

use chrono::{Days, Utc};
use kube::api::{Patch, PatchParams};
use sennight_api::ConditionStatus::{False, True};
use sennight_api::admission;
use sennight_core::manifest::{Keyring, Manifest};
use serde_json::json;
use testkit::Database;
use testkit::cluster::{self, BILLING, until};
use testkit::world::{Tenant, World};

#[tokio::test(flavor = "multi_thread")]
async fn i1_a_paid_request_that_nobody_approved_waits_for_the_helpdesk() {
    let world = World::on_servers("unapproved").await;
    let tenant = world.tenant("acme").await;
    let backup = world.backup(&tenant).await;
    world.request(&tenant, "r", backup.day, json!({})).await;
    world.pay("r").await;
    let _operator = world.operator(&[]);
    world.refused("r", "Progressing", False, "AwaitingApproval").await;
    let status = world.get("r").await.status.unwrap();
    assert_eq!(status.backup.unwrap().id, backup.id.to_string());
    assert_eq!(status.phase.unwrap().to_string(), "AwaitingApproval");
    assert!(status.deadline.unwrap() > Utc::now(), "I10");
}

#[tokio::test(flavor = "multi_thread")]
async fn i1_an_approved_request_that_nobody_paid_waits_for_billing() {
    let world = World::on_servers("unpaid").await;
    let tenant = world.tenant("acme").await;
    let backup = world.backup(&tenant).await;
    world.request(&tenant, "r", backup.day, json!({})).await;
    world.decide("r", "Approved").await;
    let _operator = world.operator(&[]);
    world.refused("r", "Progressing", False, "AwaitingPayment").await;
    let status = world.get("r").await.status.unwrap();
    assert_eq!(status.waiting_on.unwrap().to_string(), "Billing");
    assert!(status.deadline.unwrap() > Utc::now(), "I10");
}

#[tokio::test(flavor = "multi_thread")]
async fn i6_a_denied_request_ends_even_when_it_is_paid_and_the_refund_is_due() {
    let world = World::on_servers("denied").await;
    let tenant = world.tenant("acme").await;
    let backup = world.backup(&tenant).await;
    world.request(&tenant, "r", backup.day, json!({})).await;
    world.pay("r").await;
    world.decide("r", "Denied").await;
    let _operator = world.operator(&[]);
    world.refused("r", "Failed", True, "Denied").await;
    world.says("r", "Approved", False, "Denied").await;
    world.says("r", "RefundDue", True, "PaidAndNotDelivered").await;
    let status = world.get("r").await.status.unwrap();
    assert_eq!(status.phase.unwrap().to_string(), "Denied");
    assert!(status.finished_at.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn i10_a_request_that_people_left_lying_expires() {
    let world = World::on_servers("expired").await;
    let (one, two) = (world.tenant("one").await, world.tenant("two").await);
    let backup = world.backup(&one).await;
    world.backup(&two).await;
    world.request(&one, "unapproved", backup.day, json!({})).await;
    world.pay("unapproved").await;
    world.request(&two, "unpaid", backup.day, json!({})).await;
    world.decide("unpaid", "Approved").await;
    let _operator = world.operator(&["--approval-deadline=12s", "--payment-deadline=2s"]);
    world.refused("unpaid", "Failed", True, "PaymentExpired").await;
    world.refused("unapproved", "Failed", True, "ApprovalExpired").await;
    assert_eq!(world.get("unpaid").await.status.unwrap().phase.unwrap().to_string(), "Expired");
}

#[tokio::test(flavor = "multi_thread")]
async fn i7_a_backup_that_somebody_without_the_key_has_changed_is_no_backup() {
    let world = World::on_servers("forged").await;
    let tenant = world.tenant("acme").await;
    let backup = world.backup(&tenant).await;
    let (store, key) = (world.bucket().store().await, format!("{}manifest.json", backup.prefix));
    let mut manifest = Manifest::parse(&store.get(&key).await.unwrap()).unwrap();
    manifest.warnings.push("every digest is made anew, and nobody has the key".to_owned());
    world.bucket().overwrite(&key, Keyring::default().seal(&manifest).unwrap()).await;
    world.request(&tenant, "r", backup.day, json!({})).await;
    world.decide("r", "Approved").await;
    world.pay("r").await;
    let _operator = world.operator(&[]);
    world.refused("r", "Eligible", False, "NoBackupOfThatDay").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_that_is_not_the_account_owners_is_refused() {
    let world = World::on_servers("owner").await;
    let tenant = world.tenant("acme").await;
    let backup = world.backup(&tenant).await;
    world.request(&tenant, "r", backup.day, json!({"requester": {"userId": "2"}})).await;
    world.sign("r").await;
    let _operator = world.operator(&[]);
    world.refused("r", "Eligible", False, "NotAccountOwner").await;
    world.says("r", "Failed", True, "NotAccountOwner").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_without_a_backup_is_refused_and_so_is_one_older_than_a_week() {
    let world = World::on_servers("day").await;
    let tenant = world.tenant("acme").await;
    let backup = world.backup(&tenant).await;
    world.request(&tenant, "yesterday", backup.day - Days::new(1), json!({})).await;
    world.sign("yesterday").await;
    let _operator = world.operator(&[]);
    world.refused("yesterday", "Eligible", False, "NoBackupOfThatDay").await;
    let status = world.get("yesterday").await.status.unwrap();
    assert_eq!(status.backup, None, "never the nearest");

    world.request(&tenant, "long-ago", backup.day - Days::new(9), json!({})).await;
    world.refused("long-ago", "Eligible", False, "OlderThanRetention").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i7_another_tenants_backup_among_this_schedules_is_refused() {
    let world = World::on_servers("foreign").await;
    let tenant = world.tenant("acme").await;
    let backup = world.copy_as(&tenant, "id-somebody-else").await;
    world.request(&tenant, "r", backup.day, json!({})).await;
    world.sign("r").await;
    let _operator = world.operator(&[]);
    world.refused("r", "Eligible", False, "AnotherTenantsBackup").await;
    assert_eq!(world.get("r").await.status.unwrap().backup, None);
}

/// Puts a policy's binding back, whatever becomes of the test.
struct PutBack(serde_json::Value);

impl Drop for PutBack {
    fn drop(&mut self) {
        cluster::apply(&self.0.to_string());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn i6_while_a_policy_is_missing_no_restore_runs_and_once_it_is_back_it_goes_on() {
    let world = World::on_servers("policies").alone().await;
    let tenant = world.tenant("acme").await;
    let backup = world.backup(&tenant).await;
    world.request(&tenant, "r", backup.day, json!({})).await;
    let kind = "ValidatingAdmissionPolicyBinding";
    let guard = admission::validating().into_iter().find(|guard| guard.kind == kind).unwrap();
    world.sign("r").await;
    cluster::kubectl_ok(&["delete", kind, guard.name], "");
    let back = PutBack(guard.object());
    let _operator = world.operator(&[]);
    world.refused("r", "Progressing", False, "PoliciesMissing").await;
    assert_eq!(world.get("r").await.status.unwrap().claim, None);

    drop(back);
    let job = world.step("export").await;
    assert_eq!(world.get("r").await.status.unwrap().claim.unwrap().job, job);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_fit_is_told_before_anybody_pays_and_nothing_of_it_stays() {
    let world = World::on_servers("unfit").await;
    let tenant = world.tenant("acme").await;
    let backup = world.backup(&tenant).await;
    let slot = format!("slot_{}", backup.id.to_string().rsplit('-').next().unwrap());
    tenant.database.run(&format!("SELECT pg_create_logical_replication_slot('{slot}', 'test_decoding')")).await;
    let _operator = world.operator(&[]);
    world.request(&tenant, "r", backup.day, json!({"mode": "FullRestore", "acknowledgeDataLoss": true})).await;
    world.sign("r").await;
    assert_eq!(world.run(&world.step("preflight").await).await, 0, "it did what it was told");
    world.refused("r", "Eligible", False, "LogicalSlots").await;
    world.says("r", "Held", True, "HoldPlaced").await;
    let status = world.get("r").await.status.unwrap();
    let refusals = status.preflight.unwrap().refusals;
    assert!(refusals.iter().any(|r| r.reason == "LogicalSlots" && r.message.contains(&slot)), "{refusals:?}");
    assert_eq!(status.waiting_on.unwrap().to_string(), "PlatformTeam");
    assert!(status.deadline.unwrap() > Utc::now(), "I10");

    world.decide("r", "Denied").await;
    world.says("r", "Held", False, "Released").await;
    world.says("r", "RefundDue", True, "PaidAndNotDelivered").await;
    let refund = Patch::Merge(json!({"status": {"payment": {"refund": {"reference": "R-1"}}}}));
    world.requests(BILLING).await.patch_status("r", &PatchParams::default(), &refund).await.unwrap();
    until("its finalizer is gone", async || world.get("r").await.metadata.finalizers.unwrap_or_default().is_empty())
        .await;
    let status = world.get("r").await.status.unwrap();
    assert_eq!((status.claim, status.prepared, status.previous_database), (None, None, None));
    assert_eq!(databases(&tenant).await, 1, "no database but the live one");
    let keys = world.bucket().keys().await;
    let left = |area: &str| keys.iter().any(|key| key.contains(area));
    assert!(!left("/claims/") && !left("/held/") && !left("/safety/") && !left("/exports/"), "{keys:?}");
    tenant.database.run(&format!("SELECT pg_drop_replication_slot('{slot}')")).await;
}

/// How many databases there are under the tenant's name and those that a restore makes of it.
async fn databases(tenant: &Tenant) -> i64 {
    let live = &tenant.database.target.database;
    let named = format!("SELECT count(*) FROM pg_database WHERE starts_with(datname, '{live}')");
    Database::existing("postgres").count(&named).await
}
