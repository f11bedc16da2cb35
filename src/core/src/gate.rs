//! The gate: may this RestoreRequest be served, and may its Job run? Ordered lists of named pure functions; the first
//! refusal is the condition's reason and message. Unknown evidence refuses.

mod rules;
pub mod undo;

pub use rules::{Approval, Closed, FourEyes, Keys, Payment, SameReference, open, reference_holder};

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
pub enum Wanted {
    /// The newest backup of a local day.
    Day(NaiveDate),
    /// Exactly this one.
    Point(BackupId),
}

/// A backup as the catalogue has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupCandidate {
    /// Its id.
    pub id: BackupId,
    /// Its local day.
    pub day: NaiveDate,
    /// Whose it is, as its manifest says.
    pub identity: TenantIdentity,
}

/// The BackupSchedule that a request names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// User id of the account owner.
    pub owner: String,
    /// What a backup's manifest must say.
    pub identity: TenantIdentity,
    /// Today in the schedule's zone.
    pub today: NaiveDate,
    /// Whether the server has restore credentials.
    pub can_restore: bool,
}

/// Everything that decides whether a request can be served at all.
#[derive(Debug, Clone)]
pub struct GateInputs<'a> {
    /// What is asked for.
    pub mode: Mode,
    /// Which backup.
    pub wanted: &'a Wanted,
    /// `spec.requester.userId`.
    pub requester: &'a str,
    /// Name of the schedule in the request.
    pub schedule: &'a str,
    /// The schedule, if it exists.
    pub account: Option<&'a Account>,
    /// A DatabaseServer or BackupStorage that the schedule names and that is not there.
    pub away: Option<&'a str>,
    /// Another request of the same schedule that has not ended and came first.
    pub rival: Option<&'a str>,
    /// `retention.days`.
    pub retention_days: i32,
    /// The backups, newest first; an error is why they could not be listed.
    pub backups: Result<&'a [BackupCandidate], &'a str>,
    /// The backup pinned earlier: never chosen again.
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
        /// Who asked.
        requester: String,
        /// Who may.
        owner: String,
    },
    /// One request a tenant.
    #[error("RestoreRequest {0:?} of the same tenant has not ended: wait for it, deny it or delete it")]
    ActiveRequestExists(String),
    /// FullRestore needs rights that dumps do not.
    #[error(
        "the DatabaseServer has no restoreCredentialsSecretRef: a FullRestore is refused; add it, or ask for a CrmExport"
    )]
    NoRestoreCredentials,
    /// Tomorrow has no backup.
    #[error("{date} is later than today ({today} in the schedule's time zone): ask for a day that has passed")]
    DateInFuture {
        /// The day asked for.
        date: NaiveDate,
        /// Today.
        today: NaiveDate,
    },
    /// Backups live a week.
    #[error("{date} is more than {days} days back: backups are kept {days} days and are gone after that")]
    OlderThanRetention {
        /// The day asked for.
        date: NaiveDate,
        /// Days that backups are kept.
        days: i32,
    },
    /// Never the nearest.
    #[error("there is no backup of {wanted}; days with a backup: {have}")]
    NoBackupOfThatDay {
        /// What was asked for.
        wanted: String,
        /// Which days could be asked for.
        have: String,
    },
    /// I7.
    #[error("{0}")]
    AnotherTenantsBackup(String),
    /// Nothing is known: look again.
    #[error("the catalogue cannot be read: {0}")]
    CatalogueUnknown(String),
}

impl GateRefusal {
    /// CamelCase reason.
    pub fn reason(&self) -> &'static str {
        self.into()
    }

    /// Whether waiting could change it. Everything else ends the request.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::CatalogueUnknown(_) | Self::ReferenceGone(_))
    }
}

type Check = fn(&GateInputs<'_>) -> Option<GateRefusal>;

/// The order is the order in which people should hear of it: who asks, what is asked, which backup.
const CHECKS: &[Check] = &[schedule_exists, references_exist, owner_asks, no_rival, may_restore, in_time, not_foreign];

fn schedule_exists(e: &GateInputs<'_>) -> Option<GateRefusal> {
    (e.account.is_none() && e.away.is_none()).then(|| GateRefusal::ScheduleGone(e.schedule.to_owned()))
}

fn references_exist(e: &GateInputs<'_>) -> Option<GateRefusal> {
    e.away.map(|what| GateRefusal::ReferenceGone(what.to_owned()))
}

fn owner_asks(e: &GateInputs<'_>) -> Option<GateRefusal> {
    let owner = &e.account?.owner;
    (owner != e.requester)
        .then(|| GateRefusal::NotAccountOwner { requester: e.requester.to_owned(), owner: owner.clone() })
}

fn no_rival(e: &GateInputs<'_>) -> Option<GateRefusal> {
    e.rival.map(|name| GateRefusal::ActiveRequestExists(name.to_owned()))
}

fn may_restore(e: &GateInputs<'_>) -> Option<GateRefusal> {
    (e.mode != Mode::CrmExport && !e.account?.can_restore).then_some(GateRefusal::NoRestoreCredentials)
}

fn in_time(e: &GateInputs<'_>) -> Option<GateRefusal> {
    let (Wanted::Day(date), None) = (e.wanted, e.pinned) else {
        return None;
    };
    let today = e.account?.today;
    if *date > today {
        return Some(GateRefusal::DateInFuture { date: *date, today });
    }
    (!within_retention(*date, today, e.retention_days))
        .then_some(GateRefusal::OlderThanRetention { date: *date, days: e.retention_days })
}

fn not_foreign(e: &GateInputs<'_>) -> Option<GateRefusal> {
    let found = &e.pinned?.identity;
    let difference = e.account?.identity.first_difference(found)?;
    Some(GateRefusal::AnotherTenantsBackup(difference.to_string()))
}

/// The backup that serves the request, or the first reason why none does.
pub fn resolve(evidence: &GateInputs<'_>) -> Result<BackupCandidate, GateRefusal> {
    if let Some(refusal) = CHECKS.iter().find_map(|check| check(evidence)) {
        return Err(refusal);
    }
    if let Some(pinned) = evidence.pinned {
        return Ok(pinned.clone());
    }
    let backups = evidence.backups.map_err(|why| GateRefusal::CatalogueUnknown(why.to_owned()))?;
    let (wanted, hit) = match evidence.wanted {
        Wanted::Day(day) => (day.to_string(), backups.iter().find(|c| c.day == *day)),
        Wanted::Point(id) => (id.to_string(), backups.iter().find(|c| c.id == *id)),
    };
    let Some(backup) = hit else {
        let days: Vec<String> = backups.iter().map(|c| c.day.to_string()).collect();
        let have = if days.is_empty() { "none".to_owned() } else { days.join(", ") };
        return Err(GateRefusal::NoBackupOfThatDay { wanted, have });
    };
    not_foreign(&GateInputs { pinned: Some(backup), ..evidence.clone() }).map_or_else(|| Ok(backup.clone()), Err)
}

#[cfg(test)]
mod tests;
