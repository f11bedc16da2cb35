//! Reads the bucket's lifecycle rules, merges Sennight's into them, and writes them only if they differ. S3 has no
//! compare-and-swap for rules, so there may be one writer a bucket at a time: the caller serializes a bucket's storages.

use super::lifecycle_xml::{Parsed, canonical};
use super::raw::{AnswerBody, RequestBody};
use super::{Store, StoreError};
use aws_sdk_s3::types::{
    BucketLifecycleConfiguration, ExpirationStatus, LifecycleRule, TransitionDefaultMinimumObjectSize,
};
use bytes::Bytes;
use sennight_core::retention::{Conflict, LifecyclePlan, Merge, Policy, Rule, merge};
use std::collections::BTreeSet;
use std::time::Duration;

/// Rules that S3 takes in one bucket.
const MAX_RULES: usize = 1000;

/// How often a fresh configuration is read again before it counts as not kept: AWS may serve the old one for a while.
const READS: u32 = 6;

/// Why the rules of a bucket could not be brought into order. Nothing was written unless the variant says so.
#[derive(Debug, thiserror::Error, strum::IntoStaticStr)]
pub enum LifecycleError {
    /// The bucket.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What the bucket has cannot be read: it is left alone.
    #[error(
        "bucket {bucket}: its lifecycle configuration cannot be read ({what}); it is left as it is, correct it by hand"
    )]
    LifecycleUnreadable {
        /// The bucket.
        bucket: String,
        /// What is wrong with it.
        what: String,
    },
    /// There is no room for ours.
    #[error("bucket {bucket} would have {count} lifecycle rules, S3 takes 1000: remove some that are not needed")]
    TooManyRules {
        /// The bucket.
        bucket: String,
        /// How many there would be.
        count: usize,
    },
    /// Written, but not there afterwards.
    #[error(
        "bucket {bucket} took the lifecycle rules, but does not have {missing:?}: another program may be writing them too"
    )]
    RulesNotKept {
        /// The bucket.
        bucket: String,
        /// Ids of our rules.
        missing: Vec<String>,
    },
    /// Written, and a rule of somebody else is not what it was.
    #[error(
        "bucket {bucket}: after writing, the lifecycle rules {ids:?} of others are not what they were; compare: {before}"
    )]
    ForeignRulesChanged {
        /// The bucket.
        bucket: String,
        /// Their ids.
        ids: Vec<String>,
        /// Their text before.
        before: String,
    },
}

impl LifecycleError {
    /// Reason in CamelCase.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Store(error) => error.reason(),
            other => other.into(),
        }
    }

    /// Whether another attempt may succeed though nobody changed anything.
    pub fn retryable(&self) -> bool {
        match self {
            Self::Store(error) => error.retryable(),
            Self::RulesNotKept { .. } => true,
            Self::LifecycleUnreadable { .. } | Self::TooManyRules { .. } | Self::ForeignRulesChanged { .. } => false,
        }
    }
}

/// The rules of a bucket, as a storage sees them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enforcement {
    /// Our rules in force.
    pub rules: Vec<Rule>,
    /// How many rules of others there are.
    pub foreign: usize,
    /// Which of them work against us.
    pub conflicts: Vec<Conflict>,
    /// Ids of our rules that were missing or changed: repaired by [`ensure`], only reported by [`observe`].
    pub drift: Vec<String>,
    /// Ids of our rules that the store refuses; to be given back to the next [`ensure`]. Backups expire without them,
    /// but unfinished uploads or old versions may stay.
    pub unsupported: BTreeSet<String>,
}

/// A bucket's configuration, as read.
struct Current {
    parsed: Parsed,
    /// State of the whole bucket that a put would reset.
    minimum_size: Option<TransitionDefaultMinimumObjectSize>,
}

/// Looks at the rules and changes nothing.
pub async fn observe(
    store: &Store,
    policy: &Policy,
    unsupported: &BTreeSet<String>,
) -> Result<Enforcement, LifecycleError> {
    let current = read(store).await?;
    let merged = merge(policy, &current.parsed.rules, unsupported);
    Ok(enforcement(policy, &current.parsed, merged, unsupported.clone()))
}

