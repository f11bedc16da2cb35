//! I5: a held backup outlives retention.

use aws_sdk_s3::primitives::DateTime as SdkTime;
use aws_sdk_s3::types::{
    BucketLifecycleConfiguration, BucketVersioningStatus, ExpirationStatus, LifecycleExpiration, LifecycleRule,
    LifecycleRuleAndOperator, LifecycleRuleFilter, Tag, VersioningConfiguration,
};
use chrono::{DateTime, TimeDelta, Timelike as _, Utc};
use sennight_core::capabilities::Capabilities;
use sennight_core::names::Area;
use sennight_core::retention::{HoldMethod, Policy, expires_at, held_tags};
use sennight_storage::{OpenBackup, ensure};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use testkit::store::{Bucket, backup};

fn now() -> DateTime<Utc> {
    Utc::now().with_nanosecond(0).unwrap()
}

/// A rule whose date is over deletes what it matches at once: a week need not pass.
async fn expire_now(bucket: &Bucket, tagged: bool) {
    let filter = LifecycleRuleFilter::builder();
    let filter = if tagged {
        let tag = Tag::builder().key("retain").value("daily").build().unwrap();
        filter.and(LifecycleRuleAndOperator::builder().prefix("p/daily/").tags(tag).build())
    } else {
        filter.prefix("p/daily/")
    };
    let rule = LifecycleRule::builder()
        .id("now")
        .status(ExpirationStatus::Enabled)
        .filter(filter.build())
        .expiration(LifecycleExpiration::builder().date(SdkTime::from_secs(1_577_836_800)).build())
        .build()
        .unwrap();
    let configuration = BucketLifecycleConfiguration::builder().rules(rule).build().unwrap();
    let put = bucket.admin.put_bucket_lifecycle_configuration().bucket(&bucket.name);
    put.lifecycle_configuration(configuration).send().await.unwrap();
}

async fn left(bucket: &Bucket, open: &OpenBackup) -> usize {
    bucket.store.list(&open.backup.prefix).await.unwrap().len()
}

