//! I5 on real servers of three dialects: MinIO has all, versitygw has tags and no lifecycle rules, Garage has rules and no
//! tags. Each is probed, and must show what its capabilities allow.

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Timelike as _, Utc};
use futures::StreamExt as _;
use sennight_core::capabilities::Capabilities;
use sennight_core::names::{Area, BackupId};
use sennight_core::result::BackupSummary;
use sennight_core::retention::patrol::{BackupDir, Enforcer, Need, Orders};
use sennight_core::retention::{HoldMethod, expires_at};
use sennight_storage::{ClaimRecord, Claimed, OpenBackup, PutOptions, Store, Tally, Walk, ensure};
use std::collections::BTreeSet;
use testkit::store::{Bucket, Server, backup, identity};
use testkit::{Database, backup_ref, dump, verify};

/// The servers that were started: MinIO always, the others by SENNIGHT_STORES. What is left out is said.
fn servers() -> Vec<Server> {
    let mut all = vec![Server::minio()];
    for name in ["versitygw", "garage"] {
        match Server::named(name) {
            Some(server) => all.push(server),
            None => println!("left out: {name} (SENNIGHT_STORES=\"versitygw garage\" starts it; make integrity does)"),
        }
    }
    all
}

fn now() -> DateTime<Utc> {
    Utc::now().with_nanosecond(0).unwrap()
}

fn orders(enforcer: Enforcer, now: DateTime<Utc>) -> Orders {
    Orders { days: 7, enforcer, release: true, now }
}

async fn keys(store: &Store, prefix: &str) -> Vec<String> {
    store.list(prefix).await.unwrap().into_iter().map(|object| object.key).collect()
}

/// A whole patrol, one page a piece.
async fn patrol(store: &Store, orders: &Orders, needed: &[&BackupId]) -> Tally {
    let need = |dir: &BackupDir| Need { request: needed.contains(&&dir.id), last_good: None };
    let mut walk = Walk::new(orders);
    let mut pieces = 0;
    while !store.patrol(orders, &need, true, &mut walk, 1).await.unwrap() {
        pieces += 1;
        assert!(pieces < 100, "a patrol comes to its end: {walk:?}");
    }
    walk.tally().clone()
}

#[tokio::test]
async fn each_server_is_probed_for_what_it_can_do() {
    for server in servers() {
        let found = Bucket::probed(&server).await.store.capabilities();
        let all = Capabilities::default();
        let wanted = match server.name {
            "versitygw" => Capabilities { lifecycle: false, ..all },
            "garage" => Capabilities { tagging: false, conditional_put: false, ..all },
            _ => all,
        };
        println!("{}: {found:?}", server.name);
        assert_eq!(found, wanted, "{}", server.name);
    }
}

#[tokio::test]
async fn i5_rules_come_into_force_where_there_are_rules_and_foreign_ones_stay() {
    for server in servers() {
        let bucket = Bucket::probed(&server).await;
        if !bucket.store.capabilities().lifecycle {
            continue;
        }
        bucket.put_foreign_rule().await;
        let policy = bucket.policy();
        let found = ensure(&bucket.store, &policy, &BTreeSet::new()).await.unwrap();
        assert_eq!((found.foreign, found.conflicts.len()), (1, 0), "{}: {found:?}", server.name);
        assert!(found.rules.iter().any(|rule| rule.prefix == "p/daily/" && rule.enabled), "{}: {found:?}", server.name);
        let again = ensure(&bucket.store, &policy, &found.unsupported).await.unwrap();
        assert_eq!((again.drift, again.foreign), (Vec::<String>::new(), 1), "{}: settled", server.name);
        assert_eq!(bucket.rule_days("theirs").await, Some(90), "{}: the foreign rule is what it was", server.name);
    }
}

#[tokio::test]
async fn a_real_dump_is_written_listed_verified_held_and_let_go_on_each_server() {
    let database = Database::create().await;
    // Several parts, so that uploads in parts and their checksums are tried as well.
    database.run("CREATE TABLE big AS SELECT i, sha512(i::text::bytea) AS h FROM generate_series(1, 200000) i").await;
    for server in servers() {
        let bucket = Bucket::probed(&server).await;
        let (store, now) = (&bucket.store, now());
        let backup = dump(&database, store).await.unwrap_or_else(|error| panic!("{}: {error}", server.name));
        assert_eq!(verify(&backup, store).await.unwrap(), backup, "{}", server.name);
        let listed = store.catalogue("tenants", "acme").await.unwrap();
        assert_eq!((listed.backups.len(), listed.damaged.len()), (1, 0), "{}", server.name);
        assert_eq!(listed.backups[0].summary, backup, "{}", server.name);
        let open = store.open(&backup_ref(&backup), None).await.unwrap();
        let hold = store.hold(&open, expires_at(now, 7), now + TimeDelta::days(9), now).await.unwrap();
        let held = BackupSummary { prefix: hold.backup.prefix.clone(), ..backup.clone() };
        assert_eq!(verify(&held, store).await.unwrap().rows, 200_000, "{}: {:?}", server.name, hold.method);
        let twin = store.open(&hold.backup, None).await.unwrap();
        store.release(&twin).await.unwrap();
        assert_eq!(keys(store, "p/held/").await, [] as [String; 0], "{}", server.name);
        verify(&backup, store).await.unwrap();
    }
}

