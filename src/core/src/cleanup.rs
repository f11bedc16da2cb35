//! What becomes of the databases that a restore leaves on the server. The previous database is kept for an undo and dropped
//! once its safety backup is verified and the undo window is over. What a failed restore prepared is dropped at once.

use super::names::RestoreStep;
use super::restore::{LONGEST_DELETION, StepState};
use chrono::{DateTime, TimeDelta, Utc};

/// Pause after a first failed attempt; each further one doubles it.
const PAUSE: TimeDelta = TimeDelta::minutes(10);
/// Longest pause between attempts. They never end: status shows what is left on a server until it is gone.
const LONGEST: TimeDelta = TimeDelta::hours(24);
/// Reason of the condition UndoAvailable after an Undo: the previous database is the live one again.
pub const UNDONE: &str = "Undone";
/// How soon a dump slot is asked for again.
const RECHECK: TimeDelta = TimeDelta::minutes(1);

/// A safety backup that expires sooner than this does not allow the drop.
const MIN_SAFETY_BACKUP_LIFE: TimeDelta = TimeDelta::days(1);

/// Whether a safety backup that the bucket removes at `expires` still allows the drop.
pub fn safety_backup_counts(expires: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    expires - now > MIN_SAFETY_BACKUP_LIFE
}

/// The Undo requests for this restore, taken together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum UndoRequests {
    /// None, or only ones that ended without effect.
    #[default]
    None,
    /// The one of this name has not ended: it holds the previous database from its creation on.
    Open(String),
    /// The one of this name took effect: the previous database is the live one again.
    Done(String),
    /// Whether the one of this name took effect is not known: nothing is dropped.
    Unknown(String),
}

/// Everything that is known of a request and of what it left on its server.
#[derive(Debug, Clone)]
#[allow(clippy::struct_excessive_bools, reason = "independent facts, each with its own name")]
pub struct CleanupInputs {
    /// It has ended.
    pub ended: bool,
    /// It has a claim.
    pub claimed: bool,
    /// Since when it is being deleted.
    pub deleting: Option<DateTime<Utc>>,
    /// `restore` has written that it begins nothing any more, because the request is deleted before its claim.
    pub stopped: bool,
    /// By status nothing of it is left on the server.
    pub nothing_left: bool,
    /// Until when its swap can be undone; `None` where it swapped nothing.
    pub undo_until: Option<DateTime<Utc>>,
    /// Whether an Undo is asked for or took effect. Before a drop it is read afresh ([`CleanupPlan::drops`]).
    pub undoing: UndoRequests,
    /// Name of the Undo that the previous database is held for, from status.
    pub held_by: Option<String>,
    /// The safety backup was made, read back, and lives long enough ([`safety_backup_counts`]).
    pub safety_backup_ready: bool,
    /// Latest attempt at the safety backup.
    pub safety_backup: StepState,
    /// Status says that it is being dropped. Written before the first Job that drops, so that no Undo begins any more.
    pub dropping: bool,
    /// Latest attempt to drop it.
    pub drop_step: StepState,
    /// It is dropped.
    pub dropped: bool,
    /// A prepared database may be left on the server, and it is certain that it never became the live one.
    pub leftover: bool,
    /// Its schedule, server and storage exist.
    pub reachable: bool,
    /// The server has room for one more dump.
    pub slot_free: bool,
}

/// The one thing to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CleanupAction {
    /// Nothing.
    Nothing,
    /// Write into status which Undo it is held for.
    Hold(String),
    /// Write into status that no Undo holds it any more.
    Release,
    /// Create the step's Job.
    Start(RestoreStep, i32),
    /// Write into status that it is being dropped. The Job comes in a later round, once that is stored.
    BeginDropping,
}

/// Whether the restore can be undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UndoAvailability {
    /// It can.
    Available,
    /// It could be, and no longer can.
    Gone,
    /// A person must look.
    Unknown,
    /// It replaced no database.
    Never,
}

/// The decision, and what status shows of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CleanupPlan {
    /// What to do.
    pub action: CleanupAction,
    /// What the condition UndoAvailable says.
    pub undo: UndoAvailability,
    /// Reason of that condition, in CamelCase.
    pub reason: &'static str,
    /// Note for people, besides name and time.
    pub note: String,
    /// When to decide again.
    pub wake: Option<DateTime<Utc>>,
}

