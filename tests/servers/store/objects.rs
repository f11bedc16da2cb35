//! Get, put, list, delete, copy, tags.

use bytes::Bytes;
use sennight_storage::{PutOptions, Tags};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use testkit::store::Bucket;
use testkit::store::fault::{Action, Fault, s3_error};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test]
async fn what_is_put_is_what_is_got_whole_and_in_ranges() {
    let bucket = Bucket::new().await;
    let store = &bucket.store;
    let key = "p/odd key+é&?=#/x";
    store.put(key, Bytes::from_static(b"0123456789"), &PutOptions::default()).await.unwrap();
    assert_eq!(store.get(key).await.unwrap(), "0123456789");
    assert_eq!(store.get_range(key, 3, 4).await.unwrap(), "3456");
    assert_eq!(store.head(key).await.unwrap().length, 10);
    assert_eq!(store.list("p/").await.unwrap()[0].key, key);
    assert_eq!(store.get_range(key, 8, 4).await.unwrap_err().reason(), "Damaged");
    assert_eq!(store.get_opt("p/none").await.unwrap(), None);
    assert_eq!(
        store.get("p/none").await.unwrap_err().to_string(),
        format!("s3://{}/p/none does not exist", bucket.name)
    );
}

#[tokio::test]
async fn lists_have_no_end_and_deletes_take_them_all() {
    let bucket = Bucket::new().await;
    let store = &bucket.store;
    let puts = (0..1020).map(|n| async move {
        store.put(&format!("p/many/{n:04}/x"), Bytes::new(), &PutOptions::default()).await.unwrap();
    });
    futures::future::join_all(puts).await;
    let listed = store.list("p/many/").await.unwrap();
    assert_eq!(listed.len(), 1020);
    let dirs = store.list_dirs("p/many/").await.unwrap();
    assert_eq!((dirs.len(), dirs[7].as_str()), (1020, "p/many/0007/"));
    let mut keys: Vec<String> = listed.into_iter().map(|object| object.key).collect();
    keys.push("p/never-was".into());
    store.delete(&keys).await.unwrap();
    store.delete(&keys[..1]).await.unwrap();
    assert_eq!(store.list("p/").await.unwrap(), []);
}

#[tokio::test]
async fn a_copy_takes_the_tags_it_is_given_and_not_its_sources() {
    let bucket = Bucket::new().await;
    let store = &bucket.store;
    let tags = |value: &str| Tags::from([("retain".to_owned(), value.to_owned())]);
    store.put("p/a", Bytes::from_static(b"x"), &PutOptions::default().tags(tags("daily"))).await.unwrap();
    assert_eq!(store.tags("p/a").await.unwrap(), tags("daily"));
    store.copy("p/a", "p/b", &tags("held")).await.unwrap();
    assert_eq!(store.tags("p/b").await.unwrap(), tags("held"));
    store.put_tags("p/a", &Tags::from([("k".into(), "2026-11-22T02:10:00Z".into())])).await.unwrap();
    assert_eq!(store.tags("p/a").await.unwrap()["k"], "2026-11-22T02:10:00Z");
    let gone = store.copy("p/none", "p/c", &tags("held")).await.unwrap_err();
    assert!(gone.is_not_found() && gone.to_string().contains("p/none"), "{gone}");
}

#[tokio::test]
async fn an_exclusive_put_never_overwrites() {
    let bucket = Bucket::new().await;
    let exclusive = PutOptions::default().exclusive();
    bucket.store.put("p/a", Bytes::from_static(b"first"), &exclusive).await.unwrap();
    let error = bucket.store.put("p/a", Bytes::from_static(b"second"), &exclusive).await.unwrap_err();
    assert_eq!(error.reason(), "AlreadyExists");
    assert_eq!(bucket.store.get("p/a").await.unwrap(), "first");
}

