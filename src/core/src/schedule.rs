//! When a BackupSchedule is due: exactly one slot a local day, whatever the zone's clocks do.

use super::duration;
use super::names::stable_hash;
use chrono::{DateTime, Datelike, Days, LocalResult, NaiveDate, NaiveTime, TimeDelta, TimeZone, Timelike, Utc};
use chrono_tz::Tz;
use croner::Cron;

/// How far ahead the next slot is searched: two 29 Februaries are at most eight years apart.
const HORIZON_DAYS: u64 = 366 * 8 + 2;
/// How far back a missed slot is searched: far enough for a monthly cron.
const LOOK_BACK_DAYS: u64 = 40;
/// Longest gap in local time that a slot is moved over. Longer gaps are whole days that a zone skipped.
const LONGEST_GAP_MINUTES: i64 = 180;

/// A schedule that cannot be followed. Shown as `Ready=False`; nothing is retried before the spec changes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, strum::IntoStaticStr, strum::VariantNames)]
pub enum ScheduleError {
    /// Not an IANA name.
    #[error("spec.timeZone {0:?} is not a time zone: use an IANA name such as Europe/Berlin or Etc/UTC")]
    UnknownTimeZone(String),
    /// Not `@daily` and not five fields.
    #[error(
        "spec.schedule {schedule:?} cannot be read ({problem}): use @daily, or a cron of 5 fields such as \"30 2 * * *\""
    )]
    UnreadableSchedule {
        /// What was written.
        schedule: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Minute or hour is not a single number.
    #[error(
        "spec.schedule {0:?} can fire twice on one day: minute and hour must be single numbers, as in \"30 2 * * *\""
    )]
    FiresTwiceADay(String),
    /// No day ever matches.
    #[error("spec.schedule {0:?} never fires: no such day exists")]
    NeverFires(String),
    /// A window outside of (0, 24 h].
    #[error("spec.window must be longer than 0 and at most 24h, and spec.windowStart a time such as 22:00: got {0:?}")]
    WindowOutOfRange(String),
}

/// A time of day on some days, in a zone.
#[derive(Debug, Clone)]
pub struct Schedule {
    zone: Tz,
    time: NaiveTime,
    /// Which days; `None` is every day.
    days: Option<Cron>,
}

/// The window that `@daily` spreads its slots over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Local time it opens.
    pub start: NaiveTime,
    /// Its length in seconds, 1 to 86,400.
    pub seconds: i64,
}

impl Default for Window {
    /// The whole day.
    fn default() -> Self {
        Self { start: NaiveTime::MIN, seconds: 86_400 }
    }
}

impl Window {
    /// The window of `spec.windowStart` ("HH:MM") and `spec.window` ("6h", "90m", "1h30m"); absent is the whole day.
    pub fn parse(start: Option<&str>, length: Option<&str>) -> Result<Self, ScheduleError> {
        let default = Self::default();
        let start = match start {
            None => default.start,
            Some(text) => NaiveTime::parse_from_str(text, "%H:%M")
                .map_err(|_| ScheduleError::WindowOutOfRange(text.to_owned()))?,
        };
        let seconds = match length {
            None => default.seconds,
            Some(text) => duration::parse(text)
                .ok()
                .filter(|length| length.subsec_nanos() == 0)
                .and_then(|length| i64::try_from(length.as_secs()).ok())
                .filter(|seconds| *seconds <= 86_400)
                .ok_or_else(|| ScheduleError::WindowOutOfRange(text.to_owned()))?,
        };
        Ok(Self { start, seconds })
    }
}

impl Schedule {
    /// Reads a schedule. `identity` (namespace, name, UID) decides where `@daily` falls inside the window: a stable hash,
    /// spread evenly to the second.
    pub fn parse(schedule: &str, time_zone: &str, window: Window, identity: &[&str]) -> Result<Self, ScheduleError> {
        let zone: Tz = time_zone.parse().map_err(|_| ScheduleError::UnknownTimeZone(time_zone.to_owned()))?;
        if schedule == "@daily" {
            return Ok(Self { zone, time: spread(window, identity), days: None });
        }
        let unreadable = |problem: String| ScheduleError::UnreadableSchedule { schedule: schedule.to_owned(), problem };
        let fields: Vec<&str> = schedule.split_whitespace().collect();
        let [minute, hour, day, month, weekday] = fields[..] else {
            return Err(unreadable(format!("{} fields", fields.len())));
        };
        let single = |text: &str| text.parse::<u32>().ok();
        let (Some(m), Some(h)) = (single(minute), single(hour)) else {
            // Tell a cron that is wrong from one that is merely too frequent.
            let parsed: Result<Cron, _> = schedule.parse();
            return Err(match parsed {
                Ok(_) => ScheduleError::FiresTwiceADay(schedule.to_owned()),
                Err(e) => unreadable(e.to_string()),
            });
        };
        let time = NaiveTime::from_hms_opt(h, m, 0).ok_or_else(|| unreadable("no such time of day".to_owned()))?;
        let every_day = [day, month, weekday].iter().all(|f| *f == "*");
        let days = if every_day {
            None
        } else {
            // Days are matched at noon in a zone without clock changes, so DST cannot hide or double one.
            Some(format!("0 12 {day} {month} {weekday}").parse::<Cron>().map_err(|e| unreadable(e.to_string()))?)
        };
        let parsed = Self { zone, time, days };
        // From a fixed day: whether a cron ever fires must not depend on when it is read.
        let epoch = NaiveDate::from_ymd_opt(2024, 1, 1).unwrap_or_default();
        if epoch.iter_days().take(usize::try_from(HORIZON_DAYS).unwrap_or(usize::MAX)).any(|d| parsed.fires_on(d)) {
            Ok(parsed)
        } else {
            Err(ScheduleError::NeverFires(schedule.to_owned()))
        }
    }

