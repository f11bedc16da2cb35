//! What admission costs a status patch: two API servers on one etcd, one of which has the policies' plugins off, are asked
//! in turns. The ratio is printed; nothing is asserted by time.

use crate::private_api::{ApiServer, Etcd};
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use sennight_api::RestoreRequest;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use testkit::cluster::request;
use testkit::world::{ALICE, BILLING, OPERATOR, PEOPLE};

/// Patches of each kind on each server, after those that warm both up.
const WHOLE: usize = 1000;
const WARM: usize = 100;

#[tokio::test(flavor = "multi_thread")]
async fn what_admission_costs_a_status_patch() {
    let etcd = Etcd::start();
    let with = ApiServer::start(&etcd, &[]);
    with.ready().await;
    with.furnish("latency", &PEOPLE);
    let off = "--disable-admission-plugins=ValidatingAdmissionPolicy,MutatingAdmissionPolicy";
    let without = ApiServer::start(&etcd, &[off]);
    without.ready().await;
    let requests = async |server: &ApiServer, who: &str| -> Api<RestoreRequest> {
        Api::namespaced(server.client(who).await, "latency")
    };
    for name in ["with", "without"] {
        let mut object = request(name, "CrmExport");
        object.spec.requested_by = Some(ALICE.to_owned());
        let (began, helpdesk) = (Instant::now(), requests(&with, ALICE).await);
        // A kind is served some tenths of a second after its definition says so.
        while let Err(fault) = helpdesk.create(&PostParams::default(), &object).await {
            assert!(began.elapsed() < Duration::from_secs(30), "{fault}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    in_force(&requests(&with, ALICE).await).await;
    let count = crate::cases("latency", WHOLE);
    for (what, who, status) in
        [("the operator's phase", OPERATOR, phase as fn(usize) -> Value), ("billing's payment", BILLING, payment)]
    {
        let (a, b) = (requests(&with, who).await, requests(&without, who).await);
        let (mut guarded, mut bare, mut used) = (vec![], vec![], (0.0, 0.0));
        for number in 0..WARM + count {
            let body = Patch::Merge(json!({"status": status(number)}));
            if number == WARM {
                used = (with.cpu(), without.cpu());
            }
            // Whoever goes second finds the caches warm: they take turns at that, too.
            for first in [number % 2 == 0, number % 2 != 0] {
                let began = Instant::now();
                if first {
                    a.patch_status("with", &PatchParams::default(), &body).await.unwrap();
                    guarded.push(began.elapsed());
                } else {
                    b.patch_status("without", &PatchParams::default(), &body).await.unwrap();
                    bare.push(began.elapsed());
                }
            }
        }
        used = (with.cpu() - used.0, without.cpu() - used.1);
        report(what, guarded.split_off(WARM), bare.split_off(WARM), used);
    }
}

fn phase(number: usize) -> Value {
    let phase = if number.is_multiple_of(2) { "Queued" } else { "Preparing" };
    json!({"phase": phase, "tenant": format!("t-{number}")})
}

fn payment(number: usize) -> Value {
    json!({"payment": {"reference": format!("INV-{number}"), "by": BILLING}})
}

async fn in_force(requests: &Api<RestoreRequest>) {
    let began = Instant::now();
    let forged = Patch::Merge(json!({"status": {"phase": "Complete"}}));
    let dry = PatchParams { dry_run: true, ..PatchParams::default() };
    while requests.patch_status("with", &dry, &forged).await.is_ok() {
        assert!(began.elapsed() < Duration::from_secs(30), "the policies are not in force");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn report(what: &str, mut guarded: Vec<Duration>, mut bare: Vec<Duration>, used: (f64, f64)) {
    #[expect(clippy::cast_precision_loss, reason = "some thousands")]
    let many = guarded.len() as f64;
    guarded.sort_unstable();
    bare.sort_unstable();
    let at = |sorted: &[Duration], percent: usize| sorted[(sorted.len() - 1) * percent / 100].as_secs_f64() * 1e3;
    let (a, b) = (at(&guarded, 50), at(&bare, 50));
    println!(
        "latency of a status patch ({what}, {} in turns): median {a:.2} ms with the policies, {b:.2} ms without: ratio {:.2}, \
         difference {:+.2} ms; 99 of 100 within {:.2} and {:.2} ms",
        guarded.len(),
        a / b,
        a - b,
        at(&guarded, 99),
        at(&bare, 99)
    );
    let (a, b) = (used.0 / many, used.1 / many);
    println!(
        "  CPU time of the API server a patch: {a:.2} ms with, {b:.2} ms without: ratio {:.2}, difference {:+.2} ms",
        a / b,
        a - b
    );
}
