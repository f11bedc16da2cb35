//! The record: what happened to a request stands in the bucket as a chain that nobody can change unseen, and a crash
//! neither forks it nor loses an entry.

use chrono::Utc;
use kube::ResourceExt;
use kube::api::DeleteParams;
use sennight_api::ConditionStatus::{False, True};
use sennight_api::RestoreRequest;
use sennight_core::audit::{AuditEvent, Chain, ChainHead, follow, verify};
use sennight_operator::request::audit_state::audit_state;
use serde_json::{Value, json};
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use testkit::cluster::{self, BILLING, HELPDESK, until};
use testkit::env;
use testkit::world::World;

/// The chain in the bucket, verified against the head in status.
async fn chain(world: &World, request: &RestoreRequest) -> Chain {
    let uid = request.uid().unwrap();
    let found = world.bucket().store().await.audit_entries(&uid, 1).await.unwrap();
    let head = request.status.as_ref().and_then(|s| s.audit.clone());
    let head = head.map(|head| ChainHead { seq: head.seq, sha256: head.sha256 });
    verify(&uid, &found, head.as_ref(), 1).unwrap()
}

/// Waits until all that stands is recorded.
pub async fn complete(world: &World, name: &str) -> Chain {
    until("all that stands is recorded", async || {
        let request = world.get(name).await;
        chain(world, &request).await.entries.last().is_some_and(|last| last.entry.state == audit_state(&request))
    })
    .await;
    chain(world, &world.get(name).await).await
}

/// Waits until all that stands is recorded, and status names the last entry: before the claim, and after the end.
pub async fn named(world: &World, name: &str) -> Chain {
    until("status names the record's last entry", async || {
        let request = world.get(name).await;
        let digest = audit_state(&request).digest();
        request.status.unwrap_or_default().audit.is_some_and(|head| head.state == digest)
    })
    .await;
    chain(world, &world.get(name).await).await
}

/// What the entries tell.
pub fn events(chain: &Chain) -> Vec<AuditEvent> {
    chain.entries.iter().map(|recorded| recorded.entry.event).collect()
}

