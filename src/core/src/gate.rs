//! May a RestoreRequest be served? An ordered list of checks: the first refusal is the condition's reason and message.
//! What is not known refuses. Whether its Job may run is decided in `rules`, whether it can be undone in `undo`.

mod rules;
pub mod undo;

pub use rules::{Approval, FourEyes, Payment, RunInputs, RunRefusal, SameReference, may_run, reference_holder};

use super::manifest::TenantIdentity;
use super::names::BackupId;
use super::schedule::within_retention;
use chrono::NaiveDate;

/// What a RestoreRequest asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::Display, strum::EnumString)]
pub enum Mode {
    /// CSV files out of a backup; live data untouched.
    CrmExport,
    /// The whole database goes back.
    FullRestore,
    /// The previous database of an earlier FullRestore comes back.
    Undo,
}

/// Which backup a RestoreRequest asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestedBackup {
    /// The newest backup of a local day.
    Day(NaiveDate),
    /// The backup with this id.
    Id(BackupId),
}

/// A backup of the schedule, as the bucket lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupCandidate {
    /// Id of the backup.
    pub id: BackupId,
    /// Local day of its snapshot in the schedule's zone.
    pub day: NaiveDate,
    /// Whose data it is, from its manifest.
    pub identity: TenantIdentity,
}

/// What the checks need of the BackupSchedule that the request names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleFacts {
    /// User id of the account owner.
    pub owner: String,
    /// Identity that a backup's manifest must have.
    pub identity: TenantIdentity,
    /// Today in the schedule's zone.
    pub today: NaiveDate,
    /// Whether the server has restore credentials.
    pub can_restore: bool,
}

/// Everything that decides whether a request can be served at all.
#[derive(Debug, Clone)]
pub struct GateInputs<'a> {
    /// `spec.mode`.
    pub mode: Mode,
    /// Day or id of the backup that is asked for.
    pub wanted: &'a RequestedBackup,
    /// `spec.requester.userId`.
    pub requester: &'a str,
    /// Name of the schedule in the request.
    pub schedule_name: &'a str,
    /// The schedule, if it exists.
    pub schedule: Option<&'a ScheduleFacts>,
    /// A DatabaseServer or BackupStorage that the schedule names and that does not exist.
    pub missing_reference: Option<&'a str>,
    /// Name of another request of the same schedule that came first and has not ended.
    pub active_request: Option<&'a str>,
    /// `retention.days` of the BackupStorage.
    pub retention_days: i32,
    /// The backups, newest first; an error is why they could not be listed.
    pub backups: Result<&'a [BackupCandidate], &'a str>,
    /// The backup that was pinned earlier: another one is never chosen.
    pub pinned: Option<&'a BackupCandidate>,
}

/// Why a request cannot be served. The variant's name is the reason of Eligible, the Event's and the metric's label.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, strum::IntoStaticStr)]
pub enum GateRefusal {
    /// No such schedule (any more).
    #[error("BackupSchedule {0:?} does not exist in this namespace: correct spec.scheduleRef.name in a new request")]
    ScheduleGone(String),
    /// What the schedule names may be put back, as a repository of manifests does: nothing ends for that.
    #[error("{0}, which the BackupSchedule names, does not exist in this namespace: create it again")]
    ReferenceGone(String),
    /// The ticket is not the owner's.
    #[error(
        "user {requester:?} is not the account owner ({owner:?}): only the owner's ticket can lead to a restore; \
         create a new request with the owner's user id"
    )]
    NotAccountOwner {
        /// User id in the request.
        requester: String,
        /// User id of the account owner.
        owner: String,
    },
    /// Another request of this tenant is open.
    #[error("RestoreRequest {0:?} of the same tenant has not ended: wait for it, deny it or delete it")]
    ActiveRequestExists(String),
    /// FullRestore needs rights that dumps do not.
    #[error(
        "the DatabaseServer has no restoreCredentialsSecretRef: a FullRestore is refused; add it, or ask for a CrmExport"
    )]
    NoRestoreCredentials,
    /// The day has not come yet.
    #[error("{date} is later than today ({today} in the schedule's time zone): ask for a day that has passed")]
    DateInFuture {
        /// The day asked for.
        date: NaiveDate,
        /// Today.
        today: NaiveDate,
    },
    /// Backups of that day have expired.
    #[error("{date} is more than {days} days back: backups are kept {days} days and are gone after that")]
    OlderThanRetention {
        /// The day asked for.
        date: NaiveDate,
        /// Days that backups are kept.
        days: i32,
    },
    /// That day has no backup; another day's is never taken instead.
    #[error("there is no backup of {wanted}; days with a backup: {have}")]
    NoBackupOfThatDay {
        /// What was asked for.
        wanted: String,
        /// Days that have a backup.
        have: String,
    },
    /// The backup is another tenant's (I7).
    #[error("{0}")]
    AnotherTenantsBackup(String),
    /// The bucket could not be listed; the check is repeated.
    #[error("the catalogue cannot be read: {0}")]
    CatalogueUnknown(String),
}

