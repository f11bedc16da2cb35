//! Reads every object's definition by SHOW CREATE.

use super::order::sort_views;
use super::script::event_state;
use super::{
    Object, ObjectKind, Schema, Settings, body_of_trigger, disable_event, own_columns, own_sequences, strip_definer,
};
use crate::mysql::connect::Session;
use crate::mysql::error::EngineError;
use crate::mysql::ident;
use crate::mysql::inventory::Inventory;

const READING: &str = "reading the schema";

/// Reads all definitions as they are now.
pub async fn read(session: &mut Session, inventory: &Inventory) -> Result<Schema, EngineError> {
    let mut objects = vec![database(session).await?];
    let own = objects[0].name.clone();
    for name in &inventory.sequences {
        objects.extend(sequence(session, name).await?);
    }
    for table in &inventory.tables {
        let (_, text): (String, String) =
            session.row(&format!("SHOW CREATE TABLE {}", ident(&table.name)), &doing(&table.name)).await?;
        let text = own_sequences(&text, &own);
        objects.push(Object { kind: ObjectKind::Table, name: table.name.clone(), definer: None, settings: None, text });
    }
    objects.extend(routines(session).await?);
    let mut views = Vec::new();
    for name in &inventory.views {
        views.push(view(session, name, &own).await?);
    }
    objects.extend(sort_views(views));
    objects.extend(triggers(session).await?);
    objects.extend(events(session).await?);
    Ok(Schema { objects })
}

/// Reads the definitions of everything but tables and sequences.
pub async fn read_code(session: &mut Session) -> Result<Vec<Object>, EngineError> {
    let mut objects = vec![database(session).await?];
    let own = objects[0].name.clone();
    objects.extend(routines(session).await?);
    let names: Vec<(String,)> = session
        .rows("SELECT TABLE_NAME FROM information_schema.VIEWS WHERE TABLE_SCHEMA = DATABASE() ORDER BY 1", READING)
        .await?;
    let mut views = Vec::new();
    for (name,) in names {
        views.push(view(session, &name, &own).await?);
    }
    objects.extend(sort_views(views));
    objects.extend(triggers(session).await?);
    objects.extend(events(session).await?);
    Ok(objects)
}

fn doing(name: &str) -> String {
    format!("{READING} of {name}")
}

async fn database(session: &mut Session) -> Result<Object, EngineError> {
    let (name, charset, collation): (String, String, String) =
        session.row("SELECT DATABASE(), @@character_set_database, @@collation_database", READING).await?;
    let text = format!("ALTER DATABASE CHARACTER SET {charset} COLLATE {collation}");
    Ok(Object { kind: ObjectKind::Database, name, definer: None, settings: None, text })
}

/// A sequence's definition and state. Numbers in the server's cache count as used.
async fn sequence(session: &mut Session, name: &str) -> Result<[Object; 2], EngineError> {
    let quoted = ident(name);
    let (_, text): (String, String) = session.row(&format!("SHOW CREATE SEQUENCE {quoted}"), &doing(name)).await?;
    let state = format!("SELECT CAST(next_not_cached_value AS CHAR), CAST(cycle_count AS CHAR) FROM {quoted}");
    let (next, round): (String, String) = session.row(&state, &doing(name)).await?;
    let object =
        |text| Object { kind: ObjectKind::Sequence, name: name.to_owned(), definer: None, settings: None, text };
    Ok([object(text), object(format!("DO SETVAL({quoted}, {next}, 0, {round})"))])
}

type Routine = (String, Option<String>, Option<String>, String, String, String);

async fn routines(session: &mut Session) -> Result<Vec<Object>, EngineError> {
    let names: Vec<(String, String)> = session
        .rows(
            "SELECT ROUTINE_TYPE, ROUTINE_NAME FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = DATABASE()
              ORDER BY ROUTINE_TYPE, ROUTINE_NAME",
            READING,
        )
        .await?;
    let mut objects = Vec::with_capacity(names.len());
    for (kind, name) in names {
        let statement = format!("SHOW CREATE {kind} {}", ident(&name));
        let (_, sql_mode, text, client, collation, _): Routine = session.row(&statement, &doing(&name)).await?;
        let Some(text) = text else {
            let why = "the server hides its body; SHOW_ROUTINE (MySQL), or SELECT on mysql.proc (MariaDB), shows it";
            return Err(EngineError::PermissionDenied { doing: doing(&name), why: why.to_owned() });
        };
        let (text, definer) = strip_definer(&text);
        let settings = Some(settings(sql_mode.unwrap_or_default(), client, collation));
        objects.push(Object { kind: ObjectKind::Routine, name, definer, settings, text });
    }
    Ok(objects)
}

