//! Turns what was found in a bucket into a BackupStorage's status. Pure.

use super::gather::Findings;
use super::patrol::enforcer;
use super::validate::policy;
use crate::authority::status::AuthorityFault;
use crate::error::ReconcileError;
use crate::runtime::instrumented::cut;
use chrono::{DateTime, TimeDelta, Utc};
use sennight_api::backup_storage::{
    LifecycleMode, OwnedPrefix, PatrolReport, RuleInForce, ScheduleSummary, StoreCapabilities,
};
use sennight_api::conditions::{StorageCondition, find, set};
use sennight_api::{BackupStorage, BackupStorageStatus, Condition, ConditionStatus};
use sennight_core::capabilities::Capabilities;
use sennight_core::prefix_owner::OwnerMarker;
use sennight_core::retention::patrol::Enforcer;
use sennight_core::retention::{Expire, Rule};
use sennight_storage::{Enforcement, LifecycleError, Tally};

/// Longest message of a condition.
const MESSAGE_LIMIT: usize = 2000;
/// An unchanged summary is written again after this, so that a reader sees that the operator still counts.
const COUNT_IS_NEWS: TimeDelta = TimeDelta::minutes(5);
/// Least time between two writes of the summary. At night every backup changes it, and each write starts a reconcile that
/// counts again.
const BETWEEN_COUNTS: TimeDelta = TimeDelta::seconds(30);
/// Message for a storage whose lifecycle rules could not tell Sennight's objects from others'.
const PREFIX_NEEDED: &str = "the store has no object tags and spec.prefix is empty: lifecycle rules could not tell Sennight's \
                             objects from what others keep in this bucket, so there are none, and nothing expires; use a \
                             BackupStorage with a prefix of its own, or set spec.lifecycle.mode to Sweep: the operator then \
                             deletes what it knows as its own";
/// Longest list of rules in status; a bucket has fewer of ours.
const MOST_RULES: usize = 32;

/// The status after a probe of the bucket.
pub fn status(storage: &BackupStorage, found: &Findings, now: DateTime<Utc>) -> BackupStorageStatus {
    let mut status = storage.status.clone().unwrap_or_default();
    let generation = storage.metadata.generation;
    status.observed_generation = generation;
    status.last_probe_time = Some(now);
    match &found.usable {
        Ok((found, marker)) => {
            status.capabilities = Some(capabilities(*found));
            status.owner = Some(owner(storage, marker));
        }
        Err(unusable) if unusable.is_anothers() => status.owner = None,
        // What is unreachable for a while does not belong to somebody else.
        Err(_) => {}
    }
    if let Some(Ok(enforcement)) = &found.rules {
        status.rules = enforcement.rules.iter().take(MOST_RULES).map(rule).collect();
        status.foreign_rules = i32::try_from(enforcement.foreign).ok();
    }
    if let Some(Ok(tally)) = &found.patrol {
        status.patrol = Some(patrol(tally, now));
    }
    let conditions = [Some(ready(found)), Some(retention(storage, found)), nothing_overdue(found)];
    for condition in conditions.into_iter().flatten() {
        set(&mut status.conditions, condition.observed(generation), now);
    }
    status
}

fn patrol(tally: &Tally, now: DateTime<Utc>) -> PatrolReport {
    let count = |number: usize| i32::try_from(number).unwrap_or(i32::MAX);
    PatrolReport {
        time: now,
        backups: count(tally.backups),
        swept_objects: count(tally.swept),
        overdue_backups: count(tally.overdue),
        orphaned_holds: count(tally.orphaned_holds),
        orphaned_uploads: count(tally.orphaned_uploads),
    }
}

/// The condition NothingOverdue; `None` while no patrol has ended.
fn nothing_overdue(found: &Findings) -> Option<Condition> {
    let (holds, reason, message) = match found.patrol.as_ref()? {
        Err(error) => (ConditionStatus::Unknown, error.reason(), error.to_string()),
        Ok(tally) => overdue(tally),
    };
    Some(Condition::new(StorageCondition::NothingOverdue, holds, reason, cut(&message, MESSAGE_LIMIT)))
}

