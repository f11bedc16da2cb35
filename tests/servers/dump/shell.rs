//! The verbs of a shell: what `sennight catalogue`, `verify` and `restore --to-directory` print and leave behind.

use super::recovery::{TENANT, tools, whole};
use sennight_protocol::target::{ManifestKeys, StorageTarget};
use sennight_storage::Store;
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};
use testkit::*;

const KEY: &str = "a key that is long enough for everybody";

fn sennight(bucket: &Bucket, arguments: &[&str]) -> Output {
    let target = &bucket.target;
    Command::new(testkit::binary("sennight"))
        .args(arguments)
        .args(["--bucket", &target.bucket, "--prefix", &target.prefix, "--path-style"])
        .args(["--endpoint", target.endpoint.as_deref().unwrap()])
        .args(["--credentials-dir", target.credentials_dir.as_deref().unwrap()])
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_written_to_a_directory_is_loaded_by_its_own_script() {
    let (database, bucket) = (Database::create().await, Bucket::create().await);
    database.run(TENANT).await;
    database
        .run("CREATE TABLE \"new\nline 'n $(touch x) \\\\ 名\" (\"a\nb\" int); INSERT INTO \"new\nline 'n $(touch x) \\\\ 名\" VALUES (1)")
        .await;
    dump(&database, &bucket.store().await).await.unwrap();
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("acme");
    let arguments =
        ["restore", "--namespace", "tenants", "--schedule", "acme", "--to-directory", dir.to_str().unwrap()];

    let written = sennight(&bucket, &arguments);

    assert!(written.status.success(), "{}", text(&written.stderr));
    assert!(text(&written.stdout).contains("rows"), "{}", text(&written.stdout));
    assert!(files(&dir).iter().all(|file| !unfinished(file)), "{:?}", files(&dir));
    let restored = Database::named(&unique("restored_"), "TEMPLATE template0").await;
    let loaded = tools("bash").arg(dir.join("load.sh")).arg(&restored.target.database).output().unwrap();
    assert!(loaded.status.success(), "{}", text(&loaded.stderr));
    assert_eq!(whole(&restored), whole(&database));
    let before = files(&dir);
    let again = sennight(&bucket, &arguments);
    assert_eq!((again.status.code(), files(&dir)), (Some(3), before), "nothing is written over");
    assert!(text(&again.stderr).contains("is not empty"), "{}", text(&again.stderr));
}

fn unfinished(file: &str) -> bool {
    Path::new(file).extension().is_some_and(|extension| extension == "part")
}

fn files(dir: &Path) -> Vec<String> {
    let mut all: Vec<String> = std::fs::read_dir(dir)
        .unwrap()
        .chain(std::fs::read_dir(dir.join("tables")).unwrap())
        .map(|entry| path(&entry.unwrap().path()))
        .collect();
    all.sort();
    all
}

#[tokio::test]
async fn i4_a_directory_of_a_damaged_backup_has_no_script_and_no_damaged_file() {
    let (database, bucket) = (Database::create().await, Bucket::create().await);
    database.run("CREATE TABLE a AS SELECT 1 AS i; CREATE TABLE b AS SELECT i FROM generate_series(1, 1000) i").await;
    let store = bucket.store().await;
    let backup = dump(&database, &store).await.unwrap();
    let place = table(&manifest(&backup, &store).await, "b").frames[0].clone();
    let key = format!("{}{}", backup.prefix, place.object);
    let mut bytes = store.get(&key).await.unwrap().to_vec();
    bytes[usize::try_from(place.offset).unwrap() + 20] ^= 1;
    bucket.overwrite(&key, bytes).await;
    let dir = tempfile::tempdir().unwrap();

    let arguments =
        ["restore", "--namespace", "tenants", "--schedule", "acme", "--to-directory", dir.path().to_str().unwrap()];
    let refused = sennight(&bucket, &arguments);

    assert_eq!(refused.status.code(), Some(3), "{}", text(&refused.stderr));
    let whole: Vec<String> = files(dir.path()).into_iter().filter(|file| !unfinished(file)).collect();
    assert!(whole.iter().any(|file| file.ends_with("0001-public.a.tsv")), "{whole:?}");
    assert!(whole.iter().all(|file| !file.ends_with("public.b.tsv") && !file.ends_with("load.sh")), "{whole:?}");
    let verified = sennight(&bucket, &["verify", "--namespace", "tenants", "--schedule", "acme"]);
    assert_eq!(verified.status.code(), Some(1), "{}", text(&verified.stderr));
    assert!(text(&verified.stderr).contains("is damaged"), "{}", text(&verified.stderr));
}

#[tokio::test]
async fn the_catalogue_tells_whole_damaged_and_unfinished_backups_of_all_tenants_apart() {
    let (database, bucket) = (Database::create().await, Bucket::create().await);
    database.run("CREATE TABLE t AS SELECT i FROM generate_series(1, 10) i").await;
    let keys = credential_files(&[("k1", KEY)]);
    let signing = ManifestKeys { dir: Some(path(keys.path())), current: "k1".to_owned(), required: true };
    let signing = StorageTarget { manifest_keys: Some(signing), ..bucket.target.clone() };
    let (plain, signing) = (bucket.store().await, Store::connect(&signing).await.unwrap());
    let acme = dump_task("acme", &database.target);
    let cut = dump_with(&acme, &context(&plain)).await.unwrap();
    let torn = dump_with(&acme, &context(&plain)).await.unwrap();
    let good = dump_with(&dump_task("other", &database.target), &context(&signing)).await.unwrap();
    plain.delete(&[format!("{}data/pack-0001.zst", cut.prefix)]).await.unwrap();
    plain.delete(&[format!("{}manifest.json", torn.prefix)]).await.unwrap();

    let listed = sennight(&bucket, &["catalogue", "-o", "json"]);

    assert_eq!(listed.status.code(), Some(1), "one is damaged: {}", text(&listed.stderr));
    let found: Vec<Value> = serde_json::from_slice(&listed.stdout).unwrap();
    let told = |backup: &sennight_core::result::BackupSummary| {
        found.iter().find(|found| found["id"] == backup.id.to_string()).unwrap().clone()
    };
    assert_eq!(found.len(), 3);
    assert_eq!(told(&cut)["state"], "damaged");
    assert!(told(&cut)["reason"].as_str().unwrap().contains("data/pack-0001.zst is gone"));
    assert_eq!((&told(&torn)["state"], &told(&torn)["rows"]), (&"unfinished".into(), &Value::Null));
    let good_one = told(&good);
    assert_eq!(
        (&good_one["state"], &good_one["rows"], &good_one["held"]),
        (&"whole".into(), &10.into(), &false.into())
    );
    assert_eq!((&good_one["tenant"], &good_one["signedWith"]), (&"tenant-other".into(), &"k1".into()));
    assert_eq!(good_one["day"], good.day.to_string());
    let table = text(&sennight(&bucket, &["catalogue", "--schedule", "other", "--namespace", "tenants"]).stdout);
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines.len() == 2 && lines[0].starts_with("SCHEDULE") && lines[1].ends_with("whole"), "{table}");
}

