//! Answers that lie: carried out and answered 504; refused with 409 and 429. The operator sends nothing a second time by
//! itself; it looks at what is there and goes on.

use super::crash::{campaign, check};
use super::gateway::Fault;
use super::setup::{Mode, Setup};
use std::collections::HashMap;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn i2_a_write_that_is_answered_504_409_or_429_leads_to_one_restore() {
    let faults = [Fault::Lost504, Fault::Conflict409, Fault::TooMany429];
    campaign("504 after commit, 409, 429 at every write", &faults, 20).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i2_the_client_that_writes_sends_no_change_a_second_time_after_504() {
    let mut setup = Setup::new("resend").await;
    let (_, first) = setup.restore(Mode::CrmExport, None).await;
    let changes: Vec<usize> =
        (1..=first.writes.len()).filter(|n| first.writes[n - 1].starts_with("PATCH restore")).collect();
    assert!(changes.len() >= 5, "{:?}", first.writes);
    let mut changes: Vec<_> = changes.into_iter().collect();
    for write in crate::some("no change is sent twice", &mut changes, 60) {
        let (name, ended) = setup.restore(Mode::CrmExport, Some((write, Fault::Lost504))).await;
        let mut sent = HashMap::new();
        for (what, hash, at) in setup.gateway.sent() {
            if !what.starts_with("PATCH restore") {
                continue;
            }
            if let Some(before) = sent.insert(hash, at) {
                assert!(
                    at.duration_since(before) > Duration::from_secs(3),
                    "{what} was sent again: {:#?}",
                    ended.writes
                );
            }
        }
        check(&setup, &name, &ended, Mode::CrmExport).await;
    }
}
