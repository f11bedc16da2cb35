//! Several BackupSchedules may name one tenant or one database; exactly one of them is served. The answer depends on the
//! schedules only, not on which of them is asked first.

use chrono::{DateTime, Utc};
use std::collections::HashSet;

/// A BackupSchedule with the tenant and the database that it names, within one namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimant<'a> {
    /// When it was created.
    pub created: Option<DateTime<Utc>>,
    /// Name of the BackupSchedule.
    pub name: &'a str,
    /// `spec.tenant.id`.
    pub tenant: &'a str,
    /// Name of the DatabaseServer.
    pub server: &'a str,
    /// Name of the database.
    pub database: &'a str,
}

impl Claimant<'_> {
    /// Whether it comes before the other one: the older one does; of two created in one second, the first by name.
    pub fn before(&self, other: &Claimant<'_>) -> bool {
        (self.created, self.name) < (other.created, other.name)
    }

    /// Whether both name the same database.
    pub fn same_database(&self, other: &Claimant<'_>) -> bool {
        (self.server, self.database) == (other.server, other.database)
    }

    /// Whether both name the same tenant or the same database.
    pub fn meets(&self, other: &Claimant<'_>) -> bool {
        self.tenant == other.tenant || self.same_database(other)
    }
}

/// The schedule that keeps the tenant or database of `mine`; `None` if `mine` keeps both.
///
/// Schedules are served by age. Each keeps its tenant and database unless it is not `able` (refused for another reason) or
/// an older one keeps one of them; one that is refused takes nothing from younger ones. `others` are the rivals of `mine`,
/// their rivals, and so on; younger ones change nothing.
pub fn holder<'a>(
    mine: &Claimant<'_>,
    mut others: Vec<Claimant<'a>>,
    able: impl Fn(&Claimant<'a>) -> bool,
) -> Option<Claimant<'a>> {
    others.retain(|other| other.before(mine));
    others.sort_by_key(|other| (other.created, other.name));
    let (mut tenants, mut databases) = (HashSet::new(), HashSet::new());
    for other in others {
        let database = (other.server, other.database);
        if tenants.contains(other.tenant) || databases.contains(&database) || !able(&other) {
            continue;
        }
        if other.meets(mine) {
            return Some(other);
        }
        tenants.insert(other.tenant);
        databases.insert(database);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `"name second tenant database"`, and a `!` before those that are not able.
    fn parse(text: &str) -> (Claimant<'_>, bool) {
        let able = !text.starts_with('!');
        let [name, second, tenant, database] = text.trim_start_matches('!').split(' ').collect::<Vec<_>>()[..] else {
            panic!("{text}")
        };
        let created = DateTime::from_timestamp(second.parse().unwrap(), 0);
        (Claimant { created, name, tenant, server: "s", database }, able)
    }

    /// Who keeps what each of them claims; `-` is itself, `x` one that is not able.
    fn all(texts: &[&str]) -> Vec<String> {
        let everybody: Vec<_> = texts.iter().map(|text| parse(text)).collect();
        let able = |one: &Claimant<'_>| everybody.iter().any(|(other, able)| other.name == one.name && *able);
        let verdict = |(mine, able_too): &(Claimant<'_>, bool)| {
            if !able_too {
                return "x".to_owned();
            }
            let others = everybody.iter().map(|(other, _)| other.clone()).filter(|other| other.name != mine.name);
            holder(mine, others.collect(), able).map_or("-".to_owned(), |by| by.name.to_owned())
        };
        everybody.iter().map(verdict).collect()
    }

    #[test]
    fn exactly_one_keeps_a_tenant_and_whoever_is_refused_takes_nothing_from_others() {
        let cases: [(&str, &[&str], &[&str]); 12] = [
            ("alone", &["a 1 t d"], &["-"]),
            ("strangers", &["a 1 t d", "b 2 u e"], &["-", "-"]),
            ("one database", &["a 1 t d", "b 2 u d"], &["-", "a"]),
            ("one tenant", &["a 1 t d", "b 2 t e"], &["-", "a"]),
            ("asked in another order", &["b 2 t e", "a 1 t d"], &["a", "-"]),
            ("of one second, by name", &["b 1 t d", "a 1 t d"], &["a", "-"]),
            ("the older is refused", &["!a 1 t d", "b 2 t d"], &["x", "-"]),
            ("both are refused", &["!a 1 t d", "!b 2 t d"], &["x", "x"]),
            ("three of one database", &["a 1 t d", "b 2 u d", "c 3 v d"], &["-", "a", "a"]),
            ("three, the oldest refused", &["!a 1 t d", "b 2 u d", "c 3 v d"], &["x", "-", "b"]),
            // b loses its tenant to a: it does not keep c from its database.
            ("a chain", &["a 1 t d", "b 2 t e", "c 3 u e"], &["-", "a", "-"]),
            ("a chain, its head refused", &["!a 1 t d", "b 2 t e", "c 3 u e"], &["x", "-", "b"]),
        ];
        for (case, schedules, wanted) in cases {
            assert_eq!(all(schedules), wanted, "{case}");
        }
    }

    proptest! {
        #[test]
        fn no_two_keep_one_thing_and_nobody_waits_for_nothing(
            drawn in prop::collection::vec((0i64..4, 0u8..5, 0u8..5, prop::bool::weighted(0.7)), 1..12)
        ) {
            let texts: Vec<String> = drawn.iter().enumerate()
                .map(|(n, (second, tenant, database, able))| {
                    format!("{}n{n} {second} t{tenant} d{database}", if *able { "" } else { "!" })
                })
                .collect();
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            let verdicts = all(&texts);
            let keepers: Vec<_> = texts.iter().zip(&verdicts).filter(|(_, v)| *v == "-").map(|(t, _)| parse(t).0).collect();
            for (n, one) in keepers.iter().enumerate() {
                prop_assert!(keepers[n + 1..].iter().all(|other| !one.meets(other)), "{texts:?} {verdicts:?}");
            }
            for (text, verdict) in texts.iter().zip(&verdicts).filter(|(_, v)| *v != "-" && *v != "x") {
                let by = keepers.iter().find(|keeper| keeper.name == verdict.as_str());
                prop_assert!(by.is_some_and(|by| by.meets(&parse(text).0) && by.before(&parse(text).0)), "{texts:?} {verdicts:?}");
            }
        }
    }
}
