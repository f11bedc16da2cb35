//! What tests on real services share: databases, buckets and tasks of their own. `tests/cluster/with.sh services --
//! cargo test …` starts PostgreSQL and MinIO and tells where they are.

use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use sennight_core::engine::EngineKind;
use sennight_core::engine::TlsMode;
use sennight_core::manifest::{Manifest, Table, TenantIdentity};
use sennight_core::result::{BackupSummary, Done};
use sennight_engine::postgres::{Session, connect, ident};
use sennight_protocol::backup::{BackupRef, DumpTask, VerifyTask};
use sennight_protocol::target::{DatabaseTarget, ManifestKeys, StorageTarget, TlsTarget};
use sennight_storage::Store;
use sennight_worker::{ProgressWriter, TaskError, WorkerContext, dump, frames, verify};
use std::path::Path;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// A variable that `with.sh` sets.
pub fn env(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: run this by `tests/cluster/with.sh services -- cargo test --test …`")
    })
}

/// A name that no other test has.
pub fn unique(prefix: &str) -> String {
    format!("{prefix}{:016x}", rand::random::<u64>())
}

/// Credential files as the kubelet mounts them.
pub fn credential_files(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, value) in files {
        std::fs::write(dir.path().join(name), value).unwrap();
    }
    // The tests' databases are on the loopback.
    if files.iter().any(|(name, _)| *name == "username") {
        std::fs::write(dir.path().join("host"), LOOPBACK).unwrap();
    }
    dir
}

/// What a test's Secret of database credentials says that it is for.
pub const LOOPBACK: &str = "127.0.0.1 127.0.0.2 localhost";

/// A database of the test's own, reached as the superuser over verified TLS.
pub struct Database {
    pub target: DatabaseTarget,
    _credentials: TempDir,
}

impl Database {
    pub async fn create() -> Self {
        Self::named(&unique("t_"), "").await
    }

    /// `CREATE DATABASE name options`.
    pub async fn named(name: &str, options: &str) -> Self {
        let server = Self::existing("postgres");
        let admin = server.session().await;
        admin.batch_execute(&format!("CREATE DATABASE {} {options}", ident(name))).await.unwrap();
        admin.close().await;
        Self::existing(name)
    }

    pub fn existing(name: &str) -> Self {
        Self::on(env("SENNIGHT_TEST_PG_PORT").parse().unwrap(), name)
    }

    /// A database of the server at this port: a run's servers share host, superuser and CA.
    pub fn on(port: u16, name: &str) -> Self {
        let credentials = credential_files(&[
            ("username", &env("SENNIGHT_TEST_PG_USER")),
            ("password", &env("SENNIGHT_TEST_PG_PASSWORD")),
        ]);
        let target = DatabaseTarget {
            engine: EngineKind::PostgreSQL,
            host: env("SENNIGHT_TEST_PG_HOST"),
            port,
            database: name.to_owned(),
            maintenance_database: "postgres".to_owned(),
            tls: TlsTarget {
                mode: TlsMode::VerifyFull,
                ca_file: Some(env("SENNIGHT_TEST_PG_CA")),
                client_cert_dir: None,
            },
            credentials_dir: path(credentials.path()),
        };
        Self { target, _credentials: credentials }
    }

    /// The same database as another role.
    #[must_use]
    pub fn seen_by(&self, username: &str, password: &str) -> Self {
        let credentials = credential_files(&[("username", username), ("password", &format!("{password}\n"))]);
        let target = DatabaseTarget { credentials_dir: path(credentials.path()), ..self.target.clone() };
        Self { target, _credentials: credentials }
    }

    /// A session as an application has it: names are looked up in `public`.
    pub async fn session(&self) -> Session {
        let session = connect(&self.target, &self.target.database, "test").await.unwrap();
        session.batch_execute("SET search_path = \"$user\", public").await.unwrap();
        session
    }

    /// Runs statements in a session of their own.
    pub async fn run(&self, sql: &str) {
        let session = self.session().await;
        if let Err(error) = session.batch_execute(sql).await {
            panic!("{sql}: {}", sennight_engine::postgres::error::words(&error));
        }
        session.close().await;
    }

    /// The first column of the first row.
    pub async fn count(&self, sql: &str) -> i64 {
        self.session().await.query_one(sql, &[]).await.unwrap().get(0)
    }

