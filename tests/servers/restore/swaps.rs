//! The cut-over: once, whole, whatever is killed or cut.

use super::severed::{Break, severed};
use sennight_core::result::Done;
use sennight_engine::postgres::swap::{swap, swap_state};
use sennight_engine::postgres::{EngineError, connect, ident};
use sennight_engine::restore::SwapState;
use sennight_protocol::cutover::CutoverTask;
use sennight_protocol::task::Task;
use sennight_worker::Verdict;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use testkit::postgres::restore::PostgresRestore;

/// Two tables that say the same: `copied` in the backup and the prepared database, `live` in the live one.
pub async fn prepared(restore: &PostgresRestore) -> CutoverTask {
    let sql =
        "CREATE TABLE public.a (v text); CREATE TABLE public.b (v text); GRANT SELECT ON public.a, public.b TO PUBLIC;
        INSERT INTO public.a VALUES ('copied'); INSERT INTO public.b VALUES ('copied')";
    restore.sql_as("owner", &restore.database, sql).await;
    let backup = restore.dump().await;
    let sql = "UPDATE public.a SET v = 'live'; UPDATE public.b SET v = 'live'";
    restore.sql_as("owner", &restore.database, sql).await;
    restore.prepare(&restore.restore_task(&backup)).await.unwrap()
}

pub async fn serves(restore: &PostgresRestore) -> String {
    restore.value(&restore.database, "SELECT a.v || '/' || b.v FROM public.a, public.b").await.unwrap()
}

async fn stands(restore: &PostgresRestore, task: &CutoverTask) -> SwapState {
    swap_state(&restore.session("super", "postgres").await, task).await.unwrap()
}

/// Every pod's claim is put and no session may be left: the swap's own ones have gone.
async fn wait_until_gone(restore: &PostgresRestore, application: &str) {
    for _ in 0..200 {
        let query = format!("SELECT count(*)::text FROM pg_stat_activity WHERE application_name = '{application}'");
        if restore.value("postgres", &query).await.as_deref() == Some("0") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{application} is still there");
}

#[tokio::test(flavor = "multi_thread")]
async fn i3_clients_that_hammer_through_the_swap_see_the_old_or_the_new_database_whole() {
    let restore = Arc::new(PostgresRestore::new("hammer").await);
    let task = prepared(&restore).await;
    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..8).map(|n| tokio::spawn(client(restore.clone(), stop.clone(), n % 2 == 1))).collect();
    tokio::time::sleep(Duration::from_millis(700)).await;
    let done = restore.cutover(&task, "pod").await.unwrap();
    let swapped = Instant::now();
    let Done::CutOver { downtime_millis, .. } = done else { panic!("{done:?}") };
    assert!((0..5_000).contains(&downtime_millis), "{downtime_millis} ms under load");
    tokio::time::sleep(Duration::from_millis(700)).await;
    stop.store(true, Ordering::SeqCst);
    let (mut before, mut after) = (0, 0);
    for client in clients {
        for (started, seen) in client.await.unwrap() {
            match seen.as_str() {
                "live live" => {
                    assert!(started < swapped, "the old database after the swap was told");
                    before += 1;
                }
                "copied copied" => after += 1,
                // Ended by the swap, or the name was not there at that instant: to be tried again, as it was.
                "DatabaseMissing" | "ConnectionLost" | "ServerBusy" => {}
                mixed => panic!("a client saw {mixed:?}"),
            }
        }
    }
    assert!(before > 0 && after > 0, "{before} before and {after} after");
    println!("downtime {downtime_millis} ms, {before} answers before, {after} after");
}

