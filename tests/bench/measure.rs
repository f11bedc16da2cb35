//! What a run costs: seconds by the clock, CPU seconds of everybody who takes part, and the memory of the client's
//! processes. Read from /proc, so Linux only.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// CPU time in /proc is counted in hundredths of a second (USER_HZ).
const TICK: f64 = 0.01;
const SAMPLE: Duration = Duration::from_millis(20);

/// What one run cost.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cost {
    /// Seconds from start to end.
    pub wall: f64,
    /// CPU seconds of the client and its children.
    pub client: f64,
    /// CPU seconds of the database server.
    pub database: f64,
    /// CPU seconds of the store.
    pub store: f64,
    /// Largest sum of the peak resident memory of the client's processes alive at one time, in bytes.
    pub memory: u64,
}

/// A database server's process.
#[derive(Debug, Clone, Copy)]
pub enum Server {
    /// PostgreSQL's first process; its children are counted when they have ended.
    Postmaster(u32),
    /// One with threads.
    Threads(u32),
}

impl Server {
    fn cpu(self) -> f64 {
        match self {
            Self::Postmaster(pid) => children_cpu(&pid.to_string()),
            Self::Threads(pid) => own_cpu(pid),
        }
    }
}

/// The servers' processes, whose CPU seconds are counted too.
#[derive(Debug, Clone, Copy)]
pub struct Watched {
    /// The database's.
    pub database: Server,
    /// MinIO.
    pub store: u32,
}

/// Runs `command` to its end, which must be a good one.
pub fn run(mut command: Command, watched: Watched) -> Cost {
    let before = (children_cpu("self"), watched.database.cpu(), own_cpu(watched.store));
    let start = Instant::now();
    let mut child = command.stdin(Stdio::null()).spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let memory = wait(&mut child, &command);
    let wall = start.elapsed().as_secs_f64();
    // Backends end a moment after their clients.
    std::thread::sleep(Duration::from_millis(150));
    Cost {
        wall,
        client: children_cpu("self") - before.0,
        database: watched.database.cpu() - before.1,
        store: own_cpu(watched.store) - before.2,
        memory,
    }
}

fn wait(child: &mut Child, command: &Command) -> u64 {
    let mut peak = 0;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success(), "{command:?}: {status}");
            return peak;
        }
        peak = peak.max(tree_memory(child.id()));
        std::thread::sleep(SAMPLE);
    }
}

/// Fields of /proc/PID/stat after the command's name, which may hold anything.
fn stat(pid: &str) -> Vec<String> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let rest = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    rest.split_whitespace().map(str::to_owned).collect()
}

fn ticks(fields: &[String], range: std::ops::Range<usize>) -> f64 {
    fields.get(range).unwrap_or_default().iter().map(|f| f.parse::<f64>().unwrap_or(0.0)).sum::<f64>() * TICK
}

/// utime and stime.
fn own_cpu(pid: u32) -> f64 {
    ticks(&stat(&pid.to_string()), 11..13)
}

/// cutime and cstime: children that have ended.
fn children_cpu(pid: &str) -> f64 {
    ticks(&stat(pid), 13..15)
}

/// The parent of a process.
pub fn parent(pid: u32) -> u32 {
    stat(&pid.to_string())[1].parse().unwrap()
}

fn tree_memory(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let own = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).and_then(|l| l.split_whitespace().next());
    let own = own.and_then(|kb| kb.parse::<u64>().ok()).unwrap_or(0) * 1024;
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let children = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    let children: Vec<u32> = children
        .flat_map(|c| c.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        .filter_map(|c| c.parse().ok())
        .collect();
    own + children.into_iter().map(tree_memory).sum::<u64>()
}

/// The middle of the values.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    quantile(values, 0.5)
}

/// The value that a share `q` of the values does not exceed (nearest rank).
pub fn quantile(values: impl IntoIterator<Item = f64>, q: f64) -> f64 {
    let mut sorted: Vec<f64> = values.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
    let rank = (q * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied().unwrap_or(f64::NAN)
}
