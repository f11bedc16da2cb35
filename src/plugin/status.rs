//! `status`: is everybody backed up? From the BackupSchedules' status, page by page, on one screen.

use super::args::{ClusterArgs, Form, StatusArgs};
use super::cluster::Cluster;
use super::error::PluginError;
use super::output::{Io, table};
use super::words::{bytes, count, span};
use crate::api::conditions::{ConditionStatus, ScheduleCondition, find, is_true};
use crate::api::{BackupSchedule, BackupScheduleStatus};
use chrono::{DateTime, Utc};
use kube::ResourceExt;
use serde::Serialize;

/// The fleet in numbers, and who needs a look first.
#[derive(Debug, Default, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Fleet {
    /// All BackupSchedules.
    pub tenants: i64,
    /// Of these, suspended.
    pub suspended: i64,
    /// Their newest copy is as young as the schedule says.
    pub backed_up: i64,
    /// It is not, or there is none.
    pub not_backed_up: i64,
    /// It cannot be told: suspended, or not looked at yet.
    pub unknown: i64,
    /// The newest copy is suspiciously small.
    pub suspicious: i64,
    /// The last run failed.
    pub failing: i64,
    /// All copies.
    pub copies: i64,
    /// Bytes of all copies.
    pub bytes: i64,
    /// Snapshot time of the newest copy of all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub newest: Option<DateTime<Utc>>,
    /// Who needs a look first, the worst first; at most `--limit`.
    pub look_at: Vec<Trouble>,
}

/// A tenant that needs a look.
#[derive(Debug, Clone, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Trouble {
    /// Namespace of the BackupSchedule.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The tenant.
    pub tenant: String,
    /// Snapshot time of the newest copy.
    pub last_copy: Option<DateTime<Utc>>,
    /// Failed runs since.
    pub failures: i32,
    /// What is wrong, in CamelCase.
    pub why: String,
}

impl Trouble {
    /// No copy at all first, then the oldest, then by name.
    fn rank(&self) -> (Option<DateTime<Utc>>, &str, &str) {
        (self.last_copy, &self.namespace, &self.name)
    }
}

impl Fleet {
    /// Counts one schedule; keeps the `limit` worst.
    pub fn add(&mut self, schedule: &BackupSchedule, limit: usize) {
        let status = schedule.status.clone().unwrap_or_default();
        let fresh = find(&status.conditions, ScheduleCondition::Fresh);
        let suspicious = is_true(&status.conditions, ScheduleCondition::Suspicious);
        let failures = status.consecutive_failures.unwrap_or(0);
        self.tenants += 1;
        self.suspended += i64::from(schedule.spec.suspend);
        self.suspicious += i64::from(suspicious);
        self.failing += i64::from(failures > 0);
        self.copies += i64::try_from(status.recovery_points.len()).unwrap_or(i64::MAX);
        self.bytes += status.recovery_points.iter().map(|point| point.bytes).sum::<i64>();
        self.newest = self.newest.max(status.last_successful_time);
        let bad = match fresh.map(|condition| condition.status) {
            Some(ConditionStatus::True) => {
                self.backed_up += 1;
                suspicious || failures > 0
            }
            Some(ConditionStatus::False) => {
                self.not_backed_up += 1;
                true
            }
            Some(ConditionStatus::Unknown) | None => {
                self.unknown += 1;
                !schedule.spec.suspend
            }
        };
        if bad && limit > 0 {
            self.keep(trouble(schedule, &status, suspicious), limit);
        }
    }

    fn keep(&mut self, trouble: Trouble, limit: usize) {
        let place = self.look_at.partition_point(|kept| kept.rank() < trouble.rank());
        if place < limit {
            self.look_at.insert(place, trouble);
            self.look_at.truncate(limit);
        }
    }

    /// Whether every tenant that is not suspended has a young copy that nobody suspects.
    pub fn is_well(&self) -> bool {
        self.not_backed_up == 0 && self.suspicious == 0 && self.unknown <= self.suspended
    }
}

fn trouble(schedule: &BackupSchedule, status: &BackupScheduleStatus, suspicious: bool) -> Trouble {
    let fresh = find(&status.conditions, ScheduleCondition::Fresh);
    let why = match (&status.last_failure, fresh) {
        (Some(failure), _) => failure.reason.clone(),
        (None, _) if suspicious => "Suspicious".to_owned(),
        (None, Some(fresh)) => fresh.reason.clone(),
        (None, None) => "NotLookedAtYet".to_owned(),
    };
    Trouble {
        namespace: schedule.namespace().unwrap_or_default(),
        name: schedule.name_any(),
        tenant: schedule.spec.tenant.id.clone(),
        last_copy: status.last_successful_time,
        failures: status.consecutive_failures.unwrap_or(0),
        why,
    }
}

/// Counts and prints.
pub async fn run(args: &ClusterArgs, status: &StatusArgs, io: &mut Io<'_>) -> Result<(), PluginError> {
    let cluster = Cluster::connect(args).await?;
    let mut fleet = Fleet::default();
    cluster.schedules(status.all_namespaces, &status.selector, |schedule| fleet.add(schedule, status.limit)).await?;
    match status.output {
        Form::Table => io.say(&text(&fleet, Utc::now()))?,
        Form::Name => {
            fleet.look_at.iter().try_for_each(|t| io.say(&format!("backupschedule.sennight.dev/{}", t.name)))?;
        }
        form => io.object(&fleet, form)?,
    }
    if status.exit_code && !fleet.is_well() {
        return Err(PluginError::NotBackedUp);
    }
    Ok(())
}

/// One screen.
pub fn text(fleet: &Fleet, now: DateTime<Utc>) -> String {
    let newest = fleet.newest.map_or_else(|| "none yet".to_owned(), |at| format!("{} ago", span(now - at)));
    let lines = [
        ("Tenants", format!("{} ({} suspended)", count(fleet.tenants), count(fleet.suspended))),
        ("Backed up", count(fleet.backed_up)),
        ("Not backed up", count(fleet.not_backed_up)),
        ("Not known", count(fleet.unknown)),
        ("Suspicious", format!("{} (far fewer rows or tables than before)", count(fleet.suspicious))),
        ("Failing", format!("{} (failed since their last copy)", count(fleet.failing))),
        ("Copies", format!("{}, {}; the newest was taken {newest}", count(fleet.copies), bytes(fleet.bytes))),
    ];
    let line = |(label, value): (&str, String)| format!("{:<15}{value}\n", format!("{label}:"));
    let text: String = lines.into_iter().map(line).collect();
    if fleet.tenants == 0 {
        return text + "\nThere is no BackupSchedule here: nobody is backed up.\n";
    }
    if fleet.look_at.is_empty() {
        return text + "\nEverybody is backed up.\n";
    }
    let row = |t: &Trouble| {
        let last = t.last_copy.map_or_else(|| "never".to_owned(), |at| format!("{} ago", span(now - at)));
        let (namespace, name) = (t.namespace.clone(), t.name.clone());
        vec![namespace, name, t.tenant.clone(), last, t.failures.to_string(), t.why.clone()]
    };
    let rows: Vec<Vec<String>> = fleet.look_at.iter().map(row).collect();
    text + "\n" + &table(&["NAMESPACE", "NAME", "TENANT", "LAST-COPY", "FAILURES", "WHY"], &rows)
}
