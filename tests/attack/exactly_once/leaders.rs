//! Two operators that both believe to lead, and one that sleeps longer than its Lease in the middle of a write.

use super::crash::check;
use super::gateway::{Fault, Gateway, soon};
use super::setup::{FLAGS, Mode, Setup, over};
use std::time::{Duration, Instant};
use testkit::operator::Operator;

#[tokio::test(flavor = "multi_thread")]
async fn i2_two_operators_that_both_lead_restore_once() {
    let mut setup = Setup::new("two").await;
    let second = Gateway::start().await;
    let flags: Vec<&str> = FLAGS.iter().copied().chain(["--lease-name=another"]).collect();
    let mut other = Operator::start_as(&second.kubeconfig, &setup.world.namespace, "other", &flags);
    let mut modes: Vec<Mode> = [Mode::CrmExport, Mode::FullRestore].repeat(10);
    let (mut both, mut ran) = (0, 0);
    for mode in crate::some("two leaders", &mut modes, 60) {
        let name = setup.ask(mode).await;
        setup.gateway.expect(&name, None);
        second.expect(&name, None);
        let ended = setup.finish(&name, None).await;
        assert_eq!(ended.phase, "Complete", "{mode:?}: {ended:#?}");
        both += usize::from(!second.writes().is_empty() && !ended.writes.is_empty());
        check(&setup, &name, &ended, mode).await;
        ran += 1;
    }
    assert!(other.runs() && setup.operator.as_mut().unwrap().runs(), "both led to the end");
    assert!(both > 0, "never did both write to one request");
    println!("two leaders: {ran} restores, each done once; both wrote in {both}");
}

#[tokio::test(flavor = "multi_thread")]
async fn i2_an_operator_that_slept_longer_than_its_lease_writes_nothing_when_it_wakes() {
    let mut setup = Setup::new("sleep").await;
    let mut all = Vec::new();
    for mode in [Mode::CrmExport, Mode::FullRestore] {
        let (name, ended) = setup.restore(mode, None).await;
        check(&setup, &name, &ended, mode).await;
        all.extend((1..=ended.writes.len()).map(|write| (mode, write)));
    }
    let (mut ran, mut refused) = (0, 0);
    for (mode, write) in crate::some("SIGSTOP at every write", &mut all, 60) {
        let name = setup.ask(mode).await;
        setup.gateway.expect(&name, Some((write, Fault::Asleep)));
        let asleep = soon(Duration::from_secs(90), async || {
            let object = setup.tend(&name).await;
            setup.gateway.fired().is_some() || object.is_some_and(|object| over(&object))
        })
        .await;
        assert!(
            asleep,
            "{mode:?} {write}: {:#?}\n{}",
            setup.gateway.writes(),
            setup.operator.as_ref().map(Operator::log).unwrap_or_default()
        );
        if !setup.gateway.disarm() {
            // This time it took a write less.
            let ended = setup.finish(&name, None).await;
            check(&setup, &name, &ended, mode).await;
            continue;
        }
        let sleeper = setup.operator.take().unwrap();
        // Another replica waits the Lease out and takes over, also when the request has nothing left to do by then.
        let mut awake = Gateway::start().await;
        std::mem::swap(&mut setup.gateway, &mut awake);
        setup.gateway.expect(&name, None);
        setup.start();
        leads(setup.operator.as_ref().unwrap()).await;
        let ended = setup.finish(&name, None).await;
        assert_eq!(ended.phase, "Complete", "{mode:?} {write}: {ended:#?}");
        let before = awake.writes();
        let arrived = awake.wake().await;
        let arrived = arrived.unwrap_or_else(|| panic!("{mode:?} {write}: the late write did not arrive"));
        // An Event that comes late is told late. Nothing else of an earlier time may still find its place.
        let told = before.last().is_some_and(|what| what == "POST events");
        assert!(told || !arrived.is_success(), "{mode:?}: {:?} was carried out late: {arrived}", before.last());
        refused += usize::from(!arrived.is_success());
        woken(sleeper, &format!("{mode:?} {write}")).await;
        assert_eq!(
            awake.writes().len(),
            before.len(),
            "{mode:?} {write}: it wrote after it woke: {:#?}",
            awake.writes()
        );
        // The late write itself came too late for everything.
        let object = setup.world.get(&name).await;
        assert_eq!(object.status.unwrap().phase.unwrap().to_string(), "Complete");
        check(&setup, &name, &ended, mode).await;
        ran += 1;
    }
    println!(
        "SIGSTOP: {ran} restores, each done once; the write that arrived late was refused in {refused}, an Event in the others"
    );
}

/// Waits until it has the Lease.
async fn leads(operator: &Operator) {
    let leads = soon(Duration::from_mins(1), async || operator.log().contains("\"leading\"")).await;
    assert!(leads, "{}", operator.log());
}

/// It ends by itself, at once.
async fn woken(mut sleeper: Operator, case: &str) {
    let began = Instant::now();
    assert_eq!(sleeper.ended().await, Some(1), "{case}: {}", sleeper.log());
    assert!(began.elapsed() < Duration::from_secs(30), "{case}: it took {:?} to notice", began.elapsed());
}
