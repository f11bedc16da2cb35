//! Dumps that are cut off: whatever ends them, no backup exists that is not whole (I4), the reason is told, and the next
//! run works.

use sennight_engine::dump::PageRange;
use sennight_engine::postgres::read::Rows;
use sennight_engine::postgres::snapshot;
use sennight_protocol::backup::VerifyTask;
use sennight_protocol::report::{EXIT_OK, EXIT_REFUSED, EXIT_RETRY};
use sennight_protocol::report::{Outcome, TaskReport};
use sennight_protocol::task::Task;
use sennight_storage::Store;
use sennight_worker::{Verdict, WorkerEnv, dump as dumping, run_until};
use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::time::Duration;
use testkit::proxy::{Fault, Proxy};
use testkit::*;
use tokio_util::sync::CancellationToken;

/// More than an upload buffers, and random enough not to shrink.
const BIG: &str = "CREATE TABLE big AS SELECT i, sha512(i::text::bytea) AS h FROM generate_series(1, 400000) i";
const STALL_AFTER: u64 = 12 << 20;

#[tokio::test]
async fn i4_a_dump_whose_connection_the_server_ends_leaves_no_recovery_point() {
    let (database, bucket) = (Database::create().await, Bucket::create().await);
    database.run(BIG).await;
    let proxy =
        Proxy::start("127.0.0.1", bucket.target.endpoint.as_ref().unwrap(), Fault::StallAfter(STALL_AFTER)).await;
    let slow = Store::connect(&bucket.through(proxy.endpoint())).await.unwrap();

    let ending = async {
        proxy.wait_for(STALL_AFTER).await;
        database.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'sennight-dump' AND datname = current_database()").await;
        proxy.heal();
    };
    let (dumped, ()) = tokio::join!(dump(&database, &slow), ending);

    let error = dumped.unwrap_err();
    assert_eq!((error.reason.as_str(), error.verdict), ("ConnectionLost", Verdict::Retry), "{error}");
    assert_eq!(bucket.manifests().await, 0);
    let backup = dump(&database, &bucket.store().await).await.unwrap();
    assert_eq!(backup.rows, 400_000);
    verify(&backup, &bucket.store().await).await.unwrap();
}

#[tokio::test]
async fn i4_a_killed_dump_leaves_no_recovery_point() {
    let (database, bucket) = (Database::create().await, Bucket::create().await);
    database.run(BIG).await;
    let proxy =
        Proxy::start("127.0.0.1", bucket.target.endpoint.as_ref().unwrap(), Fault::StallAfter(STALL_AFTER)).await;
    let argv =
        Task::Dump(vec![dump_task("acme", &database.target)]).to_argv(&bucket.through(proxy.endpoint())).unwrap();

    let mut worker = tokio::process::Command::new(testkit::binary("sennight"))
        .args(&argv)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    proxy.wait_for(STALL_AFTER).await;
    worker.start_kill().unwrap();
    assert_eq!(worker.wait().await.unwrap().signal(), Some(9));
    proxy.heal();

    assert_eq!(bucket.manifests().await, 0);
    let catalogue = bucket.store().await.catalogue("tenants", "acme").await.unwrap();
    assert!(catalogue.backups.is_empty() && catalogue.damaged.is_empty());
    let backup = dump(&database, &bucket.store().await).await.unwrap();
    assert_eq!((backup.rows, bucket.manifests().await), (400_000, 1));
}

#[tokio::test]
async fn i4_a_dump_told_to_end_gives_its_uploads_up_and_reports_it() {
    let (database, bucket) = (Database::create().await, Bucket::create().await);
    database.run(BIG).await;
    let proxy =
        Proxy::start("127.0.0.1", bucket.target.endpoint.as_ref().unwrap(), Fault::StallAfter(STALL_AFTER)).await;
    let argv = Task::Dump(vec![dump_task("acme", &database.target), dump_task("next", &database.target)])
        .to_argv(&bucket.through(proxy.endpoint()))
        .unwrap();

    let worker = tokio::process::Command::new(testkit::binary("sennight"))
        .args(&argv)
        .env("SENNIGHT_JOB_UID", "job-1")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    proxy.wait_for(STALL_AFTER).await;
    let pid = worker.id().unwrap().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    proxy.heal();
    let ended = worker.wait_with_output().await.unwrap().status;

    assert_eq!(ended.code(), Some(EXIT_RETRY));
    assert_eq!(bucket.manifests().await, 0);
    for task in ["acme", "next"] {
        assert_eq!(failure(&bucket.store().await.report("job-1", task).await.unwrap().unwrap()), ("Cancelled", true));
    }
}

