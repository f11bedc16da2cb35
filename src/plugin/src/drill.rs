//! `drill`: asks for a restore drill of a tenant's newest backup now, and waits for what it proves.

use super::args::{ClusterArgs, DrillArgs, Form};
use super::cluster::Cluster;
use super::error::PluginError;
use super::output::Io;
use chrono::Utc;
use kube::ResourceExt;
use sennight_api::database_server::DrillRun;
use sennight_api::{BackupSchedule, DatabaseServer};
use sennight_core::drill::INTERRUPTIONS;
use sennight_present::words::instant;
use std::time::Duration;

/// Pause between two reads of the server's status.
const POLL_INTERVAL: Duration = Duration::from_secs(2);

/// Asks for a drill, and waits for its result unless `--no-wait` is given.
pub async fn run(args: &ClusterArgs, drill: &DrillArgs, io: &mut Io<'_>) -> Result<(), PluginError> {
    let cluster = Cluster::connect(args).await?;
    let schedule = cluster.tenant(&drill.name).await?;
    let server = cluster.server(&schedule.spec.database.server_ref.name).await?;
    possible(&schedule, &server)?;
    let (name, server) = (schedule.name_any(), server.name_any());
    // To the millisecond: only a new token asks for a drill.
    let token = format!("kubectl-{}", Utc::now().format("%Y%m%dT%H%M%S%.3fZ"));
    cluster.ask_drill(&schedule, &token).await?;
    io.complain(&format!(
        "asked for a drill of {name}'s newest backup; it is restored beside nobody's live data and dropped again"
    ));
    if drill.no_wait {
        return io.say(&format!("backupschedule.sennight.dev/{name} drill asked"));
    }
    let wait = tokio::time::timeout(drill.timeout, ended(&cluster, &server, &name, &token, io));
    let Ok(run) = wait.await else {
        let message = format!(
            "no result after {:?}; it goes on: kubectl get databaseserver {} -o yaml shows status.drill",
            drill.timeout, server
        );
        return Err(PluginError::NotNow(message));
    };
    print_result(&run?, drill.output, io)
}

/// Refuses a drill that the operator would never run.
fn possible(schedule: &BackupSchedule, server: &DatabaseServer) -> Result<(), PluginError> {
    let newest = schedule.status.as_ref().and_then(|status| status.backups.first());
    if newest.is_none() {
        return Err(PluginError::NotNow(format!("{} has no backup yet: nothing to prove", schedule.name_any())));
    }
    if server.spec.drill.as_ref().and_then(|drill| drill.server_ref.as_ref()).is_none() {
        let server = server.name_any();
        let message = format!(
            "DatabaseServer {server} names no place for scratch databases: set spec.drill.serverRef (perDay may stay 0)"
        );
        return Err(PluginError::NotNow(message));
    }
    Ok(())
}

async fn ended(
    cluster: &Cluster,
    server: &str,
    schedule: &str,
    token: &str,
    io: &mut Io<'_>,
) -> Result<DrillRun, PluginError> {
    let mut reported = 0;
    loop {
        let status = cluster.server(server).await?.status.unwrap_or_default();
        let last = status.drill.unwrap_or_default().last;
        // By the token: one of the day's own drills of this schedule may end meanwhile.
        let mine = |run: &&DrillRun| run.schedule == schedule && run.trigger.as_deref() == Some(token);
        let runs: Vec<&DrillRun> = last.iter().filter(mine).collect();
        match answer(&runs) {
            Answer::Run(run) => return Ok(run.clone()),
            Answer::GivenUp(why) => return Err(PluginError::NotNow(why)),
            Answer::Waiting if runs.len() > reported => {
                reported = runs.len();
                io.complain(&format!("{}; it is tried again", interruption(runs[0])));
            }
            Answer::Waiting => {}
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// What the drills of one token came to.
enum Answer<'a> {
    Run(&'a DrillRun),
    GivenUp(String),
    Waiting,
}

/// Judges the drills of one token, the newest first.
fn answer<'a>(runs: &[&'a DrillRun]) -> Answer<'a> {
    if let Some(run) = runs.iter().find(|run| run.proven.is_some()) {
        return Answer::Run(run);
    }
    match runs.first() {
        Some(run) if runs.len() >= INTERRUPTIONS || run.reason.as_deref() == Some("NoScratchServer") => {
            Answer::GivenUp(format!("{}; nothing is known of the backup", interruption(run)))
        }
        _ => Answer::Waiting,
    }
}

