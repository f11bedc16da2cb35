//! An engine that is not Sennight's own: databases in a map. It implements `trait Engine` from outside, and the worker's steps
//! run over it unchanged: dump, verify, live ids, preflight, prepare, cut-over, safety backup, undo, drop.

mod engine;
mod snapshot;

use engine::{SERVER, ToyEngine, put};
use sennight_core::engine::{EngineKind, TlsMode};
use sennight_core::names::{new_database, previous_database};
use sennight_core::profile::TableName;
use sennight_core::result::{BackupSummary, Done};
use sennight_engine::Engine;
use sennight_protocol::backup::{DumpTask, SafetyBackupTask};
use sennight_protocol::cutover::CutoverTask;
use sennight_protocol::drop_database::{DatabaseToDrop, DropDatabaseTask, Mark};
use sennight_protocol::export::{LiveEntity, LiveIdsTask};
use sennight_protocol::restore::{DrillTask, RestoreTask};
use sennight_protocol::target::{DatabaseTarget, TlsTarget};
use sennight_worker::{
    TaskError, Verdict, WorkerContext, cutover, drill, drop_database, live_ids, preflight, preflight_undo, prepare,
    recover_cutover, safety_backup,
};
use testkit::store::Bucket;
use testkit::{backup_ref, context, copied, dump_task, dump_with, manifest, table, unique, verify};

/// Rows of the tables `a` and `empty`, in the text of docs/format.md.
const ROWS: &str = "1\tone\n2\t\\N\n3\tthree\n";

fn toy(_: EngineKind) -> &'static dyn Engine {
    &ToyEngine
}

fn toy_context(bucket: &Bucket) -> WorkerContext {
    WorkerContext { engines: toy, ..context(&bucket.store) }
}

/// A database of the test's own. The kind is only a name: no server of that kind is asked.
fn database() -> DatabaseTarget {
    let database = unique("toy_");
    put(&database, &[("a", ROWS), ("empty", "")]);
    DatabaseTarget {
        engine: EngineKind::PostgreSQL,
        host: "nowhere".to_owned(),
        port: 1,
        database,
        maintenance_database: String::new(),
        tls: TlsTarget { mode: TlsMode::Disable, ca_file: None, client_cert_dir: None },
        credentials_dir: String::new(),
    }
}

fn rows_of(database: &str, table: &str) -> Option<String> {
    SERVER.lock().unwrap().get(database)?.tables.iter().find(|t| t.name == table).map(|t| t.rows.clone())
}

async fn dumped(bucket: &Bucket, target: &DatabaseTarget) -> BackupSummary {
    dump_with(&dump_task("acme", target), &toy_context(bucket)).await.unwrap()
}

fn restore_task(backup: &BackupSummary, target: &DatabaseTarget, uid: &str) -> RestoreTask {
    RestoreTask {
        name: "restore".to_owned(),
        request_uid: uid.to_owned(),
        identity: dump_task("acme", target).identity,
        backup: backup_ref(backup),
        database: target.clone(),
        parallelism: 1,
        headroom_bytes: None,
        allow_shared_owners: true,
        hooks_dir: None,
    }
}

async fn prepared(bucket: &Bucket, task: &RestoreTask) -> Result<CutoverTask, TaskError> {
    let done = prepare::run(task, &toy_context(bucket)).await?;
    let Done::Prepared { live_number, new_number, new_database, .. } = done else { panic!("{done:?}") };
    Ok(CutoverTask {
        name: "cutover".to_owned(),
        request_uid: task.request_uid.clone(),
        namespace: "tenants".to_owned(),
        database: task.database.clone(),
        new_database,
        previous_database: previous_database(&task.database.database, &task.request_uid),
        live_number,
        new_number,
        undo_of: None,
        start_by: None,
    })
}

#[tokio::test]
async fn an_engine_from_outside_dumps_and_its_backup_is_verified() {
    let (bucket, target) = (Bucket::new().await, database());
    let backup = dumped(&bucket, &target).await;
    assert_eq!((backup.tables, backup.rows), (2, 3));
    assert_eq!(verify(&backup, &bucket.store).await.unwrap().rows, 3);
    let manifest = manifest(&backup, &bucket.store).await;
    assert_eq!(copied(&backup, &bucket.store, table(&manifest, "a")).await, ROWS.as_bytes());
    assert_eq!((manifest.schema.object.as_str(), manifest.warnings.len()), ("schema.toy", 1));
    let task = LiveIdsTask {
        name: "live-ids".to_owned(),
        request_uid: unique(""),
        identity: dump_task("acme", &target).identity,
        database: target.clone(),
        entities: vec![LiveEntity {
            name: "records".to_owned(),
            table: TableName { schema: None, name: "A".to_owned() },
            key: "id".to_owned(),
        }],
    };
    let Done::Listed(list) = live_ids::run(&task, &toy_context(&bucket)).await.unwrap() else { panic!() };
    assert_eq!(list.ids, 3);
}