    /// Waits until `sql`, a count, is more than nothing.
    pub async fn wait_for(&self, sql: &str) {
        let session = self.session().await;
        for _ in 0..600 {
            if session.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) > 0 {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("still nothing after 30 s: {sql}");
    }

    /// Waits until a dump of this database waits for a lock.
    pub async fn wait_for_a_waiting_dump(&self) {
        self.wait_for(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
              AND application_name = 'sennight-dump' AND wait_event_type = 'Lock'",
        )
        .await;
    }

    /// All rows of a table as COPY text, sorted.
    pub async fn rows(&self, backup: &str) -> Vec<String> {
        use futures::TryStreamExt;
        let session = self.session().await;
        let stream = session.copy_out(&format!("COPY {backup} TO STDOUT")).await.unwrap();
        let pieces: Vec<bytes::Bytes> = stream.try_collect().await.unwrap();
        sorted_lines(&pieces.concat())
    }
}

pub fn path(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

pub fn sorted_lines(text: &[u8]) -> Vec<String> {
    let mut lines: Vec<String> = String::from_utf8_lossy(text).lines().map(ToOwned::to_owned).collect();
    lines.sort();
    lines
}

/// Id and value of the key of [`Bucket::signed`].
pub const MANIFEST_KEY: (&str, &str) = ("2026-11", "5f4dcc3b5aa765d61d8327deb882cf99aa");

/// A bucket of the test's own.
pub struct Bucket {
    pub target: StorageTarget,
    credentials: TempDir,
    client: aws_sdk_s3::Client,
}

impl Bucket {
    pub async fn create() -> Self {
        let (access, secret) = (env("SENNIGHT_TEST_S3_ACCESS_KEY"), env("SENNIGHT_TEST_S3_SECRET_KEY"));
        let credentials = credential_files(&[("AWS_ACCESS_KEY_ID", &access), ("AWS_SECRET_ACCESS_KEY", &secret)]);
        let endpoint = env("SENNIGHT_TEST_S3_ENDPOINT");
        let target = StorageTarget {
            bucket: unique("t-"),
            prefix: "backups".to_owned(),
            region: "us-east-1".to_owned(),
            endpoint: Some(endpoint.clone()),
            force_path_style: true,
            ca_file: None,
            credentials_dir: Some(path(credentials.path())),
            encryption: None,
            capabilities: sennight_core::capabilities::Capabilities::default(),
            manifest_keys: None,
        };
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .endpoint_url(endpoint)
            .force_path_style(true)
            .credentials_provider(Credentials::new(access, secret, None, None, "test"))
            .build();
        let client = aws_sdk_s3::Client::from_conf(config);
        client.create_bucket().bucket(&target.bucket).send().await.unwrap();
        Self { target, credentials, client }
    }

    /// A bucket whose manifests are signed, and which knows no others.
    pub async fn signed() -> Self {
        let mut bucket = Self::create().await;
        let dir = bucket.credentials.path().join("keys");
        std::fs::create_dir(&dir).unwrap();
        std::fs::write(dir.join(MANIFEST_KEY.0), MANIFEST_KEY.1).unwrap();
        let keys = ManifestKeys { dir: Some(path(&dir)), current: MANIFEST_KEY.0.to_owned(), required: true };
        bucket.target.manifest_keys = Some(keys);
        bucket
    }

    /// The same bucket through another endpoint.
    pub fn through(&self, endpoint: String) -> StorageTarget {
        StorageTarget { endpoint: Some(endpoint), ..self.target.clone() }
    }

    pub async fn store(&self) -> Store {
        Store::connect(&self.target).await.unwrap()
    }

    /// Every key in the bucket.
    pub async fn keys(&self) -> Vec<String> {
        self.store().await.list("").await.unwrap().into_iter().map(|o| o.key).collect()
    }

    /// Manifests in the bucket: as many backups there are.
    pub async fn manifests(&self) -> usize {
        self.keys().await.iter().filter(|key| key.ends_with("/manifest.json")).count()
    }

    /// Multipart uploads of a key that nobody has finished or aborted. MinIO lists them by their exact key only, and finds
    /// none below a prefix.
    pub async fn unfinished_uploads(&self, key: &str) -> usize {
        let answer = self.client.list_multipart_uploads().bucket(&self.target.bucket).prefix(key).send().await;
        answer.unwrap().uploads().len()
    }

    /// Replaces an object's bytes behind Sennight's back.
    pub async fn overwrite(&self, key: &str, body: Vec<u8>) {
        self.client.put_object().bucket(&self.target.bucket).key(key).body(body.into()).send().await.unwrap();
    }
}

/// Takes foreign keys and NOT NULL away, so that a test can fill tables and tear holes as it likes.
pub const WITHOUT_CONSTRAINTS: &str = "DO $$ DECLARE r record; BEGIN
  FOR r IN SELECT conrelid::regclass AS t, conname FROM pg_constraint WHERE contype = 'f' AND conparentid = 0 LOOP
    EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', r.t, r.conname); END LOOP;
  FOR r IN SELECT a.attrelid::regclass AS t, a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
    WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relnamespace = 'public'::regnamespace AND a.attnum > 0 AND a.attnotnull AND NOT a.attisdropped
      AND a.attidentity = '' AND NOT EXISTS (SELECT FROM pg_constraint p WHERE p.conrelid = c.oid AND p.contype = 'p' AND a.attnum = ANY (p.conkey)) LOOP
    EXECUTE format('ALTER TABLE %s ALTER COLUMN %I DROP NOT NULL', r.t, r.attname); END LOOP;
END $$";

pub fn context(store: &Store) -> WorkerContext {
    WorkerContext {
        store: store.clone(),
        job_uid: unique("job-"),
        pod: "pod".to_owned(),
        cancel: CancellationToken::new(),
        progress: ProgressWriter::silent(),
        concurrency: 1,
        engines: sennight_engine::of,
    }
}

pub fn dump_task(name: &str, database: &DatabaseTarget) -> DumpTask {
    DumpTask {
        name: name.to_owned(),
        identity: TenantIdentity {
            namespace: "tenants".to_owned(),
            schedule: name.to_owned(),
            schedule_uid: "uid".to_owned(),
            tenant: format!("tenant-{name}"),
            engine: EngineKind::PostgreSQL,
            database: database.database.clone(),
        },
        database: database.clone(),
        time_zone: "Europe/Berlin".to_owned(),
        parallelism: 2,
        lock_timeout_seconds: 30,
        ddl_wait_seconds: 60,
        deadline_seconds: 300,
        max_bytes_per_second: None,
        allow_non_transactional: false,
    }
}

/// Dumps `database` as tenant `acme`.
pub async fn dump(database: &Database, store: &Store) -> Result<BackupSummary, TaskError> {
    dump_with(&dump_task("acme", &database.target), &context(store)).await
}

pub async fn dump_with(task: &DumpTask, context: &WorkerContext) -> Result<BackupSummary, TaskError> {
    match dump::run(task, context).await? {
        Done::Dumped(backup) => Ok(backup),
        other => panic!("a dump answered {other:?}"),
    }
}

pub fn backup_ref(backup: &BackupSummary) -> BackupRef {
    BackupRef {
        prefix: backup.prefix.clone(),
        id: backup.id.clone(),
        manifest_sha256: Some(backup.manifest_sha256.clone()),
    }
}

pub async fn verify(backup: &BackupSummary, store: &Store) -> Result<BackupSummary, TaskError> {
    match verify::run(&VerifyTask { name: "verify".to_owned(), backup: backup_ref(backup) }, &context(store)).await? {
        Done::Verified(backup) => Ok(backup),
        other => panic!("a verify answered {other:?}"),
    }
}

pub async fn manifest(backup: &BackupSummary, store: &Store) -> Manifest {
    Manifest::parse(&store.get(&format!("{}manifest.json", backup.prefix)).await.unwrap()).unwrap()
}

pub fn table<'a>(manifest: &'a Manifest, name: &str) -> &'a Table {
    manifest.tables.iter().find(|t| t.name == name).unwrap_or_else(|| panic!("no table {name:?} in the manifest"))
}

/// The rows of a table out of the backup, as bytes in row order.
pub async fn copied(backup: &BackupSummary, store: &Store, table: &Table) -> Vec<u8> {
    use futures::TryStreamExt;
    let frames: Vec<bytes::Bytes> =
        frames::table_frames(store, &backup.prefix, table).try_collect().await.unwrap_or_else(|e| panic!("{e}"));
    frames.concat()
}
