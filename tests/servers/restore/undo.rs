//! Undo: a swap is undone with every row that was written until it; the replaced database is dumped and dropped
//! by its mark and OID, never by name alone.

use sennight_core::manifest::TenantIdentity;
use sennight_core::names::{new_database, previous_database};
use sennight_core::result::Preflight;
use sennight_core::result::{BackupSummary, DatabaseDropped, DatabaseNumber, Done};
use sennight_engine::postgres::swap::swap_state;
use sennight_engine::postgres::{ident, literal};
use sennight_engine::restore::SwapState;
use sennight_protocol::backup::SafetyBackupTask;
use sennight_protocol::backup::{BackupRef, DumpTask};
use sennight_protocol::cutover::CutoverTask;
use sennight_protocol::drop_database::{DatabaseToDrop, DropDatabaseTask, Mark};
use sennight_storage::PutOptions;
use sennight_worker::{TaskError, Verdict, cutover, drop_database, preflight_undo, safety_backup};
use testkit::postgres::restore::{PostgresRestore, assert_same, fill, first_data, picture, tamper};

/// UID of the request that undoes.
fn another_uid() -> String {
    format!("{:08x}-cccc-4ddd-8eee-{:012x}", rand::random::<u32>(), rand::random::<u32>())
}

/// A restore that took effect, and the task that takes it back.
async fn restored(restore: &PostgresRestore) -> (CutoverTask, CutoverTask) {
    let backup = restore.dump().await;
    let sql = "INSERT INTO crm.companies (id, title) OVERRIDING SYSTEM VALUE VALUES (900001, 'written after the dump')";
    restore.sql(&restore.database, sql).await;
    let done = restore.prepare(&restore.restore_task(&backup)).await.unwrap();
    let sql = "INSERT INTO crm.companies (id, title) OVERRIDING SYSTEM VALUE VALUES (900002, 'while preparing')";
    restore.sql(&restore.database, sql).await;
    restore.cutover(&done, "pod").await.unwrap();
    let uid = another_uid();
    let undo = CutoverTask {
        request_uid: uid.clone(),
        new_database: done.previous_database.clone(),
        previous_database: previous_database(&restore.database, &uid),
        live_number: done.new_number,
        new_number: done.live_number,
        undo_of: Some(restore.uid.clone()),
        ..done.clone()
    };
    (done, undo)
}

async fn undo(restore: &PostgresRestore, task: &CutoverTask) -> Result<Done, TaskError> {
    let mut context = restore.context("undo", "pod");
    context.job_uid = format!("{}-undo", task.request_uid);
    cutover::run(task, &context).await
}

fn sorted(text: &str) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines.join("\n")
}

async fn look(restore: &PostgresRestore, task: &CutoverTask) -> Vec<String> {
    match preflight_undo::run(task, &restore.context("preflight-undo", "pod")).await.unwrap() {
        Done::Preflighted(Preflight { refusals, .. }) => refusals.into_iter().map(|r| r.reason).collect(),
        other => panic!("{other:?}"),
    }
}

fn safety_task(restore: &PostgresRestore, done: &CutoverTask) -> SafetyBackupTask {
    let mut database = restore.target("dump");
    database.database.clone_from(&done.previous_database);
    SafetyBackupTask {
        name: "safety-backup".to_owned(),
        request_uid: restore.uid.clone(),
        previous_number: done.live_number,
        restore_credentials_dir: restore.target("restore").credentials_dir,
        dump: DumpTask {
            name: "safety-backup".to_owned(),
            identity: restore.identity(),
            database,
            time_zone: "Etc/UTC".to_owned(),
            parallelism: 1,
            lock_timeout_seconds: 30,
            ddl_wait_seconds: 60,
            deadline_seconds: 300,
            max_bytes_per_second: None,
            allow_non_transactional: false,
        },
    }
}

async fn dumped_safely(restore: &PostgresRestore, done: &CutoverTask) -> BackupSummary {
    match safety_backup::run(&safety_task(restore, done), &restore.context("safety-backup", "pod")).await.unwrap() {
        Done::Dumped(summary) => summary,
        other => panic!("{other:?}"),
    }
}

fn backup_ref(backup: &BackupSummary) -> BackupRef {
    let (prefix, id) = (backup.prefix.clone(), backup.id.clone());
    BackupRef { prefix, id, manifest_sha256: Some(backup.manifest_sha256.clone()) }
}

