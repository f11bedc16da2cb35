//! Turns the objects into the inputs of the decision (`core::restore`): eligibility, keys, states of steps. Pure.

use super::gather::{ObservedRequest, Pinned, candidate};
use super::undo;
use crate::cache::schedule_index::timetable;
use crate::request::job_results::{NewResults, repeatable_failures, step};
use crate::request::leftovers::owes_drop;
use crate::request::references::References;
use crate::request::{payments, step_job};
use crate::settings::Timing;
use crate::{profile, targets};
use chrono::{DateTime, TimeDelta, Utc};
use kube::ResourceExt;
use sennight_api::conditions::{RequestCondition, find, is_true};
use sennight_api::convert::{created, instant};
use sennight_api::restore_request::RestoreMode;
use sennight_api::restore_status::{Decision, Undone};
use sennight_api::{RestoreRequest, RestoreRequestStatus};
use sennight_core::authority::Distrust;
use sennight_core::gate::undo::UndoRefusal;
use sennight_core::gate::{
    self, Approval, BackupCandidate, FourEyes, GateInputs, Mode, Payment, RequestedBackup, RunInputs, ScheduleFacts,
};
use sennight_core::names::{RestoreStep, restore_job};
use sennight_core::restore::{ClaimState, Deadlines, Eligibility, RestoreInputs, StepState};
use sennight_storage::CatalogueError;

/// Inputs of the decision, and what the request resolves to.
pub struct Assessed {
    /// Inputs of the decision.
    pub facts: RestoreInputs,
    /// The backup that the request resolves to, while none is pinned.
    pub chosen: Option<BackupCandidate>,
    /// For an Undo: what is undone, while that is not pinned.
    pub undone: Option<Undone>,
}

/// The last check of the admission policies and of the request's signatures.
pub struct GateFindings {
    /// Whether the admission policies are as shipped; else why not.
    pub authority: Result<(), String>,
    /// Whether approval and payment can have been written by the rules.
    pub standing: Result<(), Distrust>,
    /// For which restores the requester must not be the approver.
    pub four_eyes: FourEyes,
}

/// Assesses a request. `results` are those of Jobs that have just ended.
pub fn assess(
    object: &RestoreRequest,
    status: &RestoreRequestStatus,
    results: &NewResults,
    observed: &ObservedRequest,
    gate_findings: GateFindings,
    timing: &Timing,
    now: DateTime<Utc>,
) -> Assessed {
    let mode = Mode::from(object.spec.mode);
    let preflight = step(status, RestoreStep::Preflight, results);
    let (chosen, undone, eligibility) = match resolve(object, mode, observed, timing, now) {
        Resolved::Backup(found) => {
            let eligibility = eligibility(&found, mode, observed);
            (found.ok(), None, eligibility)
        }
        Resolved::Undone(Ok(undone)) => (None, Some(undone), Eligibility::Yes),
        Resolved::Undone(Err(refusal)) => (None, None, refused(&refusal)),
    };
    let checked = mode == Mode::CrmExport || matches!(preflight, StepState::Succeeded(_));
    let eligible = eligibility == Eligibility::Yes && checked;
    let window = object.spec.window.as_ref();
    let approved = find(&status.conditions, RequestCondition::Approved).filter(|c| c.is_true());
    let limit = observed.references.server.as_ref().map_or(1, |s| i64::from(s.spec.max_concurrent_restores));
    let keys = signatures(object, mode);
    let facts = RestoreInputs {
        created: created(&object.metadata).unwrap_or(now),
        approved_since: approved.and_then(|c| c.last_transition_time),
        deleting: object.metadata.deletion_timestamp.as_ref().map(|at| instant(at).unwrap_or(now)),
        prepared_left: owes_drop(status, results, &observed.references),
        ended: status.finished_at.is_some(),
        pinned: status.backup.is_some() || status.undo.is_some(),
        gate: RunInputs {
            eligible,
            held: is_true(&status.conditions, RequestCondition::Held),
            requested_by: object.spec.requested_by.clone(),
            four_eyes: gate_findings.four_eyes,
            signatures: gate_findings.standing,
            policies: gate_findings.authority,
            payment: observed.reused_payment.clone().unwrap_or_else(|| keys.payment.clone()),
            ..keys
        },
        eligibility,
        held_until: held_until(status),
        claim: claim(object, status, observed, now),
        unknown_claim: observed.proof.clone(),
        record_error: observed.record_error.clone(),
        keys_recorded: observed.keys_recorded,
        job_limit: step_job::claimed_limit(mode, timing),
        preflight,
        prepare: step(status, RestoreStep::Prepare, results),
        cutover: step(status, RestoreStep::Cutover, results),
        can_recover: observed.references.server.is_some(),
        recover: step(status, RestoreStep::RecoverCutover, results),
        export: step(status, RestoreStep::Export, results),
        faults: repeatable_failures(status, retried_step(mode), length(timing.restore_deadline)),
        live_ids: wants_live_ids(observed).then(|| step(status, RestoreStep::LiveIds, results)),
        slot_free: observed.restores_here < limit,
        dumping: observed.dumping,
        not_before: window.and_then(|w| w.not_before),
        not_after: window.and_then(|w| w.not_after),
        deadlines: patience(timing),
        owed: payments::owed(object),
    };
    Assessed { facts, chosen, undone }
}

