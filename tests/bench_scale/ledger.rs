//! What the fake worker saw: who was dumped for which day, how late, and how many ran at one time.

use chrono::{DateTime, NaiveDateTime, Timelike, Utc};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

/// Everything that was seen.
#[derive(Debug)]
pub struct Ledger {
    /// Slots before this one are what is measured: a slow machine's clock runs on into the next day.
    until: DateTime<Utc>,
    seen: Mutex<Seen>,
}

/// A part of it.
#[derive(Debug, Default, Clone)]
pub struct Seen {
    /// Dumps by schedule and slot.
    pub dumps: HashMap<(String, DateTime<Utc>), u32>,
    /// Slots, and simulated seconds from there to the Job, one a dump.
    pub lags: Vec<(DateTime<Utc>, f64)>,
    /// Simulated instants at which Jobs were decided on.
    pub jobs: Vec<DateTime<Utc>>,
    /// Tasks of each.
    pub tasks: Vec<usize>,
    /// Places of the Jobs that run, by server.
    running: HashMap<String, i32>,
    /// The most dumps that might run at once on one server, and in all.
    pub most: (i32, i32),
}

impl Ledger {
    /// An empty one, of the slots before this instant.
    pub fn new(until: DateTime<Utc>) -> Self {
        Self { until, seen: Mutex::default() }
    }

    /// A Job appeared, decided on at some time: its server, its places in the budgets, and what it answers.
    pub fn appeared(
        &self,
        server: &str,
        places: i32,
        runs: &[(String, String)],
        now: DateTime<Utc>,
        decided: DateTime<Utc>,
    ) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if decided < self.until {
            seen.jobs.push(decided);
            seen.tasks.push(runs.len());
        }
        for (schedule, run) in runs {
            let slot = run.split('-').next().unwrap_or_default();
            let slot = NaiveDateTime::parse_from_str(slot, "%Y%m%dT%H%M%SZ").unwrap().and_utc();
            if slot >= self.until {
                continue;
            }
            *seen.dumps.entry((schedule.clone(), slot)).or_default() += 1;
            seen.lags.push((slot, (now - slot).num_milliseconds() as f64 / 1000.0));
        }
        let here = seen.running.entry(server.to_owned()).or_default();
        *here += places;
        let (here, all) = (*here, seen.running.values().sum());
        seen.most = (seen.most.0.max(here), seen.most.1.max(all));
    }

    /// A Job ended.
    pub fn ended(&self, server: &str, places: i32) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        *seen.running.entry(server.to_owned()).or_default() -= places;
    }

    /// Dumps so far.
    pub fn dumped(&self) -> usize {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).lags.len()
    }

    /// What was seen since it was last taken; what runs stays.
    pub fn take(&self) -> Seen {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let running = seen.running.clone();
        let taken = std::mem::take(&mut *seen);
        seen.running = running;
        taken
    }
}

impl Seen {
    /// How far the Jobs went beyond a token bucket of this rate (Jobs a simulated second) and burst, at most: none is 0.
    pub fn beyond(&self, rate: f64, burst: f64) -> f64 {
        let mut times = self.jobs.clone();
        times.sort();
        let (mut level, mut worst, mut before) = (burst, burst, None::<DateTime<Utc>>);
        for at in times {
            let passed = before.map_or(0.0, |before| (at - before).num_milliseconds() as f64 / 1000.0);
            level = f64::min(burst, level + passed * rate) - 1.0;
            worst = worst.min(level);
            before = Some(at);
        }
        (-worst).max(0.0)
    }

    /// Simulated minutes from the first Job to the last.
    pub fn minutes(&self) -> f64 {
        let span = self.jobs.iter().max().zip(self.jobs.iter().min()).map(|(last, first)| *last - *first);
        span.unwrap_or_default().num_seconds() as f64 / 60.0
    }

    /// The lag that a share of the dumps does not exceed, in simulated minutes.
    pub fn lag(&self, share: f64) -> f64 {
        quantile(self.lags.iter().map(|(_, lag)| *lag), share) / 60.0
    }

    /// The same for the slots of each hour: whether it grew, or one part of the run was slow.
    pub fn lag_by_hour(&self, share: f64) -> Vec<f64> {
        let mut hours = BTreeMap::<_, Vec<f64>>::new();
        for (slot, lag) in &self.lags {
            hours.entry((slot.date_naive(), slot.hour())).or_default().push(*lag);
        }
        hours.into_values().map(|lags| quantile(lags.into_iter(), share) / 60.0).collect()
    }
}

/// The value that a share of them does not exceed.
pub fn quantile(values: impl Iterator<Item = f64>, share: f64) -> f64 {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    let rank = ((share * sorted.len() as f64).ceil() as usize).max(1) - 1;
    sorted.get(rank).copied().unwrap_or(f64::NAN)
}
