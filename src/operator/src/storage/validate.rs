//! Checks that no two BackupStorages share a part of a bucket, and derives the lifecycle policy. Pure.

use crate::error::Overlap;
use kube::ResourceExt;
use sennight_api::{BackupStorage, BackupStorageSpec};
use sennight_core::capabilities::Capabilities;
use sennight_core::retention::Policy;

/// Refuses a storage whose prefix contains, equals or lies in that of one which owns its own, or is older and was not looked
/// at yet; of two owners the older one stays. One that was found unusable stands in nobody's way. Namespaces do not matter:
/// a bucket is shared by the whole cluster. Other spellings of an endpoint and other clusters meet at the marker in the
/// bucket.
pub fn overlap<'a>(
    storage: &BackupStorage,
    others: impl IntoIterator<Item = &'a BackupStorage>,
) -> Result<(), Overlap> {
    let older = |other: &BackupStorage| age(other) < age(storage);
    let first = |other: &BackupStorage| match (owns(other), owns(storage)) {
        (true, false) => true,
        (true, true) => older(other),
        // Both were applied a moment ago: without this, whichever is probed first would win.
        (false, false) => older(other) && !looked_at(other),
        (false, true) => false,
    };
    let rival = others.into_iter().find(|other| {
        other.uid() != storage.uid()
            && first(other)
            && bucket_of(&other.spec) == bucket_of(&storage.spec)
            && shares(&other.spec.prefix, &storage.spec.prefix)
    });
    rival.map_or(Ok(()), |other| {
        let beside = other.namespace() == storage.namespace();
        let name = || format!("BackupStorage {:?}", other.name_any());
        Err(Overlap {
            prefix: storage.spec.prefix.clone(),
            bucket: storage.spec.bucket.clone(),
            other: if beside { name() } else { "a BackupStorage in another namespace".to_owned() },
        })
    })
}

/// `spec.takeOver`, unless the owner of that id is a BackupStorage of this cluster: whoever collides with it is shown the id, and
/// must not get a living storage's prefix by it.
pub fn take_over<'a, 'b>(
    storage: &'a BackupStorage,
    others: impl IntoIterator<Item = &'b BackupStorage>,
) -> Option<&'a str> {
    let wanted = storage.spec.take_over.as_deref()?;
    let owner_of = |other: &BackupStorage| other.status.as_ref().and_then(|status| status.owner.clone());
    let lives = others
        .into_iter()
        .any(|other| other.uid() != storage.uid() && owner_of(other).is_some_and(|owner| owner.id == wanted));
    (!lives).then_some(wanted)
}

fn owns(storage: &BackupStorage) -> bool {
    let owner = storage.status.as_ref().and_then(|status| status.owner.as_ref());
    owner.is_some_and(|owner| owner.is_of(&storage.spec))
}

fn looked_at(storage: &BackupStorage) -> bool {
    storage.status.as_ref().is_some_and(|status| status.last_probe_time.is_some())
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
    use sennight_api::BackupStorageStatus;
    use serde_json::json;

    fn storage(uid: &str, created: i64, bucket: &str, prefix: &str) -> BackupStorage {
        let created = chrono::DateTime::from_timestamp(created, 0).unwrap().to_rfc3339();
        serde_json::from_value(json!({
            "apiVersion": "sennight.dev/v1alpha1", "kind": "BackupStorage",
            "metadata": {"name": uid, "namespace": "n", "uid": uid, "creationTimestamp": created},
            "spec": {"bucket": bucket, "prefix": prefix},
            "status": {"owner": {"id": "1", "bucket": bucket, "prefix": prefix}}
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
        assert!(refused.to_string().contains("BackupStorage \"a\""), "{refused}");
    }

    #[test]
    fn i5_a_storage_that_lives_in_this_cluster_is_not_taken_over() {
        let (owner, mut squatter) = (storage("a", 1, "bucket", "x"), storage("b", 2, "bucket", "x"));
        squatter.spec.take_over = Some("1".to_owned());
        assert_eq!(take_over(&squatter, [&owner, &squatter]), None);
        assert_eq!(take_over(&squatter, [&squatter]), Some("1"), "it is gone");
        assert_eq!(take_over(&owner, [&squatter]), None, "nothing was asked for");
    }

    #[test]
    fn whoever_owns_nothing_stands_in_nobodys_way_and_strangers_are_not_named() {
        let (mut older, mut younger) = (storage("a", 1, "bucket", "x"), storage("b", 2, "bucket", "x"));
        younger.status = None;
        assert!(overlap(&younger, [&older]).is_err());
        older.metadata.namespace = Some("secret".to_owned());
        let refused = overlap(&younger, [&older]).unwrap_err().to_string();
        assert!(!refused.contains("secret") && refused.contains("another namespace"), "{refused}");
        older.status = None;
        assert!(overlap(&younger, [&older]).is_err(), "the older one comes first");
        older.status =
            Some(BackupStorageStatus { last_probe_time: Some(chrono::DateTime::UNIX_EPOCH), ..Default::default() });
        assert_eq!(overlap(&younger, [&older]), Ok(()), "it was never usable");
        older = storage("a", 1, "bucket", "y");
        older.spec.prefix = "x".to_owned();
        older.status.as_mut().unwrap().last_probe_time = Some(chrono::DateTime::UNIX_EPOCH);
        assert_eq!(overlap(&younger, [&older]), Ok(()), "its spec has changed since");
    }
}