#[tokio::test]
async fn an_exclusive_put_whose_answer_was_lost_has_succeeded() {
    let bucket = Bucket::new().await;
    let puts = AtomicUsize::new(0);
    let fault = Fault::start(move |request| match request.method.as_str() {
        "PUT" if puts.fetch_add(1, Ordering::SeqCst) == 0 => Action::LoseAnswer,
        _ => Action::Forward,
    })
    .await;
    let store = bucket.behind(&fault.endpoint).await;
    store.put("p/a", Bytes::from_static(b"mine"), &PutOptions::default().exclusive()).await.unwrap();
    assert_eq!(fault.count(|request| request.method == "PUT"), 2, "the SDK tried again and met its own object");
    assert_eq!(bucket.store.get("p/a").await.unwrap(), "mine");
}

#[tokio::test]
async fn a_download_that_breaks_off_is_done_again() {
    let bucket = Bucket::new().await;
    let body = Bytes::from(vec![7; 300_000]);
    bucket.store.put("p/a", body.clone(), &PutOptions::default()).await.unwrap();
    let gets = AtomicUsize::new(0);
    let fault = Fault::start(move |request| match request.method.as_str() {
        "GET" if gets.fetch_add(1, Ordering::SeqCst) < 2 => Action::CutAnswer(100_000),
        _ => Action::Forward,
    })
    .await;
    let store = bucket.behind(&fault.endpoint).await;
    assert_eq!(store.get("p/a").await.unwrap(), body);
    assert_eq!(fault.count(|request| request.method == "GET"), 3);
}

/// GET without any credentials: status line and body.
async fn download(link: &str) -> (String, String) {
    let rest = link.strip_prefix("http://").unwrap();
    let (host, path) = rest.split_once('/').unwrap();
    let mut stream = tokio::net::TcpStream::connect(host).await.unwrap();
    let request = format!("GET /{path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

#[tokio::test]
async fn a_link_opens_one_object_for_a_while() {
    let bucket = Bucket::new().await;
    let store = &bucket.store;
    store.put("p/exports/x.zip", Bytes::from_static(b"zip"), &PutOptions::default()).await.unwrap();
    let link = store.link("p/exports/x.zip", "acme\r\n\"x\".zip", Duration::from_secs(2)).await.unwrap();
    let (head, body) = download(&link).await;
    assert!(head.contains("200 OK") && head.contains("filename=\"acmex.zip\"") && body == "zip", "{head}");
    let (head, _) = download(&link.replace("x.zip?", "y.zip?")).await;
    assert!(head.contains("403"), "another object: {head}");
    tokio::time::sleep(Duration::from_secs(3)).await;
    let (head, _) = download(&link).await;
    assert!(head.contains("403"), "over: {head}");
    for seconds in [0, 7 * 86_400 + 1] {
        let error = store.link("p/x", "x", Duration::from_secs(seconds)).await.unwrap_err();
        assert_eq!(error.reason(), "Invalid", "{seconds}");
    }
}

#[tokio::test]
async fn a_long_object_is_copied_in_ranges() {
    let bucket = Bucket::new().await;
    let store = &bucket.store;
    let body: Bytes = (0..12_500_000_u32).map(|n| n.to_be_bytes()[3]).collect::<Vec<u8>>().into();
    let tags = Tags::from([("retain".to_owned(), "held".to_owned())]);
    store.put("p/a", body.clone(), &PutOptions::default()).await.unwrap();
    store.copy_in_parts("p/a", "p/b", &tags, 5 << 20).await.unwrap();
    assert!(store.get("p/b").await.unwrap() == body);
    assert_eq!(store.tags("p/b").await.unwrap(), tags);
    let fault = Fault::start(|request| {
        if request.path.contains("partNumber=2") {
            Action::Answer("507 Insufficient Storage", s3_error("XMinioStorageFull"))
        } else {
            Action::Forward
        }
    })
    .await;
    let error = bucket.behind(&fault.endpoint).await.copy_in_parts("p/a", "p/c", &tags, 5 << 20).await.unwrap_err();
    assert_eq!((error.reason(), bucket.unfinished("p/c").await), ("OutOfSpace", 0));
}
