//! Dumps of a real PostgreSQL server into a real bucket.

mod ddl;
mod faults;
mod flow;
mod golden;
mod recovery;
mod rights;
mod shell;

use sennight_core::engine::TlsMode;
use sennight_engine::postgres::read::Rows;
use sennight_engine::postgres::{connect, snapshot};
use sennight_worker::Verdict;
use std::time::{Duration, Instant};
use testkit::proxy::{Fault, Proxy};
use testkit::*;

/// Rows that no shortcut survives: every escape of the text format, floats, money, time zones, arrays, JSON, bytes.
const MANY_KINDS: &str = r#"
CREATE TABLE kinds (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, t text, f4 real, f8 double precision,
    n numeric, m money, d date, ts timestamptz, iv interval, b bytea, j jsonb, a text[], ok boolean,
    twice bigint GENERATED ALWAYS AS (id * 2) STORED);
ALTER TABLE kinds DROP COLUMN ok;
INSERT INTO kinds (t, f4, f8, n, m, d, ts, iv, b, j, a) VALUES
    (E'tab\t new\n line \\ back \r cr \\N', 16777216.0, 0.1, 1e100, '-12.34', '0044-03-15 BC',
     '2026-03-29 02:30:00+02', '1 mon -3 days', '\x00ff5c0a', '{"k": "\u00e9\t"}', '{a,NULL,"\"",""}'),
    (NULL, 'NaN', '-Infinity', 'NaN', NULL, 'infinity', '-infinity', NULL, '', 'null', '{}'),
    ('', 3.4e38, 5e-324, -0.000, '92233720368547758.07', NULL, NULL, '-178000000 years', NULL, '[]', NULL);
"#;

#[tokio::test]
async fn a_backup_holds_every_row_as_the_server_prints_it() {
    let (database, bucket) = (Database::create().await, Bucket::create().await);
    let store = bucket.store().await;
    database.run(MANY_KINDS).await;
    database.run("CREATE TABLE many AS SELECT i, md5(i::text) AS h FROM generate_series(1, 300000) i").await;

    let backup = dump(&database, &store).await.unwrap();
    let manifest = manifest(&backup, &store).await;

    for (name, columns) in [("kinds", "id, t, f4, f8, n, m, d, ts, iv, b, j, a"), ("many", "i, h")] {
        let table = table(&manifest, name);
        assert_eq!(
            sorted_lines(&copied(&backup, &store, table).await),
            database.rows(&format!("public.{name} ({columns})")).await
        );
        let names: Vec<&str> = table.columns.iter().map(|c| c.name.as_str()).collect();
        assert_eq!(names.join(", "), columns);
    }
    assert!(table(&manifest, "many").frames.len() > 1, "frames are cut");
    assert_eq!(table(&manifest, "kinds").columns[2].kind, "real");
    assert_eq!((backup.rows, backup.tables), (300_003, 2));
    assert_eq!(manifest.day, manifest.snapshot_time.with_timezone(&chrono_tz::Europe::Berlin).date_naive());
    let age = manifest.finished_at - manifest.snapshot_time;
    assert!((0..120).contains(&age.num_seconds()), "{age}");
    assert_eq!(verify(&backup, &store).await.unwrap(), backup);
}

#[tokio::test]
async fn i4_a_table_truncated_while_the_dump_waits_for_its_lock_is_not_empty() {
    let (database, bucket) = (Database::create().await, Bucket::create().await);
    let store = bucket.store().await;
    database.run("CREATE TABLE t AS SELECT i FROM generate_series(1, 777) i").await;
    // Whoever takes the snapshot before the lock sees neither the old rows nor the new ones.
    let other = database.session().await;
    other.batch_execute("BEGIN; TRUNCATE public.t; INSERT INTO public.t SELECT generate_series(1, 777)").await.unwrap();

    let dumping = async { dump(&database, &store).await.unwrap() };
    let committing = async {
        database.wait_for_a_waiting_dump().await;
        other.batch_execute("COMMIT").await.unwrap();
    };
    let (backup, ()) = tokio::join!(dumping, committing);

    assert_eq!(backup.rows, 777);
}