fn drop_task(restore: &PostgresRestore, done: &CutoverTask, safety: Option<BackupRef>) -> DropDatabaseTask {
    DropDatabaseTask {
        name: "drop-database".to_owned(),
        request_uid: restore.uid.clone(),
        database: restore.target("restore"),
        database_to_drop: DatabaseToDrop {
            name: done.previous_database.clone(),
            number: Some(done.live_number),
            mark: Mark::Previous,
        },
        identity: Some(restore.identity()),
        safety_backup: safety,
    }
}

async fn dropped(restore: &PostgresRestore, task: &DropDatabaseTask) -> Result<DatabaseDropped, TaskError> {
    match drop_database::run(task, &restore.context("drop-database", "pod")).await? {
        Done::DatabaseDropped(dropped) => Ok(dropped),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn i3_an_undo_brings_back_every_row_written_until_the_swap_and_can_be_undone_by_nobody_twice() {
    let restore = PostgresRestore::new("undo").await;
    fill(&restore).await;
    let before = picture(&restore, &restore.database).await;
    let (_, task) = restored(&restore).await;
    let restored_picture = picture(&restore, &restore.database).await;
    assert_eq!(look(&restore, &task).await, Vec::<String>::new());
    let Done::CutOver { previous_database, downtime_millis, .. } = undo(&restore, &task).await.unwrap() else {
        panic!("not undone")
    };
    assert!(downtime_millis >= 0);
    // The live database is the replaced one: its definition, its grants, its rows, and the two that came later.
    let rows = "SELECT count(*)::text FROM crm.companies WHERE id IN (900001, 900002)";
    assert_eq!(restore.value(&restore.database, rows).await.as_deref(), Some("2"));
    restore.sql(&restore.database, "DELETE FROM crm.companies WHERE id IN (900001, 900002)").await;
    // The order in which the catalog has grants and settings is not a property of the database.
    assert_same(&sorted(&before), &sorted(&picture(&restore, &restore.database).await));
    restore.session("app", &restore.database).await;
    // What had been restored is kept in its turn, closed and marked.
    assert_eq!(restore.oid(&previous_database).await, Some(task.live_number.0));
    let marker = format!("SELECT shobj_description({}, 'pg_database')", task.live_number);
    assert_eq!(restore.value("postgres", &marker).await, Some(format!("sennight.dev/kept={}", task.request_uid)));
    let rows = |text: &str| text.lines().filter(|l| l.starts_with("crm.")).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(rows(&picture(&restore, &previous_database).await), rows(&restored_picture));

    // Again: by the same request it is told as done, by another one refused.
    let databases = restore.databases().await;
    assert!(matches!(undo(&restore, &task).await.unwrap(), Done::CutOver { downtime_millis: -1, .. }));
    let uid = another_uid();
    let other = CutoverTask {
        request_uid: uid.clone(),
        previous_database: self::previous_database(&restore.database, &uid),
        ..task
    };
    assert_eq!(look(&restore, &other).await, ["PreviousDatabaseGone", "LiveDatabaseReplaced"]);
    let refused = undo(&restore, &other).await.unwrap_err();
    assert_eq!((refused.reason.as_str(), refused.verdict), ("DatabasesChanged", Verdict::Refused));
    assert_eq!(restore.databases().await, databases);
}

#[tokio::test(flavor = "multi_thread")]
async fn i2_a_swap_by_hand_is_not_taken_for_an_undo_and_what_stands_in_its_way_is_named() {
    let restore = PostgresRestore::new("undoable").await;
    fill(&restore).await;
    let (done, task) = restored(&restore).await;
    let (live, kept) = (ident(&restore.database), ident(&done.previous_database));
    let restorer = restore.role("restore");
    for (reason, mischief, mend) in [
        ("CreateDbMissing", format!("ALTER ROLE {restorer} NOCREATEDB"), format!("ALTER ROLE {restorer} CREATEDB")),
        (
            "PreviousDatabaseGone",
            format!("COMMENT ON DATABASE {kept} IS 'mine'"),
            format!("COMMENT ON DATABASE {kept} IS 'sennight.dev/kept={}'", restore.uid),
        ),
        (
            "NameTaken",
            format!("CREATE DATABASE {}", ident(&task.previous_database)),
            format!("DROP DATABASE {}", ident(&task.previous_database)),
        ),
        (
            "SettingsDenied",
            format!("ALTER DATABASE {live} SET log_statement = 'all'"),
            format!("ALTER DATABASE {live} RESET log_statement"),
        ),
    ] {
        restore.sql("postgres", &mischief).await;
        let found = look(&restore, &task).await;
        restore.sql("postgres", &mend).await;
        assert_eq!(found, [reason]);
    }
    // Prepared transactions in the previous database would keep it from being renamed.
    let gid = format!("{}-2pc", restore.name);
    restore
        .sql(&done.previous_database, &format!("BEGIN; CREATE TABLE public.x (); PREPARE TRANSACTION '{gid}'"))
        .await;
    restore.is_left(&done.previous_database).await;
    assert_eq!(look(&restore, &task).await, ["PreparedTransactions"]);
    restore.sql(&done.previous_database, &format!("ROLLBACK PREPARED '{gid}'")).await;
    restore.is_left(&done.previous_database).await;
    assert_eq!(look(&restore, &task).await, Vec::<String>::new());

    restore
        .sql("postgres", &format!("ALTER DATABASE {live} RENAME TO byhand; ALTER DATABASE {kept} RENAME TO {live}"))
        .await;
    let admin = restore.session("super", "postgres").await;
    assert!(matches!(swap_state(&admin, &task).await.unwrap(), SwapState::Neither(_)));
    let refused = undo(&restore, &task).await.unwrap_err();
    assert_eq!(refused.reason, "DatabasesChanged");
    restore.sql("postgres", "DROP DATABASE byhand").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i3_a_replaced_database_is_dropped_only_over_its_safety_dump_its_mark_and_its_oid() {
    let restore = PostgresRestore::new("clear").await;
    fill(&restore).await;
    let (done, _) = restored(&restore).await;
    let replaced = picture(&restore, &done.previous_database).await;
    let none = dropped(&restore, &drop_task(&restore, &done, None)).await.unwrap_err();
    assert_eq!((none.reason.as_str(), none.verdict), ("NoSafetyBackup", Verdict::Refused));

    // The app goes on in the live database; the dump is of the other one.
    let app = restore.session("app", &restore.database).await;
    let backup = dumped_safely(&restore, &done).await;
    app.query("SELECT 1", &[]).await.unwrap();
    assert!(backup.prefix.starts_with("backups/safety/"), "{backup:?}");
    assert!(
        restore
            .store
            .catalogue("tenants", &restore.name)
            .await
            .unwrap()
            .backups
            .iter()
            .all(|c| c.summary.id != backup.id)
    );

    // Somebody's own words, another OID behind the name: nothing is dropped.
    let kept = ident(&done.previous_database);
    let task = drop_task(&restore, &done, Some(backup_ref(&backup)));
    restore.sql("postgres", &format!("COMMENT ON DATABASE {kept} IS 'do not touch'")).await;
    let foreign = dropped(&restore, &task).await.unwrap_err();
    assert_eq!((foreign.reason.as_str(), foreign.verdict), ("NameTaken", Verdict::Refused));
    let marked = literal(&format!("sennight.dev/kept={}", restore.uid));
    restore.sql("postgres", &format!("COMMENT ON DATABASE {kept} IS {marked}")).await;
    let live =
        drop_task(&restore, &CutoverTask { live_number: done.new_number, ..done.clone() }, Some(backup_ref(&backup)));
    assert_eq!(dropped(&restore, &live).await.unwrap_err().reason, "DatabasesChanged", "the live one is never dropped");
    let nobodys = CutoverTask { live_number: DatabaseNumber(1_999_999_999), ..done.clone() };
    let unknown = drop_task(&restore, &nobodys, Some(backup_ref(&backup)));
    assert_eq!(dropped(&restore, &unknown).await.unwrap(), DatabaseDropped::default());
    let forged = BackupRef { manifest_sha256: Some("0".repeat(64)), ..backup_ref(&backup) };
    let without = dropped(&restore, &drop_task(&restore, &done, Some(forged))).await.unwrap_err();
    assert_eq!(without.reason, "ManifestChanged");
    let theirs = TenantIdentity { tenant: "somebody-else".to_owned(), ..restore.identity() };
    let foreign = dropped(&restore, &DropDatabaseTask { identity: Some(theirs), ..task.clone() }).await.unwrap_err();
    assert_eq!(foreign.reason, "ForeignBackup");
    // The manifest is there, and what it lists is not.
    let data = first_data(&restore.store, &backup).await;
    let bytes = restore.store.get(&data).await.unwrap();
    restore.store.delete(std::slice::from_ref(&data)).await.unwrap();
    assert!(dropped(&restore, &task).await.is_err());
    restore.store.put(&data, bytes, &PutOptions::default()).await.unwrap();
    assert_eq!(restore.oid(&done.previous_database).await, Some(done.live_number.0));

    // With a session on it, which is ended; and once more, which finds nothing.
    let lingering = restore.session("restore", &done.previous_database).await;
    let gone = dropped(&restore, &task).await.unwrap();
    assert_eq!((gone.database.as_ref(), gone.number), (Some(&done.previous_database), Some(done.live_number)));
    assert!(lingering.query("SELECT 1", &[]).await.is_err());
    assert_eq!(restore.oid(&done.previous_database).await, None);
    assert_eq!(dropped(&restore, &task).await.unwrap(), DatabaseDropped::default());
    assert_eq!(restore.oid(&restore.database).await, Some(done.new_number.0));

    // The safety backup is the database: restored as a backup it is the same again.
    let mut again = restore;
    again.uid = another_uid();
    let prepared = again.prepare(&again.restore_task(&backup)).await.unwrap();
    let rows = |text: &str| text.lines().filter(|l| l.starts_with("crm.")).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(rows(&picture(&again, &prepared.new_database).await), rows(&replaced));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drop_that_was_killed_half_way_is_ended_by_the_next() {
    let restore = PostgresRestore::new("halfway").await;
    fill(&restore).await;
    let (done, _) = restored(&restore).await;
    let backup = dumped_safely(&restore, &done).await;
    let grave = sennight_core::names::database_to_drop(&restore.database, &restore.uid);
    let (kept, id) = (ident(&done.previous_database), ident(&grave));
    for statement in [
        format!("ALTER DATABASE {kept} RENAME TO {id}"),
        format!("COMMENT ON DATABASE {id} IS 'sennight.dev/dropping={}'", restore.uid),
        format!("ALTER DATABASE {id} ALLOW_CONNECTIONS false"),
    ] {
        restore.sql("postgres", &statement).await;
    }
    let gone = dropped(&restore, &drop_task(&restore, &done, Some(backup_ref(&backup)))).await.unwrap();
    assert_eq!(gone.number, Some(done.live_number));
    assert_eq!(restore.oid(&grave).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_failed_restore_prepared_is_dropped_by_its_mark_and_a_namesake_stays() {
    let restore = PostgresRestore::new("leftover").await;
    fill(&restore).await;
    let backup = restore.dump().await;
    let prepared = restore.prepare(&restore.restore_task(&backup)).await.unwrap();
    let task = DropDatabaseTask {
        name: "drop-database".to_owned(),
        request_uid: restore.uid.clone(),
        database: restore.target("restore"),
        database_to_drop: DatabaseToDrop {
            name: new_database(&restore.database, &restore.uid),
            number: None,
            mark: Mark::Restore,
        },
        identity: None,
        safety_backup: None,
    };
    let gone = dropped(&restore, &task).await.unwrap();
    assert_eq!((gone.database, gone.number), (Some(prepared.new_database.clone()), Some(prepared.new_number)));
    assert_eq!(restore.oid(&prepared.new_database).await, None);
    let new = ident(&prepared.new_database);
    restore.sql("postgres", &format!("CREATE DATABASE {new}")).await;
    assert_eq!(dropped(&restore, &task).await.unwrap_err().reason, "NameTaken");
    assert!(restore.oid(&prepared.new_database).await.is_some());
    restore.sql("postgres", &format!("DROP DATABASE {new}")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_safety_dump_is_made_of_the_marked_database_only() {
    let restore = PostgresRestore::new("safety").await;
    fill(&restore).await;
    let (done, undo_task) = restored(&restore).await;
    undo(&restore, &undo_task).await.unwrap();
    let gone =
        safety_backup::run(&safety_task(&restore, &done), &restore.context("safety-backup", "pod")).await.unwrap_err();
    assert_eq!((gone.reason.as_str(), gone.verdict), ("DatabasesChanged", Verdict::Refused));
    // A safety backup that a store damaged is no reason to drop anything: it is read back before it is told of.
    let backup = restore.dump().await;
    tamper(&restore.store, &format!("{}manifest.json", backup.prefix), |bytes| bytes[40] ^= 1).await;
    let task = DropDatabaseTask {
        database_to_drop: DatabaseToDrop {
            name: undo_task.previous_database.clone(),
            number: Some(undo_task.live_number),
            mark: Mark::Previous,
        },
        request_uid: undo_task.request_uid.clone(),
        ..drop_task(&restore, &done, Some(backup_ref(&backup)))
    };
    assert!(dropped(&restore, &task).await.is_err());
    assert_eq!(restore.oid(&undo_task.previous_database).await, Some(undo_task.live_number.0));
}