fn overdue(tally: &Tally) -> (ConditionStatus, &'static str, String) {
    let first = |text: &Option<String>| text.clone().unwrap_or_default();
    if tally.overdue > 0 {
        let message = format!(
            "{} backups should have expired two days ago or earlier, the first is {}: look whether the bucket's rules are in \
             force, or whether object locks or tags of somebody else keep them",
            tally.overdue,
            first(&tally.first_overdue)
        );
        return (ConditionStatus::False, "BackupsOverdue", message);
    }
    if tally.orphaned_holds > 0 {
        let message = format!(
            "{} backups were held past their retention and no RestoreRequest needs them, the first is {}; {} were released",
            tally.orphaned_holds,
            first(&tally.first_orphan),
            tally.released
        );
        return (ConditionStatus::False, "HoldsOrphaned", message);
    }
    if tally.orphaned_uploads > 0 {
        let message = format!(
            "{} uploads were left unfinished for two days or longer, {} were aborted now: look why the bucket's rule does not",
            tally.orphaned_uploads, tally.aborted
        );
        return (ConditionStatus::False, "UploadsOrphaned", message);
    }
    if let Some(why) = &tally.uploads_refused {
        return (ConditionStatus::Unknown, "UploadsNotListed", why.clone());
    }
    (ConditionStatus::True, "PatrolClean", format!("{} backups, all within their time", tally.backups))
}

/// The condition that newly says that something is overdue: one Event each time it turns, or turns worse.
pub fn alarm(storage: &BackupStorage, status: &BackupStorageStatus) -> Option<Condition> {
    let now = find(&status.conditions, StorageCondition::NothingOverdue)?;
    let before = storage.status.as_ref().and_then(|s| find(&s.conditions, StorageCondition::NothingOverdue));
    let known = before.is_some_and(|before| before.status == now.status && before.reason == now.reason);
    (now.status == ConditionStatus::False && !known).then(|| now.clone())
}

/// The summary to write: the new one, or the old one if that is younger than [`BETWEEN_COUNTS`]; then also when the new one
/// may be written. If only the time differs, the old one stays for [`COUNT_IS_NEWS`].
pub fn paced_summary(
    before: Option<ScheduleSummary>,
    now: ScheduleSummary,
) -> (ScheduleSummary, Option<DateTime<Utc>>) {
    let times = before.as_ref().and_then(|before| before.counted_at).zip(now.counted_at);
    // A count of the future is of a clock that was set back.
    let (Some(before), Some((then, at))) = (before, times.filter(|(then, at)| then <= at)) else { return (now, None) };
    let same = ScheduleSummary { counted_at: now.counted_at, ..before.clone() } == now;
    if same && at - then < COUNT_IS_NEWS {
        return (before, None);
    }
    if at - then < BETWEEN_COUNTS { (before, Some(then + BETWEEN_COUNTS)) } else { (now, None) }
}

/// The condition `AuthorityIntact`.
pub fn authority(intact: &Result<(), AuthorityFault>) -> Condition {
    match intact {
        Ok(()) => Condition::new(
            StorageCondition::AuthorityIntact,
            true,
            "PoliciesInForce",
            "the admission policies that guard approval and payment are in force",
        ),
        Err(fault) => {
            let message = fault.to_string();
            Condition::new(StorageCondition::AuthorityIntact, false, fault.reason(), cut(&message, MESSAGE_LIMIT))
        }
    }
}

/// Since when Ready or RetentionEnforced is False.
pub fn failing_since(storage: &BackupStorage) -> Option<DateTime<Utc>> {
    let conditions = &storage.status.as_ref()?.conditions;
    [StorageCondition::Ready, StorageCondition::RetentionEnforced]
        .into_iter()
        .filter_map(|type_| find(conditions, type_))
        .filter(|condition| condition.status == ConditionStatus::False)
        .filter_map(|condition| condition.last_transition_time)
        .min()
}

fn ready(found: &Findings) -> Condition {
    match &found.usable {
        Ok(_) => Condition::new(
            StorageCondition::Ready,
            true,
            "BucketUsable",
            "the bucket was written, read and cleaned with the operator's credentials",
        ),
        Err(unusable) => {
            let message = unusable.to_string();
            Condition::new(StorageCondition::Ready, false, unusable.reason(), cut(&message, MESSAGE_LIMIT))
        }
    }
}

fn retention(storage: &BackupStorage, found: &Findings) -> Condition {
    let (holds, reason, message) = match (&found.usable, &found.rules) {
        (Err(_), _) => (
            ConditionStatus::Unknown,
            "BucketNotUsable",
            "the bucket cannot be looked at; rules that were in force stay in force".to_owned(),
        ),
        (Ok((capabilities, _)), Some(Ok(enforcement))) => enforced(storage, *capabilities, enforcement),
        (Ok(_), Some(Err(error))) => (ConditionStatus::False, error.reason(), error.to_string()),
        (Ok((capabilities, _)), None) => unruled(storage, *capabilities, found),
    };
    Condition::new(StorageCondition::RetentionEnforced, holds, reason, cut(&message, MESSAGE_LIMIT))
}

