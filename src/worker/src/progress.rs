//! Progress of a task: counters, and one object in the bucket that is rewritten every 20 seconds. The operator reads it.

use chrono::Utc;
use parking_lot::Mutex;
use sennight_core::manifest::Totals;
use sennight_core::progress::{Progress, Stage};
use sennight_engine::restore::LoadProgress;
use sennight_storage::Store;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;

/// At most one write of the object in this time; a task that ends sooner writes none.
const INTERVAL: Duration = Duration::from_secs(20);

#[derive(Default)]
struct Counters {
    stage: Mutex<Option<Stage>>,
    bytes: AtomicI64,
    total_bytes: AtomicI64,
    rows: AtomicI64,
    total_rows: AtomicI64,
    tables: AtomicI64,
    total_tables: AtomicI64,
}

impl Counters {
    fn now(&self) -> Progress {
        let known = |total: &AtomicI64| Some(total.load(Ordering::Relaxed)).filter(|total| *total > 0);
        Progress {
            at: Utc::now(),
            stage: *self.stage.lock(),
            bytes: self.bytes.load(Ordering::Relaxed),
            total_bytes: known(&self.total_bytes),
            rows: self.rows.load(Ordering::Relaxed),
            total_rows: known(&self.total_rows),
            tables: self.tables.load(Ordering::Relaxed),
            total_tables: known(&self.total_tables),
        }
    }
}

/// Calls `put` once per interval, without end. A slow `put` is waited for, so two never overlap.
async fn write_periodically<F: Future<Output = ()>>(
    counters: Arc<Counters>,
    interval: Duration,
    put: impl Fn(Progress) -> F,
) {
    loop {
        tokio::time::sleep(interval).await;
        put(counters.now()).await;
    }
}

/// Counts what a task does and writes the counters into the bucket. Dropped, it writes no more.
pub struct ProgressWriter {
    counters: Arc<Counters>,
    ticker: Option<JoinHandle<()>>,
}

impl ProgressWriter {
    /// Starts to write the progress of `task`. A write that fails is skipped: progress is only shown to people.
    pub fn start(store: &Store, job_uid: &str, task: &str) -> Self {
        let counters = Arc::new(Counters::default());
        let place = Arc::new((store.clone(), job_uid.to_owned(), task.to_owned()));
        let put = move |progress: Progress| {
            let place = place.clone();
            async move {
                let (store, job_uid, task) = &*place;
                if let Err(error) = store.put_progress(job_uid, task, &progress).await {
                    tracing::debug!(%error, "progress not written");
                }
            }
        };
        let ticker = tokio::spawn(write_periodically(counters.clone(), INTERVAL, put));
        Self { counters, ticker: Some(ticker) }
    }

    /// A writer that counts and writes nothing.
    pub fn silent() -> Self {
        Self { counters: Arc::default(), ticker: None }
    }

    /// Sets the total of bytes.
    pub fn expect(&self, total_bytes: i64) {
        self.counters.total_bytes.store(total_bytes, Ordering::Relaxed);
    }

    /// Adds bytes of row text, and rows.
    pub fn add(&self, bytes: i64, rows: i64) {
        self.counters.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.counters.rows.fetch_add(rows, Ordering::Relaxed);
    }

    /// Adds finished tables.
    pub fn tables(&self, tables: i64) {
        self.counters.tables.fetch_add(tables, Ordering::Relaxed);
    }

    /// The counters now.
    pub fn now(&self) -> Progress {
        self.counters.now()
    }
}

impl LoadProgress for ProgressWriter {
    fn expect_backup(&self, totals: &Totals) {
        self.expect(totals.raw_bytes);
        self.counters.total_rows.store(totals.rows, Ordering::Relaxed);
        self.counters.total_tables.store(totals.tables, Ordering::Relaxed);
        self.stage(Stage::Rows);
    }

    fn stage(&self, stage: Stage) {
        *self.counters.stage.lock() = Some(stage);
    }

    fn add(&self, bytes: i64, rows: i64) {
        Self::add(self, bytes, rows);
    }

    fn tables(&self, tables: i64) {
        Self::tables(self, tables);
    }
}

impl Drop for ProgressWriter {
    fn drop(&mut self) {
        if let Some(ticker) = self.ticker.take() {
            ticker.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn however_much_is_done_it_is_told_at_most_once_in_an_interval_and_one_at_a_time() {
        let writer = ProgressWriter::silent();
        let told = Mutex::new(Vec::new());
        let interval = Duration::from_millis(60);
        let put = |progress: Progress| {
            told.lock().push((tokio::time::Instant::now(), progress));
            // A store that is slow.
            tokio::time::sleep(interval)
        };
        let work = async {
            for _ in 0..5_000 {
                writer.add(3, 1);
                tokio::task::yield_now().await;
            }
            tokio::time::sleep(interval * 5).await;
        };
        tokio::select! {
            () = write_periodically(writer.counters.clone(), interval, put) => {}
            () = work => {}
        }
        let told = told.into_inner();
        assert!(!told.is_empty());
        assert!(told.windows(2).all(|pair| pair[1].0 - pair[0].0 >= interval * 2), "{told:?}");
        assert_eq!(told.last().unwrap().1.bytes, 15_000, "what is told last is how far it is");
        assert_eq!(INTERVAL, Duration::from_secs(20));
    }

    #[test]
    fn what_a_backup_has_is_told_beside_what_is_done() {
        let writer = ProgressWriter::silent();
        assert_eq!((writer.now().stage, writer.now().total_rows), (None, None));
        writer.expect_backup(&Totals { tables: 3, rows: 40, raw_bytes: 500, stored_bytes: 9, objects: 2 });
        writer.add(100, 10);
        writer.tables(1);
        let now = writer.now();
        assert_eq!((now.stage, now.bytes, now.total_bytes), (Some(Stage::Rows), 100, Some(500)));
        assert_eq!((now.rows, now.total_rows, now.tables, now.total_tables), (10, Some(40), 1, Some(3)));
        writer.stage(Stage::Indexes);
        assert_eq!(writer.now().stage, Some(Stage::Indexes));
    }
}
