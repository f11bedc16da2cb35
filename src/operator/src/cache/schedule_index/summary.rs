//! Counts over all schedules, of a fixed size however many there are: for the status of a BackupStorage and for metrics.

use super::{ScheduleEntry, Table};
use chrono::{DateTime, TimeDelta, Utc};
use sennight_api::ConditionStatus;
use sennight_api::backup_storage::{ScheduleSummary as Summary, TroubledSchedule};

/// Troubled schedules that a summary names.
pub const WORST: usize = 20;
/// Upper bounds of the age classes in hours, and their metric labels.
const HOURS: [(i64, &str); 6] = [(6, "6h"), (12, "12h"), (24, "24h"), (26, "26h"), (48, "48h"), (168, "168h")];

/// Counts the schedules that write to a storage, and names the [`WORST`].
pub fn summary(table: &Table, namespace: &str, storage: &str, now: DateTime<Utc>) -> Summary {
    let mut summary = Summary { counted_at: Some(now), ..Summary::default() };
    let mut worst: Vec<&ScheduleEntry> = Vec::new();
    let entries = table.entries.iter().flatten().map(|indexed| &indexed.entry);
    for entry in entries.filter(|entry| *entry.key.namespace == *namespace && *entry.storage == *storage) {
        add(&mut summary, entry);
        if entry.troubled() {
            let position = worst.partition_point(|other| rank(other) < rank(entry));
            if position < WORST {
                worst.insert(position, entry);
                worst.truncate(WORST);
            }
        }
    }
    summary.worst = worst.into_iter().map(troubled_schedule).collect();
    summary
}

fn add(summary: &mut Summary, entry: &ScheduleEntry) {
    summary.schedules += 1;
    summary.suspended += i32::from(entry.suspended);
    summary.suspicious += i32::from(entry.suspicious);
    summary.failing += i32::from(entry.failures > 0);
    summary.held += i32::from(entry.backups.1);
    summary.backups += i64::from(entry.backups.0);
    summary.bytes += entry.bytes;
    summary.newest = summary.newest.max(entry.last_backup);
    let unknown = entry.fresh == ConditionStatus::Unknown && !entry.suspended;
    summary.unknown += i32::from(unknown);
    match entry.fresh {
        ConditionStatus::True => summary.fresh += 1,
        ConditionStatus::False => summary.stale += 1,
        ConditionStatus::Unknown => {}
    }
    summary.troubled += i32::from(entry.troubled());
}

/// Order of the worst: those without a backup, then by the age of the newest backup, then by name.
fn rank(entry: &ScheduleEntry) -> (Option<DateTime<Utc>>, &str) {
    (entry.last_backup, &entry.key.name)
}

fn troubled_schedule(entry: &ScheduleEntry) -> TroubledSchedule {
    TroubledSchedule {
        name: entry.key.name.to_string(),
        tenant: entry.tenant.to_string(),
        last_backup: entry.last_backup,
        failures: entry.failures,
        why: entry.reason.to_string(),
    }
}

/// Ages of the newest backups, and the slots that have passed without a finished run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BackupAges {
    counts: [i64; HOURS.len()],
    older: i64,
    none: i64,
    /// The largest age of a newest backup, over tenants that are not suspended.
    pub oldest: Option<TimeDelta>,
    /// Tenants whose slot has passed and whose run has not ended.
    pub due: i64,
    /// How long ago the earliest of these slots was.
    pub lag: Option<TimeDelta>,
    /// Tenants whose last run failed.
    pub failing: i64,
}

impl BackupAges {
    /// Counts one schedule.
    pub fn add(&mut self, entry: &ScheduleEntry, now: DateTime<Utc>) {
        self.failing += i64::from(entry.failures > 0);
        if entry.suspended {
            return;
        }
        if let Some(next) = entry.next.filter(|next| *next <= now) {
            self.due += 1;
            self.lag = self.lag.max(Some(now - next));
        }
        let Some(age) = entry.last_backup.map(|at| now - at) else {
            self.none += 1;
            return;
        };
        self.oldest = self.oldest.max(Some(age));
        match HOURS.iter().position(|(hours, _)| age <= TimeDelta::hours(*hours)) {
            Some(class) => self.counts[class] += 1,
            None => self.older += 1,
        }
    }

    /// Tenants that are not suspended, by age class: at most the label's age, and more than the label before.
    pub fn labelled(&self) -> impl Iterator<Item = (&'static str, i64)> + '_ {
        let counted = HOURS.iter().zip(self.counts).map(|((_, label), count)| (*label, count));
        counted.chain([("older", self.older), ("none", self.none)])
    }
}