    /// Local time of day of the slots.
    pub fn time(&self) -> NaiveTime {
        self.time
    }

    /// The local date of an instant.
    pub fn day(&self, at: DateTime<Utc>) -> NaiveDate {
        at.with_timezone(&self.zone).date_naive()
    }

    fn fires_on(&self, date: NaiveDate) -> bool {
        let Some(cron) = &self.days else { return true };
        let noon = Utc.from_utc_datetime(&date.and_time(NaiveTime::from_hms_opt(12, 0, 0).unwrap_or_default()));
        cron.is_time_matching(&noon).unwrap_or(false)
    }

    /// The slot of a local day. Where clocks jump over it: the first minute after the gap, or the last one before it when
    /// the gap ends on the next day, whose slot that would be. Where it comes twice: the first time. A day that the zone
    /// skipped altogether has none.
    pub fn slot(&self, date: NaiveDate) -> Option<DateTime<Utc>> {
        if !self.fires_on(date) {
            return None;
        }
        let local = date.and_time(self.time);
        let exists = |minutes: i64| {
            let candidate = local.checked_add_signed(TimeDelta::minutes(minutes))?;
            // Past the gap's end the second no longer matters: take the whole minute.
            let candidate = if minutes == 0 { candidate } else { candidate.with_second(0)? };
            // The gap may end on the next day: in America/Scoresbysund at midnight each spring, in Pacific/Apia after a
            // whole day (2011-12-30). The minute after it is that day's own slot.
            if candidate.date() != date {
                return None;
            }
            match self.zone.from_local_datetime(&candidate) {
                LocalResult::Single(t) | LocalResult::Ambiguous(t, _) => Some(t.with_timezone(&Utc)),
                LocalResult::None => None,
            }
        };
        (0..=LONGEST_GAP_MINUTES).chain((-LONGEST_GAP_MINUTES..0).rev()).find_map(exists)
    }

    /// The first slot after `now`.
    pub fn next_after(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let first = self.day(now).checked_sub_days(Days::new(1))?;
        (0..=HORIZON_DAYS).filter_map(|n| self.slot(first.checked_add_days(Days::new(n))?)).find(|slot| *slot > now)
    }

    /// The latest slot at or before `now`, at most 40 days back.
    pub fn latest_due(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let last = self.day(now).checked_add_days(Days::new(1))?;
        (0..=LOOK_BACK_DAYS).filter_map(|n| self.slot(last.checked_sub_days(Days::new(n))?)).find(|slot| *slot <= now)
    }

    /// The longest time between two slots, for freshness: a day, or what the cron's next two slots are apart.
    pub fn interval(&self, now: DateTime<Utc>) -> TimeDelta {
        let first = self.next_after(now);
        let second = first.and_then(|t| self.next_after(t));
        match (first, second) {
            (Some(a), Some(b)) => (b - a).max(TimeDelta::days(1)),
            _ => TimeDelta::days(1),
        }
    }
}

/// The local time of `@daily` inside its window; past midnight it wraps, so a local day still has exactly one slot.
fn spread(window: Window, identity: &[&str]) -> NaiveTime {
    // Sixty bits fit into an `i64` without its sign; an even spread needs no more.
    let digits = stable_hash(identity, 15);
    let hash = i64::from_str_radix(&digits, 16).unwrap_or_default();
    let (time, _) = window.start.overflowing_add_signed(TimeDelta::seconds(hash % window.seconds.max(1)));
    time
}

/// Whether `date` can be asked for on `today`: not later than today and at most `days` back.
pub fn within_retention(date: NaiveDate, today: NaiveDate, days: i32) -> bool {
    let back = i64::from(today.num_days_from_ce()) - i64::from(date.num_days_from_ce());
    (0..=i64::from(days)).contains(&back)
}

#[cfg(test)]
mod tests;