impl GateRefusal {
    /// Reason of the condition Eligible, in CamelCase.
    pub fn reason(&self) -> &'static str {
        self.into()
    }

    /// Whether waiting could change it. Everything else ends the request.
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::CatalogueUnknown(_) | Self::ReferenceGone(_))
    }
}

type Check = fn(&GateInputs<'_>) -> Option<GateRefusal>;

/// In the order in which people should hear of it: who asks, what is asked, which backup.
const CHECKS: &[Check] = &[
    schedule_exists,
    references_exist,
    requester_is_owner,
    no_active_request,
    has_restore_credentials,
    day_is_kept,
    same_tenant,
];

// A schedule whose server or storage is missing counts as absent, too: `references_exist` has the better message for that.
fn schedule_exists(e: &GateInputs<'_>) -> Option<GateRefusal> {
    (e.schedule.is_none() && e.missing_reference.is_none())
        .then(|| GateRefusal::ScheduleGone(e.schedule_name.to_owned()))
}

fn references_exist(e: &GateInputs<'_>) -> Option<GateRefusal> {
    e.missing_reference.map(|what| GateRefusal::ReferenceGone(what.to_owned()))
}

fn requester_is_owner(e: &GateInputs<'_>) -> Option<GateRefusal> {
    let owner = &e.schedule?.owner;
    (owner != e.requester)
        .then(|| GateRefusal::NotAccountOwner { requester: e.requester.to_owned(), owner: owner.clone() })
}

fn no_active_request(e: &GateInputs<'_>) -> Option<GateRefusal> {
    e.active_request.map(|name| GateRefusal::ActiveRequestExists(name.to_owned()))
}

fn has_restore_credentials(e: &GateInputs<'_>) -> Option<GateRefusal> {
    (e.mode != Mode::CrmExport && !e.schedule?.can_restore).then_some(GateRefusal::NoRestoreCredentials)
}

fn day_is_kept(e: &GateInputs<'_>) -> Option<GateRefusal> {
    // A pinned backup is held: it may be older than the retention.
    let (RequestedBackup::Day(date), None) = (e.wanted, e.pinned) else {
        return None;
    };
    let today = e.schedule?.today;
    if *date > today {
        return Some(GateRefusal::DateInFuture { date: *date, today });
    }
    (!within_retention(*date, today, e.retention_days))
        .then_some(GateRefusal::OlderThanRetention { date: *date, days: e.retention_days })
}

// guard(i7_another_tenants_backup_is_refused_by_each_identity_field, = None): another tenant's backup is refused
fn same_tenant(e: &GateInputs<'_>) -> Option<GateRefusal> {
    let found = &e.pinned?.identity;
    let difference = e.schedule?.identity.first_difference(found)?;
    Some(GateRefusal::AnotherTenantsBackup(difference.to_string()))
}

/// The backup that serves the request, or the first reason why none does.
pub fn resolve(inputs: &GateInputs<'_>) -> Result<BackupCandidate, GateRefusal> {
    if let Some(refusal) = CHECKS.iter().find_map(|check| check(inputs)) {
        return Err(refusal);
    }
    if let Some(pinned) = inputs.pinned {
        return Ok(pinned.clone());
    }
    let backups = inputs.backups.map_err(|why| GateRefusal::CatalogueUnknown(why.to_owned()))?;
    let (wanted, hit) = match inputs.wanted {
        RequestedBackup::Day(day) => (day.to_string(), backups.iter().find(|c| c.day == *day)),
        RequestedBackup::Id(id) => (id.to_string(), backups.iter().find(|c| c.id == *id)),
    };
    let Some(backup) = hit else {
        let days: Vec<String> = backups.iter().map(|c| c.day.to_string()).collect();
        let have = if days.is_empty() { "none".to_owned() } else { days.join(", ") };
        return Err(GateRefusal::NoBackupOfThatDay { wanted, have });
    };
    // Asked before the backup is pinned as well: the list comes from a bucket that others may be able to write to (I7).
    same_tenant(&GateInputs { pinned: Some(backup), ..inputs.clone() }).map_or_else(|| Ok(backup.clone()), Err)
}

#[cfg(test)]
mod tests;