#[tokio::test]
async fn i4_a_dump_that_misses_its_deadline_leaves_no_recovery_point() {
    let (database, bucket) = (Database::create().await, Bucket::create().await);
    database.run(BIG).await;
    let proxy =
        Proxy::start("127.0.0.1", bucket.target.endpoint.as_ref().unwrap(), Fault::StallAfter(STALL_AFTER)).await;
    let slow = Store::connect(&bucket.through(proxy.endpoint())).await.unwrap();
    let mut task = dump_task("acme", &database.target);
    task.deadline_seconds = 6;

    let healing = async {
        tokio::time::sleep(Duration::from_secs(6)).await;
        proxy.heal();
    };
    let context = context(&slow);
    let (dumped, ()) = tokio::join!(dump_with(&task, &context), healing);

    let error = dumped.unwrap_err();
    assert_eq!((error.reason.as_str(), error.verdict), ("DeadlineExceeded", Verdict::Retry), "{error}");
    assert_eq!(bucket.manifests().await, 0);
}

#[tokio::test]
async fn i4_a_full_bucket_is_told_as_such_and_leaves_no_recovery_point() {
    let (database, bucket) = (Database::create().await, Bucket::create().await);
    database.run(BIG).await;
    let proxy =
        Proxy::start("127.0.0.1", bucket.target.endpoint.as_ref().unwrap(), Fault::FullAfter(STALL_AFTER)).await;
    let full = Store::connect(&bucket.through(proxy.endpoint())).await.unwrap();

    let error = dump(&database, &full).await.unwrap_err();

    assert_eq!((error.reason.as_str(), error.verdict), ("OutOfSpace", Verdict::Retry), "{error}");
    assert_eq!(bucket.manifests().await, 0);
    let backup = dump(&database, &bucket.store().await).await.unwrap();
    verify(&backup, &bucket.store().await).await.unwrap();
}

fn failure(report: &TaskReport) -> (&str, bool) {
    match &report.outcome {
        Outcome::Failed { reason, retryable, .. } => (reason, *retryable),
        other => panic!("{} came to {other:?}", report.task),
    }
}

#[tokio::test]
async fn one_tenant_that_cannot_be_dumped_fails_alone_and_a_second_pod_repeats_nothing() {
    let (database, bucket) = (Database::create().await, Bucket::create().await);
    let store = bucket.store().await;
    database.run("CREATE TABLE t AS SELECT 1 AS i").await;
    let mut missing = dump_task("gone", &Database::existing("not there").target);
    missing.database.credentials_dir = database.target.credentials_dir.clone();
    let work = Task::Dump(vec![missing, dump_task("acme", &database.target)]);
    let pod = || WorkerEnv { job_uid: "job-1".to_owned(), pod: "pod".to_owned() };

    let first = run_until(work.clone(), bucket.target.clone(), pod(), CancellationToken::new()).await;
    let second = run_until(work, bucket.target.clone(), pod(), CancellationToken::new()).await;

    assert_eq!((first, second), (EXIT_REFUSED, EXIT_REFUSED));
    assert_eq!(bucket.manifests().await, 1, "the second pod found the first one's report");
    assert_eq!(failure(&store.report("job-1", "gone").await.unwrap().unwrap()), ("DatabaseMissing", false));
    let report = store.report("job-1", "acme").await.unwrap().unwrap();
    assert!(matches!(report.outcome, Outcome::Succeeded(_)), "{report:?}");
}

