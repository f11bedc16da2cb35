//! The estimate that people see before anybody pays: how long a restore may take, how long the database is unavailable, and
//! what the chosen mode does not bring back. It says what it is based on.

use super::gate::Mode;
use crate::progress::{Progress, Stage};
use chrono::{DateTime, TimeDelta, Utc};

/// Stored bytes a second that are assumed where nothing was measured: less than half of what a laptop does.
const ASSUMED: i64 = 8 << 20;
/// Seconds for scheduling a pod, pulling its image and checking the server.
const OVERHEAD_SECONDS: i64 = 60;
/// Assumed downtime of a swap. It takes a tenth of a second where nobody is connected; ending sessions takes longer.
const ASSUMED_DOWNTIME_MILLIS: i64 = 2000;
/// How many of the newest measured steps count.
pub const SAMPLES: usize = 20;
/// Shorter steps say more about starting a pod than about restoring.
const SHORTEST_SECONDS: i64 = 5;

/// A pace that was measured over less time is not used.
const MIN_PACE_TIME: TimeDelta = TimeDelta::seconds(20);
/// Nor is one that was measured over less than one part in so many of the bytes.
const MIN_PACE_PART: i64 = 50;
/// Longest time to a predicted end, in seconds.
const LONGEST_SECONDS: i64 = 30 * 86_400;

/// A step that was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// Stored bytes of the backup that it read.
    pub bytes: i64,
    /// How long it took.
    pub seconds: i64,
    /// Of a full restore: milliseconds without a database of the live name; negative or absent if nobody measured it.
    pub downtime_millis: Option<i64>,
}

/// What to expect of a restore.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreEstimate {
    /// Seconds from approval and payment to the end.
    pub duration_seconds: i64,
    /// Milliseconds without a live database.
    pub downtime_millis: i64,
    /// What the estimate is based on, in words.
    pub basis: String,
    /// What the chosen mode does not bring back, or costs; one line each.
    pub not_contained: Vec<String>,
}

/// What to expect of restoring a backup of `bytes` stored bytes. `samples` are earlier restores of the same mode on the same
/// server, the newest first.
pub fn estimate(mode: Mode, bytes: i64, samples: &[Sample]) -> RestoreEstimate {
    let usable: Vec<&Sample> =
        samples.iter().filter(|s| s.seconds >= SHORTEST_SECONDS && s.bytes > 0).take(SAMPLES).collect();
    let rates = usable.iter().map(|s| (s.bytes / s.seconds).max(1));
    let measured = median(rates.collect());
    let rate = measured.unwrap_or(ASSUMED);
    // Of short restores as well: how long a swap takes does not depend on the bytes.
    let downtimes = samples.iter().filter_map(|s| s.downtime_millis).filter(|millis| *millis >= 0);
    let downtime_millis = match mode {
        Mode::CrmExport => 0,
        // The longest one measured: nobody complains when it is shorter.
        Mode::FullRestore | Mode::Undo => downtimes.max().unwrap_or(ASSUMED_DOWNTIME_MILLIS),
    };
    let work = match mode {
        Mode::CrmExport | Mode::FullRestore => bytes.max(0) / rate,
        Mode::Undo => 0,
    };
    let basis = match measured {
        Some(_) => format!("an estimate, from the median of {} restores measured on this server", usable.len()),
        None => "an estimate, from an assumed 8 MiB/s: no restore was measured on this server yet".to_owned(),
    };
    RestoreEstimate {
        duration_seconds: OVERHEAD_SECONDS + work,
        downtime_millis,
        basis,
        not_contained: not_contained(mode),
    }
}

/// When a task that began at `began` may be done: by its own pace while it transfers rows, else by the estimate. `None` if
/// neither says anything.
pub fn expected_end(began: DateTime<Utc>, progress: &Progress, estimated: Option<TimeDelta>) -> Option<DateTime<Utc>> {
    let took = progress.at - began;
    let by_estimate = estimated.map(|all| began + all).filter(|end| *end > progress.at);
    let (done, all) = (progress.bytes, progress.total_bytes.unwrap_or(0));
    // Other stages transfer no rows: their pace says nothing about what is left.
    let paced = progress.stage.is_none_or(|stage| stage == Stage::Rows)
        && took >= MIN_PACE_TIME
        && done < all
        && done.saturating_mul(MIN_PACE_PART) >= all;
    if !paced {
        return by_estimate;
    }
    // Seconds times bytes of a large database are beyond 64 bits.
    let left = i128::from(took.num_seconds()) * i128::from(all - done) / i128::from(done.max(1));
    Some(progress.at + TimeDelta::seconds(i64::try_from(left).unwrap_or(LONGEST_SECONDS).min(LONGEST_SECONDS)))
}

fn median(mut values: Vec<i64>) -> Option<i64> {
    values.sort_unstable();
    // Of two in the middle the lower one, which makes the estimate longer.
    values.get(values.len().saturating_sub(1) / 2).copied()
}

