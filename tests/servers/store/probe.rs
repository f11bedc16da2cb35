//! Capabilities are found by trying.

use aws_sdk_s3::types::{BucketVersioningStatus, VersioningConfiguration};
use chrono::Utc;
use sennight_core::capabilities::Capabilities;
use testkit::store::Bucket;
use testkit::store::fault::{Action, Fault, s3_error};

#[tokio::test]
async fn a_probe_finds_what_minio_can_do_and_leaves_nothing() {
    let bucket = Bucket::new().await;
    let found = bucket.store.probe(Utc::now()).await.unwrap();
    assert_eq!(found, Capabilities::default());
    assert_eq!(bucket.store.list("").await.unwrap(), []);
    let enabled = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
    bucket.admin.put_bucket_versioning().bucket(&bucket.name).versioning_configuration(enabled).send().await.unwrap();
    assert!(bucket.store.probe(Utc::now()).await.unwrap().versioning);
}

#[tokio::test]
async fn a_store_that_ignores_conditions_or_lacks_tags_and_rules_is_seen_through() {
    let bucket = Bucket::new().await;
    let fault = Fault::start(|request| {
        let lacking = request.path.contains("tagging") || request.path.contains("lifecycle");
        if lacking || request.has("x-amz-tagging") {
            Action::Answer("501 Not Implemented", s3_error("NotImplemented"))
        } else if request.has("if-none-match") && request.method == "PUT" {
            Action::Answer("200 OK", String::new())
        } else {
            Action::Forward
        }
    })
    .await;
    let found = bucket.behind(&fault.endpoint).await.probe(Utc::now()).await.unwrap();
    let expected =
        Capabilities { tagging: false, lifecycle: false, conditional_put: false, checksums: true, versioning: false };
    assert_eq!(found, expected);
}

#[tokio::test]
async fn a_missing_right_is_not_taken_for_a_missing_feature() {
    let bucket = Bucket::new().await;
    let fault = Fault::start(|request| {
        if request.path.contains("tagging") {
            Action::Answer("403 Forbidden", s3_error("AccessDenied"))
        } else {
            Action::Forward
        }
    })
    .await;
    let error = bucket.behind(&fault.endpoint).await.probe(Utc::now()).await.unwrap_err();
    assert!(error.reason() == "AccessDenied" && error.to_string().contains("ObjectTagging"), "{error}");
    assert_eq!(bucket.store.list("").await.unwrap(), [], "the canaries are removed all the same");
}
