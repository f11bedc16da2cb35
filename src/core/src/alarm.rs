//! The shrink alarm and `retention.keepLastGood`: which backups are suspiciously small beside their predecessors, and which
//! one is kept because nothing better came after it. A small backup is no failed dump: somebody should check the database.

use chrono::{DateTime, TimeDelta, Utc};

/// With fewer rows than this before, only the loss of all rows raises the alarm: a few rows come and go every day.
pub const FEW_ROWS: i64 = 100;
/// Days that the last good backup is kept at most, from its snapshot on.
pub const LAST_GOOD_DAYS: i64 = 30;
/// How long before its expiry the last good backup is held: enough for a hold by tags, which needs 24 hours.
pub const KEEP_AHEAD: TimeDelta = TimeDelta::hours(36);

/// How much smaller a backup may be than its predecessor, in percent of that one's size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Percent of the rows that must be missing to raise the alarm; with 100 only the loss of all rows does.
    pub rows_percent: i32,
    /// Percent of the tables that must be missing to raise the alarm.
    pub tables_percent: i32,
    /// `spec.alarm.accept`: id of a small backup that a person has checked and found right.
    pub accepted: Option<String>,
}

/// A backup, as far as its size matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupSize {
    /// Id of the backup.
    pub id: String,
    /// The instant that its data is consistent at.
    pub snapshot_time: DateTime<Utc>,
    /// Number of rows.
    pub rows: i64,
    /// Number of tables; absent where an older version listed the backup.
    pub tables: Option<i64>,
    /// When its retention is over.
    pub expires: Option<DateTime<Utc>>,
    /// Until when it is held as the last good one, if it is.
    pub held_until: Option<DateTime<Utc>>,
}

/// What is suspicious about a backup. The variant's name is the reason of the condition Suspicious.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, strum::IntoStaticStr)]
pub enum Shrunk {
    /// Rows are missing.
    #[error(
        "backup {id} has {to} rows, the last good backup {before} has {from}: look whether they were deleted on purpose; if \
         so, set spec.alarm.accept to {id}"
    )]
    RowsFell {
        /// Id of the small backup.
        id: String,
        /// Id of the last good one.
        before: String,
        /// Rows of the last good one.
        from: i64,
        /// Rows of the small one.
        to: i64,
    },
    /// Tables are missing.
    #[error(
        "backup {id} has {to} tables, the last good backup {before} has {from}: look whether they were dropped on purpose; if \
         so, set spec.alarm.accept to {id}"
    )]
    TablesFell {
        /// Id of the small backup.
        id: String,
        /// Id of the last good one.
        before: String,
        /// Tables of the last good one.
        from: i64,
        /// Tables of the small one.
        to: i64,
    },
}

impl Shrunk {
    /// Reason of the condition Suspicious, in CamelCase.
    pub fn reason(&self) -> &'static str {
        self.into()
    }
}

/// A verdict for each backup of a tenant, in the given order; `None` is good.
///
/// Each is compared with the newest good one before it, so that a second small backup does not make the first one normal.
/// The oldest counts as good: there is nothing to compare it with.
pub fn judge(newest_first: &[BackupSize], limits: &Limits) -> Vec<Option<Shrunk>> {
    let mut verdicts = vec![None; newest_first.len()];
    let mut good: Option<&BackupSize> = None;
    for (place, backup) in newest_first.iter().enumerate().rev() {
        verdicts[place] = good.and_then(|good| compare(good, backup, limits));
        if verdicts[place].is_none() {
            good = Some(backup);
        }
    }
    verdicts
}

fn compare(good: &BackupSize, new: &BackupSize, limits: &Limits) -> Option<Shrunk> {
    // A person has looked at it. It counts as good from now on, so later backups are compared with it.
    if limits.accepted.as_ref() == Some(&new.id) {
        return None;
    }
    let (id, before) = (new.id.clone(), good.id.clone());
    if let (Some(from), Some(to)) = (good.tables, new.tables)
        && fell(from, to, limits.tables_percent)
    {
        return Some(Shrunk::TablesFell { id, before, from, to });
    }
    let (from, to) = (good.rows, new.rows);
    let shrunk = fell(from, to, limits.rows_percent) && (from >= FEW_ROWS || to == 0);
    shrunk.then_some(Shrunk::RowsFell { id, before, from, to })
}

