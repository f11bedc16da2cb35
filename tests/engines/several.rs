//! Several connections: enough rows that a dump reads by several, and a load writes by several.

use sennight_engine::mysql::ident;
use sennight_engine::mysql::load::LoadMethod;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use testkit::mysql::{Database, Server, say};
use testkit::{Bucket, manifest};

const TABLES: [&str; 4] = ["a", "b", "c", "d"];

/// Runs `work`, and tells how many sessions were at work on a database at once.
async fn watched<T>(database: &Database, work: impl Future<Output = T>) -> (T, i64) {
    let stop = AtomicBool::new(false);
    let work = async {
        let done = work.await;
        stop.store(true, Ordering::Relaxed);
        done
    };
    let watch = async {
        let mut session = database.session().await;
        let there =
            "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE DB = DATABASE() AND ID <> CONNECTION_ID()";
        let mut most = 0;
        while !stop.load(Ordering::Relaxed) {
            let (count,): (i64,) = session.row(there, "test").await.unwrap();
            most = most.max(count);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        session.close().await;
        most
    };
    tokio::join!(work, watch)
}

/// The server's own sums over all rows.
async fn sums(database: &Database) -> Vec<Option<u64>> {
    let tables: Vec<String> = TABLES.iter().map(|table| ident(table)).collect();
    let mut session = database.session().await;
    let query = format!("CHECKSUM TABLE {}", tables.join(", "));
    let rows: Vec<(String, Option<u64>)> = session.rows(&query, "test").await.unwrap();
    session.close().await;
    rows.into_iter().map(|(_, sum)| sum).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn i4_several_connections_read_and_write_a_large_database_whole() {
    if std::env::var_os("SENNIGHT_CASES").is_some() {
        say("left out: 80 MiB read and written by several connections; `make engines` has them");
        return;
    }
    for server in Server::all() {
        server.script("", b"SET GLOBAL local_infile = 1");
        let (large, bucket) = (Database::create(&server), Bucket::signed().await);
        let store = bucket.store().await;
        let mut script = "CREATE TABLE n AS WITH RECURSIVE n AS (SELECT 1 i UNION ALL SELECT i + 1 FROM n WHERE i < 400) SELECT i FROM n;".to_owned();
        for table in TABLES {
            // MySQL 9.7 has no MD5() by itself any more.
            let _ = write!(
                script,
                "CREATE TABLE {table} (id int AUTO_INCREMENT PRIMARY KEY, v varchar(600));
                 INSERT INTO {table} (v) SELECT REPEAT(SHA2(CONCAT(a.i, '{table}', b.i), 256), 8) FROM n a, n b WHERE b.i <= 100;
                 ANALYZE TABLE {table};"
            );
        }
        large.run(&script);
        let (backup, readers) = watched(&large, large.dump(&store)).await;
        let backup = backup.unwrap_or_else(|e| panic!("{}: {e}", server.name));
        let manifest = manifest(&backup, &store).await;
        assert_eq!((manifest.totals.rows, &manifest.warnings), (160_400, &Vec::new()), "{}", server.name);
        let restored = Database::create(&server);
        let (filled, writers) =
            watched(&restored, restored.fill(&backup, &manifest, &store, LoadMethod::LoadData)).await;
        filled.unwrap_or_else(|e| panic!("{}: {e}", server.name));
        assert_eq!(sums(&large).await, sums(&restored).await, "{}", server.name);
        assert!(readers > 1 && writers > 1, "{}: {readers} sessions read, {writers} wrote", server.name);
        say(&format!("{}: {readers} sessions at once read 80 MiB, {writers} wrote them", server.name));
    }
}
