//! `recover-cutover`: a cut-over that left no report is ended by what the server says, and whoever was taken for dead swaps nothing after that.

use super::swaps::{prepared, serves};
use sennight_core::names::{database_to_drop, previous_database};
use sennight_core::result::{DatabaseDropped, Done, TAKEN_BACK};
use sennight_engine::postgres::failure::RestoreError;
use sennight_engine::postgres::swap::swap;
use sennight_engine::postgres::{Session, ident};
use sennight_engine::restore::Swapped;
use sennight_protocol::cutover::CutoverTask;
use sennight_protocol::drop_database::{DatabaseToDrop, DropDatabaseTask, Mark};
use sennight_storage::ClaimRecord;
use sennight_worker::{TaskError, Verdict, cutover, drop_database, recover_cutover};
use std::time::{Duration, Instant};
use testkit::postgres::restore::PostgresRestore;
use tokio::task::JoinHandle;

/// As the operator's Job of this attempt.
async fn recovered(restore: &PostgresRestore, task: &CutoverTask, attempt: i32) -> Result<Done, TaskError> {
    recover_cutover::run(task, &restore.context(&format!("recover-{attempt}"), "recoverer")).await
}

async fn taken_back(restore: &PostgresRestore, task: &CutoverTask, attempt: i32) {
    let back = recovered(restore, task, attempt).await.unwrap_err();
    assert_eq!((back.reason.as_str(), back.verdict), (TAKEN_BACK, Verdict::Refused), "{back}");
    assert_eq!(restore.oid(&restore.database).await, Some(task.live_number.0));
}

async fn claimed(restore: &PostgresRestore, task: &CutoverTask) {
    let claim = ClaimRecord { job_uid: format!("{}-cutover", restore.uid), pod: "pod".into(), at: chrono::Utc::now() };
    restore.store.claim(&task.request_uid, &claim).await.unwrap();
}

/// Holds a lock on the live database: a swap's first RENAME waits for it, in its open transaction.
async fn held(restore: &PostgresRestore) -> Session {
    let holder = restore.session("super", "postgres").await;
    let comment = format!("BEGIN; COMMENT ON DATABASE {} IS 'held'", ident(&restore.database));
    holder.batch_execute(&comment).await.unwrap();
    holder
}

