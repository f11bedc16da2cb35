//! Which schedules claim the same tenant or database as another one, and which of them keeps it. Found by the table's index:
//! a schedule that has no rival costs two look-ups, however many schedules there are.

use super::{Key, ScheduleEntry, ScheduleIndex, Table, claim, claims};
use chrono::{DateTime, Utc};
use sennight_api::BackupSchedule;
use sennight_api::convert::instant;
use sennight_core::rivals::{Claimant, holder};
use std::collections::{HashMap, HashSet};

/// The schedules that claim what one schedule claims.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rivals {
    /// All of them.
    pub all: Vec<Key>,
    /// How many of them are older: only these can keep anything from it.
    pub older: usize,
    /// Those that name the same database.
    pub of_database: Vec<Key>,
    /// The one that keeps it.
    pub holder: Option<Holder>,
}

/// A schedule that keeps what another one claims, too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its name.
    pub name: String,
    /// Its tenant.
    pub tenant: String,
    /// Its database's server.
    pub server: String,
    /// Its database.
    pub database: String,
    /// Nobody dumps it: its `spec.suspend` is true.
    pub suspended: bool,
}

impl ScheduleIndex {
    /// The rivals of a schedule. `able` tells whether what a schedule names is there; that its own spec makes sense and that
    /// it is not being deleted is known here.
    pub fn rivals(&self, object: &BackupSchedule, able: impl Fn(&ScheduleEntry) -> bool) -> Rivals {
        let table = self.read();
        let namespace = object.metadata.namespace.as_deref().unwrap_or_default();
        let mine = claimant_of(object);
        let rivals = table.meeting(namespace, &mine);
        if rivals.is_empty() {
            return Rivals::default();
        }
        let same = rivals.iter().filter(|row| row.claimant().same_database(&mine));
        Rivals {
            older: rivals.iter().filter(|row| row.claimant().before(&mine)).count(),
            all: rivals.iter().map(|row| row.key.clone()).collect(),
            of_database: same.map(|row| row.key.clone()).collect(),
            holder: table.holder(namespace, &mine, able).map(Holder::of),
        }
    }

    /// Whether another one keeps what this one claims.
    pub fn is_kept(&self, row: &ScheduleEntry, able: impl Fn(&ScheduleEntry) -> bool) -> bool {
        self.read().holder(&row.key.namespace, &row.claimant(), able).is_some()
    }

    /// Those that may keep what this one does not any more: its younger rivals. None, if it kept nothing.
    pub fn heirs(&self, row: &ScheduleEntry) -> Vec<Key> {
        if row.refused {
            return Vec::new();
        }
        let (table, gone) = (self.read(), row.claimant());
        let rivals = table.meeting(&row.key.namespace, &gone);
        rivals.into_iter().filter(|other| gone.before(&other.claimant())).map(|other| other.key.clone()).collect()
    }
}

impl Holder {
    fn of(row: &ScheduleEntry) -> Self {
        Self {
            name: row.key.name.to_string(),
            tenant: row.tenant.to_string(),
            server: row.server.to_string(),
            database: row.database.to_string(),
            suspended: row.suspended,
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
        let rows = self.company(namespace, mine);
        let able = |other: &Claimant<'_>| rows.get(other.name).is_some_and(|row| row.may_run() && able(row));
        let kept = holder(mine, rows.values().map(|row| row.claimant()).collect(), able)?;
        rows.get(kept.name).copied()
    }

    /// The other schedules that claim the same tenant or database.
    fn meeting(&self, namespace: &str, mine: &Claimant<'_>) -> Vec<&ScheduleEntry> {
        let mut found: Vec<&ScheduleEntry> = Vec::new();
        let [tenant, database] = both(namespace, mine);
        for hash in [tenant, database] {
            // Hashes may meet, and one that claims both is found by the tenant.
            let here = self.by_claim(hash).filter(|row| {
                let claims = row.claimant();
                *row.key.namespace == *namespace
                    && claims.name != mine.name
                    && if hash == tenant { claims.tenant == mine.tenant } else { claims.same_database(mine) }
            });
            found.extend(here.filter(|row| hash == tenant || row.claimant().tenant != mine.tenant));
        }
        found
    }

    /// The older rivals of a schedule, their older rivals, and so on, by name. Each claim is walked once: a thousand schedules
    /// of one database are a thousand steps, not a million.
    fn company(&self, namespace: &str, mine: &Claimant<'_>) -> HashMap<&str, &ScheduleEntry> {
        let mut found = HashMap::new();
        let mut open = Vec::from(both(namespace, mine));
        let mut walked: HashSet<u64> = open.iter().copied().collect();
        while let Some(hash) = open.pop() {
            for row in self.by_claim(hash).filter(|row| *row.key.namespace == *namespace) {
                if row.claimant().before(mine) && found.insert(&*row.key.name, row).is_none() {
                    open.extend(claims(row).into_iter().filter(|hash| walked.insert(*hash)));
                }
            }
        }
        found
    }

    fn by_claim(&self, hash: u64) -> impl Iterator<Item = &ScheduleEntry> {
        self.claims.range((hash, 0)..=(hash, u32::MAX)).filter_map(|(_, place)| self.row(*place))
    }
}

impl ScheduleEntry {
    /// What it claims, and since when.
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
        created: created(object),
        name: object.metadata.name.as_deref().unwrap_or_default(),
        tenant: &object.spec.tenant.id,
        server: &object.spec.database.server_ref.name,
        database: &object.spec.database.name,
    }
}

/// When an object was created.
pub fn created(object: &BackupSchedule) -> Option<DateTime<Utc>> {
    object.metadata.creation_timestamp.as_ref().and_then(instant)
}

fn both(namespace: &str, mine: &Claimant<'_>) -> [u64; 2] {
    [claim(namespace, &["tenant", mine.tenant]), claim(namespace, &["database", mine.server, mine.database])]
}
