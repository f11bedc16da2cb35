//! `prepare` fails without a trace, can be repeated, and takes every name and every row.

use sennight_engine::postgres::create::marker_limit;
use sennight_engine::postgres::{connect, ident, literal};
use sennight_protocol::target::DatabaseTarget;
use sennight_worker::Verdict;
use std::time::Duration;
use testkit::postgres::restore::{PostgresRestore, first_data, tamper};

const TABLE: &str = "CREATE TABLE public.t (id int PRIMARY KEY, v text); INSERT INTO public.t SELECT n, md5(n::text) FROM generate_series(1, 20000) n";

#[tokio::test(flavor = "multi_thread")]
async fn i3_a_damaged_backup_fails_and_leaves_no_trace() {
    let restore = PostgresRestore::new("damaged").await;
    restore.sql_as("owner", &restore.database, TABLE).await;
    let backup = restore.dump().await;
    let task = restore.restore_task(&backup);
    let key = first_data(&restore.store, &backup).await;
    tamper(&restore.store, &key, |bytes| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    })
    .await;
    let before = restore.databases().await;
    let failed = restore.prepare(&task).await.unwrap_err();
    assert_eq!((failed.reason.as_str(), failed.verdict), ("BackupDamaged", Verdict::Refused), "{failed}");
    assert_eq!(restore.databases().await, before);
    // A second failure of the same kind: the schema archive.
    tamper(&restore.store, &key, |bytes| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    })
    .await;
    tamper(&restore.store, &format!("{}schema.pgdump", backup.prefix), |bytes| bytes[100] ^= 1).await;
    let failed = restore.prepare(&task).await.unwrap_err();
    assert_eq!(failed.reason, "BackupDamaged", "{failed}");
    assert_eq!(restore.databases().await, before);
}

