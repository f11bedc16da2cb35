//! The backups that mutants are made of: dumps of real databases in several shapes, signed, and a bucket to change them in.

use sennight_core::manifest::{Manifest, TenantIdentity};
use sennight_core::result::Done;
use sennight_protocol::backup::BackupRef;
use sennight_protocol::export::ExportTask;
use sennight_protocol::target::{ManifestKeys, StorageTarget};
use sennight_storage::Store;
use sennight_worker::{TaskError, export};
use std::collections::{BTreeMap, BTreeSet};
use tempfile::TempDir;
use testkit::{Bucket, Database, backup_ref, context, credential_files, dump_task, dump_with, path};

/// UID of the request that restores and exports mutants.
pub const UID: &str = "0f3b2c1d-aaaa-4bbb-8ccc-1234567890ab";
/// A key that nobody else has.
const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

/// A backup, whole.
pub struct Base {
    pub name: String,
    pub database: Database,
    pub identity: TenantIdentity,
    pub backup: BackupRef,
    pub manifest: Manifest,
    /// Every object by its name below the backup's prefix, the manifest too.
    pub objects: BTreeMap<String, Vec<u8>>,
    /// The same of an older backup of the same tenant.
    pub older: BTreeMap<String, Vec<u8>>,
    /// SHA-256 of its export.
    pub export: String,
}

const CONTACTS: &str = "CREATE TABLE contacts (id int PRIMARY KEY, name text, mail text);
    INSERT INTO contacts SELECT i, 'name ' || i, md5(i::text) || '@example.org' FROM generate_series(1, 300) i;";
