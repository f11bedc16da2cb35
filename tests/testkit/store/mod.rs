//! A bucket of its own for each test, on MinIO or on another server that the harness started.

pub mod fault;

use crate::env;
use aws_sdk_s3::config::{BehaviorVersion, Credentials as SdkCredentials, Region};
use aws_sdk_s3::types::{
    BucketLifecycleConfiguration, ExpirationStatus, LifecycleExpiration, LifecycleRule, LifecycleRuleFilter,
};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use sennight_core::engine::EngineKind;
use sennight_core::manifest::{FORMAT, Manifest, TenantIdentity};
use sennight_core::names::{Area, BackupId};
use sennight_core::retention::{Policy, daily_tags};
use sennight_protocol::backup::BackupRef;
use sennight_protocol::target::StorageTarget;
use sennight_storage::{Credentials, OpenBackup, PutOptions, Store};

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

/// An S3 server of the harness.
#[derive(Debug, Clone)]
pub struct Server {
    pub name: &'static str,
    pub endpoint: String,
    access: String,
    secret: String,
}

impl Server {
    pub fn minio() -> Self {
        let of = |what: &str| env(&format!("SENNIGHT_TEST_S3_{what}"));
        Self { name: "minio", endpoint: of("ENDPOINT"), access: of("ACCESS_KEY"), secret: of("SECRET_KEY") }
    }

    /// One of those that `SENNIGHT_STORES` starts; `None` where it was not asked for.
    pub fn named(name: &'static str) -> Option<Self> {
        let of = |what: &str| std::env::var(format!("SENNIGHT_TEST_S3_{what}_{}", name.to_uppercase())).ok();
        Some(Self { name, endpoint: of("ENDPOINT")?, access: of("ACCESS_KEY")?, secret: of("SECRET_KEY")? })
    }

    pub fn credentials(&self) -> Credentials {
        Credentials::new(&self.access, &self.secret, None)
    }
}

impl Bucket {
    pub async fn new() -> Self {
        Self::on(&Server::minio()).await
    }

    /// A bucket on another server, with what a probe finds it to be able to.
    pub async fn probed(server: &Server) -> Self {
        let bucket = Self::on(server).await;
        let found = bucket.store.probe(Utc::now()).await.unwrap_or_else(|error| panic!("{}: {error}", server.name));
        Self { store: bucket.store.with_capabilities(found), ..bucket }
    }

    async fn on(server: &Server) -> Self {
        let name = format!("store-{:016x}", rand::random::<u64>());
        let admin = aws_sdk_s3::Client::from_conf(
            aws_sdk_s3::Config::builder()
                .behavior_version(BehaviorVersion::latest())
                .region(Region::new("us-east-1"))
                .endpoint_url(&server.endpoint)
                .force_path_style(true)
                .credentials_provider(SdkCredentials::new(&server.access, &server.secret, None, None, "test"))
                .build(),
        );
        admin.create_bucket().bucket(&name).send().await.expect("the server makes a bucket");
        let target = StorageTarget { endpoint: Some(server.endpoint.clone()), ..target(&name) };
        let store = Store::with_credentials(&target, server.credentials()).await.unwrap();
        Self { store, admin, name }
    }

    /// The same bucket, below another prefix.
    pub async fn below(&self, prefix: &str) -> Store {
        let target = StorageTarget { prefix: prefix.to_owned(), ..self.store.target().clone() };
        Store::with_credentials(&target, credentials()).await.unwrap()
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
        engine: EngineKind::PostgreSQL,
        database: "crm".into(),
    }
}

/// A manifest of one data object of 5 bytes and a schema of 6.
pub fn manifest(id: &BackupId, identity: &TenantIdentity, started: DateTime<Utc>) -> Manifest {
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

/// Puts a whole backup into `daily/`, tagged as a dump tags it, and opens it.
pub async fn backup(store: &Store, schedule: &str, number: u32, started: DateTime<Utc>) -> OpenBackup {
    let identity = identity(schedule);
    let id = BackupId::new(started, number);
    let prefix = store.keys().backup(Area::Daily, "ns", schedule, &id).unwrap();
    let tagged = PutOptions::default().tags(daily_tags());
    let manifest = store.keyring().seal(&manifest(&id, &identity, started)).unwrap();
    for (name, bytes) in [
        ("data/pack-0001.zst", Bytes::from_static(b"data!")),
        ("schema.pgc", Bytes::from_static(b"schema")),
        ("manifest.json", manifest.into()),
    ] {
        store.put(&format!("{prefix}{name}"), bytes, &tagged).await.unwrap();
    }
    store.open(&BackupRef { prefix, id, manifest_sha256: None }, Some(&identity)).await.unwrap()
}

impl Bucket {
    /// Somebody else's rule `theirs` about `logs/`, 90 days.
    pub async fn put_foreign_rule(&self) {
        let rule = LifecycleRule::builder()
            .id("theirs")
            .status(ExpirationStatus::Enabled)
            .filter(LifecycleRuleFilter::builder().prefix("logs/").build())
            .expiration(LifecycleExpiration::builder().days(90).build())
            .build()
            .unwrap();
        let all = BucketLifecycleConfiguration::builder().rules(rule).build().unwrap();
        let put = self.admin.put_bucket_lifecycle_configuration().bucket(&self.name).lifecycle_configuration(all);
        put.send().await.unwrap();
    }

    /// After how many days a rule deletes.
    pub async fn rule_days(&self, id: &str) -> Option<i32> {
        let answer = self.admin.get_bucket_lifecycle_configuration().bucket(&self.name).send().await.unwrap();
        answer.rules().iter().find(|rule| rule.id() == Some(id))?.expiration()?.days()
    }
}