/// RetentionEnforced of a storage without lifecycle rules: the operator sweeps it, or nothing expires.
fn unruled(
    storage: &BackupStorage,
    capabilities: Capabilities,
    found: &Findings,
) -> (ConditionStatus, &'static str, String) {
    let days = storage.spec.retention.days;
    if enforcer(storage.spec.lifecycle.mode, capabilities) == Enforcer::Rules {
        let message = "spec.lifecycle.mode is Observe and the store keeps no lifecycle rules: backups stay until somebody \
                       deletes them; set mode Merge or Sweep, and the operator deletes what is over";
        return (ConditionStatus::False, "NothingExpires", message.to_owned());
    }
    if let Some(Err(error)) = &found.patrol {
        return (ConditionStatus::False, error.reason(), format!("the operator could not sweep: {error}"));
    }
    if capabilities.versioning {
        let message = "the operator deletes backups, but the bucket is versioned and keeps what was deleted: without \
                       lifecycle rules nothing removes old versions; suspend versioning and empty them";
        return (ConditionStatus::False, "OldVersionsStay", message.to_owned());
    }
    let why =
        if capabilities.lifecycle { "spec.lifecycle.mode is Sweep" } else { "the store keeps no lifecycle rules" };
    let message = format!("{why}: the operator deletes backups {days} days after they were stored, while it runs");
    (ConditionStatus::True, "SweptByOperator", message)
}

fn enforced(
    storage: &BackupStorage,
    capabilities: Capabilities,
    enforcement: &Enforcement,
) -> (ConditionStatus, &'static str, String) {
    let observing = storage.spec.lifecycle.mode == LifecycleMode::Observe;
    if observing && !enforcement.drift.is_empty() {
        let message = format!(
            "spec.lifecycle.mode is Observe and the bucket lacks the rules {}: add them, or set mode Merge",
            enforcement.drift.join(", ")
        );
        return (ConditionStatus::False, "RulesMissing", message);
    }
    if let Some(conflict) = enforcement.conflicts.first() {
        return (ConditionStatus::False, conflict.reason(), conflict.to_string());
    }
    if policy(&storage.spec, capabilities).rules().is_empty() {
        return (ConditionStatus::False, "PrefixNeeded", PREFIX_NEEDED.to_owned());
    }
    let mut message = format!("backups expire after {} days by the bucket's own rules", storage.spec.retention.days);
    if !enforcement.unsupported.is_empty() {
        message.push_str("; the store refuses the rules that clean up unfinished uploads or old versions");
    }
    (ConditionStatus::True, "RulesInForce", message)
}

/// The first error of a probe: it makes the reconcile fail and be tried again soon.
pub fn failure(found: Findings) -> Result<(), ReconcileError> {
    found.usable.map_err(|unusable| ReconcileError::Unusable(Box::new(unusable)))?;
    found.rules.transpose().map_err(|error: LifecycleError| ReconcileError::Lifecycle(Box::new(error)))?;
    found.patrol.transpose().map_err(|error| ReconcileError::Patrol(Box::new(error)))?;
    Ok(())
}

fn owner(storage: &BackupStorage, marker: &OwnerMarker) -> OwnedPrefix {
    let spec = &storage.spec;
    OwnedPrefix {
        id: marker.id.clone(),
        bucket: spec.bucket.clone(),
        prefix: spec.prefix.clone(),
        endpoint: spec.endpoint.clone(),
    }
}

fn capabilities(found: Capabilities) -> StoreCapabilities {
    let Capabilities { tagging, lifecycle, conditional_put, checksums, versioning } = found;
    StoreCapabilities { tagging, lifecycle, conditional_put, checksums, versioning }
}

