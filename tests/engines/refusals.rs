//! What is refused, and with which word.

use sennight_core::engine::EngineKind;
use sennight_core::engine::TlsMode;
use sennight_engine::mysql::load::LoadMethod;
use sennight_engine::mysql::{connect, ident};
use sennight_worker::TaskError;
use testkit::mysql::{Database, Server};
use testkit::{Bucket, context, credential_files, dump_with, env, manifest, path, unique};

async fn reason(database: &Database, store: &sennight_storage::Store) -> String {
    database.dump(store).await.map(|_| ()).map_err(|e| e.reason).err().unwrap_or_else(|| "dumped".to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn i4_what_cannot_be_copied_faithfully_is_refused() {
    let bucket = Bucket::create().await;
    let store = bucket.store().await;
    for server in Server::all() {
        let lossy = Database::create(&server);
        lossy.run("CREATE TABLE t (s varchar(9) CHARACTER SET cp932); INSERT INTO t VALUES (_cp932 x'FA54')");
        assert_eq!(reason(&lossy, &store).await, "LossyText", "{}", server.name);

        let other = Database::create(&server);
        other.run("CREATE TABLE t (a int) ENGINE = MyISAM; INSERT INTO t VALUES (1)");
        let error = other.dump(&store).await.map(|_| ()).unwrap_err();
        assert!(error.reason == "NonTransactional" && error.message.contains("t (MyISAM)"), "{}: {error}", server.name);
        let mut task = other.dump_task();
        task.allow_non_transactional = true;
        let backup = dump_with(&task, &context(&store)).await.unwrap();
        let manifest = manifest(&backup, &store).await;
        assert!(manifest.warnings.iter().any(|w| w.contains("t (MyISAM)")), "{:?}", manifest.warnings);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn i4_an_account_that_may_be_shown_less_than_there_is_is_refused() {
    let bucket = Bucket::create().await;
    let store = bucket.store().await;
    for server in Server::all() {
        let database = Database::create(&server);
        database.run(
            "CREATE TABLE t (a int); INSERT INTO t VALUES (1); CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW SET NEW.a = 2;
             CREATE FUNCTION f () RETURNS int DETERMINISTIC RETURN 1",
        );
        let (user, on) = (unique("u"), ident(&database.name()));
        let account = format!("'{user}'@'127.0.0.1'");
        let all = if server.engine == EngineKind::MySQL {
            format!("GRANT SHOW_ROUTINE ON *.* TO {account}")
        } else {
            format!("GRANT SELECT ON mysql.proc TO {account}")
        };
        let seen = database.seen_by(&user, "secret's");
        database.run(&format!(
            "CREATE USER {account} IDENTIFIED BY 'secret''s'; GRANT SELECT, SHOW VIEW, EVENT ON {on}.* TO {account}"
        ));
        let error = seen.dump(&store).await.map(|_| ()).unwrap_err();
        assert_eq!(error.reason, "PermissionDenied", "{}: {error}", server.name);
        assert!(error.message.contains("TRIGGER"), "{error}");
        database.run(&format!("GRANT TRIGGER ON {on}.* TO {account}; {all}"));
        seen.dump(&store).await.unwrap_or_else(|e| panic!("{}: {e}", server.name));
        database.run(&format!("DROP USER {account}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_cannot_be_say_why() {
    for server in Server::all() {
        let database = Database::create(&server);
        let mut wrong = database.target.clone();
        let name = database.name();
        let why = async |target: &_, name: &str| -> String {
            connect(target, name, "test").await.map(|_| ()).map_err(|e| e.reason().to_owned()).err().unwrap_or_default()
        };
        assert_eq!(why(&wrong, "no such database").await, "DatabaseMissing", "{}", server.name);
        wrong.tls.ca_file = Some(path(&testkit::repository().join("tests/testkit/other-ca.pem")));
        assert_eq!(why(&wrong, &name).await, "TlsRefused", "{}", server.name);
        wrong.tls.mode = TlsMode::Require;
        assert_eq!(why(&wrong, &name).await, "", "{}: Require asks for no CA", server.name);
        wrong.engine = if server.engine == EngineKind::MySQL { EngineKind::MariaDB } else { EngineKind::MySQL };
        assert_eq!(why(&wrong, &name).await, "WrongEngine", "{}", server.name);
        let credentials = credential_files(&[("username", &env("SENNIGHT_TEST_MYSQL_USER")), ("password", "wrong")]);
        wrong.credentials_dir = path(credentials.path());
        assert_eq!(why(&wrong, &name).await, "LoginRefused", "{}", server.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn i3_nothing_is_loaded_over_what_is_there_and_no_other_engines_backup() {
    for server in Server::all() {
        let (database, bucket) = (Database::create(&server), Bucket::create().await);
        let store = bucket.store().await;
        database.run("CREATE TABLE t (a int); INSERT INTO t VALUES (1)");
        let backup = database.dump(&store).await.unwrap();
        let mut manifest = manifest(&backup, &store).await;
        let fill = async |manifest: &_| -> TaskError {
            database.fill(&backup, manifest, &store, LoadMethod::Insert).await.map(|_| ()).unwrap_err()
        };
        assert_eq!(fill(&manifest).await.reason, "DatabaseNotEmpty", "{}", server.name);
        manifest.identity.engine = EngineKind::PostgreSQL;
        assert_eq!(fill(&manifest).await.reason, "EngineUnsupported", "{}", server.name);
    }
}

/// Hex doubles it: half of what the server takes is too much for INSERT, and none for LOAD DATA LOCAL.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_no_insert_holds_is_refused_by_name_and_loaded_where_the_server_allows_it() {
    for server in Server::all() {
        server.script("", b"SET GLOBAL local_infile = 1");
        let (database, bucket) = (Database::create(&server), Bucket::create().await);
        let store = bucket.store().await;
        let packet = database.session().await.max_allowed_packet();
        database.run(&format!(
            "CREATE TABLE small (a int); INSERT INTO small VALUES (1); CREATE TABLE large (b longblob); INSERT INTO large VALUES (REPEAT(x'5c', {}))",
            packet / 5 * 3
        ));
        let backup = database.dump(&store).await.unwrap_or_else(|e| panic!("{}: {e}", server.name));
        let manifest = manifest(&backup, &store).await;
        let into = Database::create(&server);
        let refused = into.fill(&backup, &manifest, &store, LoadMethod::Insert).await.map(|_| ()).unwrap_err();
        assert_eq!(refused.reason, "RowTooLarge", "{}: {refused}", server.name);
        for word in ["row of large", "max_allowed_packet", "local_infile"] {
            assert!(refused.message.contains(word), "{refused}");
        }
        let into = Database::create(&server);
        into.fill(&backup, &manifest, &store, LoadMethod::LoadData)
            .await
            .unwrap_or_else(|e| panic!("{}: {e}", server.name));
    }
}
