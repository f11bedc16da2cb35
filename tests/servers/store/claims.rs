//! I2: one winner.

use chrono::Utc;
use sennight_core::capabilities::Capabilities;
use sennight_storage::{ClaimRecord, Claimed};
use std::sync::atomic::{AtomicUsize, Ordering};
use testkit::store::Bucket;
use testkit::store::fault::{Action, Fault, s3_error};

fn claim(pod: usize) -> ClaimRecord {
    ClaimRecord { job_uid: "job".into(), pod: format!("pod-{pod}"), at: Utc::now() }
}

#[tokio::test]
async fn i2_one_of_sixteen_claims_wins_and_the_others_learn_who() {
    let bucket = Bucket::new().await;
    for round in 0..5 {
        let uid = format!("request-{round}");
        let claims: Vec<ClaimRecord> = (0..16).map(claim).collect();
        let outcomes = futures::future::join_all(claims.iter().map(|claim| bucket.store.claim(&uid, claim))).await;
        let outcomes: Vec<Claimed> = outcomes.into_iter().map(Result::unwrap).collect();
        let winners: Vec<usize> = (0..16).filter(|n| outcomes[*n] == Claimed::Won).collect();
        assert_eq!(winners.len(), 1, "{outcomes:?}");
        let winner = &claims[winners[0]];
        assert!(outcomes.iter().filter(|o| **o != Claimed::Won).all(|o| *o == Claimed::Held(winner.clone())));
        assert_eq!(bucket.store.claim_of(&uid).await.unwrap().as_ref(), Some(winner));
        let again = ClaimRecord { at: Utc::now(), ..winner.clone() };
        assert_eq!(bucket.store.claim(&uid, &again).await.unwrap(), Claimed::Mine(winner.clone()));
        let other_job = ClaimRecord { job_uid: "second".into(), ..winner.clone() };
        assert_eq!(bucket.store.claim(&uid, &other_job).await.unwrap(), Claimed::Held(winner.clone()));
    }
}

#[tokio::test]
async fn i2_a_claim_survives_lost_answers_and_conflicts() {
    let bucket = Bucket::new().await;
    let puts = AtomicUsize::new(0);
    let fault = Fault::start(move |request| {
        let number = if request.method == "PUT" { puts.fetch_add(1, Ordering::SeqCst) } else { 99 };
        match number {
            0 => Action::Answer("409 Conflict", s3_error("ConditionalRequestConflict")),
            1 => Action::LoseAnswer,
            _ => Action::Forward,
        }
    })
    .await;
    let store = bucket.behind(&fault.endpoint).await;
    assert_eq!(store.claim("r", &claim(1)).await.unwrap(), Claimed::Won);
    assert!(matches!(store.claim("r", &claim(2)).await.unwrap(), Claimed::Held(c) if c.pod == "pod-1"));
}

#[tokio::test]
async fn i2_without_conditional_puts_nobody_can_claim() {
    let bucket = Bucket::new().await;
    let blind = bucket.store.with_capabilities(Capabilities { conditional_put: false, ..Capabilities::default() });
    let error = blind.claim("r", &claim(1)).await.unwrap_err();
    assert_eq!((error.reason(), error.retryable()), ("Unsupported", false));
    assert_eq!(bucket.store.claim_of("r").await.unwrap(), None);
    assert_eq!(bucket.store.claim("../r", &claim(1)).await.unwrap_err().reason(), "Invalid");
}