/// `kubectl sennight`, as the helpdesk, with the bucket's credentials.
fn plugin(world: &World, line: &str) -> Output {
    Command::new(testkit::binary("kubectl-sennight"))
        .env("KUBECONFIG", cluster::kubeconfig(HELPDESK))
        .env("AWS_ACCESS_KEY_ID", env("SENNIGHT_TEST_S3_ACCESS_KEY"))
        .env("AWS_SECRET_ACCESS_KEY", env("SENNIGHT_TEST_S3_SECRET_KEY"))
        .args(["-n", &world.namespace])
        .args(line.split(' '))
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

#[track_caller]
fn expect(world: &World, line: &str, code: i32) -> String {
    let output = plugin(world, line);
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{line}: {text}");
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn every_transition_of_an_export_is_recorded_with_who_and_is_verified_by_the_plugin() {
    let world = World::on_servers("record").await;
    let tenant = world.tenant("acme").await;
    let backup = world.backup(&tenant).await;
    let _operator = world.operator(&[]);
    world.storage_is_owned().await;
    let object = world.request(&tenant, "r", backup.day, json!({})).await;
    world.says("r", "Progressing", False, "AwaitingApproval").await;
    world.decide("r", "Approved").await;
    world.says("r", "Progressing", False, "AwaitingPayment").await;
    world.pay("r").await;
    assert_eq!(world.run(&world.step("export").await).await, 0);
    world.says("r", "Held", False, "Released").await;
    let chain = named(&world, "r").await;
    let by = |event: AuditEvent| {
        let mut found = chain.entries.iter().filter(|r| r.entry.event == event);
        let entry = found.next().unwrap_or_else(|| panic!("{event} is not there: {:?}", events(&chain)));
        assert!(found.next().is_none() || event == AuditEvent::Phase, "{event} twice: {:?}", events(&chain));
        (entry.entry.by.clone(), entry.entry.state.clone())
    };
    assert_eq!(by(AuditEvent::Created).0.as_deref(), Some(HELPDESK));
    assert_eq!(by(AuditEvent::Approved).0.as_deref(), Some(HELPDESK));
    let (payer, state) = by(AuditEvent::Paid);
    assert_eq!((payer.as_deref(), state.payment.unwrap().reference.as_deref()), (Some(BILLING), Some("INV-r")));
    assert_eq!(by(AuditEvent::BackupChosen).1.backup.unwrap().id, backup.id.to_string());
    assert_eq!(by(AuditEvent::Ended).1.end.unwrap().outcome, "Complete");
    assert_eq!(events(&chain)[..2], [AuditEvent::Created, AuditEvent::BackupChosen]);
    assert_eq!(chain.beyond, 0);
    let order = [AuditEvent::Approved, AuditEvent::Paid, AuditEvent::Claimed, AuditEvent::Ended, AuditEvent::Released];
    let places: Vec<usize> = order.iter().map(|e| events(&chain).iter().position(|f| f == e).unwrap()).collect();
    assert!(places.is_sorted(), "{:?}", events(&chain));
    // Free text stays out: only ids.
    let raw: Vec<u8> = chain.entries.iter().flat_map(|r| r.bytes.clone()).collect();
    let raw = String::from_utf8(raw).unwrap();
    assert!(!raw.contains("contacts are gone") && !raw.contains("said the owner") && raw.contains("T-1"));

    let told = expect(&world, "audit r", 0);
    assert!(told.contains("is whole") && told.contains("INV-r 49.00 EUR"), "{told}");
    let told: Value = serde_json::from_str(&expect(&world, "audit r -o json", 0)).unwrap();
    assert_eq!((&told["whole"], &told["comparedWithStatus"]), (&json!(true), &json!(true)));
    assert_eq!(told["entries"].as_array().unwrap().len(), chain.entries.len());

    // Status names the last entry: one that is cut off is missed.
    let last = chain.entries.last().unwrap();
    let cut = format!("backups/audit/{}/{:06}.json", object.uid().unwrap(), last.entry.seq);
    world.bucket().store().await.delete(std::slice::from_ref(&cut)).await.unwrap();
    assert!(expect(&world, "audit r", 6).contains("the last ones were removed"));
    world.bucket().overwrite(&cut, last.bytes.clone()).await;
    expect(&world, "audit r", 0);

    // Also when the request is gone.
    world.api::<RestoreRequest>().delete("r", &DeleteParams::default()).await.unwrap();
    until("it is gone", async || world.api::<RestoreRequest>().get_opt("r").await.unwrap().is_none()).await;
    assert!(expect(&world, "audit r", 4).contains("--uid"));
    let uid = object.uid().unwrap();
    assert!(expect(&world, &format!("audit --uid {uid}"), 0).contains("no status to compare"));
    let key = format!("backups/audit/{uid}/000003.json");
    let changed = world.bucket().store().await.get(&key).await.unwrap().to_vec();
    world
        .bucket()
        .overwrite(&key, String::from_utf8(changed).unwrap().replace("4711", "4712").replace("T-1", "T-2").into())
        .await;
    assert!(expect(&world, &format!("audit --uid {uid} --storage main"), 6).contains("hash of the one before"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_that_died_after_an_entry_and_before_its_status_neither_forks_nor_repeats_it() {
    let world = World::on_servers("died").await;
    let tenant = world.tenant("acme").await;
    let backup = world.backup(&tenant).await;
    let mut operator = world.operator(&[]);
    world.request(&tenant, "r", backup.day, json!({})).await;
    world.says("r", "Progressing", False, "AwaitingApproval").await;
    let before = complete(&world, "r").await;
    operator.kill();
    world.decide("r", "Approved").await;
    // What the operator that died had put: the approval, and no status.
    let request = world.get("r").await;
    let entries = follow(&request.uid().unwrap(), before.entries.last(), &audit_state(&request), Utc::now());
    assert_eq!(entries.len(), 1);
    let store = world.bucket().store().await;
    let put = &entries[0];
    assert!(store.audit_append(&request.uid().unwrap(), put.entry.seq, put.bytes.clone()).await.unwrap());
    assert!(
        !store.audit_append(&request.uid().unwrap(), put.entry.seq, b"another writer".to_vec()).await.unwrap(),
        "a number is put once"
    );
    let lags = chain(&world, &world.get("r").await).await;
    assert_eq!(lags.entries.len(), before.entries.len() + 1, "status names none of them yet");
    world.restart(&mut operator).await;
    world.says("r", "Progressing", False, "AwaitingPayment").await;
    let after = complete(&world, "r").await;
    assert_eq!(after.entries[..before.entries.len()], before.entries[..]);
    assert_eq!(after.entries[before.entries.len()], *put, "adopted as it was");
    assert_eq!(events(&after).iter().filter(|event| **event == AuditEvent::Approved).count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_was_cut_off_stops_its_request_until_it_is_put_back() {
    let world = World::on_servers("cut").await;
    let tenant = world.tenant("acme").await;
    let backup = world.backup(&tenant).await;
    let _operator = world.operator(&[]);
    world.request(&tenant, "r", backup.day, json!({})).await;
    world.says("r", "Progressing", False, "AwaitingApproval").await;
    let whole = complete(&world, "r").await;
    let last = whole.entries.last().unwrap();
    let (store, uid) = (world.bucket().store().await, world.get("r").await.uid().unwrap());
    let key = format!("backups/audit/{uid}/{:06}.json", last.entry.seq);
    store.delete(std::slice::from_ref(&key)).await.unwrap();
    // Status names no entry before both keys are turned: the operator that appended them knows.
    world.sign("r").await;
    world.tells("r", "RecordBroken").await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(world.locked_jobs().await, Vec::<String>::new(), "nothing runs that cannot be recorded");
    world.bucket().overwrite(&key, last.bytes.clone()).await;
    world.step("export").await;
    world.says("r", "Approved", True, "HelpdeskApproved").await;
    assert_eq!(chain(&world, &world.get("r").await).await.entries[..whole.entries.len()], whole.entries[..]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paid_request_that_is_deleted_leaves_its_record_and_a_warning() {
    let world = World::on_servers("deleted").await;
    let tenant = world.tenant("acme").await;
    let backup = world.backup(&tenant).await;
    let _operator = world.operator(&[]);
    let object = world.request(&tenant, "r", backup.day, json!({})).await;
    world.says("r", "Progressing", False, "AwaitingApproval").await;
    world.pay("r").await;
    complete(&world, "r").await;
    world.requests(HELPDESK).await.delete("r", &DeleteParams::default()).await.unwrap();
    world.tells("r", "PaidRequestDeleted").await;
    until("it is gone", async || world.api::<RestoreRequest>().get_opt("r").await.unwrap().is_none()).await;
    let uid = object.uid().unwrap();
    let found = world.bucket().store().await.audit_entries(&uid, 1).await.unwrap();
    let chain = verify(&uid, &found, None, 1).unwrap();
    let last = &chain.entries.last().unwrap().entry;
    assert_eq!((last.event, last.state.deleted), (AuditEvent::Deleted, true));
    assert!(last.state.payment.as_ref().is_some_and(|payment| payment.paid));
}