fn wants_live_ids(observed: &ObservedRequest) -> bool {
    observed.profile.as_ref().is_some_and(|profile| profile.spec.missing_only)
}

/// How far the clocks of two operator processes may differ.
const SKEW: TimeDelta = TimeDelta::minutes(5);

fn claim(
    object: &RestoreRequest,
    status: &RestoreRequestStatus,
    observed: &ObservedRequest,
    now: DateTime<Utc>,
) -> Option<ClaimState> {
    let claim = status.claim.as_ref()?;
    let job_seen = status.jobs.iter().any(|job| job.name == claim.job);
    let step = if object.spec.mode == RestoreMode::CrmExport { RestoreStep::Export } else { RestoreStep::Cutover };
    let job = restore_job(&object.uid().unwrap_or_default(), step, 1);
    let impossible = if claim.job != job {
        Some(format!("it names Job {}, and the one of this request is {job}", claim.job))
    } else if claim.at > now + SKEW {
        Some(format!("it is of {}, which has not come yet", claim.at))
    } else {
        None
    };
    Some(ClaimState { at: claim.at, job_seen, job_exists: observed.job_unrecorded, impossible })
}

fn length(of: std::time::Duration) -> TimeDelta {
    TimeDelta::from_std(of).unwrap_or(TimeDelta::days(365))
}

fn patience(timing: &Timing) -> Deadlines {
    Deadlines {
        approval: length(timing.approval_deadline),
        payment: length(timing.payment_deadline),
        retry: length(timing.restore_retry),
    }
}

/// The step of a mode that is repeated after a failure.
fn retried_step(mode: Mode) -> RestoreStep {
    match mode {
        Mode::CrmExport => RestoreStep::Export,
        Mode::FullRestore | Mode::Undo => RestoreStep::Prepare,
    }
}

/// The keys that helpdesk and billing wrote into this object. All other keys are closed.
pub fn signatures(object: &RestoreRequest, mode: Mode) -> RunInputs {
    let status = object.status.as_ref();
    let approval = status.and_then(|s| s.approval.as_ref()).map_or(Approval::Undecided, |a| {
        let by = a.by.clone().unwrap_or_default();
        match a.decision {
            Decision::Approved => Approval::Approved { by },
            Decision::Denied => Approval::Denied { by, why: a.reason.clone().unwrap_or_default() },
        }
    });
    let paid = status.is_some_and(|s| is_true(&s.conditions, RequestCondition::Paid));
    let payment = status.and_then(|s| s.payment.as_ref());
    // A refunded payment pays for nothing.
    let paid = paid && payment.is_none_or(|p| p.refund.is_none());
    let by = payment.and_then(|p| p.by.clone()).unwrap_or_default();
    RunInputs {
        mode,
        eligible: false,
        held: false,
        approval,
        payment: if paid { Payment::Paid { by } } else { Payment::Open },
        requested_by: object.spec.requested_by.clone(),
        four_eyes: FourEyes::None,
        signatures: Err(Distrust::SignaturesUnknown),
        policies: Err("not looked at".to_owned()),
    }
}

fn account(observed: &ObservedRequest, now: DateTime<Utc>) -> Option<ScheduleFacts> {
    let (schedule, server) = (observed.references.schedule.as_ref()?, observed.references.server.as_ref()?);
    // A schedule whose own fields are wrong still has backups. Its days are then counted in UTC.
    let today = timetable(schedule).map_or_else(|_| now.date_naive(), |t| t.day(now));
    Some(ScheduleFacts {
        owner: schedule.spec.tenant.owner.clone(),
        identity: targets::identity(schedule, server),
        today,
        can_restore: server.spec.restore_credentials_secret_ref.is_some(),
    })
}

/// The DatabaseServer or BackupStorage that the schedule names and that does not exist.
fn missing_reference(observed: &ObservedRequest) -> Option<String> {
    let References { schedule, storage, server } = &observed.references;
    let spec = &schedule.as_ref()?.spec;
    if server.is_none() {
        return Some(format!("DatabaseServer {:?}", spec.database.server_ref.name));
    }
    storage.is_none().then(|| format!("BackupStorage {:?}", spec.storage_ref.name))
}

/// Until when the backup, or the previous database of the undone request, is held.
fn held_until(status: &RestoreRequestStatus) -> Option<DateTime<Utc>> {
    let backup = status.backup.as_ref().and_then(|p| p.held_until);
    backup.or_else(|| status.undo.as_ref().map(|u| u.held_until))
}

/// What a request resolves to, or the refusal.
enum Resolved {
    Backup(Result<BackupCandidate, gate::GateRefusal>),
    Undone(Result<Undone, UndoRefusal>),
}

