//! Who owns a prefix of a bucket (docs/storage.md): the marker object that the first BackupStorage puts there, and what any
//! other one may do. A marker is in the bucket itself, so two spellings of an endpoint and two clusters meet at it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// Version of the marker that this program writes.
const VERSION: i32 = 1;

/// The marker: a JSON object under [`super::names::Keys::owner`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OwnerMarker {
    /// Version of this form.
    pub version: i32,
    /// Random, new at each takeover. `spec.takeOver` names it: so a takeover that somebody wrote down once takes nothing
    /// from a later owner.
    pub id: String,
    /// Whose prefix it is.
    #[serde(flatten)]
    pub owner: PrefixOwner,
    /// Since when, by the operator's clock.
    pub since: DateTime<Utc>,
}

/// A BackupStorage, as it is told apart from all others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PrefixOwner {
    /// UID of the namespace kube-system: what comes nearest to a cluster's identity.
    pub cluster: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name. Not its UID: a storage that was deleted and applied again is the same one.
    pub storage: String,
}

impl OwnerMarker {
    /// The marker of a new owner.
    pub fn new(id: String, owner: PrefixOwner, since: DateTime<Utc>) -> Self {
        Self { version: VERSION, id, owner, since }
    }
}

/// What a BackupStorage may do at a prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PrefixClaim {
    /// Nobody's: put the marker, if nobody is faster.
    Free,
    /// It is its own.
    Own,
    /// It is another's, and the platform team said that this one takes it over.
    TakeOver,
    /// It is another's.
    Foreign,
}

/// What `me` may do where `found` is the marker. `take_over` is `spec.takeOver`.
pub fn claim(found: Option<&OwnerMarker>, me: &PrefixOwner, take_over: Option<&str>) -> PrefixClaim {
    match found {
        None => PrefixClaim::Free,
        // guard(i5_a_prefix_has_one_owner, always): a marker of another storage, namespace or cluster is foreign
        Some(marker) if marker.owner == *me => PrefixClaim::Own,
        // guard(i5_a_prefix_has_one_owner, always): only the id that the platform team read is taken over
        Some(marker) if take_over == Some(marker.id.as_str()) => PrefixClaim::TakeOver,
        Some(_) => PrefixClaim::Foreign,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(cluster: &str, namespace: &str, storage: &str) -> PrefixOwner {
        PrefixOwner { cluster: cluster.into(), namespace: namespace.into(), storage: storage.into() }
    }

    fn marker(id: &str, owner: PrefixOwner) -> OwnerMarker {
        OwnerMarker::new(id.into(), owner, DateTime::UNIX_EPOCH)
    }

    #[test]
    fn i5_a_prefix_has_one_owner() {
        let me = owner("c", "n", "s");
        let cases = [
            (None, None, PrefixClaim::Free),
            (None, Some("1"), PrefixClaim::Free),
            (Some(me.clone()), None, PrefixClaim::Own),
            (Some(me.clone()), Some("1"), PrefixClaim::Own),
            (Some(owner("c", "n", "other")), None, PrefixClaim::Foreign),
            (Some(owner("c", "other", "s")), None, PrefixClaim::Foreign),
            (Some(owner("other", "n", "s")), None, PrefixClaim::Foreign),
            (Some(owner("other", "n", "s")), Some("2"), PrefixClaim::Foreign),
            (Some(owner("other", "n", "s")), Some(""), PrefixClaim::Foreign),
            (Some(owner("other", "n", "s")), Some("1"), PrefixClaim::TakeOver),
        ];
        for (found, take_over, wanted) in cases {
            let found = found.map(|owner| marker("1", owner));
            assert_eq!(claim(found.as_ref(), &me, take_over), wanted, "{found:?} {take_over:?}");
        }
    }

    #[test]
    fn a_marker_is_one_flat_json_object() {
        let text = serde_json::to_string(&marker("1", owner("c", "n", "s"))).unwrap();
        let wanted =
            r#"{"version":1,"id":"1","cluster":"c","namespace":"n","storage":"s","since":"1970-01-01T00:00:00Z"}"#;
        assert_eq!(text, wanted);
        assert_eq!(serde_json::from_str::<OwnerMarker>(&text).unwrap(), marker("1", owner("c", "n", "s")));
    }
}
