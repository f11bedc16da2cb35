//! A RestoreRequest explained in one paragraph for the ticket: what it waits for, whom, until when, and what comes next.

use crate::facts::{tenant, zone};
use crate::words::{bytes, count, instant, millis, span};
use chrono::{DateTime, TimeDelta, Utc};
use kube::ResourceExt;
use sennight_api::conditions::{ConditionStatus, RequestCondition, find, is_true};
use sennight_api::restore_request::RestoreMode;
use sennight_api::restore_status::{Decision, RestorePhase, WaitingOn};
use sennight_api::{BackupSchedule, Condition, RestoreRequest, RestoreRequestStatus};

/// The paragraph, in English. `schedule` adds the tenant's time zone; `now` is the present time.
pub fn paragraph(request: &RestoreRequest, schedule: Option<&BackupSchedule>, now: DateTime<Utc>) -> String {
    let status = request.status.clone().unwrap_or_default();
    let mut sentences = vec![request_sentence(request, schedule)];
    sentences.extend(backup(&status, schedule));
    if is_terminal(&status) {
        sentences.push(end(&status));
        sentences.extend(result(request, &status, schedule));
    } else {
        sentences.push(decided(&status));
        sentences.push(wait(&status));
        sentences.extend(why(&status));
        sentences.extend(progress(&status, schedule));
        sentences.extend(estimate(&status));
        sentences.extend(until(&status, schedule, now));
        sentences.push(next(request, &status));
    }
    sentences.extend(refund(&status));
    sentences.join(" ")
}

fn request_sentence(request: &RestoreRequest, schedule: Option<&BackupSchedule>) -> String {
    let spec = &request.spec;
    let whose = tenant(request, schedule).map_or_else(String::new, |tenant| format!(" of tenant {tenant}"));
    let day = match (spec.date, &spec.backup) {
        (Some(date), _) => format!(" as of {date}"),
        (None, Some(id)) => format!(" as of backup {id}"),
        (None, None) => String::new(),
    };
    let what = match spec.mode {
        RestoreMode::CrmExport => format!("CSV files of the CRM{whose}{day}"),
        RestoreMode::FullRestore => format!("the whole database{whose} back{day}"),
        RestoreMode::Undo => {
            let of = spec.undo_of.as_ref().map_or("a full restore", |of| of.name.as_str());
            format!("{of}{whose} to be taken back")
        }
    };
    format!(
        "Ticket {}: user {} asked for {what} (restore request {}).",
        spec.ticket.id,
        spec.requester.user_id,
        request.name_any()
    )
}

fn backup(status: &RestoreRequestStatus, schedule: Option<&BackupSchedule>) -> Option<String> {
    let backup = status.backup.as_ref()?;
    let held = backup
        .held_until
        .map_or_else(String::new, |until| format!("; it is kept until {}", instant(until, zone(schedule))));
    let (at, rows, size) = (instant(backup.snapshot_time, zone(schedule)), count(backup.rows), bytes(backup.bytes));
    Some(format!("The backup chosen is from {at} ({rows} rows, {size}){held}."))
}

fn decided(status: &RestoreRequestStatus) -> String {
    let by = |by: &Option<String>| by.as_ref().map_or_else(String::new, |by| format!(" by {by}"));
    let approved = match &status.approval {
        Some(approval) if approval.decision == Decision::Approved => format!("It is approved{}", by(&approval.by)),
        Some(approval) => format!("It is denied{}", by(&approval.by)),
        None => "It is not approved yet".to_owned(),
    };
    let paid = find(&status.conditions, RequestCondition::Paid).map(|paid| paid.status);
    let payment = status.payment.clone().unwrap_or_default();
    let reference = payment.reference.map_or_else(String::new, |reference| format!(", reference {reference}"));
    match paid {
        Some(ConditionStatus::True) => format!("{approved} and paid{}{reference}.", by(&payment.by)),
        Some(_) | None => format!("{approved} and not paid yet."),
    }
}

fn wait(status: &RestoreRequestStatus) -> String {
    match status.waiting_on {
        Some(WaitingOn::Helpdesk) => "It waits for the helpdesk to approve or deny it.",
        Some(WaitingOn::Billing) => "It waits for billing to record the payment.",
        Some(WaitingOn::Queue) => "It waits for its turn on the database server, or for its maintenance window.",
        Some(WaitingOn::PlatformTeam) => "It waits for the platform team to put something right.",
        Some(WaitingOn::Operator) => working(status),
        Some(WaitingOn::Nobody) => "It waits for nobody.",
        None => "Sennight has not looked at it yet; if this lasts longer than a minute, the operator does not run.",
    }
    .to_owned()
}

