//! All schedules at rest: how long until the operator is ready, what that costs in CPU and memory, what it costs to go on, and a
//! relist.

use crate::apiserver::{Counted, business};
use crate::process::{Operator, Process};
use crate::report::{Bar, Page};
use crate::schedules::{Place, at_rest};
use crate::scope::Scope;
use crate::tier;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// K8up's CPU seconds to start with 10,000 schedules, as measured on such a machine.
const K8UP_CPU_A_SCHEDULE: f64 = 8.0 / 10_000.0;
/// Time for what comes after readiness.
const PAUSE: Duration = Duration::from_secs(15);

/// What is measured is a restart. The first start tries the bucket and writes what storages and servers say.
async fn first_start(place: &Place) {
    let mut first = Operator::shipped(&place.kubeconfig, &place.flags(&[]));
    first.ready().await;
    at_ease(first.process(), Duration::from_mins(5)).await;
    first.terminate().await;
}

async fn filled(scope: &Scope) -> Place {
    let shape = at_rest(scope);
    let place = Place::new("scale-rest", &shape).await;
    place.tenants(&shape).await;
    place.requests(&shape, scope.requests).await;
    place.serve(&shape, scope.requests).await;
    place
}

/// Measures and adds to the page.
pub async fn run_and_judge(scope: &Scope, page: &mut Page) {
    let place = filled(scope).await;
    // Whatever is asked without an operator is not its doing.
    let idle = Duration::from_secs(scope.idle);
    let quiet = counted(&place, idle).await;

    if scope.requests > 0 {
        first_start(&place).await;
    }
    let pause = if scope.part { Duration::from_secs(2) } else { PAUSE };
    let before = Counted::read(&place.admin).await;
    let mut operator = Operator::shipped(&place.kubeconfig, &place.flags(&[]));
    let process = operator.process();
    let ready = operator.ready().await;
    let cpu_ready = process.cpu();
    tokio::time::sleep(pause).await;
    at_ease(process, Duration::from_mins(2)).await;
    operator.serves(scope.schedules).await;
    let (cpu, memory, peak) = (process.cpu(), process.memory(), process.peak());
    let start = Counted::read(&place.admin).await.since(&before);

    let (began, spent) = (Instant::now(), process.cpu());
    let rest = counted(&place, idle).await;
    let seconds = began.elapsed().as_secs_f64();
    let idle_cpu = (process.cpu() - spent) / seconds * 100.0;
    let rest = rest.without(&quiet);
    let asked = rest.count(business);
    let steady = process.memory();
    let looked = reconciles(&operator.scrape().await, "BackupSchedule");

    let asked = asked / seconds;
    let (relist, relist_cpu) = if scope.part { (peak, 0.0) } else { relisted(process).await };
    let server = Process::of_tier("apiserver").memory();
    let status = status_seconds(&place, scope);
    let start = start.words(business);
    let rest = rest.words(business);
    let figures = Figures {
        ready,
        cpu_ready,
        cpu,
        memory,
        peak,
        start,
        steady,
        idle_cpu,
        asked,
        rest,
        relist,
        relist_cpu,
        server,
        status,
        looked,
    };
    tell(scope, page, &figures);
    let log = operator.log();
    if std::env::var_os("SENNIGHT_SCALE_LOG").is_some() {
        println!("{}", log.lines().take(60).collect::<Vec<_>>().join("\n"));
    }
    operator.terminate().await;
    place.leave(scope.followed("rest")).await;
}

async fn counted(place: &Place, time: Duration) -> Counted {
    let before = Counted::read(&place.admin).await;
    tokio::time::sleep(time).await;
    Counted::read(&place.admin).await.since(&before)
}

/// What was measured.
struct Figures {
    ready: f64,
    cpu_ready: f64,
    cpu: f64,
    memory: f64,
    peak: f64,
    start: String,
    steady: f64,
    idle_cpu: f64,
    asked: f64,
    rest: String,
    relist: f64,
    relist_cpu: f64,
    server: f64,
    status: f64,
    looked: f64,
}

