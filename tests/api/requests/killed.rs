//! The operator is killed before and after it puts an entry of the record, again and again: the record neither forks nor
//! loses an entry nor tells one twice, and the request goes its way.

use super::record::{events, named};
use sennight_api::ConditionStatus;
use sennight_api::ConditionStatus::False;
use sennight_core::audit::AuditEvent;
use sennight_operator::request::audit_state::audit_state;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use testkit::cluster::{self, patience};
use testkit::operator::Operator;
use testkit::store::fault::{Action, Fault};
use testkit::world::{World, holds};

/// Kills unless `SENNIGHT_AUDIT_KILLS` says another number; an export has about a dozen entries, so 30 are all there are.
const KILLS: usize = 10;

/// An operator that dies at entries.
struct Mortal<'a> {
    world: &'a World,
    operator: Operator,
    /// Deaths that have come due.
    due: Arc<AtomicUsize>,
    died: usize,
}

impl Mortal<'_> {
    /// Waits, and lets it die where it is to die.
    async fn until(&mut self, what: &str, so: impl AsyncFn() -> bool) {
        let deadline = Instant::now() + patience() * 3;
        loop {
            if self.due.load(Ordering::SeqCst) > self.died {
                self.died += 1;
                self.world.restart(&mut self.operator).await;
            }
            if so().await {
                return;
            }
            assert!(Instant::now() < deadline, "not in time, after {} kills: {what}", self.died);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn says(&mut self, type_: &str, status: ConditionStatus, reason: &str) {
        let world = self.world;
        self.until(reason, async || {
            let found = world.get("r").await.status.unwrap_or_default();
            holds(&found.conditions, type_, status, reason)
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_killed_before_and_after_entries_leaves_one_chain_that_tells_all_once() {
    let kills = std::env::var("SENNIGHT_AUDIT_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(KILLS);
    let world = World::on_servers("entries").await;
    let tenant = world.tenant("acme").await;
    let backup = world.backup(&tenant).await;
    let (due, puts) = (Arc::new(AtomicUsize::new(0)), AtomicUsize::new(0));
    let deaths = due.clone();
    let fault = Fault::start(move |request| {
        if request.method != "PUT" || !request.path.contains("/audit/") || deaths.load(Ordering::SeqCst) >= kills {
            return Action::Forward;
        }
        deaths.fetch_add(1, Ordering::SeqCst);
        // Every other time it dies before the entry is there; the next start puts it, and dies after.
        if puts.fetch_add(1, Ordering::SeqCst) % 2 == 0 { Action::Stall } else { Action::LoseAnswer }
    })
    .await;
    let endpoint = json!({"spec": {"endpoint": fault.endpoint}}).to_string();
    cluster::kubectl_ok(&["-n", &world.namespace, "patch", "bstore", "main", "--type=merge", "-p", &endpoint], "");
    world.request(&tenant, "r", backup.day, json!({})).await;
    let operator = world.operator(&[]);
    let mut mortal = Mortal { world: &world, operator, due, died: 0 };

    mortal.says("Progressing", False, "AwaitingApproval").await;
    world.decide("r", "Approved").await;
    mortal.says("Progressing", False, "AwaitingPayment").await;
    world.pay("r").await;
    mortal.until("a Job for the export", async || !world.locked_jobs().await.is_empty()).await;
    let job = world.locked_jobs().await.remove(0);
    assert_eq!(world.run(&job).await, 0);
    mortal.says("Held", False, "Released").await;
    mortal
        .until("its record is complete", async || {
            let request = world.get("r").await;
            let digest = audit_state(&request).digest();
            request.status.unwrap_or_default().audit.is_some_and(|head| head.state == digest)
        })
        .await;
    let chain = named(&world, "r").await;
    let told = events(&chain);
    for once in [
        AuditEvent::Created,
        AuditEvent::BackupChosen,
        AuditEvent::Held,
        AuditEvent::Approved,
        AuditEvent::Paid,
        AuditEvent::Claimed,
        AuditEvent::Ended,
        AuditEvent::Released,
    ] {
        assert_eq!(told.iter().filter(|event| **event == once).count(), 1, "{once}: {told:?}");
    }
    assert!(!told.iter().any(|event| matches!(event, AuditEvent::ClaimVanished | AuditEvent::EndVanished)), "{told:?}");
    assert!(mortal.died >= kills.min(10), "{} kills of {kills}", mortal.died);
    eprintln!("{} kills at {} entries: one chain", mortal.died, chain.entries.len());
}
