//! Merges Sennight's lifecycle rules into those of a bucket that others use too: what to write, and which foreign rules
//! would delete or move backups too early.

use super::{AREAS, Expire, HOLD_DAYS, Policy, Rule, area_tags, held_tags};
use crate::names::{Area, Keys};
use chrono::DateTime;
use std::collections::{BTreeMap, BTreeSet};

/// A rule that the bucket has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Existing {
    /// The rule, parsed.
    pub rule: Rule,
    /// Its XML as the store gave it: a foreign rule is written back byte by byte.
    pub source: String,
}

/// What to write into a bucket's lifecycle configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LifecyclePlan {
    /// They are as they should be.
    Unchanged,
    /// Replace them by these.
    Put {
        /// Foreign rules, byte by byte and in their order.
        foreign: Vec<String>,
        /// Our rules.
        own: Vec<Rule>,
        /// Ids of our rules that were missing, changed or no longer wanted.
        drift: Vec<String>,
    },
}

/// The result of comparing a bucket's rules with the wanted ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merge {
    /// What to write.
    pub plan: LifecyclePlan,
    /// Foreign rules that work against us. Only their owners may repair them.
    pub conflicts: Vec<Conflict>,
}

/// A foreign rule that works against a storage. The variant's name is the condition's reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, strum::IntoStaticStr)]
pub enum Conflict {
    /// It deletes our objects before their time.
    #[error(
        "lifecycle rule {id:?} deletes objects under {prefix:?} {when}, which must stay {needed} days: narrow its prefix or remove it"
    )]
    ExpiresEarly {
        /// Id of the foreign rule.
        id: String,
        /// Key prefix of the affected area.
        prefix: String,
        /// When it deletes, in words.
        when: String,
        /// Days that the objects must stay.
        needed: i32,
    },
    /// It moves our objects to a class that cannot be read at once.
    #[error(
        "lifecycle rule {id:?} moves objects under {prefix:?} to another storage class after {days} days, while they may still be needed: narrow its prefix or remove it"
    )]
    MovesAway {
        /// Id of the foreign rule.
        id: String,
        /// Key prefix of the affected area.
        prefix: String,
        /// After how many days it moves them.
        days: i32,
    },
    /// Another storage of Sennight's lies above or below this one.
    #[error("another BackupStorage keeps its backups under {prefix:?}, which overlaps: give each its own prefix")]
    Overlap {
        /// The other's prefix.
        prefix: String,
    },
}

impl Conflict {
    /// Reason in CamelCase.
    pub fn reason(&self) -> &'static str {
        self.into()
    }
}

/// Compares the bucket's rules with what `policy` wants. `unsupported` are ids that the store is known to refuse.
pub fn merge(policy: &Policy, current: &[Existing], unsupported: &BTreeSet<String>) -> Merge {
    let own_ids = policy.id_prefix();
    let wanted: Vec<Rule> = policy.rules().into_iter().filter(|rule| !unsupported.contains(&rule.id)).collect();
    let (own, foreign): (Vec<&Existing>, Vec<&Existing>) =
        current.iter().partition(|existing| existing.rule.id.starts_with(&own_ids));
    let mut drift: BTreeSet<String> = BTreeSet::new();
    for rule in &wanted {
        let same = own.iter().filter(|existing| existing.rule.id == rule.id).collect::<Vec<_>>();
        // Two rules of one id are drift as well: which of them a store follows is not known.
        if same.len() != 1 || same[0].rule != *rule {
            drift.insert(rule.id.clone());
        }
    }
    // Rules of an earlier version, and those that rested on a capability which is gone.
    let unwanted = own.iter().filter(|existing| !wanted.iter().any(|rule| rule.id == existing.rule.id));
    drift.extend(unwanted.map(|existing| existing.rule.id.clone()));
    let plan = if drift.is_empty() {
        LifecyclePlan::Unchanged
    } else {
        LifecyclePlan::Put {
            foreign: foreign.iter().map(|existing| existing.source.clone()).collect(),
            own: wanted,
            drift: drift.into_iter().collect(),
        }
    };
    Merge { plan, conflicts: conflicts(policy, foreign.iter().map(|existing| &existing.rule)) }
}

fn conflicts<'a>(policy: &Policy, foreign: impl Iterator<Item = &'a Rule>) -> Vec<Conflict> {
    let keys = Keys::new(&policy.prefix);
    let mut found = Vec::new();
    for rule in foreign.filter(|rule| rule.enabled) {
        if let Some(name) = sennight_rule(rule) {
            // One conflict for each other storage is enough; its daily rule shows its prefix.
            let base = rule.prefix.strip_suffix("daily/").filter(|_| name == "daily");
            if let Some(base) = base.filter(|base| touches(base, keys.root())) {
                found.push(Conflict::Overlap { prefix: base.to_owned() });
            }
            continue;
        }
        let threatened = AREAS.iter().find_map(|area| threat(policy, rule, *area, &keys.area(*area)));
        found.extend(threatened);
    }
    found
}

