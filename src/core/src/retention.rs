//! How long objects stay in a bucket: the lifecycle rules that a BackupStorage wants, when they delete what, and how a hold
//! escapes them. Reading and writing the bucket's rules is in `storage`.

mod merge;
pub mod owned;
pub mod patrol;

pub use merge::{Conflict, Existing, LifecyclePlan, Merge, merge};

use super::names::{Area, Keys, stable_hash};
use crate::capabilities::Capabilities;
use chrono::{DateTime, Days, NaiveTime, SecondsFormat, TimeDelta, Utc};
use std::collections::BTreeMap;

/// The tag of every object that Sennight writes, where the store has tags. Lifecycle rules select by it, so that they never
/// touch what others keep in the bucket.
pub const TAG_WRITER: &str = "written-by";
/// Value of [`TAG_WRITER`].
pub const WRITTEN_BY_US: &str = "sennight";
/// The tag that the rule for daily backups selects by.
pub const TAG_RETAIN: &str = "retain";
/// Value of [`TAG_RETAIN`] on a backup that expires.
pub const RETAIN_DAILY: &str = "daily";
/// Value of [`TAG_RETAIN`] on a backup that a request holds: no rule matches it.
pub const RETAIN_HELD: &str = "held";
/// The tag that says until when a hold is meant, so that an orphaned one can be released.
pub const TAG_HELD_UNTIL: &str = "held-until";

/// How far past its expiry a request may hold a backup (I5).
pub const HOLD_DAYS: i32 = 14;
/// Days that safety backups stay.
pub const SAFETY_DAYS: i32 = 30;
/// Days that finished exports stay.
pub const EXPORT_DAYS: i32 = 7;
/// Days that results and progress of Jobs stay.
pub const RESULT_DAYS: i32 = 7;
/// Days that claims and the audit stay: longer than any request lives.
pub const RECORD_DAYS: i32 = 400;
/// Days after which an unfinished upload is removed.
pub const ABORT_DAYS: i32 = 2;
/// Days that an overwritten or deleted version stays on a versioned bucket.
pub const NONCURRENT_DAYS: i32 = 1;

/// A backup that expires sooner than this is copied, not retagged: the store may already be deleting it.
const LAST_HOURS: TimeDelta = TimeDelta::hours(24);

/// The retention that a BackupStorage wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Name of the bucket.
    pub bucket: String,
    /// Key prefix of the storage; may be empty.
    pub prefix: String,
    /// Days that a backup stays.
    pub days: i32,
    /// What the store can do.
    pub capabilities: Capabilities,
}

/// When a rule deletes current objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expire {
    /// So many days after they were stored, at the next midnight UTC.
    Days(i32),
    /// All at once, from that instant on.
    Date(DateTime<Utc>),
}

/// A lifecycle rule, as far as Sennight has to understand it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rule {
    /// Id of the rule; empty where its owner gave none.
    pub id: String,
    /// Whether the rule is enabled.
    pub enabled: bool,
    /// Keys that it applies to begin with this.
    pub prefix: String,
    /// Objects that it applies to have all of these tags.
    pub tags: BTreeMap<String, String>,
    /// When it deletes objects.
    pub expire: Option<Expire>,
    /// Deletes noncurrent versions after so many days.
    pub noncurrent_days: Option<i32>,
    /// Removes delete markers that have no versions left.
    pub expired_markers: bool,
    /// Aborts unfinished uploads after so many days.
    pub abort_days: Option<i32>,
    /// Moves objects to another storage class after so many days; the earliest of several.
    pub transition_days: Option<i32>,
    /// Names of the XML elements that no field above stands for, in order.
    pub other: Vec<String>,
}

impl Policy {
    /// The beginning of the ids of this storage's rules, and of no other's.
    pub fn id_prefix(&self) -> String {
        let prefix = Keys::new(&self.prefix);
        format!("sennight-{}-", stable_hash(&[&self.bucket, prefix.root()], 12))
    }

