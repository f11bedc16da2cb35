//! A compressed day: every tenant of a fleet is due once within a window, by clocks that run faster; then the operator is away
//! for the whole of the next one, and catches up.

use crate::apiserver::Counted;
use crate::fleet::{Place, Shape};
use crate::ledger::{Ledger, Seen};
use crate::process::{Operator, Process, Simulated};
use crate::report::{Bar, Page};
use crate::scope::Scope;
use crate::worker::Worker;
use chrono::{DateTime, Days, TimeDelta, Utc};
use kube::Api;
use kube::api::ListParams;
use sennight::api::BackupSchedule;
use sennight::api::backup_schedule::RunOutcome;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Hours of the window, and of the outage.
const WINDOW: i64 = 6;
/// `maxConcurrentDumps` and `--max-dumps`.
const LIMITS: (i32, i32) = (2, 60);
/// Jobs a simulated second, and at once, that a default operator creates at most.
const BUCKET: (f64, f64) = (1.0, 10.0);

/// Measures and adds to the page.
pub async fn run_and_judge(scope: &Scope, page: &mut Page) {
    let seconds = (WINDOW * 3600) as f64;
    let rate = seconds / scope.seconds as f64;
    let midnight =
        Utc::now().date_naive().checked_add_days(Days::new(1)).unwrap().and_hms_opt(0, 58, 0).unwrap().and_utc();
    let shape = Shape {
        tenants: scope.day,
        now: midnight,
        start: "01:00".to_owned(),
        window: format!("{WINDOW}h"),
        dumps: LIMITS.0,
    };
    let place = Place::new("scale-day", &shape).await;
    place.tenants(&shape).await;
    // The worker plays the Job controller: the real one would make pods, at its own pace.
    let manager = Process::of_tier("kcm");
    manager.signal("STOP");
    let most = format!("--max-dumps={}", LIMITS.1);
    let flags = place.flags(&[&most, "--job-interval=60s"]);

    let before = Counted::read(&place.admin).await;
    let day = phase(&place, &flags, midnight, rate, scope, "the day").await;
    let asked = Counted::read(&place.admin).await.since(&before);
    // On a slow machine some days more have passed: whichever comes next is missed as a whole.
    let next = day.ended.date_naive().checked_add_days(Days::new(1)).unwrap().and_hms_opt(7, 5, 0).unwrap().and_utc();
    let caught = phase(&place, &flags, next, rate, scope, "the catch-up").await;
    manager.signal("CONT");
    judge(scope, page, rate, &day, &caught, &asked);
}

/// What one phase came to.
struct Phase {
    seen: Seen,
    /// The simulated instant of its end.
    ended: DateTime<Utc>,
    /// Real seconds.
    took: f64,
    /// CPU seconds of the operator.
    cpu: f64,
    memory: f64,
}

