//! What is not there any more when a restore would make it again: events whose time is past, views whose table is gone. Neither keeps
//! a restore from its end, and nobody stays locked out.

use sennight_core::result::Done;
use sennight_protocol::cutover::CutoverTask;
use std::time::{Duration, Instant};
use testkit::manifest;
use testkit::mysql::Server;
use testkit::mysql::restore::MysqlRestore;

async fn swapped(restore: &MysqlRestore, task: &CutoverTask, what: &str) {
    let done = restore.cutover(task, "pod").await.unwrap_or_else(|e| panic!("{what}: {e}"));
    assert!(matches!(done, Done::CutOver { .. }), "{what}: {done:?}");
    assert!(!restore.locked(&restore.app).await, "{what}: the tenant is locked out");
}

async fn events(restore: &MysqlRestore, schema: &str) -> Vec<String> {
    restore
        .list(&format!("SELECT EVENT_NAME FROM information_schema.EVENTS WHERE EVENT_SCHEMA = '{schema}' ORDER BY 1"))
        .await
}

/// Seconds in which a tenant is dumped and restored, before its events are over.
const SOON: u64 = 30;

#[tokio::test(flavor = "multi_thread")]
async fn i3_an_event_whose_time_is_past_locks_nobody_out() {
    for server in Server::all() {
        let mut restore = MysqlRestore::on(&server).await;
        let over = Instant::now() + Duration::from_secs(SOON + 2);
        restore.live.run(&format!(
            "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1);
             CREATE EVENT later ON SCHEDULE EVERY 1 DAY STARTS '2031-01-01 00:00:00' DO SET @x = 1;
             CREATE EVENT once ON SCHEDULE AT CURRENT_TIMESTAMP + INTERVAL {SOON} SECOND DO SET @x = 2;
             CREATE EVENT until ON SCHEDULE EVERY 1 DAY STARTS CURRENT_TIMESTAMP - INTERVAL 36 HOUR ENDS CURRENT_TIMESTAMP + INTERVAL {SOON} SECOND DO SET @x = 3;"
        ));
        let backup = restore.dump().await;
        let live = restore.live.name();
        let swap =
            restore.prepare(&restore.restore_task(&backup)).await.unwrap_or_else(|e| panic!("{}: {e}", server.name));
        swapped(&restore, &swap, &format!("{}: the restore", server.name)).await;
        for schema in [&live, &swap.previous_database] {
            assert_eq!(events(&restore, schema).await, ["later", "once", "until"], "{}: {schema}", server.name);
        }
        tokio::time::sleep_until(over.into()).await;
        let undo = restore.undo(&swap);
        swapped(&restore, &undo, &format!("{}: the undo", server.name)).await;
        assert_eq!(events(&restore, &live).await, ["later"], "{}", server.name);
        let on = format!("SELECT STATUS FROM information_schema.EVENTS WHERE EVENT_SCHEMA = '{live}'");
        assert_eq!(restore.list(&on).await, ["ENABLED"], "{}", server.name);
        // And a backup of that day, restored now.
        restore.next();
        let again =
            restore.prepare(&restore.restore_task(&backup)).await.unwrap_or_else(|e| panic!("{}: {e}", server.name));
        swapped(&restore, &again, &format!("{}: a later restore", server.name)).await;
        assert_eq!(events(&restore, &live).await, ["later"], "{}", server.name);
    }
}

async fn views(restore: &MysqlRestore, schema: &str) -> Vec<String> {
    restore
        .list(&format!("SELECT TABLE_NAME FROM information_schema.VIEWS WHERE TABLE_SCHEMA = '{schema}' ORDER BY 1"))
        .await
}

/// A table that was dropped is a usual reason for a restore, and its views are still there.
#[tokio::test(flavor = "multi_thread")]
async fn i3_views_whose_table_is_gone_keep_no_restore_from_its_end() {
    for server in Server::all() {
        let mut restore = MysqlRestore::on(&server).await;
        // Owned by an account without rights on any other name: so they are made in two steps.
        let own = format!("CREATE DEFINER = '{}'@'127.0.0.1'", restore.app);
        restore.live.run(&format!(
            "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1), (2); CREATE TABLE old (id int);
             {own} VIEW base AS SELECT id FROM t; {own} VIEW a_top AS SELECT COUNT(*) AS n FROM base;
             CREATE VIEW stuck AS SELECT id FROM old; {own} VIEW on_stuck AS SELECT id FROM stuck; DROP TABLE old"
        ));
        let backup = restore.dump().await;
        let told = manifest(&backup, &restore.store).await.warnings.join("\n");
        assert!(told.contains("some views cannot be read") && told.contains(": on_stuck, stuck"), "{told}");
        restore.live.run(&format!(
            "CREATE TABLE u (id int); INSERT INTO u VALUES (7); {own} VIEW ub AS SELECT id FROM u; {own} VIEW ua AS SELECT id FROM ub; DROP TABLE t"
        ));
        let task = restore.restore_task(&backup);
        let found = restore.preflight(&task).await;
        for words in [": a_top, base, on_stuck, stuck", "in the backup some views cannot be read"] {
            assert!(found.warnings.iter().any(|w| w.contains(words)), "{}: {words}: {:?}", server.name, found.warnings);
        }
        let task = restore.prepare(&task).await.unwrap_or_else(|e| panic!("{}: {e}", server.name));
        swapped(&restore, &task, &format!("{}: the restore", server.name)).await;
        assert_eq!(views(&restore, &restore.live.name()).await, ["a_top", "base"], "{}", server.name);
        assert_eq!(restore.value("SELECT CAST(n AS CHAR) FROM a_top").await, "2", "{}", server.name);
        assert_eq!(views(&restore, &task.previous_database).await, ["ua", "ub"], "{}", server.name);
        let undo = restore.undo(&task);
        swapped(&restore, &undo, &format!("{}: the undo", server.name)).await;
        assert_eq!(views(&restore, &restore.live.name()).await, ["ua", "ub"], "{}", server.name);
        assert_eq!(restore.value("SELECT CAST(id AS CHAR) FROM ua").await, "7", "{}", server.name);
    }
}