impl CleanupPlan {
    fn new(action: CleanupAction, undo: UndoAvailability, reason: &'static str, note: impl Into<String>) -> Self {
        Self { action, undo, reason, note: note.into(), wake: None }
    }

    fn at(self, wake: DateTime<Utc>) -> Self {
        Self { wake: Some(wake), ..self }
    }

    /// Whether its action drops a database, or begins to.
    pub fn drops(&self) -> bool {
        matches!(self.action, CleanupAction::BeginDropping | CleanupAction::Start(RestoreStep::DropDatabase, _))
    }
}

/// What becomes of the finalizer that keeps the request while a database of it is on the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finalizer {
    /// It stays.
    Stays,
    /// It goes: nothing is left.
    Goes,
    /// It goes although something is left: an Event tells people what to drop by hand.
    GoesAndTells,
}

/// Whether the request may vanish.
pub fn finalizer(facts: &CleanupInputs, now: DateTime<Utc>) -> Finalizer {
    let over = facts.ended || (facts.deleting.is_some() && !facts.claimed);
    match facts.deleting {
        _ if !over => Finalizer::Stays,
        _ if facts.nothing_left => Finalizer::Goes,
        Some(_) if !facts.reachable => Finalizer::GoesAndTells,
        Some(since) if !facts.ended && now >= since + LONGEST_DELETION => Finalizer::GoesAndTells,
        Some(_) | None => Finalizer::Stays,
    }
}

/// The next action. Nothing begins before `restore` has written the end, or that it has stopped.
pub fn decide(facts: &CleanupInputs, now: DateTime<Utc>) -> CleanupPlan {
    // guard(i3_nothing_is_cleaned_up_before_restore_has_written_the_end, never): no cleanup begins before the end
    if !facts.ended && !facts.stopped {
        return CleanupPlan::new(CleanupAction::Nothing, UndoAvailability::Never, "NotEnded", "");
    }
    match facts.undo_until {
        Some(until) => after_swap(facts, until, now),
        None if facts.dropped || !facts.leftover => {
            CleanupPlan::new(CleanupAction::Nothing, UndoAvailability::Never, "NothingLeft", "")
        }
        None => drop_database(facts, UndoAvailability::Never, "LeftoverDatabase", now),
    }
}

fn after_swap(facts: &CleanupInputs, until: DateTime<Utc>, now: DateTime<Utc>) -> CleanupPlan {
    use UndoAvailability::{Available, Gone, Unknown};
    // Before all else: the previous database is the live one again, and must not be dropped.
    if let UndoRequests::Done(by) = &facts.undoing {
        return CleanupPlan::new(
            CleanupAction::Nothing,
            Gone,
            UNDONE,
            format!("undone by RestoreRequest {by}: it is the live one again"),
        );
    }
    if facts.dropped {
        return CleanupPlan::new(CleanupAction::Nothing, Gone, "Dropped", "");
    }
    if let UndoRequests::Unknown(by) = &facts.undoing {
        let note = format!("RestoreRequest {by} needs attention: nothing is dropped until a person has looked");
        return CleanupPlan::new(CleanupAction::Nothing, Unknown, "UndoOutcomeUnknown", note);
    }
    if facts.dropping {
        // It is refused, because status says that the database is being dropped. Until it has ended, nobody drops.
        // guard(i3_a_drop_begins_only_dumped_out_of_the_window_and_wanted_by_nobody, never): an open Undo holds up a drop that has begun
        if let UndoRequests::Open(by) = &facts.undoing {
            let note = format!("RestoreRequest {by} asks for it: it is dropped once that has ended");
            return CleanupPlan::new(CleanupAction::Nothing, Gone, "Dropping", note).at(now + RECHECK);
        }
        // The drop was delayed until the safety backup expired: another one is made first.
        let dump_gone = !facts.safety_backup_ready && !matches!(facts.drop_step, StepState::Running { .. });
        return if dump_gone {
            make_safety_backup(facts, Gone, "Dropping", now)
        } else {
            drop_database(facts, Gone, "Dropping", now)
        };
    }
    match &facts.undoing {
        UndoRequests::Open(by) => {
            let held = facts.held_by.as_ref() == Some(by);
            let action = if held { CleanupAction::Nothing } else { CleanupAction::Hold(by.clone()) };
            // No safety backup meanwhile: the undo's swap would end its session. An Undo that is deleted wakes nobody, so
            // this is decided again soon.
            let plan = CleanupPlan::new(action, Available, "HeldForUndo", format!("held for RestoreRequest {by}"));
            return plan.at(now + RECHECK);
        }
        UndoRequests::None | UndoRequests::Done(_) | UndoRequests::Unknown(_) => {}
    }
    if facts.held_by.is_some() {
        return CleanupPlan::new(CleanupAction::Release, Available, "Kept", "");
    }
    if !facts.safety_backup_ready {
        return make_safety_backup(facts, Available, "Kept", now);
    }
    if now < until {
        return CleanupPlan::new(CleanupAction::Nothing, Available, "Kept", "its safety backup was read back")
            .at(until);
    }
    // Status first, the Job in a later round: an Undo that is created in between must be refused already.
    CleanupPlan::new(CleanupAction::BeginDropping, Gone, "Dropping", "")
}

