//! A bucket of its own for each test.

pub use crate::support::env;
use aws_sdk_s3::config::{BehaviorVersion, Credentials as SdkCredentials, Region};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use sennight::domain::job::CopyRef;
use sennight::domain::manifest::{FORMAT, Manifest, TenantIdentity};
use sennight::domain::names::{Area, RecoveryPointId};
use sennight::domain::retention::{Policy, daily_tags};
use sennight::domain::target::{Engine, StorageTarget};
use sennight::store::{Credentials, OpenCopy, PutOptions, Store};

pub fn credentials() -> Credentials {
    Credentials::new(&env("SENNIGHT_TEST_S3_ACCESS_KEY"), &env("SENNIGHT_TEST_S3_SECRET_KEY"), None)
}

/// A fresh bucket, the store under test with prefix `p`, and a plain client for what the store must not be able to do.
pub struct Bucket {
    pub store: Store,
    pub admin: aws_sdk_s3::Client,
    pub name: String,
}

pub fn target(bucket: &str) -> StorageTarget {
    serde_json::from_value(serde_json::json!({
        "bucket": bucket, "prefix": "p", "endpoint": env("SENNIGHT_TEST_S3_ENDPOINT"), "forcePathStyle": true
    }))
    .unwrap()
}

impl Bucket {
    pub async fn new() -> Self {
        let name = format!("store-{:016x}", rand::random::<u64>());
        let admin = aws_sdk_s3::Client::from_conf(
            aws_sdk_s3::Config::builder()
                .behavior_version(BehaviorVersion::latest())
                .region(Region::new("us-east-1"))
                .endpoint_url(env("SENNIGHT_TEST_S3_ENDPOINT"))
                .force_path_style(true)
                .credentials_provider(SdkCredentials::new(
                    env("SENNIGHT_TEST_S3_ACCESS_KEY"),
                    env("SENNIGHT_TEST_S3_SECRET_KEY"),
                    None,
                    None,
                    "test",
                ))
                .build(),
        );
        admin.create_bucket().bucket(&name).send().await.expect("MinIO makes a bucket");
        let store = Store::with_credentials(&target(&name), credentials()).await.unwrap();
        Self { store, admin, name }
    }

    /// The same bucket behind a fault.
    pub async fn behind(&self, endpoint: &str) -> Store {
        let target = StorageTarget { endpoint: Some(endpoint.to_owned()), ..target(&self.name) };
        Store::with_credentials(&target, credentials()).await.unwrap()
    }

    pub fn policy(&self) -> Policy {
        Policy { bucket: self.name.clone(), prefix: "p".into(), days: 7, capabilities: self.store.capabilities() }
    }

    /// Keys under which an unfinished upload lies.
    pub async fn unfinished(&self, key: &str) -> usize {
        // MinIO lists unfinished uploads by the exact key only.
        let answer = self.admin.list_multipart_uploads().bucket(&self.name).prefix(key).send().await.unwrap();
        answer.uploads().len()
    }
}

pub fn identity(schedule: &str) -> TenantIdentity {
    TenantIdentity {
        namespace: "ns".into(),
        schedule: schedule.into(),
        schedule_uid: String::new(),
        tenant: "acme".into(),
        engine: Engine::PostgreSQL,
        database: "crm".into(),
    }
}

/// A manifest of one data object of 5 bytes and a schema of 6.
pub fn manifest(id: &RecoveryPointId, identity: &TenantIdentity, started: DateTime<Utc>) -> Manifest {
    let value = serde_json::json!({
        "format": FORMAT, "id": id, "identity": identity,
        "snapshotTime": started, "day": started.date_naive(), "timeZone": "UTC",
        "startedAt": started, "finishedAt": started,
        "server": {"version": "PostgreSQL 17", "major": 17, "encoding": "UTF8", "collate": "C", "ctype": "C", "databaseBytes": 1},
        "schema": {"object": "schema.pgc", "length": 6, "sha256": "00", "tool": "pg_dump 17"},
        "objects": [{"name": "data/pack-0001.zst", "length": 5}],
        "tables": [{"schema": "public", "name": "t", "columns": [], "rows": 2, "frames": [
            {"object": "data/pack-0001.zst", "offset": 0, "length": 5, "rawLength": 2, "rows": 2, "sha256": "00"}]}],
        "totals": {"tables": 1, "rows": 2, "rawBytes": 2, "storedBytes": 11, "objects": 2}
    });
    Manifest::parse(value.to_string().as_bytes()).expect("a manifest that holds")
}

/// Puts a whole copy into `daily/`, tagged as a dump tags it, and opens it.
pub async fn copy(store: &Store, schedule: &str, number: u32, started: DateTime<Utc>) -> OpenCopy {
    let identity = identity(schedule);
    let id = RecoveryPointId::new(started, number);
    let prefix = store.keys().copy(Area::Daily, "ns", schedule, &id).unwrap();
    let tagged = PutOptions::default().tags(daily_tags());
    let manifest = store.keyring().seal(&manifest(&id, &identity, started)).unwrap();
    for (name, bytes) in [
        ("data/pack-0001.zst", Bytes::from_static(b"data!")),
        ("schema.pgc", Bytes::from_static(b"schema")),
        ("manifest.json", manifest.into()),
    ] {
        store.put(&format!("{prefix}{name}"), bytes, &tagged).await.unwrap();
    }
    store.open(&CopyRef { prefix, id, manifest_sha256: None }, Some(&identity)).await.unwrap()
}