    /// The rules that this storage wants: constant in number, whatever the number of tenants (docs/storage.md). None
    /// touches an object that Sennight did not write: they go by tags, and where the store has none (or S3 takes none, for
    /// uploads and delete markers) only below a prefix that is not empty, which is Sennight's own. Without tags and
    /// without a prefix there is no rule. The `held/` area has none: what nobody releases stays, and the patrol reports it.
    pub fn rules(&self) -> Vec<Rule> {
        let keys = Keys::new(&self.prefix);
        let (tagging, root) = (self.capabilities.tagging, keys.root().to_owned());
        if !tagging && root.is_empty() {
            return Vec::new();
        }
        let mut rules: Vec<Rule> = [
            (Area::Daily, self.days),
            (Area::Exports, EXPORT_DAYS),
            (Area::Safety, SAFETY_DAYS),
            (Area::Results, RESULT_DAYS),
            (Area::Progress, RESULT_DAYS),
            (Area::Claims, RECORD_DAYS),
            (Area::Audit, RECORD_DAYS),
        ]
        .into_iter()
        .map(|(area, days)| Rule {
            expire: Some(Expire::Days(days)),
            // Only the daily rule asks for `retain`: nothing in the other areas is ever held by its tags.
            tags: if area == Area::Daily { self.daily_filter(&root) } else { self.filter() },
            ..self.rule(&area.to_string(), &keys.area(area))
        })
        .collect();
        if !root.is_empty() {
            // S3 takes no tags in a rule for uploads: without a prefix it would abort others'.
            rules.push(Rule { abort_days: Some(ABORT_DAYS), ..self.rule("abort", &root) });
        }
        if self.capabilities.versioning {
            rules.extend(self.version_rules(&keys));
        }
        rules
    }

    /// Rules for a versioned bucket. Old versions keep their tags; delete markers have none, and S3 allows no tags in a rule
    /// for them. So markers go below a prefix only; a storage that has the whole bucket keeps them.
    fn version_rules(&self, keys: &Keys) -> Vec<Rule> {
        let old = |name: &str, prefix: &str| Rule { noncurrent_days: Some(NONCURRENT_DAYS), ..self.rule(name, prefix) };
        let root = keys.root();
        if !root.is_empty() {
            return vec![Rule { expired_markers: true, ..old("versions", root) }];
        }
        let of = |area: &Area| Rule { tags: self.filter(), ..old(&format!("versions-{area}"), &keys.area(*area)) };
        AREAS.iter().map(of).collect()
    }

    fn rule(&self, name: &str, prefix: &str) -> Rule {
        Rule { id: format!("{}{name}", self.id_prefix()), enabled: true, prefix: prefix.to_owned(), ..Rule::default() }
    }

    /// Tags that rules select by. A store without tags has no tag filter either.
    fn filter(&self) -> BTreeMap<String, String> {
        if self.capabilities.tagging { our_tags() } else { BTreeMap::new() }
    }

    /// Tags that the rule for daily backups selects by. Without tags a hold is a copy outside of `daily/`. Others use a tag
    /// named `retain`, too: where the bucket may be shared, the writer's tag is asked for as well.
    fn daily_filter(&self, root: &str) -> BTreeMap<String, String> {
        match (self.capabilities.tagging, root.is_empty()) {
            (false, _) => BTreeMap::new(),
            (true, true) => daily_tags(),
            (true, false) => BTreeMap::from([(TAG_RETAIN.to_owned(), RETAIN_DAILY.to_owned())]),
        }
    }
}

/// Every area, in the order of [`Area`].
pub const AREAS: [Area; 8] =
    [Area::Daily, Area::Held, Area::Safety, Area::Exports, Area::Results, Area::Progress, Area::Claims, Area::Audit];

/// When S3 deletes what was stored at `stored` under a rule of `days`: the first midnight UTC at least that many days
/// later, as AWS and MinIO count. The deletion itself may lag by hours.
pub fn expires_at(stored: DateTime<Utc>, days: i32) -> DateTime<Utc> {
    // One more, and then midnight: S3 adds the days and rounds up to the next midnight UTC.
    let days = u64::try_from(days).unwrap_or(0).saturating_add(1);
    stored
        .date_naive()
        .checked_add_days(Days::new(days))
        .map_or(DateTime::<Utc>::MAX_UTC, |day| day.and_time(NaiveTime::MIN).and_utc())
}

/// How a backup is kept from expiring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoldMethod {
    /// Its tags are changed where it lies.
    Tag,
    /// Its objects are copied to `held/`.
    Copy,
}

