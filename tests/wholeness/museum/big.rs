//! Rows that are large: whole, and within the memory that a worker's pod has: 256 MiB and three times the row.

use crate::servers::{Server, cases, restore_task, say};
use crate::support::{Bucket, Database, context, dump_task, env, unique};
use sennight::domain::job::{CopySummary, Done, EXIT_OK, Outcome, Work};
use sennight::engine::postgres::ident;
use sennight::store::Store;
use std::process::Stdio;
use std::time::Duration;

const MIB: u64 = 1 << 20;
const BASE: u64 = 256 * MIB;

#[tokio::test(flavor = "multi_thread")]
async fn a_row_of_50_or_120_mb_comes_back_within_the_memory_that_it_may_take() {
    let sizes = [50, 120];
    let server = Server::all().await.remove(0);
    for megabytes in sizes.into_iter().take(cases("rows of 50 and 120 MB", 2, 60)) {
        // A bytea's text is twice as long: it is the row that counts.
        for (kind, row) in [("text", megabytes * MIB), ("bytea", 2 * megabytes * MIB)] {
            let [dumped, restored] = peaks(&server, megabytes, kind).await;
            let limit = BASE + 3 * row;
            let mib = |bytes: u64| bytes / MIB;
            say(&format!(
                "a {kind} of {megabytes} MB: dump {} MiB, restore {} MiB, limit {} MiB",
                mib(dumped),
                mib(restored),
                mib(limit)
            ));
            assert!(
                dumped <= limit && restored <= limit,
                "{kind} of {megabytes} MB: {dumped} and {restored} of {limit}"
            );
        }
    }
}

/// Peak memory of the worker that dumps such a row, and of the one that restores it.
async fn peaks(server: &Server, megabytes: u64, kind: &str) -> [u64; 2] {
    let name = unique("big_");
    let admin = Database::on(server.port, "postgres");
    admin.run(&format!("CREATE DATABASE {}", ident(&name))).await;
    let database = Database::on(server.port, &name);
    // Noise: what compresses would take no memory.
    let noise = |pieces: u64| format!("SELECT string_agg(md5(i::text), '') FROM generate_series(1, {pieces}) i");
    let pieces = megabytes * MIB / 32;
    let value = if kind == "text" { noise(pieces) } else { format!("SELECT decode(({}), 'hex')", noise(2 * pieces)) };
    database
        .run(&format!("CREATE TABLE t (v {kind}); INSERT INTO t VALUES ('before'), (({value})), (NULL), ('after')"))
        .await;
    let sum = "SELECT bit_xor(hashtextextended(v::text, 0)) FROM public.t";
    let before = database.count(sum).await;

    let bucket = Bucket::create().await;
    let store = bucket.store().await;
    let (dump, outcome) = worker(&Work::Dump(vec![dump_task("big", &database.target)]), &bucket, &store, "big").await;
    let Outcome::Succeeded(Done::Dumped(copy)) = outcome else { panic!("{outcome:?}") };
    let uid = format!("{}-aaaa-4bbb-8ccc-000000000000", &unique("")[..8]);
    let (restore, new_database) = restored(&database, &bucket, &store, &copy, &uid).await;
    assert_eq!(Database::on(server.port, &new_database).count(sum).await, before, "the row is another one");
    for name in [&new_database, &name] {
        admin.run(&format!("DROP DATABASE {} WITH (FORCE)", ident(name))).await;
    }
    [dump, restore]
}

async fn restored(database: &Database, bucket: &Bucket, store: &Store, copy: &CopySummary, uid: &str) -> (u64, String) {
    let task = restore_task(&database.target, "big", copy, uid);
    let (peak, outcome) = worker(&Work::Prepare(task), bucket, store, "restore").await;
    let Outcome::Succeeded(Done::Prepared { new_database, .. }) = outcome else { panic!("{outcome:?}") };
    (peak, new_database)
}

/// Runs a worker as a pod does, and gives the most memory that it held and its task's outcome.
async fn worker(work: &Work, bucket: &Bucket, store: &Store, task: &str) -> (u64, Outcome) {
    let job = context(store).job_uid;
    let mut child = tokio::process::Command::new(env!("CARGO_BIN_EXE_sennight"))
        .args(work.to_argv(&bucket.target).unwrap())
        .env("SENNIGHT_JOB_UID", &job)
        .env("SENNIGHT_PG_BIN_ROOT", std::env::var("SENNIGHT_PG_BIN_ROOT").unwrap_or_else(|_| bin_root()))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let status = format!("/proc/{}/status", child.id().unwrap());
    let mut peak = 0;
    let ended = loop {
        peak = peak.max(high_water(&status));
        tokio::select! {
            ended = child.wait() => break ended.unwrap(),
            () = tokio::time::sleep(Duration::from_millis(10)) => {}
        }
    };
    let report = store.report(&job, task).await.unwrap().unwrap();
    assert_eq!(ended.code(), Some(EXIT_OK), "{report:?}");
    (peak, report.outcome)
}

/// `<root>/<major>/bin` of the run's own tools.
fn bin_root() -> String {
    let bin = std::path::PathBuf::from(env("SENNIGHT_TEST_PG_BIN"));
    bin.ancestors().nth(2).unwrap().to_str().unwrap().to_owned()
}

fn high_water(status: &str) -> u64 {
    let text = std::fs::read_to_string(status).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("VmHWM:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().nth(1)).and_then(|n| n.parse::<u64>().ok());
    kilobytes.unwrap_or_default() * 1024
}
