//! `status`: is everybody backed up? From the counts in the BackupStorages' status where they are recent and complete, else
//! from every BackupSchedule, page by page.

use super::args::{ClusterArgs, Form, StatusArgs};
use super::cluster::Cluster;
use super::error::PluginError;
use super::output::{Io, table};
use chrono::{DateTime, TimeDelta, Utc};
use kube::ResourceExt;
use sennight_api::conditions::{ConditionStatus, ScheduleCondition, find, is_true};
use sennight_api::{BackupSchedule, BackupScheduleStatus, BackupStorage};
use sennight_present::words::{bytes, count, span};
use serde::Serialize;

/// All BackupSchedules in numbers, and those that need attention.
#[derive(Debug, Default, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Overview {
    /// All BackupSchedules.
    pub tenants: i64,
    /// Of these, suspended.
    pub suspended: i64,
    /// Their newest backup is as young as the schedule says.
    pub backed_up: i64,
    /// It is not, or there is none.
    pub not_backed_up: i64,
    /// Not known: suspended, or not processed by the operator yet.
    pub unknown: i64,
    /// The newest backup is suspiciously small.
    pub suspicious: i64,
    /// The last run failed.
    pub failing: i64,
    /// All backups.
    pub backups: i64,
    /// Bytes of all backups.
    pub bytes: i64,
    /// Snapshot time of the newest backup of all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub newest: Option<DateTime<Utc>>,
    /// When the operator counted this; absent where every BackupSchedule was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counted_at: Option<DateTime<Utc>>,
    /// Tenants that need attention, the worst first; at most `--limit`.
    pub look_at: Vec<TroubledTenant>,
}

/// The operator counts at least every ten minutes; an older count is not used.
const MAX_COUNT_AGE: TimeDelta = TimeDelta::minutes(15);

/// A tenant that needs attention.
#[derive(Debug, Clone, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct TroubledTenant {
    /// Namespace of the BackupSchedule.
    pub namespace: String,
    /// Name of the BackupSchedule.
    pub name: String,
    /// Id of the tenant.
    pub tenant: String,
    /// Snapshot time of the newest backup.
    pub last_backup: Option<DateTime<Utc>>,
    /// Failed runs since that backup.
    pub failures: i32,
    /// What is wrong, in CamelCase.
    pub why: String,
}

impl TroubledTenant {
    /// No backup at all first, then the oldest, then by name.
    fn rank(&self) -> (Option<DateTime<Utc>>, &str, &str) {
        (self.last_backup, &self.namespace, &self.name)
    }
}

impl Overview {
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
        self.backups += i64::try_from(status.backups.len()).unwrap_or(i64::MAX);
        self.bytes += status.backups.iter().map(|backup| backup.bytes).sum::<i64>();
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

    fn keep(&mut self, trouble: TroubledTenant, limit: usize) {
        let place = self.look_at.partition_point(|other| other.rank() < trouble.rank());
        if place < limit {
            self.look_at.insert(place, trouble);
            self.look_at.truncate(limit);
        }
    }

    /// Adds up the operator's counts. `None` if one is too old, or lists fewer troubled schedules than `limit` asks for.
    pub fn counted(storages: &[BackupStorage], limit: usize, now: DateTime<Utc>) -> Option<Self> {
        let mut sum = Self::default();
        for storage in storages {
            let summary = storage.status.as_ref()?.summary.as_ref()?;
            // In both directions: by a clock that is far behind, every count would look fresh.
            let counted = summary.counted_at.filter(|at| (now - *at).abs() < MAX_COUNT_AGE)?;
            let named = summary.worst.len();
            // The operator names twenty; whoever asks for more must be shown all of them.
            if named < usize::try_from(summary.troubled).unwrap_or(usize::MAX).min(limit) {
                return None;
            }
            // The oldest of all counts is as old as their sum.
            sum.counted_at = Some(sum.counted_at.map_or(counted, |at| at.min(counted)));
            sum.tenants += i64::from(summary.schedules);
            sum.suspended += i64::from(summary.suspended);
            sum.backed_up += i64::from(summary.fresh);
            sum.not_backed_up += i64::from(summary.stale);
            sum.unknown += i64::from(summary.schedules - summary.fresh - summary.stale);
            sum.suspicious += i64::from(summary.suspicious);
            sum.failing += i64::from(summary.failing);
            sum.backups += summary.backups;
            sum.bytes += summary.bytes;
            sum.newest = sum.newest.max(summary.newest);
            for worst in &summary.worst {
                let trouble = TroubledTenant {
                    namespace: storage.namespace().unwrap_or_default(),
                    name: worst.name.clone(),
                    tenant: worst.tenant.clone(),
                    last_backup: worst.last_backup,
                    failures: worst.failures,
                    why: worst.why.clone(),
                };
                sum.keep(trouble, limit);
            }
        }
        (!storages.is_empty()).then_some(sum)
    }

    /// Whether every tenant that is not suspended has a fresh backup that is not suspicious.
    pub fn is_well(&self) -> bool {
        self.not_backed_up == 0 && self.suspicious == 0 && self.unknown <= self.suspended
    }
}

