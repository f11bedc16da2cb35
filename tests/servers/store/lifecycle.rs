//! I5: the bucket's rules.

use aws_sdk_s3::config::interceptors::BeforeTransmitInterceptorContextMut;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use aws_sdk_s3::primitives::SdkBody;
use aws_sdk_s3::types::{
    BucketLifecycleConfiguration, ExpirationStatus, LifecycleExpiration, LifecycleRule, LifecycleRuleFilter,
};
use sennight_core::retention::{Expire, Policy, Rule};
use sennight_storage::{ensure, observe};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use testkit::store::Bucket;
use testkit::store::fault::{Action, Fault, s3_error};

fn foreign(id: &str, prefix: &str, days: i32) -> LifecycleRule {
    LifecycleRule::builder()
        .id(id)
        .status(ExpirationStatus::Enabled)
        .filter(LifecycleRuleFilter::builder().prefix(prefix).build())
        .expiration(LifecycleExpiration::builder().days(days).build())
        .build()
        .unwrap()
}

async fn put_rules(bucket: &Bucket, rules: Vec<LifecycleRule>) {
    let configuration = BucketLifecycleConfiguration::builder().set_rules(Some(rules)).build().unwrap();
    bucket
        .admin
        .put_bucket_lifecycle_configuration()
        .bucket(&bucket.name)
        .lifecycle_configuration(configuration)
        .send()
        .await
        .unwrap();
}

async fn rules(bucket: &Bucket) -> Vec<LifecycleRule> {
    let answer = bucket.admin.get_bucket_lifecycle_configuration().bucket(&bucket.name).send().await.unwrap();
    answer.rules.unwrap_or_default()
}

fn days(rules: &[Rule], area: &str) -> Option<Expire> {
    rules.iter().find(|rule| rule.prefix == format!("p/{area}/")).and_then(|rule| rule.expire)
}

#[tokio::test]
async fn i5_rules_come_into_force_beside_foreign_ones_and_drift_is_repaired() {
    let bucket = Bucket::new().await;
    let theirs = vec![foreign("theirs", "logs/", 3), foreign("also & theirs", "x<y>/", 30)];
    put_rules(&bucket, theirs.clone()).await;
    let first = ensure(&bucket.store, &bucket.policy(), &BTreeSet::new()).await.unwrap();
    assert_eq!(days(&first.rules, "daily"), Some(Expire::Days(7)));
    assert_eq!(days(&first.rules, "claims"), Some(Expire::Days(400)));
    assert_eq!((first.foreign, first.conflicts.len()), (2, 0));
    // MinIO aborts by a setting of its own and refuses the rule.
    let abort = BTreeSet::from([format!("{}abort", bucket.policy().id_prefix())]);
    assert_eq!(first.unsupported, abort);
    let stored = rules(&bucket).await;
    assert_eq!(stored[..2], theirs, "foreign rules are what they were, and where they were");

    let second = ensure(&bucket.store, &bucket.policy(), &first.unsupported).await.unwrap();
    assert_eq!((second.drift.len(), second.rules.len()), (0, 7), "no drift, no write");

    let mut broken = rules(&bucket).await;
    broken.retain(|rule| !rule.id().unwrap().ends_with("-safety"));
    for rule in &mut broken {
        if rule.id().unwrap().ends_with("-daily") {
            rule.expiration = Some(LifecycleExpiration::builder().days(1).build());
        }
    }
    put_rules(&bucket, broken).await;
    let seen = observe(&bucket.store, &bucket.policy(), &abort).await.unwrap();
    let mut names: Vec<&str> = seen.drift.iter().filter_map(|id| id.rsplit('-').next()).collect();
    names.sort_unstable();
    assert_eq!(names, ["daily", "safety"]);
    let repaired = ensure(&bucket.store, &bucket.policy(), &abort).await.unwrap();
    assert_eq!(repaired.drift, seen.drift);
    assert_eq!(days(&repaired.rules, "daily"), Some(Expire::Days(7)));
    let stored = rules(&bucket).await;
    assert!(theirs.iter().all(|rule| stored.contains(rule)) && stored.len() == 9);
}

#[tokio::test]
async fn i5_without_drift_nothing_is_written() {
    let bucket = Bucket::new().await;
    let first = ensure(&bucket.store, &bucket.policy(), &BTreeSet::new()).await.unwrap();
    let fault = Fault::start(|_| Action::Forward).await;
    let store = bucket.behind(&fault.endpoint).await;
    ensure(&store, &bucket.policy(), &first.unsupported).await.unwrap();
    assert_eq!((fault.count(|r| r.method == "GET"), fault.count(|r| r.method == "PUT")), (1, 0));
}

#[tokio::test]
async fn i5_rules_that_cannot_be_read_are_never_written() {
    let bucket = Bucket::new().await;
    put_rules(&bucket, vec![foreign("theirs", "logs/", 3)]).await;
    for (status, body, reason) in [
        ("403 Forbidden", s3_error("AccessDenied"), "AccessDenied"),
        ("500 Internal Server Error", s3_error("InternalError"), "Unavailable"),
        ("404 Not Found", s3_error("NoSuchBucket"), "NoSuchBucket"),
        ("200 OK", "<LifecycleConfiguration><Rule>".to_owned(), "LifecycleUnreadable"),
    ] {
        let fault = Fault::start(move |request| match request.method.as_str() {
            "GET" => Action::Answer(status, body.clone()),
            _ => Action::Forward,
        })
        .await;
        let store = bucket.behind(&fault.endpoint).await;
        let error = ensure(&store, &bucket.policy(), &BTreeSet::new()).await.unwrap_err();
        assert_eq!(error.reason(), reason, "{error}");
        assert_eq!(fault.count(|request| request.method == "PUT"), 0, "{status}");
    }
    assert_eq!(rules(&bucket).await.len(), 1);
}

