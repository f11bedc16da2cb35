//! Conditions as values: one pure merge that keeps transition times, so that an unchanged status is never written.

use chrono::{DateTime, Utc};

/// A condition's status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::Display, strum::IntoStaticStr)]
pub enum Status {
    /// It holds.
    True,
    /// It does not.
    False,
    /// It cannot be told.
    Unknown,
}

/// A condition without its times: what a decision says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// The condition's type.
    pub kind: &'static str,
    /// Whether it holds.
    pub status: Status,
    /// CamelCase.
    pub reason: String,
    /// For people.
    pub message: String,
}

impl Fact {
    /// A fact.
    pub fn new(kind: &'static str, status: Status, reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self { kind, status, reason: reason.into(), message: message.into() }
    }
}

/// A condition as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// What it says.
    pub fact: Fact,
    /// When its status last changed.
    pub since: DateTime<Utc>,
    /// The generation it was decided for.
    pub generation: i64,
}

/// The conditions for `facts`: a transition time is kept while the status stays the same.
pub fn merge(old: &[Condition], facts: Vec<Fact>, generation: i64, now: DateTime<Utc>) -> Vec<Condition> {
    let since = |fact: &Fact| {
        let before = old.iter().find(|c| c.fact.kind == fact.kind && c.fact.status == fact.status);
        before.map_or(now, |c| c.since)
    };
    facts.into_iter().map(|fact| Condition { since: since(&fact), fact, generation }).collect()
}

/// The facts whose reason is new: each becomes one Event.
pub fn news<'a>(old: &[Condition], new: &'a [Condition]) -> Vec<&'a Fact> {
    let known = |fact: &Fact| {
        old.iter().any(|c| c.fact.kind == fact.kind && c.fact.status == fact.status && c.fact.reason == fact.reason)
    };
    new.iter().map(|c| &c.fact).filter(|fact| !known(fact)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transition_time_moves_only_with_the_status() {
        let (t1, t2) = ("2026-11-22T00:00:00Z".parse().unwrap(), "2026-11-22T01:00:00Z".parse().unwrap());
        let first = merge(&[], vec![Fact::new("Ready", Status::False, "A", "a")], 1, t1);
        let same = merge(&first, vec![Fact::new("Ready", Status::False, "B", "b")], 2, t2);
        assert_eq!((same[0].since, same[0].generation), (t1, 2));
        assert_eq!(news(&first, &same).len(), 1, "a new reason is news");
        assert!(news(&same, &same).is_empty());
        let turned = merge(&same, vec![Fact::new("Ready", Status::True, "C", "c")], 2, t2);
        assert_eq!(turned[0].since, t2);
    }
}
