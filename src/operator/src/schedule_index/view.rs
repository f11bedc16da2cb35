//! The fleet in numbers of a fixed count, whatever its size: for a storage's status, for metrics.

use super::{ScheduleEntry, Table};
use chrono::{DateTime, TimeDelta, Utc};
use sennight_api::ConditionStatus;
use sennight_api::backup_storage::{ScheduleSummary as Summary, TroubledSchedule};

/// Schedules that a summary names.
pub const WORST: usize = 20;
/// Upper ends of the ages that are told apart, in hours, and their labels.
const HOURS: [(i64, &str); 6] = [(6, "6h"), (12, "12h"), (24, "24h"), (26, "26h"), (48, "48h"), (168, "168h")];

/// The schedules that write to a storage, counted.
pub fn summary(table: &Table, namespace: &str, storage: &str, now: DateTime<Utc>) -> Summary {
    let mut summary = Summary { counted_at: Some(now), ..Summary::default() };
    let mut worst: Vec<&ScheduleEntry> = Vec::new();
    let rows = table.rows.iter().flatten().map(|held| &held.row);
    for row in rows.filter(|row| *row.key.namespace == *namespace && *row.storage == *storage) {
        add(&mut summary, row);
        if row.troubled() {
            let place = worst.partition_point(|kept| rank(kept) < rank(row));
            if place < WORST {
                worst.insert(place, row);
                worst.truncate(WORST);
            }
        }
    }
    summary.worst = worst.into_iter().map(trouble).collect();
    summary
}

fn add(summary: &mut Summary, row: &ScheduleEntry) {
    summary.schedules += 1;
    summary.suspended += i32::from(row.suspended);
    summary.suspicious += i32::from(row.suspicious);
    summary.failing += i32::from(row.failures > 0);
    summary.held += i32::from(row.backups.1);
    summary.backups += i64::from(row.backups.0);
    summary.bytes += row.bytes;
    summary.newest = summary.newest.max(row.last_backup);
    let waits = row.fresh == ConditionStatus::Unknown && !row.suspended;
    summary.unknown += i32::from(waits);
    match row.fresh {
        ConditionStatus::True => summary.fresh += 1,
        ConditionStatus::False => summary.stale += 1,
        ConditionStatus::Unknown => {}
    }
    summary.troubled += i32::from(row.troubled());
}

/// No backup at all first, then the oldest, then by name.
fn rank(row: &ScheduleEntry) -> (Option<DateTime<Utc>>, &str) {
    (row.last_backup, &row.key.name)
}

fn trouble(row: &ScheduleEntry) -> TroubledSchedule {
    TroubledSchedule {
        name: row.key.name.to_string(),
        tenant: row.tenant.to_string(),
        last_backup: row.last_backup,
        failures: row.failures,
        why: row.why.to_string(),
    }
}

/// How old the newest backups are, how many slots have passed without a run, and since when the first of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ages {
    counts: [i64; HOURS.len()],
    older: i64,
    none: i64,
    /// Age of the oldest newest backup of a tenant that is not suspended.
    pub oldest: Option<TimeDelta>,
    /// Tenants whose slot has come and whose run is not done.
    pub due: i64,
    /// How long ago the first of these slots was.
    pub lag: Option<TimeDelta>,
    /// Tenants whose last run failed.
    pub failing: i64,
}

impl Ages {
    /// Counts one.
    pub fn add(&mut self, row: &ScheduleEntry, now: DateTime<Utc>) {
        self.failing += i64::from(row.failures > 0);
        if row.suspended {
            return;
        }
        if let Some(next) = row.next.filter(|next| *next <= now) {
            self.due += 1;
            self.lag = self.lag.max(Some(now - next));
        }
        let Some(age) = row.last_backup.map(|at| now - at) else {
            self.none += 1;
            return;
        };
        self.oldest = self.oldest.max(Some(age));
        match HOURS.iter().position(|(hours, _)| age <= TimeDelta::hours(*hours)) {
            Some(place) => self.counts[place] += 1,
            None => self.older += 1,
        }
    }

    /// Tenants that are not suspended, by the age of their newest backup: at most so much, and more than the label before.
    pub fn labelled(&self) -> impl Iterator<Item = (&'static str, i64)> + '_ {
        let counted = HOURS.iter().zip(self.counts).map(|((_, label), count)| (*label, count));
        counted.chain([("older", self.older), ("none", self.none)])
    }
}