#[tokio::test]
async fn what_must_be_written_once_is_written_once_or_refused_where_the_store_cannot_tell() {
    for server in servers() {
        let bucket = Bucket::probed(&server).await;
        let store = &bucket.store;
        let claim = |pod: &str| ClaimRecord { job_uid: "job".to_owned(), pod: pod.to_owned(), at: now() };
        let first = store.claim("uid", &claim("one")).await;
        if !store.capabilities().conditional_put {
            assert_eq!(first.unwrap_err().reason(), "Unsupported", "{}", server.name);
            continue;
        }
        assert_eq!(first.unwrap(), Claimed::Won, "{}", server.name);
        assert!(matches!(store.claim("uid", &claim("two")).await.unwrap(), Claimed::Held(_)), "{}", server.name);
    }
}

/// Things in the bucket that are nobody's business here.
async fn strangers(store: &Store) -> Vec<String> {
    let keys =
        ["other/daily/ns/acme/20200101T000000Z-0000000a/manifest.json", "p2/daily/x", "p/daily/README", "readme"];
    for key in keys {
        store.put(key, Bytes::from_static(b"theirs"), &PutOptions::default()).await.unwrap();
    }
    keys.map(str::to_owned).to_vec()
}

#[tokio::test]
async fn i5_a_sweep_deletes_what_is_over_keeps_what_is_held_and_touches_nothing_else() {
    for server in servers() {
        let bucket = Bucket::probed(&server).await;
        let (store, now) = (&bucket.store, now());
        let (over, held, young) = (
            backup(store, "acme", 1, now).await,
            backup(store, "acme", 2, now).await,
            backup(store, "zeta", 3, now).await,
        );
        let theirs = strangers(store).await;
        let until = now + TimeDelta::days(10);
        let hold = store.hold(&held, expires_at(now, 7), until, now).await.unwrap();
        let method = if store.capabilities().tagging { HoldMethod::Tag } else { HoldMethod::Copy };
        assert_eq!(hold.method, method, "{}", server.name);
        let unfinished = unfinished_copy(store, now).await;
        store.put("p/results/job/acme.json", Bytes::from_static(b"{}"), &PutOptions::json()).await.unwrap();
        store.put("p/claims/uid", Bytes::from_static(b"{}"), &PutOptions::json()).await.unwrap();

        let before = keys(store, "").await;
        let early = patrol(store, &orders(Enforcer::Operator, now + TimeDelta::hours(1)), &[&held.backup.id]).await;
        assert_eq!((early.swept, keys(store, "").await), (0, before), "{}: nothing is over yet", server.name);

        // A request pins `young` though its hold has not been placed.
        let later = expires_at(now, 7) + TimeDelta::minutes(1);
        let tally = patrol(store, &orders(Enforcer::Operator, later), &[&held.backup.id, &young.backup.id]).await;
        let left = keys(store, "").await;
        let gone = |open: &OpenBackup| open.keys().iter().all(|key| !left.contains(key));
        let whole = |open: &OpenBackup| open.keys().iter().all(|key| left.contains(key));
        assert!(gone(&over) && !left.contains(&unfinished), "{}: {left:?}", server.name);
        assert!(whole(&young) && theirs.iter().all(|key| left.contains(key)), "{}: {left:?}", server.name);
        let kept = store.open(&hold.backup, Some(&identity("acme"))).await.unwrap();
        assert!(whole(&kept), "{}: {left:?}", server.name);
        assert!(!left.contains(&"p/results/job/acme.json".to_owned()), "{}", server.name);
        assert!(left.contains(&"p/claims/uid".to_owned()), "{}: claims stay 400 days", server.name);
        assert_eq!((tally.overdue, tally.orphaned_holds), (0, 0), "{}", server.name);

        // The request ends without letting go: the hold is an orphan, is released, and the backup goes.
        let orphaned = patrol(store, &orders(Enforcer::Operator, later), &[]).await;
        assert_eq!((orphaned.orphaned_holds, orphaned.released), (1, 1), "{}", server.name);
        patrol(store, &orders(Enforcer::Operator, later), &[]).await;
        let left = keys(store, "p/daily/").await;
        assert_eq!(left, ["p/daily/README"], "{}", server.name);
        assert_eq!(keys(store, "p/held/").await, [] as [String; 0], "{}", server.name);
    }
}