#[tokio::test]
async fn a_shell_verifies_by_day_and_holds_signatures_against_the_keys_it_has() {
    let (database, bucket) = (Database::create().await, Bucket::create().await);
    database.run("CREATE TABLE t AS SELECT i FROM generate_series(1, 10) i").await;
    let keys = credential_files(&[("k1", KEY)]);
    let others = credential_files(&[("k2", KEY)]);
    let signing = ManifestKeys { dir: Some(path(keys.path())), current: "k1".to_owned(), required: true };
    let signing = StorageTarget { manifest_keys: Some(signing), ..bucket.target.clone() };
    let backup = dump(&database, &Store::connect(&signing).await.unwrap()).await.unwrap();
    let day = backup.day.to_string();
    let verify = |more: &[&str]| {
        let told = sennight(&bucket, &[&["verify", "-n", "tenants", "--schedule", "acme"][..], more].concat());
        (told.status.code(), text(&told.stdout), text(&told.stderr))
    };
    let (code, out, _) = verify(&["--date", &day]);
    assert!(code == Some(0) && out.contains("signature not checked"), "{out}");
    let (code, out, _) = verify(&["--manifest-keys", keys.path().to_str().unwrap(), "-o", "json"]);
    let told: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &told["signedWith"], &told["rows"]), (Some(0), &"k1".into(), &10.into()));
    let (code, _, error) = verify(&["--manifest-keys", others.path().to_str().unwrap()]);
    assert!(code == Some(3) && error.contains("UnknownManifestKey"), "{error}");
    let (code, _, error) = verify(&["--date", "2001-01-01"]);
    assert!(code == Some(3) && error.contains("no usable backup of 2001-01-01"), "{error}");
    let (code, _, error) = verify(&["--id", &backup.id.to_string(), "--sha256", &"0".repeat(64)]);
    assert!(code == Some(3) && error.contains("pinned"), "{error}");
}
