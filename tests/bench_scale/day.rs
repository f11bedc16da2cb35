//! A compressed day: every tenant is due once within a window, by clocks that run faster. And a window for the whole
//! of which the operator is away, and what it does then.

use crate::apiserver::{Call, Counted};
use crate::ledger::{Ledger, Seen};
use crate::process::{Operator, Process, Simulated};
use crate::report::{Bar, Page};
use crate::schedules::{Place, Shape};
use crate::scope::Scope;
use crate::worker::Worker;
use chrono::{DateTime, Days, TimeDelta, Utc};
use kube::Api;
use kube::api::ListParams;
use sennight_api::BackupSchedule;
use sennight_api::backup_schedule::RunOutcome;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Hours of the window, and of the outage.
const WINDOW: i64 = 6;
/// The hour at which the window begins.
const START: u32 = 4;
/// `maxConcurrentDumps`.
const ON_A_SERVER: i32 = 2;
/// Jobs a simulated second, and at once, that a default operator creates at most.
const BUCKET: (f64, f64) = (1.0, 10.0);

/// `--max-dumps`: some three times what so many tenants need if they come evenly and no place is ever idle.
fn in_all(tenants: usize) -> i32 {
    i32::try_from(tenants * 3 / 1000).unwrap().max(60)
}

/// Schedules, their clocks and the limits for one of the two parts.
struct Rehearsal {
    place: Place,
    flags: Vec<String>,
    /// Schedules.
    tenants: usize,
    /// Simulated seconds in a real one.
    rate: f64,
    /// What it is called.
    what: &'static str,
    /// Beyond this it is stuck.
    limit: Duration,
}

impl Rehearsal {
    /// Schedules as they are at this instant, the day before its window; nobody works for them yet.
    async fn new(what: &'static str, tenants: usize, seconds: u64, now: DateTime<Utc>) -> Self {
        let shape =
            Shape { tenants, now, start: format!("{START:02}:00"), window: format!("{WINDOW}h"), dumps: ON_A_SERVER };
        let place = Place::new(&format!("scale-{what}"), &shape).await;
        place.tenants(&shape).await;
        place.serve(&shape, 0).await;
        let most = format!("--max-dumps={}", in_all(tenants));
        let mut more = vec![most.as_str()];
        let given = std::env::var("SENNIGHT_SCALE_FLAGS").unwrap_or_default();
        more.extend(given.split_whitespace());
        let flags = place.flags(&more);
        // The worker plays the Job controller: the real one would make pods, at its own pace.
        Process::of_tier("kcm").signal("STOP");
        let limit = Duration::from_secs(seconds * 6 + 120);
        Self { place, flags, tenants, rate: rate(seconds), what, limit }
    }

    async fn end(self, followed: bool) {
        Process::of_tier("kcm").signal("CONT");
        self.place.leave(followed).await;
    }
}

/// How fast clocks are that show the window's hours in so many real seconds.
fn rate(seconds: u64) -> f64 {
    (WINDOW * 3600) as f64 / seconds as f64
}

/// When the next day's window begins.
fn begins() -> DateTime<Utc> {
    Utc::now().date_naive().checked_add_days(Days::new(1)).unwrap().and_hms_opt(START, 0, 0).unwrap().and_utc()
}

/// The compressed day: measures and adds to the page.
pub async fn run_and_judge(scope: &Scope, page: &mut Page) {
    // The operator has listed and counted everything, on a busy machine, before the window begins: its start is measured elsewhere.
    let ahead = (30.0 + scope.day as f64 / 1000.0) * rate(scope.seconds);
    let before = begins() - TimeDelta::seconds(ahead as i64).min(TimeDelta::hours(3));
    let rehearsal = Rehearsal::new("day", scope.day, scope.seconds, before).await;
    let day = phase(&rehearsal, before).await;
    judge_day(scope, page, rehearsal.rate, &day);
    rehearsal.end(scope.followed("day")).await;
}

