//! May a full restore be taken back? The same rules of who asks and where, then those of the undone request itself.

use super::{Check, GateInputs, GateRefusal, has_restore_credentials, no_active_request, requester_is_owner, references_exist, schedule_exists};
use chrono::{DateTime, Utc};

const CHECKS: &[Check] = &[schedule_exists, references_exist, requester_is_owner, no_active_request, has_restore_credentials];

/// What is known of the request that is to be undone.
#[derive(Debug, Clone)]
#[allow(clippy::struct_excessive_bools, reason = "independent facts, each with its own name")]
pub struct UndoTarget<'a> {
    /// Its name.
    pub name: &'a str,
    /// It is of the same schedule.
    pub same_schedule: bool,
    /// It took effect and kept what it replaced.
    pub swapped: bool,
    /// Until when an Undo may be asked for.
    pub undo_until: Option<DateTime<Utc>>,
    /// The previous database is being dropped, or is gone.
    pub database_gone: bool,
    /// A request that took effect later: what it brought is the live database.
    pub replaced_by: Option<&'a str>,
    /// It is held for the very request that asks.
    pub held_for_this_request: bool,
    /// When the request that asks was created.
    pub requested_at: DateTime<Utc>,
}

/// Why a restore cannot be undone. The variant's name is the reason of Eligible.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, strum::IntoStaticStr)]
pub enum UndoRefusal {
    /// As for every request.
    #[error(transparent)]
    Gate(GateRefusal),
    /// No such request (any more).
    #[error("RestoreRequest {0:?} does not exist in this namespace: correct spec.undoOf.name in a new request")]
    UndoneMissing(String),
    /// Nothing to undo.
    #[error("RestoreRequest {0:?} cannot be undone: {1}")]
    NotUndoable(String, &'static str),
    /// Too late.
    #[error("RestoreRequest {name:?} could be undone until {}: the replaced database is dropped after that", until.format("%Y-%m-%d %H:%M UTC"))]
    UndoWindowClosed {
        /// The request.
        name: String,
        /// Until when.
        until: DateTime<Utc>,
    },
    /// It is dropped, or about to be.
    #[error(
        "the database that RestoreRequest {0:?} had replaced is being dropped or is gone: its safety backup is named in that request's status"
    )]
    PreviousDatabaseGone(String),
    /// Something else is live by now.
    #[error("RestoreRequest {later:?} took effect after {name:?}: undo that one first")]
    ReplacedSince {
        /// The request.
        name: String,
        /// What came later.
        later: String,
    },
}

impl UndoRefusal {
    /// CamelCase reason.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Gate(refusal) => refusal.reason(),
            other => other.into(),
        }
    }

    /// Whether waiting could change it.
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Gate(refusal) if refusal.is_temporary())
    }
}

/// The first reason why not. `wanted` is `spec.undoOf.name`.
pub fn check_undo(inputs: &GateInputs<'_>, wanted: &str, undone: Option<&UndoTarget<'_>>) -> Result<(), UndoRefusal> {
    if let Some(refusal) = CHECKS.iter().find_map(|check| check(inputs)) {
        return Err(UndoRefusal::Gate(refusal));
    }
    let Some(undone) = undone else { return Err(UndoRefusal::UndoneMissing(wanted.to_owned())) };
    let name = undone.name.to_owned();
    if !undone.same_schedule {
        return Err(UndoRefusal::NotUndoable(name, "it is of another BackupSchedule"));
    }
    let Some(until) = undone.undo_until.filter(|_| undone.swapped) else {
        return Err(UndoRefusal::NotUndoable(name, "it did not complete with a full restore, so nothing was replaced"));
    };
    if undone.database_gone {
        return Err(UndoRefusal::PreviousDatabaseGone(name));
    }
    if let Some(later) = undone.replaced_by {
        return Err(UndoRefusal::ReplacedSince { name, later: later.to_owned() });
    }
    if undone.requested_at >= until && !undone.held_for_this_request {
        return Err(UndoRefusal::UndoWindowClosed { name, until });
    }
    Ok(())
}
