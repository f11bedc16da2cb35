//! Everything that is not a table's rows, as statements: what SHOW CREATE says, without DEFINER (which is kept beside each
//! statement), in an order in which it can be made again. `render` writes the copy's `schema.sql`, `parse` reads it.

mod definition;
mod objects;
mod order;
mod script;

pub use definition::{body_of_trigger, disabled, strip_definer, without_auto_increment};
pub use objects::read;
pub use script::{Section, Statement, parse};

use serde::{Deserialize, Serialize};

/// Kinds of objects, in the order in which they are made.
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
    /// What switches an event on again.
    EventState,
}

/// What the session must say before an object is made, so that it is made as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
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

/// One object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// What it is.
    pub kind: ObjectKind,
    /// Its name.
    pub name: String,
    /// Who it runs as, `user@host`.
    pub definer: Option<String>,
    /// What must be set before.
    pub settings: Option<Settings>,
    /// The statement.
    pub text: String,
}

/// A database without its rows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Schema {
    /// Its objects in the order in which they are made.
    pub objects: Vec<Object>,
}

impl Schema {
    /// The first object that is not in `now` what it was, in words. How far AUTO_INCREMENT and sequences have counted is no
    /// difference.
    pub fn first_difference(&self, now: &Self) -> Option<String> {
        let same = |a: &Object, b: &Object| {
            let counts = a.kind == ObjectKind::Sequence;
            let text = |o: &Object| without_auto_increment(&o.text);
            (a.kind, &a.name, &a.definer, &a.settings) == (b.kind, &b.name, &b.definer, &b.settings)
                && (counts || text(a) == text(b))
        };
        let missing = |from: &Self, of: &Self| {
            from.objects.iter().find(|a| !of.objects.iter().any(|b| same(a, b))).map(|a| (a.kind, a.name.clone()))
        };
        let (kind, name) = missing(self, now).or_else(|| missing(now, self))?;
        Some(format!("{kind:?} {name} was created, dropped or altered"))
    }

    /// Accounts that objects run as, and how many each.
    pub fn definers(&self) -> Vec<(String, usize)> {
        let mut counts = std::collections::BTreeMap::new();
        for definer in self.objects.iter().filter_map(|o| o.definer.clone()) {
            *counts.entry(definer).or_insert(0) += 1;
        }
        counts.into_iter().collect()
    }

    /// The text of `schema.sql`.
    pub fn render(&self, about: &str) -> String {
        script::render(self, about)
    }
}
