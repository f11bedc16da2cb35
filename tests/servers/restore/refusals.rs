//! What stops a full restore before anything is created: preflight's refusals and foreign backups.

use sennight_core::names::stable_hash;
use sennight_core::result::Preflight;
use sennight_engine::postgres::{connect, ident};
use sennight_protocol::restore::RestoreTask;
use sennight_worker::{TaskError, Verdict, prepare};
use std::time::{Duration, Instant};
use testkit::postgres::restore::{PostgresRestore, fill};

pub fn reasons(looked: &Preflight) -> Vec<&str> {
    looked.refusals.iter().map(|r| r.reason.as_str()).collect()
}

/// All that a refused restore could have left: databases, roles, objects in S3 wherever (reports apart), the claim, sessions, and
/// locks of theirs (autovacuum comes and goes as it likes).
pub async fn everything(restore: &PostgresRestore) -> String {
    let mut text = restore.databases().await;
    let key = i64::from_str_radix(&stable_hash(&["prepare", &restore.uid], 15), 16).unwrap();
    for query in [
        format!(
            "SELECT string_agg(rolname, ',' ORDER BY rolname) FROM pg_roles WHERE starts_with(rolname, '{}')",
            restore.name
        ),
        format!("SELECT count(*)::text FROM pg_stat_activity WHERE application_name LIKE '%{}'", restore.uid),
        format!(
            "SELECT count(*)::text FROM pg_locks WHERE locktype = 'advisory' AND (classid::bigint << 32) + objid::bigint = {key}"
        ),
        format!(
            "SELECT count(*)::text FROM pg_locks l JOIN pg_database d ON d.oid IN (l.database, l.objid)
               JOIN pg_stat_activity a ON a.pid = l.pid AND a.backend_type = 'client backend'
              WHERE starts_with(d.datname, '{}') AND l.pid <> pg_backend_pid()",
            restore.database
        ),
    ] {
        text.push_str(&restore.value("postgres", &query).await.unwrap_or_default());
        text.push(';');
    }
    for object in restore.store.list("backups/").await.unwrap() {
        let ours = object.key.contains(&restore.name) || object.key.contains(&restore.uid);
        if ours && !object.key.starts_with("backups/results/") {
            text.push_str(&object.key);
        }
    }
    let claim = restore.store.claim_of(&restore.uid).await.unwrap();
    text + &format!("{claim:?}")
}