/// Many tables in one object; one without columns, one without rows.
const PACKS: &str = "CREATE TABLE nothing (); INSERT INTO nothing DEFAULT VALUES; CREATE TABLE empty (i int);
    CREATE SEQUENCE counted START 7;
    DO $$ BEGIN FOR n IN 1..12 LOOP EXECUTE format('CREATE TABLE t%s AS SELECT i, md5((i * %s)::text) AS h
        FROM generate_series(1, %s) i', n, n, n * 40); END LOOP; END $$;";
/// One table of many frames.
const FRAMES: &str = "CREATE TABLE many AS SELECT i, repeat(md5((i % 5000)::text), 4) AS pad
    FROM generate_series(1, 170000) i;";
/// Large objects: data that lie in the archive.
const LARGE_OBJECTS: &str = "SELECT lo_from_bytea(0, decode(string_agg(md5((n * i)::text), ''), 'hex'))
    FROM generate_series(1, 4) n, generate_series(1, 5000) i GROUP BY n;";
/// A table that is read in ranges, each into an object of its own: half a gigabyte of pages with a row in each.
const CHUNKED: &str = "CREATE UNLOGGED TABLE chunked (i int, pad text) WITH (fillfactor = 10);
    INSERT INTO chunked SELECT i, repeat(md5((i % 1000)::text), 20) FROM generate_series(1, 67000) i;";

/// All shapes; the last one is the largest.
pub async fn bases() -> Vec<Base> {
    let bases = vec![
        base("packs", &[CONTACTS, PACKS]).await,
        base("other", &[CONTACTS, PACKS, "UPDATE contacts SET name = 'somebody else''s ' || id;"]).await,
        base("frames", &[CONTACTS, PACKS, FRAMES]).await,
        base("archive", &[CONTACTS, PACKS, LARGE_OBJECTS]).await,
        base("chunked", &[CONTACTS, PACKS, CHUNKED]).await,
    ];
    let frames = |base: usize, table: &str| {
        let table = bases[base].manifest.tables.iter().find(|entry| entry.name == table).unwrap();
        let objects: BTreeSet<&str> = table.frames.iter().map(|frame| frame.object.as_str()).collect();
        (table.frames.len(), objects.len())
    };
    assert!(frames(2, "many").0 > 1 && frames(4, "chunked").1 > 1, "the shapes are what they are called");
    bases
}

pub async fn small_base(name: &str) -> Base {
    base(name, &[CONTACTS, PACKS]).await
}

async fn base(name: &str, sql: &[&str]) -> Base {
    let database = Database::create().await;
    for statements in sql {
        database.run(statements).await;
    }
    let bucket = Bucket::create().await;
    let keys = keys();
    let store = Store::connect(&keyed(&bucket.target, &keys)).await.unwrap();
    let task = dump_task(name, &database.target);
    let older = backup_ref(&dump_with(&task, &context(&store)).await.unwrap());
    let backup = backup_ref(&dump_with(&task, &context(&store)).await.unwrap());
    let (older, objects) = (objects(&store, &older.prefix).await, objects(&store, &backup.prefix).await);
    let manifest = Manifest::parse(&objects["manifest.json"]).unwrap();
    assert_eq!(manifest.mac.as_ref().unwrap().key_id, "test");
    let mut base = Base {
        name: name.to_owned(),
        database,
        identity: task.identity,
        backup,
        manifest,
        objects,
        older,
        export: String::new(),
    };
    base.export = exported(&super::export_task(&base, &base.backup), &store).await.unwrap().1;
    base
}

async fn objects(store: &Store, prefix: &str) -> BTreeMap<String, Vec<u8>> {
    let mut objects = BTreeMap::new();
    for object in store.list(prefix).await.unwrap() {
        let name = object.key.strip_prefix(prefix).unwrap().to_owned();
        objects.insert(name, store.get(&object.key).await.unwrap().to_vec());
    }
    objects
}

fn keys() -> TempDir {
    credential_files(&[("test", KEY), ("older", &KEY.replace('0', "f"))])
}

fn keyed(target: &StorageTarget, keys: &TempDir) -> StorageTarget {
    let keys = ManifestKeys { dir: Some(path(keys.path())), current: "test".to_owned(), required: true };
    StorageTarget { manifest_keys: Some(keys), ..target.clone() }
}

/// Few columns of one table: most mutants are in what an export does not read.
pub fn profile() -> serde_json::Value {
    serde_json::json!({"entities": [{"name": "contacts", "file": "contacts.csv", "table": {"name": "contacts"}, "key": "id",
        "columns": [{"column": "id"}, {"column": "name"}, {"column": "mail"}]}]})
}

async fn exported(task: &ExportTask, store: &Store) -> Result<(String, String), TaskError> {
    match export::run(task, &context(store)).await? {
        Done::Exported(summary) => Ok((summary.key, summary.sha256)),
        other => panic!("an export answered {other:?}"),
    }
}

/// A bucket with all backups, in which one mutant lives at a time.
pub struct Stage {
    bucket: Bucket,
    /// Knows no key.
    pub plain: Store,
    /// Knows the key, and refuses what is not signed.
    pub keyed: Store,
}

impl Stage {
    pub async fn new(bases: &[Base]) -> Self {
        let (bucket, keys) = (Bucket::create().await, keys());
        let plain = bucket.store().await;
        let keyed = Store::connect(&keyed(&bucket.target, &keys)).await.unwrap();
        let stage = Self { bucket, plain, keyed };
        for base in bases {
            for (name, bytes) in &base.objects {
                stage.put(base, name, Some(bytes.clone())).await;
            }
        }
        stage
    }

    /// Replaces or removes an object of a backup.
    pub async fn put(&self, base: &Base, name: &str, bytes: Option<Vec<u8>>) {
        let key = format!("{}{name}", base.backup.prefix);
        match bytes {
            Some(bytes) => self.bucket.overwrite(&key, bytes).await,
            None => self.plain.delete(&[key]).await.unwrap(),
        }
    }

    /// SHA-256 of the export, which does not stay.
    pub async fn exported(&self, task: &ExportTask, store: &Store) -> Result<String, TaskError> {
        let (key, sha256) = exported(task, store).await?;
        self.plain.delete(&[key]).await.unwrap();
        Ok(sha256)
    }

    /// Objects of exports.
    pub async fn exports(&self) -> usize {
        let keys = self.bucket.keys().await;
        keys.iter().filter(|key| key.starts_with("backups/exports/")).count()
    }
}
