//! Refusals that take another backup, another server or other tools than a test has at hand: by a manifest that was changed and sealed
//! anew, a tablespace of its own, and client tools under another root.

use super::refusals::{everything, refused, unchanged};
use sennight_core::manifest::{Extension, Manifest};
use sennight_core::result::{BackupSummary, Done};
use sennight_engine::postgres::ident;
use sennight_protocol::backup::BackupRef;
use sennight_protocol::report::Outcome;
use sennight_protocol::restore::RestoreTask;
use sennight_protocol::task::Task;
use sennight_storage::PutOptions;
use std::path::Path;
use std::process::{Command, Stdio};
use testkit::postgres::restore::PostgresRestore;

type Change = Box<dyn FnOnce(&mut Manifest)>;

/// The task over a backup whose manifest says something else.
async fn resealed(
    restore: &PostgresRestore,
    backup: &BackupSummary,
    change: impl FnOnce(&mut Manifest),
) -> RestoreTask {
    let any = BackupRef { manifest_sha256: None, ..restore.restore_task(backup).backup };
    let key = format!("{}manifest.json", backup.prefix);
    let original = restore.store.get(&key).await.unwrap();
    let mut manifest = restore.store.open(&any, None).await.unwrap().manifest;
    change(&mut manifest);
    let sealed = restore.store.keyring().seal(&manifest).unwrap();
    restore.store.put(&key, sealed.into(), &PutOptions::default()).await.unwrap();
    restore.store.put(&format!("{}original", backup.prefix), original, &PutOptions::default()).await.unwrap();
    RestoreTask { backup: any, ..restore.restore_task(backup) }
}

/// The manifest as it was.
async fn mended(restore: &PostgresRestore, backup: &BackupSummary) {
    let original = restore.store.get(&format!("{}original", backup.prefix)).await.unwrap();
    restore.store.put(&format!("{}manifest.json", backup.prefix), original, &PutOptions::default()).await.unwrap();
}

