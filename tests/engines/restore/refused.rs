//! What would keep a full restore from working is told before anybody is asked, by its own word, and nothing is left behind.

use sennight_core::engine::EngineKind;
use sennight_engine::mysql::ident;
use sennight_protocol::restore::RestoreTask;
use testkit::mysql::Server;
use testkit::mysql::restore::MysqlRestore;
use testkit::unique;

async fn tenant(server: &Server) -> MysqlRestore {
    let restore = MysqlRestore::on(server).await;
    restore.live.run("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)");
    restore
}

/// The word, what makes the obstacle, what mends it.
fn obstacles(restore: &MysqlRestore, other: &str) -> Vec<(&'static str, String, String)> {
    let (name, account) = (ident(&restore.live.name()), format!("'{}'@'127.0.0.1'", restore.restore));
    let new = ident(&restore.new_database());
    let right = if restore.live.server.engine == EngineKind::MySQL { "CONNECTION_ADMIN" } else { "CONNECTION ADMIN" };
    let case = |word, make: &str, mend: &str| (word, make.to_owned(), mend.to_owned());
    vec![
        case("NonTransactional", "CREATE TABLE m (a int) ENGINE = MyISAM", "DROP TABLE m"),
        case(
            "ForeignKeysAcross",
            &format!("CREATE TABLE {other}.c (id int, FOREIGN KEY (id) REFERENCES {name}.t (id))"),
            &format!("DROP TABLE {other}.c"),
        ),
        case(
            "ForeignKeysAcross",
            &format!("CREATE TABLE c (id int, FOREIGN KEY (id) REFERENCES {other}.p (id))"),
            "DROP TABLE c",
        ),
        case("DefinersMissing", "CREATE DEFINER = 'nobody'@'nowhere' VIEW gone AS SELECT 1 AS one", "DROP VIEW gone"),
        case(
            "RightsMissing",
            &format!("REVOKE {right} ON *.* FROM {account}"),
            &format!("GRANT {right} ON *.* TO {account}"),
        ),
        case(
            "RoutineGrants",
            &format!(
                "CREATE PROCEDURE single () SELECT 1; GRANT EXECUTE ON PROCEDURE {name}.single TO '{}'@'127.0.0.1'",
                restore.app
            ),
            "DROP PROCEDURE single",
        ),
        case(
            "NameTaken",
            &format!("CREATE DATABASE {new}; CREATE TABLE {new}.theirs (a int)"),
            &format!("DROP DATABASE {new}"),
        ),
        case(
            "PreparedTransactions",
            "XA START 'sennight'; INSERT INTO t VALUES (7); XA END 'sennight'; XA PREPARE 'sennight'",
            "XA ROLLBACK 'sennight'",
        ),
    ]
}

/// One obstacle at a time: made, told, refused by `prepare` as well, mended. (An XA transaction minds only the swap, and is
/// the server's: other tests see it too, so that it stands for a moment only.)
#[tokio::test(flavor = "multi_thread")]
async fn each_obstacle_has_its_own_word_and_leaves_nothing_behind() {
    for server in Server::all() {
        let restore = tenant(&server).await;
        let backup = restore.dump().await;
        let others_aside = async || -> Vec<String> {
            let found = restore.refusals(&backup).await;
            found.into_iter().filter(|reason| reason != "PreparedTransactions").collect()
        };
        assert_eq!(others_aside().await, Vec::<String>::new(), "{}", server.name);
        let other = ident(&unique("o_"));
        restore.live.run(&format!("CREATE DATABASE {other}; CREATE TABLE {other}.p (id int PRIMARY KEY)"));
        for (reason, make, mend) in obstacles(&restore, &other) {
            restore.live.run(&make);
            if reason == "PreparedTransactions" {
                assert_eq!(restore.refusals(&backup).await, [reason], "{}", server.name);
            } else {
                assert_eq!(others_aside().await, [reason], "{}: {make}", server.name);
                let refused = restore.prepare(&restore.restore_task(&backup)).await.unwrap_err();
                assert_eq!(refused.reason, reason, "{}", server.name);
            }
            restore.live.run(&mend);
            assert_eq!(restore.beside().await, Vec::<String>::new(), "{}: {reason} left something", server.name);
        }
        assert_eq!(others_aside().await, Vec::<String>::new(), "{}: all is mended", server.name);
        restore.live.run(&format!("DROP DATABASE {other}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_the_request_or_the_backup_is_refused() {
    for server in Server::all() {
        let restore = tenant(&server).await;
        let backup = restore.dump().await;
        let small = RestoreTask { headroom_bytes: Some(1), ..restore.restore_task(&backup) };
        let reasons: Vec<String> = restore.preflight(&small).await.refusals.into_iter().map(|r| r.reason).collect();
        assert!(reasons.contains(&"HeadroomTooSmall".to_owned()), "{}: {reasons:?}", server.name);
        let task = restore.restore_task(&backup);
        let mut foreign = task.clone();
        foreign.identity.tenant = "another".to_owned();
        assert_eq!(restore.prepare(&foreign).await.unwrap_err().reason, "ForeignBackup");
        let done = restore.prepare(&task).await.unwrap();
        restore.cutover(&done, "pod").await.unwrap();
        assert!(restore.refusals(&backup).await.contains(&"AlreadyCutOver".to_owned()), "{}", server.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn i3_a_swap_that_cannot_have_the_tables_is_taken_back() {
    for server in Server::all() {
        let restore = tenant(&server).await;
        restore.live.run("CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW SET NEW.id = NEW.id + 0");
        let backup = restore.dump().await;
        restore.live.run("INSERT INTO t VALUES (2)");
        let task = restore.prepare(&restore.restore_task(&backup)).await.unwrap();
        // The administrator is outside the fence, and holds a table.
        let holder = restore.live.seen_by(&restore.admin, testkit::mysql::restore::PASSWORD);
        let mut session = holder.session().await;
        session.run("START TRANSACTION", "test").await.unwrap();
        session.run("SELECT COUNT(*) FROM t", "test").await.unwrap();
        let refused = restore.cutover(&task, "pod").await.unwrap_err();
        assert_eq!(refused.reason, "SessionsStay", "{}: {refused}", server.name);
        session.close().await;
        assert_eq!(restore.value("SELECT CAST(COUNT(*) AS CHAR) FROM t").await, "2");
        let triggers = format!(
            "SELECT TRIGGER_NAME FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = '{}'",
            restore.live.name()
        );
        assert_eq!(restore.list(&triggers).await, ["g"], "{}", server.name);
        assert!(!restore.locked(&restore.app).await);
        assert_eq!(restore.beside().await, [task.new_database.as_str()]);
        assert_eq!(restore.clear(&restore.clear_new()).await.unwrap().as_deref(), Some(task.new_database.as_str()));
    }
}