fn trouble(schedule: &BackupSchedule, status: &BackupScheduleStatus, suspicious: bool) -> TroubledTenant {
    let fresh = find(&status.conditions, ScheduleCondition::Fresh);
    // A schedule that is refused (Duplicate, ServerMissing) says why in Ready only.
    let refused = find(&status.conditions, ScheduleCondition::Ready).filter(|ready| !ready.is_true());
    let why = match (&status.last_failure, refused, fresh) {
        (Some(failure), ..) => failure.reason.clone(),
        (None, Some(ready), _) => ready.reason.clone(),
        (None, None, _) if suspicious => "Suspicious".to_owned(),
        (None, None, Some(fresh)) => fresh.reason.clone(),
        (None, None, None) => "NotLookedAtYet".to_owned(),
    };
    TroubledTenant {
        namespace: schedule.namespace().unwrap_or_default(),
        name: schedule.name_any(),
        tenant: schedule.spec.tenant.id.clone(),
        last_backup: status.last_successful_time,
        failures: status.consecutive_failures.unwrap_or(0),
        why,
    }
}

/// Runs `status`.
pub async fn run(args: &ClusterArgs, status: &StatusArgs, io: &mut Io<'_>) -> Result<(), PluginError> {
    let cluster = Cluster::connect(args).await?;
    let overview = match counted(&cluster, status).await? {
        Some(overview) => overview,
        None => read(&cluster, status).await?,
    };
    match status.output {
        Form::Table => io.say(&text(&overview, Utc::now()))?,
        Form::Name => {
            overview.look_at.iter().try_for_each(|t| io.say(&format!("backupschedule.sennight.dev/{}", t.name)))?;
        }
        form => io.object(&overview, form)?,
    }
    if status.exit_code && !overview.is_well() {
        return Err(PluginError::NotBackedUp);
    }
    Ok(())
}

/// The operator's counts, if they cover all BackupSchedules: one whose BackupStorage is missing is in no count.
async fn counted(cluster: &Cluster, status: &StatusArgs) -> Result<Option<Overview>, PluginError> {
    if status.exact || !status.selector.is_empty() {
        return Ok(None);
    }
    let Some(storages) = cluster.storages(status.all_namespaces).await else { return Ok(None) };
    let Some(overview) = Overview::counted(&storages, status.limit, Utc::now()) else { return Ok(None) };
    Ok((cluster.schedules_number(status.all_namespaces).await? == overview.tenants).then_some(overview))
}

/// Counts by reading every BackupSchedule.
async fn read(cluster: &Cluster, status: &StatusArgs) -> Result<Overview, PluginError> {
    let mut overview = Overview::default();
    cluster.schedules(status.all_namespaces, &status.selector, |schedule| overview.add(schedule, status.limit)).await?;
    Ok(overview)
}

/// The overview as text.
pub fn text(overview: &Overview, now: DateTime<Utc>) -> String {
    let newest = overview.newest.map_or_else(|| "none yet".to_owned(), |at| format!("{} ago", span(now - at)));
    let lines = [
        ("Tenants", format!("{} ({} suspended)", count(overview.tenants), count(overview.suspended))),
        ("Backed up", count(overview.backed_up)),
        ("Not backed up", count(overview.not_backed_up)),
        ("Not known", count(overview.unknown)),
        ("Suspicious", format!("{} (far fewer rows or tables than before)", count(overview.suspicious))),
        ("Failing", format!("{} (failed since their last backup)", count(overview.failing))),
        ("Backups", format!("{}, {}; the newest was taken {newest}", count(overview.backups), bytes(overview.bytes))),
    ];
    let line = |(label, value): (&str, String)| format!("{:<15}{value}\n", format!("{label}:"));
    let mut text: String = lines.into_iter().map(line).collect();
    if let Some(at) = overview.counted_at {
        text +=
            &line(("Counted", format!("{} ago by the operator (--exact reads every BackupSchedule)", span(now - at))));
    }
    if overview.tenants == 0 {
        return text + "\nThere is no BackupSchedule here: nobody is backed up.\n";
    }
    if overview.look_at.is_empty() {
        return text + "\nEverybody is backed up.\n";
    }
    let row = |t: &TroubledTenant| {
        let last = t.last_backup.map_or_else(|| "never".to_owned(), |at| format!("{} ago", span(now - at)));
        let (namespace, name) = (t.namespace.clone(), t.name.clone());
        vec![namespace, name, t.tenant.clone(), last, t.failures.to_string(), t.why.clone()]
    };
    let rows: Vec<Vec<String>> = overview.look_at.iter().map(row).collect();
    text + "\n" + &table(&["NAMESPACE", "NAME", "TENANT", "LAST-BACKUP", "FAILURES", "WHY"], &rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_schedule_that_is_refused_says_why_and_not_that_nobody_has_looked() {
        let why = |conditions: serde_json::Value| {
            let object: BackupSchedule = serde_json::from_value(json!({
                "apiVersion": "sennight.dev/v1alpha1", "kind": "BackupSchedule", "metadata": {"name": "s", "namespace": "n"},
                "spec": {
                    "tenant": {"id": "t", "owner": "1", "plan": {"name": "free"}},
                    "database": {"serverRef": {"name": "pg"}, "name": "d"}, "storageRef": {"name": "b"}
                },
                "status": {"conditions": conditions}
            }))
            .unwrap();
            trouble(&object, object.status.as_ref().unwrap(), false).why
        };
        let ready = |status: &str, reason: &str| json!({"type": "Ready", "status": status, "reason": reason});
        let stale = json!({"type": "Fresh", "status": "False", "reason": "BackupIsStale"});
        assert_eq!(why(json!([])), "NotLookedAtYet");
        assert_eq!(why(json!([ready("False", "Duplicate")])), "Duplicate");
        assert_eq!(why(json!([ready("False", "Duplicate"), stale])), "Duplicate");
        assert_eq!(why(json!([ready("True", "Scheduled"), stale])), "BackupIsStale");
    }
}
