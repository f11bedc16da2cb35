//! Writes what people read of a request into its status: conditions, phase, result, history. Pure.

use super::gather::ObservedRequest;
use super::validate::Assessed;
use crate::runtime::instrumented::cut;
use crate::settings::Timing;
use chrono::{DateTime, TimeDelta, Utc};
use sennight_api::conditions::{RequestCondition, find, reason, set};
use sennight_api::restore_report::{HistoryEntry, RestoreProgress, RestoreResult, ResultFile};
use sennight_api::restore_status::{Decision, RestorePhase};
use sennight_api::{Condition, ConditionStatus, RestoreRequest, RestoreRequestStatus};
use sennight_core::estimate::expected_end;
use sennight_core::gate::{Mode, Payment};
use sennight_core::restore::{Eligibility, Phase, RestoreAction, RestorePlan, StepState, Terminal};

/// Longest message that a condition takes.
const MESSAGE_LIMIT: usize = 2000;
/// Longest message that an entry of the history takes.
const NOTE_LIMIT: usize = 500;
/// Longest history; the oldest entries go.
const HISTORY: usize = 50;

/// Writes the conditions Approved and Eligible, and the tenant.
pub fn facts(
    object: &RestoreRequest,
    status: &mut RestoreRequestStatus,
    assessed: &Assessed,
    observed: &ObservedRequest,
    now: DateTime<Utc>,
) {
    let generation = object.metadata.generation;
    let mut put = |condition: Condition| set(&mut status.conditions, condition.observed(generation), now);
    put(approved(object));
    if !assessed.facts.ended {
        put(eligible(assessed, observed));
    }
    if let Some(schedule) = &observed.references.schedule {
        status.tenant = Some(schedule.spec.tenant.id.clone());
    }
}

fn approved(object: &RestoreRequest) -> Condition {
    let approval = object.status.as_ref().and_then(|s| s.approval.as_ref());
    let kind = RequestCondition::Approved;
    match approval {
        None => {
            Condition::new(kind, ConditionStatus::Unknown, reason::AWAITING_HELPDESK, "the helpdesk has not decided")
        }
        Some(a) => {
            let by = a.by.as_deref().unwrap_or("somebody whom admission did not stamp");
            match a.decision {
                Decision::Approved => {
                    Condition::new(kind, true, reason::HELPDESK_APPROVED, format!("approved by {by}"))
                }
                Decision::Denied => {
                    let why = a.reason.as_deref().unwrap_or("no reason given");
                    Condition::new(kind, false, reason::DENIED, format!("denied by {by}: {why}"))
                }
            }
        }
    }
}

fn eligible(assessed: &Assessed, observed: &ObservedRequest) -> Condition {
    let kind = RequestCondition::Eligible;
    let facts = &assessed.facts;
    let unpaid = !matches!(facts.gate.payment, Payment::Paid { .. });
    let plan = observed.references.schedule.as_ref().map(|s| &s.spec.tenant.plan);
    match (&facts.eligibility, &facts.preflight) {
        (Eligibility::Never { reason, message }, _) => Condition::new(kind, false, reason.clone(), message.clone()),
        (Eligibility::NotYet { reason, message }, _) => {
            Condition::new(kind, ConditionStatus::Unknown, reason.clone(), message.clone())
        }
        (Eligibility::Yes, StepState::Failed { reason, message, .. }) if !facts.gate.eligible => {
            Condition::new(kind, false, reason.clone(), message.clone())
        }
        (Eligibility::Yes, _) if !facts.gate.eligible => {
            Condition::new(kind, ConditionStatus::Unknown, "Checking", "looking at the server")
        }
        (Eligibility::Yes, _) => match plan {
            Some(plan) if !plan.includes_restore && unpaid => Condition::new(
                kind,
                false,
                reason::PLAN_UPGRADE_REQUIRED,
                format!("plan {:?} has no restores: buying one that has is the payment", plan.name),
            ),
            _ => Condition::new(kind, true, "Possible", "owner, day, backup and server are as they must be"),
        },
    }
}

/// Writes what the plan says, after it was acted on: phase, deadline, Progressing, history and the end.
pub fn plan(
    object: &RestoreRequest,
    status: &mut RestoreRequestStatus,
    plan: &RestorePlan,
    timing: &Timing,
    now: DateTime<Utc>,
) {
    if status.finished_at.is_some() {
        status.waiting_on = Some(plan.waiting_on.into());
        status.deadline = plan.deadline;
        return;
    }
    let old = status.phase;
    status.phase = plan.phase.map(RestorePhase::from).or(old);
    status.waiting_on = Some(plan.waiting_on.into());
    status.deadline = plan.deadline;
    let working = matches!(plan.phase, Some(Phase::Preparing | Phase::CuttingOver | Phase::Exporting));
    let message = cut(&plan.message, MESSAGE_LIMIT).to_owned();
    let progressing = Condition::new(RequestCondition::Progressing, working, plan.reason.clone(), message.clone());
    set(&mut status.conditions, progressing.observed(object.metadata.generation), now);
    if let Some(phase) = status.phase.filter(|phase| Some(*phase) != old) {
        let by = decided_by(object, phase);
        let message = cut(&message, NOTE_LIMIT).to_owned();
        history(status, HistoryEntry { time: now, event: phase.to_string(), message: Some(message), by });
    }
    if let RestoreAction::Finish(terminal) = &plan.action {
        finish(object, status, terminal, timing, now);
    }
}