/// The method for a backup: tags where the store has them and it has at least 24 hours left.
pub fn hold_method(capabilities: Capabilities, expires_at: DateTime<Utc>, now: DateTime<Utc>) -> HoldMethod {
    if capabilities.tagging && expires_at - now >= LAST_HOURS { HoldMethod::Tag } else { HoldMethod::Copy }
}

/// The end of a hold that is wanted until `wanted`: at most [`HOLD_DAYS`] past the backup's expiry (I5).
pub fn held_until(expires_at: DateTime<Utc>, wanted: DateTime<Utc>) -> DateTime<Utc> {
    wanted.min(expires_at + TimeDelta::days(i64::from(HOLD_DAYS)))
}

/// The tags of an object that has none of its own.
pub fn our_tags() -> BTreeMap<String, String> {
    BTreeMap::from([(TAG_WRITER.to_owned(), WRITTEN_BY_US.to_owned())])
}

/// The tags of a backup that expires by the daily rule.
pub fn daily_tags() -> BTreeMap<String, String> {
    let mut tags = our_tags();
    tags.insert(TAG_RETAIN.to_owned(), RETAIN_DAILY.to_owned());
    tags
}

/// The tags of a backup held until `until`.
pub fn held_tags(until: DateTime<Utc>) -> BTreeMap<String, String> {
    let mut tags = our_tags();
    tags.insert(TAG_RETAIN.to_owned(), RETAIN_HELD.to_owned());
    tags.insert(TAG_HELD_UNTIL.to_owned(), until.to_rfc3339_opts(SecondsFormat::Secs, true));
    tags
}

/// The tags that objects of an area are written with.
pub fn area_tags(area: Area) -> BTreeMap<String, String> {
    if area == Area::Daily { daily_tags() } else { our_tags() }
}

