//! `list`: prints RestoreRequests and whom they wait for, the most urgent first.

use super::args::{Awaiting, ClusterArgs, Form, ListArgs};
use super::cluster::{Cluster, RESOURCE};
use super::error::PluginError;
use super::output::{Io, table};
use chrono::{DateTime, Utc};
use kube::ResourceExt;
use sennight_api::RestoreRequest;
use sennight_api::conditions::{RequestCondition, is_true};
use sennight_api::restore_status::WaitingOn;
use sennight_present::words::span;
use serde_json::json;

/// Runs `list`.
pub async fn run(args: &ClusterArgs, list: &ListArgs, io: &mut Io<'_>) -> Result<(), PluginError> {
    let cluster = Cluster::connect(args).await?;
    let mut found = cluster.requests(list.all_namespaces, &list.selector).await?;
    found.retain(|request| list.awaiting.is_none_or(|what| awaits(request, what)));
    found.sort_by_key(urgency);
    match list.output {
        Form::Table if found.is_empty() => {
            let place = if list.all_namespaces { "any namespace" } else { cluster.namespace() };
            io.complain(&format!("No RestoreRequests found in {place}."));
            Ok(())
        }
        Form::Table => io.say(&rows(&found, list.all_namespaces, Utc::now())),
        Form::Name => found.iter().try_for_each(|request| io.say(&format!("{RESOURCE}/{}", request.name_any()))),
        form => io.object(&json!({"apiVersion": "v1", "kind": "List", "items": found}), form),
    }
}

/// Whether a request waits for this.
pub fn awaits(request: &RestoreRequest, what: Awaiting) -> bool {
    let Some(status) = &request.status else {
        return false;
    };
    // A refund that is due waits for billing as well, and is no payment.
    let refund = is_true(&status.conditions, RequestCondition::RefundDue);
    match what {
        Awaiting::Approval => status.waiting_on == Some(WaitingOn::Helpdesk),
        Awaiting::Payment => status.waiting_on == Some(WaitingOn::Billing) && !refund,
        Awaiting::Refund => refund,
    }
}

/// The earliest deadline first, what has ended last.
fn urgency(request: &RestoreRequest) -> (bool, DateTime<Utc>, Option<String>, String) {
    let status = request.status.as_ref();
    let ended = status.is_some_and(|status| status.finished_at.is_some());
    let deadline = status.and_then(|status| status.deadline).unwrap_or(DateTime::<Utc>::MAX_UTC);
    (ended, deadline, request.namespace(), request.name_any())
}

/// The requests as a table.
pub fn rows(requests: &[RestoreRequest], namespaces: bool, now: DateTime<Utc>) -> String {
    let mut header = vec!["NAME", "TENANT", "MODE", "DATE", "PHASE", "WAITING-ON", "DEADLINE", "TICKET", "AGE"];
    if namespaces {
        header.insert(0, "NAMESPACE");
    }
    let row = |request: &RestoreRequest| {
        let (spec, status) = (&request.spec, request.status.clone().unwrap_or_default());
        let none = || "-".to_owned();
        let created = request.creation_timestamp().and_then(|time| DateTime::from_timestamp(time.0.as_second(), 0));
        let mut row = vec![
            request.name_any(),
            status.tenant.unwrap_or_else(none),
            spec.mode.to_string(),
            spec.date.map_or_else(|| spec.backup.clone().unwrap_or_else(none), |date| date.to_string()),
            status.phase.map_or_else(none, |phase| phase.to_string()),
            status.waiting_on.map_or_else(none, |on| on.to_string()),
            status.deadline.map_or_else(none, |at| left(at, now)),
            spec.ticket.id.clone(),
            created.map_or_else(none, |at| span(now - at)),
        ];
        if namespaces {
            row.insert(0, request.namespace().unwrap_or_default());
        }
        row
    };
    table(&header, &requests.iter().map(row).collect::<Vec<_>>())
}

fn left(deadline: DateTime<Utc>, now: DateTime<Utc>) -> String {
    if deadline > now { format!("in {}", span(deadline - now)) } else { format!("{} ago", span(now - deadline)) }
}
