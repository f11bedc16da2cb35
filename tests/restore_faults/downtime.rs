//! How long the tenant's clients wait in a swap, measured at the clients.

use crate::ALONE;
use crate::clients::OFTEN;
use crate::tenant::Tenant;
use sennight_core::result::Done;
use std::time::{Duration, Instant};

fn median(mut all: Vec<Duration>) -> Duration {
    all.sort_unstable();
    all[all.len() / 2]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swap_is_noticed_by_clients_for_less_than_half_a_second() {
    let _alone = ALONE.lock().await;
    let swaps = if std::env::var_os("SENNIGHT_CASES").is_some() { 3 } else { 20 };
    let mut tenant = Tenant::with_clients("downtime", OFTEN).await;
    let (mut worst, mut typical, mut quiet, mut told) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..swaps {
        tenant.next().await;
        let task = tenant.restore.prepare(&tenant.restore.restore_task(&tenant.backup)).await.unwrap();
        let before = Instant::now();
        tokio::time::sleep(Duration::from_secs(1)).await;
        quiet.push(tenant.clients.gaps(before).into_iter().max().unwrap());
        let since = Instant::now();
        let Done::CutOver { downtime_millis, .. } = tenant.restore.cutover(&task, "pod").await.unwrap() else {
            panic!("not swapped")
        };
        told.push(Duration::from_millis(u64::try_from(downtime_millis).unwrap()));
        tokio::time::sleep(Duration::from_secs(1)).await;
        tenant.clients.answered().await;
        let gaps = tenant.clients.gaps(since);
        worst.push(*gaps.iter().max().unwrap());
        typical.push(median(gaps));
        tenant.nothing_lost(Some(&task.previous_database)).await;
        tenant.clients.states();
        tenant.drop(&task.previous_database).await;
    }
    let longest = |all: &[Duration]| *all.iter().max().unwrap();
    println!(
        "downtime of {swaps} swaps as 8 clients see it: the unluckiest client median {:?}, worst {:?}; the typical one median {:?}; \
         the longest wait of a client without a swap median {:?}; the worker's own figure median {:?}",
        median(worst.clone()),
        longest(&worst),
        median(typical),
        median(quiet),
        median(told)
    );
    assert!(median(worst.clone()) <= Duration::from_millis(500) || std::env::var_os("SENNIGHT_CASES").is_some());
    let Tenant { clients, .. } = tenant;
    clients.stop().await;
}
