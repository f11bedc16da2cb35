//! Failures are typed, name the bucket and the way out, and hold no secret.

use bytes::Bytes;
use sennight_protocol::target::StorageTarget;
use sennight_storage::{Access, Credentials, PutOptions, Store, StoreError};
use std::sync::atomic::{AtomicUsize, Ordering};
use testkit::env;
use testkit::store::fault::{Action, Fault, s3_error};
use testkit::store::{Bucket, target};

async fn put(store: &Store) -> StoreError {
    store.put("p/x", Bytes::from_static(b"x"), &PutOptions::default()).await.unwrap_err()
}

#[tokio::test]
async fn wrong_credentials_are_told_from_a_missing_bucket() {
    let bucket = Bucket::new().await;
    let id = env("SENNIGHT_TEST_S3_ACCESS_KEY");
    for (id, secret) in [(id.as_str(), "not-the-secret-key"), ("nobody", "not-the-secret-key")] {
        let store = Store::with_credentials(&target(&bucket.name), Credentials::new(id, secret, None)).await.unwrap();
        let error = put(&store).await;
        let text = format!("{error} {error:?}");
        assert_eq!((error.reason(), error.retryable()), ("BadCredentials", false), "{text}");
        assert!(text.contains(&bucket.name) && !text.contains("not-the-secret-key"), "{text}");
    }
    let store = Store::with_credentials(&target("no-such-bucket-here"), testkit::store::credentials()).await.unwrap();
    for error in [put(&store).await, store.list("p/").await.unwrap_err()] {
        assert_eq!(error.reason(), "NoSuchBucket");
        assert!(error.to_string().contains("no-such-bucket-here"), "{error}");
    }
}

#[tokio::test]
async fn an_endpoint_that_nobody_listens_at_is_unreachable() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let target = StorageTarget { endpoint: Some(endpoint), ..target("b") };
    let store = Store::with_credentials(&target, testkit::store::credentials()).await.unwrap();
    let error = store.list("p/").await.unwrap_err();
    assert_eq!((error.reason(), error.retryable()), ("Unreachable", true), "{error}");
}

#[tokio::test]
async fn settings_that_cannot_work_are_refused_before_any_request() {
    let reason = |result: Result<Store, StoreError>| {
        let error = result.err().expect("refused");
        (error.reason(), error.to_string())
    };
    let no_scheme = StorageTarget { endpoint: Some("minio:9000".into()), ..target("b") };
    let (name, text) = reason(Store::with_credentials(&no_scheme, testkit::store::credentials()).await);
    assert!(name == "Invalid" && text.contains("https://host[:port]"), "{text}");
    let tls = StorageTarget { endpoint: Some("https://minio".into()), ..target("b") };
    for pem in ["", "nonsense", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        let access = Access {
            credentials: Some(testkit::store::credentials()),
            ca_bundle: Some(pem.as_bytes().to_vec()),
            ..Access::default()
        };
        let (name, text) = reason(Store::with_access(&tls, access).await);
        assert!(name == "Invalid" && text.contains("caBundle is not usable"), "{text}");
    }
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("AWS_ACCESS_KEY_ID"), "id\n").unwrap();
    let files = StorageTarget { credentials_dir: Some(dir.path().display().to_string()), ..target("b") };
    let (name, text) = reason(Store::connect(&files).await);
    assert!(name == "Invalid" && text.contains("AWS_SECRET_ACCESS_KEY"), "{text}");
}

#[tokio::test]
async fn a_worker_reads_its_keys_from_mounted_files() {
    let bucket = Bucket::new().await;
    let dir = tempfile::tempdir().unwrap();
    for (name, variable) in
        [("AWS_ACCESS_KEY_ID", "SENNIGHT_TEST_S3_ACCESS_KEY"), ("AWS_SECRET_ACCESS_KEY", "SENNIGHT_TEST_S3_SECRET_KEY")]
    {
        std::fs::write(dir.path().join(name), format!("{}\n", env(variable))).unwrap();
    }
    let files = StorageTarget { credentials_dir: Some(dir.path().display().to_string()), ..target(&bucket.name) };
    let store = Store::connect(&files).await.unwrap();
    store.put("p/x", Bytes::from_static(b"x"), &PutOptions::default()).await.unwrap();
}

#[tokio::test]
async fn a_store_that_is_busy_is_asked_again() {
    let bucket = Bucket::new().await;
    let asked = AtomicUsize::new(0);
    let fault = Fault::start(move |_| match asked.fetch_add(1, Ordering::SeqCst) {
        0..2 => Action::Answer("503 Service Unavailable", s3_error("SlowDown")),
        _ => Action::Forward,
    })
    .await;
    let store = bucket.behind(&fault.endpoint).await;
    store.put("p/x", Bytes::from_static(b"x"), &PutOptions::default()).await.unwrap();
    assert_eq!(fault.count(|_| true), 3);
}

#[tokio::test]
async fn a_missing_right_names_the_permission() {
    let bucket = Bucket::new().await;
    let fault = Fault::start(|_| Action::Answer("403 Forbidden", s3_error("AccessDenied"))).await;
    let store = bucket.behind(&fault.endpoint).await;
    let error = put(&store).await;
    assert!(error.reason() == "AccessDenied" && error.to_string().contains("s3:PutObject"), "{error}");
    let error = store.tags("p/x").await.unwrap_err();
    assert!(error.to_string().contains("s3:GetObjectTagging"), "{error}");
}
