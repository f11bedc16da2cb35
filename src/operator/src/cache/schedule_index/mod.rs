//! A table of all watched BackupSchedules, a few hundred bytes each, with indexes by claim and by server. The table follows
//! the watch and may lag: a reconcile reads the object itself from the API server.

mod entry;
mod refusal;
mod rivals;
mod summary;
pub mod watched;

pub use entry::{PackedBackupId, ScheduleEntry};
pub use refusal::{Invalid, timetable, was_refused};
pub use rivals::{Holder, Rivals, references_exist};
pub use summary::BackupAges;
pub use watched::WatchedSchedule;

use crate::runtime::key::Key;
use chrono::{DateTime, Utc};
use entry::StringPool;
use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use sennight_api::BackupSchedule;
use sennight_api::backup_storage::ScheduleSummary as Summary;
use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeSet, HashMap};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// The index; clones share one table.
#[derive(Debug, Clone, Default)]
pub struct ScheduleIndex(Arc<RwLock<Table>>);

#[derive(Debug, Default)]
struct Table {
    entries: Vec<Option<IndexedEntry>>,
    free: Vec<u32>,
    positions: HashMap<Key, u32>,
    /// Hash of a tenant or a database within its namespace, and the entry's position. Two schedules may share either.
    claims: BTreeSet<(u64, u32)>,
    servers: HashMap<(Arc<str>, Arc<str>), i32>,
    /// Backups indexed by `retention.keepLastGood`, each with the end of its hold. Few schedules have any.
    last_good: HashMap<Key, Vec<(String, DateTime<Utc>)>>,
    strings: StringPool,
}

#[derive(Debug)]
struct IndexedEntry {
    entry: ScheduleEntry,
    /// Number of the watch that brought it, and of that watch's list: what a newer list does not bring is gone.
    scope: u16,
    list: u32,
}

/// What an event of the watch changed in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The schedule was unknown, or its name belonged to another UID.
    New,
    /// Its spec changed, or it is being deleted.
    Spec,
    /// Something that status summaries count: Fresh, Suspicious, failures or holds.
    Count,
    /// Nothing that the table compares.
    Nothing,
}

/// A tenant of a server that has a backup to run a restore drill on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DrillTenant {
    /// Name of the BackupSchedule.
    pub schedule: String,
    /// UID of the BackupSchedule.
    pub uid: String,
    /// Id of its newest backup.
    pub backup: String,
    /// Creation time of the BackupSchedule.
    pub created: Option<DateTime<Utc>>,
    /// When a drill last proved one of its backups.
    pub proven: Option<DateTime<Utc>>,
    /// Token of `spec.trigger.drill` that has no answer yet.
    pub requested: Option<String>,
}

impl ScheduleIndex {
    fn read(&self) -> RwLockReadGuard<'_, Table> {
        self.0.read()
    }

    fn write(&self) -> RwLockWriteGuard<'_, Table> {
        self.0.write()
    }

    /// Stores an object that the watch `scope` brought in its list number `list`.
    pub fn put(&self, object: &BackupSchedule, scope: u16, list: u32) -> (Key, Change) {
        self.write().put(object, scope, list)
    }

    /// Removes an object and returns its entry, if it was known.
    pub fn remove(&self, key: &Key) -> Option<ScheduleEntry> {
        self.write().remove(key)
    }

    /// Removes what the watch `scope` did not bring again in its list number `list`.
    pub fn sweep(&self, scope: u16, list: u32) -> Vec<ScheduleEntry> {
        let mut table = self.write();
        let gone = |indexed: &&IndexedEntry| indexed.scope == scope && indexed.list != list;
        let keys: Vec<Key> =
            table.entries.iter().flatten().filter(gone).map(|indexed| indexed.entry.key.clone()).collect();
        keys.iter().filter_map(|key| table.remove(key)).collect()
    }

    /// The entry of a schedule.
    pub fn get(&self, key: &Key) -> Option<ScheduleEntry> {
        let table = self.read();
        table.entry(*table.positions.get(key)?).cloned()
    }

    /// Number of schedules.
    pub fn len(&self) -> usize {
        self.read().positions.len()
    }

    /// Whether there is no schedule.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of schedules that name a server.
    pub fn on_server(&self, namespace: &str, server: &str) -> i32 {
        let table = self.read();
        table.servers.get(&(namespace.into(), server.into())).copied().unwrap_or_default()
    }

    /// The tenants of a server that have a backup: `all` of them, or only those with an unanswered `spec.trigger.drill`.
    pub fn drill_tenants(&self, namespace: &str, server: &str, all: bool) -> Vec<DrillTenant> {
        let tenant = |entry: &ScheduleEntry| {
            Some(DrillTenant {
                schedule: entry.key.name.to_string(),
                uid: entry.uid.to_string(),
                backup: entry.newest?.to_string(),
                created: entry.created,
                proven: entry.proven,
                requested: entry.requested_drill.as_deref().map(ToOwned::to_owned),
            })
        };
        let mut found = Vec::new();
        self.each(|entry| {
            if (all || entry.requested_drill.is_some())
                && *entry.server == *server
                && *entry.key.namespace == *namespace
            {
                found.extend(tenant(entry));
            }
        });
        found
    }

    /// Backups of a namespace that `retention.keepLastGood` holds: schedule, id, end of the hold.
    pub fn last_good_holds(&self, namespace: &str) -> Vec<(String, String, DateTime<Utc>)> {
        let table = self.read();
        let in_namespace = table.last_good.iter().filter(|(key, _)| *key.namespace == *namespace);
        in_namespace
            .flat_map(|(key, backups)| backups.iter().map(|(id, until)| (key.name.to_string(), id.clone(), *until)))
            .collect()
    }

    /// Counts the schedules that write to a storage and names the worst.
    pub fn summary(&self, namespace: &str, storage: &str, now: DateTime<Utc>) -> Summary {
        summary::summary(&self.read(), namespace, storage, now)
    }

    /// The ages of the newest backups, over all schedules.
    pub fn ages(&self, now: DateTime<Utc>) -> BackupAges {
        let mut ages = BackupAges::default();
        self.each(|entry| ages.add(entry, now));
        ages
    }

    /// Calls `each` with every entry, under the table's read lock.
    pub fn each(&self, mut each: impl FnMut(&ScheduleEntry)) {
        let table = self.read();
        table.entries.iter().flatten().for_each(|indexed| each(&indexed.entry));
    }
}

