//! The cut-over dies at every statement: the live name serves the old database whole or the restored one whole, what is
//! told of it is true, and every acknowledged write is in one of the two.

use crate::operator::{self, Word};
use crate::process::{Victim, Worker, crash_server, gone, upstream};
use crate::tenant::{Tenant, new_uid};
use crate::{ALONE, chosen, progress};
use sennight_core::restore::RestoreInputs;
use sennight_core::result::DatabaseNumber;
use sennight_protocol::cutover::CutoverTask;
use sennight_protocol::report::{Outcome, TaskReport};
use sennight_protocol::task::Task;
use std::collections::BTreeMap;
use testkit::wire::postgres::{Point, Side, Wire};

/// Which swap is disturbed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// The backup comes in.
    Forth,
    /// What a restore has replaced comes back.
    Back,
}

/// A swap that may begin, and what clients read once it took effect.
async fn prepared(tenant: &mut Tenant, way: Way) -> (CutoverTask, &'static str) {
    let forth = tenant.restore.prepare(&tenant.restore.restore_task(&tenant.backup)).await.unwrap();
    if way == Way::Forth {
        return (forth, "copied copied");
    }
    tenant.restore.cutover(&forth, "pod").await.unwrap();
    tenant.clients.answered().await;
    tenant.nothing_lost(Some(&forth.previous_database)).await;
    let undone = std::mem::replace(&mut tenant.restore.uid, new_uid());
    let back = CutoverTask {
        request_uid: tenant.restore.uid.clone(),
        new_database: forth.previous_database.clone(),
        previous_database: tenant.restore.previous_database(),
        live_number: forth.new_number,
        new_number: forth.live_number,
        undo_of: Some(undone),
        ..forth
    };
    (back, "live live")
}

fn through(task: &CutoverTask, wire: &Wire) -> Task {
    Task::Cutover(CutoverTask { database: wire.target(&task.database), ..task.clone() })
}

/// The statements of a cut-over when nobody dies. The one that ends sessions repeats itself: so a median of three.
async fn statements(tenant: &mut Tenant, way: Way) -> usize {
    let mut counts = Vec::new();
    for _ in 0..3 {
        tenant.next().await;
        let (task, _) = prepared(tenant, way).await;
        let wire = Wire::start(upstream(), None).await;
        let mut worker = Worker::start(&tenant.restore, &through(&task, &wire), &tenant.restore.uid, "cutover");
        assert_eq!(worker.ended().await, Some(0));
        counts.push(wire.statements());
        tenant.clients.answered().await;
        tenant.nothing_lost(Some(&task.previous_database)).await;
        tenant.drop(&task.previous_database).await;
    }
    counts.sort_unstable();
    counts[1]
}

/// What the operator makes of it: the report, and where there is none or it does not say, the server's word by `recover-cutover`.
async fn ended(tenant: &Tenant, task: &CutoverTask, report: Option<&TaskReport>) -> Word {
    let mut facts = RestoreInputs { cutover: operator::step(report, 1), ..operator::claimed() };
    loop {
        let attempt = match operator::word(&facts) {
            Word::Recover(attempt) => attempt,
            word => return word,
        };
        let job = format!("{}-recover-cutover-{attempt}", tenant.restore.uid);
        let mut recoverer = Worker::start(&tenant.restore, &Task::RecoverCutover(task.clone()), &job, "cutover");
        recoverer.ended().await;
        let report = recoverer.report(&tenant.restore).await;
        facts.recover = operator::step(report.as_ref(), attempt);
    }
}

