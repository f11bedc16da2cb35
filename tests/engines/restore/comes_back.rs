//! The fixture database is restored over a database that was damaged in every kind of object, the restore is undone, the undo is undone; each
//! time everything is compared, in the live database and in the kept one.

use crate::fixtures::fixture;
use sennight_core::engine::EngineKind;
use sennight_core::result::{Done, Refusal};
use sennight_protocol::cutover::CutoverTask;
use testkit::mysql::picture::Picture;
use testkit::mysql::restore::MysqlRestore;
use testkit::mysql::{Server, say};

const DAMAGE: &str = "
SET NAMES utf8mb4;
DROP TABLE texts;
CREATE TABLE newer (id int PRIMARY KEY, v varchar(9));
INSERT INTO newer VALUES (1, 'x');
CREATE TRIGGER newer_t BEFORE INSERT ON newer FOR EACH ROW SET NEW.v = 'new';
DROP TRIGGER watched_after;
CREATE OR REPLACE VIEW ab_last AS SELECT 1 AS one;
CREATE VIEW newer_v AS SELECT * FROM newer;
DROP FUNCTION shout;
DROP FUNCTION plus_one;
CREATE FUNCTION plus_one (x int) RETURNS int DETERMINISTIC RETURN x + 2;
CREATE PROCEDURE newer_p () SELECT 5;
ALTER EVENT nightly DISABLE;
ALTER EVENT `off` ENABLE;
CREATE EVENT newer_e ON SCHEDULE EVERY 1 DAY STARTS '2031-01-01 00:00:00' DO SET @x = 9;
INSERT INTO nothing VALUES (1), (2);
UPDATE numbers SET s = 1 WHERE id = 3;
ALTER TABLE zparent ADD COLUMN more int;
";

/// Who every object runs as, and whose rights on single routines there are.
async fn owners(restore: &MysqlRestore) -> Vec<String> {
    let name = restore.live.name();
    let mut all = restore
        .list(&format!(
            "SELECT CONCAT('view ', TABLE_NAME, ' ', DEFINER) FROM information_schema.VIEWS WHERE TABLE_SCHEMA = '{name}' UNION ALL
             SELECT CONCAT('trigger ', TRIGGER_NAME, ' ', DEFINER) FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = '{name}' UNION ALL
             SELECT CONCAT('routine ', ROUTINE_NAME, ' ', DEFINER) FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = '{name}' UNION ALL
             SELECT CONCAT('event ', EVENT_NAME, ' ', DEFINER) FROM information_schema.EVENTS WHERE EVENT_SCHEMA = '{name}'"
        ))
        .await;
    all.sort();
    all
}

/// `events`: those of a previous database are off.
fn same(before: &Picture, now: &Picture, events: bool, what: &str) {
    let mut differences = before.differences(now);
    differences.retain(|d| events || !(d.starts_with("events:") || d.starts_with("definition of EVENT")));
    assert!(differences.is_empty(), "{what} is not as it was:\n{}", differences.join("\n"));
}

/// Swaps, and finds the one picture in the live database, the other one in the kept.
async fn swapped(restore: &MysqlRestore, task: &CutoverTask, live: &Picture, kept: &Picture, what: &str) {
    let done = restore.cutover(task, "pod").await.unwrap_or_else(|e| panic!("{what}: {e}"));
    let Done::CutOver { previous_database, downtime_millis, .. } = &done else { panic!("{what}: {done:?}") };
    assert_eq!(*previous_database, task.previous_database);
    assert!(*downtime_millis > 0, "{what}");
    same(live, &Picture::of(&restore.live).await, true, &format!("{what}: the live database"));
    same(kept, &Picture::of(&restore.live.beside(previous_database)).await, false, &format!("{what}: the kept one"));
    let on = format!(
        "SELECT EVENT_NAME FROM information_schema.EVENTS WHERE EVENT_SCHEMA = '{previous_database}' AND STATUS = 'ENABLED'"
    );
    assert_eq!(restore.list(&on).await, Vec::<String>::new(), "{what}: events of the kept one are off");
    assert_eq!(restore.beside().await, [previous_database.as_str()], "{what}: nothing else is left");
    assert!(!restore.locked(&restore.app).await, "{what}");
    // A second pod of the same request finds it done, and does nothing.
    let Ok(Done::CutOver { downtime_millis: -1, .. }) = restore.cutover(task, "another").await else {
        panic!("{what}: swapped twice, or denied")
    };
}