#[tokio::test]
async fn i4_verify_finds_a_changed_byte_and_a_missing_object() {
    let (database, bucket) = (Database::create().await, Bucket::create().await);
    let store = bucket.store().await;
    database.run("CREATE TABLE t AS SELECT i FROM generate_series(1, 1000) i").await;
    let backup = dump(&database, &store).await.unwrap();
    for object in ["data/pack-0001.zst", "schema.pgdump", "manifest.json"] {
        let key = format!("{}{object}", backup.prefix);
        let whole = store.get(&key).await.unwrap().to_vec();
        let mut bad = whole.clone();
        let middle = bad.len() / 2;
        bad[middle] ^= 0x20;
        bucket.overwrite(&key, bad).await;
        let error = verify(&backup, &store).await.unwrap_err();
        assert_eq!(error.verdict, Verdict::Refused, "{object}: {error}");
        bucket.overwrite(&key, whole[..whole.len() - 1].to_vec()).await;
        assert_eq!(verify(&backup, &store).await.unwrap_err().verdict, Verdict::Refused, "{object}");
        bucket.overwrite(&key, whole).await;
        verify(&backup, &store).await.unwrap();
    }
    store.delete(&[format!("{}data/pack-0001.zst", backup.prefix)]).await.unwrap();
    assert_eq!(verify(&backup, &store).await.unwrap_err().reason, "NotFound");
    let task = VerifyTask { name: "v".to_owned(), backup: backup_ref(&backup) };
    let code = run_until(
        Task::Verify(vec![task]),
        bucket.target.clone(),
        WorkerEnv { job_uid: "job-2".to_owned(), pod: "pod".to_owned() },
        CancellationToken::new(),
    );
    assert_eq!(code.await, EXIT_REFUSED);
}

#[tokio::test]
async fn ranges_of_pages_hold_each_row_once_while_rows_move() {
    let database = Database::create().await;
    database.run("CREATE TABLE t AS SELECT i, repeat('x', 500) AS pad FROM generate_series(1, 5000) i").await;
    let leader = snapshot::open(&database.target, "sennight-dump", Duration::from_secs(5)).await.unwrap();
    // Every row gets a new place behind the snapshot's back.
    database.run("UPDATE t SET i = i + 1000000; DELETE FROM t WHERE i % 2 = 0").await;
    database.run("VACUUM t").await;
    let table = &leader.inventory.tables[0];
    let mut seen = BTreeSet::new();
    for range in [(0, Some(100)), (100, Some(101)), (101, Some(250)), (250, None)] {
        let range = PageRange { from: range.0, to: range.1 };
        let mut rows = Rows::open(&leader.session, table, Some(range), false, 4096).await.unwrap();
        while let Some(block) = rows.next().await.unwrap() {
            assert!(block.raw.len() <= 4096 && block.raw.ends_with(b"\n"));
            for line in String::from_utf8(block.raw.to_vec()).unwrap().lines() {
                assert!(seen.insert(line.split('\t').next().unwrap().parse::<i64>().unwrap()), "{line} twice");
            }
        }
    }
    assert_eq!(seen, (1..=5000).collect());
    snapshot::finish(leader.session).await.unwrap();
}

#[tokio::test]
async fn a_row_larger_than_a_frame_is_a_frame_by_itself() {
    let (database, bucket) = (Database::create().await, Bucket::create().await);
    let store = bucket.store().await;
    database
        .run("CREATE TABLE t AS SELECT i, repeat(md5(i::text), CASE WHEN i = 2 THEN 400000 ELSE 1 END) AS v FROM generate_series(1, 3) i")
        .await;

    let backup = dump(&database, &store).await.unwrap();
    let manifest = manifest(&backup, &store).await;

    let rows: Vec<i64> = table(&manifest, "t").frames.iter().map(|f| f.rows).collect();
    assert_eq!(rows, [1, 1, 1]);
    assert_eq!(sorted_lines(&copied(&backup, &store, table(&manifest, "t")).await), database.rows("t").await);
}