async fn until_gone(bucket: &Bucket, open: &OpenBackup) {
    let start = Instant::now();
    while left(bucket, open).await > 0 {
        assert!(start.elapsed() < Duration::from_mins(2), "MinIO's scanner did not delete what expired");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

#[tokio::test]
async fn i5_a_held_backup_survives_the_rule_that_deletes_the_daily_one() {
    let bucket = Bucket::new().await;
    let (store, now) = (&bucket.store, now());
    let (held, daily) = (backup(store, "acme", 1, now).await, backup(store, "acme", 2, now).await);
    ensure(store, &bucket.policy(), &BTreeSet::new()).await.unwrap();
    let manifest = |open: &OpenBackup| format!("{}manifest.json", open.backup.prefix);
    let expiration = store.head(&manifest(&daily)).await.unwrap().expiration.expect("MinIO names the rule");
    assert!(expiration.contains("-daily"), "{expiration}");

    let until = now + TimeDelta::days(10);
    let result = store.hold(&held, expires_at(now, 7), until, now).await.unwrap();
    assert_eq!((result.method, &result.backup, result.until), (HoldMethod::Tag, &held.backup, until));
    assert_eq!(store.head(&manifest(&held)).await.unwrap().expiration, None);
    for key in held.keys() {
        assert_eq!(store.tags(&key).await.unwrap(), held_tags(until), "{key}");
    }

    expire_now(&bucket, true).await;
    until_gone(&bucket, &daily).await;
    assert_eq!(left(&bucket, &held).await, 3, "the held backup is whole");

    store.release(&held).await.unwrap();
    until_gone(&bucket, &held).await;
    store.release(&held).await.unwrap();
}

#[tokio::test]
async fn i5_holding_again_keeps_the_later_date() {
    let bucket = Bucket::new().await;
    let (store, now) = (&bucket.store, now());
    let open = backup(store, "acme", 1, now).await;
    let (near, far) = (now + TimeDelta::days(8), now + TimeDelta::days(12));
    // A hold that broke off after the first object is completed by the next one.
    store.put_tags(&open.keys()[0], &held_tags(near)).await.unwrap();
    assert_eq!(store.held_until(&open.backup).await.unwrap(), None);
    assert_eq!(store.hold(&open, expires_at(now, 7), far, now).await.unwrap().until, far);
    assert_eq!(store.hold(&open, expires_at(now, 7), near, now).await.unwrap().until, far);
    // Held long past its expiry it is still held by its tags, not copied.
    let late = store.hold(&open, now - TimeDelta::days(1), far, now).await.unwrap();
    assert_eq!((late.method, store.held_until(&open.backup).await.unwrap()), (HoldMethod::Tag, Some(far)));
}

#[tokio::test]
async fn i5_a_backup_about_to_expire_or_without_tags_is_held_by_a_twin() {
    let bucket = Bucket::new().await;
    let now = now();
    let untagged = bucket.store.with_capabilities(Capabilities { tagging: false, ..Capabilities::default() });
    for (store, schedule, expires) in
        [(&bucket.store, "late", now + TimeDelta::hours(23)), (&untagged, "plain", now + TimeDelta::days(5))]
    {
        let open = backup(store, schedule, 1, now).await;
        let until = now + TimeDelta::days(9);
        let hold = store.hold(&open, expires, until, now).await.unwrap();
        assert_eq!(hold.method, HoldMethod::Copy);
        assert!(hold.backup.prefix.starts_with(&store.keys().area(Area::Held)), "{}", hold.backup.prefix);
        assert_eq!(store.hold(&open, expires, until, now).await.unwrap(), hold, "once more changes nothing");
        store.delete(&open.keys()).await.unwrap();
        let catalogue = store.catalogue("ns", schedule).await.unwrap();
        assert_eq!((catalogue.backups.len(), catalogue.backups[0].area), (1, Area::Held));
        let twin = store.open(&hold.backup, Some(&testkit::store::identity(schedule))).await.unwrap();
        assert_eq!(twin.manifest, open.manifest);
        assert_eq!(store.hold(&twin, expires, until, now).await.unwrap().backup, twin.backup);
        store.release(&twin).await.unwrap();
        store.release(&twin).await.unwrap();
        assert_eq!(store.list(&twin.backup.prefix).await.unwrap(), []);
    }
}

#[tokio::test]
async fn i5_a_backup_that_is_partly_gone_is_not_held() {
    let bucket = Bucket::new().await;
    let (store, now) = (&bucket.store, now());
    for expires in [now + TimeDelta::days(6), now + TimeDelta::hours(1)] {
        let open = backup(store, "acme", 1, now).await;
        store.delete(&open.keys()[..1]).await.unwrap();
        let error = store.hold(&open, expires, now + TimeDelta::days(9), now).await.unwrap_err();
        assert_eq!((error.reason(), error.retryable()), ("BackupVanished", false), "{error}");
        assert!(error.to_string().contains("data/pack-0001.zst"), "{error}");
    }
}

#[tokio::test]
async fn i5_a_foreign_rule_that_would_delete_a_held_backup_all_the_same_is_seen() {
    let bucket = Bucket::new().await;
    let (store, now) = (&bucket.store, now());
    let open = backup(store, "acme", 1, now).await;
    let rule = LifecycleRule::builder()
        .id("sweep")
        .status(ExpirationStatus::Enabled)
        .filter(LifecycleRuleFilter::builder().prefix("p/").build())
        .expiration(LifecycleExpiration::builder().days(3).build())
        .build()
        .unwrap();
    let configuration = BucketLifecycleConfiguration::builder().rules(rule).build().unwrap();
    let put = bucket.admin.put_bucket_lifecycle_configuration().bucket(&bucket.name);
    put.lifecycle_configuration(configuration).send().await.unwrap();
    let error = store.hold(&open, expires_at(now, 7), now + TimeDelta::days(9), now).await.unwrap_err();
    assert!(error.reason() == "StillExpires" && error.to_string().contains("sweep"), "{error}");
}

#[tokio::test]
async fn i5_a_versioned_bucket_gets_a_rule_for_old_versions_and_holds_all_the_same() {
    let bucket = Bucket::new().await;
    let enabled = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
    bucket.admin.put_bucket_versioning().bucket(&bucket.name).versioning_configuration(enabled).send().await.unwrap();
    let now = now();
    let store = bucket.store.with_capabilities(bucket.store.probe(now).await.unwrap());
    let policy = Policy { capabilities: store.capabilities(), ..bucket.policy() };
    let found = ensure(&store, &policy, &BTreeSet::new()).await.unwrap();
    let versions = found.rules.iter().find(|rule| rule.id.ends_with("-versions")).expect("a rule for old versions");
    assert_eq!((versions.noncurrent_days, versions.expired_markers), (Some(1), true));
    let open = backup(&store, "acme", 1, now).await;
    let held = store.hold(&open, expires_at(now, 7), now + TimeDelta::days(9), now).await.unwrap();
    assert_eq!(held.method, HoldMethod::Tag);
    store.release(&open).await.unwrap();
    assert_eq!(store.held_until(&open.backup).await.unwrap(), None);
}
