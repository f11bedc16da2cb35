//! All BackupSchedules that are served, as rows: one table, its indexes, and what is counted from it. The table follows the
//! watch; whoever decides about a schedule reads the object itself, afresh.

mod entry;
mod next_look;
mod rivals;
mod runner;
mod view;
mod watched;

pub use entry::{Key, PackedBackupId, ScheduleEntry};
pub use next_look::spread;
pub use rivals::{Holder, Rivals};
pub use runner::Runner;
pub use view::Ages;
pub use watched::WatchedSchedule;

use entry::Texts;

use chrono::{DateTime, Utc};
use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use sennight_api::BackupSchedule;
use sennight_api::backup_storage::ScheduleSummary as Summary;
use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeSet, HashMap};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// The table; clones share it.
#[derive(Debug, Clone, Default)]
pub struct ScheduleIndex(Arc<RwLock<Table>>);

#[derive(Debug, Default)]
struct Table {
    rows: Vec<Option<Held>>,
    free: Vec<u32>,
    places: HashMap<Key, u32>,
    /// Hash of a tenant or a database within its namespace, and the row's place: two rows may share either.
    claims: BTreeSet<(u64, u32)>,
    servers: HashMap<(Arc<str>, Arc<str>), i32>,
    /// Backups that are kept as the last good ones; few rows have any.
    kept: HashMap<Key, Vec<(String, DateTime<Utc>)>>,
    texts: Texts,
}

#[derive(Debug)]
struct Held {
    row: ScheduleEntry,
    /// The watch that brought it, and in which of its lists.
    scope: u16,
    list: u32,
}

/// What a sighting changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It was not known, or another one had its name.
    New,
    /// Its spec changed, or it is being deleted.
    Spec,
    /// Something that is counted.
    Count,
    /// Nothing that the table knows of.
    Nothing,
}

/// A tenant of a server, as its drills see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provable {
    /// The BackupSchedule.
    pub schedule: String,
    /// Its UID.
    pub uid: String,
    /// Its newest backup.
    pub backup: String,
    /// When it was created.
    pub created: Option<DateTime<Utc>>,
    /// When a backup of it was last proven.
    pub proven: Option<DateTime<Utc>>,
    /// Somebody asks for a drill, by this token.
    pub wish: Option<String>,
}

impl ScheduleIndex {
    fn read(&self) -> RwLockReadGuard<'_, Table> {
        self.0.read()
    }

    fn write(&self) -> RwLockWriteGuard<'_, Table> {
        self.0.write()
    }

    /// Takes note of an object that the watch `scope` brought in its list number `list`.
    pub fn put(&self, object: &BackupSchedule, scope: u16, list: u32) -> (Key, Change) {
        self.write().put(object, scope, list)
    }

    /// Forgets an object; its row, if it was known.
    pub fn remove(&self, key: &Key) -> Option<ScheduleEntry> {
        self.write().remove(key)
    }

    /// Forgets what the watch `scope` did not bring again in its list number `list`.
    pub fn sweep(&self, scope: u16, list: u32) -> Vec<ScheduleEntry> {
        let mut table = self.write();
        let gone = |held: &&Held| held.scope == scope && held.list != list;
        let keys: Vec<Key> = table.rows.iter().flatten().filter(gone).map(|held| held.row.key.clone()).collect();
        keys.iter().filter_map(|key| table.remove(key)).collect()
    }

    /// The row of a schedule.
    pub fn get(&self, key: &Key) -> Option<ScheduleEntry> {
        let table = self.read();
        table.row(*table.places.get(key)?).cloned()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.read().places.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many rest on a server.
    pub fn on_server(&self, namespace: &str, server: &str) -> i32 {
        let table = self.read();
        table.servers.get(&(namespace.into(), server.into())).copied().unwrap_or_default()
    }

    /// The tenants of a server that have a backup: all of them, or those for which somebody asks for a drill.
    pub fn provable(&self, namespace: &str, server: &str, all: bool) -> Vec<Provable> {
        let provable = |row: &ScheduleEntry| {
            Some(Provable {
                schedule: row.key.name.to_string(),
                uid: row.uid.to_string(),
                backup: row.newest?.to_string(),
                created: row.created,
                proven: row.proven,
                wish: row.wish.as_deref().map(ToOwned::to_owned),
            })
        };
        let mut found = Vec::new();
        self.each(|row| {
            if (all || row.wish.is_some()) && *row.server == *server && *row.key.namespace == *namespace {
                found.extend(provable(row));
            }
        });
        found
    }

    /// Backups of a namespace that are kept as the last good ones: schedule, id, until when.
    pub fn kept(&self, namespace: &str) -> Vec<(String, String, DateTime<Utc>)> {
        let table = self.read();
        let here = table.kept.iter().filter(|(key, _)| *key.namespace == *namespace);
        here.flat_map(|(key, backups)| backups.iter().map(|(id, until)| (key.name.to_string(), id.clone(), *until)))
            .collect()
    }

    /// The schedules that write to a storage, counted.
    pub fn summary(&self, namespace: &str, storage: &str, now: DateTime<Utc>) -> Summary {
        view::summary(&self.read(), namespace, storage, now)
    }

    /// The ages of newest backups.
    pub fn ages(&self, now: DateTime<Utc>) -> Ages {
        let mut ages = Ages::default();
        self.each(|row| ages.add(row, now));
        ages
    }

    /// Calls `each` with every row. The table waits meanwhile.
    pub fn each(&self, mut each: impl FnMut(&ScheduleEntry)) {
        let table = self.read();
        table.rows.iter().flatten().for_each(|held| each(&held.row));
    }
}

