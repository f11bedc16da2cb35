//! Views, routines, triggers, events, and the schema's own character set. RENAME TABLE does not move them, and refuses tables
//! with triggers: so they are read before the swap, dropped, and created again after it.

use crate::mysql::load::make_objects;
use crate::mysql::schema::{Object, ObjectKind, event_state, own_sequences, read_code, with_definer};
use crate::mysql::{EngineError, Flavour, Session, ident, literal};
use std::collections::HashSet;

/// Whether events may fire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Events {
    /// As they were: the schema is live.
    AsTheyWere,
    /// All off: the schema is not live.
    Off,
}

/// Reads a schema's code. `states` are the events to switch on, where the schema itself has them off.
pub async fn read(
    session: &mut Session,
    schema: &str,
    states: &[(String, String)],
) -> Result<Vec<Object>, EngineError> {
    enter(session, schema).await?;
    let mut objects = read_code(session).await?;
    let known: HashSet<String> = of(&objects, ObjectKind::EventState).map(|o| o.name.clone()).collect();
    for (name, state) in states.iter().filter(|(name, _)| !known.contains(name)) {
        let Some(event) = of(&objects, ObjectKind::Event).find(|o| o.name == *name) else { continue };
        let (kind, definer, text) = (ObjectKind::EventState, event.definer.clone(), event_state(name, state));
        objects.push(Object { kind, name: name.clone(), definer, settings: None, text });
    }
    Ok(objects)
}

async fn enter(session: &mut Session, schema: &str) -> Result<(), EngineError> {
    session.run(&format!("USE {}", ident(schema)), &format!("entering the database {schema:?}")).await
}

fn of(objects: &[Object], kind: ObjectKind) -> impl Iterator<Item = &Object> {
    objects.iter().filter(move |o| o.kind == kind)
}

/// A view that names its own schema. After the RENAME it could not be created, and the accounts would stay locked.
pub fn names_schema<'a>(objects: &'a [Object], schema: &str) -> Option<&'a str> {
    let qualifier = format!("{}.", ident(schema));
    of(objects, ObjectKind::View).find(|view| view.text.contains(&qualifier)).map(|view| view.name.as_str())
}

/// The events of `objects` that are on: name, and the word that switches them on.
pub fn states(objects: &[Object]) -> Vec<(String, String)> {
    let state = |o: &Object| {
        let word = o.text.strip_prefix(event_state(&o.name, "").as_str()).unwrap_or("ENABLE");
        (o.name.clone(), word.to_owned())
    };
    of(objects, ObjectKind::EventState).map(state).collect()
}

/// Switches off every event that is on.
pub async fn events_off(session: &mut Session, schema: &str, objects: &[Object]) -> Result<(), EngineError> {
    enter(session, schema).await?;
    for event in of(objects, ObjectKind::EventState) {
        switch_off(session, event).await?;
    }
    Ok(())
}

async fn switch_off(session: &mut Session, event: &Object) -> Result<(), EngineError> {
    let off = event_state(&event.name, "DISABLE");
    let off = event.definer.as_deref().map_or_else(|| off.clone(), |definer| with_definer(&off, definer));
    match session.run(&off, &format!("switching off the event {}", event.name)).await {
        // The event has run for the last time meanwhile, and no longer exists.
        Err(EngineError::SchemaChanged { .. }) => Ok(()),
        done => done,
    }
}

/// Drops the events that the lockout switched off: an altered event stores the schema's collation of that moment.
pub async fn drop_events(session: &mut Session, schema: &str, objects: &[Object]) -> Result<(), EngineError> {
    for event in of(objects, ObjectKind::EventState) {
        let statement = format!("DROP EVENT IF EXISTS {}.{}", ident(schema), ident(&event.name));
        session.run(&statement, &format!("dropping the event {}", event.name)).await?;
    }
    Ok(())
}

/// Drops every trigger of a schema.
pub async fn drop_triggers(session: &mut Session, schema: &str) -> Result<(), EngineError> {
    let query = format!(
        "SELECT TRIGGER_NAME FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = {} ORDER BY 1",
        literal(schema)
    );
    let names: Vec<(String,)> = session.rows(&query, "listing the triggers").await?;
    for (name,) in names {
        let statement = format!("DROP TRIGGER IF EXISTS {}.{}", ident(schema), ident(&name));
        session.run(&statement, &format!("dropping the trigger {name}")).await?;
    }
    Ok(())
}