/// More than what is read whole before the server is touched.
#[tokio::test(flavor = "multi_thread")]
async fn i3_damage_at_the_end_of_a_large_backup_is_met_while_it_is_loaded_and_leaves_no_trace() {
    let restore = PostgresRestore::new("large").await;
    let noise = "CREATE TABLE public.t AS SELECT n AS id, \
         (SELECT string_agg(sha512((n::text || ' ' || k)::bytea), '') FROM generate_series(1, 32) k) AS v FROM generate_series(1, 20000) n";
    restore.sql_as("owner", &restore.database, noise).await;
    let backup = restore.dump().await;
    assert!(backup.bytes > 32 << 20, "{} bytes are a small backup", backup.bytes);
    let task = restore.restore_task(&backup);
    let key = first_data(&restore.store, &backup).await;
    let flip = |bytes: &mut Vec<u8>| *bytes.last_mut().unwrap() ^= 1;
    tamper(&restore.store, &key, flip).await;
    let before = restore.databases().await;
    let failed = restore.prepare(&task).await.unwrap_err();
    assert_eq!((failed.reason.as_str(), failed.verdict), ("BackupDamaged", Verdict::Refused), "{failed}");
    assert_eq!(restore.databases().await, before);
    tamper(&restore.store, &key, flip).await;
    restore.prepare(&task).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_after_a_crash_drops_its_own_and_only_its_own() {
    let restore = PostgresRestore::new("again").await;
    restore.sql_as("owner", &restore.database, TABLE).await;
    let backup = restore.dump().await;
    let task = restore.restore_task(&backup);
    let new = ident(&restore.new_database());

    // Killed while it was filling: marked, half full, a session still on it.
    let first = restore.prepare(&task).await.unwrap();
    let lingering = restore.session("restore", &restore.new_database()).await;
    let second = restore.prepare(&task).await.unwrap();
    assert_ne!(first.new_number, second.new_number);
    assert!(lingering.query("SELECT 1", &[]).await.is_err());
    // The cut-over that was made for the first attempt's database is refused.
    let refused = restore.cutover(&first, "pod").await.unwrap_err();
    assert_eq!(refused.reason, "DatabasesChanged");

    // Killed between CREATE DATABASE and COMMENT.
    let restorer = restore.role("restore");
    restore.sql("postgres", &format!("DROP DATABASE {new}")).await;
    let made = format!(
        "CREATE DATABASE {new} OWNER {} ALLOW_CONNECTIONS false CONNECTION LIMIT {}",
        restore.role("owner"),
        marker_limit(&restore.uid)
    );
    restore.sql("postgres", &made).await;
    let third = restore.prepare(&task).await.unwrap();

    // Somebody's own words on it: not ours any more.
    restore.sql("postgres", &format!("COMMENT ON DATABASE {new} IS 'do not touch'")).await;
    let refused = restore.prepare(&task).await.unwrap_err();
    assert_eq!((refused.reason.as_str(), refused.verdict), ("NameTaken", Verdict::Refused), "{restorer}");
    assert_eq!(restore.oid(&restore.new_database()).await, Some(third.new_number.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_attempt_cleans_up_after_itself() {
    let restore = PostgresRestore::new("cancel").await;
    let sql = "CREATE TABLE public.t (v text); INSERT INTO public.t SELECT repeat(md5(n::text), 30) FROM generate_series(1, 60000) n";
    restore.sql_as("owner", &restore.database, sql).await;
    let backup = restore.dump().await;
    let (task, context) = (restore.restore_task(&backup), restore.context("prepare", "pod"));
    let before = restore.databases().await;
    let cancel = context.cancel.clone();
    let (database, worker) =
        (restore.new_database(), tokio::spawn(async move { sennight_worker::prepare::run(&task, &context).await }));
    while restore.oid(&database).await.is_none() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    cancel.cancel();
    let ended = worker.await.unwrap().unwrap_err();
    assert_eq!((ended.reason.as_str(), ended.verdict), ("Cancelled", Verdict::Retry));
    assert_eq!(restore.databases().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_worker_waits_for_the_first_ones_lock() {
    let restore = PostgresRestore::new("lock").await;
    restore.sql_as("owner", &restore.database, TABLE).await;
    let backup = restore.dump().await;
    let (task, restore) = (restore.restore_task(&backup), std::sync::Arc::new(restore));
    let both: Vec<_> = (0..2)
        .map(|_| {
            let (restore, task) = (restore.clone(), task.clone());
            tokio::spawn(async move { restore.prepare(&task).await })
        })
        .collect();
    let mut oids = Vec::new();
    for one in both {
        oids.push(one.await.unwrap().unwrap().new_number.0);
    }
    assert!(
        oids.contains(&restore.oid(&restore.new_database()).await.unwrap()),
        "one after the other, never both at once"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_looks_like_a_connection_string_is_only_a_name() {
    let database = format!("host=evil.invalid \"x' \\ port=1 {:04x}", rand::random::<u16>());
    let restore = PostgresRestore::named(&format!("names_{:06x}", rand::random::<u32>() >> 8), &database).await;
    restore.sql_as("owner", &restore.database, TABLE).await;
    let comment = format!("COMMENT ON DATABASE {} IS {}", ident(&database), literal("it's \\ odd"));
    restore.sql("postgres", &comment).await;
    let backup = restore.dump().await;
    restore.sql_as("owner", &restore.database, "TRUNCATE public.t").await;
    let cutover = restore.prepare(&restore.restore_task(&backup)).await.unwrap();
    restore.cutover(&cutover, "pod").await.unwrap();
    assert_eq!(restore.value(&database, "SELECT count(*)::text FROM public.t").await.unwrap(), "20000");
    let kept = format!("SELECT shobj_description({}, 'pg_database')", cutover.live_number);
    assert_eq!(restore.value("postgres", &kept).await, Some(format!("sennight.dev/kept={}", restore.uid)));
    let live = format!("SELECT shobj_description({}, 'pg_database')", cutover.new_number);
    assert_eq!(restore.value("postgres", &live).await.as_deref(), Some("it's \\ odd"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_role_made_in_a_schema_that_is_not_its_own_comes_back_to_it() {
    let restore = PostgresRestore::new("guests").await;
    let app = ident(&restore.role("app"));
    let grants = format!(
        "CREATE SCHEMA crm; GRANT USAGE, CREATE ON SCHEMA crm, public TO {app}; CREATE SCHEMA own; CREATE TABLE own.t ();
         REVOKE CREATE ON SCHEMA own FROM {}; CREATE TABLE crm.owners (v text)",
        ident(&restore.role("owner"))
    );
    restore.sql_as("owner", &restore.database, &grants).await;
    let made = "CREATE TABLE crm.guests (id int PRIMARY KEY); CREATE TABLE public.guests (v text); CREATE VIEW crm.seen AS SELECT * FROM crm.guests;
        CREATE FUNCTION crm.f() RETURNS int LANGUAGE sql AS 'SELECT 1'; CREATE TYPE crm.kind AS ENUM ('a')";
    restore.sql_as("app", &restore.database, made).await;
    let backup = restore.dump().await;
    let task = restore.restore_task(&backup);
    assert_eq!(restore.preflight(&task).await.refusals, []);
    let new = restore.prepare(&task).await.unwrap().new_database;
    for query in [
        "SELECT string_agg(concat_ws(' ', relnamespace::regnamespace, relname, relowner::regrole, relacl), ',' ORDER BY relname, relkind, relnamespace::regnamespace::text) FROM pg_class
          WHERE relnamespace::regnamespace::text IN ('crm', 'public', 'own')",
        "SELECT string_agg(concat_ws(' ', nspname, nspowner::regrole, (SELECT array_agg(a ORDER BY a::text) FROM unnest(nspacl) a)), ',' ORDER BY nspname)
           FROM pg_namespace WHERE nspname IN ('crm', 'public', 'own')",
        "SELECT string_agg(concat_ws(' ', proname, proowner::regrole), ',') FROM pg_proc WHERE pronamespace = 'crm'::regnamespace",
    ] {
        let (live, restored) = (restore.value(&restore.database, query).await, restore.value(&new, query).await);
        assert!(live.is_some());
        assert_eq!(restored, live);
    }
}

/// What a tenant writes to get into the database that is filled: it gives the role that loads a password of its own.
const PASSWORD_CHANGED: &str = "
CREATE FUNCTION public.mine() RETURNS boolean LANGUAGE plpgsql AS $$BEGIN
  IF session_user::text LIKE 'sennight_load_%' THEN
    EXECUTE format('ALTER ROLE %I PASSWORD ''owned''', session_user);
    PERFORM pg_sleep(1.5);
  END IF;
  RETURN true; END$$;
CREATE TABLE public.a (i integer CHECK (public.mine())); INSERT INTO public.a VALUES (1);
CREATE TABLE public.b (i integer CHECK (public.mine())); INSERT INTO public.b VALUES (1);";

#[tokio::test(flavor = "multi_thread")]
async fn i11_a_password_that_the_tenant_gives_the_loading_role_lets_nobody_in() {
    let restore = PostgresRestore::new("password").await;
    restore.sql_as("owner", &restore.database, PASSWORD_CHANGED).await;
    let backup = restore.dump().await;
    let (task, context) = (restore.restore_task(&backup), restore.context("prepare", "pod"));
    let name = sennight_engine::postgres::loading_role::name(&restore.uid);
    let credentials = testkit::credential_files(&[("username", &name), ("password", "owned")]);
    let target = DatabaseTarget { credentials_dir: testkit::path(credentials.path()), ..restore.target("restore") };
    let worker = tokio::spawn(async move { sennight_worker::prepare::run(&task, &context).await });
    let changed = format!("SELECT rolpassword IS NOT NULL FROM pg_authid WHERE rolname = '{name}' AND NOT rolcanlogin");
    let session = restore.session("super", "postgres").await;
    let (mut tries, mut owned) = (0, 0);
    while !worker.is_finished() {
        let entered = connect(&target, &restore.new_database(), "tenant").await.is_ok();
        assert!(!entered, "the tenant is in the database that is filled, after {tries} tries");
        let row = session.query_opt(&changed, &[]).await.unwrap();
        owned += usize::from(row.is_some_and(|row| row.get(0)));
        tries += 1;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    worker.await.unwrap().unwrap();
    assert!(owned > 3, "in {tries} tries the password was seen to be the tenant's {owned} times");
}
