//! The fixture database of the MySQL family (`tests/fixtures/mysql/`): dumped, loaded into an empty database by every way that there is,
//! and compared: every table, view, routine, trigger, event, column attribute and row, FLOATs bit for bit.

use sennight_core::engine::EngineKind;
use sennight_engine::mysql::load::LoadMethod;
use sennight_storage::Store;
use sennight_worker::{ProgressWriter, directory};
use std::process::Command;
use testkit::mysql::picture::Picture;
use testkit::mysql::{Database, Server, say};
use testkit::{Bucket, copied, manifest, path, table, verify};

pub fn fixture(server: &Server) -> Database {
    let database = Database::create(server);
    let own = if server.engine == EngineKind::MySQL { "mysql" } else { "mariadb" };
    for file in ["common", own] {
        database.run(&testkit::file(&format!("tests/fixtures/mysql/{file}.sql")));
    }
    database
}

#[tokio::test(flavor = "multi_thread")]
async fn i4_the_fixture_database_comes_back_whole_by_every_way_on_every_server() {
    for server in Server::all() {
        comes_back(&fixture(&server), 2, "fixture database").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn i4_a_crm_comes_back_whole_by_every_way_on_every_server() {
    for server in Server::all() {
        let crm = Database::create(&server);
        crm.run(include_str!("crm.sql"));
        crm.run(crate::crm::MORE);
        comes_back(&crm, 0, "CRM").await;
    }
}

/// `events`: how many are on.
async fn comes_back(database: &Database, events: usize, what: &str) {
    let server = &database.server;
    server.script("", b"SET GLOBAL local_infile = 1");
    let bucket = Bucket::signed().await;
    let store = bucket.store().await;
    let before = Picture::of(database).await;
    let backup = database.dump(&store).await.unwrap_or_else(|e| panic!("{}: {e}", server.name));
    verify(&backup, &store).await.unwrap();
    let manifest = manifest(&backup, &store).await;
    assert!(manifest.tables.iter().all(|t| t.name != "__sennight_own"));
    // Nothing else is said of it: least of all that something of it could not be read.
    let owners = "DEFINER is left out of schema.sql, whose comments keep it; objects ran as: ";
    let (told, other): (Vec<_>, Vec<_>) = manifest.warnings.iter().partition(|warning| warning.starts_with(owners));
    assert_eq!((told.len(), other.len()), (usize::from(events > 0), 0), "{}: {:?}", server.name, manifest.warnings);
    assert!(told.iter().all(|warning| warning[owners.len()..].starts_with("root@")), "{}: {told:?}", server.name);
    for how in [LoadMethod::LoadData, LoadMethod::Insert] {
        let restored = Database::create(server);
        let filled = restored.fill(&backup, &manifest, &store, how).await;
        let last = filled.unwrap_or_else(|e| panic!("{} by {how:?}: {e}", server.name));
        let mut session = restored.session().await;
        let on =
            "SELECT COUNT(*) FROM information_schema.EVENTS WHERE EVENT_SCHEMA = DATABASE() AND STATUS = 'ENABLED'";
        let (on,): (i64,) = session.row(on, "test").await.unwrap();
        assert_eq!((on, last.len()), (0, events), "events are off until the cut-over");
        for statement in last {
            session.run(&statement.sql, "test").await.unwrap();
        }
        session.close().await;
        let differences = before.differences(&Picture::of(&restored).await);
        assert!(differences.is_empty(), "{} by {how:?}, not as it was:\n{}", server.name, differences.join("\n"));
    }
    by_stock_tools(server, &store, &backup, &before).await;
    say(&format!("{what} on {}: {} came back", server.name, before.summary()));
}

/// `restore --to-directory`, then its script with the stock client.
async fn by_stock_tools(
    server: &Server,
    store: &Store,
    backup: &sennight_core::result::BackupSummary,
    before: &Picture,
) {
    let dir = tempfile::tempdir().unwrap();
    let open = store.open(&testkit::backup_ref(backup), None).await.unwrap();
    let into = dir.path().join("backup");
    directory::write(store, &open, &into, &ProgressWriter::silent()).await.unwrap_or_else(|e| panic!("{e}"));
    let restored = Database::create(server);
    let options = dir.path().join("my.cnf");
    let password = testkit::env("SENNIGHT_TEST_MYSQL_PASSWORD");
    let text =
        format!("[client]\nhost=127.0.0.1\nport={}\nuser=root\npassword={password}\nprotocol=tcp\n", server.port());
    std::fs::write(&options, text).unwrap();
    let client = server.bin().join(if server.engine == EngineKind::MySQL { "mysql" } else { "mariadb" });
    let output = Command::new("bash")
        .arg(into.join("load.sh"))
        .arg(restored.name())
        .env("MYSQL", format!("{} --defaults-extra-file={}", path(&client), path(&options)))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}: {}", server.name, String::from_utf8_lossy(&output.stderr));
    let differences = before.differences(&Picture::of(&restored).await);
    assert!(differences.is_empty(), "{} by stock tools, not as it was:\n{}", server.name, differences.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_row_text_is_the_formats() {
    for server in Server::all() {
        let database = Database::create(&server);
        database.run(
            "CREATE TABLE t (id int PRIMARY KEY, f float, b bit(12), v varbinary(9), x varchar(20), z int(5) zerofill, d date, g int AS (id + 1) STORED, h int INVISIBLE DEFAULT 4, p point, ts timestamp(3) NULL);
             SET time_zone = '+02:00', sql_mode = '';
             INSERT INTO t (id, f, b, v, x, z, d, h, p, ts) VALUES (1, 16777216, b'101', x'00ff', 'a\\tb\\\\N😀', 7, '2026-00-00', 4, ST_GeomFromText('POINT(1 2)'), '2026-11-23 02:00:00.125'), (2, NULL, NULL, '', '', NULL, '0000-00-00', NULL, NULL, NULL);",
        );
        let bucket = Bucket::create().await;
        let store = bucket.store().await;
        let backup = database.dump(&store).await.unwrap_or_else(|e| panic!("{}: {e}", server.name));
        let manifest = manifest(&backup, &store).await;
        let table = table(&manifest, "t");
        let names: Vec<&str> = table.columns.iter().map(|c| c.name.as_str()).collect();
        assert_eq!(
            names,
            ["id", "f", "b", "v", "x", "z", "d", "h", "p", "ts"],
            "generated ones are not in it, invisible ones are"
        );
        let point = "000000000101000000000000000000f03f0000000000000040";
        let expected = format!(
            "1\t16777216\t0005\t00ff\ta\\tb\\\\N😀\t7\t2026-00-00\t4\t{point}\t2026-11-23 00:00:00.125\n2\t\\N\t\\N\t\t\t\\N\t0000-00-00\t\\N\t\\N\t\\N\n"
        );
        assert_eq!(String::from_utf8(copied(&backup, &store, table).await).unwrap(), expected, "{}", server.name);
        assert_eq!((manifest.server.encoding.as_str(), manifest.schema.object.as_str()), ("utf8mb4", "schema.sql"));
        assert_eq!(table.schema, database.name());
    }
}