/// How the run ends by the operator's word; which must be the truth, and stay it.
async fn case(tenant: &mut Tenant, way: Way, point: Point, victim: Victim) -> &'static str {
    tenant.next().await;
    let (task, after) = prepared(tenant, way).await;
    tenant.clients.states();
    let mut wire = Wire::start(upstream(), Some(point)).await;
    let mut worker = Worker::start(&tenant.restore, &through(&task, &wire), &tenant.restore.uid, "cutover");
    let reached = tokio::select! {
        reached = wire.reached.recv() => reached,
        _ = worker.ended() => None,
    };
    let application = format!("sennight cutover {}", tenant.restore.uid);
    let mut word = None;
    if reached.is_some() {
        match victim {
            Victim::Worker => worker.kill(),
            Victim::Server => crash_server(&tenant.restore).await,
            Victim::Nobody => word = Some(ended(tenant, &task, None).await),
        }
        drop(reached);
        worker.ended().await;
    }
    let report = worker.report(&tenant.restore).await;
    let word = match word {
        Some(word) => word,
        None => ended(tenant, &task, report.as_ref()).await,
    };
    gone(&tenant.restore, &application).await;
    // The same pod, which has the claim, started again by a node that knows of nothing.
    let mut late = Worker::start(&tenant.restore, &Task::Cutover(task.clone()), &tenant.restore.uid, "cutover");
    late.ended().await;
    gone(&tenant.restore, &application).await;
    let serves = tenant.restore.oid(&tenant.restore.database).await.map(DatabaseNumber);
    let swapped = serves == Some(task.new_number);
    assert!(swapped || serves == Some(task.live_number), "{victim:?} at {point:?}: the live name has OID {serves:?}");
    let end = match (&word, swapped, report.as_ref().map(|r| &r.outcome)) {
        (Word::Complete, true, Some(Outcome::Succeeded(_))) => "Complete",
        (Word::Complete, true, None | Some(Outcome::Unknown { .. })) => "Complete, by the server's word",
        (Word::Failed, false, Some(Outcome::Failed { .. })) => "Failed, the old one serves",
        (Word::Failed, false, None | Some(Outcome::Unknown { .. })) => {
            "Failed, the old one serves, by the server's word"
        }
        told => panic!("{victim:?} at {point:?}: {told:?}, and the live name has OID {serves:?}"),
    };
    tenant.clients.answered().await;
    tenant.nothing_lost(swapped.then_some(task.previous_database.as_str())).await;
    let states = tenant.clients.states();
    assert_eq!(states.contains(after), swapped, "{victim:?} at {point:?}: {states:?}");
    // The app comes in where it came in before, and nowhere else.
    let beside = if swapped { task.live_number } else { task.new_number };
    let app = tenant.restore.role("app");
    let may = format!("SELECT has_database_privilege('{app}', {beside}::oid, 'CONNECT')::text");
    assert_eq!(tenant.restore.value("postgres", &may).await.as_deref(), Some("false"), "{beside} is open");
    if swapped {
        tenant.drop(&task.previous_database).await;
    } else if way == Way::Back {
        assert_eq!(tenant.restore.oid(&task.new_database).await, Some(beside.0), "the previous database is gone");
        tenant.drop(&task.new_database).await;
    } else {
        tenant.dropped(&task).await;
    }
    end
}

async fn every_point(name: &str, way: Way, victim: Victim) {
    let _alone = ALONE.lock().await;
    let mut tenant = Tenant::new(name).await;
    let statements = statements(&mut tenant, way).await;
    let all: Vec<Point> = (1..=statements).flat_map(|n| [(n, Side::Before), (n, Side::After)]).collect();
    let points = chosen(&format!("cut-over {way:?}, {victim:?} dies"), &all);
    let mut ends: BTreeMap<&str, usize> = BTreeMap::new();
    for (number, point) in points.iter().enumerate() {
        progress(&format!("cut-over {way:?}, {victim:?} dies"), number, points.len());
        *ends.entry(case(&mut tenant, way, *point, victim).await).or_default() += 1;
    }
    println!("cut-over {way:?}, {victim:?} dies: {} points of {statements} statements: {ends:?}", points.len());
    // The numbers of the last statements vary; that the swap's COMMIT is among them does not.
    let swapped = |end: &&str| !end.contains("the old one serves");
    assert!(points.len() < all.len() || ends.keys().any(swapped), "no point was at COMMIT or behind it: {ends:?}");
    let Tenant { clients, .. } = tenant;
    clients.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i2_i3_a_worker_killed_at_any_statement_of_the_swap_leaves_one_whole_database_and_no_lie() {
    every_point("swap", Way::Forth, Victim::Worker).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i2_i3_a_server_that_crashes_at_any_statement_of_the_swap_leaves_one_whole_database_and_no_lie() {
    every_point("swapcrash", Way::Forth, Victim::Server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i2_a_worker_that_was_taken_for_dead_at_any_statement_of_the_swap_swaps_nothing_after_the_word_was_given() {
    every_point("swaplate", Way::Forth, Victim::Nobody).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i2_i3_a_worker_killed_at_any_statement_of_an_undo_leaves_one_whole_database_and_the_way_back() {
    every_point("undo", Way::Back, Victim::Worker).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i2_an_undo_that_was_taken_for_dead_at_any_statement_swaps_nothing_after_the_word_was_given() {
    every_point("undolate", Way::Back, Victim::Nobody).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i2_i3_a_server_that_crashes_at_any_statement_of_an_undo_leaves_one_whole_database_and_the_way_back() {
    every_point("undocrash", Way::Back, Victim::Server).await;
}