/// Adds an entry to the history, and drops the oldest beyond [`HISTORY`].
fn history(status: &mut RestoreRequestStatus, entry: HistoryEntry) {
    status.history.push(entry);
    let over = status.history.len().saturating_sub(HISTORY);
    status.history.drain(..over);
}

/// Who approved, denied or recorded the payment that led to this phase.
fn decided_by(object: &RestoreRequest, phase: RestorePhase) -> Option<String> {
    let status = object.status.as_ref()?;
    match phase {
        RestorePhase::AwaitingPayment | RestorePhase::Denied => status.approval.as_ref()?.by.clone(),
        RestorePhase::Queued | RestorePhase::Preparing | RestorePhase::Exporting => status.payment.as_ref()?.by.clone(),
        RestorePhase::Checking
        | RestorePhase::AwaitingApproval
        | RestorePhase::CuttingOver
        | RestorePhase::Complete
        | RestorePhase::Expired
        | RestorePhase::Failed
        | RestorePhase::NeedsAttention => None,
    }
}

fn finish(
    object: &RestoreRequest,
    status: &mut RestoreRequestStatus,
    terminal: &Terminal,
    timing: &Timing,
    now: DateTime<Utc>,
) {
    status.finished_at = Some(now);
    status.deadline = None;
    status.progress = None;
    let last = find(&status.conditions, RequestCondition::Progressing).cloned();
    let (reason, message) = last.map(|c| (c.reason, c.message.unwrap_or_default())).unwrap_or_default();
    let done = matches!(terminal, Terminal::Restored { .. } | Terminal::Exported(_));
    let generation = object.metadata.generation;
    for (kind, holds) in [(RequestCondition::Complete, done), (RequestCondition::Failed, !done)] {
        let condition = Condition::new(kind, holds, reason.clone(), message.clone());
        set(&mut status.conditions, condition.observed(generation), now);
    }
    match terminal {
        Terminal::Restored { previous_database, downtime_millis, committed_at } => {
            let until = now + TimeDelta::from_std(timing.undo_window).unwrap_or(TimeDelta::hours(72));
            let result = RestoreResult {
                previous_database: Some(previous_database.clone()),
                undo_until: Some(until),
                committed_at: Some(*committed_at),
                // Negative: a later Job found the swap done, and cannot know how long it took.
                downtime_millis: Some(*downtime_millis).filter(|millis| *millis >= 0),
                rows: status.prepared.as_ref().map(|p| p.rows),
                ..RestoreResult::default()
            };
            status.result = Some(Box::new(result));
        }
        Terminal::Exported(summary) => {
            // The schema bounds the list; manifest.json in the zip has all.
            let files = summary.files.iter().take(64).map(|f| ResultFile { name: f.name.clone(), rows: f.rows });
            let result = RestoreResult {
                key: Some(summary.key.clone()),
                bytes: Some(summary.bytes),
                sha256: Some(summary.sha256.clone()),
                files: files.collect(),
                expires_at: Some(sennight_core::retention::expires_at(now, 7)),
                // Rows of the full set. Files in folders (missing records) repeat some of them.
                rows: Some(summary.files.iter().filter(|f| !f.name.contains('/')).map(|f| f.rows).sum()),
                ..RestoreResult::default()
            };
            status.result = Some(Box::new(result));
        }
        Terminal::Denied(_) | Terminal::Expired { .. } | Terminal::Failed { .. } | Terminal::NeedsAttention { .. } => {}
    }
}

/// Writes the condition Held.
pub fn held(
    object: &RestoreRequest,
    status: &mut RestoreRequestStatus,
    holds: bool,
    reason: &str,
    message: &str,
    now: DateTime<Utc>,
) {
    let condition = Condition::new(RequestCondition::Held, holds, reason, message);
    set(&mut status.conditions, condition.observed(object.metadata.generation), now);
}

/// Writes the progress of the running Job and its expected end.
pub fn progress(status: &mut RestoreRequestStatus, observed: &ObservedRequest) {
    let estimated = status.estimate.as_ref().and_then(|e| e.duration_seconds).map(TimeDelta::seconds);
    let began = status.jobs.iter().rev().find(|job| job.outcome.is_none()).and_then(|job| job.started_at);
    let progress = observed.endings.progress.as_ref().map(|p| RestoreProgress {
        at: p.at,
        stage: p.stage.map(|stage| stage.to_string()),
        bytes: p.bytes,
        total_bytes: p.total_bytes,
        rows: p.rows,
        total_rows: p.total_rows,
        tables: p.tables,
        total_tables: p.total_tables,
        expected_end: began.and_then(|began| expected_end(began, p, estimated)),
    });
    status.progress = progress.map(Box::new);
}

/// Mode and outcome as metric labels.
pub fn ended(mode: Mode, terminal: &Terminal) -> (&'static str, &'static str) {
    let mode = match mode {
        Mode::CrmExport => "CrmExport",
        Mode::FullRestore => "FullRestore",
        Mode::Undo => "Undo",
    };
    let outcome = match terminal {
        Terminal::Restored { .. } | Terminal::Exported(_) => "Complete",
        Terminal::Denied(_) => "Denied",
        Terminal::Expired { .. } => "Expired",
        Terminal::Failed { .. } => "Failed",
        Terminal::NeedsAttention { .. } => "NeedsAttention",
    };
    (mode, outcome)
}
