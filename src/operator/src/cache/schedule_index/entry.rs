//! What the index stores of a BackupSchedule: a few hundred bytes instead of the object's many thousand.
//! Reconciles do not decide by it; they read the object from the API server.

use super::refusal::{timetable, was_refused};
use crate::runtime::key::Key;
use chrono::{DateTime, Utc};
use sennight_api::conditions::{ScheduleCondition, find, is_true};
use sennight_api::{BackupSchedule, ConditionStatus};
use sennight_core::names::BackupId;
use std::collections::HashSet;
use std::sync::Arc;

/// Texts that many entries share, stored once: namespaces, servers, storages, reasons.
#[derive(Debug, Default)]
pub struct StringPool(HashSet<Arc<str>>);

impl StringPool {
    /// The stored text that equals `text`; stores it if it is new.
    pub fn intern(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.0.get(text) {
            return known.clone();
        }
        let new: Arc<str> = text.into();
        self.0.insert(new.clone());
        new
    }
}

/// One BackupSchedule in the index.
#[derive(Debug, Clone, PartialEq)]
#[allow(clippy::struct_excessive_bools, reason = "flags of an entry, each counted by itself")]
pub struct ScheduleEntry {
    /// Namespace and name.
    pub key: Key,
    /// `metadata.uid`.
    pub uid: Box<str>,
    /// Creation time.
    pub created: Option<DateTime<Utc>>,
    /// `metadata.generation`; 0 where it is absent.
    pub generation: i64,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// Whether its schedule, time zone and window make sense.
    pub readable: bool,
    /// Whether its condition Ready says that it was refused.
    pub refused: bool,
    /// `spec.tenant.id`.
    pub tenant: Box<str>,
    /// Name of the database.
    pub database: Box<str>,
    /// Name of the DatabaseServer.
    pub server: Arc<str>,
    /// Name of the BackupStorage.
    pub storage: Arc<str>,
    /// `spec.suspend`.
    pub suspended: bool,
    /// Status of the condition Fresh; Unknown also while it is absent.
    pub fresh: ConditionStatus,
    /// The newest backup is suspiciously small.
    pub suspicious: bool,
    /// Whether a dump is due and waits for a budget.
    pub waiting: bool,
    /// Failed runs since the last good one.
    pub failures: i32,
    /// `status.nextRunTime`.
    pub next: Option<DateTime<Utc>>,
    /// Snapshot time of the newest backup.
    pub last_backup: Option<DateTime<Utc>>,
    /// Id of the newest backup.
    pub newest: Option<PackedBackupId>,
    /// When a drill last proved one of its backups.
    pub proven: Option<DateTime<Utc>>,
    /// `spec.trigger.drill`, while `status.drillTrigger` is another one.
    pub requested_drill: Option<Box<str>>,
    /// Number of backups, and of those that are held.
    pub backups: (u16, u16),
    /// Bytes of all listed backups.
    pub bytes: i64,
    /// Reason of the last failure, or of the condition that says most, in CamelCase.
    pub reason: Arc<str>,
}

/// A [`BackupId`] in twelve bytes.
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
    /// The entry of an object.
    pub fn of(object: &BackupSchedule, strings: &mut StringPool) -> Self {
        let (spec, status) = (&object.spec, object.status.as_ref());
        let conditions = status.map(|s| s.conditions.as_slice()).unwrap_or_default();
        let fresh = find(conditions, ScheduleCondition::Fresh);
        let ready = find(conditions, ScheduleCondition::Ready);
        let suspicious = is_true(conditions, ScheduleCondition::Suspicious);
        let backups = status.map(|s| s.backups.as_slice()).unwrap_or_default();
        let reason = match (status.and_then(|s| s.last_failure.as_ref()), fresh, ready) {
            (Some(failure), ..) => failure.reason.as_str(),
            (None, _, Some(ready)) if !ready.is_true() => ready.reason.as_str(),
            _ if suspicious => "Suspicious",
            (None, Some(fresh), _) => fresh.reason.as_str(),
            (None, None, _) => "NotLookedAtYet",
        };
        let key = Key {
            namespace: strings.intern(object.metadata.namespace.as_deref().unwrap_or_default()),
            name: object.metadata.name.as_deref().unwrap_or_default().into(),
        };
        let number = |n: usize| u16::try_from(n).unwrap_or(u16::MAX);
        Self {
            key,
            uid: object.metadata.uid.as_deref().unwrap_or_default().into(),
            created: sennight_api::convert::created(&object.metadata),
            generation: object.metadata.generation.unwrap_or_default(),
            deleting: object.metadata.deletion_timestamp.is_some(),
            readable: timetable(object).is_ok(),
            refused: was_refused(object),
            tenant: spec.tenant.id.as_str().into(),
            database: spec.database.name.as_str().into(),
            server: strings.intern(&spec.database.server_ref.name),
            storage: strings.intern(&spec.storage_ref.name),
            suspended: spec.suspend,
            fresh: fresh.map_or(ConditionStatus::Unknown, |condition| condition.status),
            suspicious,
            waiting: ready.is_some_and(|condition| condition.reason == "BudgetReached"),
            failures: status.and_then(|s| s.consecutive_failures).unwrap_or_default(),
            next: status.and_then(|s| s.next_run_time),
            last_backup: status.and_then(|s| s.last_successful_time),
            newest: backups.first().and_then(|backup| PackedBackupId::of(&backup.id)),
            // The list loses a backup after its retention; `lastProvenTime` remembers that one was proven.
            proven: backups
                .iter()
                .filter_map(|backup| backup.proven_time)
                .max()
                .max(status.and_then(|s| s.last_proven_time)),
            requested_drill: requested_drill(object).map(Into::into),
            backups: (number(backups.len()), number(backups.iter().filter(|backup| backup.held).count())),
            bytes: backups.iter().map(|backup| backup.bytes).sum(),
            reason: strings.intern(reason),
        }
    }

    /// Whether nothing in the schedule's own spec prevents its dumps.
    pub fn may_run(&self) -> bool {
        self.readable && !self.deleting
    }

    /// Whether a person should look at it.
    pub fn troubled(&self) -> bool {
        match self.fresh {
            ConditionStatus::True => self.suspicious || self.failures > 0,
            ConditionStatus::False => true,
            ConditionStatus::Unknown => !self.suspended,
        }
    }
}

fn requested_drill(object: &BackupSchedule) -> Option<&str> {
    let token = object.spec.trigger.as_ref()?.drill.as_ref()?;
    let answered = object.status.as_ref().and_then(|status| status.drill_trigger.as_ref());
    (answered != Some(token)).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backup_id_fits_in_twelve_bytes() {
        for text in ["20261122T021000Z-1a2b3c4d", "20261122T021000Z-0000000a"] {
            assert_eq!(PackedBackupId::of(text).unwrap().to_string(), text);
        }
        assert_eq!(PackedBackupId::of("latest"), None);
    }

    #[test]
    fn a_text_is_stored_once() {
        let mut strings = StringPool::default();
        let (a, b) = (strings.intern("pg-1"), strings.intern("pg-1"));
        assert!(Arc::ptr_eq(&a, &b));
    }
}
