//! Objects put where the API server keeps them, a hundred in a transaction: creating 100,000 through the API takes this
//! machine ten minutes, and what is measured begins once they are there. The API server reads, caches and serves them as
//! any others; the first of each kind went through it, and the rest are its likes.

use futures::{StreamExt, TryStreamExt};
use kube::{Client, Config};
use serde_json::json;
use testkit::env;

/// Operations in one transaction; etcd takes 128, and 1.5 MiB.
const OPERATIONS: usize = 64;

/// The tier's etcd.
pub struct Etcd {
    client: Client,
}

impl Etcd {
    /// The one that `with.sh api` started.
    pub fn of_tier() -> Self {
        let base = std::fs::read_to_string(format!("{}/base", env("SENNIGHT_CLUSTER_DIR"))).unwrap();
        let port = base.trim().parse::<u16>().unwrap() + 3;
        let config = Config::new(format!("http://127.0.0.1:{port}").parse().unwrap());
        Self { client: Client::try_from(config).unwrap() }
    }

    /// Puts objects: key and value.
    pub async fn put(&self, objects: impl Iterator<Item = (String, String)> + Send) {
        let mut objects = objects.peekable();
        let pages = std::iter::from_fn(move || {
            let page: Vec<_> = objects.by_ref().take(OPERATIONS).collect();
            (!page.is_empty()).then_some(page)
        });
        let sent = futures::stream::iter(pages).map(|page| async move {
            let puts: Vec<_> = page
                .iter()
                .map(|(key, value)| json!({"requestPut": {"key": base64(key.as_bytes()), "value": base64(value.as_bytes())}}))
                .collect();
            let body = serde_json::to_vec(&json!({"success": puts})).unwrap();
            let request = http::Request::post("/v3/kv/txn").header("Content-Type", "application/json").body(body).unwrap();
            self.client.request_text(request).await.map(drop)
        });
        sent.buffer_unordered(4).try_collect::<Vec<()>>().await.unwrap();
    }

    /// Deletes everything below a key, and what it was before.
    pub async fn clear(&self, prefix: &str) {
        let mut end = prefix.as_bytes().to_vec();
        *end.last_mut().unwrap() += 1;
        let range = json!({"key": base64(prefix.as_bytes()), "range_end": base64(&end)});
        let body = serde_json::to_vec(&range).unwrap();
        let request =
            http::Request::post("/v3/kv/deleterange").header("Content-Type", "application/json").body(body).unwrap();
        self.client.request_text(request).await.unwrap();
    }
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let number = three.iter().fold(0u32, |n, byte| n << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for place in 0..4 {
            let letter = LETTERS[(number >> (18 - 6 * place) & 63) as usize];
            text.push(if place <= three.len() { char::from(letter) } else { '=' });
        }
    }
    text
}
