//! Clients of one tenant while its databases change places: those of the tenant, whom the fence holds, and an administrator, whom it
//! does not. They remember what they saw, and what was acknowledged to them.

use sennight_engine::mysql::{EngineError, Session, connect};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use testkit::mysql::restore::PASSWORD;
use testkit::mysql::{Database, Seen as Eyes};
use tokio::task::JoinHandle;

/// Of the tenant.
pub const INSIDE: usize = 3;
/// Of the administrator.
pub const OUTSIDE: usize = 2;

#[derive(Default)]
struct Seen {
    acknowledged: Mutex<Vec<i64>>,
    inside: Mutex<BTreeSet<String>>,
    outside: Mutex<BTreeSet<String>>,
    failures: Mutex<BTreeSet<String>>,
    answers: [Mutex<Vec<Instant>>; INSIDE + OUTSIDE],
    next: AtomicI64,
    stop: AtomicBool,
}

pub struct Clients {
    seen: Arc<Seen>,
    tasks: Vec<JoinHandle<()>>,
    _eyes: Vec<Eyes>,
}

impl Clients {
    pub fn start(live: &Database, app: &str, admin: &str) -> Self {
        let seen = Arc::new(Seen::default());
        let (mut tasks, mut eyes) = (Vec::new(), Vec::new());
        for n in 0..INSIDE + OUTSIDE {
            let eye = live.seen_by(if n < INSIDE { app } else { admin }, PASSWORD);
            tasks.push(tokio::spawn(client(seen.clone(), eye.target.clone(), n)));
            eyes.push(eye);
        }
        Self { seen, tasks, _eyes: eyes }
    }

    /// Numbers whose INSERT was acknowledged since the last look.
    pub fn acknowledged(&self) -> Vec<i64> {
        std::mem::take(&mut self.seen.acknowledged.lock().unwrap())
    }

    /// Forgets everything so far.
    pub fn forget(&self) {
        self.acknowledged();
        self.seen.failures.lock().unwrap().clear();
        self.seen.inside.lock().unwrap().clear();
        self.seen.outside.lock().unwrap().clear();
    }

    /// What was seen since the last look, by the tenant. I3: anything but one of the two whole databases, by whomever, is the
    /// end of the test, and so is a refusal that is none of a fence.
    pub fn states(&self) -> BTreeSet<String> {
        let failures = std::mem::take(&mut *self.seen.failures.lock().unwrap());
        assert!(failures.is_empty(), "clients were refused: {failures:?}");
        let [inside, outside] =
            [&self.seen.inside, &self.seen.outside].map(|s| std::mem::take(&mut *s.lock().unwrap()));
        for state in &inside {
            assert!(
                ["live live live live", "copied copied copied copied"].contains(&state.as_str()),
                "the tenant saw {state:?}"
            );
        }
        for state in &outside {
            assert!(["live live", "copied copied"].contains(&state.as_str()), "outside the fence one saw {state:?}");
        }
        inside.into_iter().map(|state| state.split(' ').next().unwrap().to_owned()).collect()
    }

    /// The longest time between two answers of the clients inside and outside, over what happened from `since` on.
    pub fn gaps(&self, since: Instant) -> (Duration, Duration) {
        let gap = |answers: &Mutex<Vec<Instant>>| {
            let answers = answers.lock().unwrap();
            let times: Vec<Instant> = answers.iter().copied().filter(|t| *t >= since).collect();
            times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(Duration::MAX)
        };
        let (inside, outside) = self.seen.answers.split_at(INSIDE);
        (inside.iter().map(gap).max().unwrap(), outside.iter().map(gap).max().unwrap())
    }

    /// Waits until every client has been answered again.
    pub async fn answered(&self) {
        let since = Instant::now();
        let fresh = |answers: &Mutex<Vec<Instant>>| answers.lock().unwrap().last().is_some_and(|last| *last > since);
        while !self.seen.answers.iter().all(fresh) {
            let failures = self.seen.failures.lock().unwrap().clone();
            assert!(since.elapsed() < Duration::from_mins(1), "a client gets no answer any more: {failures:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub async fn stop(self) {
        self.seen.stop.store(true, Ordering::SeqCst);
        for task in self.tasks {
            task.await.unwrap();
        }
    }
}

/// A connection, some statements, and anew: as a pool's clients do.
async fn client(seen: Arc<Seen>, target: sennight_protocol::target::DatabaseTarget, n: usize) {
    while !seen.stop.load(Ordering::SeqCst) {
        let talked = async {
            let database = if n < INSIDE { target.database.as_str() } else { "" };
            let mut session = connect(&target, database, "tenant").await?;
            for _ in 0..20 {
                if n < INSIDE {
                    inside(&seen, &mut session).await?;
                } else {
                    outside(&seen, &mut session, &target.database).await?;
                }
                seen.answers[n].lock().unwrap().push(Instant::now());
                if seen.stop.load(Ordering::SeqCst) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            session.close().await;
            Ok::<_, EngineError>(())
        };
        if let Err(error) = talked.await {
            // Ended or locked out: what a fence does. A deadlock is tried again by whoever has one.
            if !["ConnectionLost", "ServerBusy", "Unreachable", "LockTimeout"].contains(&error.reason()) {
                seen.failures.lock().unwrap().insert(format!("client {n}: {error}"));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn inside(seen: &Seen, session: &mut Session) -> Result<(), EngineError> {
    let query = "SELECT CONCAT_WS(' ', a.v, b.v, c.stamp, f()) FROM a, b, c";
    let (state,): (String,) = session.row(query, "reading").await?;
    seen.inside.lock().unwrap().insert(state);
    let number = seen.next.fetch_add(1, Ordering::SeqCst);
    session.run(&format!("INSERT INTO w (n) VALUES ({number})"), "writing").await?;
    seen.acknowledged.lock().unwrap().push(number);
    Ok(())
}

async fn outside(seen: &Seen, session: &mut Session, database: &str) -> Result<(), EngineError> {
    let query = format!("SELECT CONCAT_WS(' ', a.v, b.v) FROM `{database}`.a AS a, `{database}`.b AS b");
    let (state,): (String,) = session.row(&query, "reading").await?;
    seen.outside.lock().unwrap().insert(state);
    Ok(())
}