/// Brings our rules into force; those of others stay as they are. `unsupported` is what the last call found out.
pub async fn ensure(
    store: &Store,
    policy: &Policy,
    unsupported: &BTreeSet<String>,
) -> Result<Enforcement, LifecycleError> {
    let current = read(store).await?;
    // What an earlier call found refused is left out at once: no round sends a write that is known to fail.
    let mut result = attempt(store, policy, &current, unsupported.clone()).await;
    for left_out in omissions(policy) {
        // Nothing was written; perhaps the store only lacks an action that backups can expire without.
        if !refused(&result) {
            break;
        }
        let next = attempt(store, policy, &current, unsupported.union(&left_out).cloned().collect()).await;
        // The first refusal is the one to tell, if leaving out does not help either.
        if !refused(&next) {
            result = next;
        }
    }
    result
}

fn refused(result: &Result<Enforcement, LifecycleError>) -> bool {
    matches!(result, Err(LifecycleError::Store(StoreError::Refused { .. } | StoreError::NotImplemented { .. })))
}

async fn attempt(
    store: &Store,
    policy: &Policy,
    current: &Current,
    unsupported: BTreeSet<String>,
) -> Result<Enforcement, LifecycleError> {
    let merged = merge(policy, &current.parsed.rules, &unsupported);
    let LifecyclePlan::Put { foreign, own, .. } = &merged.plan else {
        return Ok(enforcement(policy, &current.parsed, merged, unsupported));
    };
    let count = foreign.len() + own.len();
    if count > MAX_RULES {
        return Err(LifecycleError::TooManyRules { bucket: policy.bucket.clone(), count });
    }
    write(store, current, current.parsed.with_rules(foreign, own)).await?;
    let after = read_back(store, policy, foreign, own).await?;
    Ok(enforcement(policy, &after, merged, unsupported))
}

/// What may be left out, in the order of trying: the rules about uploads; those about versions; both.
fn omissions(policy: &Policy) -> [BTreeSet<String>; 3] {
    let ids = |wanted: fn(&Rule) -> bool| -> BTreeSet<String> {
        policy.rules().into_iter().filter(wanted).map(|rule| rule.id).collect()
    };
    // MinIO refuses the rule about uploads, because it has a setting of its own. The versions rule must not go with it.
    let (abort, versions) = (ids(|rule| rule.abort_days.is_some()), ids(|rule| rule.noncurrent_days.is_some()));
    let both = abort.union(&versions).cloned().collect();
    [abort, versions, both]
}

fn enforcement(policy: &Policy, parsed: &Parsed, merged: Merge, unsupported: BTreeSet<String>) -> Enforcement {
    let prefix = policy.id_prefix();
    let (own, foreign): (Vec<_>, Vec<_>) = parsed.rules.iter().partition(|e| e.rule.id.starts_with(&prefix));
    let drift = match merged.plan {
        LifecyclePlan::Unchanged => Vec::new(),
        LifecyclePlan::Put { drift, .. } => drift,
    };
    Enforcement {
        rules: own.into_iter().map(|existing| existing.rule.clone()).collect(),
        foreign: foreign.len(),
        conflicts: merged.conflicts,
        drift,
        unsupported,
    }
}

/// Whether the store knows lifecycle rules at all.
pub(super) async fn known(store: &Store) -> Result<bool, StoreError> {
    match fetch(store).await {
        Ok(_) => Ok(true),
        Err(StoreError::NotImplemented { .. }) => Ok(false),
        Err(error) if error.code() == Some("MethodNotAllowed") => Ok(false),
        Err(error) => Err(error),
    }
}