/// Sequences move with a RENAME, the defaults that draw from them do not (MariaDB 10.11 and 11.8): they go on naming the schema
/// `former`, in which there is none any more. Names the table's own schema again.
pub async fn own_defaults(session: &mut Session, schema: &str, former: &str) -> Result<(), EngineError> {
    if session.version().flavour != Flavour::MariaDB {
        return Ok(());
    }
    enter(session, schema).await?;
    let query = format!(
        "SELECT TABLE_NAME, COLUMN_NAME, COLUMN_DEFAULT FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = {}
          AND (COLUMN_DEFAULT LIKE '%nextval(%' OR COLUMN_DEFAULT LIKE '%lastval(%') ORDER BY 1, 2",
        literal(schema)
    );
    let found: Vec<(String, String, String)> =
        session.rows(&query, "listing defaults that draw from sequences").await?;
    for (table, column, default) in found {
        let own = own_sequences(&default, former);
        if own != default {
            let alter = format!("ALTER TABLE {} ALTER COLUMN {} SET DEFAULT ({own})", ident(&table), ident(&column));
            session.run(&alter, &format!("letting {table}.{column} draw from its own sequence")).await?;
        }
    }
    Ok(())
}

/// Gives `schema` exactly the objects `wanted`. An equal object stays, because rights on single routines are lost with it. May
/// be repeated after a crash.
pub async fn make_like(
    session: &mut Session,
    schema: &str,
    wanted: &[Object],
    events: Events,
) -> Result<(), EngineError> {
    enter(session, schema).await?;
    let have = read_code(session).await?;
    let Difference { surplus, missing } = difference(&have, wanted, events);
    // First the schema's collation: whatever is created or altered afterwards stores it.
    let (database, missing): (Vec<&Object>, Vec<&Object>) =
        missing.into_iter().partition(|object| object.kind == ObjectKind::Database);
    make_objects(session, &database).await?;
    for object in surplus {
        if let Some(statement) = drop_statement(object) {
            session.run(&statement, &format!("dropping {:?} {}", object.kind, object.name)).await?;
        } else if object.kind == ObjectKind::EventState {
            switch_off(session, object).await?;
        }
    }
    make_objects(session, &missing).await?;
    session.reset_settings().await
}

/// Objects to drop, and objects to create, in that order.
#[derive(Debug, PartialEq, Eq)]
struct Difference<'a> {
    surplus: Vec<&'a Object>,
    missing: Vec<&'a Object>,
}

fn difference<'a>(have: &'a [Object], wanted: &'a [Object], events: Events) -> Difference<'a> {
    let wanted: Vec<&Object> =
        wanted.iter().filter(|o| events == Events::AsTheyWere || o.kind != ObjectKind::EventState).collect();
    let have_all: Vec<&Object> = have.iter().collect();
    // If one differs, all are created anew: triggers of a table fire in the order of their creation, and a view that
    // reads another can be created only while that one can be read.
    let differs = |kind: ObjectKind| {
        let of = |all: &[&Object]| all.iter().filter(|o| o.kind == kind).map(|o| (*o).clone()).collect::<Vec<_>>();
        of(&have_all) != of(&wanted)
    };
    let anew: Vec<ObjectKind> = [ObjectKind::Trigger, ObjectKind::View].into_iter().filter(|k| differs(*k)).collect();
    let same =
        |o: &Object, others: &[&Object]| !anew.contains(&o.kind) && others.iter().any(|other| same_object(o, other));
    // Dropping needs no order, creating does.
    let surplus = have.iter().filter(|o| o.kind != ObjectKind::Database && !same(o, &wanted)).collect();
    let missing = wanted.iter().copied().filter(|o| !same(o, &have_all)).collect();
    Difference { surplus, missing }
}

/// Whether two objects are equal; of the database object the name does not count.
fn same_object(a: &Object, b: &Object) -> bool {
    if a.kind == ObjectKind::Database { a.kind == b.kind && a.text == b.text } else { a == b }
}

/// `None` for what cannot be dropped by itself.
fn drop_statement(object: &Object) -> Option<String> {
    let what = match object.kind {
        ObjectKind::View => "VIEW",
        ObjectKind::Trigger => "TRIGGER",
        ObjectKind::Event => "EVENT",
        ObjectKind::Routine => routine_kind(&object.text)?,
        _ => return None,
    };
    Some(format!("DROP {what} IF EXISTS {}", ident(&object.name)))
}