/// Nothing came and nothing went. A session that has ended may be there for an instant.
pub async fn unchanged(restore: &PostgresRestore, before: &str, what: &str) {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let after = everything(restore).await;
        if after == before {
            return;
        }
        assert!(Instant::now() < deadline, "{what}: before: {before}\nafter: {after}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Preflight tells all of it, the first by its way out; what was overlooked before people paid is refused again by `prepare`, and
/// neither leaves anything.
pub async fn refused(restore: &PostgresRestore, task: &RestoreTask, expected: &[&str], way_out: &str) {
    let before = everything(restore).await;
    let looked = restore.preflight(task).await;
    assert_eq!(reasons(&looked), expected, "{looked:?}");
    assert!(looked.refusals[0].message.contains(way_out), "{looked:?}");
    unchanged(restore, &before, expected[0]).await;
    let refused = prepared(task, restore).await;
    assert_eq!((refused.reason.as_str(), refused.verdict), (expected[0], Verdict::Refused), "{refused}");
    unchanged(restore, &before, expected[0]).await;
}

/// [`refused`] while a mischief lasts.
async fn refused_while(
    restore: &PostgresRestore,
    task: &RestoreTask,
    (expected, way_out): (&[&str], &str),
    mischief: &str,
    undo: &str,
) {
    for statement in mischief.split(';') {
        restore.sql("postgres", statement).await;
    }
    refused(restore, task, expected, way_out).await;
    for statement in undo.split(';') {
        restore.sql("postgres", statement).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_thing_in_the_way_is_refused_by_its_own_name() {
    let restore = PostgresRestore::new("refused").await;
    fill(&restore).await;
    let backup = restore.dump().await;
    let task = restore.restore_task(&backup);
    assert_eq!(reasons(&restore.preflight(&task).await), Vec::<&str>::new());
    let databases = restore.databases().await;

    let (db, restorer, owner, app) =
        (ident(&restore.database), restore.role("restore"), restore.role("owner"), restore.role("app"));
    let (new, kept) = (ident(&restore.new_database()), ident(&restore.previous_database()));
    let role = format!("ALTER ROLE {restorer}");
    for (reason, way_out, mischief, undo) in [
        ("CreateDbMissing", "CREATEDB", format!("{role} NOCREATEDB"), format!("{role} CREATEDB")),
        (
            "SignalMissing",
            "GRANT pg_signal_backend",
            format!("REVOKE pg_signal_backend FROM {restorer}"),
            format!("GRANT pg_signal_backend TO {restorer}"),
        ),
        (
            "RoleSettingsDenied",
            "GRANT them to it",
            format!("REVOKE {app} FROM {restorer}"),
            format!("GRANT {app} TO {restorer} WITH ADMIN OPTION"),
        ),
        (
            "SettingsDenied",
            "log_statement",
            format!("ALTER DATABASE {db} SET log_statement = 'all'"),
            format!("ALTER DATABASE {db} RESET log_statement"),
        ),
        (
            "LiveDatabaseIsTemplate",
            "IS_TEMPLATE false",
            format!("ALTER DATABASE {db} IS_TEMPLATE true"),
            format!("ALTER DATABASE {db} IS_TEMPLATE false"),
        ),
        (
            "LiveDatabaseClosed",
            "ALLOW_CONNECTIONS true",
            format!("ALTER DATABASE {db} ALLOW_CONNECTIONS false"),
            format!("ALTER DATABASE {db} ALLOW_CONNECTIONS true"),
        ),
        ("NameTaken", "drop or rename", format!("CREATE DATABASE {new}"), format!("DROP DATABASE {new}")),
        ("NameTaken", "drop or rename", format!("CREATE DATABASE {kept}"), format!("DROP DATABASE {kept}")),
        (
            "AlreadyCutOver",
            "new RestoreRequest",
            format!("CREATE DATABASE {kept};COMMENT ON DATABASE {kept} IS 'sennight.dev/kept={}'", restore.uid),
            format!("DROP DATABASE {kept}"),
        ),
    ] {
        refused_while(&restore, &task, (&[reason], way_out), &mischief, &undo).await;
    }

    // Without membership in the owner three things fail at once, and all are told.
    let (revoke, grant) =
        (format!("REVOKE {owner} FROM {restorer}"), format!("GRANT {owner} TO {restorer} WITH ADMIN OPTION"));
    let three = ["NotOwner", "OwnersNotGranted", "RoleSettingsDenied"];
    refused_while(&restore, &task, (&three, "GRANT"), &revoke, &grant).await;

    held_by_others(&restore, &task).await;
    assert_eq!(reasons(&restore.preflight(&task).await), Vec::<&str>::new(), "all mischief was undone");
    assert_eq!(restore.databases().await, databases, "looking creates nothing");
}

/// What only the swap minds, so that preflight tells of it and `prepare` need not wait (tests/servers/restore/swaps.rs has the
/// swap's own refusals).
async fn held_by_others(restore: &PostgresRestore, task: &RestoreTask) {
    let database = &restore.database;
    let before = everything(restore).await;
    let gid = format!("{database}-2pc");
    restore.sql(database, &format!("BEGIN; CREATE TABLE public.x (); PREPARE TRANSACTION '{gid}'")).await;
    let looked = restore.preflight(task).await;
    restore.sql(database, &format!("ROLLBACK PREPARED '{gid}'")).await;
    assert_eq!(reasons(&looked), ["PreparedTransactions"], "{looked:?}");
    assert!(looked.refusals[0].message.contains(&gid));

    let slot = format!("SELECT pg_create_logical_replication_slot('{database}', 'pgoutput')");
    restore.sql(database, &slot).await;
    let looked = restore.preflight(task).await;
    restore.sql("postgres", &format!("SELECT pg_drop_replication_slot('{database}')")).await;
    assert_eq!(reasons(&looked), ["LogicalSlots"], "{looked:?}");

    let sub = format!(
        "CREATE SUBSCRIPTION \"{database}\" CONNECTION 'host=nowhere.invalid' PUBLICATION p WITH (connect = false)"
    );
    restore.sql(database, &sub).await;
    let looked = restore.preflight(task).await;
    let sub = format!("ALTER SUBSCRIPTION \"{database}\" SET (slot_name = NONE)");
    restore.sql(database, &sub).await;
    restore.sql(database, &format!("DROP SUBSCRIPTION \"{database}\"")).await;
    assert_eq!(reasons(&looked), ["Subscriptions"], "{looked:?}");

    let blocker = restore.session("super", database).await;
    let looked = restore.preflight(task).await;
    blocker.close().await;
    assert_eq!(reasons(&looked), ["SuperuserSessions"], "{looked:?}");
    assert!(looked.refusals[0].message.contains("postgres (test)"), "{looked:?}");

    unchanged(restore, &before, "looks").await;

    let mut small = task.clone();
    small.headroom_bytes = Some(1000);
    refused(restore, &small, &["HeadroomTooSmall"], "raise restoreHeadroomBytes").await;
    small.headroom_bytes = Some(i64::MAX);
    let known = restore.preflight(&small).await;
    let unknown = restore.preflight(task).await;
    assert_eq!(unknown.warnings.len(), known.warnings.len() + 1, "unknown headroom is shown, not refused: {unknown:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_gone_is_refused() {
    let restore = PostgresRestore::new("gone").await;
    restore.sql_as("owner", &restore.database, "CREATE TABLE public.t ()").await;
    let backup = restore.dump().await;
    let task = restore.restore_task(&backup);
    restore.sql("postgres", &format!("DROP DATABASE {}", ident(&restore.database))).await;
    refused(&restore, &task, &["LiveDatabaseMissing"], "create it").await;
    assert_eq!(restore.databases().await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_superusers_objects_are_refused_to_everybody_else() {
    let restore = PostgresRestore::new("super").await;
    let role = restore.role("helper");
    restore.sql("postgres", &format!("CREATE ROLE {role} NOLOGIN")).await;
    let sql = format!(
        "CREATE FUNCTION public.noted() RETURNS event_trigger LANGUAGE plpgsql AS $$BEGIN END$$;
         CREATE EVENT TRIGGER noted ON ddl_command_end EXECUTE FUNCTION public.noted();
         CREATE FUNCTION public.len(text) RETURNS integer LANGUAGE internal IMMUTABLE STRICT AS 'textlen';
         CREATE PUBLICATION every FOR ALL TABLES; CREATE PUBLICATION none;
         CREATE TEXT SEARCH PARSER public.words (START = prsd_start, GETTOKEN = prsd_nexttoken, END = prsd_end, LEXTYPES = prsd_lextype);
         CREATE EXTENSION pg_stat_statements SCHEMA public; CREATE TABLE public.t (); GRANT SELECT ON public.t TO {role}"
    );
    restore.sql(&restore.database, &sql).await;
    let backup = restore.dump().await;
    let task = restore.restore_task(&backup);
    let sql = format!("REVOKE SELECT ON public.t FROM {role}; DROP ROLE {role}");
    restore.sql(&restore.database, &sql).await;
    let expected = ["RolesMissing", "OwnersNotGranted", "ObjectsNeedSuperuser", "ExtensionsNeedSuperuser"];
    refused(&restore, &task, &expected, "create them").await;
    let looked = restore.preflight(&task).await;
    let all = format!("{looked:?}");
    let objects =
        ["EVENT TRIGGER", "FUNCTION len(text) in internal", "PUBLICATION every of all tables", "TEXT SEARCH PARSER"];
    for told in objects.iter().chain(&["pg_stat_statements", role.as_str()]) {
        assert!(all.contains(told), "{told}: {all}");
    }
    assert!(!all.contains("PUBLICATION none"), "{all}");
    // A superuser may, once the role is back.
    restore.sql("postgres", &format!("CREATE ROLE {role} NOLOGIN")).await;
    let task = RestoreTask { database: restore.target("super"), ..task };
    assert_eq!(reasons(&restore.preflight(&task).await), Vec::<&str>::new());
    let cutover = restore.prepare(&task).await.unwrap();
    restore.cutover(&cutover, "pod").await.unwrap();
    let extension = "SELECT string_agg(evtname || evtenabled::text, ',') FROM pg_event_trigger";
    assert_eq!(restore.value(&restore.database, extension).await.unwrap(), "notedO");
}

async fn prepared(task: &RestoreTask, restore: &PostgresRestore) -> TaskError {
    prepare::run(task, &restore.context("prepare", "pod")).await.unwrap_err()
}

#[tokio::test(flavor = "multi_thread")]
async fn i7_another_tenants_backup_is_refused_before_anything_is_created() {
    let (restore, other) = (PostgresRestore::new("mine").await, PostgresRestore::new("theirs").await);
    for tenant in [&restore, &other] {
        tenant.sql_as("owner", &tenant.database, "CREATE TABLE public.t (v text)").await;
    }
    let (mine, theirs) = (restore.dump().await, other.dump().await);
    let before = restore.databases().await;
    // Their backup under my name, by its place; my backup under a request that stands for somebody else.
    let stolen = restore.restore_task(&theirs);
    assert_eq!(prepared(&stolen, &restore).await.reason, "BackupMisplaced");
    let good = restore.restore_task(&mine);
    let field = |change: fn(&mut RestoreTask)| {
        let mut task = good.clone();
        change(&mut task);
        task
    };
    for (task, reason) in [
        (field(|t| t.identity.tenant.push('x')), "ForeignBackup"),
        (field(|t| t.identity.namespace.push('x')), "BackupMisplaced"),
        (field(|t| t.identity.schedule.push('x')), "BackupMisplaced"),
        (field(|t| t.identity.database.push('x')), "ForeignBackup"),
        (field(|t| t.database.database.push('x')), "ForeignBackup"),
        (field(|t| t.backup.manifest_sha256 = Some("0".repeat(64))), "ManifestChanged"),
    ] {
        let refused = prepared(&task, &restore).await;
        assert_eq!((refused.reason.as_str(), refused.verdict), (reason, Verdict::Refused), "{task:?}");
        assert!(sennight_worker::preflight::run(&task, &restore.context("preflight", "pod")).await.is_err());
    }
    assert_eq!(restore.databases().await, before);
    assert!(connect(&restore.target("super"), &restore.new_database(), "test").await.is_err());
}