/// The configuration's bytes; `None` for a bucket that has none. Any other error means: do not write.
async fn fetch(store: &Store) -> Result<Option<(Bytes, Option<TransitionDefaultMinimumObjectSize>)>, StoreError> {
    let body = AnswerBody::default();
    let sent = store
        .control
        .get_bucket_lifecycle_configuration()
        .bucket(store.bucket())
        .customize()
        .interceptor(body.clone())
        .send()
        .await;
    match sent {
        Ok(answer) => Ok(Some((body.take().unwrap_or_default(), answer.transition_default_minimum_object_size))),
        Err(error) => {
            let place = store.place("s3:GetLifecycleConfiguration", "");
            match StoreError::from_sdk(place, error) {
                // Only this answer means an empty configuration. To take another error for it would delete all rules of
                // others (I5).
                StoreError::Refused { source, .. } if source.code == "NoSuchLifecycleConfiguration" => Ok(None),
                other => Err(other),
            }
        }
    }
}

async fn read(store: &Store) -> Result<Current, LifecycleError> {
    let Some((body, minimum_size)) = fetch(store).await? else {
        return Ok(Current { parsed: Parsed::default(), minimum_size: None });
    };
    let unreadable = |what: String| LifecycleError::LifecycleUnreadable { bucket: store.bucket().to_owned(), what };
    let text = std::str::from_utf8(&body).map_err(|error| unreadable(error.to_string()))?;
    let parsed = Parsed::read(text).map_err(|error| unreadable(error.to_string()))?;
    Ok(Current { parsed, minimum_size })
}

async fn write(store: &Store, current: &Current, text: String) -> Result<(), StoreError> {
    let invalid = |what: String| StoreError::Invalid { bucket: store.bucket().to_owned(), field: "lifecycle", what };
    // The SDK insists on a configuration of its own types; the bytes sent are ours.
    let stand_in = LifecycleRule::builder()
        .status(ExpirationStatus::Enabled)
        .build()
        .map_err(|error| invalid(error.to_string()))?;
    let configuration =
        BucketLifecycleConfiguration::builder().rules(stand_in).build().map_err(|error| invalid(error.to_string()))?;
    store
        .control
        .put_bucket_lifecycle_configuration()
        .bucket(store.bucket())
        // A put without it sets the bucket's own value back to the default.
        .set_transition_default_minimum_object_size(current.minimum_size.clone())
        .lifecycle_configuration(configuration)
        .customize()
        .interceptor(RequestBody(Bytes::from(text)))
        .send()
        .await
        .map(|_| ())
        .map_err(|error| StoreError::from_sdk(store.place("s3:PutLifecycleConfiguration", ""), error))
}

/// Reads what was written until it is there, and checks that nothing of others got lost on the way.
async fn read_back(store: &Store, policy: &Policy, foreign: &[String], own: &[Rule]) -> Result<Parsed, LifecycleError> {
    let mut reads = 1;
    loop {
        let parsed = read(store).await?.parsed;
        let missing: Vec<String> = own
            .iter()
            .filter(|rule| !parsed.rules.iter().any(|existing| existing.rule == **rule))
            .map(|rule| rule.id.clone())
            .collect();
        // Stores write elements in an order of their own: rules are compared by what they say.
        let there: BTreeSet<String> = parsed.rules.iter().map(|existing| canonical(&existing.source)).collect();
        let lost: Vec<&String> = foreign.iter().filter(|source| !there.contains(&canonical(source))).collect();
        if missing.is_empty() && lost.is_empty() {
            return Ok(parsed);
        }
        if reads >= READS {
            let bucket = policy.bucket.clone();
            if lost.is_empty() {
                return Err(LifecycleError::RulesNotKept { bucket, missing });
            }
            let before = lost.iter().map(|source| source.as_str()).collect();
            let ids = lost.iter().map(|source| id_of(source)).collect();
            return Err(LifecycleError::ForeignRulesChanged { bucket, ids, before });
        }
        tokio::time::sleep(Duration::from_millis(200 << reads)).await;
        reads += 1;
    }
}

fn id_of(source: &str) -> String {
    // A rule alone is no configuration, and `read` wants a root.
    let wrapped = format!("<L>{source}</L>");
    let parsed = Parsed::read(&wrapped).ok();
    parsed.and_then(|p| p.rules.into_iter().next()).map(|e| e.rule.id).unwrap_or_default()
}