/// A directory as a killed worker leaves it: data, no manifest.
async fn unfinished_copy(store: &Store, now: DateTime<Utc>) -> String {
    let id = BackupId::new(now, 9);
    let key = format!("{}data/pack-0001.zst", store.keys().backup(Area::Daily, "ns", "acme", &id).unwrap());
    store.put(&key, Bytes::from_static(b"half"), &PutOptions::default()).await.unwrap();
    key
}

#[tokio::test]
async fn i5_where_rules_delete_the_patrol_deletes_no_backup_and_tells_what_stayed_too_long() {
    for server in servers() {
        let bucket = Bucket::probed(&server).await;
        let (store, now) = (&bucket.store, now());
        let open = backup(store, "acme", 1, now).await;
        let late = expires_at(now, 7) + TimeDelta::days(2);
        let at = |now| orders(Enforcer::Rules, now);
        let soon = patrol(store, &at(late - TimeDelta::seconds(1)), &[]).await;
        let tally = patrol(store, &at(late), &[]).await;
        assert_eq!((soon.overdue, tally.overdue, tally.swept), (0, 1, 0), "{}", server.name);
        assert_eq!(tally.first_overdue.as_ref(), Some(&open.backup.prefix), "{}", server.name);
        assert_eq!(keys(store, "").await.len(), 3, "{}", server.name);
    }
}

#[tokio::test]
async fn uploads_that_nobody_finished_are_aborted_after_two_days() {
    for server in servers() {
        let bucket = Bucket::probed(&server).await;
        let (store, now) = (&bucket.store, now());
        for key in ["p/daily/ns/acme/left.zst", "other/left.zst"] {
            bucket.admin.create_multipart_upload().bucket(&bucket.name).key(key).send().await.unwrap();
        }
        if server.name == "minio" {
            // It lists an upload by its exact key only, and clears uploads away by itself.
            assert_eq!(store.unfinished_uploads().await.unwrap(), []);
            continue;
        }
        let listed = store.unfinished_uploads().await.unwrap();
        let found: Vec<&str> = listed.iter().map(|u| u.key.as_str()).collect();
        assert_eq!(found, ["p/daily/ns/acme/left.zst"], "{}", server.name);
        let young = patrol(store, &orders(Enforcer::Operator, now + TimeDelta::days(1)), &[]).await;
        assert_eq!((young.orphaned_uploads, young.aborted), (0, 0), "{}", server.name);
        let old = patrol(store, &orders(Enforcer::Rules, now + TimeDelta::days(4)), &[]).await;
        assert_eq!((old.orphaned_uploads, old.aborted), (1, 1), "{}", server.name);
        assert_eq!(store.unfinished_uploads().await.unwrap(), [], "{}", server.name);
        assert_eq!(bucket.unfinished("other/left.zst").await, 1, "{}: not ours", server.name);
    }
}

#[tokio::test]
async fn a_walk_goes_on_where_it_was_cut_and_sees_every_backup_once() {
    for server in servers() {
        let bucket = Bucket::probed(&server).await;
        let (store, now) = (&bucket.store, now());
        // More objects than a page has, so that a page's end cuts a directory.
        let id = BackupId::new(now, 0);
        let crowded = store.keys().backup(Area::Daily, "ns", "many", &id).unwrap();
        let puts = (0..1001).map(|n| {
            let key = format!("{crowded}data/{n:05}.zst");
            async move { store.put(&key, Bytes::from_static(b"x"), &PutOptions::default()).await.unwrap() }
        });
        futures::stream::iter(puts).buffer_unordered(16).collect::<Vec<()>>().await;
        for number in 1..4 {
            backup(store, "acme", number, now).await;
            backup(store, "zeta", number, now).await;
        }
        store.put(&format!("{crowded}manifest.json"), Bytes::from_static(b"{}"), &PutOptions::default()).await.unwrap();
        let later = expires_at(now, 7) + TimeDelta::minutes(1);
        let looked = patrol(store, &orders(Enforcer::Rules, later), &[]).await;
        assert_eq!(looked.backups, 7, "{}", server.name);
        let swept = patrol(store, &orders(Enforcer::Operator, later), &[]).await;
        assert_eq!((swept.backups, swept.swept), (7, 1002 + 6 * 3), "{}", server.name);
        assert_eq!(keys(store, "p/").await, [] as [String; 0], "{}", server.name);
    }
}