/// Which of the kinds of routines a definition makes.
pub fn routine_kind(text: &str) -> Option<&'static str> {
    let mut words = text.split_ascii_whitespace().skip(1).map(str::to_ascii_uppercase);
    loop {
        match words.next()?.as_str() {
            "AGGREGATE" => {}
            "FUNCTION" => return Some("FUNCTION"),
            "PROCEDURE" => return Some("PROCEDURE"),
            "PACKAGE" => return Some(if words.next()? == "BODY" { "PACKAGE BODY" } else { "PACKAGE" }),
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(kind: ObjectKind, name: &str, text: &str) -> Object {
        Object { kind, name: name.into(), definer: Some("a@%".into()), settings: None, text: text.into() }
    }

    #[test]
    fn what_is_the_same_stays_and_the_rest_is_made_anew() {
        let f = object(ObjectKind::Routine, "f", "CREATE FUNCTION `f`() RETURNS int RETURN 1");
        let g = object(ObjectKind::Routine, "f", "CREATE PROCEDURE `f`() SELECT 1");
        let mut other = f.clone();
        other.definer = None;
        let have = [object(ObjectKind::Database, "live", "ALTER DATABASE x"), f.clone(), g.clone()];
        let wanted = [object(ObjectKind::Database, "new", "ALTER DATABASE x"), other.clone(), g.clone()];
        let d = difference(&have, &wanted, Events::AsTheyWere);
        assert_eq!((d.surplus, d.missing), (vec![&f], vec![&other]));
        assert_eq!(drop_statement(&g), Some("DROP PROCEDURE IF EXISTS `f`".into()));
        let body = object(ObjectKind::Routine, "p", "CREATE PACKAGE BODY \"p\" AS");
        assert_eq!(drop_statement(&body), Some("DROP PACKAGE BODY IF EXISTS `p`".into()));
        assert_eq!(routine_kind("CREATE AGGREGATE FUNCTION `a`()"), Some("FUNCTION"));
    }

    #[test]
    fn one_other_trigger_is_all_other_triggers_because_their_order_counts() {
        let [a, b] = ["a", "b"].map(|name| object(ObjectKind::Trigger, name, "CREATE TRIGGER"));
        let (have, wanted) = ([a.clone(), b.clone()], [b.clone(), a.clone()]);
        let d = difference(&have, &wanted, Events::Off);
        assert_eq!((d.surplus.len(), d.missing), (2, vec![&b, &a]));
        assert_eq!(difference(&have, &have.clone(), Events::Off).missing.len(), 0);
    }

    #[test]
    fn a_view_that_names_the_schema_it_waits_in_is_found() {
        let stuck = object(ObjectKind::View, "v", "CREATE VIEW `v` AS select 1 from `d__r12`.`t`");
        let fine = object(ObjectKind::View, "w", "CREATE VIEW `w` AS select `d__r12` from `d`.`t`");
        assert_eq!(names_schema(&[fine.clone(), stuck], "d__r12"), Some("v"));
        assert_eq!(names_schema(&[fine], "d__r12"), None);
    }

    #[test]
    fn one_other_view_is_all_other_views_because_they_read_each_other() {
        let [a, b] = ["a", "b"].map(|name| object(ObjectKind::View, name, "CREATE VIEW"));
        let other = Object { text: "CREATE OR".into(), ..b.clone() };
        let d = difference(&[a.clone(), b.clone()], &[a.clone(), other.clone()], Events::Off).missing.len();
        assert_eq!(
            (d, difference(std::slice::from_ref(&a), std::slice::from_ref(&a), Events::Off).missing.len()),
            (2, 0)
        );
    }

    #[test]
    fn a_schema_that_is_put_aside_has_no_event_that_is_on() {
        let on = object(ObjectKind::EventState, "e", "ALTER EVENT `e` ENABLE");
        let wanted = [on.clone()];
        assert_eq!(states(&wanted), [("e".to_owned(), "ENABLE".to_owned())]);
        assert_eq!(difference(&wanted, &wanted.clone(), Events::Off).surplus, [&on]);
        assert_eq!(difference(&[], &wanted, Events::Off).missing.len(), 0);
        assert_eq!(difference(&[], &wanted, Events::AsTheyWere).missing, [&on]);
    }
}
