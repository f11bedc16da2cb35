//! Writes and parses `schema.sql`: a script for the stock clients, which can be split again without parsing SQL. Pure.

use super::{Object, ObjectKind, Schema, Settings};
use crate::mysql::{ident, literal};
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;

/// Begins the line before each object.
const MARK: &str = "-- sennight ";
/// The line at which rows are loaded: tables come before it, triggers and other code after it.
const ROWS: &str = "-- sennight rows";

/// Session settings for a stock client, by values: the server's own may not suit a restore (with `autocommit = 0` all is lost
/// when the client ends). One statement, which `parse` leaves out.
pub const SESSION: &str = "SET NAMES utf8mb4, sql_mode = 'NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES', time_zone = '+00:00', foreign_key_checks = 0, unique_checks = 0, \
autocommit = 1, completion_type = 0, sql_safe_updates = 0, explicit_defaults_for_timestamp = 1";

/// A statement of its own, because the variable has different names on MySQL and MariaDB.
pub const WRITES: &str = "SET SESSION TRANSACTION READ WRITE";

/// When a statement runs, relative to the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// Before the rows: database, sequences, tables.
    Before,
    /// After them: routines, views, triggers, events (switched off).
    After,
    /// At the very end: events are switched on.
    Last,
}

/// The JSON line before each object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Kind of object.
    pub kind: ObjectKind,
    /// Its name.
    pub name: String,
    /// The account that it ran as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub definer: Option<String>,
}

/// A statement of the script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// When it runs.
    pub section: Section,
    /// The object that it belongs to.
    pub header: Header,
    /// The SQL.
    pub sql: String,
}

fn section(kind: ObjectKind) -> Section {
    match kind {
        ObjectKind::Database | ObjectKind::Sequence | ObjectKind::Table => Section::Before,
        ObjectKind::EventState => Section::Last,
        _ => Section::After,
    }
}

/// A delimiter that no statement contains, so that the script can be cut at it.
fn delimiter(schema: &Schema) -> String {
    let free = |d: &String| !schema.objects.iter().any(|o| o.text.contains(d.as_str()));
    (0..u32::MAX).map(|n| if n == 0 { ";;".to_owned() } else { format!(";;{n};;") }).find(free).unwrap_or_default()
}

pub fn render(schema: &Schema, about: &str) -> String {
    let delimiter = delimiter(schema);
    let about: String = about.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let mut text = format!(
        "-- {about}\n-- DEFINER is left out; the lines that begin with \"{}\" say who each object ran as.\n",
        MARK.trim()
    );
    let begin = |text: &mut String| {
        let _ = writeln!(text, "DELIMITER {delimiter}");
        let _ = writeln!(text, "{SESSION}{delimiter}\n{WRITES}{delimiter}");
    };
    begin(&mut text);
    let mut rows_said = false;
    for object in &schema.objects {
        if !rows_said && section(object.kind) != Section::Before {
            let _ = writeln!(text, "DELIMITER ;\n{ROWS}");
            begin(&mut text);
            rows_said = true;
        }
        let header = Header { kind: object.kind, name: object.name.clone(), definer: object.definer.clone() };
        let _ = writeln!(text, "{MARK}{}", serde_json::to_string(&header).unwrap_or_default());
        if let Some(settings) = &object.settings {
            let _ = writeln!(text, "{}{delimiter}", set(settings, object));
        }
        let _ = writeln!(text, "{}{delimiter}", object.text);
    }
    let _ = writeln!(text, "DELIMITER ;");
    if !rows_said {
        let _ = writeln!(text, "{ROWS}");
    }
    text
}

/// The script is UTF-8. An object that was made by a client of another character set keeps it where its text reads the same
/// in both.
pub fn set(settings: &Settings, object: &Object) -> String {
    let Settings { sql_mode, client, collation, time_zone } = settings;
    let plain = object.text.is_ascii();
    let narrow = matches!(client.as_str(), "utf8mb3" | "utf8") && !object.text.chars().any(|c| c > '\u{ffff}');
    let client = if plain || narrow { client.as_str() } else { "utf8mb4" };
    format!(
        "SET sql_mode = {}, character_set_client = {client}, collation_connection = {collation}, time_zone = {}",
        literal(sql_mode),
        literal(time_zone)
    )
}