fn not_contained(mode: Mode) -> Vec<String> {
    let lines: &[&str] = match mode {
        Mode::CrmExport => &[
            "activities (calls, meetings, mails, tasks)",
            "comments and the timeline",
            "the history of changes",
            "anything outside the CRM: tasks, calendar, drive",
            "files kept outside the database",
        ],
        Mode::FullRestore => &[
            "every change made after the backup, by anybody: they are lost",
            "files kept outside the database",
            "roles and settings of the server that belong to no single database",
        ],
        Mode::Undo => &["every change made after the restore that is taken back: they are lost"],
    };
    lines.iter().map(|line| (*line).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample(bytes: i64, seconds: i64, downtime_millis: Option<i64>) -> Sample {
        Sample { bytes, seconds, downtime_millis }
    }

    #[test]
    fn without_measurements_it_says_that_it_assumes() {
        let found = estimate(Mode::FullRestore, 800 << 20, &[]);
        assert_eq!((found.duration_seconds, found.downtime_millis), (160, 2000));
        assert!(found.basis.contains("assumed") && found.basis.starts_with("an estimate"), "{}", found.basis);
        assert!(found.not_contained[0].contains("lost"));
    }

    #[test]
    fn the_median_of_what_was_measured_counts_and_the_worst_downtime() {
        let samples = [
            sample(1000, 10, Some(90)),
            sample(9000, 10, Some(450)),
            sample(2000, 10, Some(-1)),
            sample(1 << 40, 1, None),
        ];
        let found = estimate(Mode::FullRestore, 20_000, &samples);
        assert_eq!((found.duration_seconds, found.downtime_millis), (60 + 100, 450));
        assert!(found.basis.contains("3 restores"), "what took a second measures nothing: {}", found.basis);
        let export = estimate(Mode::CrmExport, 20_000, &samples[..1]);
        assert_eq!((export.duration_seconds, export.downtime_millis), (60 + 200, 0));
        assert!(export.not_contained.iter().any(|line| line.contains("timeline")));
    }

    #[test]
    fn an_end_is_told_by_the_pace_of_the_rows_and_else_by_the_estimate() {
        let began: DateTime<Utc> = "2026-11-22T12:00:00Z".parse().unwrap();
        let end_after = |seconds: i64, stage: Option<Stage>, bytes: i64, all: Option<i64>, estimated: Option<i64>| {
            let at = began + TimeDelta::seconds(seconds);
            let progress = Progress {
                at,
                stage,
                bytes,
                total_bytes: all,
                rows: 0,
                total_rows: None,
                tables: 0,
                total_tables: None,
            };
            expected_end(began, &progress, estimated.map(TimeDelta::seconds)).map(|end| (end - began).num_seconds())
        };
        let rows = Some(Stage::Rows);
        for (found, wanted, why) in [
            (end_after(100, rows, 25, Some(100), Some(9)), Some(400), "a quarter took a hundred seconds"),
            (end_after(100, None, 25, Some(100), None), Some(400), "a task that names no stage"),
            (end_after(10, rows, 25, Some(100), Some(900)), Some(900), "too early to tell"),
            (end_after(100, rows, 1, Some(100), Some(900)), Some(900), "too little to tell"),
            (end_after(100, rows, 1, Some(100), None), None, "neither tells"),
            (end_after(100, rows, 25, None, Some(900)), Some(900), "nobody knows how much there is"),
            (end_after(500, Some(Stage::Indexes), 100, Some(100), Some(900)), Some(900), "after the rows"),
            (end_after(950, Some(Stage::Indexes), 100, Some(100), Some(900)), None, "the estimate was wrong"),
            (end_after(100, rows, 0, Some(0), None), None, "an empty backup"),
        ] {
            assert_eq!(found, wanted, "{why}");
        }
    }

    proptest! {
        #[test]
        fn no_pace_makes_it_panic(seconds in 0_i64..1 << 40, bytes: i64, all: i64) {
            let began: DateTime<Utc> = "2026-11-22T12:00:00Z".parse().unwrap();
            let at = began + TimeDelta::seconds(seconds);
            let progress =
                Progress { at, stage: None, bytes, total_bytes: Some(all), rows: 0, total_rows: None, tables: 0, total_tables: None };
            prop_assert!(expected_end(began, &progress, None).is_none_or(|end| end >= at));
        }

        #[test]
        fn no_measurement_makes_it_panic_or_negative(bytes: i64, sizes: Vec<(i64, i64)>) {
            let samples: Vec<Sample> = sizes.into_iter().map(|(b, s)| sample(b, s, Some(b))).collect();
            for mode in [Mode::CrmExport, Mode::FullRestore, Mode::Undo] {
                let found = estimate(mode, bytes, &samples);
                prop_assert!(found.duration_seconds >= OVERHEAD_SECONDS && found.downtime_millis >= 0);
            }
        }
    }
}