fn interruption(run: &DrillRun) -> String {
    let (reason, message) = (run.reason.as_deref().unwrap_or_default(), run.message.as_deref().unwrap_or_default());
    format!("the drill of {} was interrupted: {reason}: {message}", run.schedule)
}

fn print_result(run: &DrillRun, form: Form, io: &mut Io<'_>) -> Result<(), PluginError> {
    let proven = run.proven == Some(true);
    match form {
        Form::Table if proven => {
            let at = run.finished_at.map(|at| instant(at, None)).unwrap_or_default();
            io.say(&format!(
                "{}: backup {} is proven: restored, compared and dropped at {at}",
                run.schedule, run.backup
            ))?;
        }
        Form::Table => {}
        Form::Name => io.say(&format!("backupschedule.sennight.dev/{}", run.schedule))?,
        form => {
            let value = serde_json::to_value(run).map_err(|error| PluginError::Form(error.to_string()))?;
            io.object(&value, form)?;
        }
    }
    if proven {
        return Ok(());
    }
    Err(PluginError::NotProven {
        schedule: run.schedule.clone(),
        backup: run.backup.clone(),
        reason: run.reason.clone().unwrap_or_default(),
        message: run.message.clone().unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn schedule(points: &serde_json::Value) -> BackupSchedule {
        serde_json::from_value(json!({
            "apiVersion": "sennight.dev/v1alpha1", "kind": "BackupSchedule", "metadata": {"name": "acme", "namespace": "n"},
            "spec": {
                "tenant": {"id": "t", "owner": "1", "plan": {"name": "free"}},
                "database": {"serverRef": {"name": "pg"}, "name": "d"}, "storageRef": {"name": "b"}
            },
            "status": {"backups": points}
        }))
        .unwrap()
    }

    fn server(drill: &serde_json::Value) -> DatabaseServer {
        serde_json::from_value(json!({
            "apiVersion": "sennight.dev/v1alpha1", "kind": "DatabaseServer", "metadata": {"name": "pg", "namespace": "n"},
            "spec": {"engine": "PostgreSQL", "host": "db", "dumpCredentialsSecretRef": {"name": "d"}, "drill": drill}
        }))
        .unwrap()
    }

    #[test]
    fn an_interrupted_drill_is_waited_for_until_it_is_given_up() {
        let run = |proven: Option<bool>, reason: &str| -> DrillRun {
            let run = json!({
                "schedule": "acme", "backup": "c", "job": "j", "startedAt": "2026-11-22T00:00:00Z", "proven": proven,
                "reason": reason, "message": "m"
            });
            serde_json::from_value(run).unwrap()
        };
        let answered = |runs: &[DrillRun]| match answer(&runs.iter().collect::<Vec<_>>()) {
            Answer::Run(run) => format!("{:?}", run.proven),
            Answer::GivenUp(why) => why,
            Answer::Waiting => "waiting".to_owned(),
        };
        let cut = run(None, "Cancelled");
        assert_eq!(answered(&[]), "waiting");
        assert_eq!(answered(std::slice::from_ref(&cut)), "waiting");
        assert_eq!(answered(&[run(Some(false), "BackupDamaged"), cut.clone()]), "Some(false)");
        assert!(answered(&vec![cut; INTERRUPTIONS]).contains("Cancelled: m; nothing is known of the backup"));
        assert!(answered(&[run(None, "NoScratchServer")]).contains("NoScratchServer"));
    }

    #[test]
    fn what_can_never_be_answered_is_said_at_once() {
        let point = json!([{
            "id": "a", "day": "2026-11-22", "snapshotTime": "2026-11-22T00:00:00Z", "bytes": 1, "rows": 1, "manifestSha256": "x"
        }]);
        let scratch = json!({"serverRef": {"name": "scratch"}});
        assert!(possible(&schedule(&point), &server(&scratch)).is_ok());
        let no_backup = possible(&schedule(&json!([])), &server(&scratch)).unwrap_err().to_string();
        assert!(no_backup.contains("no backup yet"), "{no_backup}");
        let no_place = possible(&schedule(&point), &server(&json!({"perDay": 0}))).unwrap_err().to_string();
        assert!(no_place.contains("spec.drill.serverRef"), "{no_place}");
    }
}