#[tokio::test]
async fn an_engine_from_outside_restores_swaps_undoes_and_drops() {
    let (bucket, target) = (Bucket::new().await, database());
    let (live, uid) = (target.database.as_str(), unique("uid-"));
    let backup = dumped(&bucket, &target).await;
    put(live, &[("a", "9\tlost\n"), ("empty", "")]);
    let task = restore_task(&backup, &target, &uid);
    let Done::Preflighted(found) = preflight::run(&task, &toy_context(&bucket)).await.unwrap() else { panic!() };
    assert_eq!(found.refusals, vec![]);

    let swap = prepared(&bucket, &task).await.unwrap();
    assert_eq!(rows_of(live, "a").as_deref(), Some("9\tlost\n"), "prepare reads the live database only");
    cutover::run(&swap, &toy_context(&bucket)).await.unwrap();
    assert_eq!(rows_of(live, "a").as_deref(), Some(ROWS));
    assert_eq!(rows_of(&swap.previous_database, "a").as_deref(), Some("9\tlost\n"));
    // A second pod, and a recovery, find the swap done.
    let again = WorkerContext { job_uid: unique("job-"), ..toy_context(&bucket) };
    assert!(matches!(cutover::run(&swap, &again).await.unwrap(), Done::CutOver { downtime_millis: -1, .. }));
    recover_cutover::run(&swap, &again).await.unwrap();

    let safety = SafetyBackupTask {
        name: "safety-backup".to_owned(),
        request_uid: uid.clone(),
        previous_number: swap.live_number,
        dump: DumpTask {
            database: DatabaseTarget { database: swap.previous_database.clone(), ..target.clone() },
            ..dump_task("acme", &target)
        },
        restore_credentials_dir: String::new(),
    };
    let Done::Dumped(kept) = safety_backup::run(&safety, &toy_context(&bucket)).await.unwrap() else { panic!() };
    assert_eq!(kept.rows, 1);

    let undo = CutoverTask {
        request_uid: unique("uid-"),
        new_database: swap.previous_database.clone(),
        previous_database: previous_database(live, &unique("uid-")),
        live_number: swap.new_number,
        new_number: swap.live_number,
        undo_of: Some(uid),
        ..swap.clone()
    };
    let Done::Preflighted(found) = preflight_undo::run(&undo, &toy_context(&bucket)).await.unwrap() else { panic!() };
    assert_eq!(found.refusals, vec![]);
    cutover::run(&undo, &toy_context(&bucket)).await.unwrap();
    assert_eq!(rows_of(live, "a").as_deref(), Some("9\tlost\n"));

    let to_drop =
        DatabaseToDrop { name: undo.previous_database.clone(), number: Some(undo.live_number), mark: Mark::Previous };
    let task = DropDatabaseTask {
        name: "drop-database".to_owned(),
        request_uid: undo.request_uid.clone(),
        database: target.clone(),
        database_to_drop: to_drop,
        identity: Some(dump_task("acme", &target).identity),
        safety_backup: Some(backup_ref(&kept)),
    };
    let Done::DatabaseDropped(gone) = drop_database::run(&task, &toy_context(&bucket)).await.unwrap() else { panic!() };
    assert_eq!(gone.database.as_deref(), Some(undo.previous_database.as_str()));
    assert_eq!(rows_of(&undo.previous_database, "a"), None);
}

#[tokio::test]
async fn an_engine_from_outside_drills_and_its_failures_become_reports() {
    let (bucket, target) = (Bucket::new().await, database());
    let backup = dumped(&bucket, &target).await;
    let identity = dump_task("acme", &target).identity;
    let task = DrillTask { name: "drill".to_owned(), identity, backup: backup_ref(&backup), server: target.clone() };
    let Done::Drilled(proven) = drill::run(&task, &toy_context(&bucket)).await.unwrap() else { panic!() };
    assert_eq!((proven.rows, proven.tables), (3, 2));

    let uid = unique("uid-");
    let task = restore_task(&backup, &target, &uid);
    put(&new_database(&target.database, &uid), &[]);
    let error = prepared(&bucket, &task).await.unwrap_err();
    assert_eq!((error.reason.as_str(), error.verdict), ("NameTaken", Verdict::Refused));
}
