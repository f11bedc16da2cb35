//! Streaming uploads.

use bytes::Bytes;
use sennight_core::retention::daily_tags;
use sennight_storage::{PutOptions, Upload};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use testkit::store::Bucket;
use testkit::store::fault::{Action, Fault, s3_error};

const MIB: usize = 1 << 20;

fn bytes(length: usize) -> Bytes {
    (0..length).map(|n| u8::try_from(n * 31 % 251).unwrap()).collect::<Vec<u8>>().into()
}

async fn fill(upload: &mut Upload, body: &Bytes, step: usize) {
    let mut rest = body.clone();
    while !rest.is_empty() {
        let take = rest.split_to(step.min(rest.len()));
        upload.write(take).await.unwrap();
    }
}

#[tokio::test]
async fn an_upload_of_any_length_arrives_whole_and_tagged() {
    let bucket = Bucket::new().await;
    for (length, step) in
        [(0, 1), (5, 2), (8 * MIB - 1, MIB), (8 * MIB, 3 * MIB), (8 * MIB + 1, MIB), (21 * MIB, 20 * MIB)]
    {
        let (key, body) = (format!("p/{length}"), bytes(length));
        let mut upload = bucket.store.upload(&key, daily_tags());
        fill(&mut upload, &body, step).await;
        assert_eq!(bucket.store.head_opt(&key).await.unwrap(), None, "nothing exists before finish");
        let uploaded = upload.finish().await.unwrap();
        assert_eq!(uploaded.length, i64::try_from(length).unwrap());
        assert!(bucket.store.get(&key).await.unwrap() == body, "{length} bytes");
        assert_eq!(bucket.store.tags(&key).await.unwrap(), daily_tags(), "{length} bytes");
        assert_eq!(bucket.unfinished(&key).await, 0);
    }
}

#[tokio::test]
async fn i4_an_aborted_or_dropped_upload_leaves_nothing() {
    let bucket = Bucket::new().await;
    for key in ["p/aborted", "p/dropped", "p/small"] {
        let mut upload = bucket.store.upload(key, daily_tags());
        let length = if key == "p/small" { 10 } else { 20 * MIB };
        fill(&mut upload, &bytes(length), MIB).await;
        assert_eq!(bucket.unfinished(key).await, usize::from(length > 10));
        if key == "p/dropped" {
            drop(upload);
        } else {
            upload.abort().await;
        }
        for _ in 0..50 {
            if bucket.unfinished(key).await == 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_eq!((bucket.unfinished(key).await, bucket.store.head_opt(key).await.unwrap()), (0, None), "{key}");
    }
}

#[tokio::test]
async fn i4_an_upload_into_a_full_store_fails_for_good_and_leaves_nothing() {
    let bucket = Bucket::new().await;
    let fault = Fault::start(|request| {
        if request.path.contains("partNumber=2") {
            Action::Answer("507 Insufficient Storage", s3_error("XMinioStorageFull"))
        } else {
            Action::Forward
        }
    })
    .await;
    let store = bucket.behind(&fault.endpoint).await;
    let mut upload = store.upload("p/full", daily_tags());
    fill(&mut upload, &bytes(17 * MIB), MIB).await;
    let error = upload.finish().await.unwrap_err();
    assert_eq!(error.reason(), "OutOfSpace", "{error}");
    assert!(error.to_string().contains("raise the bucket's quota"), "{error}");
    assert_eq!((bucket.unfinished("p/full").await, bucket.store.head_opt("p/full").await.unwrap()), (0, None));
}

#[tokio::test]
async fn two_uploads_to_one_key_do_not_overwrite_each_other() {
    let bucket = Bucket::new().await;
    for length in [10, 9 * MIB] {
        let key = format!("p/{length}");
        bucket.store.put(&key, Bytes::from_static(b"first"), &PutOptions::default()).await.unwrap();
        let mut upload = bucket.store.upload(&key, daily_tags());
        fill(&mut upload, &bytes(length), MIB).await;
        assert_eq!(upload.finish().await.unwrap_err().reason(), "AlreadyExists");
        assert_eq!(bucket.store.get(&key).await.unwrap(), "first");
        assert_eq!(bucket.unfinished(&key).await, 0);
    }
}

#[tokio::test]
async fn an_upload_whose_last_answer_was_lost_has_succeeded() {
    let bucket = Bucket::new().await;
    let lost = AtomicBool::new(false);
    let fault = Fault::start(move |request| {
        let complete = request.method == "POST" && request.path.contains("uploadId=");
        if complete && !lost.swap(true, Ordering::SeqCst) { Action::LoseAnswer } else { Action::Forward }
    })
    .await;
    let store = bucket.behind(&fault.endpoint).await;
    let mut upload = store.upload("p/a", daily_tags());
    fill(&mut upload, &bytes(9 * MIB), MIB).await;
    upload.finish().await.unwrap();
    assert_eq!(bucket.store.head("p/a").await.unwrap().length, 9 << 20);
}

#[tokio::test]
async fn a_store_that_stalls_holds_the_writer_up_within_its_memory() {
    let bucket = Bucket::new().await;
    let stalled = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stalled);
    let fault = Fault::start(move |request| {
        if request.path.contains("partNumber=") && flag.load(Ordering::SeqCst) {
            Action::Stall
        } else {
            Action::Forward
        }
    })
    .await;
    let store = bucket.behind(&fault.endpoint).await;
    for budget in [16 * MIB, 40 * MIB] {
        stalled.store(true, Ordering::SeqCst);
        let mut upload = store.upload(&format!("p/{budget}"), daily_tags()).memory(budget);
        let mut taken = 0;
        while let Ok(written) = tokio::time::timeout(Duration::from_secs(2), upload.write(bytes(MIB))).await {
            written.unwrap();
            taken += MIB;
            assert!(taken <= budget, "{taken} bytes are in memory, {budget} are allowed");
        }
        assert!(taken + 9 * MIB > budget, "the budget is made use of: {taken} of {budget}");
        upload.abort().await;
    }
}
