//! May a full restore be undone? First the checks of every request, then those of the request that is to be undone.

use super::{
    Check, GateInputs, GateRefusal, has_restore_credentials, no_active_request, references_exist, requester_is_owner,
    schedule_exists,
};
use chrono::{DateTime, Utc};

const CHECKS: &[Check] =
    &[schedule_exists, references_exist, requester_is_owner, no_active_request, has_restore_credentials];

/// What is known of the request that is to be undone.
#[derive(Debug, Clone)]
#[allow(clippy::struct_excessive_bools, reason = "independent facts, each with its own name")]
pub struct UndoTarget<'a> {
    /// Name of the RestoreRequest.
    pub name: &'a str,
    /// It names the same BackupSchedule as the Undo.
    pub same_schedule: bool,
    /// It was a full restore that took effect: the replaced database was kept.
    pub swapped: bool,
    /// Until when an Undo may be asked for.
    pub undo_until: Option<DateTime<Utc>>,
    /// The previous database is being dropped, or is gone.
    pub database_gone: bool,
    /// Name of a request that took effect later: its data is the live database.
    pub replaced_by: Option<&'a str>,
    /// Its previous database is already held for the Undo that asks.
    pub held_for_this_request: bool,
    /// When the Undo was created.
    pub requested_at: DateTime<Utc>,
}

/// Why a restore cannot be undone. The variant's name is the reason of Eligible.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, strum::IntoStaticStr)]
pub enum UndoRefusal {
    /// A check of every request refused.
    #[error(transparent)]
    Gate(GateRefusal),
    /// No such request (any more).
    #[error("RestoreRequest {0:?} does not exist in this namespace: correct spec.undoOf.name in a new request")]
    UndoneMissing(String),
    /// It replaced nothing, or belongs to another schedule.
    #[error("RestoreRequest {0:?} cannot be undone: {1}")]
    NotUndoable(String, &'static str),
    /// The undo window is over.
    #[error("RestoreRequest {name:?} could be undone until {}: the replaced database is dropped after that", until.format("%Y-%m-%d %H:%M UTC"))]
    UndoWindowClosed {
        /// Name of the request to undo.
        name: String,
        /// End of the window.
        until: DateTime<Utc>,
    },
    /// The previous database is dropped, or about to be.
    #[error(
        "the database that RestoreRequest {0:?} had replaced is being dropped or is gone: its safety backup is named in that request's status"
    )]
    PreviousDatabaseGone(String),
    /// A later request replaced the database again.
    #[error("RestoreRequest {later:?} took effect after {name:?}: undo that one first")]
    ReplacedSince {
        /// Name of the request to undo.
        name: String,
        /// Name of the later request.
        later: String,
    },
}

impl UndoRefusal {
    /// Reason of the condition Eligible, in CamelCase.
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

/// Whether the restore can be undone; otherwise the first reason why not. `wanted` is `spec.undoOf.name`.
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
    // By the time of its creation, not by now: approval and payment take days, and the database is held meanwhile.
    if undone.requested_at >= until && !undone.held_for_this_request {
        return Err(UndoRefusal::UndoWindowClosed { name, until });
    }
    Ok(())
}