/// What a rule of another storage is called there; `None` for rules that are not Sennight's.
fn sennight_rule(rule: &Rule) -> Option<&str> {
    let (hash, name) = rule.id.strip_prefix("sennight-")?.split_once('-')?;
    (hash.len() == 12 && hash.bytes().all(|b| b.is_ascii_hexdigit())).then_some(name)
}

fn touches(one: &str, other: &str) -> bool {
    one.starts_with(other) || other.starts_with(one)
}

/// What `rule` does to objects of `area`, if anything.
fn threat(policy: &Policy, rule: &Rule, area: Area, prefix: &str) -> Option<Conflict> {
    if !touches(&rule.prefix, prefix) {
        return None;
    }
    let needed = needed(policy, rule, area)?;
    let early = match rule.expire {
        Some(Expire::Days(days)) if days < needed => Some(format!("after {days} days")),
        // However young they are on that day.
        Some(Expire::Date(date)) => Some(format!("on {}", date.date_naive())),
        _ => None,
    };
    if let Some(when) = early {
        return Some(Conflict::ExpiresEarly { id: rule.id.clone(), prefix: prefix.to_owned(), when, needed });
    }
    let days = rule.transition_days.filter(|days| *days < needed)?;
    Some(Conflict::MovesAway { id: rule.id.clone(), prefix: prefix.to_owned(), days })
}

