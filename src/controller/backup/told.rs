//! What a schedule's conditions say of how it stands.

use crate::api::conditions::{ScheduleCondition, find, set};
use crate::api::{BackupSchedule, BackupScheduleStatus, Condition, ConditionStatus};
use crate::controller::dispatch::Trouble;
use crate::controller::observed::cut;
use crate::domain::backup::{Freshness, Waiting};
use chrono::{DateTime, Utc};

/// Longest message that the schema takes.
const MESSAGE_LIMIT: usize = 2000;

/// What Ready says.
pub enum Told {
    /// As it stands.
    Plan(Waiting),
    /// Nothing new: a dump that comes and goes is told when it has ended.
    Nothing,
    /// Why no Job can be created.
    Trouble(Trouble),
}

/// Writes Ready and Fresh.
pub fn write(
    object: &BackupSchedule,
    status: &mut BackupScheduleStatus,
    told: &Told,
    freshness: Freshness,
    now: DateTime<Utc>,
) {
    let generation = object.metadata.generation;
    if let Some(ready) = ready(status, told) {
        set(&mut status.conditions, ready.observed(generation), now);
    }
    let reason: &'static str = freshness.into();
    let (holds, message) = match freshness {
        Freshness::CopyIsFresh => (ConditionStatus::True, "the newest copy is younger than a slot interval and 2 h"),
        Freshness::CopyIsStale => (ConditionStatus::False, "the newest copy is older than a slot interval and 2 h"),
        Freshness::AwaitingFirstCopy => (ConditionStatus::Unknown, "the first dump is still to come"),
        Freshness::NoCopy => (ConditionStatus::False, "there is no copy although one was due"),
        Freshness::Suspended => (ConditionStatus::Unknown, "suspended: copies still expire"),
    };
    let fresh = Condition::new(ScheduleCondition::Fresh, holds, reason, message);
    set(&mut status.conditions, fresh.observed(generation), now);
}

/// The condition Ready; `None` leaves it as it is.
fn ready(status: &BackupScheduleStatus, told: &Told) -> Option<Condition> {
    if let Some(failure) = &status.last_failure
        && status.consecutive_failures.unwrap_or_default() > 0
    {
        return Some(Condition::new(ScheduleCondition::Ready, false, failure.reason.clone(), failure.message.clone()));
    }
    let why = match told {
        Told::Plan(why) => *why,
        Told::Trouble(trouble) => {
            let message = cut(&trouble.message, MESSAGE_LIMIT).to_owned();
            return Some(Condition::new(ScheduleCondition::Ready, false, trouble.reason, message));
        }
        // Until now it could not run, or nobody has looked at it yet.
        Told::Nothing => match find(&status.conditions, ScheduleCondition::Ready) {
            Some(ready) if ready.is_true() && ready.reason != "Suspended" => return None,
            _ => Waiting::NotDue,
        },
    };
    let reason: &'static str = why.into();
    let (reason, message) = match why {
        Waiting::NotDue => ("Scheduled", "the next dump is at status.nextRunTime"),
        Waiting::Running => ("Dumping", "a dump runs"),
        Waiting::Suspended => (reason, "spec.suspend is true: no dumps, and the copies still expire"),
        Waiting::RestoreInProgress => (reason, "a restore has claimed this database; dumps go on after it"),
        Waiting::BudgetReached => {
            (reason, "due; waiting for its turn (maxConcurrentDumps, --max-dumps, --jobs-per-minute)")
        }
        Waiting::JobSuspended => (reason, "its Job is suspended, by Kueue or a person; it waits until it is resumed"),
        Waiting::Retrying => (reason, "the last dump failed; it is tried again soon"),
        Waiting::DeadlineMissed => (reason, "the slot passed startingDeadlineSeconds ago; the next one runs"),
    };
    Some(Condition::new(ScheduleCondition::Ready, true, reason, message))
}