#[tokio::test]
async fn a_table_dropped_while_the_dump_waits_for_its_lock_is_no_failure() {
    let (database, bucket) = (Database::create().await, Bucket::create().await);
    let store = bucket.store().await;
    database.run("CREATE TABLE gone (i int); CREATE TABLE stays AS SELECT 1 AS i").await;
    let other = database.session().await;
    other.batch_execute("BEGIN; DROP TABLE public.gone; CREATE TABLE public.come (i int)").await.unwrap();

    let dumping = async { dump(&database, &store).await.unwrap() };
    let committing = async {
        database.wait_for_a_waiting_dump().await;
        other.batch_execute("COMMIT").await.unwrap();
    };
    let (backup, ()) = tokio::join!(dumping, committing);

    let names: Vec<String> = manifest(&backup, &store).await.tables.into_iter().map(|t| t.name).collect();
    assert_eq!(names, ["come", "stays"]);
}

#[tokio::test]
async fn i4_a_lock_that_is_not_to_be_had_fails_the_dump_and_not_the_tenant() {
    let (database, bucket) = (Database::create().await, Bucket::create().await);
    let store = bucket.store().await;
    database.run("CREATE TABLE t (i int)").await;
    let other = database.session().await;
    other.batch_execute("BEGIN; LOCK TABLE public.t").await.unwrap();
    let mut task = dump_task("acme", &database.target);
    task.lock_timeout_seconds = 1;

    let error = dump_with(&task, &context(&store)).await.unwrap_err();

    assert_eq!((error.reason.as_str(), error.verdict), ("LockTimeout", Verdict::Retry), "{error}");
    assert_eq!(bucket.keys().await, Vec::<String>::new());
}

#[tokio::test]
async fn the_wait_for_locks_is_bounded_for_all_tables_together() {
    let (database, bucket) = (Database::create().await, Bucket::create().await);
    let store = bucket.store().await;
    database.run("CREATE TABLE a (i int); CREATE TABLE b (i int)").await;
    let (first, second) = (database.session().await, database.session().await);
    first.batch_execute("BEGIN; LOCK TABLE public.a").await.unwrap();
    second.batch_execute("BEGIN; LOCK TABLE public.b").await.unwrap();
    let mut task = dump_task("acme", &database.target);
    task.lock_timeout_seconds = 4;

    let began = Instant::now();
    let context = context(&store);
    let dumping = dump_with(&task, &context);
    let releasing = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        first.batch_execute("COMMIT").await.unwrap();
    };
    let (dumped, ()) = tokio::join!(dumping, releasing);

    // Each table for itself would be 3 + 4 seconds.
    let error = dumped.unwrap_err();
    assert_eq!(error.reason, "LockTimeout", "{error}");
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_reader_never_queues_behind_ddl_that_waits_for_the_leader() {
    let database = Database::create().await;
    database.run("CREATE TABLE t AS SELECT 1 AS i").await;
    let leader = snapshot::open(&database.target, "sennight-dump", Duration::from_secs(5)).await.unwrap();
    let altering = database.session().await;
    let alter = altering.batch_execute("ALTER TABLE public.t ADD COLUMN j int");
    let reading = async {
        database
            .wait_for(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                  AND wait_event_type = 'Lock' AND query LIKE 'ALTER TABLE%'",
            )
            .await;
        let reader = snapshot::join(&database.target, "sennight-dump", &leader.snapshot).await.unwrap();
        let mut rows = Rows::open(&reader, &leader.inventory.tables[0], None, true, 1 << 20).await.unwrap();
        let error = rows.next().await.expect_err("the lock cannot be had");
        assert_eq!(error.reason(), "LockTimeout", "{error}");
        snapshot::finish(leader.session).await.unwrap();
    };
    let (altered, ()) = tokio::join!(alter, reading);
    altered.unwrap();
}

