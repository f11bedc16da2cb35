//! The operator as a child process: its own program, or this one with a clock that runs faster; and what a process costs, read
//! from /proc.

use chrono::{DateTime, Utc};
use clap::Parser;
use sennight::cli::{Cli, Command as Verb};
use sennight::logging::{LogFormat, init_logging};
use sennight_operator::{Clock, operate_by};
use std::fs::File;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// The first argument of this program as an operator.
pub const CHILD: &str = "operator";
/// Pause between two looks whether it is ready: each costs it a scrape.
const POLL: Duration = Duration::from_millis(200);

/// Is the operator until SIGTERM: `BEGAN SIMULATED RATE FLAGS…`.
pub async fn operate(arguments: &[String]) {
    init_logging(LogFormat::Json);
    let time = |n: usize| arguments[n].parse::<DateTime<Utc>>().unwrap();
    let clock = Clock::running(time(0), time(1), arguments[2].parse().unwrap());
    let words = ["sennight".to_owned(), "operator".to_owned()].into_iter().chain(arguments[3..].iter().cloned());
    let Verb::Operator(flags) = Cli::parse_from(words).command else { panic!("not an operator") };
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    tokio::spawn(async move {
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).unwrap();
        terminate.recv().await;
        stopped.cancel();
    });
    operate_by(flags.resolve(rand::random()).unwrap(), stop, clock).await.unwrap();
}

/// A clock that shows another time and runs faster; everybody who plays in the compressed day reads the same one.
#[derive(Debug, Clone, Copy)]
pub struct Simulated {
    /// The real instant at which it
    pub began: DateTime<Utc>,
    /// shows this,
    pub shown: DateTime<Utc>,
    /// and so many of its seconds pass in a real one.
    pub rate: f64,
}

impl Simulated {
    /// From now on.
    pub fn from_now(shown: DateTime<Utc>, rate: f64) -> Self {
        Self { began: Utc::now(), shown, rate }
    }

    /// What it shows.
    pub fn now(&self) -> DateTime<Utc> {
        Clock::running(self.began, self.shown, self.rate).now()
    }

    /// How long its seconds really take.
    pub fn real(&self, seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds / self.rate)
    }
}

/// A running operator; killed when dropped.
pub struct Operator {
    child: Child,
    log: tempfile::NamedTempFile,
    began: Instant,
}

impl Operator {
    /// The program as it is shipped, or the one that tests use.
    pub fn shipped(kubeconfig: &str, flags: &[String]) -> Self {
        let program = std::env::var_os("SENNIGHT_BINARY").map_or_else(|| testkit::binary("sennight"), PathBuf::from);
        Self::start(Command::new(program).arg("operator"), kubeconfig, flags)
    }

    /// With a clock that runs faster.
    pub fn hastened(kubeconfig: &str, time: &Simulated, flags: &[String]) -> Self {
        let clock = [time.began.to_rfc3339(), time.shown.to_rfc3339(), time.rate.to_string()];
        Self::start(Command::new(std::env::current_exe().unwrap()).arg(CHILD).args(clock), kubeconfig, flags)
    }

    fn start(command: &mut Command, kubeconfig: &str, flags: &[String]) -> Self {
        let log = tempfile::NamedTempFile::new().unwrap();
        let child = command
            .env("KUBECONFIG", kubeconfig)
            .args(["--worker-image=none", "--metrics-addr=127.0.0.1:0"])
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(log.path()).unwrap())
            .spawn()
            .unwrap();
        Self { child, log, began: Instant::now() }
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log.path()).unwrap()
    }

    /// Waits until it leads and says that it is ready (a standby is ready too); seconds since its start.
    pub async fn ready(&mut self) -> f64 {
        let mut address = None;
        loop {
            assert!(self.child.try_wait().unwrap().is_none(), "the operator ended:\n{}", self.log());
            assert!(self.began.elapsed() < Duration::from_mins(10), "not ready after ten minutes:\n{}", self.log());
            address = address.or_else(|| self.address());
            if let Some(address) = address
                && get(address, "/metrics").await.contains("sennight_leader 1")
            {
                // What it has to list is expected a moment after it leads.
                tokio::time::sleep(Duration::from_millis(50)).await;
                if get(address, "/readyz").await.starts_with("HTTP/1.1 200") {
                    return self.began.elapsed().as_secs_f64();
                }
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Waits until it counts as many schedules as there are: one that a list lost would be missed by every figure.
    pub async fn serves(&mut self, schedules: usize) {
        let deadline = Instant::now() + Duration::from_mins(1);
        loop {
            let scrape = self.scrape().await;
            let counts = scrape.lines().filter(|line| line.starts_with("sennight_schedules{"));
            let served: f64 = counts.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum();
            if served as usize == schedules {
                return;
            }
            assert!(Instant::now() < deadline, "the operator counts {served} schedules of {schedules}");
            self.must_run();
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    fn address(&self) -> Option<SocketAddr> {
        let line = |line: &str| serde_json::from_str::<serde_json::Value>(line).ok();
        let addresses = |line: serde_json::Value| line["address"].as_str().map(str::to_owned);
        self.log().lines().filter_map(line).find_map(addresses)?.parse().ok()
    }

    /// It has not ended by itself.
    pub fn must_run(&mut self) {
        assert!(self.child.try_wait().unwrap().is_none(), "the operator ended:\n{}", self.log());
    }

    /// What it shows to a scraper.
    pub async fn scrape(&self) -> String {
        get(self.address().unwrap(), "/metrics").await
    }

    /// Its process.
    pub fn process(&self) -> Process {
        Process(self.child.id())
    }

    /// SIGTERM, and its end.
    pub async fn terminate(mut self) {
        let sent = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        while self.child.try_wait().unwrap().is_none() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(40).collect();
            eprintln!("--- the end of the operator's log\n{}", tail.into_iter().rev().collect::<Vec<_>>().join("\n"));
        }
    }
}

/// A GET's whole answer; empty when nobody listens.
async fn get(address: SocketAddr, path: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let Ok(mut stream) = tokio::net::TcpStream::connect(address).await else {
        return String::new();
    };
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let mut answer = String::new();
    if stream.write_all(request.as_bytes()).await.is_err() || stream.read_to_string(&mut answer).await.is_err() {
        return String::new();
    }
    answer
}

/// A process by its number.
#[derive(Debug, Clone, Copy)]
pub struct Process(pub u32);

impl Process {
    /// A server of the tier.
    pub fn of_tier(name: &str) -> Self {
        let file = format!("{}/pid/{name}", testkit::env("SENNIGHT_CLUSTER_DIR"));
        Self(std::fs::read_to_string(file).unwrap().split(' ').next().unwrap().parse().unwrap())
    }

    /// CPU seconds so far.
    pub fn cpu(self) -> f64 {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.0)).unwrap_or_default();
        let fields: Vec<&str> = text.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
        // Hundredths of a second (USER_HZ).
        fields.get(11..13).unwrap_or_default().iter().map(|f| f.parse::<f64>().unwrap_or(0.0)).sum::<f64>() / 100.0
    }

    /// Resident memory now, in MiB.
    pub fn memory(self) -> f64 {
        self.line("VmRSS:")
    }

    /// The most that it ever was.
    pub fn peak(self) -> f64 {
        self.line("VmHWM:")
    }

    fn line(self, key: &str) -> f64 {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.0)).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
        line.split_whitespace().next().and_then(|kb| kb.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
    }

    /// Sends it a signal: it is one that the tier started.
    pub fn signal(self, name: &str) {
        assert!(Command::new("kill").args([format!("-{name}"), self.0.to_string()]).status().unwrap().success());
    }
}
