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

fn task(world: &PostgresRestore, backup: &BackupSummary) -> DrillTask {
    let mut server = world.target("super");
    server.database.clone_from(&server.maintenance_database);
    DrillTask {
        name: "drill".to_owned(),
        identity: world.identity(),
        backup: BackupRef {
            prefix: backup.prefix.clone(),
            id: backup.id.clone(),
            manifest_sha256: Some(backup.manifest_sha256.clone()),
        },
        server,
    }
}

async fn drilled(world: &PostgresRestore, task: &DrillTask) -> Result<Drilled, TaskError> {
    match drill::run(task, &world.context("drill", "pod")).await? {
        Done::Drilled(drilled) => Ok(drilled),
        other => panic!("{other:?}"),
    }
}

/// The reason of a drill that fails, and that nothing is left of it.
async fn found(world: &PostgresRestore, task: &DrillTask) -> String {
    let reason = drilled(world, task).await.unwrap_err().reason;
    assert_eq!(
        world.oid(&drill_database("tenants", &world.name)).await,
        None,
        "{reason}: the scratch database is gone"
    );
    reason
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drill_proves_a_good_backup_and_leaves_nothing_also_after_a_killed_one() {
    let world = PostgresRestore::new("drill").await;
    fill(&world).await;
    let backup = world.dump().await;
    let scratch = drill_database("tenants", &world.name);
    // What a drill that was killed left, by its mark; somebody's own database of that name is not touched.
    let id = ident(&scratch);
    world.sql("postgres", &format!("CREATE DATABASE {id}")).await;
    assert_eq!(drilled(&world, &task(&world, &backup)).await.unwrap_err().reason, "NameTaken");
    let mark = format!("sennight.dev/restore=drill-{}", stable_hash(&["tenants", &world.name], 24));
    world.sql("postgres", &format!("COMMENT ON DATABASE {id} IS '{mark}'")).await;
    let live = world.oid(&world.database).await;
    let proven = drilled(&world, &task(&world, &backup)).await.unwrap();
    assert_eq!((proven.id, proven.rows, proven.tables), (backup.id.clone(), backup.rows, backup.tables));
    assert_eq!(world.oid(&scratch).await, None);
    assert_eq!(world.oid(&world.database).await, live);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_drill_of_another_tenant_left_is_dropped_unless_it_still_works() {
    let world = PostgresRestore::new("swept").await;
    world.sql_as("owner", &world.database, "CREATE TABLE public.t ()").await;
    let backup = world.dump().await;
    let (left, mine) = (drill_database("gone", &world.name), drill_database("mine", &world.name));
    for name in [&left, &mine] {
        world.sql("postgres", &format!("CREATE DATABASE {}", ident(name))).await;
    }
    let uid = format!("drill-{}", stable_hash(&["gone", &world.name], 24));
    let mark = format!("COMMENT ON DATABASE {} IS 'sennight.dev/restore={uid}'", ident(&left));
    world.sql("postgres", &mark).await;
    let at_work = world.session("super", "postgres").await;
    lock(&at_work, &uid).await.unwrap();
    drilled(&world, &task(&world, &backup)).await.unwrap();
    assert!(world.oid(&left).await.is_some(), "somebody works on it");
    at_work.close().await;
    // Its session may take an instant to end.
    let deadline = Instant::now() + Duration::from_secs(20);
    while world.oid(&left).await.is_some() {
        assert!(Instant::now() < deadline, "it is left");
        drilled(&world, &task(&world, &backup)).await.unwrap();
    }
    assert!(world.oid(&mine).await.is_some(), "without the mark it is somebody's own");
    world.sql("postgres", &format!("DROP DATABASE {}", ident(&mine))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i7_another_tenants_objects_in_this_tenants_place_are_found() {
    let (world, other) = (PostgresRestore::new("place").await, PostgresRestore::new("stranger").await);
    for tenant in [&world, &other] {
        tenant
            .sql_as("owner", &tenant.database, "CREATE TABLE public.t (v text); INSERT INTO public.t VALUES ('x')")
            .await;
    }
    let (backup, theirs) = (world.dump().await, other.dump().await);
    for object in world.store.list(&backup.prefix).await.unwrap() {
        world.store.delete(&[object.key]).await.unwrap();
    }
    for object in other.store.list(&theirs.prefix).await.unwrap() {
        let key = object.key.replace(&theirs.prefix, &backup.prefix);
        let bytes = other.store.get(&object.key).await.unwrap();
        world.store.put(&key, bytes, &PutOptions::default()).await.unwrap();
    }
    let good = task(&world, &backup);
    assert_eq!(found(&world, &good).await, "ManifestChanged");
    let unpinned = DrillTask { backup: BackupRef { manifest_sha256: None, ..good.backup.clone() }, ..good.clone() };
    assert_eq!(found(&world, &unpinned).await, "BackupMisplaced");
    // And with a manifest that says the right place, but whose it is.
    let theirs = BackupRef { manifest_sha256: None, prefix: theirs.prefix.clone(), id: theirs.id.clone() };
    let mut manifest = other.store.open(&theirs, None).await.unwrap().manifest;
    manifest.id = backup.id.clone();
    (manifest.identity.namespace, manifest.identity.schedule) = (world.identity().namespace, world.identity().schedule);
    let sealed = world.store.keyring().seal(&manifest).unwrap();
    world.store.put(&format!("{}manifest.json", backup.prefix), sealed.into(), &PutOptions::default()).await.unwrap();
    assert_eq!(found(&world, &unpinned).await, "ForeignBackup");
}

#[tokio::test(flavor = "multi_thread")]
async fn i4_i7_a_drill_finds_what_is_wrong_with_a_backup() {
    let world = PostgresRestore::new("finds").await;
    fill(&world).await;
    let (older, backup) = (world.dump().await, world.dump().await);
    let good = task(&world, &backup);

    // Another tenant's backup.
    let identity = TenantIdentity { tenant: "somebody-else".to_owned(), ..world.identity() };
    assert_eq!(found(&world, &DrillTask { identity, ..good.clone() }).await, "ForeignBackup");

    // A replayed manifest: yesterday's in today's place, pinned or not.
    let key = format!("{}manifest.json", backup.prefix);
    let bytes = world.store.get(&key).await.unwrap();
    let old = world.store.get(&format!("{}manifest.json", older.prefix)).await.unwrap();
    world.store.put(&key, old, &PutOptions::default()).await.unwrap();
    assert_eq!(found(&world, &good).await, "ManifestChanged");
    let unpinned = DrillTask { backup: BackupRef { manifest_sha256: None, ..good.backup.clone() }, ..good.clone() };
    assert_eq!(found(&world, &unpinned).await, "BackupMisplaced");

    // A newer server's dump.
    let mut manifest = world.store.open(&task(&world, &older).backup, None).await.unwrap().manifest;
    manifest.server.major = 99;
    let sealed = world.store.keyring().seal(&manifest).unwrap();
    world.store.put(&format!("{}manifest.json", older.prefix), sealed.into(), &PutOptions::default()).await.unwrap();
    let newer = DrillTask {
        backup: BackupRef { manifest_sha256: None, prefix: older.prefix.clone(), id: older.id.clone() },
        ..good.clone()
    };
    assert_eq!(found(&world, &newer).await, "BackupNewerThanServer");

    // A changed frame, then a missing chunk.
    world.store.put(&key, bytes, &PutOptions::default()).await.unwrap();
    let data = first_data(&world.store, &backup).await;
    let flip = |bytes: &mut Vec<u8>| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    };
    tamper(&world.store, &data, flip).await;
    assert_eq!(found(&world, &good).await, "BackupDamaged");
    tamper(&world.store, &data, flip).await;
    drilled(&world, &good).await.unwrap();
    world.store.delete(&[data]).await.unwrap();
    assert!(["NotFound", "BackupDamaged", "BackupGone"].contains(&found(&world, &good).await.as_str()));
}
