//! Drills: a backup is proven by restoring it, and whatever is wrong with one is found.

use sennight_core::manifest::TenantIdentity;
use sennight_core::names::{drill_database, stable_hash};
use sennight_core::result::{BackupSummary, Done, Drilled};
use sennight_engine::postgres::create::lock;
use sennight_engine::postgres::ident;
use sennight_protocol::backup::BackupRef;
use sennight_protocol::restore::DrillTask;
use sennight_storage::PutOptions;
use sennight_worker::{TaskError, drill};
use std::time::{Duration, Instant};
use testkit::postgres::restore::{PostgresRestore, fill, first_data, tamper};

fn task(restore: &PostgresRestore, backup: &BackupSummary) -> DrillTask {
    let mut server = restore.target("super");
    server.database.clone_from(&server.maintenance_database);
    DrillTask {
        name: "drill".to_owned(),
        identity: restore.identity(),
        backup: BackupRef {
            prefix: backup.prefix.clone(),
            id: backup.id.clone(),
            manifest_sha256: Some(backup.manifest_sha256.clone()),
        },
        server,
    }
}

async fn drilled(restore: &PostgresRestore, task: &DrillTask) -> Result<Drilled, TaskError> {
    match drill::run(task, &restore.context("drill", "pod")).await? {
        Done::Drilled(drilled) => Ok(drilled),
        other => panic!("{other:?}"),
    }
}