impl Table {
    fn row(&self, place: u32) -> Option<&ScheduleEntry> {
        self.rows.get(place as usize)?.as_ref().map(|held| &held.row)
    }

    fn put(&mut self, object: &BackupSchedule, scope: u16, list: u32) -> (Key, Change) {
        let mut row = ScheduleEntry::of(object, &mut self.texts);
        let known = self.places.get_key_value(&row.key).map(|(key, place)| (key.clone(), *place));
        let place = known.map(|(key, place)| {
            row.key = key;
            place
        });
        let key = row.key.clone();
        let change = place.and_then(|place| self.row(place)).map_or(Change::New, |before| change(before, &row));
        match place.and_then(|place| self.rows.get_mut(place as usize)) {
            // Neither its claims nor its server have changed.
            Some(slot) if matches!(change, Change::Nothing | Change::Count) => *slot = Some(Held { row, scope, list }),
            _ => {
                self.remove(&key);
                self.insert(Held { row, scope, list });
            }
        }
        self.keep(&key, object);
        (key, change)
    }

    fn insert(&mut self, held: Held) {
        let row = &held.row;
        let place = self.free.pop().unwrap_or_else(|| {
            self.rows.push(None);
            u32::try_from(self.rows.len() - 1).unwrap_or(u32::MAX)
        });
        for claim in claims(row) {
            self.claims.insert((claim, place));
        }
        *self.servers.entry((row.key.namespace.clone(), row.server.clone())).or_default() += 1;
        self.places.insert(row.key.clone(), place);
        if let Some(slot) = self.rows.get_mut(place as usize) {
            *slot = Some(held);
        }
    }

    fn remove(&mut self, key: &Key) -> Option<ScheduleEntry> {
        let place = self.places.remove(key)?;
        let row = self.rows.get_mut(place as usize)?.take()?.row;
        self.free.push(place);
        for claim in claims(&row) {
            self.claims.remove(&(claim, place));
        }
        self.kept.remove(key);
        let server = (row.key.namespace.clone(), row.server.clone());
        if let Some(number) = self.servers.get_mut(&server) {
            *number -= 1;
            if *number == 0 {
                self.servers.remove(&server);
            }
        }
        Some(row)
    }

    fn keep(&mut self, key: &Key, object: &BackupSchedule) {
        let points = object.status.iter().flat_map(|status| &status.backups);
        let kept: Vec<_> = points.filter_map(|point| Some((point.id.clone(), point.held_until?))).collect();
        if kept.is_empty() {
            self.kept.remove(key);
        } else {
            self.kept.insert(key.clone(), kept);
        }
    }
}

fn change(before: &ScheduleEntry, now: &ScheduleEntry) -> Change {
    if before.uid != now.uid {
        return Change::New;
    }
    let spec = |row: &ScheduleEntry| (row.generation, row.leaving);
    // Where generations are not counted, what the table knows of the spec is compared.
    let place =
        |row: &ScheduleEntry| (row.tenant.clone(), row.server.clone(), row.database.clone(), row.storage.clone());
    if spec(before) != spec(now) || place(before) != place(now) {
        return Change::Spec;
    }
    let counted = |row: &ScheduleEntry| (row.fresh, row.suspicious, row.failures > 0, row.backups.1);
    if counted(before) == counted(now) { Change::Nothing } else { Change::Count }
}

fn claims(row: &ScheduleEntry) -> [u64; 2] {
    let namespace = &row.key.namespace;
    [claim(namespace, &["tenant", &row.tenant]), claim(namespace, &["database", &row.server, &row.database])]
}

fn claim(namespace: &str, words: &[&str]) -> u64 {
    let mut hasher = DefaultHasher::new();
    (namespace, words).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests;
