//! Dumps of tenants that share a Job: the operator killed and lied to at every write between "due" and "done". What counts is
//! what is there afterwards: one backup of each tenant, and one Job that was ever told to make it (I8).

use super::gateway::{Fault, soon};
use super::setup::Setup;
use kube::api::{Patch, PatchParams};
use sennight_api::BackupSchedule;
use sennight_api::backup_schedule::RunOutcome;
use sennight_operator::cache::jobs::runs;
use serde_json::json;
use std::time::Duration;
use testkit::world::Tenant;

/// From the token to the last tenant's backup, with one harm on the way.
const LONGEST: Duration = Duration::from_secs(150);
const FAULTS: [Fault; 5] =
    [Fault::KilledBefore, Fault::KilledAfter, Fault::Lost504, Fault::Conflict409, Fault::TooMany429];

#[tokio::test(flavor = "multi_thread")]
async fn i8_a_batch_whose_operator_is_killed_or_lied_to_at_any_write_makes_one_backup_of_each_tenant() {
    let mut setup = Setup::new("slots").await;
    let mates = [setup.world.tenant("bolt").await, setup.world.tenant("cove").await];
    let writes = round(&mut setup, &mates, 0, None).await;
    println!("a batch takes {} writes about one of its tenants: {}", writes.len(), writes.join(", "));
    let mut all: Vec<_> = (1..=writes.len()).flat_map(|write| FAULTS.map(|fault| (write, fault))).collect();
    for (number, case) in (1..).zip(crate::some("batches under kill -9, 504, 409 and 429", &mut all, 30)) {
        round(&mut setup, &mates, number, Some(case)).await;
    }
}

/// All three are asked for at once; the writes about the first of them.
async fn round(setup: &mut Setup, mates: &[Tenant; 2], number: usize, fault: Option<(usize, Fault)>) -> Vec<String> {
    let token = format!("round-{number}");
    let names = [setup.tenant.name.clone(), mates[0].name.clone(), mates[1].name.clone()];
    let before = backups(setup, &names).await;
    setup.gateway.expect(&names[0], fault);
    let schedules = setup.world.api::<BackupSchedule>();
    for name in &names {
        let patch = json!({"spec": {"trigger": {"manual": token}}});
        schedules.patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    }
    let key = format!("manual-{token}");
    let done = soon(LONGEST, async || {
        setup.supervise().await;
        for name in &names {
            let run = schedules.get(name).await.unwrap().status.and_then(|status| status.last_run);
            if !run.is_some_and(|run| run.key == key && run.outcome == Some(RunOutcome::Succeeded)) {
                return false;
            }
        }
        true
    })
    .await;
    let writes = setup.gateway.writes();
    assert!(done, "{fault:?}: not in time: {writes:#?}\n{}", setup.operator.as_ref().unwrap().log());
    let after: Vec<usize> = before.iter().map(|backups| backups + 1).collect();
    assert_eq!(backups(setup, &names).await, after, "{fault:?}: {writes:#?}");
    for name in &names {
        let jobs = setup.world.jobs().await;
        let told = jobs.iter().flat_map(runs).filter(|run| run.schedule == *name && run.run == key).count();
        assert_eq!(told, 1, "{fault:?}: {name} in {told} Jobs: {writes:#?}");
    }
    writes
}

async fn backups(setup: &Setup, names: &[String; 3]) -> Vec<usize> {
    let keys = setup.world.bucket().keys().await;
    let of = |name: &String| {
        let place = format!("/{name}/");
        keys.iter()
            .filter(|key| key.contains("daily/") && key.contains(&place) && key.ends_with("manifest.json"))
            .count()
    };
    names.iter().map(of).collect()
}