/// The reason of a drill that fails, and that nothing is left of it.
async fn found(restore: &PostgresRestore, task: &DrillTask) -> String {
    let reason = drilled(restore, task).await.unwrap_err().reason;
    assert_eq!(
        restore.oid(&drill_database("tenants", &restore.name)).await,
        None,
        "{reason}: the scratch database is gone"
    );
    reason
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drill_proves_a_good_backup_and_leaves_nothing_also_after_a_killed_one() {
    let restore = PostgresRestore::new("drill").await;
    fill(&restore).await;
    let backup = restore.dump().await;
    let scratch = drill_database("tenants", &restore.name);
    // What a drill that was killed left, by its mark; somebody's own database of that name is not touched.
    let id = ident(&scratch);
    restore.sql("postgres", &format!("CREATE DATABASE {id}")).await;
    assert_eq!(drilled(&restore, &task(&restore, &backup)).await.unwrap_err().reason, "NameTaken");
    let mark = format!("sennight.dev/restore=drill-{}", stable_hash(&["tenants", &restore.name], 24));
    restore.sql("postgres", &format!("COMMENT ON DATABASE {id} IS '{mark}'")).await;
    let live = restore.oid(&restore.database).await;
    let proven = drilled(&restore, &task(&restore, &backup)).await.unwrap();
    assert_eq!((proven.id, proven.rows, proven.tables), (backup.id.clone(), backup.rows, backup.tables));
    assert_eq!(restore.oid(&scratch).await, None);
    assert_eq!(restore.oid(&restore.database).await, live);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_drill_of_another_tenant_left_is_dropped_unless_it_still_works() {
    let restore = PostgresRestore::new("swept").await;
    restore.sql_as("owner", &restore.database, "CREATE TABLE public.t ()").await;
    let backup = restore.dump().await;
    let (left, mine) = (drill_database("gone", &restore.name), drill_database("mine", &restore.name));
    for name in [&left, &mine] {
        restore.sql("postgres", &format!("CREATE DATABASE {}", ident(name))).await;
    }
    let uid = format!("drill-{}", stable_hash(&["gone", &restore.name], 24));
    let mark = format!("COMMENT ON DATABASE {} IS 'sennight.dev/restore={uid}'", ident(&left));
    restore.sql("postgres", &mark).await;
    let at_work = restore.session("super", "postgres").await;
    lock(&at_work, &uid).await.unwrap();
    drilled(&restore, &task(&restore, &backup)).await.unwrap();
    assert!(restore.oid(&left).await.is_some(), "somebody works on it");
    at_work.close().await;
    // Its session may take an instant to end.
    let deadline = Instant::now() + Duration::from_secs(20);
    while restore.oid(&left).await.is_some() {
        assert!(Instant::now() < deadline, "it is left");
        drilled(&restore, &task(&restore, &backup)).await.unwrap();
    }
    assert!(restore.oid(&mine).await.is_some(), "without the mark it is somebody's own");
    restore.sql("postgres", &format!("DROP DATABASE {}", ident(&mine))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i7_another_tenants_objects_in_this_tenants_place_are_found() {
    let (restore, other) = (PostgresRestore::new("place").await, PostgresRestore::new("stranger").await);
    for tenant in [&restore, &other] {
        tenant
            .sql_as("owner", &tenant.database, "CREATE TABLE public.t (v text); INSERT INTO public.t VALUES ('x')")
            .await;
    }
    let (backup, theirs) = (restore.dump().await, other.dump().await);
    for object in restore.store.list(&backup.prefix).await.unwrap() {
        restore.store.delete(&[object.key]).await.unwrap();
    }
    for object in other.store.list(&theirs.prefix).await.unwrap() {
        let key = object.key.replace(&theirs.prefix, &backup.prefix);
        let bytes = other.store.get(&object.key).await.unwrap();
        restore.store.put(&key, bytes, &PutOptions::default()).await.unwrap();
    }
    let good = task(&restore, &backup);
    assert_eq!(found(&restore, &good).await, "ManifestChanged");
    let unpinned = DrillTask { backup: BackupRef { manifest_sha256: None, ..good.backup.clone() }, ..good.clone() };
    assert_eq!(found(&restore, &unpinned).await, "BackupMisplaced");
    // And with a manifest that says the right place, but whose it is.
    let theirs = BackupRef { manifest_sha256: None, prefix: theirs.prefix.clone(), id: theirs.id.clone() };
    let mut manifest = other.store.open(&theirs, None).await.unwrap().manifest;
    manifest.id = backup.id.clone();
    (manifest.identity.namespace, manifest.identity.schedule) =
        (restore.identity().namespace, restore.identity().schedule);
    let sealed = restore.store.keyring().seal(&manifest).unwrap();
    restore.store.put(&format!("{}manifest.json", backup.prefix), sealed.into(), &PutOptions::default()).await.unwrap();
    assert_eq!(found(&restore, &unpinned).await, "ForeignBackup");
}

#[tokio::test(flavor = "multi_thread")]
async fn i4_i7_a_drill_finds_what_is_wrong_with_a_backup() {
    let restore = PostgresRestore::new("finds").await;
    fill(&restore).await;
    let (older, backup) = (restore.dump().await, restore.dump().await);
    let good = task(&restore, &backup);

    // Another tenant's backup.
    let identity = TenantIdentity { tenant: "somebody-else".to_owned(), ..restore.identity() };
    assert_eq!(found(&restore, &DrillTask { identity, ..good.clone() }).await, "ForeignBackup");

    // A replayed manifest: yesterday's in today's place, pinned or not.
    let key = format!("{}manifest.json", backup.prefix);
    let bytes = restore.store.get(&key).await.unwrap();
    let old = restore.store.get(&format!("{}manifest.json", older.prefix)).await.unwrap();
    restore.store.put(&key, old, &PutOptions::default()).await.unwrap();
    assert_eq!(found(&restore, &good).await, "ManifestChanged");
    let unpinned = DrillTask { backup: BackupRef { manifest_sha256: None, ..good.backup.clone() }, ..good.clone() };
    assert_eq!(found(&restore, &unpinned).await, "BackupMisplaced");

    // A newer server's dump.
    let mut manifest = restore.store.open(&task(&restore, &older).backup, None).await.unwrap().manifest;
    manifest.server.major = 99;
    let sealed = restore.store.keyring().seal(&manifest).unwrap();
    restore.store.put(&format!("{}manifest.json", older.prefix), sealed.into(), &PutOptions::default()).await.unwrap();
    let newer = DrillTask {
        backup: BackupRef { manifest_sha256: None, prefix: older.prefix.clone(), id: older.id.clone() },
        ..good.clone()
    };
    assert_eq!(found(&restore, &newer).await, "BackupNewerThanServer");

    // A changed frame, then a missing chunk.
    restore.store.put(&key, bytes, &PutOptions::default()).await.unwrap();
    let data = first_data(&restore.store, &backup).await;
    let flip = |bytes: &mut Vec<u8>| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    };
    tamper(&restore.store, &data, flip).await;
    assert_eq!(found(&restore, &good).await, "BackupDamaged");
    tamper(&restore.store, &data, flip).await;
    drilled(&restore, &good).await.unwrap();
    restore.store.delete(&[data]).await.unwrap();
    assert!(["NotFound", "BackupDamaged", "BackupGone"].contains(&found(&restore, &good).await.as_str()));
}