/// Runs an operator and a worker from this simulated instant until every tenant has had a dump, and its status says so.
async fn phase(place: &Place, flags: &[String], from: DateTime<Utc>, rate: f64, scope: &Scope, what: &str) -> Phase {
    let time = Simulated::from_now(from, rate);
    let ledger = Arc::new(Ledger::new(from + TimeDelta::hours(12)));
    let store = place.bucket.store().await;
    let (client, namespace) = (place.admin.clone(), place.namespace.clone());
    let worker = Worker { client, namespace, store, ledger: ledger.clone() };
    let worker = tokio::spawn(worker.work(time));
    let mut operator = Operator::hastened(&place.kubeconfig, &time, flags);
    operator.ready().await;
    let began = Instant::now();
    let limit = Duration::from_secs(scope.seconds * 6 + 120);
    let mut told = 0;
    loop {
        let dumped = ledger.dumped();
        if dumped >= scope.day {
            break;
        }
        if dumped >= told + scope.day / 5 {
            println!("{what}: {dumped} of {}, at {}", scope.day, time.now().format("%H:%M"));
            told = dumped;
        }
        operator.must_run();
        assert!(began.elapsed() < limit, "{what}: {dumped} of {} dumps after {limit:?}", scope.day);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let took = began.elapsed().as_secs_f64();
    settled(place, from, scope, what).await;
    // Whatever it would run twice would come now.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (cpu, memory) = (operator.process().cpu(), operator.process().memory());
    operator.terminate().await;
    worker.abort();
    Phase { seen: ledger.take(), ended: time.now(), took, cpu, memory }
}

/// Waits until every status says that its day has run.
async fn settled(place: &Place, from: DateTime<Utc>, scope: &Scope, what: &str) {
    let api: Api<BackupSchedule> = Api::namespaced(place.admin.clone(), &place.namespace);
    let deadline = Instant::now() + Duration::from_mins(3);
    loop {
        let mut page = ListParams::default().limit(500);
        let mut done = 0;
        loop {
            let list = api.list(&page).await.unwrap();
            let ran = |o: &&BackupSchedule| {
                let run = o.status.as_ref().and_then(|s| s.last_run.as_ref());
                run.is_some_and(|r| {
                    (r.outcome == Some(RunOutcome::Succeeded) && r.day == Some(from.date_naive()))
                        || r.day > Some(from.date_naive())
                })
            };
            done += list.items.iter().filter(ran).count();
            match list.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => page.continue_token = Some(token),
                None => break,
            }
        }
        if done == scope.day {
            return;
        }
        assert!(Instant::now() < deadline, "{what}: {done} of {} schedules say that their day has run", scope.day);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

fn judge(scope: &Scope, page: &mut Page, rate: f64, day: &Phase, caught: &Phase, asked: &Counted) {
    let n = scope.day as f64;
    let strays = |seen: &Seen| seen.dumps.len().abs_diff(scope.day) + seen.dumps.values().filter(|t| **t != 1).count();
    let ours = |call: &crate::apiserver::Call| call.group == "sennight.dev";
    let jobs_made = |call: &crate::apiserver::Call| call.resource == "jobs" && call.verb == "POST";
    let events = |call: &crate::apiserver::Call| call.resource == "events" && call.writes();
    let writes = asked.count(|call| (ours(call) && call.writes()) || jobs_made(call) || events(call));
    // The fake worker reads and writes Jobs too; what it does is not counted.
    let reads = asked.count(|call| ours(call) && !call.writes() && call.verb != "WATCH");
    let tasks = day.seen.tasks.iter().sum::<usize>() as f64 / day.seen.tasks.len().max(1) as f64;
    let words = format!(
        "{} tenants due within {WINDOW} hours, on {} servers with {} dumps at once each and {} in all; clocks {rate:.0} times as \
         fast, a fake worker whose dumps take {} simulated seconds, no controller manager. The window took {:.0} s, \
         {:.1} dumps a second; {} Jobs with {tasks:.1} tenants each; lag p50 {:.2}, p99 {:.2}, longest {:.2} simulated minutes; at \
         most {} at once on a server and {} in all. The operator: {:.2} ms of CPU a tenant, {:.0} MiB. Requests: {writes:.0} writes, \
         {reads:.0} reads ({}). After {WINDOW} hours down: {} dumps in {:.0} s, {} Jobs, at most {} within a simulated minute.",
        scope.day,
        (scope.day / 500).max(2),
        LIMITS.0,
        LIMITS.1,
        crate::worker::DUMP,
        day.took,
        n / day.took,
        day.seen.jobs.len(),
        day.seen.lag(0.5),
        day.seen.lag(0.99),
        day.seen.lag(1.0),
        day.seen.most.0,
        day.seen.most.1,
        day.cpu / n * 1000.0,
        day.memory,
        asked.words(|call| ours(call) || call.resource == "jobs" || call.resource == "events"),
        caught.seen.lags.len(),
        caught.took,
        caught.seen.jobs.len(),
        caught.seen.most_within(60),
    );
    page.section("A compressed day", &words);
    let over = |seen: &Seen| f64::from((seen.most.0 - LIMITS.0).max(0) + (seen.most.1 - LIMITS.1).max(0));
    page.bars(vec![
        Bar::promise("slots that ran not exactly once", strays(&day.seen) as f64),
        Bar::promise("dumps over a budget", over(&day.seen) + over(&caught.seen)),
        Bar::promise("after six hours down: tenants with not exactly one catch-up", strays(&caught.seen) as f64),
        Bar::at_most("p99 start lag, simulated minutes", 5.0, day.seen.lag(0.99)),
        Bar::at_most("API writes a backup beside one status write", 0.3, writes / n - 1.0),
        Bar::at_most(
            "Jobs created within a simulated minute of the catch-up (the bucket's rate and burst)",
            BUCKET.0 * 60.0 + BUCKET.1,
            caught.seen.most_within(60) as f64,
        ),
    ]);
}