fn tell(scope: &Scope, page: &mut Page, figures: &Figures) {
    let Figures { ready, cpu_ready, cpu, memory, peak, steady, idle_cpu, asked, relist, relist_cpu, status, .. } =
        figures;
    let words = format!(
        "{} BackupSchedules with seven backups each in one namespace, {} RestoreRequests that have ended, {} DatabaseServers. \
         Ready after {ready:.1} s and {cpu_ready:.1} CPU seconds; some seconds later {cpu:.1} CPU seconds, {memory:.0} MiB, peak \
         {peak:.0} MiB. Requests of the start: {}. At rest: {steady:.0} MiB, {idle_cpu:.2} % of a core, {asked:.2} requests \
         a second beside watches and Lease ({}). The API server killed and started: peak {relist:.0} MiB, \
         {relist_cpu:.1} CPU seconds more. The API server itself: {:.0} MiB. `kubectl sennight status`: {status:.2} s.",
        scope.schedules,
        scope.requests,
        (scope.schedules / 500).max(2),
        figures.start,
        figures.rest,
        figures.server,
    );
    page.section("At rest", &words);
    let small = scope.schedules <= 10_000;
    page.bars(vec![
        Bar::promise("BackupSchedules that a restart looks at although all is as it should be", figures.looked),
        Bar::at_most("operator RSS steady, MiB", if small { 48.0 } else { 200.0 }, figures.steady.max(figures.memory)),
        Bar::at_most("operator RSS peak incl. relist, MiB", 350.0, figures.peak.max(figures.relist)),
        Bar::at_most("ready after start, s", 20.0, figures.ready),
        Bar::at_most(
            "CPU to start a schedule, ms (half of K8up's)",
            K8UP_CPU_A_SCHEDULE * 500.0,
            figures.cpu / scope.schedules as f64 * 1000.0,
        ),
        Bar::at_most("API requests a second at rest", 1.0, figures.asked),
        Bar::at_most("CPU at rest, % of a core", 3.0, figures.idle_cpu),
        Bar::at_most("`kubectl sennight status`, s", 1.0, figures.status),
    ]);
}

fn reconciles(scrape: &str, kind: &str) -> f64 {
    let of = |line: &&str| line.starts_with("sennight_reconcile_total{") && line.contains(&format!("kind=\"{kind}\""));
    scrape
        .lines()
        .filter(of)
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .fold(0.0, |sum, n| sum + n)
}

/// The API server is killed and started: every watch breaks, every list is asked for anew. Peak memory and CPU of that.
async fn relisted(process: Process) -> (f64, f64) {
    let spent = process.cpu();
    tier::restart("apiserver", &[]);
    // Backoffs end, lists are read.
    tokio::time::sleep(Duration::from_secs(5)).await;
    at_ease(process, Duration::from_mins(3)).await;
    (process.peak(), process.cpu() - spent)
}

/// Waits as long as a process works.
async fn at_ease(process: Process, at_most: Duration) {
    calm(process, 0.1, at_most).await;
}

/// Waits as long as a process takes more CPU seconds than this in three of the clock's.
pub async fn calm(process: Process, busy: f64, at_most: Duration) {
    let began = Instant::now();
    let mut last = process.cpu();
    while began.elapsed() < at_most {
        tokio::time::sleep(Duration::from_secs(3)).await;
        let now = process.cpu();
        if now - last < busy {
            return;
        }
        last = now;
    }
}

/// The best of three: is everybody backed up?
fn status_seconds(place: &Place, scope: &Scope) -> f64 {
    let shipped = std::env::var("SENNIGHT_BINARY").map(|path| Path::new(&path).with_file_name("kubectl-sennight"));
    let plugin = shipped.ok().filter(|path| path.exists());
    let plugin = plugin.unwrap_or_else(|| testkit::binary("kubectl-sennight"));
    let mut best = f64::MAX;
    for _ in 0..if scope.part { 1 } else { 3 } {
        let began = Instant::now();
        let output = Command::new(&plugin).args(["status", "-n", &place.namespace]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        best = best.min(began.elapsed().as_secs_f64());
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.contains("Everybody is backed up"), "{text}");
    }
    best
}
