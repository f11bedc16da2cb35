//! I4 and I7: which backups there are, and whose they are.

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use sennight_core::engine::EngineKind;
use sennight_core::names::{Area, BackupId};
use sennight_protocol::backup::BackupRef;
use sennight_storage::{NEWEST, PutOptions, Store};
use testkit::store::{Bucket, backup, identity, manifest};

fn monday() -> DateTime<Utc> {
    "2026-11-16T02:10:00Z".parse().unwrap()
}

async fn put(store: &Store, key: &str, bytes: impl Into<Bytes>) {
    store.put(key, bytes.into(), &PutOptions::default()).await.unwrap();
}

#[tokio::test]
async fn i4_a_backup_without_a_manifest_does_not_exist() {
    let bucket = Bucket::new().await;
    let store = &bucket.store;
    let whole = backup(store, "acme", 1, monday()).await;
    let torn = backup(store, "acme", 2, monday() + TimeDelta::days(1)).await;
    store.delete(&torn.keys()[2..]).await.unwrap();
    put(store, "p/daily/ns/acme/not-an-id/manifest.json", "{}").await;
    let catalogue = store.catalogue("ns", "acme").await.unwrap();
    let ids: Vec<_> = catalogue.backups.iter().map(|entry| &entry.summary.id).collect();
    assert_eq!((ids, catalogue.damaged.len()), (vec![&whole.manifest.id], 0));
    let entry = &catalogue.backups[0];
    assert_eq!(entry.summary, whole.summary());
    assert_eq!(entry.expires_at(7), "2026-11-24T00:00:00Z".parse::<DateTime<Utc>>().unwrap());
    assert_eq!(store.open(&torn.backup, None).await.unwrap_err().reason(), "BackupGone");
    assert_eq!(store.catalogue("ns", "other").await.unwrap().backups, []);
}

#[tokio::test]
async fn a_damaged_backup_is_listed_as_such_and_hides_no_other() {
    let bucket = Bucket::new().await;
    let store = &bucket.store;
    backup(store, "acme", 1, monday()).await;
    let cut = backup(store, "acme", 2, monday()).await;
    put(store, &cut.keys()[2], &b"{\"format\":\"sennight/v1\",\"id\":"[..]).await;
    let newer = backup(store, "acme", 3, monday()).await;
    put(store, &newer.keys()[2], &b"{\"format\":\"sennight/v9\"}"[..]).await;
    let catalogue = store.catalogue("ns", "acme").await.unwrap();
    let reasons: Vec<_> = catalogue.damaged.iter().map(sennight_storage::CatalogueError::reason).collect();
    assert_eq!((catalogue.backups.len(), reasons), (1, vec!["ManifestUnusable", "ManifestDamaged"]));
}

#[tokio::test]
async fn the_newest_backups_are_listed_and_failed_runs_do_not_push_them_out() {
    let bucket = Bucket::new().await;
    let store = &bucket.store;
    for number in 0..45 {
        backup(store, "acme", number, monday() + TimeDelta::hours(i64::from(number))).await;
    }
    for number in 100..160 {
        let id = BackupId::new(monday() + TimeDelta::days(9), number);
        put(store, &format!("{}schema.pgc", store.keys().backup(Area::Daily, "ns", "acme", &id).unwrap()), "x").await;
    }
    let backups = store.catalogue("ns", "acme").await.unwrap().backups;
    assert_eq!(backups.len(), NEWEST);
    assert_eq!(backups[0].summary.snapshot_time, monday() + TimeDelta::hours(44));
    assert!(backups.windows(2).all(|pair| pair[0].summary.id > pair[1].summary.id));
}

#[tokio::test]
async fn i7_a_backup_is_opened_only_for_its_own_tenant_and_in_its_own_place() {
    let bucket = Bucket::new().await;
    let store = &bucket.store;
    let open = backup(store, "acme", 1, monday()).await;
    let reason = async |backup: &BackupRef, change: fn(&mut sennight_core::manifest::TenantIdentity)| {
        let mut wanted = identity("acme");
        change(&mut wanted);
        store.open(backup, Some(&wanted)).await.err().map(|error| error.reason())
    };
    assert_eq!(reason(&open.backup, |_| {}).await, None);
    assert_eq!(reason(&open.backup, |i| i.schedule_uid = "re-created".into()).await, None);
    assert_eq!(reason(&open.backup, |i| i.tenant = "other".into()).await, Some("ForeignBackup"));
    assert_eq!(reason(&open.backup, |i| i.database = "other".into()).await, Some("ForeignBackup"));
    assert_eq!(reason(&open.backup, |i| i.engine = EngineKind::MySQL).await, Some("ForeignBackup"));
    assert_eq!(reason(&open.backup, |i| i.schedule = "other".into()).await, Some("BackupMisplaced"));
    // Somebody with write access moves a backup under another tenant's prefix: its manifest gives it away.
    let moved = store.keys().backup(Area::Daily, "ns", "victim", &open.backup.id).unwrap();
    put(store, &format!("{moved}manifest.json"), store.keyring().seal(&open.manifest).unwrap()).await;
    let moved = BackupRef { prefix: moved, ..open.backup.clone() };
    assert_eq!(reason(&moved, |i| i.schedule = "victim".into()).await, Some("ForeignBackup"));
}

#[tokio::test]
async fn a_pinned_backup_is_this_one_or_none() {
    let bucket = Bucket::new().await;
    let store = &bucket.store;
    let open = backup(store, "acme", 1, monday()).await;
    store.open(&open.backup, None).await.unwrap();
    let mut forged = open.manifest.clone();
    forged.warnings.push("forged".into());
    put(store, &open.keys()[2], store.keyring().seal(&forged).unwrap()).await;
    assert_eq!(store.open(&open.backup, None).await.unwrap_err().reason(), "ManifestChanged");
    let other = manifest(&BackupId::new(monday(), 99), &identity("acme"), monday());
    put(store, &open.keys()[2], store.keyring().seal(&other).unwrap()).await;
    let unpinned = BackupRef { manifest_sha256: None, ..open.backup.clone() };
    assert_eq!(store.open(&unpinned, None).await.unwrap_err().reason(), "BackupMisplaced");
}
