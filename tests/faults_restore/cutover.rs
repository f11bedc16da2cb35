//! The cut-over dies at every statement: the live name serves the old database whole or the restored one whole, what is
//! told of it is true, and every acknowledged write is in one of the two.

use crate::process::{Victim, Worker, crash_server, gone, upstream};
use crate::tenant::Tenant;
use crate::wire::{Point, Side, Wire};
use crate::{ALONE, chosen};
use sennight::domain::job::{CutoverTask, Done, Outcome, Work};
use sennight::engine::postgres::swap::Standing;
use std::collections::BTreeMap;

async fn prepared(tenant: &Tenant) -> CutoverTask {
    tenant.world.prepare(&tenant.world.restore_task(&tenant.copy)).await.unwrap()
}

fn through(task: &CutoverTask, wire: &Wire) -> Work {
    Work::Cutover(CutoverTask { database: wire.target(&task.database), ..task.clone() })
}

/// The statements of a cut-over when nobody dies. The one that ends sessions repeats itself: so a median of three.
async fn statements(tenant: &mut Tenant) -> usize {
    let mut counts = Vec::new();
    for _ in 0..3 {
        tenant.next().await;
        let task = prepared(tenant).await;
        let wire = Wire::start(upstream(), None).await;
        let mut worker = Worker::start(&tenant.world, &through(&task, &wire), &tenant.world.uid, "cutover");
        assert_eq!(worker.ended().await, Some(0));
        counts.push(wire.statements());
        tenant.clients.answered().await;
        tenant.nothing_lost(Some(&task.kept_database)).await;
        tenant.drop(&task.kept_database).await;
    }
    counts.sort_unstable();
    counts[1]
}

/// How the run ends, as the operator's rules say it; and the truth.
async fn case(tenant: &mut Tenant, point: Point, victim: Victim) -> &'static str {
    tenant.next().await;
    let task = prepared(tenant).await;
    tenant.clients.states();
    let mut wire = Wire::start(upstream(), Some(point)).await;
    let mut worker = Worker::start(&tenant.world, &through(&task, &wire), &tenant.world.uid, "cutover");
    let reached = tokio::select! {
        reached = wire.reached.recv() => reached,
        _ = worker.ended() => None,
    };
    if reached.is_some() {
        match victim {
            Victim::Worker => worker.kill(),
            Victim::Server => crash_server(&tenant.world).await,
        }
        drop(reached);
        worker.ended().await;
    }
    gone(&tenant.world, &format!("sennight cutover {}", tenant.world.uid)).await;
    let stands = tenant.standing(&task).await;
    let report = worker.report(&tenant.world).await;
    let end = match (report.map(|r| r.outcome), &stands) {
        (Some(Outcome::Succeeded(Done::CutOver { .. })), Standing::After) => "Complete",
        (Some(Outcome::Failed { .. }), Standing::Before) => "Failed, the old one serves",
        (None, Standing::Before) => "NeedsAttention, the old one serves",
        (None, Standing::After) => "NeedsAttention, the restored one serves",
        (Some(Outcome::Unknown { .. }), Standing::Before | Standing::After) => "NeedsAttention, and it says so",
        told => panic!("{victim:?} at {point:?}: {told:?}"),
    };
    tenant.clients.answered().await;
    let kept = (stands == Standing::After).then_some(task.kept_database.as_str());
    tenant.nothing_lost(kept).await;
    let states = tenant.clients.states();
    assert_eq!(states.contains("copied copied"), stands == Standing::After, "{victim:?} at {point:?}: {states:?}");
    // The app comes in where it came in before, and nowhere else.
    let beside = if stands == Standing::After { &task.kept_database } else { &task.new_database };
    let may = format!("SELECT has_database_privilege('{}', '{beside}', 'CONNECT')::text", tenant.world.role("app"));
    assert_eq!(tenant.world.value("postgres", &may).await.as_deref(), Some("false"), "{beside} is open");
    tenant.drop(beside).await;
    end
}

async fn every_point(name: &str, victim: Victim, sides: &[Side]) {
    let _alone = ALONE.lock().await;
    let mut tenant = Tenant::new(name).await;
    let statements = statements(&mut tenant).await;
    let all: Vec<Point> = (1..=statements).flat_map(|n| sides.iter().map(move |side| (n, *side))).collect();
    let points = chosen(&format!("cut-over, {victim:?} dies"), &all);
    let mut ends: BTreeMap<&str, usize> = BTreeMap::new();
    for point in &points {
        *ends.entry(case(&mut tenant, *point, victim).await).or_default() += 1;
    }
    println!("cut-over, {victim:?} dies: {} points of {statements} statements: {ends:?}", points.len());
    // The numbers of the last statements vary; that the swap's COMMIT is among them does not.
    let swapped = |end: &&str| !end.contains("the old one serves");
    assert!(points.len() < all.len() || ends.keys().any(swapped), "no point was at COMMIT or behind it: {ends:?}");
    let Tenant { clients, .. } = tenant;
    clients.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i2_i3_a_worker_killed_at_any_statement_of_the_swap_leaves_one_whole_database_and_no_lie() {
    every_point("swap", Victim::Worker, &[Side::Before, Side::After]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i2_i3_a_server_that_crashes_at_any_statement_of_the_swap_leaves_one_whole_database_and_no_lie() {
    every_point("swapcrash", Victim::Server, &[Side::Before, Side::After]).await;
}
