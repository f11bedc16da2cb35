//! The facts of a RestoreRequest for the person who decides: tenant, plan, size, date, and what will be lost.

use crate::words::{self, bytes, count, instant, span};
use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use kube::ResourceExt;
use sennight_api::conditions::{RequestCondition, find, reason};
use sennight_api::restore_request::RestoreMode;
use sennight_api::{BackupSchedule, ConditionStatus, RestoreRequest};

/// The time zone of a schedule, if it is a valid one.
pub fn zone(schedule: Option<&BackupSchedule>) -> Option<Tz> {
    schedule.and_then(|schedule| schedule.spec.time_zone.parse().ok())
}

/// The tenant's id: from the request's status, or from the schedule while status is still empty.
pub fn tenant<'a>(request: &'a RestoreRequest, schedule: Option<&'a BackupSchedule>) -> Option<&'a str> {
    let recorded = request.status.as_ref().and_then(|status| status.tenant.as_deref());
    recorded.or_else(|| schedule.map(|schedule| schedule.spec.tenant.id.as_str()))
}

/// The mode in words.
pub fn mode(mode: RestoreMode) -> &'static str {
    match mode {
        RestoreMode::CrmExport => "CrmExport (CSV files of all CRM elements; live data is not touched)",
        RestoreMode::FullRestore => "FullRestore (the whole database goes back)",
        RestoreMode::Undo => "Undo (a full restore is taken back)",
    }
}

/// The facts as pairs of label and text, in the order to show them.
pub fn lines(request: &RestoreRequest, schedule: Option<&BackupSchedule>, now: DateTime<Utc>) -> Vec<(String, String)> {
    let (spec, status) = (&request.spec, request.status.clone().unwrap_or_default());
    let mut lines: Vec<(String, String)> = Vec::new();
    let mut add = |label: &str, text: String| lines.push((label.to_owned(), text));
    add(
        "Request",
        format!("{}/{} (uid {})", request.namespace().unwrap_or_default(), request.name_any(), uid(request)),
    );
    add("Tenant", tenant(request, schedule).unwrap_or("not known yet").to_owned());
    if let Some(schedule) = schedule {
        let plan = &schedule.spec.tenant.plan;
        let restores = if plan.includes_restore { "includes restores" } else { "does not include restores" };
        add("Plan", format!("{} ({restores})", plan.name));
        add("Database", format!("{} on {}", schedule.spec.database.name, schedule.spec.database.server_ref.name));
        let owner = &schedule.spec.tenant.owner;
        // Shown to whoever decides, although the operator refuses another than the owner: it may not have looked yet.
        let same = if *owner == spec.requester.user_id { "the account's owner" } else { "NOT the account's owner" };
        add("Asked by", format!("user {} ({same}), ticket {}", spec.requester.user_id, spec.ticket.id));
    } else {
        add("Asked by", format!("user {}, ticket {}", spec.requester.user_id, spec.ticket.id));
    }
    add("Reason", spec.reason.clone());
    add("Wanted", mode(spec.mode).to_owned());
    if let Some(backup) = &status.backup {
        let at = instant(backup.snapshot_time, zone(schedule));
        add("Data as of", format!("{at}, {} ago; backup {}", span(now - backup.snapshot_time), backup.id));
        add("Backup", format!("{} rows, {} in the bucket", count(backup.rows), bytes(backup.bytes)));
    } else {
        let wanted = spec.date.map(|date| date.to_string()).or_else(|| spec.backup.clone());
        add("Data as of", format!("{}: no backup is chosen yet", wanted.unwrap_or_else(|| "-".to_owned())));
    }
    if let Some(estimate) = &status.estimate {
        if let Some(live) = estimate.live_bytes {
            let sessions = estimate.live_sessions.unwrap_or(0);
            add("Live database", format!("{}, {} open sessions", bytes(live), count(sessions)));
        }
        if let Some(seconds) = estimate.duration_seconds {
            add("Will take", expected(seconds, estimate.downtime_millis, estimate.basis.as_deref()));
        }
        if !estimate.not_contained.is_empty() {
            add("Not contained", estimate.not_contained.join("; "));
        }
        for warning in &estimate.warnings {
            add("Warning", warning.clone());
        }
    }
    for refusal in status.preflight.iter().flat_map(|preflight| &preflight.refusals) {
        add("Refused", format!("{}: {}", refusal.reason, refusal.message));
    }
    add("Will be lost", loss(request, schedule, now));
    lines
}

/// Duration and downtime, said to be an estimate.
fn expected(seconds: i64, downtime_millis: Option<i64>, basis: Option<&str>) -> String {
    let downtime = match downtime_millis {
        Some(0) => "; the live database stays".to_owned(),
        Some(millis) => format!("; the database is away for about {}", words::millis(millis)),
        None => String::new(),
    };
    let basis = basis.map_or_else(String::new, |basis| format!(" ({basis})"));
    format!("about {} once both keys are turned{downtime}{basis}", span(TimeDelta::seconds(seconds)))
}

/// Why the restore cannot be done, if the operator has found a reason. A plan without restores is none: buying one that has
/// them is the payment.
pub fn impossible(request: &RestoreRequest) -> Option<String> {
    let eligible = find(&request.status.as_ref()?.conditions, RequestCondition::Eligible)?;
    let no = eligible.status == ConditionStatus::False && eligible.reason != reason::PLAN_UPGRADE_REQUIRED;
    no.then(|| format!("{}: {}", eligible.reason, eligible.message.as_deref().unwrap_or("no more is known")))
}

/// The data that the tenant loses by the restore.
pub fn loss(request: &RestoreRequest, schedule: Option<&BackupSchedule>, now: DateTime<Utc>) -> String {
    let backup = request.status.as_ref().and_then(|status| status.backup.as_ref());
    match request.spec.mode {
        RestoreMode::CrmExport => "nothing: the tenant gets files, the live database is not touched".to_owned(),
        RestoreMode::Undo => "every change made since the restore that is taken back".to_owned(),
        RestoreMode::FullRestore => backup.map_or_else(
            || "every change made since the backup".to_owned(),
            |backup| {
                let since = instant(backup.snapshot_time, zone(schedule));
                format!(
                    "every change made since {since}: the last {} of everybody's work",
                    span(now - backup.snapshot_time)
                )
            },
        ),
    }
}

fn uid(request: &RestoreRequest) -> &str {
    request.metadata.uid.as_deref().unwrap_or("-")
}

/// The facts as text, one line each, labels aligned.
pub fn text(request: &RestoreRequest, schedule: Option<&BackupSchedule>, now: DateTime<Utc>) -> String {
    let line = |(label, text): (String, String)| format!("{:<14} {text}\n", format!("{label}:"));
    lines(request, schedule, now).into_iter().map(line).collect()
}
