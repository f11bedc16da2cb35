//! Eight clients of the tenant, who read and write through everything that happens to the server, and remember what was
//! acknowledged to them, and when.

use sennight_engine::postgres::{EngineError, connect};
use sennight_protocol::target::DatabaseTarget;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

pub const CLIENTS: usize = 8;
/// Between a client's statements: short where a gap is measured.
pub const OFTEN: Duration = Duration::from_millis(10);
/// Where they only must be there: connections and their passwords took most of the machine.
pub const SELDOM: Duration = Duration::from_millis(250);

#[derive(Default)]
struct Seen {
    /// Numbers whose INSERT was acknowledged, since the last look.
    acknowledged: Mutex<Vec<i64>>,
    /// Every state that somebody read.
    states: Mutex<BTreeSet<String>>,
    /// Of each client: when a statement succeeded.
    answers: [Mutex<Vec<Instant>>; CLIENTS],
    next: AtomicI64,
    stop: AtomicBool,
}

pub struct Clients {
    seen: Arc<Seen>,
    tasks: Vec<JoinHandle<()>>,
}

impl Clients {
    /// Lets them begin, as the role of `target`.
    pub fn start(target: &DatabaseTarget, pause: Duration) -> Self {
        let seen = Arc::new(Seen::default());
        let tasks = (0..CLIENTS).map(|n| tokio::spawn(client(seen.clone(), target.clone(), n, pause))).collect();
        Self { seen, tasks }
    }

    /// What was acknowledged since the last time.
    pub fn acknowledged(&self) -> Vec<i64> {
        std::mem::take(&mut self.seen.acknowledged.lock().unwrap())
    }

    /// What was read since the last time. Anything but one of the two whole databases is the end of the test.
    pub fn states(&self) -> BTreeSet<String> {
        let states = std::mem::take(&mut *self.seen.states.lock().unwrap());
        for state in &states {
            assert!(["live live", "copied copied"].contains(&state.as_str()), "a client saw {state:?}");
        }
        states
    }

    /// The longest time between two answers that each client had, over what happened from `since` on.
    pub fn gaps(&self, since: Instant) -> Vec<Duration> {
        let gap = |answers: &Mutex<Vec<Instant>>| {
            let answers = answers.lock().unwrap();
            let times: Vec<Instant> = answers.iter().copied().filter(|t| *t >= since).collect();
            times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(Duration::MAX)
        };
        self.seen.answers.iter().map(gap).collect()
    }

    /// Waits until every client has been answered again.
    pub async fn answered(&self) {
        let since = Instant::now();
        let deadline = since + Duration::from_mins(1);
        let fresh = |answers: &Mutex<Vec<Instant>>| answers.lock().unwrap().last().is_some_and(|last| *last > since);
        while !self.seen.answers.iter().all(fresh) {
            assert!(Instant::now() < deadline, "a client gets no answer any more");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Ends them.
    pub async fn stop(self) {
        self.seen.stop.store(true, Ordering::SeqCst);
        for task in self.tasks {
            task.await.unwrap();
        }
    }
}

/// A connection, some statements, and anew: as a pool's clients do. A broken connection is tried again at once.
async fn client(seen: Arc<Seen>, target: DatabaseTarget, n: usize, pause: Duration) {
    while !seen.stop.load(Ordering::SeqCst) {
        match talk(&seen, &target, n, pause).await {
            Ok(()) => {}
            Err(error) => {
                let passing = ["DatabaseMissing", "ConnectionLost", "ServerBusy", "Unreachable"];
                assert!(passing.contains(&error.reason()), "a client was refused: {error}");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }
}

async fn talk(seen: &Seen, target: &DatabaseTarget, n: usize, pause: Duration) -> Result<(), EngineError> {
    let failed = |e| EngineError::query("talking", e);
    let session = connect(target, &target.database, "tenant").await?;
    for _ in 0..20 {
        let row = session.query_one("SELECT a.v || ' ' || b.v FROM public.a, public.b", &[]).await.map_err(failed)?;
        seen.states.lock().unwrap().insert(row.get(0));
        let number = seen.next.fetch_add(1, Ordering::SeqCst);
        session.execute("INSERT INTO public.w VALUES ($1)", &[&number]).await.map_err(failed)?;
        seen.acknowledged.lock().unwrap().push(number);
        seen.answers[n].lock().unwrap().push(Instant::now());
        if seen.stop.load(Ordering::SeqCst) {
            break;
        }
        tokio::time::sleep(pause).await;
    }
    session.close().await;
    Ok(())
}
