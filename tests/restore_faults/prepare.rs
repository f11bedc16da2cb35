//! `prepare` dies at every statement: the live database is the same, and the next attempt ends what this one began.

use crate::process::{Victim, Worker, crash_server, gone, upstream};
use crate::tenant::Tenant;
use crate::{ALONE, chosen, progress};
use sennight_engine::postgres::ident;
use sennight_protocol::report::Outcome;
use sennight_protocol::restore::RestoreTask;
use sennight_protocol::task::Task;
use testkit::wire::postgres::{Point, Side, Wire};

fn task(tenant: &Tenant, wire: &Wire) -> RestoreTask {
    let task = tenant.restore.restore_task(&tenant.backup);
    RestoreTask { database: wire.target(&task.database), ..task }
}

/// How many statements a `prepare` has when nobody dies.
async fn statements(tenant: &Tenant) -> usize {
    let wire = Wire::start(upstream(), None).await;
    let work = Task::Prepare(task(tenant, &wire));
    let mut worker = Worker::start(&tenant.restore, &work, &format!("{}-whole", tenant.restore.uid), "restore");
    assert_eq!(worker.ended().await, Some(0));
    wire.statements()
}

async fn case(tenant: &Tenant, point: Point, victim: Victim, number: usize) {
    let live = tenant.restore.oid(&tenant.restore.database).await;
    let mut wire = Wire::start(upstream(), Some(point)).await;
    let work = Task::Prepare(task(tenant, &wire));
    let mut worker = Worker::start(&tenant.restore, &work, &format!("{}-{number}", tenant.restore.uid), "restore");
    let reached = tokio::select! {
        reached = wire.reached.recv() => reached,
        code = worker.ended() => {
            // Statements by several connections at once: a run may have one less.
            assert_eq!(code, Some(0), "{victim:?} at {point:?}");
            None
        }
    };
    if reached.is_some() {
        match victim {
            Victim::Worker => worker.kill(),
            Victim::Server => crash_server(&tenant.restore).await,
            Victim::Nobody => {}
        }
        drop(reached);
        if victim == Victim::Server {
            worker.ended().await;
            let report = worker.report(&tenant.restore).await.expect("a worker that lives tells what happened");
            let fine = matches!(report.outcome, Outcome::Failed { retryable: true, .. } | Outcome::Succeeded(_));
            assert!(fine, "{point:?}: {report:?}");
        }
    }
    gone(&tenant.restore, &format!("sennight prepare {}", tenant.restore.uid)).await;
    assert_eq!(tenant.restore.oid(&tenant.restore.database).await, live, "{victim:?} at {point:?}");
    tenant.clients.answered().await;
    // What it left is nobody's: only its owner may come in, and not even PUBLIC by default.
    let new = tenant.restore.new_database();
    if tenant.restore.oid(&new).await.is_some() {
        let may = format!(
            "SELECT has_database_privilege('{}', d.oid, 'CONNECT')::text || datallowconn FROM pg_database d WHERE datname = '{new}'",
            tenant.restore.role("app")
        );
        let may = tenant.restore.value("postgres", &may).await.unwrap();
        assert!(may != "truetrue", "{victim:?} at {point:?}: {} is open", ident(&new));
    }
    let again = tenant.restore.prepare(&tenant.restore.restore_task(&tenant.backup)).await;
    again.unwrap_or_else(|error| panic!("{victim:?} at {point:?}: the next attempt: {error}"));
    tenant.clients.states();
    tenant.nothing_lost(None).await;
}

async fn every_point(name: &str, victim: Victim, sides: &[Side]) {
    let _alone = ALONE.lock().await;
    let tenant = Tenant::new(name).await;
    let statements = statements(&tenant).await;
    let all: Vec<Point> = (1..=statements).flat_map(|n| sides.iter().map(move |side| (n, *side))).collect();
    let points = chosen(&format!("prepare, {victim:?} dies"), &all);
    for (number, point) in points.iter().enumerate() {
        progress(&format!("prepare, {victim:?} dies"), number, points.len());
        case(&tenant, *point, victim, number).await;
    }
    println!(
        "prepare, {victim:?} dies: {} points of {statements} statements, the live database untouched",
        points.len()
    );
    let Tenant { clients, .. } = tenant;
    clients.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i3_a_worker_killed_at_any_statement_of_prepare_costs_an_attempt_and_nothing_else() {
    every_point("prep", Victim::Worker, &[Side::Before, Side::After]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i3_a_server_that_crashes_at_any_statement_of_prepare_costs_an_attempt_and_nothing_else() {
    every_point("prepcrash", Victim::Server, &[Side::After]).await;
}
