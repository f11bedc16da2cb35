//! Caches that are wrong: watches that stand still, and lists of another time (a second API server that lags behind, an
//! operator started anew against it). What such a process believes must not begin anything.

use super::crash::check;
use super::gateway::{At, Mood, soon};
use super::setup::{FLAGS, Mode, Setup, jobs, over};
use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt;
use kube::api::DeleteParams;
use serde_json::json;
use std::time::{Duration, Instant};
use testkit::Database;
use testkit::world::World;

/// Longer than the operator's own pauses.
const SPELL: Duration = Duration::from_secs(8);

/// How far a restore is when the spell begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    Signed,
    Claimed,
    Done,
    Ended,
}

#[tokio::test(flavor = "multi_thread")]
async fn i2_watches_that_stand_still_begin_nothing_twice_and_the_restore_goes_on_when_they_move() {
    let mut cases = Vec::new();
    for mode in [Mode::CrmExport, Mode::FullRestore] {
        cases.extend([Moment::Signed, Moment::Claimed, Moment::Done].map(|moment| (mode, moment)));
    }
    let mut setup = Setup::new("frozen").await;
    let (mut slowest, mut ran) = (Duration::ZERO, 0);
    for (mode, moment) in crate::some("frozen watches", &mut cases, 60) {
        let name = setup.ask(mode).await;
        setup.gateway.expect(&name, None);
        reach(&mut setup, &name, mode, moment).await;
        setup.gateway.set(Mood::Frozen);
        spell(&mut setup, &name).await;
        setup.gateway.set(Mood::Now);
        let ended = setup.finish(&name, Some(Instant::now())).await;
        assert_eq!(ended.phase, "Complete", "{mode:?} {moment:?}: {ended:#?}");
        assert!(ended.took <= super::setup::bar(), "{mode:?} {moment:?} took {:?}", ended.took);
        check(&setup, &name, &ended, mode).await;
        (slowest, ran) = (slowest.max(ended.took), ran + 1);
    }
    println!("frozen watches: {ran} restores, each done once; the slowest ended {slowest:?} after they moved again");
}

#[tokio::test(flavor = "multi_thread")]
async fn i2_an_operator_that_is_told_of_an_earlier_time_begins_nothing_twice() {
    let mut cases = Vec::new();
    for mode in [Mode::CrmExport, Mode::FullRestore] {
        for kept in ["\"claim\":{", "POST jobs"] {
            for moment in [Moment::Done, Moment::Ended] {
                cases.extend([false, true].map(|anew| (mode, kept, moment, anew)));
            }
        }
    }
    let mut setup = Setup::new("past").await;
    let mut ran = 0;
    for (mode, kept, moment, anew) in crate::some("time travel", &mut cases, 60) {
        let case = format!("{mode:?}, told of the time before {kept:?}, when {moment:?}, started anew: {anew}");
        let name = setup.ask(mode).await;
        setup.gateway.expect(&name, None);
        let step = if mode == Mode::CrmExport { "export" } else { "cutover" };
        let before = if kept.starts_with("POST") { At::Job(format!("-{step}")) } else { At::Body(kept.to_owned()) };
        setup.gateway.remember_before(&setup.world.namespace, before);
        reach(&mut setup, &name, mode, moment).await;
        if moment == Moment::Ended {
            // As its ttl would.
            for job in jobs(&setup.world, step).await {
                let api = setup.world.api::<Job>();
                api.delete(&job.name_any(), &DeleteParams::background()).await.unwrap();
            }
        }
        setup.gateway.set(Mood::Past);
        if anew {
            setup.operator.as_mut().unwrap().kill();
        }
        let before = setup.ran.lock().unwrap().len();
        spell(&mut setup, &name).await;
        // A safety backup may just have been asked for when time was set back; it harms nobody and is counted by the end.
        let begun: Vec<_> = setup.ran.lock().unwrap()[before..].to_vec();
        let harmless = begun.iter().all(|(job, _)| job.contains("-safety-backup-a1-"));
        assert!(harmless && begun.len() <= 1, "{case}: begun {begun:?}: {:#?}", setup.gateway.writes());
        setup.gateway.set(Mood::Now);
        let ended = setup.finish(&name, Some(Instant::now())).await;
        assert_eq!(ended.phase, "Complete", "{case}: {ended:#?}");
        assert!(ended.took <= super::setup::bar(), "{case} took {:?}", ended.took);
        check(&setup, &name, &ended, mode).await;
        ran += 1;
    }
    println!("time travel: {ran} restores, each done once");
}

/// Tends the request until it is so far.
async fn reach(setup: &mut Setup, name: &str, mode: Mode, moment: Moment) {
    let step = if mode == Mode::CrmExport { "-export" } else { "-cutover" };
    let reached = soon(Duration::from_secs(90), async || {
        let Some(object) = setup.tend(name).await else { return false };
        let short: String = object.uid().unwrap().chars().filter(char::is_ascii_hexdigit).take(20).collect();
        let ran = setup.ran.lock().unwrap().iter().any(|(job, _)| job.starts_with(&format!("r{short}{step}")));
        let status = object.status.clone().unwrap_or_default();
        match moment {
            Moment::Signed => status.payment.is_some(),
            Moment::Claimed => status.claim.is_some(),
            Moment::Done => ran,
            Moment::Ended => over(&object),
        }
    })
    .await;
    assert!(reached, "{name} is not {moment:?} within 90 s: {:#?}", setup.gateway.writes());
}

/// People and nodes go on working meanwhile.
async fn spell(setup: &mut Setup, name: &str) {
    let until = Instant::now() + SPELL;
    while Instant::now() < until {
        setup.tend(name).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn i3_an_undo_that_no_watch_has_told_of_keeps_the_previous_database() {
    let flags = [&FLAGS[..], &["--undo-window=20s"]].concat();
    let mut setup = Setup::within(World::on_servers("unseen").await, &flags).await;
    let name = setup.ask(Mode::FullRestore).await;
    setup.gateway.expect(&name, None);
    let mut previous = None;
    let kept = soon(Duration::from_secs(90), async || {
        let status = setup.tend(&name).await.and_then(|object| object.status);
        previous = status.and_then(|status| status.previous_database);
        previous.as_ref().is_some_and(|previous| previous.safety_backup.is_some())
    })
    .await;
    let previous = previous.filter(|_| kept).expect("a previous database with its safety backup");
    // From here on the operator hears of nothing: its cache has no Undo. What it does about the database it decides by a timer.
    setup.gateway.set(Mood::Frozen);
    let fields = json!({"mode": "Undo", "undoOf": {"name": name}, "date": null, "acknowledgeDataLoss": true});
    setup.world.request(&setup.tenant, "unseen-undo", chrono::Utc::now().date_naive(), fields).await;
    while chrono::Utc::now() < previous.undo_until + SPELL {
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    let status = setup.world.get(&name).await.status.unwrap().previous_database.unwrap();
    let seen = (status.held_by.as_deref(), status.dropping_since);
    assert_eq!(seen, (Some("unseen-undo"), None), "{:#?}", setup.gateway.writes());
    let there = format!("SELECT count(*) FROM pg_database WHERE datname = '{}'", previous.name);
    assert_eq!(Database::existing("postgres").count(&there).await, 1);
    setup.gateway.set(Mood::Now);
}
