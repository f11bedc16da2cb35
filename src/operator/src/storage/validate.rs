//! Checks that no two BackupStorages share a part of a bucket, and derives the lifecycle policy. Pure.

use crate::error::Overlap;
use kube::ResourceExt;
use sennight_api::{BackupStorage, BackupStorageSpec};
use sennight_core::capabilities::Capabilities;
use sennight_core::retention::Policy;

/// Refuses a storage whose prefix contains, equals or lies in that of an older one in the same bucket. Of two that are equally
/// old the one with the smaller UID stays. Namespaces do not matter: a bucket is shared by the whole cluster.
pub fn overlap<'a>(
    storage: &BackupStorage,
    others: impl IntoIterator<Item = &'a BackupStorage>,
) -> Result<(), Overlap> {
    let rival = others.into_iter().find(|other| {
        other.uid() != storage.uid()
            && age(other) < age(storage)
            && bucket_of(&other.spec) == bucket_of(&storage.spec)
            && shares(&other.spec.prefix, &storage.spec.prefix)
    });
    rival.map_or(Ok(()), |other| {
        Err(Overlap {
            prefix: storage.spec.prefix.clone(),
            bucket: storage.spec.bucket.clone(),
            other: format!("{}/{}", other.namespace().unwrap_or_default(), other.name_any()),
            other_prefix: other.spec.prefix.clone(),
        })
    })
}

fn age(storage: &BackupStorage) -> (Option<i64>, Option<String>) {
    let created = storage.creation_timestamp().map(|time| time.0.as_second());
    (created, storage.uid())
}

/// Identity of a bucket: endpoint and name.
pub fn bucket_of(spec: &BackupStorageSpec) -> (Option<String>, String) {
    let endpoint = spec.endpoint.as_deref().map(|text| text.trim_end_matches('/').to_ascii_lowercase());
    (endpoint, spec.bucket.clone())
}

fn shares(one: &str, other: &str) -> bool {
    let below = |inner: &str, outer: &str| {
        outer.is_empty() || inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let (one, other) = (one.trim_matches('/'), other.trim_matches('/'));
    below(one, other) || below(other, one)
}

/// The lifecycle policy that a storage wants.
pub fn policy(spec: &BackupStorageSpec, capabilities: Capabilities) -> Policy {
    Policy { bucket: spec.bucket.clone(), prefix: spec.prefix.clone(), days: spec.retention.days, capabilities }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn storage(uid: &str, created: i64, bucket: &str, prefix: &str) -> BackupStorage {
        let created = chrono::DateTime::from_timestamp(created, 0).unwrap().to_rfc3339();
        serde_json::from_value(json!({
            "apiVersion": "sennight.dev/v1alpha1", "kind": "BackupStorage",
            "metadata": {"name": uid, "namespace": "n", "uid": uid, "creationTimestamp": created},
            "spec": {"bucket": bucket, "prefix": prefix}
        }))
        .unwrap()
    }

    #[test]
    fn of_two_storages_that_share_a_part_of_a_bucket_the_older_works() {
        let cases = [
            ("", "", true),
            ("a", "", true),
            ("", "a", true),
            ("a", "a", true),
            ("a/b", "a", true),
            ("a", "a/b", true),
            ("ab", "a", false),
            ("a", "b", false),
        ];
        for (old, new, refused) in cases {
            let (older, younger) = (storage("b", 1, "bucket", old), storage("a", 2, "bucket", new));
            let both = [older.clone(), younger.clone()];
            assert_eq!(overlap(&younger, &both).is_err(), refused, "{old:?} {new:?}");
            assert_eq!(overlap(&older, &both), Ok(()), "{old:?} {new:?}");
        }
        let (one, two) = (storage("a", 1, "bucket", "x"), storage("b", 1, "other", "x"));
        assert_eq!(overlap(&two, [&one]), Ok(()), "another bucket");
        let twins = [storage("a", 1, "bucket", "x"), storage("b", 1, "bucket", "x")];
        assert_eq!(overlap(&twins[0], &twins), Ok(()));
        let refused = overlap(&twins[1], &twins).unwrap_err();
        assert!(refused.to_string().contains("older BackupStorage n/a"), "{refused}");
    }
}