impl Table {
    fn entry(&self, place: u32) -> Option<&ScheduleEntry> {
        self.entries.get(place as usize)?.as_ref().map(|indexed| &indexed.entry)
    }

    fn put(&mut self, object: &BackupSchedule, scope: u16, list: u32) -> (Key, Change) {
        let mut entry = ScheduleEntry::of(object, &mut self.strings);
        let known = self.positions.get_key_value(&entry.key).map(|(key, place)| (key.clone(), *place));
        let place = known.map(|(key, place)| {
            entry.key = key;
            place
        });
        let key = entry.key.clone();
        let change = place.and_then(|place| self.entry(place)).map_or(Change::New, |before| change(before, &entry));
        match place.and_then(|place| self.entries.get_mut(place as usize)) {
            // Neither its claims nor its server have changed: the indexes stay.
            Some(slot) if matches!(change, Change::Nothing | Change::Count) => {
                *slot = Some(IndexedEntry { entry, scope, list });
            }
            _ => {
                self.remove(&key);
                self.insert(IndexedEntry { entry, scope, list });
            }
        }
        self.note_last_good(&key, object);
        (key, change)
    }

    fn insert(&mut self, indexed: IndexedEntry) {
        let entry = &indexed.entry;
        let place = self.free.pop().unwrap_or_else(|| {
            self.entries.push(None);
            u32::try_from(self.entries.len() - 1).unwrap_or(u32::MAX)
        });
        for claim in claims(entry) {
            self.claims.insert((claim, place));
        }
        *self.servers.entry((entry.key.namespace.clone(), entry.server.clone())).or_default() += 1;
        self.positions.insert(entry.key.clone(), place);
        if let Some(slot) = self.entries.get_mut(place as usize) {
            *slot = Some(indexed);
        }
    }

    fn remove(&mut self, key: &Key) -> Option<ScheduleEntry> {
        let place = self.positions.remove(key)?;
        let entry = self.entries.get_mut(place as usize)?.take()?.entry;
        self.free.push(place);
        for claim in claims(&entry) {
            self.claims.remove(&(claim, place));
        }
        self.last_good.remove(key);
        let server = (entry.key.namespace.clone(), entry.server.clone());
        if let Some(number) = self.servers.get_mut(&server) {
            *number -= 1;
            if *number == 0 {
                self.servers.remove(&server);
            }
        }
        Some(entry)
    }

    fn note_last_good(&mut self, key: &Key, object: &BackupSchedule) {
        let backups = object.status.iter().flat_map(|status| &status.backups);
        let holds: Vec<_> = backups.filter_map(|backup| Some((backup.id.clone(), backup.held_until?))).collect();
        if holds.is_empty() {
            self.last_good.remove(key);
        } else {
            self.last_good.insert(key.clone(), holds);
        }
    }
}

/// Compares two entries of one name.
fn change(before: &ScheduleEntry, now: &ScheduleEntry) -> Change {
    if before.uid != now.uid {
        return Change::New;
    }
    let spec = |entry: &ScheduleEntry| (entry.generation, entry.deleting);
    // Generations may not be counted (0): the fields of the spec that the table has are compared, too.
    let references = |entry: &ScheduleEntry| {
        (entry.tenant.clone(), entry.server.clone(), entry.database.clone(), entry.storage.clone())
    };
    if spec(before) != spec(now) || references(before) != references(now) {
        return Change::Spec;
    }
    let counted = |entry: &ScheduleEntry| (entry.fresh, entry.suspicious, entry.failures > 0, entry.backups.1);
    if counted(before) == counted(now) { Change::Nothing } else { Change::Count }
}

/// Hashes of what a schedule claims: its tenant and its database.
fn claims(entry: &ScheduleEntry) -> [u64; 2] {
    let namespace = &entry.key.namespace;
    [claim(namespace, &["tenant", &entry.tenant]), claim(namespace, &["database", &entry.server, &entry.database])]
}

fn claim(namespace: &str, words: &[&str]) -> u64 {
    let mut hasher = DefaultHasher::new();
    (namespace, words).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests;
