//! A prefix has one owner, whatever names it is reached by.

use chrono::Utc;
use sennight_core::capabilities::Capabilities;
use sennight_core::prefix_owner::PrefixOwner;
use sennight_storage::{OwnerError, Store};
use testkit::store::Bucket;
use testkit::store::fault::{Action, Fault};

fn owner(cluster: &str, namespace: &str) -> PrefixOwner {
    PrefixOwner { cluster: cluster.into(), namespace: namespace.into(), storage: "s".into() }
}

async fn at(bucket: &Bucket, prefix: &str) -> Store {
    bucket.below(prefix).await
}

#[tokio::test]
async fn i5_of_sixteen_storages_on_a_prefix_one_owns_it_and_the_others_learn_the_id() {
    let bucket = Bucket::new().await;
    let all: Vec<PrefixOwner> = (0..16).map(|n| owner(&format!("cluster-{n}"), "n")).collect();
    let outcomes = futures::future::join_all(all.iter().map(|me| bucket.store.own_prefix(me, None, Utc::now()))).await;
    let won: Vec<_> = outcomes.iter().filter_map(|outcome| outcome.as_ref().ok()).collect();
    assert_eq!(won.len(), 1, "{outcomes:?}");
    for refused in outcomes.iter().filter_map(|outcome| outcome.as_ref().err()) {
        assert!(matches!(refused, OwnerError::PrefixTaken { id, .. } if *id == won[0].id), "{refused}");
        assert!(!refused.to_string().contains("cluster-"), "whose it is, is not told: {refused}");
        assert!(!refused.retryable());
    }
    let again = bucket.store.own_prefix(&won[0].owner, None, Utc::now()).await.unwrap();
    assert_eq!(again, *won[0], "its owner keeps it, with the same id");
}

#[tokio::test]
async fn i5_another_spelling_of_the_endpoint_meets_the_same_owner() {
    let bucket = Bucket::new().await;
    let first = bucket.store.own_prefix(&owner("c", "victim"), None, Utc::now()).await.unwrap();
    let proxy = Fault::start(|_| Action::Forward).await;
    let elsewhere = bucket.behind(&proxy.endpoint).await;
    let refused = elsewhere.own_prefix(&owner("c", "squatter"), None, Utc::now()).await.unwrap_err();
    assert_eq!(refused.reason(), "PrefixTaken");
    assert!(refused.to_string().contains(&format!("spec.takeOver: {:?}", first.id)), "{refused}");
}

#[tokio::test]
async fn a_prefix_is_taken_over_by_the_id_that_was_read_and_no_other() {
    let bucket = Bucket::new().await;
    let (old, new) = (owner("lost", "n"), owner("rebuilt", "n"));
    let lost = bucket.store.own_prefix(&old, None, Utc::now()).await.unwrap();
    assert_eq!(bucket.store.own_prefix(&new, Some("another"), Utc::now()).await.unwrap_err().reason(), "PrefixTaken");
    let taken = bucket.store.own_prefix(&new, Some(&lost.id), Utc::now()).await.unwrap();
    assert_eq!(taken.owner, new);
    assert_ne!(taken.id, lost.id);
    // What was written down once takes nothing from a later owner, and the old one does not come back by itself.
    assert_eq!(bucket.store.own_prefix(&old, Some(&lost.id), Utc::now()).await.unwrap_err().reason(), "PrefixTaken");
}

#[tokio::test]
async fn i5_a_prefix_in_anothers_or_around_its_objects_is_refused() {
    let bucket = Bucket::new().await;
    let (outer, inner) = (at(&bucket, "a").await, at(&bucket, "a/daily").await);
    outer.own_prefix(&owner("c", "one"), None, Utc::now()).await.unwrap();
    let refused = inner.own_prefix(&owner("c", "two"), None, Utc::now()).await.unwrap_err();
    assert_eq!(refused.reason(), "PrefixOverlaps", "{refused}");
    assert!(inner.own_prefix(&owner("c", "one"), None, Utc::now()).await.is_ok(), "its own");

    let inner = at(&bucket, "b/daily").await;
    inner.own_prefix(&owner("c", "two"), None, Utc::now()).await.unwrap();
    let refused = at(&bucket, "b").await.own_prefix(&owner("c", "one"), None, Utc::now()).await.unwrap_err();
    assert_eq!(refused.reason(), "PrefixOverlaps", "{refused}");
}

#[tokio::test]
async fn i5_without_conditional_puts_the_last_marker_counts_for_both() {
    let bucket = Bucket::new().await;
    let blind = bucket.store.with_capabilities(Capabilities { conditional_put: false, ..Capabilities::default() });
    let (one, two) = (owner("c", "one"), owner("c", "two"));
    let both = tokio::join!(blind.own_prefix(&one, None, Utc::now()), blind.own_prefix(&two, None, Utc::now()));
    let own = [both.0.is_ok(), both.1.is_ok()];
    assert!(own.contains(&true), "{both:?}");
    let now = (
        blind.own_prefix(&one, None, Utc::now()).await.is_ok(),
        blind.own_prefix(&two, None, Utc::now()).await.is_ok(),
    );
    assert!(matches!(now, (true, false) | (false, true)), "one of them, from the next look on: {now:?}");
}