#[tokio::test]
async fn the_text_format_knows_odd_names_partitions_and_tables_without_columns() {
    let (database, bucket) = (Database::create().await, Bucket::create().await);
    let store = bucket.store().await;
    database
        .run(
            r#"
CREATE SCHEMA "Sch ema.*";
CREATE TABLE "Sch ema.*"."we""ird ? [a-z]* 名 $1" ("Col ""x""" int, "select" text);
INSERT INTO "Sch ema.*"."we""ird ? [a-z]* 名 $1" VALUES (1, 'odd');
CREATE TABLE nothing (); INSERT INTO nothing DEFAULT VALUES; INSERT INTO nothing DEFAULT VALUES;
CREATE TABLE generated_only (g int GENERATED ALWAYS AS (1) STORED); INSERT INTO generated_only DEFAULT VALUES;
CREATE TABLE parted (k int, v text) PARTITION BY RANGE (k);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (10);
CREATE TABLE parted_2 PARTITION OF parted FOR VALUES FROM (10) TO (20) PARTITION BY LIST (v);
CREATE TABLE parted_2_a PARTITION OF parted_2 FOR VALUES IN ('a');
INSERT INTO parted VALUES (1, 'x'), (11, 'a'), (12, 'a');
CREATE TABLE parent (i int); CREATE TABLE child (j int) INHERITS (parent);
INSERT INTO parent VALUES (1); INSERT INTO child VALUES (2, 3);
CREATE UNLOGGED TABLE unlogged AS SELECT 5 AS i;
CREATE TABLE empty (i int);
CREATE MATERIALIZED VIEW mat AS SELECT * FROM parted; CREATE VIEW v AS SELECT * FROM parted;
CREATE SEQUENCE counted START 5; SELECT nextval('public.counted'); CREATE SEQUENCE fresh;
"#,
        )
        .await;

    let backup = dump(&database, &store).await.unwrap();
    let manifest = manifest(&backup, &store).await;

    let rows: Vec<(&str, i64)> = manifest.tables.iter().map(|t| (t.name.as_str(), t.rows)).collect();
    let expected = [
        ("we\"ird ? [a-z]* 名 $1", 1),
        ("child", 1),
        ("empty", 0),
        ("generated_only", 1),
        ("nothing", 2),
        ("parent", 1),
        ("parted_1", 1),
        ("parted_2_a", 2),
        ("unlogged", 1),
    ];
    assert_eq!(rows, expected);
    assert_eq!(copied(&backup, &store, table(&manifest, "nothing")).await, b"\n\n");
    assert_eq!(copied(&backup, &store, table(&manifest, "parent")).await, b"1\n", "children are read by themselves");
    let states: Vec<_> = manifest.sequences.iter().map(|s| (s.name.as_str(), s.last_value, s.is_called)).collect();
    assert_eq!(states, [("counted", 5, true), ("fresh", 1, false)]);
    let archive = store.get(&format!("{}{}", backup.prefix, manifest.schema.object)).await.unwrap();
    let script = pg_restore(&archive, &["-f", "-"]);
    assert!(script.contains("REFRESH MATERIALIZED VIEW public.mat"));
    assert!(!script.contains("\nCOPY "), "the archive holds no table's rows:\n{script}");
    assert!(!script.contains("setval"), "where sequences stand is in the manifest, which is read after the rows");
    verify(&backup, &store).await.unwrap();
}

