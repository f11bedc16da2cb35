//! Does the one thing that was decided for a restore's databases: a mark in status, or a Job.

use super::controller::CleanupController;
use super::gather::CleanupInput;
use crate::cache::jobs::{JobKind, Places};
use crate::error::ReconcileError;
use crate::request::job_creation::{JobCreation, record};
use crate::request::step_job::{self, StepInputs};
use chrono::{DateTime, TimeDelta, Utc};
use kube::ResourceExt;
use kube::runtime::events::EventType;
use sennight_api::RestoreRequest;
use sennight_core::cleanup::CleanupAction;
use sennight_core::names::RestoreStep;
use sennight_core::restore;
use std::time::Duration;

/// Pause after which a Job that could not be created is tried again.
const BUSY: Duration = Duration::from_secs(10);

/// Does the action. Gives when to look again, if it says.
pub async fn act(
    object: &RestoreRequest,
    input: &mut CleanupInput,
    action: &CleanupAction,
    controller: &CleanupController,
    now: DateTime<Utc>,
) -> Result<Option<DateTime<Utc>>, ReconcileError> {
    match action {
        CleanupAction::Nothing => {}
        CleanupAction::Hold(by) => set_held_by(input, Some(by.clone())),
        CleanupAction::Release => set_held_by(input, None),
        CleanupAction::BeginDropping => {
            if let Some(previous) = &mut input.status.previous_database {
                previous.dropping_since = Some(now);
            }
        }
        CleanupAction::Start(step, attempt) => {
            let started = start(object, input, *step, *attempt, controller).await?;
            let pause = if started { controller.timing.job_interval } else { BUSY };
            return Ok(Some(now + TimeDelta::from_std(pause).unwrap_or(TimeDelta::minutes(1))));
        }
    }
    Ok(None)
}

fn set_held_by(input: &mut CleanupInput, by: Option<String>) {
    if let Some(previous) = &mut input.status.previous_database {
        previous.held_by = by;
    }
}

/// Creates the step's Job and records it. False: no place was free, or a foreign Job has its name.
async fn start(
    object: &RestoreRequest,
    input: &mut CleanupInput,
    step: RestoreStep,
    attempt: i32,
    controller: &CleanupController,
) -> Result<bool, ReconcileError> {
    let inputs = StepInputs {
        object,
        status: &input.status,
        references: &input.references,
        profile: None,
        backup: None,
        timing: &controller.timing,
    };
    let worker = step_job::worker(inputs, step, attempt)?;
    let server = input.references.server.as_ref();
    let (namespace, name) = (worker.namespace.clone(), server.map(|s| s.name_any()).unwrap_or_default());
    let here = server.map_or(1, |s| i64::from(s.spec.max_concurrent_dumps));
    let limits = Places { total: i64::from(controller.max_dumps), on_server: here };
    if step == RestoreStep::SafetyBackup
        && !controller.jobs.reserve(JobKind::Dump, &namespace, &name, &worker.name, limits)
    {
        return Ok(false);
    }
    match controller.creator.create(object, &worker).await? {
        JobCreation::Ours(job) => {
            record(&mut input.status, &job, step, attempt, controller.clock.now());
            Ok(true)
        }
        JobCreation::Foreign { difference } => {
            let plan = restore::job_name_taken(step, &format!("{namespace}/{}", worker.name), &difference);
            controller
                .reconcile_metrics
                .publish_event(object, EventType::Warning, &plan.reason, "Start", &plan.message)
                .await;
            Ok(false)
        }
    }
}
