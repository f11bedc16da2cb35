//! `prepare` fails without a trace, can be repeated, and takes every name and every row.

use sennight_engine::postgres::create::marker_limit;
use sennight_engine::postgres::{ident, literal};
use sennight_worker::Verdict;
use std::time::Duration;
use testkit::postgres::restore::{PostgresRestore, first_data, tamper};

const TABLE: &str = "CREATE TABLE public.t (id int PRIMARY KEY, v text); INSERT INTO public.t SELECT n, md5(n::text) FROM generate_series(1, 20000) n";

#[tokio::test(flavor = "multi_thread")]
async fn i3_a_damaged_backup_fails_and_leaves_no_trace() {
    let world = PostgresRestore::new("damaged").await;
    world.sql_as("owner", &world.database, TABLE).await;
    let backup = world.dump().await;
    let task = world.restore_task(&backup);
    let key = first_data(&world.store, &backup).await;
    tamper(&world.store, &key, |bytes| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    })
    .await;
    let before = world.databases().await;
    let failed = world.prepare(&task).await.unwrap_err();
    assert_eq!((failed.reason.as_str(), failed.verdict), ("BackupDamaged", Verdict::Refused), "{failed}");
    assert_eq!(world.databases().await, before);
    // A second failure of the same kind: the schema archive.
    tamper(&world.store, &key, |bytes| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    })
    .await;
    tamper(&world.store, &format!("{}schema.pgdump", backup.prefix), |bytes| bytes[100] ^= 1).await;
    let failed = world.prepare(&task).await.unwrap_err();
    assert_eq!(failed.reason, "BackupDamaged", "{failed}");
    assert_eq!(world.databases().await, before);
}