async fn tenant(name: &str) -> (PostgresRestore, BackupSummary) {
    let restore = PostgresRestore::new(name).await;
    restore.sql_as("owner", &restore.database, "CREATE TABLE public.t (v text)").await;
    let backup = restore.dump().await;
    (restore, backup)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_does_not_fit_the_server_is_refused_by_what_does_not_fit() {
    let (restore, backup) = tenant("misfit").await;
    let extension = |name: &'static str, version: &'static str| {
        move |m: &mut Manifest| {
            m.server.extensions.push(Extension { name: name.to_owned(), version: version.to_owned() });
        }
    };
    let cases: Vec<(Change, Vec<&str>, &str)> = vec![
        (Box::new(|m| m.server.major = 99), vec!["BackupNewerThanServer"], "restore into 99 or newer"),
        (Box::new(|m| m.server.collate = "xx_XX".to_owned()), vec!["LocaleMissing"], "pg_import_system_collations"),
        (Box::new(|m| m.roles.push("nobody_at_all".to_owned())), vec!["RolesMissing"], "nobody_at_all"),
        (Box::new(extension("nope", "1.0")), vec!["ExtensionsMissing"], "install their packages"),
        (Box::new(extension("plpgsql", "999")), vec!["ExtensionsOlder"], "install the backup's version"),
        (
            Box::new(extension("timescaledb", "2.0")),
            vec!["ExtensionsMissing", "ExtensionsUnsupported"],
            "install their packages",
        ),
    ];
    for (change, expected, way_out) in cases {
        let task = resealed(&restore, &backup, change).await;
        refused(&restore, &task, &expected, way_out).await;
        mended(&restore, &backup).await;
    }
    let good = restore.preflight(&restore.restore_task(&backup)).await;
    assert_eq!(good.refusals, [], "the manifest is as it was");
    // The maintenance database is no tenant's.
    let mut own = restore.restore_task(&backup);
    own.database.maintenance_database.clone_from(&restore.database);
    let mut expected = vec!["LiveDatabaseReserved"];
    if restore.session("super", "postgres").await.server_major() < 16 {
        // The functions are in the maintenance database.
        expected.push("LoadingRoleDenied");
    }
    refused(&restore, &own, &expected, "a database of its own").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tablespace_that_the_restore_role_may_not_use_is_refused_before_anything_is_made() {
    let (restore, backup) = tenant("space").await;
    let (space, database) = (ident(&format!("{}_space", restore.name)), ident(&restore.database));
    let session = restore.session("super", "postgres").await;
    // Below the data directory: the test has none of its own on the server's machine.
    session.batch_execute("SET allow_in_place_tablespaces = on").await.unwrap();
    session.batch_execute(&format!("CREATE TABLESPACE {space} LOCATION ''")).await.unwrap();
    restore.sql("postgres", &format!("ALTER DATABASE {database} SET TABLESPACE {space}")).await;
    let task = restore.restore_task(&backup);
    refused(&restore, &task, &["TablespaceDenied"], "GRANT CREATE ON TABLESPACE").await;
    let restorer = ident(&restore.role("restore"));
    restore.sql("postgres", &format!("GRANT CREATE ON TABLESPACE {space} TO {restorer}")).await;
    assert_eq!(restore.preflight(&task).await.refusals, []);
    restore.sql("postgres", &format!("ALTER DATABASE {database} SET TABLESPACE pg_default")).await;
    restore.sql("postgres", &format!("DROP TABLESPACE {space}")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tablespace_of_a_single_index_must_be_there_and_open_to_the_restore_role() {
    let (restore, _) = tenant("index").await;
    let name = format!("{}_space", restore.name);
    let (space, restorer) = (ident(&name), ident(&restore.role("restore")));
    let session = restore.session("super", "postgres").await;
    session.batch_execute("SET allow_in_place_tablespaces = on").await.unwrap();
    session.batch_execute(&format!("CREATE TABLESPACE {space} LOCATION ''")).await.unwrap();
    restore.sql(&restore.database, &format!("CREATE INDEX far ON public.t (v) TABLESPACE {space}")).await;
    let backup = restore.dump().await;
    let task = restore.restore_task(&backup);
    refused(&restore, &task, &["TablespacesDenied"], &name).await;
    restore.sql("postgres", &format!("GRANT CREATE ON TABLESPACE {space} TO {restorer}")).await;
    refused(&restore, &task, &["TablespacesDenied"], "WITH GRANT OPTION").await;
    restore.sql("postgres", &format!("GRANT CREATE ON TABLESPACE {space} TO {restorer} WITH GRANT OPTION")).await;
    assert_eq!(restore.preflight(&task).await.refusals, []);
    let prepared = restore.prepare(&task).await.unwrap();
    let lies = "SELECT t.spcname::text FROM pg_class c JOIN pg_tablespace t ON t.oid = c.reltablespace WHERE c.relname = 'far'";
    assert_eq!(restore.value(&prepared.new_database, lies).await, Some(name.clone()));
    restore.sql("postgres", &format!("DROP DATABASE {}", ident(&prepared.new_database))).await;
    restore.sql(&restore.database, "DROP INDEX public.far").await;
    restore.sql("postgres", &format!("DROP TABLESPACE {space}")).await;
    refused(&restore, &task, &["TablespacesMissing"], &name).await;
}

/// The worker's own binary with client tools under another root; the first reason, of a preflight also whether it was the only one.
async fn with_tools(restore: &PostgresRestore, work: &Task, root: &Path, job: &str) -> Vec<String> {
    let child = Command::new(testkit::binary("sennight"))
        .args(work.to_argv(restore.store.target()).unwrap())
        .args(["--job-uid", job, "--pod", "pod"])
        .env("SENNIGHT_PG_BIN_ROOT", root)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    child.unwrap();
    match restore.store.report(job, "restore").await.unwrap().unwrap().outcome {
        Outcome::Succeeded(Done::Preflighted(found)) => found.refusals.into_iter().map(|r| r.reason).collect(),
        Outcome::Failed { reason, retryable: false, .. } => vec![reason],
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn client_tools_that_are_missing_or_too_old_are_refused() {
    let (restore, backup) = tenant("tools").await;
    let task = restore.restore_task(&backup);
    let server = restore.session("super", "postgres").await.server_major();
    let (none, expected) = (tempfile::tempdir().unwrap(), "ClientToolsMissing");
    let before = everything(&restore).await;
    for (verb, work) in [("look", Task::Preflight(task.clone())), ("make", Task::Prepare(task.clone()))] {
        let job = format!("{}-{verb}-{expected}", restore.uid).to_lowercase();
        assert_eq!(with_tools(&restore, &work, none.path(), &job).await, [expected], "{verb}");
    }
    unchanged(&restore, &before, expected).await;
    if server < 17 {
        let task = resealed(&restore, &backup, |m| m.schema.tool = "pg_dump (PostgreSQL) 99.0".to_owned()).await;
        refused(&restore, &task, &["ClientToolsTooOld"], "the tools of PostgreSQL 99").await;
    }
}
