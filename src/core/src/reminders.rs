//! When people are reminded of a request that waits for them: half-way, a day before and four hours before the deadline.
//! Each reminder is sent once.

use chrono::{DateTime, TimeDelta, Utc};

/// Reminders so long before the deadline, in waits that are at least twice as long.
const BEFORE: [TimeDelta; 2] = [TimeDelta::hours(24), TimeDelta::hours(4)];

/// The instants at which a wait is worth a reminder, in order.
pub fn marks(since: DateTime<Utc>, deadline: DateTime<Utc>) -> Vec<DateTime<Utc>> {
    let length = deadline - since;
    if length <= TimeDelta::zero() {
        return Vec::new();
    }
    let late = BEFORE.iter().filter(|before| length >= **before * 2).map(|before| deadline - *before);
    let mut marks: Vec<DateTime<Utc>> = std::iter::once(since + length / 2).chain(late).collect();
    marks.sort();
    // In a wait of 48 hours "half-way" and "a day before" are one instant.
    marks.dedup();
    marks
}

/// The reminder that is due now: the newest instant that has passed, unless one as late was sent (`last`). An operator
/// that was down for two of them sends one.
pub fn due(
    since: DateTime<Utc>,
    deadline: DateTime<Utc>,
    last: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    let passed = marks(since, deadline).into_iter().rfind(|mark| *mark <= now && now < deadline)?;
    // guard(a_reminder_is_sent_once_and_two_missed_ones_as_one, always): people are reminded once
    last.is_none_or(|last| last < passed).then_some(passed)
}

/// The next reminder instant after `now`.
pub fn next(since: DateTime<Utc>, deadline: DateTime<Utc>, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    marks(since, deadline).into_iter().find(|mark| *mark > now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn hours(since: DateTime<Utc>, length: i64) -> Vec<i64> {
        marks(since, since + TimeDelta::hours(length)).into_iter().map(|mark| (mark - since).num_hours()).collect()
    }

    #[test]
    fn long_waits_have_three_marks_and_short_ones_fewer() {
        let since = at("2026-11-22T10:00:00Z");
        assert_eq!(hours(since, 72), [36, 48, 68]);
        assert_eq!(hours(since, 120), [60, 96, 116]);
        assert_eq!(hours(since, 48), [24, 44], "half of it is a day before");
        assert_eq!(hours(since, 10), [5, 6]);
        assert_eq!(hours(since, 2), [1]);
        assert_eq!(hours(since, 0), Vec::<i64>::new());
        assert_eq!(hours(since, -5), Vec::<i64>::new());
    }

    #[test]
    fn a_reminder_is_sent_once_and_two_missed_ones_as_one() {
        let (since, deadline) = (at("2026-11-22T10:00:00Z"), at("2026-11-25T10:00:00Z"));
        let hour = |h| since + TimeDelta::hours(h);
        assert_eq!(due(since, deadline, None, hour(35)), None);
        assert_eq!(due(since, deadline, None, hour(36)), Some(hour(36)));
        assert_eq!(due(since, deadline, Some(hour(36)), hour(40)), None, "once, also after a restart");
        assert_eq!(due(since, deadline, Some(hour(36)), hour(70)), Some(hour(68)));
        assert_eq!(due(since, deadline, None, hour(72)), None, "too late: now it expires");
        assert_eq!(next(since, deadline, hour(36)), Some(hour(48)));
        assert_eq!(next(since, deadline, hour(68)), None);
        // The helpdesk was reminded; billing's wait began later and has its own marks.
        assert_eq!(due(hour(60), hour(180), Some(hour(48)), hour(121)), Some(hour(120)));
    }

    proptest! {
        #[test]
        fn whoever_looks_every_so_often_reminds_each_mark_at_most_once(length in 1i64..400_000, pauses in prop::collection::vec(1i64..90_000, 0..60)) {
            let since = at("2026-11-22T10:00:00Z");
            let deadline = since + TimeDelta::seconds(length);
            let (mut now, mut last, mut count) = (since, None, 0);
            for pause in pauses {
                now += TimeDelta::seconds(pause);
                if let Some(mark) = due(since, deadline, last, now) {
                    prop_assert!(mark <= now && now < deadline && last.is_none_or(|last| last < mark));
                    (last, count) = (Some(mark), count + 1);
                }
            }
            prop_assert!(count <= 3);
        }
    }
}