fn rule(rule: &Rule) -> RuleInForce {
    let mut action: Vec<String> = Vec::new();
    match rule.expire {
        Some(Expire::Days(days)) => action.push(format!("expire after {days} days")),
        Some(Expire::Date(date)) => action.push(format!("expire on {date}")),
        None => {}
    }
    if let Some(days) = rule.noncurrent_days {
        action.push(format!("remove old versions after {days} days"));
    }
    if rule.expired_markers {
        action.push("remove delete markers without versions".to_owned());
    }
    if let Some(days) = rule.abort_days {
        action.push(format!("abort unfinished uploads after {days} days"));
    }
    if !rule.enabled {
        action.push("disabled".to_owned());
    }
    RuleInForce {
        id: rule.id.clone(),
        prefix: (!rule.prefix.is_empty()).then(|| rule.prefix.clone()),
        tag: rule.tags.iter().next().map(|(key, value)| format!("{key}={value}")),
        action: cut(&action.join(", "), 200).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::storage_clients::OpenError;
    use crate::error::Unusable;
    use sennight_core::prefix_owner::PrefixOwner;
    use sennight_storage::OwnerError;

    fn count(seconds: i64, fresh: i32) -> ScheduleSummary {
        ScheduleSummary { counted_at: DateTime::from_timestamp(seconds, 0), fresh, ..ScheduleSummary::default() }
    }

    #[test]
    fn i8_a_busy_night_writes_a_count_each_half_minute_however_often_it_is_made() {
        let (mut written, mut writes, mut due) = (count(0, 0), 0, None);
        for second in 1..=600 {
            let (next, delayed) = paced_summary(Some(written.clone()), count(second, i32::try_from(second).unwrap()));
            writes += i32::from(next != written);
            assert_eq!(delayed.is_some(), next == written, "a delayed one has its time");
            (written, due) = (next, delayed);
        }
        assert_eq!((writes, written.fresh, due), (20, 600, None), "and the last one is the newest");
    }

    #[test]
    fn a_count_that_changed_nothing_is_written_again_after_minutes_and_one_of_the_future_at_once() {
        assert_eq!(paced_summary(Some(count(0, 1)), count(200, 1)), (count(0, 1), None));
        assert_eq!(paced_summary(Some(count(0, 1)), count(300, 1)), (count(300, 1), None));
        assert_eq!(paced_summary(Some(count(10, 1)), count(20, 2)), (count(10, 1), DateTime::from_timestamp(40, 0)));
        assert_eq!(paced_summary(Some(count(900, 1)), count(20, 1)), (count(20, 1), None));
        assert_eq!(paced_summary(None, count(20, 1)), (count(20, 1), None));
    }

    fn marker() -> OwnerMarker {
        let owner = PrefixOwner { cluster: "c".into(), namespace: "n".into(), storage: "s".into() };
        OwnerMarker::new("1".into(), owner, DateTime::UNIX_EPOCH)
    }

    #[test]
    fn i5_a_storage_stays_the_owner_while_its_bucket_is_away_and_not_when_it_is_anothers() {
        let mut storage: BackupStorage = serde_json::from_value(serde_json::json!({
            "apiVersion": "sennight.dev/v1alpha1", "kind": "BackupStorage", "metadata": {"name": "s"},
            "spec": {"bucket": "b", "prefix": "p"}
        }))
        .unwrap();
        let mut after = |usable| {
            let found = Findings { usable, rules: None, patrol: None };
            storage.status = Some(status(&storage, &found, DateTime::UNIX_EPOCH));
            storage.status.clone().unwrap().owner.map(|owner| (owner.id.clone(), owner.is_of(&storage.spec)))
        };
        let own = Some(("1".to_owned(), true));
        assert_eq!(after(Ok((Capabilities::default(), marker()))), own);
        let away = OpenError::SecretMissing { field: "credentialsSecretRef", name: "x".into(), namespace: "n".into() };
        assert_eq!(after(Err(Unusable::Open(away))), own);
        let taken = OwnerError::PrefixTaken { bucket: "b".into(), prefix: "p".into(), id: "2".into() };
        assert_eq!(after(Err(taken.into())), None);
    }

    #[test]
    fn i5_a_storage_whose_rules_could_not_tell_ours_from_others_says_what_is_missing() {
        let says = |prefix: &str, tagging: bool| {
            let storage = serde_json::json!({
                "apiVersion": "sennight.dev/v1alpha1", "kind": "BackupStorage", "metadata": {"name": "s"},
                "spec": {"bucket": "b", "prefix": prefix}
            });
            let enforcement = Enforcement {
                rules: Vec::new(),
                foreign: 0,
                conflicts: Vec::new(),
                drift: Vec::new(),
                unsupported: std::collections::BTreeSet::new(),
            };
            let found = Findings {
                usable: Ok((Capabilities { tagging, ..Capabilities::default() }, marker())),
                rules: Some(Ok(enforcement)),
                patrol: None,
            };
            let condition = retention(&serde_json::from_value(storage).unwrap(), &found);
            (condition.status, condition.reason)
        };
        let enforced = (ConditionStatus::True, "RulesInForce".to_owned());
        assert_eq!(says("", false), (ConditionStatus::False, "PrefixNeeded".to_owned()));
        assert_eq!((says("p", false), says("", true)), (enforced.clone(), enforced));
    }
}