/// Splits the script into statements. `None` if Sennight did not write it.
pub fn parse(text: &str) -> Option<Vec<Statement>> {
    let delimiter = text.lines().find_map(|line| line.strip_prefix("DELIMITER "))?.to_owned();
    let (end, mut header) = (format!("{delimiter}\n"), None::<Header>);
    let mut statements = Vec::new();
    for piece in text.split(end.as_str()) {
        let mut sql = piece;
        // Lines before the statement: of its object, of the clients.
        while let Some((line, rest)) = sql.split_once('\n') {
            if let Some(json) = line.strip_prefix(MARK).filter(|_| line != ROWS) {
                header = Some(serde_json::from_str(json).ok()?);
            } else if !line.starts_with("-- ") && !line.starts_with("DELIMITER") {
                break;
            }
            sql = rest;
        }
        // Belongs to no object: lines for the client, and settings that Sennight's sessions have anyway.
        let own = sql.trim().is_empty() || sql == "DELIMITER " || sql.starts_with("SET NAMES ") || sql == WRITES;
        let Some(header) = header.clone().filter(|_| !own) else { continue };
        statements.push(Statement { section: section(header.kind), header, sql: sql.to_owned() });
    }
    Some(statements)
}

/// The statement that gives an event this state.
pub fn event_state(name: &str, state: &str) -> String {
    format!("ALTER EVENT {} {state}", ident(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(kind: ObjectKind, name: &str, text: &str) -> Object {
        let settings = (section(kind) == Section::After).then(|| Settings {
            sql_mode: "ANSI_QUOTES".into(),
            client: "latin1".into(),
            collation: "latin1_swedish_ci".into(),
            time_zone: "SYSTEM".into(),
        });
        Object { kind, name: name.into(), definer: Some("a@%".into()), settings, text: text.into() }
    }

    #[test]
    fn a_script_is_taken_apart_as_it_was_put_together() {
        let odd = "CREATE PROCEDURE `p`()\nbegin\n-- sennight {\n  select ';;', '\n;;\n';\nDELIMITER ;;\nend";
        let schema = Schema {
            objects: vec![
                object(ObjectKind::Table, "t\n-- sennight rows", "CREATE TABLE `t` (\n  `a` int\n)"),
                object(ObjectKind::Routine, "p", odd),
                object(ObjectKind::View, "v", "CREATE VIEW `v` AS select 'é'"),
                object(ObjectKind::EventState, "e", "ALTER EVENT `e` ENABLE"),
            ],
        };
        let text = schema.render("a\nb");
        let found = parse(&text).unwrap();
        let of =
            |section| -> Vec<&str> { found.iter().filter(|s| s.section == section).map(|s| s.sql.as_str()).collect() };
        assert_eq!(of(Section::Before), ["CREATE TABLE `t` (\n  `a` int\n)"]);
        let after = of(Section::After);
        assert_eq!(after.len(), 4);
        assert!(after[0].contains("sql_mode = 'ANSI_QUOTES', character_set_client = latin1"), "{}", after[0]);
        assert_eq!(after[1], odd);
        assert!(after[2].contains("character_set_client = utf8mb4"), "its text is not latin1's: {}", after[2]);
        assert_eq!(of(Section::Last), ["ALTER EVENT `e` ENABLE"]);
        assert_eq!(found[0].header.name, "t\n-- sennight rows");
        assert_eq!(text.lines().filter(|line| *line == ROWS).count(), 1, "the clients' way to cut it");
        assert_eq!(parse(&Schema::default().render("none")), Some(vec![]));
        assert_eq!(parse("PGDMP"), None);
    }
}