/// Whether `to` is at least `percent` less than `from`; a fall to 0 always counts.
fn fell(from: i64, to: i64, percent: i32) -> bool {
    // Wide, because counts come from manifests, whose numbers nobody trusts: times a hundred they may overflow.
    let lost = i128::from(from) - i128::from(to);
    from > 0 && (to <= 0 || lost > 0 && percent < 100 && lost * 100 >= i128::from(from) * i128::from(percent))
}

/// What is to be done about a backup so that the last good one is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keep {
    /// Hold the backup beyond its retention.
    Hold {
        /// Id of the backup.
        id: String,
        /// End of the hold, even if nothing better comes.
        until: DateTime<Utc>,
    },
    /// Release its hold.
    Release {
        /// Id of the backup.
        id: String,
    },
}

/// Which backup to hold as the last good one, and which to release. `verdicts` are those of [`judge`]; `wanted` is
/// `retention.keepLastGood`.
pub fn keep(newest_first: &[BackupSize], verdicts: &[Option<Shrunk>], wanted: bool, now: DateTime<Utc>) -> Vec<Keep> {
    let last = last_good(newest_first, verdicts).filter(|_| wanted);
    let mut steps = Vec::new();
    for backup in newest_first {
        let until = backup.snapshot_time + TimeDelta::days(LAST_GOOD_DAYS);
        let is_last = last.is_some_and(|last| last.id == backup.id) && now < until;
        // A retention that ends after `until` keeps the backup longer than a hold could.
        let near = backup.expires.is_some_and(|end| end - KEEP_AHEAD <= now && end < until);
        match backup.held_until {
            None if is_last && near => steps.push(Keep::Hold { id: backup.id.clone(), until }),
            Some(_) if !is_last => steps.push(Keep::Release { id: backup.id.clone() }),
            None | Some(_) => {}
        }
    }
    // Hold the new one before the old one is released: a crash in between must leave at least one.
    steps.sort_by_key(|step| matches!(step, Keep::Release { .. }));
    steps
}

/// When [`keep`] may change its answer by itself.
pub fn keep_wake(newest_first: &[BackupSize], verdicts: &[Option<Shrunk>]) -> Option<DateTime<Utc>> {
    let last = last_good(newest_first, verdicts)?;
    match last.held_until {
        Some(until) => Some(until),
        None => last.expires.map(|end| end - KEEP_AHEAD),
    }
}