fn resolve(
    object: &RestoreRequest,
    mode: Mode,
    observed: &ObservedRequest,
    timing: &Timing,
    now: DateTime<Utc>,
) -> Resolved {
    let spec = &object.spec;
    let account = account(observed, now);
    let wanted = match (&spec.date, spec.backup.as_ref().and_then(|id| id.parse().ok())) {
        (_, Some(id)) => RequestedBackup::Id(id),
        (date, None) => RequestedBackup::Day(date.unwrap_or_default()),
    };
    let backups: Result<Vec<BackupCandidate>, &str> = match &observed.catalogue {
        Ok(entries) => Ok(entries.iter().map(candidate).collect()),
        Err(why) => Err(why),
    };
    let pinned = observed.pinned.open().map(|open| BackupCandidate {
        id: open.manifest.id.clone(),
        day: open.manifest.day,
        identity: open.manifest.identity.clone(),
    });
    let away = missing_reference(observed);
    let inputs = GateInputs {
        mode,
        wanted: &wanted,
        requester: &spec.requester.user_id,
        schedule_name: &spec.schedule_ref.name,
        schedule: account.as_ref(),
        missing_reference: away.as_deref(),
        active_request: observed.rival.as_deref(),
        retention_days: observed.references.storage.as_ref().map_or(7, |s| s.spec.retention.days),
        backups: backups.as_deref().map_err(|why| *why),
        pinned: pinned.as_ref(),
    };
    match mode {
        Mode::Undo => Resolved::Undone(undo::assess(object, &inputs, observed, timing, now)),
        Mode::CrmExport | Mode::FullRestore => Resolved::Backup(gate::resolve(&inputs)),
    }
}

fn refused(refusal: &UndoRefusal) -> Eligibility {
    let (reason, message) = (refusal.reason().to_owned(), refusal.to_string());
    if refusal.is_temporary() {
        Eligibility::NotYet { reason, message }
    } else {
        Eligibility::Never { reason, message }
    }
}

fn eligibility(
    resolved: &Result<BackupCandidate, gate::GateRefusal>,
    mode: Mode,
    observed: &ObservedRequest,
) -> Eligibility {
    if let Pinned::Unusable(error) = &observed.pinned {
        let reason = match error {
            CatalogueError::ForeignBackup(_) => "AnotherTenantsBackup",
            other => other.reason(),
        };
        return Eligibility::Never { reason: reason.to_owned(), message: error.to_string() };
    }
    match resolved {
        Err(refusal) if refusal.is_temporary() => {
            Eligibility::NotYet { reason: refusal.reason().to_owned(), message: refusal.to_string() }
        }
        Err(refusal) => Eligibility::Never { reason: refusal.reason().to_owned(), message: refusal.to_string() },
        Ok(_) if mode == Mode::CrmExport && observed.profile.is_none() => Eligibility::NotYet {
            reason: "ExportProfileMissing".to_owned(),
            message:
                "the ExportProfile does not exist in this namespace: create it (the chart ships bitrix24-crm), or \
                      name another in the BackupSchedule"
                    .to_owned(),
        },
        Ok(_) => profile_fault(mode, observed).unwrap_or(Eligibility::Yes),
    }
}

/// Why an export by this profile, or of this backup by it, would fail. Found before anybody approves or pays.
fn profile_fault(mode: Mode, observed: &ObservedRequest) -> Option<Eligibility> {
    let spec = &observed.profile.as_ref().filter(|_| mode == Mode::CrmExport)?.spec;
    let not_yet = |reason: &str, why: &dyn std::fmt::Display| Eligibility::NotYet {
        reason: reason.to_owned(),
        message: format!("the ExportProfile must be corrected: {why}"),
    };
    match profile::check(spec) {
        Err(unfit) => Some(not_yet(unfit.reason(), &unfit)),
        Ok(profile) => {
            let backup = observed.pinned.open()?;
            let misfit = profile.fits(&backup.manifest).err()?;
            Some(not_yet(misfit.reason(), &misfit))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn i1_money_that_went_back_pays_for_nothing() {
        let payment = |payment: Value| {
            let request: RestoreRequest = serde_json::from_value(json!({
                "apiVersion": "sennight.dev/v1alpha1", "kind": "RestoreRequest", "metadata": {"name": "r"},
                "spec": {
                    "scheduleRef": {"name": "acme"}, "mode": "CrmExport", "date": "2026-11-20", "requester": {"userId": "1"},
                    "ticket": {"id": "T-1"}, "reason": "contacts are gone"
                },
                "status": {"payment": payment, "conditions": [{"type": "Paid", "status": "True", "reason": "X"}]}
            }))
            .unwrap();
            signatures(&request, Mode::CrmExport).payment
        };
        assert_eq!(payment(json!({"by": "billing"})), Payment::Paid { by: "billing".to_owned() });
        assert_eq!(payment(json!({"by": "billing", "refund": {"reference": "R-1"}})), Payment::Open);
    }
}
