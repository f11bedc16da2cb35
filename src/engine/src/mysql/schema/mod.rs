//! The schema of a MySQL or MariaDB database as statements: SHOW CREATE's text without DEFINER (which is stored beside each
//! statement), in an order in which it can be created again. `render` writes `schema.sql`, `parse` reads it.

mod definition;
mod objects;
mod order;
mod script;

pub use definition::{
    body_of_trigger, disable_event, own_columns, own_sequences, strip_definer, with_definer, without_auto_increment,
};
pub use objects::{read, read_code};
pub use script::{Header, SESSION, Section, Statement, WRITES, event_state, parse, set};

use serde::{Deserialize, Serialize};
use std::collections::HashSet;

/// Kinds of objects, in the order in which they are created.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ObjectKind {
    /// The database's own character set and collation.
    Database,
    /// A sequence (MariaDB); tables' defaults may name it.
    Sequence,
    /// A table.
    Table,
    /// A function, a procedure, a package (MariaDB); views may name functions.
    Routine,
    /// A view.
    View,
    /// A trigger.
    Trigger,
    /// An event, switched off.
    Event,
    /// The statement that switches an event on again.
    EventState,
}

/// Session settings that an object must be created with, because the server stores them with it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Settings {
    /// `sql_mode`.
    pub sql_mode: String,
    /// `character_set_client`.
    pub client: String,
    /// `collation_connection`.
    pub collation: String,
    /// `time_zone` (events).
    pub time_zone: String,
}

/// One object of a schema.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Object {
    /// Kind of object.
    pub kind: ObjectKind,
    /// Its name.
    pub name: String,
    /// The account that it runs as, `user@host`.
    pub definer: Option<String>,
    /// Settings to set before.
    pub settings: Option<Settings>,
    /// The statement that creates it.
    pub text: String,
}

/// A database without its rows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Schema {
    /// Its objects in the order in which they are made.
    pub objects: Vec<Object>,
}

impl Schema {
    /// The first object that differs in `now`, as a sentence. How far AUTO_INCREMENT and sequences have counted is no
    /// difference.
    pub fn first_difference(&self, now: &Self) -> Option<String> {
        let essence = |object: &Object| {
            let counts = object.text.starts_with("DO SETVAL(");
            let text = if counts { String::new() } else { without_auto_increment(&object.text) };
            Object { text, ..object.clone() }
        };
        let [before, after] = [self, now].map(|s| s.objects.iter().map(essence).collect::<HashSet<_>>());
        let (kind, name) = before.symmetric_difference(&after).map(|o| (o.kind, o.name.clone())).min()?;
        Some(format!("{kind:?} {name} was created, dropped or altered"))
    }

    /// Accounts that objects run as, and how many each.
    pub fn definers(&self) -> Vec<(String, usize)> {
        let mut counts = std::collections::BTreeMap::new();
        let objects = self.objects.iter().filter(|o| o.kind != ObjectKind::EventState);
        for definer in objects.filter_map(|o| o.definer.clone()) {
            *counts.entry(definer).or_insert(0) += 1;
        }
        counts.into_iter().collect()
    }

    /// The text of `schema.sql`.
    pub fn render(&self, about: &str) -> String {
        script::render(self, about)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(kind: ObjectKind, name: &str, text: &str) -> Object {
        Object { kind, name: name.into(), definer: None, settings: None, text: text.into() }
    }

    #[test]
    fn counting_is_no_difference_and_everything_else_is() {
        let of = |objects: &[Object]| Schema { objects: objects.to_vec() };
        let table = |n: i32| {
            object(ObjectKind::Table, "t", &format!("CREATE TABLE `t` (\n `a` int\n) ENGINE=InnoDB AUTO_INCREMENT={n}"))
        };
        let state = |n: i32| object(ObjectKind::Sequence, "s", &format!("DO SETVAL(`s`, {n}, 0, 0)"));
        let before = of(&[table(1), state(1)]);
        assert_eq!(before.first_difference(&of(&[table(9), state(9)])), None);
        let mut other = table(1);
        other.definer = Some("x".into());
        for now in
            [of(&[state(1)]), of(&[other, state(1)]), of(&[table(1), state(1), object(ObjectKind::View, "t", "x")])]
        {
            assert!(before.first_difference(&now).is_some_and(|words| words.contains(" t was")), "{now:?}");
        }
    }
}