/// Runs pg_restore on an archive and gives what it prints.
fn pg_restore(archive: &[u8], arguments: &[&str]) -> String {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), archive).unwrap();
    let program = std::path::Path::new(&env("SENNIGHT_TEST_PG_BIN")).join("pg_restore");
    let output = std::process::Command::new(program).args(arguments).arg(file.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn a_database_name_that_looks_like_a_connection_string_leads_nowhere_else() {
    let bucket = Bucket::create().await;
    let store = bucket.store().await;
    let database = Database::named(&format!("host=127.0.0.1 port=1 'x\" {} ", unique("")), "").await;
    database.run("CREATE TABLE here AS SELECT 42 AS i").await;

    let backup = dump(&database, &store).await.unwrap();

    assert_eq!(backup.rows, 1);
    let archive = store.get(&format!("{}schema.pgdump", backup.prefix)).await.unwrap();
    assert!(pg_restore(&archive, &["-l"]).contains("TABLE public here"));
}

#[tokio::test]
async fn rows_keep_the_encoding_of_their_database() {
    let bucket = Bucket::create().await;
    let store = bucket.store().await;
    let database = Database::named(&unique("latin_"), "TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'").await;
    database.run("CREATE TABLE \"Käse\" (\"größe\" text); INSERT INTO \"Käse\" VALUES ('zähe')").await;

    let backup = dump(&database, &store).await.unwrap();
    let manifest = manifest(&backup, &store).await;

    assert_eq!(manifest.server.encoding, "LATIN1");
    assert_eq!(copied(&backup, &store, table(&manifest, "Käse")).await, b"z\xe4he\n");
    let archive = store.get(&format!("{}schema.pgdump", backup.prefix)).await.unwrap();
    let script = pg_restore(&archive, &["-f", "-"]);
    assert!(script.contains("Käse") && !script.contains("\nCOPY "), "excluded by name in any encoding");
}

#[tokio::test]
async fn an_empty_database_is_a_backup_with_a_warning() {
    let (database, bucket) = (Database::create().await, Bucket::create().await);
    let store = bucket.store().await;

    let backup = dump(&database, &store).await.unwrap();

    assert_eq!((backup.rows, backup.tables), (0, 0));
    assert!(manifest(&backup, &store).await.warnings.iter().any(|w| w.contains("no tables")));
    verify(&backup, &store).await.unwrap();
}

#[tokio::test]
async fn rows_of_extensions_and_foreign_tables_are_accounted_for() {
    let (database, bucket) = (Database::create().await, Bucket::create().await);
    let store = bucket.store().await;
    database
        .run(
            "CREATE EXTENSION file_fdw; CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
             CREATE FOREIGN TABLE outside (line text) SERVER files OPTIONS (filename '/dev/null');
             CREATE EXTENSION pg_trgm; CREATE TABLE owned (i int); ALTER EXTENSION pg_trgm ADD TABLE owned",
        )
        .await;

    let backup = dump(&database, &store).await.unwrap();
    let manifest = manifest(&backup, &store).await;

    assert_eq!(manifest.tables.len(), 0);
    let said = |what: &str| manifest.warnings.iter().any(|w| w.contains(what));
    assert!(said("public.outside is a foreign table") && said("public.owned belongs to extension pg_trgm"));
    assert!(manifest.server.extensions.iter().any(|e| e.name == "pg_trgm" && !e.version.is_empty()));
}

#[tokio::test]
async fn rows_that_row_level_security_hides_are_an_error_and_not_left_out() {
    let (database, bucket) = (Database::create().await, Bucket::create().await);
    let store = bucket.store().await;
    let role = unique("reader_");
    database
        .run(&format!(
            "CREATE ROLE {role} LOGIN PASSWORD 'geh:eim\\x' IN ROLE pg_read_all_data;
             CREATE TABLE secret AS SELECT i FROM generate_series(1, 1000) i;
             ALTER TABLE secret ENABLE ROW LEVEL SECURITY;
             CREATE POLICY half ON secret USING (i > 500)"
        ))
        .await;

    let error = dump(&database.seen_by(&role, "geh:eim\\x"), &store).await.unwrap_err();

    assert_eq!((error.reason.as_str(), error.verdict), ("RowSecurity", Verdict::Refused), "{error}");
    assert!(error.message.contains("BYPASSRLS"));
    assert_eq!(bucket.manifests().await, 0);
    database.run(&format!("ALTER ROLE {role} BYPASSRLS")).await;
    let backup = dump(&database.seen_by(&role, "geh:eim\\x"), &store).await.unwrap();
    assert_eq!(backup.rows, 1000);
    assert!(manifest(&backup, &store).await.roles.iter().any(|r| *r == env("SENNIGHT_TEST_PG_USER")));
}

#[tokio::test]
async fn a_login_that_cannot_work_is_refused_with_its_reason() {
    let (database, bucket) = (Database::create().await, Bucket::create().await);
    let store = bucket.store().await;
    let role = unique("poor_");
    database.run(&format!("CREATE TABLE t (i int); CREATE ROLE {role} LOGIN PASSWORD 'p'")).await;
    let mut missing = Database::existing("no such database");
    missing.target.tls = database.target.tls.clone();
    for (seen, reason) in [
        (database.seen_by("postgres", "wrong"), "LoginRefused"),
        (database.seen_by(&role, "p"), "PermissionDenied"),
        (missing, "DatabaseMissing"),
    ] {
        let error = dump(&seen, &store).await.unwrap_err();
        assert_eq!((error.reason.as_str(), error.verdict), (reason, Verdict::Refused), "{error}");
    }
    let mut nobody = database.target.clone();
    nobody.port = 1;
    let error = dump_with(&dump_task("acme", &nobody), &context(&store)).await.unwrap_err();
    assert_eq!((error.reason.as_str(), error.verdict), ("Unreachable", Verdict::Retry), "{error}");
    assert_eq!(bucket.keys().await, Vec::<String>::new());
}

#[tokio::test]
async fn tls_is_checked_as_far_as_its_mode_says() {
    let database = Database::create().await;
    let server = format!("{}:{}", database.target.host, database.target.port);
    // The certificate is for localhost and 127.0.0.1, so this address is a wrong host.
    let wrong_host = Proxy::start("127.0.0.2", &server, Fault::None).await;
    let other_ca = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(other_ca.path(), testkit::file("tests/testkit/other-ca.pem")).unwrap();
    let other_ca = path(other_ca.path());
    let ca = env("SENNIGHT_TEST_PG_CA");
    for (mode, ca, host_is_right, works) in [
        (TlsMode::VerifyFull, &ca, true, true),
        (TlsMode::VerifyFull, &ca, false, false),
        (TlsMode::VerifyFull, &other_ca, true, false),
        (TlsMode::VerifyCA, &ca, false, true),
        (TlsMode::VerifyCA, &other_ca, true, false),
        (TlsMode::Require, &other_ca, false, true),
        (TlsMode::Disable, &ca, true, true),
    ] {
        let mut target = database.target.clone();
        target.tls.mode = mode;
        target.tls.ca_file = Some(ca.clone());
        if !host_is_right {
            target.host = wrong_host.address.ip().to_string();
            target.port = wrong_host.address.port();
        }
        let case = format!("{mode}, right host: {host_is_right}");
        match connect(&target, &target.database, "test").await {
            Ok(session) => {
                assert!(works, "{case} was let in");
                let encrypted =
                    session.query_one("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()", &[]).await.unwrap();
                assert_eq!(encrypted.get::<_, bool>(0), mode != TlsMode::Disable, "{case}");
            }
            Err(error) => {
                assert!(!works, "{case}: {error}");
                assert_eq!((error.reason(), error.retryable()), ("TlsRefused", false), "{case}: {error}");
            }
        }
    }
}

#[tokio::test]
async fn pg_dump_checks_tls_as_far_as_the_mode_says() {
    let (database, bucket) = (Database::create().await, Bucket::create().await);
    let store = bucket.store().await;
    let server = format!("{}:{}", database.target.host, database.target.port);
    let wrong_host = Proxy::start("127.0.0.2", &server, Fault::None).await;
    let mut seen = Database::existing(&database.target.database);
    seen.target.host = wrong_host.address.ip().to_string();
    seen.target.port = wrong_host.address.port();
    seen.target.tls.mode = TlsMode::VerifyCA;
    dump(&seen, &store).await.unwrap();
    seen.target.tls.mode = TlsMode::VerifyFull;
    assert_eq!(dump(&seen, &store).await.unwrap_err().reason, "TlsRefused");
}
