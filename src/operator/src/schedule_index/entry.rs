//! What the operator keeps of a BackupSchedule between two looks at it: a few hundred bytes instead of the object's many
//! thousand. Whoever decides reads the object afresh.

use crate::backup::validate;
use chrono::{DateTime, Utc};
use kube::runtime::reflector::{Lookup, ObjectRef};
use sennight_api::conditions::{ScheduleCondition, find, is_true};
use sennight_api::{BackupSchedule, ConditionStatus};
use sennight_core::names::BackupId;
use std::collections::HashSet;
use std::sync::Arc;

/// The name of an object whose kind is known; clones share their text.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
}

impl Key {
    /// A name.
    pub fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// The name of an object.
    pub fn of(object: &BackupSchedule) -> Self {
        Self::new(
            object.metadata.namespace.as_deref().unwrap_or_default(),
            object.metadata.name.as_deref().unwrap_or_default(),
        )
    }
}

impl<K: Lookup<DynamicType = ()>> From<ObjectRef<K>> for Key {
    fn from(reference: ObjectRef<K>) -> Self {
        Self::new(reference.namespace.as_deref().unwrap_or_default(), &reference.name)
    }
}

/// Texts that many rows share, kept once.
#[derive(Debug, Default)]
pub struct Texts(HashSet<Arc<str>>);

impl Texts {
    /// The shared text.
    pub fn shared(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.0.get(text) {
            return known.clone();
        }
        let new: Arc<str> = text.into();
        self.0.insert(new.clone());
        new
    }
}

/// What is kept.
#[derive(Debug, Clone, PartialEq)]
#[allow(clippy::struct_excessive_bools, reason = "flags of a row, each counted by itself")]
pub struct ScheduleEntry {
    /// Its name.
    pub key: Key,
    /// Its UID.
    pub uid: Box<str>,
    /// When it was created.
    pub created: Option<DateTime<Utc>>,
    /// Generation of its spec.
    pub generation: i64,
    /// It is being deleted.
    pub leaving: bool,
    /// Its own fields say when to run.
    pub readable: bool,
    /// Its status says that it cannot be followed.
    pub refused: bool,
    /// The tenant.
    pub tenant: Box<str>,
    /// Name of the database.
    pub database: Box<str>,
    /// Name of the DatabaseServer.
    pub server: Arc<str>,
    /// Name of the BackupStorage.
    pub storage: Arc<str>,
    /// `spec.suspend`.
    pub suspended: bool,
    /// The condition Fresh; Unknown also while nobody has looked.
    pub fresh: ConditionStatus,
    /// The newest backup is suspiciously small.
    pub suspicious: bool,
    /// Due, and held back by a budget.
    pub waiting: bool,
    /// Failed runs since the last good one.
    pub failures: i32,
    /// When the next dump is due.
    pub next: Option<DateTime<Utc>>,
    /// Snapshot time of the newest backup.
    pub last_backup: Option<DateTime<Utc>>,
    /// Id of the newest backup.
    pub newest: Option<PackedBackupId>,
    /// When a backup was last proven.
    pub proven: Option<DateTime<Utc>>,
    /// `spec.trigger.drill`, if status does not say that it was answered.
    pub wish: Option<Box<str>>,
    /// Backups, and those of them that are held.
    pub backups: (u16, u16),
    /// Bytes of all backups.
    pub bytes: i64,
    /// What is wrong, in CamelCase.
    pub why: Arc<str>,
}

/// A backup's id in twelve bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackedBackupId(DateTime<Utc>, u32);

impl PackedBackupId {
    fn of(text: &str) -> Option<Self> {
        let id: BackupId = text.parse().ok()?;
        let run = u32::from_str_radix(text.rsplit('-').next()?, 16).ok()?;
        Some(Self(id.time(), run))
    }
}

impl std::fmt::Display for PackedBackupId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        BackupId::new(self.0, self.1).fmt(f)
    }
}