fn last_good<'a>(newest_first: &'a [BackupSize], verdicts: &[Option<Shrunk>]) -> Option<&'a BackupSize> {
    newest_first.iter().zip(verdicts).find(|(_, verdict)| verdict.is_none()).map(|(backup, _)| backup)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(day: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_764_000_000 + day * 86_400, 0).unwrap()
    }

    fn point(day: i64, rows: i64, tables: i64) -> BackupSize {
        let expires = Some(at(day + 8));
        BackupSize {
            id: format!("d{day}"),
            snapshot_time: at(day),
            rows,
            tables: Some(tables),
            expires,
            held_until: None,
        }
    }

    fn limits() -> Limits {
        Limits { rows_percent: 50, tables_percent: 20, accepted: None }
    }

    fn reasons(sizes: &[(i64, i64)], limits: &Limits) -> Vec<&'static str> {
        let points: Vec<BackupSize> =
            (0..).zip(sizes).map(|(day, (rows, tables))| point(day, *rows, *tables)).collect();
        let points: Vec<BackupSize> = points.into_iter().rev().collect();
        let mut said: Vec<_> = judge(&points, limits).iter().map(|v| v.as_ref().map_or("", Shrunk::reason)).collect();
        said.reverse();
        said
    }

    #[test]
    fn a_backup_is_compared_with_the_last_good_one() {
        for (sizes, wanted) in [
            (vec![(1000, 10)], vec![""]),
            (vec![(1000, 10), (501, 10)], vec!["", ""]),
            (vec![(1000, 10), (500, 10)], vec!["", "RowsFell"]),
            (vec![(1000, 10), (1000, 9)], vec!["", ""]),
            (vec![(1000, 10), (1000, 8)], vec!["", "TablesFell"]),
            (vec![(1000, 10), (0, 0)], vec!["", "TablesFell"]),
            (vec![(1000, 10), (10, 10), (10, 10)], vec!["", "RowsFell", "RowsFell"]),
            (vec![(1000, 10), (10, 10), (900, 10)], vec!["", "RowsFell", ""]),
            (vec![(99, 1), (10, 1)], vec!["", ""]),
            (vec![(99, 1), (0, 1)], vec!["", "RowsFell"]),
            (vec![(0, 0), (0, 0)], vec!["", ""]),
        ] {
            assert_eq!(reasons(&sizes, &limits()), wanted, "{sizes:?}");
        }
    }

    #[test]
    fn what_somebody_has_accepted_is_the_new_measure() {
        let accepted = Limits { accepted: Some("d1".into()), ..limits() };
        assert_eq!(reasons(&[(1000, 10), (10, 10), (9, 10)], &accepted), ["", "", ""]);
        let never = Limits { rows_percent: 100, tables_percent: 100, accepted: None };
        assert_eq!(reasons(&[(1000, 10), (1, 1), (0, 1)], &never), ["", "", "RowsFell"]);
    }

    fn steps(points: &[BackupSize], wanted: bool, now: DateTime<Utc>) -> Vec<Keep> {
        keep(points, &judge(points, &limits()), wanted, now)
    }

    #[test]
    fn the_last_good_backup_is_held_before_it_expires_and_let_go_when_a_good_one_came() {
        let old = point(0, 1000, 10);
        let near = at(8) - KEEP_AHEAD;
        let hold = Keep::Hold { id: "d0".into(), until: at(30) };
        assert_eq!(steps(std::slice::from_ref(&old), true, near - TimeDelta::seconds(1)), []);
        assert_eq!(steps(std::slice::from_ref(&old), true, near), std::slice::from_ref(&hold));
        assert_eq!(steps(std::slice::from_ref(&old), false, near), []);
        assert_eq!(keep_wake(std::slice::from_ref(&old), &[None]), Some(near));
        // A suspicious backup does not take its place.
        let small = point(7, 3, 10);
        assert_eq!(steps(&[small.clone(), old.clone()], true, near), [hold]);
        let held_backup = BackupSize { held_until: Some(at(30)), ..old.clone() };
        assert_eq!(steps(&[small, held_backup.clone()], true, near), []);
        let release = [Keep::Release { id: "d0".into() }];
        assert_eq!(steps(&[point(9, 999, 10), held_backup.clone()], true, at(9)), release);
        assert_eq!(steps(std::slice::from_ref(&held_backup), true, at(30)), release, "thirty days and no longer");
        assert_eq!(steps(std::slice::from_ref(&held_backup), false, at(9)), release, "switched off");
    }

    proptest! {
        #[test]
        fn of_any_history_the_newest_good_backup_is_never_let_go(
            sizes in proptest::collection::vec((0i64..2000, 0i64..20, any::<bool>()), 1..20),
            now in 0i64..60,
        ) {
            let mut points: Vec<BackupSize> = sizes
                .iter()
                .zip(0..)
                .map(|((rows, tables, held), day)| {
                    let point = point(day, *rows, *tables);
                    BackupSize { held_until: held.then(|| point.snapshot_time + TimeDelta::days(30)), ..point }
                })
                .collect();
            points.reverse();
            let verdicts = judge(&points, &limits());
            let newest_good = points.iter().zip(&verdicts).find(|(_, v)| v.is_none()).map(|(p, _)| p.clone()).unwrap();
            let steps = keep(&points, &verdicts, true, at(now));
            if at(now) < newest_good.snapshot_time + TimeDelta::days(30) {
                let gone = Keep::Release { id: newest_good.id.clone() };
                prop_assert!(!steps.contains(&gone));
            }
            let holds = steps.iter().filter(|step| matches!(step, Keep::Hold { .. })).count();
            prop_assert!(holds <= 1);
        }
    }
}
