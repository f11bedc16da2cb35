//! The golden backups (tests/golden/v1): this version reads, exports and restores what the first one wrote (docs/format.md).

use super::recovery::whole;
use sennight_core::engine::EngineKind;
use sennight_core::manifest::{FORMAT, Manifest, TenantIdentity};
use sennight_core::names::new_database;
use sennight_core::result::Done;
use sennight_protocol::backup::{BackupRef, VerifyTask};
use sennight_protocol::export::ExportTask;
use sennight_protocol::restore::RestoreTask;
use sennight_protocol::target::{ManifestKeys, StorageTarget};
use sennight_storage::Store;
use sennight_worker::{TaskError, export, prepare, verify};
use std::io::Read;
use std::path::PathBuf;
use testkit::*;

const UID: &str = "901de000-aaaa-4bbb-8ccc-1234567890ab";
const DATABASE: &str = "golden";

fn golden() -> PathBuf {
    testkit::repository().join("tests/golden/v1")
}

fn identity(schedule: &str) -> TenantIdentity {
    TenantIdentity {
        namespace: "golden".to_owned(),
        schedule: schedule.to_owned(),
        schedule_uid: String::new(),
        tenant: "golden tenant".to_owned(),
        engine: EngineKind::PostgreSQL,
        database: DATABASE.to_owned(),
    }
}

/// Puts a golden backup into a bucket, byte by byte.
async fn put(bucket: &Bucket, schedule: &str) -> BackupRef {
    let dir = std::fs::read_dir(golden().join(schedule)).unwrap().next().unwrap().unwrap().path();
    let id = dir.file_name().unwrap().to_str().unwrap().to_owned();
    let prefix = format!("backups/daily/golden/{schedule}/{id}/");
    for file in std::fs::read_dir(&dir).unwrap().chain(std::fs::read_dir(dir.join("data")).unwrap()) {
        let file = file.unwrap().path();
        if file.is_file() {
            let name = file.strip_prefix(&dir).unwrap().to_str().unwrap().to_owned();
            bucket.overwrite(&format!("{prefix}{name}"), std::fs::read(&file).unwrap()).await;
        }
    }
    BackupRef { prefix, id: id.parse().unwrap(), manifest_sha256: None }
}

async fn with_keys(bucket: &Bucket, required: bool) -> Store {
    let dir = Some(path(&golden().join("keys")));
    let keys = ManifestKeys { dir, current: "golden-2026".to_owned(), required };
    Store::connect(&StorageTarget { manifest_keys: Some(keys), ..bucket.target.clone() }).await.unwrap()
}

async fn verified(backup: &BackupRef, store: &Store) -> Result<i64, TaskError> {
    let task = VerifyTask { name: "verify".to_owned(), backup: backup.clone() };
    match verify::run(&task, &context(store)).await? {
        Done::Verified(summary) => Ok(summary.rows),
        other => panic!("a verify answered {other:?}"),
    }
}

#[tokio::test]
async fn the_golden_backups_are_whole_signed_and_unsigned() {
    let bucket = Bucket::create().await;
    let (signed, unsigned) = (put(&bucket, "signed").await, put(&bucket, "unsigned").await);
    let (plain, keyed, lenient) =
        (bucket.store().await, with_keys(&bucket, true).await, with_keys(&bucket, false).await);
    for (backup, store) in
        [(&signed, &plain), (&unsigned, &plain), (&signed, &keyed), (&signed, &lenient), (&unsigned, &lenient)]
    {
        assert_eq!(verified(backup, store).await.unwrap(), 1_048, "{}", backup.prefix);
    }
    assert_eq!(verified(&unsigned, &keyed).await.unwrap_err().reason, "ManifestUnsigned");
    let manifest = Manifest::parse(&plain.get(&format!("{}manifest.json", signed.prefix)).await.unwrap()).unwrap();
    assert_eq!(manifest.format, FORMAT);
    assert_eq!(manifest.mac.as_ref().unwrap().key_id, "golden-2026");
    assert_eq!(manifest.identity.first_difference(&identity("signed")), None);
    assert_eq!((manifest.day.to_string(), manifest.time_zone.as_str()), ("2026-11-22".to_owned(), "Europe/Berlin"));
    let expected = [
        "1\tAnna Müller\tanna@example.org\t1980-02-29\t\\N\n",
        "2\ttab\\tline\\nback\\\\slash \\\\N\t\\N\t\\N\t\\N\n",
        "3\t=SUM(A1)\t\t0044-03-15 BC\t\\N\n",
        "4\t日本語 🎉\tx;y\"z\tinfinity\t\\N\n",
    ]
    .concat();
    let summary = plain.open(&signed, None).await.unwrap().summary();
    let rows = copied(&summary, &plain, table(&manifest, "contacts")).await;
    assert!(rows.starts_with(expected.as_bytes()), "{}", String::from_utf8_lossy(&rows[..300]));
    assert_eq!(copied(&summary, &plain, table(&manifest, "nothing")).await, b"\n\n");
}

#[tokio::test]
async fn a_golden_backup_gives_its_export() {
    let bucket = Bucket::create().await;
    let (backup, store) = (put(&bucket, "signed").await, with_keys(&bucket, true).await);
    let profile = serde_json::json!({"entities": [{"name": "contacts", "file": "contacts.csv", "table": {"schema": "museum",
        "name": "contacts"}, "key": "id", "columns": [{"column": "id"}, {"column": "name"}, {"column": "mail"}]}]});
    let task = ExportTask {
        name: "export".to_owned(),
        request_uid: UID.to_owned(),
        request: "golden".to_owned(),
        identity: identity("signed"),
        backup,
        profile,
        live: None,
    };
    let Done::Exported(summary) = export::run(&task, &context(&store)).await.unwrap() else { panic!("no export") };
    let zip = store.get(&summary.key).await.unwrap();
    let mut text = String::new();
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(zip)).unwrap();
    archive.by_name("contacts.csv").unwrap().read_to_string(&mut text).unwrap();
    let expected = "\u{feff}\"ID\";\"NAME\";\"MAIL\"\n\"1\";\"Anna Müller\";\"anna@example.org\"\n";
    assert!(text.to_uppercase().starts_with(&expected.to_uppercase()), "{}", &text[..200]);
    assert_eq!(summary.files[0].rows, 500);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_golden_backup_is_restored_to_what_its_database_was() {
    let postgres = Database::existing("postgres");
    for role in ["golden_owner", "golden_reader"] {
        let made = format!("DO $$ BEGIN CREATE ROLE {role}; EXCEPTION WHEN duplicate_object THEN NULL; END $$");
        postgres.run(&made).await;
    }
    let live = Database::named(DATABASE, "TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C' OWNER golden_owner").await;
    live.run(&testkit::file("tests/golden/v1/database.sql")).await;
    let bucket = Bucket::create().await;
    for schedule in ["signed", "unsigned"] {
        let backup = put(&bucket, schedule).await;
        let task = RestoreTask {
            name: "prepare".to_owned(),
            request_uid: UID.to_owned(),
            identity: identity(schedule),
            backup,
            database: live.target.clone(),
            parallelism: 2,
            headroom_bytes: None,
            allow_shared_owners: true,
            hooks_dir: None,
        };
        let prepared = prepare::run(&task, &context(&bucket.store().await)).await.unwrap();
        let Done::Prepared { rows, tables, .. } = prepared else { panic!("{prepared:?}") };
        assert_eq!((rows, tables), (1_048, 10));
        assert_eq!(whole(&Database::existing(&new_database(DATABASE, UID))), whole(&live), "{schedule}");
    }
}