impl ScheduleEntry {
    /// What is kept of an object.
    pub fn of(object: &BackupSchedule, texts: &mut Texts) -> Self {
        let (spec, status) = (&object.spec, object.status.as_ref());
        let conditions = status.map(|s| s.conditions.as_slice()).unwrap_or_default();
        let fresh = find(conditions, ScheduleCondition::Fresh);
        let ready = find(conditions, ScheduleCondition::Ready);
        let suspicious = is_true(conditions, ScheduleCondition::Suspicious);
        let points = status.map(|s| s.backups.as_slice()).unwrap_or_default();
        let why = match (status.and_then(|s| s.last_failure.as_ref()), fresh, ready) {
            (Some(failure), ..) => failure.reason.as_str(),
            (None, _, Some(ready)) if !ready.is_true() => ready.reason.as_str(),
            _ if suspicious => "Suspicious",
            (None, Some(fresh), _) => fresh.reason.as_str(),
            (None, None, _) => "NotLookedAtYet",
        };
        let key = Key {
            namespace: texts.shared(object.metadata.namespace.as_deref().unwrap_or_default()),
            name: object.metadata.name.as_deref().unwrap_or_default().into(),
        };
        let number = |n: usize| u16::try_from(n).unwrap_or(u16::MAX);
        Self {
            key,
            uid: object.metadata.uid.as_deref().unwrap_or_default().into(),
            created: super::rivals::created(object),
            generation: object.metadata.generation.unwrap_or_default(),
            leaving: object.metadata.deletion_timestamp.is_some(),
            readable: validate::timetable(object).is_ok(),
            refused: validate::was_refused(object),
            tenant: spec.tenant.id.as_str().into(),
            database: spec.database.name.as_str().into(),
            server: texts.shared(&spec.database.server_ref.name),
            storage: texts.shared(&spec.storage_ref.name),
            suspended: spec.suspend,
            fresh: fresh.map_or(ConditionStatus::Unknown, |condition| condition.status),
            suspicious,
            waiting: ready.is_some_and(|condition| condition.reason == "BudgetReached"),
            failures: status.and_then(|s| s.consecutive_failures).unwrap_or_default(),
            next: status.and_then(|s| s.next_run_time),
            last_backup: status.and_then(|s| s.last_successful_time),
            newest: points.first().and_then(|point| PackedBackupId::of(&point.id)),
            // Backups go after a week; that one was proven stays.
            proven: points
                .iter()
                .filter_map(|point| point.proven_time)
                .max()
                .max(status.and_then(|s| s.last_proven_time)),
            wish: wish(object).map(Into::into),
            backups: (number(points.len()), number(points.iter().filter(|point| point.held).count())),
            bytes: points.iter().map(|point| point.bytes).sum(),
            why: texts.shared(why),
        }
    }

    /// Whether nothing in the schedule itself keeps it from running.
    pub fn may_run(&self) -> bool {
        self.readable && !self.leaving
    }

    /// Whether somebody should look at it.
    pub fn troubled(&self) -> bool {
        match self.fresh {
            ConditionStatus::True => self.suspicious || self.failures > 0,
            ConditionStatus::False => true,
            ConditionStatus::Unknown => !self.suspended,
        }
    }
}

fn wish(object: &BackupSchedule) -> Option<&str> {
    let wish = object.spec.trigger.as_ref()?.drill.as_ref()?;
    let answered = object.status.as_ref().and_then(|status| status.drill_trigger.as_ref());
    (answered != Some(wish)).then_some(wish)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backups_id_is_kept_whole_in_twelve_bytes() {
        for text in ["20261122T021000Z-1a2b3c4d", "20261122T021000Z-0000000a"] {
            assert_eq!(PackedBackupId::of(text).unwrap().to_string(), text);
        }
        assert_eq!(PackedBackupId::of("latest"), None);
    }

    #[test]
    fn a_text_is_kept_once() {
        let mut texts = Texts::default();
        let (a, b) = (texts.shared("pg-1"), texts.shared("pg-1"));
        assert!(Arc::ptr_eq(&a, &b));
    }
}