fn working(status: &RestoreRequestStatus) -> &'static str {
    match status.phase {
        Some(RestorePhase::Preparing) => "Sennight is filling and checking the new database beside the live one.",
        Some(RestorePhase::CuttingOver) => "Sennight is swapping the databases.",
        Some(RestorePhase::Exporting) => "Sennight is writing the files.",
        _ => "Sennight is checking whether it is possible.",
    }
}

/// The operator's own reason and message, where something stands in the way.
fn why(status: &RestoreRequestStatus) -> Option<String> {
    // While people decide, Progressing mostly repeats whom it waits for.
    let waits = find(&status.conditions, RequestCondition::Progressing);
    let people = waits.is_some_and(|c| ["AwaitingApproval", "AwaitingPayment"].contains(&c.reason.as_str()));
    let conditions = [RequestCondition::Eligible, RequestCondition::Held, RequestCondition::Progressing];
    // Work that pauses after a failed attempt goes on, and says with what.
    let pauses = |condition: &Condition| {
        let at_work = ["Preparing", "AskingLiveDatabase", "Exporting"].contains(&condition.reason.as_str());
        matches!(status.phase, Some(RestorePhase::Preparing | RestorePhase::Exporting)) && !at_work
    };
    let blocking = |kind| {
        let progressing = kind == RequestCondition::Progressing;
        let silent = people && progressing;
        let stands = |condition: &&Condition| !silent && (!condition.is_true() || (progressing && pauses(condition)));
        find(&status.conditions, kind).filter(stands)
    };
    let condition = conditions.into_iter().find_map(blocking)?;
    let message = condition.message.as_deref().filter(|message| !message.is_empty())?;
    Some(format!("{}: {}.", condition.reason, message.trim_end_matches('.')))
}

/// How far the running step is.
fn progress(status: &RestoreRequestStatus, schedule: Option<&BackupSchedule>) -> Option<String> {
    let progress = status.progress.as_ref()?;
    let of = |done: i64, all: Option<i64>| match all {
        Some(all) => format!("{} of {}", count(done), count(all)),
        None => count(done),
    };
    let part = progress.total_bytes.filter(|all| *all > 0).map_or_else(String::new, |all| {
        let percent = i128::from(progress.bytes.clamp(0, all)) * 100 / i128::from(all);
        format!(", {percent} % of {}", bytes(all))
    });
    let doing = match progress.stage.as_deref() {
        Some("Comparing") => "what arrived is being compared",
        Some("Indexes") => "indexes and constraints are being built",
        Some("Hooks") => "the hooks run",
        Some("Statistics") => "statistics are being gathered",
        _ => "rows are being brought over",
    };
    let end = progress
        .expected_end
        .map_or_else(String::new, |at| format!(" It may be done at {}.", instant(at, zone(schedule))));
    Some(format!(
        "So far {} tables and {} rows{part}; {doing} (as of {}).{end}",
        of(progress.tables, progress.total_tables),
        of(progress.rows, progress.total_rows),
        instant(progress.at, zone(schedule))
    ))
}

fn until(status: &RestoreRequestStatus, schedule: Option<&BackupSchedule>, now: DateTime<Utc>) -> Option<String> {
    let deadline = status.deadline?;
    let left = if deadline > now { format!("{} left", span(deadline - now)) } else { "now past".to_owned() };
    Some(format!("The deadline is {}, {left}.", instant(deadline, zone(schedule))))
}

fn next(request: &RestoreRequest, status: &RestoreRequestStatus) -> String {
    let name = request.name_any();
    let run = match request.spec.mode {
        RestoreMode::CrmExport => "the files are written; live data is not touched",
        RestoreMode::FullRestore => {
            "the database is rebuilt beside the live one and then swapped; every later change is lost"
        }
        RestoreMode::Undo => "the databases are swapped back",
    };
    match status.waiting_on {
        Some(WaitingOn::Helpdesk) => format!(
            "Next: kubectl sennight approve {name} (or deny {name} --reason …); then billing records the payment; then {run}. \
             After the deadline the request expires."
        ),
        Some(WaitingOn::Billing) => format!(
            "Next: once the tenant has paid, kubectl sennight settle {name} --reference … --amount … --currency …; then {run}. \
             After the deadline the request expires."
        ),
        Some(WaitingOn::PlatformTeam) => "Next: it goes on by itself once that is done.".to_owned(),
        _ => format!("Next: once both approved and paid, {run}."),
    }
}

