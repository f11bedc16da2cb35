//! How far a task is: counters that everybody adds to, and one object in the bucket that is rewritten at a bounded rate.

use crate::domain::job::Progress;
use crate::store::Store;
use chrono::Utc;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;

/// At most one write of the object in this time; a task that ends sooner writes none.
const INTERVAL: Duration = Duration::from_secs(20);

#[derive(Default)]
struct Counters {
    bytes: AtomicI64,
    total_bytes: AtomicI64,
    rows: AtomicI64,
    tables: AtomicI64,
}

impl Counters {
    fn now(&self) -> Progress {
        let total = self.total_bytes.load(Ordering::Relaxed);
        Progress {
            at: Utc::now(),
            bytes: self.bytes.load(Ordering::Relaxed),
            total_bytes: (total > 0).then_some(total),
            rows: self.rows.load(Ordering::Relaxed),
            tables: self.tables.load(Ordering::Relaxed),
        }
    }
}

/// Counts what a task does and tells it. The telling ends with the value.
pub struct ProgressWriter {
    counters: Arc<Counters>,
    ticker: Option<JoinHandle<()>>,
}

impl ProgressWriter {
    /// Starts to tell how far `task` is. A write that fails is left out: progress is for eyes.
    pub fn start(store: &Store, job_uid: &str, task: &str) -> Self {
        let counters = Arc::new(Counters::default());
        let (store, told) = (store.clone(), counters.clone());
        let (job_uid, task) = (job_uid.to_owned(), task.to_owned());
        let ticker = tokio::spawn(async move {
            loop {
                tokio::time::sleep(INTERVAL).await;
                if let Err(error) = store.put_progress(&job_uid, &task, &told.now()).await {
                    tracing::debug!(%error, "progress was not told");
                }
            }
        });
        Self { counters, ticker: Some(ticker) }
    }

    /// A writer that counts and tells nobody.
    pub fn silent() -> Self {
        Self { counters: Arc::default(), ticker: None }
    }

    /// Says how many bytes there are in all.
    pub fn expect(&self, total_bytes: i64) {
        self.counters.total_bytes.store(total_bytes, Ordering::Relaxed);
    }

    /// Adds bytes and rows that were done.
    pub fn add(&self, bytes: i64, rows: i64) {
        self.counters.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.counters.rows.fetch_add(rows, Ordering::Relaxed);
    }

    /// Adds tables that were done.
    pub fn tables(&self, tables: i64) {
        self.counters.tables.fetch_add(tables, Ordering::Relaxed);
    }

    /// How far it is now.
    pub fn now(&self) -> Progress {
        self.counters.now()
    }
}

impl Drop for ProgressWriter {
    fn drop(&mut self) {
        if let Some(ticker) = self.ticker.take() {
            ticker.abort();
        }
    }
}