fn settings(sql_mode: String, client: String, collation: String) -> Settings {
    Settings { sql_mode, client, collation, time_zone: "+00:00".to_owned() }
}

async fn view(session: &mut Session, name: &str, own: &str) -> Result<Object, EngineError> {
    let statement = format!("SHOW CREATE VIEW {}", ident(name));
    let (_, text, client, collation): (String, String, String, String) = session.row(&statement, &doing(name)).await?;
    let (text, definer) = strip_definer(&own_columns(&own_sequences(&text, own), own));
    let settings = Some(settings(String::new(), client, collation));
    Ok(Object { kind: ObjectKind::View, name: name.to_owned(), definer, settings, text })
}

type TriggerRow = (String, String, String, String);
type TriggerText = [String; 5];

/// Triggers in the order in which they fire: created in that order, they fire so again.
async fn triggers(session: &mut Session) -> Result<Vec<Object>, EngineError> {
    let found: Vec<TriggerRow> = session
        .rows(
            "SELECT TRIGGER_NAME, ACTION_TIMING, EVENT_MANIPULATION, EVENT_OBJECT_TABLE FROM information_schema.TRIGGERS
              WHERE TRIGGER_SCHEMA = DATABASE()
              ORDER BY EVENT_OBJECT_TABLE, ACTION_TIMING, EVENT_MANIPULATION, ACTION_ORDER",
            READING,
        )
        .await?;
    let mut objects = Vec::with_capacity(found.len());
    for (name, timing, event, table) in found {
        let statement = format!("SHOW CREATE TRIGGER {}", ident(&name));
        let row: mysql_async::Row = session.row(&statement, &doing(&name)).await?;
        let [_, sql_mode, text, client, collation] = first_of(&row, &name)?;
        let (text, definer) = strip_definer(&text);
        let body = body_of_trigger(&text).ok_or_else(|| EngineError::Incomplete {
            what: doing(&name),
            why: "its definition is not understood; report this as a bug".to_owned(),
        })?;
        let text = format!("CREATE TRIGGER {} {timing} {event} ON {} FOR EACH ROW {body}", ident(&name), ident(&table));
        let settings = Some(settings(sql_mode, client, collation));
        objects.push(Object { kind: ObjectKind::Trigger, name, definer, settings, text });
    }
    Ok(objects)
}

/// The first five columns; what follows differs between versions.
fn first_of(row: &mysql_async::Row, name: &str) -> Result<TriggerText, EngineError> {
    let mut texts = TriggerText::default();
    for (at, text) in texts.iter_mut().enumerate() {
        let found = row.get_opt::<String, usize>(at).and_then(Result::ok);
        let lacks =
            || EngineError::Incomplete { what: doing(name), why: "the server's answer lacks columns".to_owned() };
        *text = found.ok_or_else(lacks)?;
    }
    Ok(texts)
}

type EventText = (String, String, String, String, String, String, String);

/// Events, switched off. Those that were on are switched on by statements of their own at the end.
async fn events(session: &mut Session) -> Result<Vec<Object>, EngineError> {
    let names: Vec<(String,)> = session
        .rows("SELECT EVENT_NAME FROM information_schema.EVENTS WHERE EVENT_SCHEMA = DATABASE() ORDER BY 1", READING)
        .await?;
    let (mut objects, mut states) = (Vec::new(), Vec::new());
    for (name,) in names {
        let statement = format!("SHOW CREATE EVENT {}", ident(&name));
        let (_, sql_mode, time_zone, text, client, collation, _): EventText =
            session.row(&statement, &doing(&name)).await?;
        let (text, definer) = strip_definer(&text);
        let (text, state) = disable_event(&text).ok_or_else(|| EngineError::Incomplete {
            what: doing(&name),
            why: "its state is not understood; report this as a bug".to_owned(),
        })?;
        let settings = Some(Settings { sql_mode, client, collation, time_zone });
        if let Some(state) = state {
            let text = event_state(&name, state);
            states.push(Object {
                kind: ObjectKind::EventState,
                name: name.clone(),
                definer: definer.clone(),
                settings: None,
                text,
            });
        }
        objects.push(Object { kind: ObjectKind::Event, name, definer, settings, text });
    }
    objects.append(&mut states);
    Ok(objects)
}