fn make_safety_backup(
    facts: &CleanupInputs,
    undo: UndoAvailability,
    reason: &'static str,
    now: DateTime<Utc>,
) -> CleanupPlan {
    let plan = |action, note: String| CleanupPlan::new(action, undo, reason, note);
    if !facts.reachable {
        let note = "its schedule, server or storage is gone: it is not dumped and not dropped, drop it by hand";
        return plan(CleanupAction::Nothing, note.to_owned());
    }
    match next_attempt(&facts.safety_backup, now) {
        NextAttempt::Running => plan(CleanupAction::Nothing, "its safety backup is under way".to_owned()),
        // A safety backup is a dump and stays within the server's budget.
        NextAttempt::Now(_) if !facts.slot_free => {
            plan(CleanupAction::Nothing, "its safety backup waits for other dumps".to_owned()).at(now + RECHECK)
        }
        NextAttempt::Now(attempt) => {
            plan(CleanupAction::Start(RestoreStep::SafetyBackup, attempt), "its safety backup is due".to_owned())
        }
        NextAttempt::Later(at, why) => {
            plan(CleanupAction::Nothing, format!("its safety backup failed and nothing is dropped without: {why}"))
                .at(at)
        }
    }
}

fn drop_database(
    facts: &CleanupInputs,
    undo: UndoAvailability,
    reason: &'static str,
    now: DateTime<Utc>,
) -> CleanupPlan {
    let plan = |action, note: String| CleanupPlan::new(action, undo, reason, note);
    if !facts.reachable {
        let note = "its schedule, server or storage is gone: drop it by hand";
        return plan(CleanupAction::Nothing, note.to_owned());
    }
    match next_attempt(&facts.drop_step, now) {
        NextAttempt::Running => plan(CleanupAction::Nothing, "it is being dropped".to_owned()),
        NextAttempt::Now(attempt) => {
            plan(CleanupAction::Start(RestoreStep::DropDatabase, attempt), "it is being dropped".to_owned())
        }
        NextAttempt::Later(at, why) => plan(CleanupAction::Nothing, format!("it could not be dropped: {why}")).at(at),
    }
}

enum NextAttempt {
    Running,
    Now(i32),
    Later(DateTime<Utc>, String),
}

/// When the next attempt is due: 10 minutes after the first failure, then twice as long each time, at most a day.
fn next_attempt(step: &StepState, now: DateTime<Utc>) -> NextAttempt {
    match step {
        StepState::None => NextAttempt::Now(1),
        // A success is written into status when its report is read: without that it said something else.
        StepState::Running { .. } => NextAttempt::Running,
        StepState::Succeeded(_) => {
            NextAttempt::Later(now + LONGEST, "its Job reported another step's result".to_owned())
        }
        StepState::Failed { attempt, message, at, .. } | StepState::Lost { attempt, message, at } => {
            let doublings = u32::try_from(attempt - 1).unwrap_or(0).min(10);
            let due = *at + (PAUSE * (1 << doublings)).min(LONGEST);
            if now >= due { NextAttempt::Now(attempt + 1) } else { NextAttempt::Later(due, message.clone()) }
        }
    }
}

#[cfg(test)]
mod tests;
