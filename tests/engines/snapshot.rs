//! What a dump must not get wrong while others write and alter: one instant for all readers, and DDL found out.

use sennight_engine::mysql::connect;
use sennight_engine::mysql::inventory::Inventory;
use sennight_engine::mysql::snapshot::{begin, finish};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use testkit::mysql::{Database, Server, say};
use testkit::{Bucket, context, copied, dump_with, manifest, table};

#[tokio::test(flavor = "multi_thread")]
async fn i4_several_readers_see_one_instant_while_money_moves() {
    for server in Server::all() {
        let database = Database::create(&server);
        database.run("CREATE TABLE a (v bigint); CREATE TABLE b (v bigint); INSERT INTO a VALUES (1000000); INSERT INTO b VALUES (0)");
        let stop = Arc::new(AtomicBool::new(false));
        let (target, ended) = (database.target.clone(), stop.clone());
        let mover = tokio::spawn(async move {
            let mut session = connect(&target, &target.database, "mover").await.unwrap();
            let mut moved = 0;
            while !ended.load(Ordering::Relaxed) {
                for statement in ["START TRANSACTION", "UPDATE a SET v = v - 1", "UPDATE b SET v = v + 1", "COMMIT"] {
                    session.run(statement, "moving").await.unwrap();
                }
                moved += 1;
            }
            moved
        });
        for _ in 0..20 {
            let mut session = database.session().await;
            let inventory = Inventory::read(&mut session).await.unwrap();
            let wait = Duration::from_secs(20);
            let begun = begin(session, &database.target, "test", &inventory.tables, 3, wait).await.unwrap();
            let mut readers = begun.readers;
            assert_eq!(readers.len(), 3, "{}: {:?}", server.name, begun.notes);
            let (a,): (i64,) = readers[0].row("SELECT v FROM a", "test").await.unwrap();
            let (b,): (i64,) = readers[2].row("SELECT v FROM b", "test").await.unwrap();
            assert_eq!(a + b, 1_000_000, "{}", server.name);
            for mut reader in readers {
                finish(&mut reader).await.unwrap();
                reader.close().await;
            }
        }
        stop.store(true, Ordering::Relaxed);
        let moved = mover.await.unwrap();
        assert!(moved > 20, "money moved {moved} times");
        say(&format!("{}: 20 snapshots of 3 readers each while money moved {moved} times", server.name));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_tables_cannot_be_locked_one_connection_reads() {
    for server in Server::all() {
        let database = Database::create(&server);
        database.run("CREATE TABLE a (v int)");
        let mut writer = database.session().await;
        for statement in ["START TRANSACTION", "INSERT INTO a VALUES (1)"] {
            writer.run(statement, "test").await.unwrap();
        }
        let mut session = database.session().await;
        let inventory = Inventory::read(&mut session).await.unwrap();
        let wait = Duration::from_secs(1);
        let begun = begin(session, &database.target, "test", &inventory.tables, 2, wait).await.unwrap();
        assert_eq!((begun.readers.len(), begun.notes.len()), (1, 1), "{}", server.name);
        writer.run("COMMIT", "test").await.unwrap();
    }
}

/// Every one of these, committed between the snapshot and the table's turn, would make a backup that is not of one instant.
const DDL: [&str; 10] = [
    "TRUNCATE TABLE z",
    "ALTER TABLE z ADD COLUMN more int DEFAULT 7",
    "DROP TABLE z; CREATE TABLE z (id int PRIMARY KEY)",
    "RENAME TABLE z TO y; CREATE TABLE z (id int PRIMARY KEY)",
    "CREATE OR REPLACE VIEW v AS SELECT 2 AS two",
    "CREATE TRIGGER late BEFORE INSERT ON z FOR EACH ROW SET NEW.id = 1",
    "CREATE FUNCTION late () RETURNS int DETERMINISTIC RETURN 1",
    "CREATE EVENT late ON SCHEDULE EVERY 1 DAY STARTS '2031-01-01 00:00:00' DO SET @x = 1",
    "CREATE TABLE late (id int PRIMARY KEY)",
    // Its rows were read when this came through.
    "ALTER TABLE a ADD COLUMN more int",
];

#[tokio::test(flavor = "multi_thread")]
async fn i4_ddl_during_a_dump_is_found() {
    let bucket = Bucket::create().await;
    let store = bucket.store().await;
    for server in Server::all() {
        for ddl in DDL {
            let database = Database::create(&server);
            database.run(
                "CREATE TABLE a (t longtext); INSERT INTO a VALUES (REPEAT('x', 2000000));
                 CREATE TABLE z (id int PRIMARY KEY); INSERT INTO z VALUES (1), (2); CREATE VIEW v AS SELECT 1 AS one",
            );
            let mut task = database.dump_task();
            // The first table's rows are paid for seconds, before the second one is read.
            task.max_bytes_per_second = Some(250_000);
            let context = context(&store);
            let dump = tokio::spawn(async move { dump_with(&task, &context).await });
            wait_for_the_snapshot(&database).await;
            database.run(ddl);
            let error = dump.await.unwrap().map(|backup| backup.id).unwrap_err();
            assert_eq!(error.reason, "SchemaChanged", "{} {ddl}: {error}", server.name);
        }
    }
    assert_eq!(bucket.manifests().await, 0);
}

/// A partition that is exchanged under a snapshot would lose its rows without an error (tried on all three servers): so it
/// waits, and the backup has them.
#[tokio::test(flavor = "multi_thread")]
async fn i4_a_partition_is_not_exchanged_under_a_dump() {
    let bucket = Bucket::create().await;
    let store = bucket.store().await;
    for server in Server::all() {
        let database = Database::create(&server);
        database.run(
            "CREATE TABLE a (t longtext); INSERT INTO a VALUES (REPEAT('x', 2000000)); CREATE TABLE _x (id int PRIMARY KEY);
             CREATE TABLE z (id int PRIMARY KEY) PARTITION BY RANGE (id) (PARTITION p0 VALUES LESS THAN (2), PARTITION p1 VALUES LESS THAN MAXVALUE);
             INSERT INTO z VALUES (1), (2)",
        );
        let mut task = database.dump_task();
        task.max_bytes_per_second = Some(250_000);
        let context = context(&store);
        let dump = tokio::spawn(async move { dump_with(&task, &context).await });
        wait_for_the_snapshot(&database).await;
        let (server, name) = (server.clone(), database.name());
        let exchange = tokio::task::spawn_blocking(move || {
            server.script(&name, b"ALTER TABLE z EXCHANGE PARTITION p0 WITH TABLE _x");
        });
        let backup = dump.await.unwrap().unwrap_or_else(|e| panic!("{}: {e}", database.server.name));
        exchange.await.unwrap();
        let manifest = manifest(&backup, &store).await;
        assert_eq!(copied(&backup, &store, table(&manifest, "z")).await, b"1\n2\n", "{}", database.server.name);
    }
}

/// Waits until the dump has read its first table, whose rows it then pays for during eight seconds.
async fn wait_for_the_snapshot(database: &Database) {
    let mut session = database.session().await;
    let there = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE DB = DATABASE() AND ID <> CONNECTION_ID()";
    for _ in 0..400 {
        let (count,): (i64,) = session.row(there, "test").await.unwrap();
        if count > 0 {
            tokio::time::sleep(Duration::from_secs(3)).await;
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("no dump after 20 s");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_come_during_a_dump_are_not_in_it_and_nobody_waits() {
    for server in Server::all() {
        let (database, bucket) = (Database::create(&server), Bucket::create().await);
        let store = bucket.store().await;
        database.run(
            "CREATE TABLE a (t longtext); INSERT INTO a VALUES (REPEAT('x', 2000000));
             CREATE TABLE z (id int PRIMARY KEY AUTO_INCREMENT); INSERT INTO z VALUES (1), (2)",
        );
        let mut task = database.dump_task();
        task.max_bytes_per_second = Some(250_000);
        let context = context(&store);
        let dump = tokio::spawn(async move { dump_with(&task, &context).await });
        wait_for_the_snapshot(&database).await;
        database.run("INSERT INTO z VALUES (); UPDATE a SET t = 'short'; DELETE FROM z WHERE id = 1");
        let backup = dump.await.unwrap().unwrap_or_else(|e| panic!("{}: {e}", server.name));
        let manifest = manifest(&backup, &store).await;
        assert_eq!(copied(&backup, &store, table(&manifest, "z")).await, b"1\n2\n", "{}", server.name);
    }
}

/// A proxy that shares connections gives a session that was never told anything, or another one's.
#[tokio::test(flavor = "multi_thread")]
async fn i4_a_session_that_lost_its_settings_reads_nothing() {
    for server in Server::all() {
        let database = Database::create(&server);
        database.run("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1), (2)");
        for lost in [
            "sql_select_limit = 1",
            "time_zone = '-05:00'",
            "autocommit = 0",
            "sql_mode = 'ANSI_QUOTES'",
            "character_set_results = latin1",
        ] {
            let mut session = database.session().await;
            let inventory = Inventory::read(&mut session).await.unwrap();
            session.run(&format!("SET SESSION {lost}"), "test").await.unwrap();
            let wait = Duration::from_secs(5);
            let begun = begin(session, &database.target, "test", &inventory.tables, 1, wait).await;
            let error = begun.err().unwrap_or_else(|| panic!("{}: {lost}: a snapshot was begun", server.name));
            assert_eq!(error.reason(), "SettingsLost", "{}: {error}", server.name);
            assert!(error.to_string().contains(lost.split(' ').next().unwrap()), "{error}");
        }
    }
}

/// A swap waits five seconds for its locks and no longer, also after it has made objects, which sets the session anew.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_prepared_again_waits_for_locks_as_long_as_it_was_told() {
    for server in Server::all() {
        let mut session = Database::create(&server).session().await;
        session.run("SET SESSION lock_wait_timeout = 5, SESSION sql_mode = 'ANSI'", "test").await.unwrap();
        session.reset_settings().await.unwrap();
        let (wait, mode): (u64, String) = session.row("SELECT @@lock_wait_timeout, @@sql_mode", "test").await.unwrap();
        assert_eq!((wait, mode.as_str()), (5, "NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES"), "{}", server.name);
    }
}