/// The catch-up after a window without an operator: measures and adds to the page.
pub async fn away_and_judge(scope: &Scope, page: &mut Page) {
    let left = begins() - TimeDelta::hours(2);
    let rehearsal = Rehearsal::new("catch-up", scope.away, scope.away_seconds, left).await;
    let caught = phase(&rehearsal, begins() + TimeDelta::hours(WINDOW) + TimeDelta::minutes(5)).await;
    judge_catch_up(scope, page, rehearsal.rate, &caught);
    rehearsal.end(scope.followed("catch-up")).await;
}

/// What one phase came to.
struct Phase {
    seen: Seen,
    /// Real seconds.
    took: f64,
    /// CPU seconds of the operator.
    cpu: f64,
    memory: f64,
    peak: f64,
    asked: Counted,
}

/// Runs an operator and a worker from this simulated instant until every tenant has had a dump, and its status says so.
async fn phase(rehearsal: &Rehearsal, from: DateTime<Utc>) -> Phase {
    let Rehearsal { place, tenants, what, limit, .. } = rehearsal;
    let time = Simulated::from_now(from, rehearsal.rate);
    let ledger = Arc::new(Ledger::new(from + TimeDelta::hours(14)));
    let store = place.bucket.store().await;
    let (client, namespace) = (place.admin.clone(), place.namespace.clone());
    let worker = Worker { client, namespace, store, ledger: ledger.clone() };
    let worker = tokio::spawn(worker.work(time));
    let before = Counted::read(&place.admin).await;
    let mut operator = Operator::hastened(&place.kubeconfig, &time, &rehearsal.flags);
    operator.ready().await;
    let began = Instant::now();
    operator.serves(*tenants).await;
    let mut told = 0;
    loop {
        let dumped = ledger.dumped();
        if dumped >= *tenants {
            break;
        }
        if dumped >= told + tenants / 5 {
            println!("{what}: {dumped} of {tenants}, at {}", time.now().format("%H:%M"));
            told = dumped;
        }
        operator.must_run();
        assert!(began.elapsed() < *limit, "{what}: {dumped} of {tenants} dumps after {limit:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let took = began.elapsed().as_secs_f64();
    all_written(&operator, what).await;
    // Whatever it would run twice would come now.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let asked = Counted::read(&place.admin).await.since(&before);
    let process = operator.process();
    let (cpu, memory, peak) = (process.cpu(), process.memory(), process.peak());
    operator.terminate().await;
    worker.abort();
    all_ran(rehearsal, from).await;
    Phase { seen: ledger.take(), took, cpu, memory, peak, asked }
}

/// Waits until the operator counts no slot that has come and is not written down.
async fn all_written(operator: &Operator, what: &str) {
    let deadline = Instant::now() + Duration::from_mins(5);
    loop {
        let scrape = operator.scrape().await;
        if scrape.contains("\nsennight_slots_due 0\n") && scrape.contains("\nsennight_dumps_running 0\n") {
            return;
        }
        assert!(Instant::now() < deadline, "{what}: it never came to rest");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Every status says that its day has run.
async fn all_ran(rehearsal: &Rehearsal, from: DateTime<Utc>) {
    let Rehearsal { place, tenants, what, .. } = rehearsal;
    let api: Api<BackupSchedule> = Api::namespaced(place.admin.clone(), &place.namespace);
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
    assert_eq!(done, *tenants, "{what}: schedules that say that their day has run");
}

/// Writes that are the operator's: of its kinds, of Events, of new Jobs. The fake worker's own are Jobs' status and end.
fn written(asked: &Counted) -> f64 {
    let job = |call: &Call| call.resource == "jobs" && call.subresource.is_empty() && call.verb != "DELETE";
    asked.count(|call| call.writes() && (call.group == "sennight.dev" || call.resource == "events" || job(call)))
}

fn strays(seen: &Seen, tenants: usize) -> f64 {
    (seen.dumps.len().abs_diff(tenants) + seen.dumps.values().filter(|times| **times != 1).count()) as f64
}

fn tenants_a_job(seen: &Seen) -> f64 {
    seen.tasks.iter().sum::<usize>() as f64 / seen.tasks.len().max(1) as f64
}

/// Dumps over a budget, at most.
fn over(seen: &Seen, tenants: usize) -> f64 {
    f64::from((seen.most.0 - ON_A_SERVER).max(0) + (seen.most.1 - in_all(tenants)).max(0))
}

fn judge_day(scope: &Scope, page: &mut Page, rate: f64, day: &Phase) {
    page.section("A compressed day", &of_the_day(scope, rate, day));
    let seen = &day.seen;
    page.bars(vec![
        Bar::promise("slots that ran not exactly once", strays(seen, scope.day)),
        Bar::promise("dumps over a budget", over(seen, scope.day)),
        Bar::at_most("p99 start lag, simulated minutes", 5.0, seen.lag(0.99)),
        Bar::at_most("hours from the first Job to the last of a 6-hour window", 6.1, seen.minutes() / 60.0),
        Bar::at_most("API writes a backup beside one status write", 0.3, written(&day.asked) / scope.day as f64 - 1.0),
        // A Job more is rounding.
        Bar::at_most("Jobs created beyond the token bucket", 1.0, seen.beyond(BUCKET.0, BUCKET.1)),
    ]);
}

fn judge_catch_up(scope: &Scope, page: &mut Page, rate: f64, caught: &Phase) {
    page.section("After six hours down", &of_the_catch_up(scope, rate, caught));
    let seen = &caught.seen;
    page.bars(vec![
        Bar::promise("after six hours down: tenants with not exactly one catch-up", strays(seen, scope.away)),
        Bar::promise("dumps over a budget in the catch-up", over(seen, scope.away)),
        Bar::at_most("Jobs created beyond the token bucket in the catch-up", 1.0, seen.beyond(BUCKET.0, BUCKET.1)),
    ]);
}

/// Requests that are the operator's or might be.
fn requests(asked: &Counted) -> String {
    asked.words(|call| {
        let ours = matches!(call.group.as_str(), "sennight.dev" | "batch") || call.resource == "events";
        ours && call.verb != "WATCH"
    })
}

fn of_the_day(scope: &Scope, rate: f64, day: &Phase) -> String {
    let n = scope.day as f64;
    let seen = &day.seen;
    format!(
        "{} tenants due within {WINDOW} hours, on {} servers with {ON_A_SERVER} dumps at once each and {} in all; clocks {rate:.1} times \
         as fast, a fake worker whose dumps take {} simulated seconds, no controller manager. The window took {:.0} s, {:.1} dumps a \
         second; {} Jobs with {:.1} tenants each; lag p50 {:.2}, p99 {:.2} (by the hour of the slot: {}), longest {:.2} simulated minutes; at most {} dumps at once \
         on a server and {} in all. The operator: {:.2} ms of CPU a tenant, {:.0} MiB, peak {:.0} MiB. Requests: {}.",
        scope.day,
        (scope.day / 500).max(2),
        in_all(scope.day),
        crate::worker::DUMP,
        day.took,
        n / day.took,
        seen.jobs.len(),
        tenants_a_job(seen),
        seen.lag(0.5),
        seen.lag(0.99),
        seen.lag_by_hour(0.99).iter().map(|lag| format!("{lag:.1}")).collect::<Vec<_>>().join(", "),
        seen.lag(1.0),
        seen.most.0,
        seen.most.1,
        day.cpu / n * 1000.0,
        day.memory,
        day.peak,
        requests(&day.asked),
    )
}

fn of_the_catch_up(scope: &Scope, rate: f64, caught: &Phase) -> String {
    let seen = &caught.seen;
    format!(
        "{} tenants; the operator is away for the whole of their window and starts at 10:05, clocks {rate:.1} times as fast: {} dumps \
         in {} Jobs with {:.1} tenants each, created within {:.0} simulated minutes ({:.0} s); at most {} dumps at once on a server \
         and {} in all; {:.2} API writes a tenant beside one status write. The operator: {:.2} ms of CPU a tenant, {:.0} MiB, peak \
         {:.0} MiB. Requests: {}.",
        scope.away,
        seen.lags.len(),
        seen.jobs.len(),
        tenants_a_job(seen),
        seen.minutes(),
        caught.took,
        seen.most.0,
        seen.most.1,
        written(&caught.asked) / scope.away as f64 - 1.0,
        caught.cpu / scope.away as f64 * 1000.0,
        caught.memory,
        caught.peak,
        requests(&caught.asked),
    )
}
