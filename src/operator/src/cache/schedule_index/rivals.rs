//! Which schedules claim the same tenant or database, and which of them may back it up (its holder). Found by the table's
//! index: a schedule without rivals costs two look-ups, however many schedules there are.

use super::{ScheduleEntry, ScheduleIndex, Table, claim, claims};
use crate::runtime::key::Key;
use kube::runtime::reflector::{ObjectRef, Store};
use sennight_api::convert::created;
use sennight_api::{BackupSchedule, BackupStorage, DatabaseServer};
use sennight_core::rivals::{Claimant, holder};
use std::collections::{HashMap, HashSet};

/// Whether a schedule's storage and server exist. A schedule without either runs nothing and holds nothing.
pub fn references_exist(
    entry: &ScheduleEntry,
    storages: &Store<BackupStorage>,
    servers: &Store<DatabaseServer>,
) -> bool {
    let namespace = &*entry.key.namespace;
    storages.get(&ObjectRef::new(&entry.storage).within(namespace)).is_some()
        && servers.get(&ObjectRef::new(&entry.server).within(namespace)).is_some()
}

/// The schedules that claim what one schedule claims.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rivals {
    /// All of them, older and younger.
    pub all: Vec<Key>,
    /// How many of them are older: only an older one can be the holder.
    pub older: usize,
    /// Those that name the same database.
    pub of_database: Vec<Key>,
    /// The older rival that may back up what both claim.
    pub holder: Option<Holder>,
}

/// The schedule that may back up what several claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Name of the BackupSchedule.
    pub name: String,
    /// `spec.tenant.id`.
    pub tenant: String,
    /// Name of the DatabaseServer.
    pub server: String,
    /// Name of the database.
    pub database: String,
    /// `spec.suspend`: then nobody dumps what it holds.
    pub suspended: bool,
}

impl ScheduleIndex {
    /// The rivals of a schedule. `able` says whether the storage and server that a schedule names exist. Whether its spec
    /// makes sense and whether it is being deleted is checked here.
    pub fn rivals(&self, object: &BackupSchedule, able: impl Fn(&ScheduleEntry) -> bool) -> Rivals {
        let table = self.read();
        let namespace = object.metadata.namespace.as_deref().unwrap_or_default();
        let mine = claimant_of(object);
        let rivals = table.rivals_of(namespace, &mine);
        if rivals.is_empty() {
            return Rivals::default();
        }
        let same = rivals.iter().filter(|entry| entry.claimant().same_database(&mine));
        Rivals {
            older: rivals.iter().filter(|entry| entry.claimant().before(&mine)).count(),
            all: rivals.iter().map(|entry| entry.key.clone()).collect(),
            of_database: same.map(|entry| entry.key.clone()).collect(),
            holder: table.holder(namespace, &mine, able).map(Holder::of),
        }
    }

    /// Whether another schedule is the holder of what this one claims.
    pub fn has_holder(&self, entry: &ScheduleEntry, able: impl Fn(&ScheduleEntry) -> bool) -> bool {
        self.read().holder(&entry.key.namespace, &entry.claimant(), able).is_some()
    }

    /// The younger rivals, one of which may become the holder when this schedule goes. Empty if this one was refused: then it
    /// held nothing.
    pub fn younger_rivals(&self, entry: &ScheduleEntry) -> Vec<Key> {
        if entry.refused {
            return Vec::new();
        }
        let (table, gone) = (self.read(), entry.claimant());
        let rivals = table.rivals_of(&entry.key.namespace, &gone);
        rivals.into_iter().filter(|other| gone.before(&other.claimant())).map(|other| other.key.clone()).collect()
    }
}

impl Holder {
    fn of(entry: &ScheduleEntry) -> Self {
        Self {
            name: entry.key.name.to_string(),
            tenant: entry.tenant.to_string(),
            server: entry.server.to_string(),
            database: entry.database.to_string(),
            suspended: entry.suspended,
        }
    }
}

impl Table {
    fn holder(
        &self,
        namespace: &str,
        mine: &Claimant<'_>,
        able: impl Fn(&ScheduleEntry) -> bool,
    ) -> Option<&ScheduleEntry> {
        let entries = self.older_rivals(namespace, mine);
        let able = |other: &Claimant<'_>| entries.get(other.name).is_some_and(|entry| entry.may_run() && able(entry));
        let found = holder(mine, entries.values().map(|entry| entry.claimant()).collect(), able)?;
        entries.get(found.name).copied()
    }

    /// The other schedules that claim the same tenant or database.
    fn rivals_of(&self, namespace: &str, mine: &Claimant<'_>) -> Vec<&ScheduleEntry> {
        let mut found: Vec<&ScheduleEntry> = Vec::new();
        let [tenant, database] = claims_of(namespace, mine);
        for hash in [tenant, database] {
            // Hashes may collide, and a schedule that claims both is found by its tenant only.
            let matching = self.by_claim(hash).filter(|entry| {
                let claims = entry.claimant();
                *entry.key.namespace == *namespace
                    && claims.name != mine.name
                    && if hash == tenant { claims.tenant == mine.tenant } else { claims.same_database(mine) }
            });
            found.extend(matching.filter(|entry| hash == tenant || entry.claimant().tenant != mine.tenant));
        }
        found
    }

    /// The older rivals of a schedule, their older rivals, and so on, by name. Each claim is walked once: a thousand schedules
    /// of one database are a thousand steps, not a million.
    fn older_rivals(&self, namespace: &str, mine: &Claimant<'_>) -> HashMap<&str, &ScheduleEntry> {
        let mut found = HashMap::new();
        let mut open = Vec::from(claims_of(namespace, mine));
        let mut walked: HashSet<u64> = open.iter().copied().collect();
        while let Some(hash) = open.pop() {
            for entry in self.by_claim(hash).filter(|entry| *entry.key.namespace == *namespace) {
                if entry.claimant().before(mine) && found.insert(&*entry.key.name, entry).is_none() {
                    open.extend(claims(entry).into_iter().filter(|hash| walked.insert(*hash)));
                }
            }
        }
        found
    }

    fn by_claim(&self, hash: u64) -> impl Iterator<Item = &ScheduleEntry> {
        self.claims.range((hash, 0)..=(hash, u32::MAX)).filter_map(|(_, place)| self.entry(*place))
    }
}

impl ScheduleEntry {
    /// What it claims, and since when: the input of the rule in `core::rivals`.
    fn claimant(&self) -> Claimant<'_> {
        Claimant {
            created: self.created,
            name: &self.key.name,
            tenant: &self.tenant,
            server: &self.server,
            database: &self.database,
        }
    }
}

fn claimant_of(object: &BackupSchedule) -> Claimant<'_> {
    Claimant {
        created: created(&object.metadata),
        name: object.metadata.name.as_deref().unwrap_or_default(),
        tenant: &object.spec.tenant.id,
        server: &object.spec.database.server_ref.name,
        database: &object.spec.database.name,
    }
}

/// The claims of a schedule, as the index stores them.
fn claims_of(namespace: &str, mine: &Claimant<'_>) -> [u64; 2] {
    [claim(namespace, &["tenant", mine.tenant]), claim(namespace, &["database", mine.server, mine.database])]
}
