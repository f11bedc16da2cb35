//! I5: what others keep in a bucket that Sennight has without a prefix, in folders of the same names, is never touched: not by
//! rules, not by the sweep, not by a probe. And what Sennight wrote still goes.

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{BucketVersioningStatus, VersioningConfiguration};
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Timelike as _, Utc};
use sennight_core::capabilities::Capabilities;
use sennight_core::names::Area;
use sennight_core::progress::Progress;
use sennight_core::retention::patrol::{Enforcer, Need, Orders};
use sennight_core::retention::{Policy, area_tags};
use sennight_protocol::report::TaskReport;
use sennight_protocol::target::StorageTarget;
use sennight_storage::{ClaimRecord, PutOptions, Store, Tags, Walk, ensure};
use serde_json::json;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use testkit::store::{Bucket, backup, credentials, target};

const UID: &str = "0f8fad5b-d9cb-469f-a165-70867728950e";

/// Folders as others have them, and look-alikes of ours: none of these may go.
const THEIRS: [&str; 18] = [
    "exports/q3-report.csv",
    "exports/team/2024/all.zip",
    "audit/2024-invoices.pdf",
    "audit/2024/000001.json",
    "results/lab.csv",
    "results/2024/summary.json",
    "safety/instructions.pdf",
    "claims/damage.pdf",
    "claims/damage",
    "progress/2026.xlsx",
    "progress/2024/week.json",
    "daily/notes.txt",
    "daily/tagged-by-others.txt",
    "daily/tenants/acme/20240101T021000Z-0000000a/notes.txt",
    "held/mail",
    "probe/rover.jpg",
    "probe/0123/plain",
    "other/x",
];

/// The bucket as a storage without a prefix has it.
async fn whole(bucket: &Bucket, capabilities: Capabilities) -> (Store, Policy) {
    let target = StorageTarget { prefix: String::new(), capabilities, ..target(&bucket.name) };
    let store = Store::with_credentials(&target, credentials()).await.unwrap();
    (store, Policy { bucket: bucket.name.clone(), prefix: String::new(), days: 7, capabilities })
}

/// Puts an object that is 500 days old, by the headers that MinIO's replication brings its age with.
async fn old(bucket: &Bucket, key: &str, tags: Option<&str>) {
    let stored = (Utc::now() - TimeDelta::days(500)).format("%Y-%m-%dT%H:%M:%S.000000000Z").to_string();
    let put = bucket.admin.put_object().bucket(&bucket.name).key(key).body(ByteStream::from_static(b"theirs"));
    let put = put.set_tagging(tags.map(str::to_owned)).customize().mutate_request(move |request| {
        request.headers_mut().insert("x-minio-source-replication-request", "true");
        request.headers_mut().insert("x-minio-source-mtime", stored.clone());
    });
    put.send().await.unwrap();
}

async fn theirs(bucket: &Bucket) {
    for key in THEIRS {
        old(bucket, key, key.contains("tagged").then_some("retain=daily&team=x")).await;
    }
}

async fn keys(store: &Store) -> Vec<String> {
    store.list("").await.unwrap().into_iter().map(|object| object.key).collect()
}

fn all_there(left: &[String]) {
    let gone: Vec<&&str> = THEIRS.iter().filter(|key| !left.iter().any(|there| there == *key)).collect();
    assert!(gone.is_empty(), "what others keep is gone: {gone:?}");
}

/// One object of each kind, written as the worker and the operator write it: its area and key.
async fn ours(store: &Store, now: DateTime<Utc>) -> Vec<(Area, String)> {
    let keys = store.keys();
    let report: TaskReport = serde_json::from_value(json!({
        "task": "acme", "startedAt": now, "finishedAt": now,
        "outcome": {"outcome": "Failed", "reason": "R", "message": "m", "retryable": true}
    }))
    .unwrap();
    store.put_report(UID, &report).await.unwrap();
    let progress: Progress = serde_json::from_value(json!({"at": now, "bytes": 1, "rows": 1, "tables": 1})).unwrap();
    store.put_progress(UID, "acme", &progress).await.unwrap();
    let claim = ClaimRecord { job_uid: UID.to_owned(), pod: "pod".to_owned(), at: now };
    store.claim(UID, &claim).await.unwrap();
    store.put_journal(UID, &json!({"swap": 1})).await.unwrap();
    assert!(store.audit_append(UID, 1, b"{}".to_vec()).await.unwrap());
    let mut found = vec![
        (Area::Results, keys.result(UID, "acme").unwrap()),
        (Area::Progress, keys.progress(UID, "acme").unwrap()),
        (Area::Claims, keys.claim(UID).unwrap()),
        (Area::Claims, keys.journal(UID).unwrap()),
        (Area::Audit, keys.audit_entry(UID, 1).unwrap()),
    ];
    // In one put, and in parts.
    let export = keys.export("tenants", UID).unwrap();
    for (name, length) in [("small", 5), ("large", 9 << 20)] {
        let key = format!("{export}{name}.zip");
        let mut upload = store.upload(&key, Tags::new());
        upload.write(Bytes::from(vec![b'z'; length])).await.unwrap();
        upload.finish().await.unwrap();
        found.push((Area::Exports, key));
    }
    let open = backup(store, "acme", 1, now).await;
    found.extend(open.keys().into_iter().map(|key| (Area::Daily, key)));
    let safety = keys.backup(Area::Safety, "ns", "acme", &open.backup.id).unwrap();
    for name in ["data/pack-0001.zst", "manifest.json"] {
        let key = format!("{safety}{name}");
        let options = PutOptions::default().tags(area_tags(Area::Safety));
        store.put(&key, Bytes::from_static(b"safety"), &options).await.unwrap();
        found.push((Area::Safety, key));
    }
    found
}

