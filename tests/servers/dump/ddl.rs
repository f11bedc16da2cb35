//! A tenant's DDL while a dump runs: it waits no longer than agreed, and what it changes is never half in a backup.

use sennight_engine::postgres::{schema_drift, snapshot};
use sennight_storage::Store;
use sennight_worker::Verdict;
use std::time::{Duration, Instant};
use testkit::proxy::{Fault, Proxy};
use testkit::*;

const STALL_AFTER: u64 = 4 << 20;
const BIG: &str = "CREATE TABLE big AS SELECT i, sha512(i::text::bytea) AS h FROM generate_series(1, 200000) i";

#[tokio::test]
async fn ddl_waits_for_a_running_dump_no_longer_than_its_limit() {
    let (database, bucket) = (Database::create().await, Bucket::create().await);
    database.run(BIG).await;
    // The bucket answers no more: nothing on the client's side would end the dump within the limit.
    let endpoint = bucket.target.endpoint.as_ref().unwrap();
    let proxy = Proxy::start("127.0.0.1", endpoint, Fault::StallAfter(STALL_AFTER)).await;
    let store = Store::connect(&bucket.through(proxy.endpoint())).await.unwrap();
    let mut task = dump_task("acme", &database.target);
    task.ddl_wait_seconds = 3;
    let altering = async {
        proxy.wait_for(STALL_AFTER).await;
        let session = database.session().await;
        let asked = Instant::now();
        session.batch_execute("ALTER TABLE public.big ADD COLUMN later int").await.unwrap();
        let waited = asked.elapsed();
        proxy.heal();
        waited
    };

    let context = context(&store);
    let (dumped, waited) = tokio::join!(dump_with(&task, &context), altering);

    let error = dumped.unwrap_err();
    assert_eq!((error.reason.as_str(), error.verdict), ("BlockingDdl", Verdict::Retry), "{error}");
    assert!(error.message.contains("AccessExclusiveLock on relation public.big"), "{error}");
    assert!((Duration::from_millis(2500)..Duration::from_secs(10)).contains(&waited), "it waited {waited:?}");
    assert_eq!(bucket.manifests().await, 0);
    let backup = dump(&database, &bucket.store().await).await.unwrap();
    assert_eq!(backup.rows, 200_000);
}

#[tokio::test]
async fn a_dump_that_ends_within_the_limit_is_not_given_up_for_ddl() {
    let (database, bucket) = (Database::create().await, Bucket::create().await);
    database.run(BIG).await;
    let endpoint = bucket.target.endpoint.as_ref().unwrap();
    let proxy = Proxy::start("127.0.0.1", endpoint, Fault::StallAfter(STALL_AFTER)).await;
    let store = Store::connect(&bucket.through(proxy.endpoint())).await.unwrap();
    let mut task = dump_task("acme", &database.target);
    task.ddl_wait_seconds = 20;
    let session = database.session().await;
    let altering = async {
        proxy.wait_for(STALL_AFTER).await;
        session.batch_execute("ALTER TABLE public.big ADD COLUMN later int").await.unwrap();
    };
    let healing = async {
        proxy.wait_for(STALL_AFTER).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        proxy.heal();
    };

    let context = context(&store);
    let (dumped, (), ()) = tokio::join!(dump_with(&task, &context), altering, healing);

    let columns = manifest(&dumped.unwrap(), &store).await.tables[0].columns.len();
    assert_eq!(columns, 2, "the backup is of before");
}

/// What the dump would find at its end if `meanwhile` happened after its snapshot.
async fn drifted(before: &str, meanwhile: &str) -> Option<String> {
    let database = Database::create().await;
    database.run(before).await;
    let leader = snapshot::open(&database.target, "sennight-dump", Duration::from_secs(5)).await.unwrap();
    let tenant = database.session().await;
    tenant.batch_execute("SET lock_timeout = '2s'").await.unwrap();
    for statement in meanwhile.split(";;") {
        tenant.batch_execute(statement).await.unwrap_or_else(|e| panic!("{statement}: {e:?}"));
    }
    let checked = schema_drift::check(&leader.session, &database.target, "sennight-dump").await;
    checked.err().map(|error| {
        assert_eq!((error.reason(), error.retryable()), ("SchemaChanged", true));
        error.to_string()
    })
}

