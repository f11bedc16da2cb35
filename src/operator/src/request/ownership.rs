//! Which controller writes which part of a RestoreRequest's status: one row for each key, one for each condition, one for
//! each step of Jobs. A status is cut to one controller's part before it is applied.

use crate::runtime::writes::FieldManager;
use sennight_api::RestoreRequestStatus;
use sennight_api::conditions::RequestCondition;
use sennight_core::names::RestoreStep;

/// The controllers that work on a RestoreRequest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::EnumIter)]
pub enum Controller {
    /// Checks, decides, runs the steps, claims, ends.
    Restore,
    /// Safety backup, undo window, drop.
    Cleanup,
    /// Audit record, refunds, reminders, deletion after retention.
    Record,
}

/// Who writes a part of status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writer {
    /// One of the operator's controllers.
    Operator(Controller),
    /// The helpdesk.
    Helpdesk,
    /// Billing.
    Billing,
    /// Several, by entries: the tables of conditions and of steps say which.
    EachEntry,
}

use Controller::{Cleanup, Record, Restore};
use Writer::{Billing, EachEntry, Helpdesk, Operator};

impl Controller {
    /// The field manager of its applies.
    pub fn manager(self) -> FieldManager {
        match self {
            Restore => FieldManager::Sennight,
            Cleanup => FieldManager::Cleanup,
            Record => FieldManager::Record,
        }
    }

    /// The finalizer that it adds and takes away.
    pub fn finalizer(self) -> &'static str {
        match self {
            Restore => "sennight.dev/hold",
            Cleanup => "sennight.dev/databases",
            Record => "sennight.dev/record",
        }
    }

    /// How many Jobs of its own steps it keeps in status. All together are fewer than the 40 that the schema takes.
    pub fn jobs_kept(self) -> usize {
        match self {
            Restore => 26,
            Cleanup => 12,
            Record => 0,
        }
    }
}

/// The keys of status.
pub const KEYS: &[(&str, Writer)] = &[
    ("approval", Helpdesk),
    ("payment", Billing),
    ("conditions", EachEntry),
    ("jobs", EachEntry),
    ("observedGeneration", Operator(Restore)),
    ("tenant", Operator(Restore)),
    ("phase", Operator(Restore)),
    ("waitingOn", Operator(Restore)),
    ("deadline", Operator(Restore)),
    ("backup", Operator(Restore)),
    ("estimate", Operator(Restore)),
    ("preflight", Operator(Restore)),
    ("prepared", Operator(Restore)),
    ("live", Operator(Restore)),
    ("undo", Operator(Restore)),
    ("claim", Operator(Restore)),
    ("progress", Operator(Restore)),
    ("result", Operator(Restore)),
    ("history", Operator(Restore)),
    ("finishedAt", Operator(Restore)),
    ("previousDatabase", Operator(Cleanup)),
    ("droppedDatabase", Operator(Cleanup)),
    ("remindedAt", Operator(Record)),
    ("audit", Operator(Record)),
];

/// Who writes a condition.
pub fn writer_of_condition(condition: RequestCondition) -> Writer {
    match condition {
        RequestCondition::Paid => Billing,
        RequestCondition::Eligible
        | RequestCondition::Held
        | RequestCondition::Approved
        | RequestCondition::Progressing
        | RequestCondition::Complete
        | RequestCondition::Failed => Operator(Restore),
        RequestCondition::UndoAvailable => Operator(Cleanup),
        RequestCondition::RefundDue => Operator(Record),
    }
}

/// Whose Jobs a step's are.
pub fn controller_of_step(step: RestoreStep) -> Controller {
    match step {
        RestoreStep::SafetyBackup | RestoreStep::DropDatabase => Cleanup,
        RestoreStep::Preflight
        | RestoreStep::Prepare
        | RestoreStep::Cutover
        | RestoreStep::LiveIds
        | RestoreStep::Export
        | RestoreStep::RecoverCutover => Restore,
    }
}

/// Whose Jobs those of a step with this name are. One that this version does not know is `restore`'s: it keeps all.
pub fn controller_of_step_named(step: &str) -> Controller {
    step.parse().map_or(Restore, controller_of_step)
}

/// The part of a status that is the controller's: what its apply holds.
pub fn own(status: &RestoreRequestStatus, controller: Controller) -> RestoreRequestStatus {
    let mut part = match controller {
        Restore => RestoreRequestStatus {
            approval: None,
            payment: None,
            previous_database: None,
            dropped_database: None,
            reminded_at: None,
            audit: None,
            ..status.clone()
        },
        Cleanup => RestoreRequestStatus {
            jobs: status.jobs.clone(),
            conditions: status.conditions.clone(),
            previous_database: status.previous_database.clone(),
            dropped_database: status.dropped_database.clone(),
            ..RestoreRequestStatus::default()
        },
        Record => RestoreRequestStatus {
            conditions: status.conditions.clone(),
            reminded_at: status.reminded_at,
            audit: status.audit.clone(),
            ..RestoreRequestStatus::default()
        },
    };
    part.jobs.retain(|job| controller_of_step_named(&job.step) == controller);
    // A type that this version does not know is `restore`'s, like a step.
    let writer = |type_: &str| type_.parse().map_or(Operator(Restore), writer_of_condition);
    part.conditions.retain(|condition| writer(&condition.type_) == Operator(controller));
    part
}

#[cfg(test)]
mod tests;