/// What to expect, while people decide.
fn estimate(status: &RestoreRequestStatus) -> Option<String> {
    // After the claim nobody decides any more; `progress` knows better by then.
    let estimate = status.estimate.as_ref().filter(|_| status.claim.is_none())?;
    let takes = span(TimeDelta::seconds(estimate.duration_seconds?));
    let away = match estimate.downtime_millis {
        Some(0) | None => String::new(),
        Some(ms) => format!(", of which the database is away for about {}", millis(ms)),
    };
    let basis = estimate.basis.as_ref().map_or_else(String::new, |basis| format!(" ({basis})"));
    let without = match estimate.not_contained.as_slice() {
        [] => String::new(),
        lines => format!(" It does not bring back: {}.", lines.join("; ")),
    };
    Some(format!("It may take about {takes}{away}{basis}.{without}"))
}

fn is_terminal(status: &RestoreRequestStatus) -> bool {
    status.finished_at.is_some() || status.phase.is_some_and(RestorePhase::is_terminal)
}

fn end(status: &RestoreRequestStatus) -> String {
    let when = status.finished_at.map_or_else(String::new, |at| format!(" at {}", instant(at, None)));
    let reason = |kind| {
        let condition = find(&status.conditions, kind);
        condition
            .and_then(|c| c.message.clone())
            .map_or_else(String::new, |message| format!(": {}", message.trim_end_matches('.')))
    };
    match status.phase {
        Some(RestorePhase::Complete) => format!("It is done{when}."),
        Some(RestorePhase::Denied) => {
            let approval = status.approval.as_ref();
            let by = approval.and_then(|a| a.by.as_ref()).map_or_else(String::new, |by| format!(" by {by}"));
            let why = approval.and_then(|a| a.reason.as_ref()).map_or_else(String::new, |why| format!(": {why}"));
            format!("It was denied{by}{when}{why}. A denial is final; another request can be made.")
        }
        Some(RestorePhase::Expired) => {
            format!(
                "It expired{when}{}. Nothing was changed; another request can be made.",
                reason(RequestCondition::Failed)
            )
        }
        Some(RestorePhase::NeedsAttention) => format!(
            "A person must look at it: it cannot be told whether the swap took effect{}. It is never tried again by itself.",
            reason(RequestCondition::Failed)
        ),
        _ => format!("It failed{when}{}. Live data is untouched.", reason(RequestCondition::Failed)),
    }
}

fn result(
    request: &RestoreRequest,
    status: &RestoreRequestStatus,
    schedule: Option<&BackupSchedule>,
) -> Option<String> {
    let result = status.result.as_ref()?;
    if result.key.is_some() {
        let files: Vec<String> =
            result.files.iter().map(|f| format!("{} ({} records)", f.name, count(f.rows))).collect();
        let size = result.bytes.map_or_else(String::new, |size| format!(", {}", bytes(size)));
        let gone =
            result.expires_at.map_or_else(String::new, |at| format!("; it is removed {}", instant(at, zone(schedule))));
        let name = request.name_any();
        return Some(format!(
            "The zip holds {}{size}{gone}. kubectl sennight link {name} gives a link to it.",
            files.join(", ")
        ));
    }
    let previous = result.previous_database.as_ref()?;
    let until = result.undo_until.map_or_else(String::new, |at| format!(" until {}", instant(at, zone(schedule))));
    // Below zero nobody measured it: the process that swapped died, and another one found the swap committed.
    let measured = result.downtime_millis.filter(|ms| *ms >= 0);
    let down = measured.map_or_else(String::new, |ms| format!("The database was not to be had for {ms} ms. "));
    Some(format!(
        "{down}The replaced database is kept as {previous}{until}; until then a RestoreRequest of mode Undo brings it back."
    ))
}

fn refund(status: &RestoreRequestStatus) -> Option<String> {
    if !is_true(&status.conditions, RequestCondition::RefundDue) {
        return None;
    }
    Some(
        "It was paid and nothing was delivered: billing owes a refund (kubectl sennight refund … --reference REFERENCE)."
            .to_owned(),
    )
}
