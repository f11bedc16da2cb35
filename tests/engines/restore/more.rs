//! Prepare again, hooks, drills, and dropping by marks only.

use sennight_core::names::drill_database;
use sennight_core::result::{Done, HookRun};
use sennight_engine::mysql::ident;
use sennight_protocol::restore::{DrillTask, RestoreTask};
use sennight_worker::{drill, prepare};
use testkit::mysql::Server;
use testkit::mysql::restore::{MysqlRestore, PASSWORD};
use testkit::{backup_ref, path};

async fn tenant(server: &Server) -> MysqlRestore {
    let restore = MysqlRestore::on(server).await;
    restore.live.run(
        "CREATE TABLE t (id int PRIMARY KEY, at timestamp NULL); INSERT INTO t VALUES (1, NULL), (2, NULL);
         CREATE VIEW v AS SELECT COUNT(*) AS n FROM t",
    );
    // It runs as an account that has no rights on any other name.
    restore.live.run(&format!(
        "CREATE DEFINER = '{}'@'127.0.0.1' TRIGGER g BEFORE INSERT ON t FOR EACH ROW SET NEW.id = NEW.id",
        restore.app
    ));
    restore
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_drops_what_the_one_before_left_and_nothing_that_is_not_marked() {
    for server in Server::all() {
        let restore = tenant(&server).await;
        let backup = restore.dump().await;
        let task = restore.restore_task(&backup);
        let first = restore.prepare(&task).await.unwrap();
        let second = restore.prepare(&task).await.unwrap();
        assert_eq!((&first.new_database, first.live_number), (&second.new_database, second.live_number));
        assert_ne!(first.new_number, second.new_number, "another schema has another number");
        let refused = restore.cutover(&first, "pod").await.unwrap_err();
        assert_eq!(refused.reason, "DatabasesChanged", "{refused}");
        assert_eq!(restore.clear(&restore.clear_new()).await.unwrap(), Some(first.new_database.clone()));
        assert_eq!(restore.clear(&restore.clear_new()).await.unwrap(), None);
        // Somebody's database under our name.
        let name = ident(&first.new_database);
        restore.live.run(&format!("CREATE DATABASE {name}; CREATE TABLE {name}.theirs (id int)"));
        assert_eq!(restore.prepare(&task).await.unwrap_err().reason, "NameTaken");
        assert_eq!(restore.clear(&restore.clear_new()).await.unwrap_err().reason, "NameTaken");
        assert_eq!(restore.beside().await, [first.new_database.as_str()], "it is still there");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hooks_run_before_anybody_sees_the_new_database_and_a_failing_one_ends_the_restore() {
    for server in Server::all() {
        let restore = tenant(&server).await;
        let backup = restore.dump().await;
        let dir = tempfile::tempdir().unwrap();
        let hook = |name: &str, sql: &str| std::fs::write(dir.path().join(name), sql).unwrap();
        hook("10-erased.sql", "DELETE FROM t WHERE id = 2; INSERT INTO t VALUES (3, @sennight_snapshot_time);");
        let task = RestoreTask { hooks_dir: Some(path(dir.path())), ..restore.restore_task(&backup) };
        hook("20-broken.sql", "INSERT INTO t VALUES (9, NULL); SELECT nonsense FROM nowhere;");
        let failed = restore.prepare(&task).await.unwrap_err();
        assert!(failed.reason == "HookFailed" && failed.message.contains("20-broken.sql"), "{}: {failed}", server.name);
        assert_eq!(restore.beside().await, Vec::<String>::new(), "{}", server.name);
        std::fs::remove_file(dir.path().join("20-broken.sql")).unwrap();
        let done =
            prepare::run(&task, &restore.context("hooks")).await.unwrap_or_else(|e| panic!("{}: {e}", server.name));
        let Done::Prepared { hooks, .. } = done else { panic!("{done:?}") };
        assert_eq!(hooks, [HookRun { name: "10-erased.sql".to_owned(), rows: 2 }], "{}", server.name);
        let task = restore.prepare(&task).await.unwrap_or_else(|e| panic!("{}: {e}", server.name));
        let Done::CutOver { .. } = restore.cutover(&task, "pod").await.unwrap() else { panic!() };
        let rows = restore.list("SELECT CONCAT(id, at IS NULL) FROM t ORDER BY id").await;
        assert_eq!(rows, ["11", "30"], "{}", server.name);
        assert_eq!(restore.value("SELECT CAST(n AS CHAR) FROM v").await, "2");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drill_proves_a_backup_and_leaves_nothing() {
    for server in Server::all() {
        let restore = tenant(&server).await;
        let backup = restore.dump().await;
        let identity = restore.live.dump_task().identity;
        let scratch = drill_database(&identity.namespace, &identity.schedule);
        let task =
            DrillTask { name: "drill".to_owned(), identity, backup: backup_ref(&backup), server: restore.target() };
        match drill::run(&task, &restore.context("drill")).await.unwrap_or_else(|e| panic!("{}: {e}", server.name)) {
            Done::Drilled(drilled) => assert_eq!((drilled.rows, drilled.tables), (2, 1)),
            other => panic!("{other:?}"),
        }
        let left = format!("SELECT SCHEMA_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = '{scratch}'");
        assert_eq!(restore.list(&left).await, Vec::<String>::new());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn i2_a_swap_that_was_settled_before_it_began_never_begins() {
    for server in Server::all() {
        let restore = tenant(&server).await;
        let backup = restore.dump().await;
        let task = restore.prepare(&restore.restore_task(&backup)).await.unwrap();
        assert_eq!(restore.recover_cutover(&task, "recover-cutover").await.unwrap_err().reason, "CutoverTakenBack");
        let holder = restore.store.claim_of(&restore.uid).await.unwrap().unwrap();
        assert_eq!(holder.job_uid, "recover-cutover", "a cut-over that starts now finds the claim taken");
        assert_eq!(restore.beside().await, [task.new_database.as_str()]);
        assert!(!restore.locked(&restore.app).await);
    }
}

/// What the tenant's own account reads in its views.
async fn seen(restore: &MysqlRestore) -> String {
    let mut session = restore.live.seen_by(&restore.app, PASSWORD).session().await;
    let query = "SELECT CONCAT(MAX(state), COUNT(*), MAX(words)) FROM aa";
    let (seen,): (String,) = session.row(query, "test").await.unwrap_or_else(|e| panic!("{e}"));
    session.close().await;
    seen
}

/// An account that a view runs as has rights on the live name, and none on those beside it: there its views cannot be read.
#[tokio::test(flavor = "multi_thread")]
async fn i3_views_on_views_of_the_tenants_own_account_are_swapped_and_swapped_back() {
    for server in Server::all() {
        let mut restore = tenant(&server).await;
        let definer = format!("DEFINER = '{}'@'127.0.0.1'", restore.app);
        let views = |state: &str| {
            format!(
                "CREATE OR REPLACE {definer} VIEW ab AS SELECT id, COUNT(*) AS n FROM t GROUP BY id HAVING n > 0;
                 CREATE OR REPLACE {definer} VIEW aa AS SELECT x.n, t.id, '{state}' AS state, 'it''s `t`.`id`' AS words FROM ab x JOIN t USING (id);"
            )
        };
        restore.live.run(&views("copied"));
        let backup = restore.dump().await;
        restore.live.run(&format!("{} INSERT INTO t VALUES (3, NULL)", views("live")));
        let task =
            restore.prepare(&restore.restore_task(&backup)).await.unwrap_or_else(|e| panic!("{}: {e}", server.name));
        restore.cutover(&task, "pod").await.unwrap_or_else(|e| panic!("{}: {e}", server.name));
        assert_eq!(seen(&restore).await, "copied2it's `t`.`id`", "{}", server.name);
        restore.safety(&task).await.unwrap_or_else(|e| panic!("{}: {e}", server.name));
        let undo = restore.undo(&task);
        restore.cutover(&undo, "pod").await.unwrap_or_else(|e| panic!("{}: {e}", server.name));
        assert_eq!(seen(&restore).await, "live3it's `t`.`id`", "{}", server.name);
        assert!(!restore.locked(&restore.app).await);
        let owners =
            "SELECT DISTINCT DEFINER FROM information_schema.VIEWS WHERE TABLE_NAME IN ('aa', 'ab') AND TABLE_SCHEMA";
        for schema in [restore.live.name(), undo.previous_database.clone()] {
            let found = restore.list(&format!("{owners} = '{schema}'")).await;
            assert_eq!(found, [format!("{}@127.0.0.1", restore.app)], "{}: {schema}", server.name);
        }
    }
}
