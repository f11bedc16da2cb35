//! What a backup's script needs of the server: definers, engines, rights to create functions. Pure.

use super::accounts::Account;
use super::stored_code::routine_kind;
use crate::mysql::schema::{ObjectKind, Statement};
use std::collections::BTreeSet;

/// Needs of one script, for the preflight.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ScriptNeeds {
    /// Accounts and roles that objects run as.
    pub definers: BTreeSet<Account>,
    /// Tables that are not InnoDB's, with their engine.
    pub other_engines: Vec<String>,
    /// Tables with a foreign key into another database.
    pub foreign: Vec<String>,
    /// It has functions or triggers: a server with a binary log lets only trusted accounts create them.
    pub functions: bool,
    /// Names of tables with capital letters.
    pub capitals: bool,
}

impl ScriptNeeds {
    /// Collects the needs of a script.
    pub fn of(statements: &[Statement]) -> Self {
        let mut needs = Self::default();
        for statement in statements {
            let (name, text) = (&statement.header.name, statement.sql.as_str());
            if let Some(definer) = statement.header.definer.as_deref().filter(|d| !d.is_empty()) {
                needs.definers.insert(Account::parse(definer));
            }
            match statement.header.kind {
                ObjectKind::Table => {
                    needs.capitals |= name.chars().any(char::is_uppercase);
                    if let Some(engine) = engine(text).filter(|e| *e != "InnoDB") {
                        needs.other_engines.push(format!("{name} ({engine})"));
                    }
                    if text.lines().any(refers_elsewhere) {
                        needs.foreign.push(name.clone());
                    }
                }
                ObjectKind::Trigger => needs.functions = true,
                ObjectKind::Routine => needs.functions |= routine_kind(text) != Some("PROCEDURE"),
                _ => {}
            }
        }
        needs
    }
}

fn engine(table: &str) -> Option<&str> {
    let options = &table[table.rfind("\n) ")?..];
    let rest = &options[options.find("ENGINE=")? + "ENGINE=".len()..];
    rest.split_ascii_whitespace().next()
}

/// A line of SHOW CREATE TABLE with a constraint that names another database.
fn refers_elsewhere(line: &str) -> bool {
    let Some(constraint) = line.trim_start().strip_prefix("CONSTRAINT `") else { return false };
    let Some(at) = constraint.find(" REFERENCES `") else { return false };
    let mut rest = &constraint[at + " REFERENCES `".len()..];
    while let Some(end) = rest.find('`') {
        rest = &rest[end + 1..];
        if !rest.starts_with('`') {
            return rest.starts_with(".`");
        }
        rest = &rest[1..];
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mysql::schema::{Header, Section};

    fn statement(kind: ObjectKind, definer: Option<&str>, sql: &str) -> Statement {
        let header = Header { kind, name: "Thing".into(), definer: definer.map(Into::into) };
        Statement { section: Section::Before, header, sql: sql.into() }
    }

    #[test]
    fn a_script_tells_what_it_needs() {
        let table = "CREATE TABLE `t` (\n  `a` int COMMENT 'x) ENGINE=MyISAM',\n  CONSTRAINT `c` FOREIGN KEY (`a`) REFERENCES `o``.`.`p` (`id`)\n) ENGINE=Aria DEFAULT CHARSET=utf8mb4";
        let own = "CREATE TABLE `t` (\n  CONSTRAINT `c.d` FOREIGN KEY (`a`) REFERENCES `p.``q` (`id`)\n) ENGINE=InnoDB";
        let found = ScriptNeeds::of(&[
            statement(ObjectKind::Table, None, table),
            statement(ObjectKind::View, Some("a@%"), "CREATE VIEW"),
            statement(ObjectKind::Routine, Some("a@%"), "CREATE PROCEDURE `p`()"),
        ]);
        assert_eq!((found.other_engines, found.foreign), (vec!["Thing (Aria)".to_owned()], vec!["Thing".to_owned()]));
        assert_eq!(found.definers, BTreeSet::from([Account::parse("a@%")]));
        assert!(found.capitals && !found.functions);
        let found = ScriptNeeds::of(&[
            statement(ObjectKind::Table, None, own),
            statement(ObjectKind::Routine, None, "CREATE FUNCTION `f`() RETURNS int RETURN 1"),
        ]);
        assert!(found.functions && found.foreign.is_empty() && found.other_engines.is_empty());
    }
}