/// Until when these tags hold a backup; `None` if they do not. A date that cannot be read counts as never: nothing is
/// deleted before a person has checked.
pub fn hold_of(tags: &BTreeMap<String, String>) -> Option<DateTime<Utc>> {
    if tags.get(TAG_RETAIN).map(String::as_str) != Some(RETAIN_HELD) {
        return None;
    }
    let until = tags.get(TAG_HELD_UNTIL).and_then(|text| DateTime::parse_from_rfc3339(text).ok());
    Some(until.map_or(DateTime::<Utc>::MAX_UTC, |until| until.to_utc()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn objects_expire_at_the_midnight_after_so_many_days() {
        for (stored, days, expires) in [
            ("2026-01-01T10:30:00Z", 3, "2026-01-05T00:00:00Z"),
            ("2026-01-01T00:00:00Z", 3, "2026-01-05T00:00:00Z"),
            ("2026-01-01T23:59:59Z", 3, "2026-01-05T00:00:00Z"),
            ("2024-02-26T12:00:00Z", 7, "2024-03-05T00:00:00Z"),
            ("2026-11-22T02:10:00Z", 7, "2026-11-30T00:00:00Z"),
        ] {
            assert_eq!(expires_at(at(stored), days), at(expires), "{stored} + {days}");
        }
    }

    fn policy(prefix: &str, tagging: bool, versioning: bool) -> Policy {
        let capabilities = Capabilities { tagging, versioning, ..Capabilities::default() };
        Policy { bucket: "b".into(), prefix: prefix.into(), days: 7, capabilities }
    }

    /// Whether an enabled rule does anything to an object, or to a version or marker of that key.
    fn touches(rule: &Rule, key: &str, tags: &BTreeMap<String, String>) -> bool {
        key.starts_with(&rule.prefix) && rule.tags.iter().all(|(k, v)| tags.get(k) == Some(v))
    }

    #[test]
    fn no_rule_touches_what_others_keep_in_a_bucket_whatever_they_call_their_folders_and_tags() {
        let theirs = [
            BTreeMap::new(),
            BTreeMap::from([("team".to_owned(), "x".to_owned())]),
            // Grandfather, father, son: what everybody calls it.
            BTreeMap::from([(TAG_RETAIN.to_owned(), RETAIN_DAILY.to_owned())]),
        ];
        for (tagging, versioning) in [(true, false), (true, true), (false, false), (false, true)] {
            let rules = policy("", tagging, versioning).rules();
            assert_eq!(rules.is_empty(), !tagging, "without tags nothing tells ours from theirs");
            for area in AREAS {
                let key = format!("{area}/theirs/2024/report.pdf");
                let touching = rules.iter().find(|rule| theirs.iter().any(|tags| touches(rule, &key, tags)));
                assert_eq!(touching, None, "{key}");
            }
            assert!(
                rules.iter().all(|rule| rule.abort_days.is_none() && !rule.expired_markers),
                "S3 takes no tag there"
            );
            // Below a prefix of its own: nobody's objects outside of it, and where there are tags none of others inside.
            let rules = policy("a/b", tagging, versioning).rules();
            assert!(rules.iter().all(|rule| rule.prefix.starts_with("a/b/")));
            let untagged = rules.iter().filter(|rule| rule.expire.is_some() && rule.tags.is_empty()).count();
            assert_eq!(untagged == 0, tagging);
        }
    }

    #[test]
    fn each_object_of_ours_expires_by_exactly_one_rule_and_a_held_one_by_none() {
        for (prefix, tagging) in [("", true), ("a/b", true), ("a/b", false)] {
            let (keys, rules) = (Keys::new(prefix), policy(prefix, tagging, true).rules());
            assert!(
                rules.len() < 30
                    && rules.iter().all(|rule| rule.id.starts_with(&policy(prefix, true, true).id_prefix()))
            );
            let expiring = |key: &str, tags: &BTreeMap<String, String>| -> Vec<Option<Expire>> {
                rules.iter().filter(|r| r.expire.is_some() && touches(r, key, tags)).map(|r| r.expire).collect()
            };
            for area in AREAS {
                let key = format!("{}x", keys.area(area));
                let tags = if tagging { area_tags(area) } else { BTreeMap::new() };
                assert_eq!(expiring(&key, &tags).len(), usize::from(area != Area::Held), "{key} {tags:?}");
                let old = rules.iter().filter(|r| r.noncurrent_days.is_some() && touches(r, &key, &tags)).count();
                assert_eq!(old, 1, "{key}: its old versions");
            }
            if tagging {
                assert_eq!(
                    expiring(&format!("{}x", keys.area(Area::Daily)), &held_tags(at("2026-12-01T00:00:00Z"))),
                    []
                );
            }
        }
    }

    #[test]
    fn the_daily_rule_asks_for_the_tag_where_there_are_tags() {
        let daily = BTreeMap::from([("retain".to_owned(), "daily".to_owned())]);
        assert_eq!(policy("p", true, false).rules()[0].tags, daily, "also backups of before they said who wrote them");
        assert_eq!(policy("", true, false).rules()[0].tags, daily_tags());
        assert!(policy("p", false, false).rules()[0].tags.is_empty());
        assert_eq!(policy("p", false, false).rules()[0].expire, Some(Expire::Days(7)));
    }

    #[test]
    fn i5_a_backup_in_its_last_day_is_copied_not_tagged() {
        let (all, none) = (Capabilities::default(), Capabilities { tagging: false, ..Capabilities::default() });
        let expires = at("2026-11-30T00:00:00Z");
        assert_eq!(hold_method(all, expires, at("2026-11-29T00:00:00Z")), HoldMethod::Tag);
        assert_eq!(hold_method(all, expires, at("2026-11-29T00:00:01Z")), HoldMethod::Copy);
        assert_eq!(hold_method(all, expires, at("2026-12-01T00:00:00Z")), HoldMethod::Copy);
        assert_eq!(hold_method(none, expires, at("2026-11-23T00:00:00Z")), HoldMethod::Copy);
    }

    proptest! {
        #[test]
        fn i5_no_object_expires_before_its_days_are_over(seconds in 0i64..4_000_000_000, days in 1i32..400) {
            let stored = DateTime::from_timestamp(seconds, 0).unwrap();
            let life = expires_at(stored, days) - stored;
            prop_assert!(life >= TimeDelta::days(i64::from(days)));
            prop_assert!(life <= TimeDelta::days(i64::from(days) + 1));
        }

        #[test]
        fn i5_a_hold_ends_at_most_fourteen_days_past_expiry(wanted in 0i64..4_000_000_000) {
            let expires = at("2026-11-30T00:00:00Z");
            let until = held_until(expires, DateTime::from_timestamp(wanted, 0).unwrap());
            prop_assert!(until - expires <= TimeDelta::days(14));
            prop_assert_eq!(hold_of(&held_tags(until)), Some(until));
        }
    }
}