/// A process of the swap under another name, so that nobody ends its sessions: as late as can be, its transaction is open.
async fn twin(restore: &PostgresRestore, task: &CutoverTask) -> JoinHandle<Result<Swapped, RestoreError>> {
    let name = format!("twin {}", task.request_uid);
    let (ours, application) = (task.clone(), name.clone());
    let twin = tokio::spawn(async move { swap(&ours, &application, Duration::from_secs(5)).await });
    let waiting = format!(
        "SELECT count(*)::text FROM pg_stat_activity WHERE application_name = '{name}' AND query LIKE 'ALTER DATABASE%RENAME%' AND wait_event_type = 'Lock'"
    );
    let deadline = Instant::now() + Duration::from_mins(1);
    while restore.value("postgres", &waiting).await.as_deref() != Some("1") {
        assert!(Instant::now() < deadline, "the swap never began");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    twin
}

/// What the operator clears after a request that was taken back.
async fn dropped(restore: &PostgresRestore, task: &CutoverTask) -> DatabaseDropped {
    let to_drop = DatabaseToDrop { name: task.new_database.clone(), number: None, mark: Mark::Restore };
    let task = DropDatabaseTask {
        name: "drop-database".to_owned(),
        request_uid: task.request_uid.clone(),
        database: task.database.clone(),
        identity: None,
        database_to_drop: to_drop,
        safety_backup: None,
    };
    match drop_database::run(&task, &restore.context("drop-database", "pod")).await.unwrap() {
        Done::DatabaseDropped(dropped) => dropped,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn i2_whoever_was_taken_for_dead_swaps_nothing_after_settle_has_said_so() {
    let restore = PostgresRestore::new("recover").await;
    let task = prepared(&restore).await;
    claimed(&restore, &task).await;
    let (holder, twin) = (held(&restore).await, twin(&restore, &task).await);
    taken_back(&restore, &task, 1).await;
    holder.batch_execute("ROLLBACK").await.unwrap();
    let late = twin.await.unwrap();
    assert!(late.is_err(), "{late:?}");
    assert_eq!(serves(&restore).await, "live/live");
    // Of the very pod that has the claim, and of one that asks nobody.
    let again = restore.cutover(&task, "pod").await.unwrap_err();
    assert_eq!((again.reason.as_str(), again.verdict), ("ClaimHeld", Verdict::Unknown), "{again}");
    let bare = swap(&task, "nobody's", Duration::from_secs(5)).await.unwrap_err();
    assert_eq!(bare.reason(), "DatabasesChanged");
    // The word stays the same however often it is asked for, also when nothing is left.
    taken_back(&restore, &task, 2).await;
    assert_eq!(restore.oid(&database_to_drop(&restore.database, &restore.uid)).await, Some(task.new_number.0));
    assert_eq!(dropped(&restore, &task).await.number, Some(task.new_number));
    taken_back(&restore, &task, 3).await;
    assert_eq!(restore.databases().await, format!("{} {}", restore.database, task.live_number));
    assert_eq!(serves(&restore).await, "live/live");
}

#[tokio::test(flavor = "multi_thread")]
async fn i2_a_swap_that_took_effect_is_found_and_one_that_was_never_claimed_never_begins() {
    let restore = PostgresRestore::new("recover").await;
    let task = prepared(&restore).await;
    restore.cutover(&task, "pod").await.unwrap();
    let databases = restore.databases().await;
    let done = recovered(&restore, &task, 1).await.unwrap();
    assert!(matches!(done, Done::CutOver { downtime_millis: -1, .. }), "{done:?}");
    assert_eq!(restore.databases().await, databases);

    let restore = PostgresRestore::new("unclaimed").await;
    let task = prepared(&restore).await;
    taken_back(&restore, &task, 1).await;
    let since = Instant::now();
    let late = restore.cutover(&task, "pod").await.unwrap_err();
    assert_eq!((late.reason.as_str(), late.verdict), ("ClaimHeld", Verdict::Unknown), "{late}");
    assert!(since.elapsed() < Duration::from_secs(30), "nothing is left to watch");
    assert_eq!(serves(&restore).await, "live/live");
    dropped(&restore, &task).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i2_databases_that_somebody_else_changed_are_for_a_person() {
    let restore = PostgresRestore::new("strange").await;
    let task = prepared(&restore).await;
    claimed(&restore, &task).await;
    let away = format!("{}_away", restore.database);
    let rename = format!("ALTER DATABASE {} RENAME TO {}", ident(&task.new_database), ident(&away));
    restore.sql("postgres", &rename).await;
    let before = restore.databases().await;
    let unknown = recovered(&restore, &task, 1).await.unwrap_err();
    assert_eq!((unknown.reason.as_str(), unknown.verdict), ("DatabasesChanged", Verdict::Unknown), "{unknown}");
    assert_eq!(restore.databases().await, before);
    restore.sql("postgres", &format!("DROP DATABASE {}", ident(&away))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i2_an_undo_that_was_taken_back_never_swaps_and_leaves_the_way_back_open() {
    let restore = PostgresRestore::new("undone").await;
    let done = prepared(&restore).await;
    restore.cutover(&done, "pod").await.unwrap();
    let undo = |uid: &str| CutoverTask {
        request_uid: uid.to_owned(),
        new_database: done.previous_database.clone(),
        previous_database: previous_database(&restore.database, uid),
        live_number: done.new_number,
        new_number: done.live_number,
        undo_of: Some(restore.uid.clone()),
        ..done.clone()
    };
    let (first, second) = (undo("1f3b2c1d-aaaa-4bbb-8ccc-0123456789ab"), undo("2f3b2c1d-aaaa-4bbb-8ccc-0123456789ab"));
    claimed(&restore, &first).await;
    let (holder, twin) = (held(&restore).await, twin(&restore, &first).await);
    taken_back(&restore, &first, 1).await;
    holder.batch_execute("ROLLBACK").await.unwrap();
    // It goes on where it was, finds both databases under their names, and must not commit.
    let late = twin.await.unwrap().unwrap_err();
    assert_eq!(late.reason(), "DatabasesChanged", "{late}");
    taken_back(&restore, &first, 2).await;
    let bare = swap(&first, "nobody's", Duration::from_secs(5)).await.unwrap_err();
    assert_eq!(bare.reason(), "DatabasesChanged");
    assert_eq!(serves(&restore).await, "copied/copied");
    assert_eq!(restore.oid(&done.previous_database).await, Some(done.live_number.0), "the way back is where it was");
    // Told as done, what is done stays so; and another request may still go back.
    let told = restore.cutover(&done, "pod-later").await.unwrap();
    assert!(matches!(told, Done::CutOver { downtime_millis: -1, .. }), "{told:?}");
    cutover::run(&second, &restore.context("undo", "pod")).await.unwrap();
    assert_eq!(serves(&restore).await, "live/live");
}