#[tokio::test]
async fn i9_no_password_stands_in_the_arguments_or_the_environment_of_a_process() {
    let (plain, bucket) = (Database::create().await, Bucket::create().await);
    let role = unique("r_");
    let password = unique("pass word:\\");
    plain.run(&format!("CREATE ROLE {role} LOGIN SUPERUSER PASSWORD '{password}'")).await;
    // Enough for pg_dump to be seen at work.
    plain.run("DO $$ BEGIN FOR i IN 1..400 LOOP EXECUTE format('CREATE TABLE t%s (i int)', i); END LOOP; END $$").await;
    let database = plain.seen_by(&role, &password);
    let argv = Task::Dump(vec![dump_task("acme", &database.target)]).to_argv(&bucket.target).unwrap();
    let mut worker =
        tokio::process::Command::new(testkit::binary("sennight")).args(&argv).stdout(Stdio::null()).spawn().unwrap();
    let (worker_pid, secret) = (worker.id().unwrap(), password.clone());
    let s3_secret = env("SENNIGHT_TEST_S3_SECRET_KEY");
    let watching = tokio::task::spawn_blocking(move || watch_processes(worker_pid, &[&secret, &s3_secret]));

    let status = worker.wait().await.unwrap();

    assert_eq!(status.code(), Some(EXIT_OK));
    let seen = watching.await.unwrap();
    assert!(seen.pg_dump > 0, "pg_dump was never seen");
    assert_eq!(seen.leaks, Vec::<String>::new());
    for key in bucket.keys().await {
        let body = bucket.store().await.get(&key).await.unwrap();
        assert!(!String::from_utf8_lossy(&body).contains(&password), "{key}");
    }
}

struct Seen {
    pg_dump: usize,
    leaks: Vec<String>,
}

/// Reads the arguments of the worker and its children, and the environment of the children, until the worker is gone.
/// (The worker's own environment is the test's, which holds the test's passwords.)
fn watch_processes(worker: u32, secrets: &[&str]) -> Seen {
    let mut seen = Seen { pg_dump: 0, leaks: Vec::new() };
    let read = |pid: &str, what: &str| {
        String::from_utf8_lossy(&std::fs::read(format!("/proc/{pid}/{what}")).unwrap_or_default()).into_owned()
    };
    while std::fs::read_to_string(format!("/proc/{worker}/stat")).is_ok_and(|stat| !stat.contains(") Z ")) {
        let children = read(&worker.to_string(), &format!("task/{worker}/children"));
        let all_threads: Vec<String> = std::fs::read_dir(format!("/proc/{worker}/task"))
            .into_iter()
            .flatten()
            .flatten()
            .map(|task| read(&worker.to_string(), &format!("task/{}/children", task.file_name().to_string_lossy())))
            .collect();
        let mut texts = vec![read(&worker.to_string(), "cmdline")];
        for child in children.split_whitespace().chain(all_threads.iter().flat_map(|c| c.split_whitespace())) {
            let arguments = read(child, "cmdline");
            if arguments.contains("pg_dump") && arguments.contains("--snapshot=") {
                seen.pg_dump += 1;
                texts.push(read(child, "environ"));
            }
            texts.push(arguments);
        }
        for text in texts {
            if let Some(secret) = secrets.iter().find(|secret| text.contains(**secret)) {
                seen.leaks.push(text.replace(*secret, "<secret>"));
            }
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    seen
}

#[tokio::test]
async fn a_task_that_contradicts_itself_is_refused() {
    let (database, bucket) = (Database::create().await, Bucket::create().await);
    let store = bucket.store().await;
    let mut other = dump_task("acme", &database.target);
    other.identity.database = "another tenant's".to_owned();
    let mut zone = dump_task("acme", &database.target);
    zone.time_zone = "Mars/Olympus".to_owned();
    for task in [other, zone] {
        let error = dumping::run(&task, &context(&store)).await.unwrap_err();
        assert_eq!((error.reason.as_str(), error.verdict), ("InvalidTask", Verdict::Refused), "{error}");
    }
}