/// More than what is read whole before the server is touched.
#[tokio::test(flavor = "multi_thread")]
async fn i3_damage_at_the_end_of_a_large_backup_is_met_while_it_is_loaded_and_leaves_no_trace() {
    let world = PostgresRestore::new("large").await;
    let noise = "CREATE TABLE public.t AS SELECT n AS id, \
         (SELECT string_agg(sha512((n::text || ' ' || k)::bytea), '') FROM generate_series(1, 32) k) AS v FROM generate_series(1, 20000) n";
    world.sql_as("owner", &world.database, noise).await;
    let backup = world.dump().await;
    assert!(backup.bytes > 32 << 20, "{} bytes are a small backup", backup.bytes);
    let task = world.restore_task(&backup);
    let key = first_data(&world.store, &backup).await;
    let flip = |bytes: &mut Vec<u8>| *bytes.last_mut().unwrap() ^= 1;
    tamper(&world.store, &key, flip).await;
    let before = world.databases().await;
    let failed = world.prepare(&task).await.unwrap_err();
    assert_eq!((failed.reason.as_str(), failed.verdict), ("BackupDamaged", Verdict::Refused), "{failed}");
    assert_eq!(world.databases().await, before);
    tamper(&world.store, &key, flip).await;
    world.prepare(&task).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_after_a_crash_drops_its_own_and_only_its_own() {
    let world = PostgresRestore::new("again").await;
    world.sql_as("owner", &world.database, TABLE).await;
    let backup = world.dump().await;
    let task = world.restore_task(&backup);
    let new = ident(&world.new_database());

    // Killed while it was filling: marked, half full, a session still on it.
    let first = world.prepare(&task).await.unwrap();
    let lingering = world.session("restore", &world.new_database()).await;
    let second = world.prepare(&task).await.unwrap();
    assert_ne!(first.new_oid, second.new_oid);
    assert!(lingering.query("SELECT 1", &[]).await.is_err());
    // The cut-over that was made for the first attempt's database is refused.
    let refused = world.cutover(&first, "pod").await.unwrap_err();
    assert_eq!(refused.reason, "DatabasesChanged");

    // Killed between CREATE DATABASE and COMMENT.
    let restore = world.role("restore");
    world.sql("postgres", &format!("DROP DATABASE {new}")).await;
    let made = format!(
        "CREATE DATABASE {new} OWNER {} ALLOW_CONNECTIONS false CONNECTION LIMIT {}",
        world.role("owner"),
        marker_limit(&world.uid)
    );
    world.sql("postgres", &made).await;
    let third = world.prepare(&task).await.unwrap();

    // Somebody's own words on it: not ours any more.
    world.sql("postgres", &format!("COMMENT ON DATABASE {new} IS 'do not touch'")).await;
    let refused = world.prepare(&task).await.unwrap_err();
    assert_eq!((refused.reason.as_str(), refused.verdict), ("NameTaken", Verdict::Refused), "{restore}");
    assert_eq!(world.oid(&world.new_database()).await, Some(third.new_oid));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_attempt_cleans_up_after_itself() {
    let world = PostgresRestore::new("cancel").await;
    let sql = "CREATE TABLE public.t (v text); INSERT INTO public.t SELECT repeat(md5(n::text), 30) FROM generate_series(1, 60000) n";
    world.sql_as("owner", &world.database, sql).await;
    let backup = world.dump().await;
    let (task, context) = (world.restore_task(&backup), world.context("prepare", "pod"));
    let before = world.databases().await;
    let cancel = context.cancel.clone();
    let (database, worker) =
        (world.new_database(), tokio::spawn(async move { sennight_worker::prepare::run(&task, &context).await }));
    while world.oid(&database).await.is_none() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    cancel.cancel();
    let ended = worker.await.unwrap().unwrap_err();
    assert_eq!((ended.reason.as_str(), ended.verdict), ("Cancelled", Verdict::Retry));
    assert_eq!(world.databases().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_worker_waits_for_the_first_ones_lock() {
    let world = PostgresRestore::new("lock").await;
    world.sql_as("owner", &world.database, TABLE).await;
    let backup = world.dump().await;
    let (task, world) = (world.restore_task(&backup), std::sync::Arc::new(world));
    let both: Vec<_> = (0..2)
        .map(|_| {
            let (world, task) = (world.clone(), task.clone());
            tokio::spawn(async move { world.prepare(&task).await })
        })
        .collect();
    let mut oids = Vec::new();
    for one in both {
        oids.push(one.await.unwrap().unwrap().new_oid);
    }
    assert!(oids.contains(&world.oid(&world.new_database()).await.unwrap()), "one after the other, never both at once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_looks_like_a_connection_string_is_only_a_name() {
    let database = format!("host=evil.invalid \"x' \\ port=1 {:04x}", rand::random::<u16>());
    let world = PostgresRestore::named(&format!("names_{:06x}", rand::random::<u32>() >> 8), &database).await;
    world.sql_as("owner", &world.database, TABLE).await;
    let comment = format!("COMMENT ON DATABASE {} IS {}", ident(&database), literal("it's \\ odd"));
    world.sql("postgres", &comment).await;
    let backup = world.dump().await;
    world.sql_as("owner", &world.database, "TRUNCATE public.t").await;
    let cutover = world.prepare(&world.restore_task(&backup)).await.unwrap();
    world.cutover(&cutover, "pod").await.unwrap();
    assert_eq!(world.value(&database, "SELECT count(*)::text FROM public.t").await.unwrap(), "20000");
    let kept = format!("SELECT shobj_description({}, 'pg_database')", cutover.live_oid);
    assert_eq!(world.value("postgres", &kept).await, Some(format!("sennight.dev/kept={}", world.uid)));
    let live = format!("SELECT shobj_description({}, 'pg_database')", cutover.new_oid);
    assert_eq!(world.value("postgres", &live).await.as_deref(), Some("it's \\ odd"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_role_made_in_a_schema_that_is_not_its_own_comes_back_to_it() {
    let world = PostgresRestore::new("guests").await;
    let app = ident(&world.role("app"));
    let grants = format!(
        "CREATE SCHEMA crm; GRANT USAGE, CREATE ON SCHEMA crm, public TO {app}; CREATE SCHEMA own; CREATE TABLE own.t ();
         REVOKE CREATE ON SCHEMA own FROM {}; CREATE TABLE crm.owners (v text)",
        ident(&world.role("owner"))
    );
    world.sql_as("owner", &world.database, &grants).await;
    let made = "CREATE TABLE crm.guests (id int PRIMARY KEY); CREATE TABLE public.guests (v text); CREATE VIEW crm.seen AS SELECT * FROM crm.guests;
        CREATE FUNCTION crm.f() RETURNS int LANGUAGE sql AS 'SELECT 1'; CREATE TYPE crm.kind AS ENUM ('a')";
    world.sql_as("app", &world.database, made).await;
    let backup = world.dump().await;
    let task = world.restore_task(&backup);
    assert_eq!(world.preflight(&task).await.refusals, []);
    let new = world.prepare(&task).await.unwrap().new_database;
    for query in [
        "SELECT string_agg(concat_ws(' ', relnamespace::regnamespace, relname, relowner::regrole, relacl), ',' ORDER BY relname, relkind, relnamespace::regnamespace::text) FROM pg_class
          WHERE relnamespace::regnamespace::text IN ('crm', 'public', 'own')",
        "SELECT string_agg(concat_ws(' ', nspname, nspowner::regrole, (SELECT array_agg(a ORDER BY a::text) FROM unnest(nspacl) a)), ',' ORDER BY nspname)
           FROM pg_namespace WHERE nspname IN ('crm', 'public', 'own')",
        "SELECT string_agg(concat_ws(' ', proname, proowner::regrole), ',') FROM pg_proc WHERE pronamespace = 'crm'::regnamespace",
    ] {
        let (live, restored) = (world.value(&world.database, query).await, world.value(&new, query).await);
        assert!(live.is_some());
        assert_eq!(restored, live);
    }
}