/// Connects, reads both tables (half of the clients sleep in between), leaves, and again.
async fn client(restore: Arc<PostgresRestore>, stop: Arc<AtomicBool>, slow: bool) -> Vec<(Instant, String)> {
    let target = restore.target("app");
    let mut seen = Vec::new();
    while !stop.load(Ordering::SeqCst) {
        let started = Instant::now();
        let looked = async {
            let session = connect(&target, &target.database, "tenant").await?;
            let failed = |e| EngineError::query("reading", e);
            let a: String = session.query_one("SELECT v FROM public.a", &[]).await.map_err(failed)?.get(0);
            if slow {
                session.query("SELECT pg_sleep(0.1)", &[]).await.map_err(failed)?;
            }
            let b: String = session.query_one("SELECT v FROM public.b", &[]).await.map_err(failed)?.get(0);
            Ok::<_, EngineError>(format!("{a} {b}"))
        };
        seen.push((started, looked.await.unwrap_or_else(|e: EngineError| e.reason().to_owned())));
    }
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn i2_sixteen_cutovers_at_once_and_one_more_have_one_effect() {
    let restore = Arc::new(PostgresRestore::new("once").await);
    let task = prepared(&restore).await;
    let pods: Vec<_> = (0..16)
        .map(|n| {
            let (restore, task) = (restore.clone(), task.clone());
            tokio::spawn(async move { restore.cutover(&task, &format!("pod-{n}")).await })
        })
        .collect();
    let mut measured = 0;
    for pod in pods {
        // A pod without the claim tells what the winner did.
        match pod.await.unwrap().unwrap() {
            Done::CutOver { downtime_millis, .. } => measured += i32::from(downtime_millis >= 0),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(measured, 1, "one swapped, the others found it so");
    let after = restore.databases().await;
    assert_eq!(stands(&restore, &task).await, SwapState::After);
    let again = restore.cutover(&task, "pod-later").await.unwrap();
    assert!(matches!(again, Done::CutOver { downtime_millis: -1, .. }), "{again:?}");
    assert_eq!(restore.databases().await, after);
    assert_eq!(serves(&restore).await, "copied/copied");
}

#[tokio::test(flavor = "multi_thread")]
async fn i2_an_undone_swap_is_not_done_again_by_a_replay() {
    let restore = PostgresRestore::new("replay").await;
    let task = prepared(&restore).await;
    restore.cutover(&task, "pod").await.unwrap();
    let (live, kept) = (ident(&restore.database), ident(&restore.previous_database()));
    restore
        .sql("postgres", &format!("ALTER DATABASE {live} RENAME TO undone; ALTER DATABASE {kept} RENAME TO {live}"))
        .await;
    let before = restore.databases().await;
    let refused = restore.cutover(&task, "pod").await.unwrap_err();
    // It did take effect once: "nothing was changed" would be wrong.
    assert_eq!((refused.reason.as_str(), refused.verdict), ("ClaimHeld", Verdict::Unknown));
    assert_eq!(restore.databases().await, before);
    restore.sql("postgres", "DROP DATABASE undone").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i2_a_claim_that_another_pod_holds_is_never_acted_on() {
    let restore = PostgresRestore::new("held").await;
    let task = prepared(&restore).await;
    let long_ago = chrono::Utc::now() - chrono::TimeDelta::hours(1);
    let claim = sennight_storage::ClaimRecord { job_uid: "job".into(), pod: "other".into(), at: long_ago };
    restore.store.claim(&restore.uid, &claim).await.unwrap();
    let unknown = restore.cutover(&task, "pod").await.unwrap_err();
    assert_eq!((unknown.reason.as_str(), unknown.verdict), ("ClaimHeld", Verdict::Unknown));
    assert!(unknown.message.contains("other") && unknown.message.contains("still serves the old"), "{unknown}");
    assert_eq!(stands(&restore, &task).await, SwapState::Before);
}

#[tokio::test(flavor = "multi_thread")]
async fn i2_databases_that_were_changed_before_anybody_claimed_are_refused() {
    let restore = PostgresRestore::new("changed").await;
    let task = prepared(&restore).await;
    restore.sql("postgres", &format!("ALTER DATABASE {} RENAME TO elsewhere", ident(&task.new_database))).await;
    let refused = restore.cutover(&task, "pod").await.unwrap_err();
    assert_eq!((refused.reason.as_str(), refused.verdict), ("DatabasesChanged", Verdict::Refused));
    restore.sql("postgres", "DROP DATABASE elsewhere").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i2_a_pod_that_starts_after_its_time_swaps_nothing() {
    let restore = PostgresRestore::new("late").await;
    let task = prepared(&restore).await;
    let late = CutoverTask { start_by: Some(chrono::Utc::now() - chrono::TimeDelta::seconds(1)), ..task.clone() };
    let refused = restore.cutover(&late, "pod").await.unwrap_err();
    assert_eq!((refused.reason.as_str(), refused.verdict), ("StartedTooLate", Verdict::Refused));
    assert_eq!(stands(&restore, &task).await, SwapState::Before);
    // Nor does a twin that began in time and comes to its claim only now.
    let holder = restore.store.claim_of(&restore.uid).await.unwrap().unwrap();
    assert_eq!(holder.pod, "pod");
    let soon = CutoverTask { start_by: Some(chrono::Utc::now() + chrono::TimeDelta::minutes(5)), ..task.clone() };
    let long_ago = sennight_storage::ClaimRecord { at: holder.at - chrono::TimeDelta::hours(1), ..holder };
    let key = format!("backups/claims/{}", restore.uid);
    restore.store.delete(std::slice::from_ref(&key)).await.unwrap();
    restore.store.claim(&restore.uid, &long_ago).await.unwrap();
    let twin = restore.cutover(&soon, "twin").await.unwrap_err();
    assert_eq!((twin.reason.as_str(), twin.verdict), ("ClaimHeld", Verdict::Unknown));
    assert_eq!(stands(&restore, &task).await, SwapState::Before);
    restore.store.delete(&[key]).await.unwrap();
    restore.cutover(&soon, "pod").await.unwrap();
    let told = restore.cutover(&late, "pod-later").await.unwrap();
    assert!(
        matches!(told, Done::CutOver { downtime_millis: -1, .. }),
        "what took effect is told however late: {told:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn i3_a_killed_worker_in_the_open_swap_leaves_the_old_database() {
    let restore = PostgresRestore::new("killed").await;
    let task = prepared(&restore).await;
    // A lock of somebody who is not on the live database: the rename waits for it, and the swap stands open.
    let holder = restore.session("super", "postgres").await;
    let comment = format!("BEGIN; COMMENT ON DATABASE {} IS 'held'", ident(&restore.database));
    holder.batch_execute(&comment).await.unwrap();
    let argv = Task::Cutover(task.clone()).to_argv(restore.store.target()).unwrap();
    let mut worker = Command::new(testkit::binary("sennight"))
        .args(argv)
        .args(["--job-uid", "job", "--pod", "pod"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let application = format!("sennight cutover {}", restore.uid);
    let waiting = format!(
        "SELECT count(*)::text FROM pg_stat_activity WHERE application_name = '{application}' AND query LIKE 'ALTER DATABASE%RENAME%' AND state = 'active'"
    );
    let deadline = Instant::now() + Duration::from_mins(1);
    while restore.value("postgres", &waiting).await.as_deref() == Some("0") {
        assert!(Instant::now() < deadline, "the swap never began");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    worker.kill().unwrap();
    worker.wait().unwrap();
    wait_until_gone(&restore, &application).await;
    assert_eq!(stands(&restore, &task).await, SwapState::Before);
    assert_eq!(serves(&restore).await, "live/live");
    holder.batch_execute("ROLLBACK").await.unwrap();
    // The same pod's next start has the claim already, and may end what it began: it took no effect before.
    let context = sennight_worker::WorkerContext { job_uid: "job".into(), ..restore.context("x", "pod") };
    sennight_worker::cutover::run(&task, &context).await.unwrap();
    assert_eq!(serves(&restore).await, "copied/copied");
}

#[tokio::test(flavor = "multi_thread")]
async fn i3_sessions_that_nobody_may_end_keep_the_old_database_and_are_named() {
    let restore = PostgresRestore::new("stay").await;
    let task = prepared(&restore).await;
    let (blocker, tenant) =
        (restore.session("super", &restore.database).await, restore.session("app", &restore.database).await);
    let stay = restore.cutover(&task, "pod").await.unwrap_err();
    assert_eq!((stay.reason.as_str(), stay.verdict), ("SessionsStay", Verdict::Refused));
    assert!(stay.message.contains("postgres (test)"), "{stay}");
    assert_eq!(serves(&restore).await, "live/live");
    blocker.query("SELECT 1", &[]).await.unwrap();
    tenant.query("SELECT 1", &[]).await.expect("nobody was sent away for a swap that could not be");
}

#[tokio::test(flavor = "multi_thread")]
async fn i3_a_commit_whose_answer_is_lost_is_found_committed() {
    let restore = PostgresRestore::new("answer").await;
    let mut task = prepared(&restore).await;
    task.database = severed(&task.database, Break::After).await;
    let done = restore.cutover(&task, "pod").await.unwrap();
    assert!(matches!(done, Done::CutOver { downtime_millis: 0.., .. }), "{done:?}");
    assert_eq!(serves(&restore).await, "copied/copied");
}

#[tokio::test(flavor = "multi_thread")]
async fn i3_a_commit_that_never_arrived_is_found_not_committed() {
    let restore = PostgresRestore::new("noanswer").await;
    let mut task = prepared(&restore).await;
    task.database = severed(&task.database, Break::Before).await;
    let lost = restore.cutover(&task, "pod").await.unwrap_err();
    assert_eq!(lost.reason, "ConnectionLost");
    assert!(lost.message.contains("not carried out"), "{lost}");
    assert_eq!(serves(&restore).await, "live/live");
}

#[tokio::test(flavor = "multi_thread")]
async fn i2_an_outcome_that_nobody_can_tell_is_unknown() {
    let restore = PostgresRestore::new("unknown").await;
    let mut task = prepared(&restore).await;
    task.database = severed(&task.database, Break::ForGood).await;
    let unsettled = swap(&task, "test swap", Duration::from_secs(2)).await.unwrap_err();
    assert_eq!(unsettled.reason(), "Unsettled");
    assert!(unsettled.unknown());
    assert!(unsettled.to_string().contains(&task.new_number.to_string()), "{unsettled}");
}

#[tokio::test(flavor = "multi_thread")]
async fn i3_a_property_that_cannot_be_carried_undoes_the_whole_swap() {
    let restore = PostgresRestore::new("property").await;
    let task = prepared(&restore).await;
    // Set after prepare has rehearsed: only a superuser may set it.
    restore.sql("postgres", &format!("ALTER DATABASE {} SET log_statement = 'all'", ident(&restore.database))).await;
    let denied = swap(&task, "test swap", Duration::from_secs(5)).await.unwrap_err();
    assert_eq!(denied.reason(), "PermissionDenied");
    assert_eq!(stands(&restore, &task).await, SwapState::Before);
    assert_eq!(serves(&restore).await, "live/live");
    // A cut-over does not come so far.
    let refused = restore.cutover(&task, "pod").await.unwrap_err();
    assert_eq!((refused.reason.as_str(), refused.verdict), ("SettingsDenied", Verdict::Refused));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_between_prepare_and_the_swap_and_only_the_swap_minds_is_refused() {
    let restore = PostgresRestore::new("between").await;
    let task = prepared(&restore).await;
    let (database, gid) = (&restore.database, format!("{}-2pc", restore.name));
    let sub = format!("SUBSCRIPTION \"{database}\"");
    let create = format!("CREATE {sub} CONNECTION 'host=nowhere.invalid' PUBLICATION p WITH (connect = false)");
    for (reason, mischief, mend) in [
        (
            "LogicalSlots",
            format!("SELECT pg_create_logical_replication_slot('{database}', 'pgoutput')"),
            vec![format!("SELECT pg_drop_replication_slot('{database}')")],
        ),
        ("Subscriptions", create, vec![format!("ALTER {sub} SET (slot_name = NONE)"), format!("DROP {sub}")]),
        (
            "PreparedTransactions",
            format!("BEGIN; CREATE TABLE public.x (); PREPARE TRANSACTION '{gid}'"),
            vec![format!("ROLLBACK PREPARED '{gid}'")],
        ),
    ] {
        restore.sql(database, &mischief).await;
        let (before, since) = (restore.databases().await, Instant::now());
        // Each as the one Job of a request of its own would: what is refused is not tried again.
        restore.store.delete(&[format!("backups/claims/{}", restore.uid)]).await.unwrap();
        let refused = restore.cutover(&task, "pod").await.unwrap_err();
        assert_eq!((refused.reason.as_str(), refused.verdict), (reason, Verdict::Refused), "{refused}");
        assert_eq!(since.elapsed() > Duration::from_secs(7), reason == "PreparedTransactions", "that one may pass");
        assert_eq!(restore.databases().await, before);
        // The same pod once more: what its first start did, nobody has told it.
        let again = restore.cutover(&task, "pod").await.unwrap_err();
        assert_eq!((again.reason.as_str(), again.verdict), (reason, Verdict::Unknown), "{again}");
        for statement in mend {
            restore.sql(database, &statement).await;
        }
    }
    assert_eq!(serves(&restore).await, "live/live");
    restore.cutover(&task, "pod").await.unwrap();
    assert_eq!(serves(&restore).await, "copied/copied");
}
