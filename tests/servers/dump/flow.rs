//! How rows flow: no faster than the server may be read, no further than the store takes them, many tables by one request,
//! several tenants at once.

use sennight_engine::postgres::read::{Rows, Source};
use sennight_engine::postgres::snapshot;
use sennight_protocol::report::EXIT_OK;
use sennight_protocol::task::Task;
use sennight_storage::Store;
use sennight_worker::{WorkerContext, WorkerEnv, run_until};
use std::fmt::Write;
use std::time::{Duration, Instant};
use testkit::proxy::{Fault, Proxy};
use testkit::*;
use tokio_util::sync::CancellationToken;

#[tokio::test]
async fn a_dump_reads_no_faster_than_max_bytes_per_second() {
    let (database, bucket) = (Database::create().await, Bucket::create().await);
    let store = bucket.store().await;
    database.run("CREATE TABLE t AS SELECT repeat('x', 999) AS x FROM generate_series(1, 6000)").await;
    let mut task = dump_task("acme", &database.target);
    task.max_bytes_per_second = Some(2_000_000);

    let start = Instant::now();
    let backup = dump_with(&task, &context(&store)).await.unwrap();

    assert!(start.elapsed() >= Duration::from_secs(3), "6 MB at 2 MB/s in {:?}", start.elapsed());
    verify(&backup, &store).await.unwrap();
}

#[tokio::test]
async fn a_store_that_stands_still_holds_the_database_within_the_workers_memory() {
    const PASSED: u64 = 1 << 20;
    // Half of it is left after compression, so that no buffer swallows it.
    const ROWS: &str =
        "CREATE TABLE t AS SELECT encode(sha512(i::text::bytea), 'hex') AS x FROM generate_series(1, 900000) i";
    const SENT: &str = "SELECT coalesce(sum(bytes_processed), 0)::bigint FROM pg_stat_progress_copy";
    let (database, bucket) = (Database::create().await, Bucket::create().await);
    database.run(ROWS).await;
    let endpoint = bucket.target.endpoint.clone().unwrap();
    let proxy = Proxy::start("127.0.0.1", &endpoint, Fault::StallAfter(PASSED)).await;
    let slow = Store::connect(&bucket.through(proxy.endpoint())).await.unwrap();
    let context = WorkerContext { concurrency: 4, ..context(&slow) };

    let watching = async {
        proxy.wait_for(PASSED).await;
        let mut sent = (0, 1);
        while sent.0 != sent.1 || sent.0 == 0 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            sent = (sent.1, database.count(SENT).await);
        }
        proxy.heal();
        sent.0
    };
    let task = dump_task("acme", &database.target);
    let (dumped, sent) = tokio::join!(dump_with(&task, &context), watching);

    // 16 MiB of upload are about 32 of rows; 5 frames of 4 MiB; what the kernel holds.
    assert!(sent < 70 << 20, "the server had sent {sent} bytes when it came to stand still");
    let backup = dumped.unwrap();
    assert_eq!(backup.rows, 900_000);
    verify(&backup, &bucket.store().await).await.unwrap();
}

#[tokio::test]
async fn one_request_reads_many_tables_and_each_is_counted() {
    let database = Database::create().await;
    database
        .run(
            "CREATE TABLE a AS SELECT generate_series(1, 3) i; CREATE TABLE b (i int); CREATE TABLE c AS SELECT 7 AS i",
        )
        .await;
    let leader = snapshot::open(&database.target, "sennight-dump", Duration::from_secs(5)).await.unwrap();
    let sources: Vec<Source<'_>> = leader.inventory.tables.iter().map(|table| Source { table, range: None }).collect();
    for lock in [false, true] {
        let mut rows = Rows::open_all(&leader.session, &sources, lock, 4).await.unwrap();
        let mut blocks = Vec::new();
        while let Some(block) = rows.next().await.unwrap() {
            blocks.push((block.source, String::from_utf8(block.raw.to_vec()).unwrap(), block.rows));
        }
        let expected = [(0, "1\n2\n", 2), (0, "3\n", 1), (2, "7\n", 1)];
        assert_eq!(blocks, expected.map(|(source, text, rows)| (source, text.to_owned(), rows)));
        assert_eq!(rows.counted(), [3, 0, 1]);
    }
    snapshot::finish(leader.session).await.unwrap();
}

#[tokio::test]
async fn the_table_that_cannot_be_read_is_named() {
    let database = Database::create().await;
    database
        .run("CREATE TABLE a AS SELECT 1 AS i; CREATE TABLE b AS SELECT 2 AS i; CREATE TABLE c AS SELECT 3 AS i")
        .await;
    let leader = snapshot::open(&database.target, "sennight-dump", Duration::from_secs(5)).await.unwrap();
    let mut tables = leader.inventory.tables.clone();
    tables[1].columns[0].name = "gone".to_owned();
    let sources: Vec<Source<'_>> = tables.iter().map(|table| Source { table, range: None }).collect();

    let mut rows = Rows::open_all(&leader.session, &sources, false, 1 << 20).await.unwrap();
    let error = loop {
        match rows.next().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("a column that is not there was read"),
            Err(error) => break error,
        }
    };

    assert!(error.to_string().contains("public.b"), "{error}");
}

#[tokio::test]
async fn a_tenant_of_many_tables_is_dumped() {
    let count: i64 = std::env::var("SENNIGHT_TABLES").map_or(400, |text| text.parse().unwrap());
    if count < 5000 {
        println!("a tenant of {count} tables: 5,000 were left out (SENNIGHT_TABLES=5000)");
    }
    let (database, bucket) = (Database::create().await, Bucket::create().await);
    let store = bucket.store().await;
    // Fewer locks a transaction than a server has room for.
    for from in (1..=count).step_by(500) {
        let mut sql = String::new();
        for n in from..(from + 500).min(count + 1) {
            write!(sql, "CREATE TABLE a_table_with_a_name_of_common_length_{n} AS SELECT {n} AS i;").unwrap();
        }
        database.run(&sql).await;
    }

    let backup = dump(&database, &store).await.unwrap();

    assert_eq!((backup.tables, backup.rows), (count, count));
    verify(&backup, &store).await.unwrap();
}

#[tokio::test]
async fn a_batch_dumps_several_tenants_at_once_and_reports_each() {
    let bucket = Bucket::create().await;
    let mut databases = Vec::new();
    for n in 1..=6 {
        let database = Database::create().await;
        database.run(&format!("CREATE TABLE t AS SELECT generate_series(1, {n}) AS i")).await;
        databases.push(database);
    }
    let tasks: Vec<_> =
        (1..).zip(&databases).map(|(n, database)| dump_task(&format!("tenant-{n}"), &database.target)).collect();
    let env = WorkerEnv { job_uid: unique("job-"), pod: "pod".to_owned() };
    let job_uid = env.job_uid.clone();

    let code =
        Box::pin(run_until(Task::Dump(tasks.clone()), bucket.target.clone(), env, CancellationToken::new())).await;

    assert_eq!(code, EXIT_OK);
    let store = bucket.store().await;
    let mut times = Vec::new();
    for (n, task) in (1..).zip(&tasks) {
        let report = store.report(&job_uid, &task.name).await.unwrap().unwrap();
        let text = format!("{:?}", report.outcome);
        assert!(text.contains(&format!("rows: {n},")), "{text}");
        times.push((report.started_at, report.finished_at));
    }
    assert!(times.windows(2).any(|pair| pair[1].0 < pair[0].1), "some ran side by side: {times:?}");
    assert_eq!(bucket.manifests().await, 6);
}
