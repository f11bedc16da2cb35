//! The record on a real bucket: a number is put once, whoever races for it and whatever answers are lost.

use sennight_core::audit::{AuditState, Recorded, StoredEntry, Subject, follow, verify};
use sennight_storage::PutOptions;
use std::sync::atomic::{AtomicUsize, Ordering};
use testkit::store::Bucket;
use testkit::store::fault::{Action, Fault, s3_error};

/// The first entries of request `u`, as writer `n` would put them.
fn entries(n: usize) -> Vec<Recorded> {
    let subject = Subject { request: "r".into(), requested_by: Some(format!("writer-{n}")), ..Subject::default() };
    let state = AuditState { subject, held: true, ..AuditState::default() };
    follow("u", None, &state, "2026-11-22T12:00:00Z".parse().unwrap())
}

#[tokio::test]
async fn of_two_writers_at_once_one_appends_and_the_chain_stays_single() {
    let bucket = Bucket::new().await;
    let store = &bucket.store;
    let all: Vec<Vec<Recorded>> = (0..16).map(entries).collect();
    for seq in [0, 1] {
        let puts = all.iter().map(|writer| store.audit_append("u", writer[seq].entry.seq, writer[seq].bytes.clone()));
        let won = futures::future::join_all(puts).await.into_iter().map(Result::unwrap).filter(|won| *won).count();
        assert_eq!(won, 1);
    }
    let found = store.audit_entries("u", 1).await.unwrap();
    assert_eq!(found.iter().map(|filed| filed.seq).collect::<Vec<_>>(), [Some(1), Some(2)]);
    // Both numbers were raced for blindly, so two writers may have won one each: then the chain says so.
    let same = all.iter().any(|writer| writer[0].bytes == found[0].bytes && writer[1].bytes == found[1].bytes);
    assert_eq!(verify("u", &found, None, 1).is_ok(), same);
}

#[tokio::test]
async fn an_entry_whose_answer_was_lost_is_ours_and_not_anothers() {
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
    let (ours, theirs) = (entries(1), entries(2));
    assert!(
        store.audit_append("u", 1, ours[0].bytes.clone()).await.unwrap(),
        "it was put, whatever the first answer said"
    );
    assert!(!store.audit_append("u", 1, theirs[0].bytes.clone()).await.unwrap());
    assert!(store.audit_append("u", 2, ours[1].bytes.clone()).await.unwrap());
    let chain = verify("u", &store.audit_entries("u", 1).await.unwrap(), None, 1).unwrap();
    assert_eq!(chain.entries, ours);
}

#[tokio::test]
async fn what_lies_among_the_entries_and_is_none_is_found() {
    let bucket = Bucket::new().await;
    let store = &bucket.store;
    for entry in entries(1) {
        store.audit_append("u", entry.entry.seq, entry.bytes).await.unwrap();
    }
    let reason = |found: &[StoredEntry]| verify("u", found, None, 1).unwrap_err().reason();
    store.put("p/audit/u/000002.json.bak", "x".into(), &PutOptions::default()).await.unwrap();
    assert_eq!(reason(&store.audit_entries("u", 1).await.unwrap()), "EntryAlien");
    store.delete(&["p/audit/u/000002.json.bak".to_owned()]).await.unwrap();
    assert!(verify("u", &store.audit_entries("u", 1).await.unwrap(), None, 1).is_ok());
    store.put("p/audit/u/000003.json", vec![b' '; 2 << 20].into(), &PutOptions::default()).await.unwrap();
    let found = store.audit_entries("u", 1).await.unwrap();
    assert!(found[2].bytes.is_empty(), "what is far too large is not read");
    assert_eq!(reason(&found), "EntryUnreadable");
    assert_eq!(store.audit_entries("u", 3).await.unwrap().len(), 1, "from a number on");
    assert_eq!(store.audit_entries("other", 1).await.unwrap(), []);
    assert_eq!(store.audit_entries("../u", 1).await.unwrap_err().reason(), "Invalid");
}