#[tokio::test]
async fn i5_in_a_bucket_without_a_prefix_rules_delete_what_sennight_wrote_and_nothing_of_others() {
    let bucket = Bucket::new().await;
    let (store, policy) = whole(&bucket, Capabilities::default()).await;
    theirs(&bucket).await;
    let ours = ours(&store, Utc::now().with_nanosecond(0).unwrap()).await;
    // An aged twin beside each, with the tags that the code gave to the original.
    let mut aged = Vec::new();
    for (_, key) in &ours {
        let tags: Vec<String> = store.tags(key).await.unwrap().iter().map(|(k, v)| format!("{k}={v}")).collect();
        aged.push(format!("{key}.aged"));
        old(&bucket, aged.last().unwrap(), Some(&tags.join("&"))).await;
    }
    let enforcement = ensure(&store, &policy, &BTreeSet::new()).await.unwrap();
    let start = Instant::now();
    while keys(&store).await.iter().any(|key| aged.contains(key)) {
        assert!(start.elapsed() < Duration::from_mins(2), "MinIO's scanner did not delete what expired");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let left = keys(&store).await;
    all_there(&left);
    assert_eq!((enforcement.rules.len(), enforcement.unsupported.len()), (7, 0), "{:?}", enforcement.rules);
    for (area, key) in &ours {
        let expiration = store.head(key).await.unwrap().expiration.unwrap_or_default();
        let rule = format!("rule-id=\"{}{area}\"", policy.id_prefix());
        assert!(expiration.contains(&rule), "{key} expires by {expiration:?}");
    }
    for key in THEIRS {
        assert_eq!(store.head(key).await.unwrap().expiration, None, "{key}");
    }
    assert!(ours.iter().all(|(_, key)| left.contains(key)), "{left:?}");
}

#[tokio::test]
async fn i5_a_sweep_and_a_probe_leave_what_others_keep_in_folders_of_the_same_names() {
    for tagging in [true, false] {
        let bucket = Bucket::new().await;
        let capabilities = Capabilities { tagging, ..Capabilities::default() };
        let (store, _) = whole(&bucket, capabilities).await;
        theirs(&bucket).await;
        let now = Utc::now().with_nanosecond(0).unwrap();
        let mut ours: Vec<String> = ours(&store, now).await.into_iter().map(|(_, key)| key).collect();
        // A run from a shell has no UID in its key, and a mark of ours on the object.
        let by_hand = "results/by-hand/acme.json";
        store.put(by_hand, Bytes::from_static(b"{}"), &PutOptions::json()).await.unwrap();
        ours.push(by_hand.to_owned());
        let later = now + TimeDelta::days(500);
        store.probe(later).await.unwrap();
        let orders = Orders { days: 7, enforcer: Enforcer::Operator, release: true, now: later };
        let mut walk = Walk::new(&orders);
        while !store.patrol(&orders, &|_| Need::NOBODY, true, &mut walk, 1).await.unwrap() {}
        let left = keys(&store).await;
        all_there(&left);
        assert_eq!((left.len(), walk.tally().swept), (THEIRS.len(), ours.len()), "tags: {tagging}: {left:?}");
    }
}

#[tokio::test]
async fn i5_old_versions_of_ours_are_removed_by_their_tag() {
    let bucket = Bucket::new().await;
    let enabled = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
    bucket.admin.put_bucket_versioning().bucket(&bucket.name).versioning_configuration(enabled).send().await.unwrap();
    let capabilities = Capabilities { versioning: true, ..Capabilities::default() };
    let (store, policy) = whole(&bucket, capabilities).await;
    let found = ensure(&store, &policy, &BTreeSet::new()).await.unwrap();
    assert_eq!((found.rules.len(), found.unsupported.len()), (15, 0), "{found:?}");
    assert!(found.rules.iter().all(|rule| !rule.tags.is_empty()), "{found:?}");

    // Below a prefix of its own all is Sennight's.
    let own = Policy { prefix: "p".into(), ..policy };
    let found = ensure(&bucket.store, &own, &BTreeSet::new()).await.unwrap();
    let versions = found.rules.iter().find(|rule| rule.id.ends_with("-versions")).unwrap();
    assert!(versions.prefix == "p/" && versions.expired_markers && versions.tags.is_empty(), "{versions:?}");
}
