//! `approve` and `deny`: write the helpdesk's decision, by a merge patch of `status.approval`.

use super::args::{ApproveArgs, ClusterArgs, DenyArgs, DryRun};
use super::cluster::Cluster;
use super::error::PluginError;
use super::output::Io;
use super::settle;
use chrono::Utc;
use kube::ResourceExt;
use sennight_api::restore_request::RestoreMode;
use sennight_api::restore_status::Decision;
use sennight_api::{BackupSchedule, RestoreRequest};
use sennight_present::facts;
use serde_json::{Value, json};

/// Shows the request, then approves it. Where a database is replaced, the tenant's id must be typed first.
pub async fn approve(args: &ClusterArgs, approve: &ApproveArgs, io: &mut Io<'_>) -> Result<(), PluginError> {
    let cluster = Cluster::connect(args).await?;
    let request = cluster.request(&approve.name).await?;
    let schedule = cluster.schedule(&request).await;
    may_approve(&request)?;
    // On standard error: standard output has the result alone, also with `-o json`.
    io.complain(&facts::text(&request, schedule.as_ref(), Utc::now()));
    if approve.write.dry_run == DryRun::None && !approve.yes {
        confirm(&request, schedule.as_ref(), io)?;
    }
    let status = decision(Decision::Approved, cluster.whoami().await, approve.reason.as_deref());
    cluster.write(&request, status, None, "approved", &approve.write, io).await
}

/// Denies, with a reason for the ticket.
pub async fn deny(args: &ClusterArgs, deny: &DenyArgs, io: &mut Io<'_>) -> Result<(), PluginError> {
    let cluster = Cluster::connect(args).await?;
    let request = cluster.request(&deny.name).await?;
    may_deny(&request)?;
    let schedule = cluster.schedule(&request).await;
    io.complain(&facts::text(&request, schedule.as_ref(), Utc::now()));
    if settle::is_paid(&request) {
        io.complain("note: this request is paid; once it is denied, billing owes a refund");
    }
    let status = decision(Decision::Denied, cluster.whoami().await, Some(&deny.reason));
    cluster.write(&request, status, None, "denied", &deny.write, io).await
}

fn decision(decision: Decision, by: Option<String>, reason: Option<&str>) -> Value {
    let mut approval = json!({"decision": decision});
    // From 1.36 on admission stamps the name; before, it checks the one that is given.
    if let Some(by) = by {
        approval["by"] = by.into();
    }
    if let Some(reason) = reason {
        approval["reason"] = reason.into();
    }
    json!({"approval": approval})
}

/// Refuses an approval that could not mean anything yet or any more.
pub fn may_approve(request: &RestoreRequest) -> Result<(), PluginError> {
    let refuse = |why: &str| Err(PluginError::NotNow(why.to_owned()));
    let Some(status) = &request.status else {
        return refuse("Sennight has not looked at this request yet: wait until it shows a backup, then approve that");
    };
    if status.finished_at.is_some() {
        return refuse("this request has ended: create another one");
    }
    if let Some(approval) = &status.approval {
        return match approval.decision {
            Decision::Approved => refuse("this request is approved already"),
            Decision::Denied => refuse("this request was denied, which is final: create another one"),
        };
    }
    // What is approved is one backup, chosen once. An Undo has none: it brings a database back.
    if status.backup.is_none() && request.spec.mode != RestoreMode::Undo {
        return refuse("no backup is chosen for this request yet: kubectl sennight explain says why");
    }
    if let Some(why) = facts::impossible(request) {
        return refuse(&format!("it cannot be done as things stand ({why}): have that mended, or deny the request"));
    }
    Ok(())
}

/// Refuses a denial that could not mean anything any more.
pub fn may_deny(request: &RestoreRequest) -> Result<(), PluginError> {
    let Some(status) = &request.status else { return Ok(()) };
    let why = if status.finished_at.is_some() {
        "has ended already: a decision changes nothing any more"
    } else if status.claim.is_some() {
        "has been claimed: from then on nothing can be revoked; kubectl sennight explain says how it goes on"
    } else if status.approval.as_ref().is_some_and(|approval| approval.decision == Decision::Denied) {
        "was denied already"
    } else {
        return Ok(());
    };
    Err(PluginError::NotNow(format!("{} {why}", request.name_any())))
}

/// Asks for the tenant's id before an approval that replaces a database.
pub fn confirm(
    request: &RestoreRequest,
    schedule: Option<&BackupSchedule>,
    io: &mut Io<'_>,
) -> Result<(), PluginError> {
    if request.spec.mode == RestoreMode::CrmExport {
        return Ok(());
    }
    let Some(tenant) = facts::tenant(request, schedule).map(ToOwned::to_owned) else {
        return Err(PluginError::NotNow("the tenant is not known yet: wait for the operator".to_owned()));
    };
    // Standard input of a script may hold anything: an id in there would confirm nothing.
    if !io.interactive {
        return Err(PluginError::NotConfirmed(
            "nobody is here to type the tenant's id: pass --yes if somebody has checked what is shown above".to_owned(),
        ));
    }
    let answer = io.ask("Type the tenant's id to approve: ")?;
    if answer == tenant {
        return Ok(());
    }
    Err(PluginError::NotConfirmed(format!("{answer:?} is not this request's tenant: nothing was approved")))
}