#[tokio::test]
async fn i5_a_store_that_loses_a_foreign_rule_is_reported() {
    static WRITTEN: AtomicBool = AtomicBool::new(false);
    let bucket = Bucket::new().await;
    let odd = "<Rule><ID>odd</ID><Status>Enabled</Status><Filter><Prefix>z/</Prefix></Filter><Odd>1</Odd><Expiration><Days>3</Days></Expiration></Rule>";
    let fault = Fault::start(move |request| match (request.method.as_str(), request.path.contains("lifecycle")) {
        ("GET", true) if !WRITTEN.load(Ordering::SeqCst) => {
            Action::Answer("200 OK", format!("<LifecycleConfiguration>{odd}</LifecycleConfiguration>"))
        }
        ("PUT", true) => {
            WRITTEN.store(true, Ordering::SeqCst);
            Action::Forward
        }
        _ => Action::Forward,
    })
    .await;
    let store = bucket.behind(&fault.endpoint).await;
    let unsupported = BTreeSet::from([format!("{}abort", bucket.policy().id_prefix())]);
    let error = ensure(&store, &bucket.policy(), &unsupported).await.unwrap_err();
    let text = error.to_string();
    assert!(error.reason() == "ForeignRulesChanged" && text.contains("odd") && text.contains("<Odd>1</Odd>"), "{text}");
}

#[tokio::test]
async fn rules_that_work_against_us_are_reported_with_the_way_out() {
    let bucket = Bucket::new().await;
    put_rules(&bucket, vec![foreign("sweep", "p/", 3)]).await;
    let found = ensure(&bucket.store, &bucket.policy(), &BTreeSet::new()).await.unwrap();
    let text = found.conflicts[0].to_string();
    assert!(text.contains("\"sweep\"") && text.contains("after 3 days") && text.contains("remove it"), "{text}");
}

/// Sends these bytes as the configuration: elements that the SDK does not know.
#[derive(Debug)]
struct Raw(String);

impl Intercept for Raw {
    fn name(&self) -> &'static str {
        "Raw"
    }

    fn modify_before_retry_loop(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        *context.request_mut().body_mut() = SdkBody::from(self.0.clone());
        context.request_mut().headers_mut().insert("content-length", self.0.len().to_string());
        Ok(())
    }
}

#[tokio::test]
async fn i5_what_only_this_store_knows_survives_in_foreign_rules() {
    let bucket = Bucket::new().await;
    let rules = "<Rule><ID>v</ID><Status>Enabled</Status><Filter><Prefix>v/</Prefix></Filter><Expiration><Days>9</Days><ExpiredObjectAllVersions>true</ExpiredObjectAllVersions></Expiration></Rule><Rule><ID>m</ID><Status>Enabled</Status><Filter><Prefix>m/</Prefix></Filter><DelMarkerExpiration><Days>5</Days></DelMarkerExpiration></Rule>";
    let stand_in = BucketLifecycleConfiguration::builder().rules(foreign("x", "x/", 1)).build().unwrap();
    bucket
        .admin
        .put_bucket_lifecycle_configuration()
        .bucket(&bucket.name)
        .lifecycle_configuration(stand_in)
        .customize()
        .interceptor(Raw(format!("<LifecycleConfiguration>{rules}</LifecycleConfiguration>")))
        .send()
        .await
        .unwrap();
    let found = ensure(&bucket.store, &bucket.policy(), &BTreeSet::new()).await.unwrap();
    assert_eq!((found.foreign, found.rules.len()), (2, 7));
    let fault = Fault::start(|_| Action::Forward).await;
    let raw = raw_rules(&fault, &bucket).await;
    assert!(raw.contains("<ExpiredObjectAllVersions>true</ExpiredObjectAllVersions>"), "{raw}");
    assert!(raw.contains("<DelMarkerExpiration><Days>5</Days></DelMarkerExpiration>"), "{raw}");
}

/// The configuration as the server sends it.
async fn raw_rules(fault: &Fault, bucket: &Bucket) -> String {
    let store = bucket.behind(&fault.endpoint).await;
    observe(&store, &bucket.policy(), &BTreeSet::new()).await.unwrap();
    fault.answers()
}

#[tokio::test]
async fn i5_a_storage_that_has_the_whole_bucket_gets_its_rules_area_by_area() {
    let bucket = Bucket::new().await;
    let policy = Policy { prefix: String::new(), ..bucket.policy() };
    put_rules(&bucket, vec![foreign("theirs", "logs/", 3)]).await;
    let found = ensure(&bucket.store, &policy, &BTreeSet::new()).await.unwrap();
    // No rule about uploads, which S3 (and MinIO, which refuses it below a prefix) would have go by the prefix alone.
    assert_eq!((found.rules.len(), found.unsupported.len(), found.conflicts.len()), (7, 0, 0), "{found:?}");
    assert!(found.rules.iter().all(|rule| !rule.prefix.is_empty()));
    let again = ensure(&bucket.store, &policy, &found.unsupported).await.unwrap();
    assert_eq!(again.drift, [] as [String; 0]);
}
