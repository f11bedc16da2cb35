//! A campaign: a recording run finds how many writes a restore takes, then each of them comes to harm once, before and
//! after. Here the harm is `kill -9`.

use super::gateway::Fault;
use super::setup::{Effects, Ended, Mode, Setup, bar};
use kube::ResourceExt;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::Mutex;

/// Setups that restore side by side.
const SETUPS: usize = 4;

#[tokio::test(flavor = "multi_thread")]
async fn i2_an_operator_killed_before_and_after_every_write_of_a_restore_restores_once() {
    campaign("kill -9 at every write", &[Fault::KilledBefore, Fault::KilledAfter], 15).await;
}

/// One harm.
#[derive(Debug, Clone, Copy)]
struct Case {
    mode: Mode,
    write: usize,
    fault: Fault,
}

/// Does each harm to each write of both kinds of restore. Of a part, one case for so many that `SENNIGHT_CASES` asks for.
pub async fn campaign(suite: &'static str, faults: &[Fault], cost: usize) {
    let mut setups = Vec::new();
    for _ in 0..SETUPS {
        setups.push(Setup::new("once").await);
    }
    let mut all = Vec::new();
    for mode in [Mode::CrmExport, Mode::FullRestore] {
        let (name, ended) = setups[0].restore(mode, None).await;
        check(&setups[0], &name, &ended, mode).await;
        let conflicts = setups[0].gateway.conflicts();
        println!(
            "{suite}: a {mode:?} takes {} writes, {conflicts} conflicts: {}",
            ended.writes.len(),
            ended.writes.join(", ")
        );
        let writes = 1..=ended.writes.len();
        all.extend(writes.flat_map(|write| faults.iter().map(move |fault| Case { mode, write, fault: *fault })));
    }
    let chosen = crate::some(suite, &mut all, cost);
    let count = chosen.len();
    let todo = Arc::new(Mutex::new(chosen));
    let sums = Arc::new(Mutex::new(BTreeMap::<String, usize>::new()));
    let running = setups.into_iter().map(|mut setup| {
        let (todo, sums) = (todo.clone(), sums.clone());
        async move {
            loop {
                let (case, left) = {
                    let mut todo = todo.lock().await;
                    let Some(case) = todo.pop() else { return };
                    (case, todo.len())
                };
                if left.is_multiple_of(20) {
                    println!("{suite}: {left} of {count} are left to begin");
                }
                let ended = one(&mut setup, case).await;
                let harm = if ended.fired { "harmed" } else { "ended before that write" };
                let mut sums = sums.lock().await;
                *sums.entry(format!("{:?}, {harm}: {}", case.mode, ended.phase)).or_default() += 1;
                let slowest = sums.entry("slowest to its end, in seconds".to_owned()).or_default();
                *slowest = (*slowest).max(usize::try_from(ended.took.as_secs()).unwrap());
            }
        }
    });
    futures::future::join_all(running).await;
    println!("{suite}: {:?}", sums.lock().await);
}

async fn one(setup: &mut Setup, case: Case) -> Ended {
    // In each case the three controllers of a RestoreRequest come in another order.
    setup.gateway.shuffle(case.write as u64 * 2 + u64::from(case.fault == Fault::KilledAfter) + 1);
    let (name, ended) = setup.restore(case.mode, Some((case.write, case.fault))).await;
    if !ended.fired {
        // The same restore takes a write more or less, as its Jobs are seen to run or not.
        assert!(ended.writes.len() < case.write, "{case:?}: {:?}", ended.writes);
    }
    assert_eq!(ended.phase, "Complete", "{case:?}: {ended:#?}");
    assert!(ended.took <= bar(), "{case:?} took {:?} from the harm to its end: {:?}", ended.took, ended.writes);
    check(setup, &name, &ended, case.mode).await;
    ended
}

/// The restore took effect exactly once, by one pod.
pub async fn check(setup: &Setup, name: &str, ended: &Ended, mode: Mode) {
    let once = match mode {
        Mode::CrmExport => Effects { claims: 1, exports: 1, swaps: 0, destructive_pods: 1 },
        Mode::FullRestore => Effects { claims: 1, exports: 0, swaps: 1, destructive_pods: 1 },
    };
    assert_eq!(setup.effects(name).await, once, "{name}: {ended:#?}");
    setup.tidy(&setup.world.get(name).await.uid().unwrap()).await;
}
