//! etcd restored from a snapshot that is older than the restore: the cluster has forgotten what S3 and PostgreSQL know.

use super::gateway::{At, Fault, soon};
use super::setup::{Effects, Mode, Setup};
use kube::ResourceExt;
use std::process::Command;
use std::time::{Duration, Instant};
use testkit::env;
use testkit::world::World;

/// A Lease that outlasts the API server's restart: it is not for want of renewals that the leader ends.
const PATIENT: [&str; 5] = [
    "--lease-duration=60s",
    "--lease-renew-deadline=50s",
    "--lease-retry-period=500ms",
    "--authority-interval=1s",
    "--job-interval=2s",
];

/// Where the snapshot is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Point {
    /// Both keys are turned, nothing is claimed.
    BeforeClaim,
    /// Claimed; no Job yet.
    AfterClaim,
    /// The Job is there; status does not say so.
    AfterJob,
}

#[tokio::test(flavor = "multi_thread")]
async fn i2_a_cluster_that_was_set_back_does_not_restore_a_second_time_and_says_so() {
    let mut cases = Vec::new();
    for mode in [Mode::FullRestore, Mode::CrmExport] {
        for point in [Point::BeforeClaim, Point::AfterClaim, Point::AfterJob] {
            cases.push((mode, point, true));
        }
        cases.push((mode, Point::BeforeClaim, false));
    }
    let mut setup = Setup::within(World::on_servers("setback").alone().await, &PATIENT).await;
    let mut told = Vec::new();
    for (mode, point, reported) in crate::some("etcd set back", &mut cases, 60) {
        told.push(set_back(&mut setup, mode, point, reported).await);
    }
    println!("etcd set back: {} times; every restore took effect once: {}", told.len(), told.join("; "));
}

async fn set_back(setup: &mut Setup, mode: Mode, point: Point, reported: bool) -> String {
    let case = format!("{mode:?} {point:?}{}", if reported { "" } else { ", its report is gone" });
    let step = if mode == Mode::CrmExport { "-export" } else { "-cutover" };
    let at = match point {
        Point::BeforeClaim => (At::Body("\"claim\":{".to_owned()), Fault::KilledBefore),
        Point::AfterClaim => (At::Job(step.to_owned()), Fault::KilledBefore),
        Point::AfterJob => (At::Job(step.to_owned()), Fault::KilledAfter),
    };
    let name = setup.ask(mode).await;
    setup.gateway.expect_at(&name, at);
    let killed = soon(Duration::from_secs(90), async || {
        // Not tended any more once it is dead: nobody starts it again yet.
        setup.gateway.fired().is_some() || (setup.tend(&name).await.is_none() && setup.gateway.fired().is_some())
    });
    assert!(killed.await, "{case}: {:#?}", setup.gateway.writes());
    cluster("snapshot");

    let first = setup.finish(&name, None).await;
    assert_eq!(first.phase, "Complete", "{case}: {first:#?}");
    let uid = setup.world.get(&name).await.uid().unwrap();
    let done = Effects { destructive_pods: 0, ..setup.effects_of(&uid).await };
    assert_eq!(done.claims + done.exports + done.swaps, 2, "{case}: {done:?}");
    if !reported {
        setup.forget_reports(&name).await;
    }

    cluster("rollback");
    // The node, too, is as it was: it runs the pods again that it finds.
    setup.forget_pods();
    notices(setup, &case).await;
    let back = Instant::now();
    let object = setup.world.get(&name).await;
    assert!(object.status.is_some_and(|s| s.finished_at.is_none()), "{case}: the cluster was not set back");
    let second = setup.finish(&name, Some(back)).await;
    assert_eq!(Effects { destructive_pods: 0, ..setup.effects_of(&uid).await }, done, "{case}: {second:#?}");
    assert!(second.took <= super::setup::bar(), "{case} took {:?}", second.took);
    if reported {
        assert_eq!(second.phase, "Complete", "{case}: {second:#?}");
    } else {
        assert_eq!(
            (second.phase.as_str(), second.reason.as_str()),
            ("NeedsAttention", "ClaimedBefore"),
            "{case}: {second:#?}"
        );
    }
    if point != Point::AfterJob {
        assert!(second.message.contains("set back"), "{case}: {second:#?}");
        assert!(second.message.contains("not begun again"), "{case}: {second:#?}");
    }
    setup.tidy(&uid).await;
    format!("{case}: {} {:?}", second.phase, second.took)
}

/// The operator that lived through it finds that its time has been taken back, and ends.
async fn notices(setup: &mut Setup, case: &str) {
    let operator = setup.operator.as_mut().unwrap();
    assert_eq!(operator.ended().await, Some(1), "{case}: {}", operator.log());
    assert!(operator.log().contains("went back from resourceVersion"), "{case}: {}", operator.log());
}

/// What an administrator does to the cluster's etcd.
fn cluster(verb: &str) {
    let script = testkit::repository().join("tests/cluster/api-tier.sh");
    let output = Command::new(script).arg(verb).env("SENNIGHT_RUN_DIR", env("SENNIGHT_CLUSTER_DIR")).output().unwrap();
    assert!(output.status.success(), "{verb}: {}", String::from_utf8_lossy(&output.stderr));
}