#[tokio::test(flavor = "multi_thread")]
async fn i2_i3_the_fixture_database_comes_back_whole_and_an_undo_takes_it_away_again() {
    for server in Server::all() {
        let mut restore = MysqlRestore::new(fixture(&server)).await;
        let (role, app) = (restore.restore.clone(), restore.app.clone());
        let more =
            if server.engine == EngineKind::MySQL { "GRANT SYSTEM_USER ON *.* TO" } else { "GRANT SELECT ON *.* TO" };
        restore.live.run(&format!(
            "{more} '{role}'@'127.0.0.1'; GRANT EXECUTE ON *.* TO '{role}'@'127.0.0.1' WITH GRANT OPTION;
             CREATE DEFINER = '{app}'@'127.0.0.1' PROCEDURE of_the_app () SQL SECURITY DEFINER SELECT CURRENT_USER();
             CREATE DEFINER = '{app}'@'127.0.0.1' VIEW of_the_app AS SELECT 1 AS one;
             CREATE DEFINER = '{app}'@'127.0.0.1' EVENT of_the_app ON SCHEDULE EVERY 1 DAY STARTS '2031-01-01 00:00:00' DO SET @x = 1;"
        ));
        let (then, then_owners) = (Picture::of(&restore.live).await, owners(&restore).await);
        let backup = restore.dump().await;
        restore.live.run(DAMAGE);
        restore.live.run(&format!("GRANT EXECUTE ON FUNCTION plus_one TO '{app}'@'127.0.0.1'"));
        let (damaged, damaged_owners) = (Picture::of(&restore.live).await, owners(&restore).await);
        let task = restore.restore_task(&backup);
        let found = restore.preflight(&task).await;
        // An XA transaction of another test is any tenant's obstacle.
        let own = |r: &&Refusal| r.reason != "PreparedTransactions";
        assert_eq!(found.refusals.iter().find(own), None, "{}", server.name);
        assert!(found.warnings.iter().any(|w| w.contains(&app)), "the accounts are listed: {:?}", found.warnings);
        let task = restore.prepare(&task).await.unwrap_or_else(|e| panic!("{}: {e}", server.name));
        same(&damaged, &Picture::of(&restore.live).await, true, "what prepare must not touch");

        swapped(&restore, &task, &then, &damaged, &format!("{}: the restore", server.name)).await;
        assert_eq!(owners(&restore).await, then_owners, "{}: objects run as they did", server.name);
        let grants = format!("SELECT CAST(Routine_name AS CHAR) FROM mysql.procs_priv WHERE User = '{app}'");
        assert_eq!(
            restore.list(&grants).await,
            ["plus_one"],
            "{}: a right on a routine that was replaced",
            server.name
        );
        let safety = restore.safety(&task).await.unwrap_or_else(|e| panic!("{}: {e}", server.name));
        assert!(safety.rows > 0 && safety.tables > 10);

        let undo = restore.undo(&task);
        let found = restore.undoable(&undo).await;
        assert_eq!(found.refusals.iter().find(own), None, "{}", server.name);
        swapped(&restore, &undo, &damaged, &then, &format!("{}: the undo", server.name)).await;
        assert_eq!(owners(&restore).await, damaged_owners, "{}: objects run as they did", server.name);
        let gone = restore.undoable(&undo).await.refusals;
        assert!(gone.iter().any(|r| r.reason == "PreviousDatabaseGone"), "{gone:?}");

        let again = restore.undo(&undo);
        swapped(&restore, &again, &then, &damaged, &format!("{}: the undo of the undo", server.name)).await;
        let safety = restore.safety(&again).await.unwrap_or_else(|e| panic!("{}: {e}", server.name));
        let refused = restore.clear(&restore.clear_kept(&again, None)).await.unwrap_err();
        assert_eq!(refused.reason, "NoSafetyBackup");
        let cleared = restore.clear(&restore.clear_kept(&again, Some(&safety))).await.unwrap();
        assert_eq!(cleared.as_deref(), Some(again.previous_database.as_str()));
        assert_eq!(restore.beside().await, Vec::<String>::new());
        assert_eq!(restore.clear(&restore.clear_kept(&again, Some(&safety))).await.unwrap(), None, "gone already");
        same(&then, &Picture::of(&restore.live).await, true, "the live database at the end");
        say(&format!("full restore on {}: {} came back, were undone, and came back", server.name, then.summary()));
    }
}