/// How many days objects of `area` that `rule` applies to must stay; `None` if it applies to none of them.
fn needed(policy: &Policy, rule: &Rule, area: Area) -> Option<i32> {
    let applies = |tags: &BTreeMap<String, String>| {
        rule.tags.iter().all(|(key, value)| {
            // The date of a hold can be any.
            key == super::TAG_HELD_UNTIL && tags.contains_key(key) || tags.get(key) == Some(value)
        })
    };
    let held = applies(&held_tags(DateTime::UNIX_EPOCH));
    let days = match area {
        // An untagged store holds by copying out of daily/.
        Area::Daily if policy.capabilities.tagging && held => return Some(policy.days + HOLD_DAYS),
        Area::Held => return held.then_some(policy.days + HOLD_DAYS),
        Area::Daily => policy.days,
        Area::Safety => super::SAFETY_DAYS,
        Area::Exports => super::EXPORT_DAYS,
        Area::Results | Area::Progress => super::RESULT_DAYS,
        Area::Claims | Area::Audit => super::RECORD_DAYS,
    };
    let written = if policy.capabilities.tagging { area_tags(area) } else { BTreeMap::new() };
    applies(&written).then_some(days)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capabilities::Capabilities;
    use proptest::prelude::*;

    fn policy() -> Policy {
        Policy { bucket: "b".into(), prefix: "p".into(), days: 7, capabilities: Capabilities::default() }
    }

    fn existing(rule: Rule) -> Existing {
        Existing { source: format!("<Rule>{}</Rule>", rule.id), rule }
    }

    fn foreign(prefix: &str, days: i32) -> Rule {
        Rule {
            id: "theirs".into(),
            enabled: true,
            prefix: prefix.into(),
            expire: Some(Expire::Days(days)),
            ..Rule::default()
        }
    }

    fn reasons(rule: Rule) -> Vec<&'static str> {
        let merged = merge(&policy(), &[existing(rule)], &BTreeSet::new());
        merged.conflicts.iter().map(Conflict::reason).collect()
    }

    #[test]
    fn foreign_rules_that_work_against_us_are_named() {
        let tagged = |mut rule: Rule, key: &str, value: &str| {
            rule.tags.insert(key.into(), value.into());
            rule
        };
        for (rule, expected) in [
            (foreign("logs/", 1), vec![]),
            (foreign("p/daily/", 3), vec!["ExpiresEarly"]),
            (foreign("", 3), vec!["ExpiresEarly"]),
            (foreign("p/daily/ns/acme/", 3), vec!["ExpiresEarly"]),
            (foreign("p/daily/", 10), vec!["ExpiresEarly"]),
            (tagged(foreign("p/daily/", 10), "retain", "daily"), vec![]),
            (tagged(foreign("p/daily/", 6), "retain", "daily"), vec!["ExpiresEarly"]),
            (tagged(foreign("p/daily/", 3), "team", "x"), vec![]),
            (tagged(foreign("p/exports/", 3), "team", "x"), vec![]),
            (tagged(foreign("p/exports/", 3), "written-by", "sennight"), vec!["ExpiresEarly"]),
            (tagged(foreign("p/", 3), "retain", "held"), vec!["ExpiresEarly"]),
            (foreign("p/claims/", 30), vec!["ExpiresEarly"]),
            (foreign("p/", 400), vec![]),
            (Rule { enabled: false, ..foreign("p/", 1) }, vec![]),
            (Rule { expire: None, transition_days: Some(1), ..foreign("p/", 0) }, vec!["MovesAway"]),
            (Rule { expire: Some(Expire::Date(DateTime::UNIX_EPOCH)), ..foreign("p/", 0) }, vec!["ExpiresEarly"]),
        ] {
            assert_eq!(reasons(rule.clone()), expected, "{rule:?}");
        }
    }

    #[test]
    fn another_storage_above_or_below_is_an_overlap_and_one_beside_is_none() {
        for (prefix, overlaps) in [("", true), ("p/q", true), ("q", false), ("pp", false)] {
            let other = Policy { prefix: prefix.into(), ..policy() };
            let current: Vec<Existing> = other.rules().into_iter().map(existing).collect();
            let merged = merge(&policy(), &current, &BTreeSet::new());
            let found = merged.conflicts.iter().any(|c| matches!(c, Conflict::Overlap { .. }));
            assert_eq!(found, overlaps, "{prefix:?}: {:?}", merged.conflicts);
        }
    }

    #[test]
    fn drift_is_repaired_and_what_fits_is_left_alone() {
        let none = BTreeSet::new();
        let mut current: Vec<Existing> = policy().rules().into_iter().map(existing).collect();
        assert_eq!(merge(&policy(), &current, &none).plan, LifecyclePlan::Unchanged);
        current[0].rule.expire = Some(Expire::Days(1));
        let id = current[0].rule.id.clone();
        assert!(matches!(merge(&policy(), &current, &none).plan, LifecyclePlan::Put { drift, .. } if drift == [id]));
    }

    #[test]
    fn i5_rules_of_an_earlier_version_are_replaced_those_about_others_objects_among_them() {
        let whole = Policy { prefix: String::new(), ..policy() };
        let wanted = whole.rules();
        let mut before: Vec<Rule> = wanted.iter().map(|rule| Rule { tags: BTreeMap::new(), ..rule.clone() }).collect();
        let abort = format!("{}abort-exports", whole.id_prefix());
        let uploads = Rule { abort_days: Some(2), expire: None, ..foreign("exports/", 0) };
        before.push(Rule { id: abort.clone(), ..uploads });
        let current: Vec<Existing> = before.into_iter().map(existing).collect();
        for (tagging, own) in [(true, wanted), (false, Vec::new())] {
            let capabilities = Capabilities { tagging, ..whole.capabilities };
            let plan = merge(&Policy { capabilities, ..whole.clone() }, &current, &BTreeSet::new()).plan;
            let LifecyclePlan::Put { own: put, drift, foreign } = plan else { panic!("{plan:?}") };
            assert_eq!((put, foreign), (own, Vec::new()), "tags: {tagging}");
            assert!(drift.contains(&abort) && drift.len() == current.len(), "{drift:?}");
        }
    }

    #[test]
    fn a_rule_that_the_store_refuses_is_no_drift_for_ever() {
        let abort = format!("{}abort", policy().id_prefix());
        let known = BTreeSet::from([abort.clone()]);
        let current: Vec<Existing> =
            policy().rules().into_iter().filter(|rule| rule.id != abort).map(existing).collect();
        assert_eq!(merge(&policy(), &current, &known).plan, LifecyclePlan::Unchanged);
        assert!(matches!(merge(&policy(), &current, &BTreeSet::new()).plan, LifecyclePlan::Put { .. }));
    }

    proptest! {
        #[test]
        fn i5_foreign_rules_are_written_back_byte_by_byte_and_in_order(
            ids in proptest::collection::vec("[a-z]{0,8}|sennight-[a-f0-9]{0,13}-?[a-z]{0,5}", 0..12),
            ours in proptest::collection::vec(any::<bool>(), 9),
        ) {
            let mut current: Vec<Existing> = ids
                .iter()
                .enumerate()
                .map(|(n, id)| Existing {
                    rule: Rule { id: id.clone(), ..Rule::default() },
                    source: format!("<Rule n=\"{n}\">\u{fe0f} {id}\t</Rule>"),
                })
                .collect();
            let sources: Vec<String> = current.iter().map(|e| e.source.clone()).collect();
            let own = policy().rules().into_iter().zip(ours).filter(|(_, keep)| *keep);
            current.extend(own.map(|(rule, _)| existing(rule)));
            match merge(&policy(), &current, &BTreeSet::new()).plan {
                LifecyclePlan::Unchanged => prop_assert_eq!(current.len(), ids.len() + policy().rules().len()),
                LifecyclePlan::Put { foreign, own, .. } => {
                    prop_assert_eq!(foreign, sources);
                    prop_assert_eq!(own, policy().rules());
                }
            }
        }
    }
}