const SCHEMA: &str = "
CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE DOMAIN d AS int CHECK (VALUE > 0); CREATE TYPE pair AS (a int);
CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'; CREATE FUNCTION t() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TABLE tab (i int PRIMARY KEY, m mood DEFAULT 'sad'); CREATE VIEW v AS SELECT i, f() AS f FROM tab; CREATE SEQUENCE s MAXVALUE 100;
CREATE TRIGGER tr AFTER INSERT ON tab EXECUTE FUNCTION t(); CREATE MATERIALIZED VIEW mat AS SELECT 1 AS a; CREATE SCHEMA other";

#[tokio::test]
async fn i4_what_is_printed_as_it_is_now_must_be_as_it_was() {
    for (meanwhile, what) in [
        ("ALTER FUNCTION f() RENAME TO g", "function f"),
        ("CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 2'", "function f"),
        ("ALTER TYPE mood RENAME VALUE 'sad' TO 'blue'", "enum value sad"),
        // There and back: pg_dump may have looked in between.
        (
            "ALTER TYPE mood RENAME VALUE 'sad' TO 'blue';; ALTER TYPE mood RENAME VALUE 'blue' TO 'sad'",
            "enum value sad",
        ),
        ("ALTER FUNCTION f() RENAME TO g;; ALTER FUNCTION g() RENAME TO f", "function f"),
        ("ALTER VIEW v RENAME TO w;; ALTER VIEW w RENAME TO v", "type "),
        (
            "CREATE TABLE newer (x int);; CREATE OR REPLACE VIEW v AS SELECT i, f() AS f FROM tab WHERE i IN (SELECT x FROM newer)",
            "rule _RETURN",
        ),
        ("ALTER VIEW v RENAME COLUMN f TO g", "column f"),
        ("ALTER SEQUENCE s MAXVALUE 1000 RESTART 500", "sequence public.s"),
        ("ALTER SCHEMA other RENAME TO another", "schema other"),
        ("ALTER INDEX tab_pkey RENAME TO tab_key", "relation tab_pkey"),
        ("DROP MATERIALIZED VIEW mat", "was altered or dropped"),
        ("ALTER DOMAIN d DROP CONSTRAINT d_check", "constraint d_check"),
        (
            "CREATE FUNCTION t2() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';; CREATE OR REPLACE TRIGGER tr AFTER INSERT ON tab EXECUTE FUNCTION t2()",
            "trigger tr",
        ),
    ] {
        let found = drifted(SCHEMA, meanwhile).await;
        assert!(found.as_ref().is_some_and(|words| words.contains(what)), "{meanwhile}: {found:?}");
    }
}

#[tokio::test]
async fn what_does_not_reach_into_the_snapshot_is_no_reason_to_give_a_dump_up() {
    let harmless = "INSERT INTO tab SELECT generate_series(1, 1000);; CREATE INDEX ON tab (m);; ANALYZE;; VACUUM tab;;
        GRANT SELECT ON tab TO PUBLIC;; GRANT EXECUTE ON FUNCTION f() TO PUBLIC;; REVOKE EXECUTE ON FUNCTION f() FROM PUBLIC;;
        SELECT nextval('s');; SELECT setval('s', 50);; CREATE TEMP TABLE tt (i serial PRIMARY KEY);; DROP TABLE tt;;
        CREATE TABLE newer (i int);; DROP TABLE newer;; ALTER TYPE mood ADD VALUE 'new';; REFRESH MATERIALIZED VIEW mat;; REINDEX INDEX tab_pkey;;
        BEGIN;; ALTER FUNCTION f() RENAME TO g;; DROP VIEW v;; ROLLBACK;; ALTER TABLE tab SET (autovacuum_enabled = off);; COMMENT ON VIEW v IS 'x'";
    assert_eq!(drifted(SCHEMA, harmless).await, None);
}
