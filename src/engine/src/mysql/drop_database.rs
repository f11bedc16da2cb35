//! Drops schemas that a restore left. First the schema's mark is renamed to "to be dropped". An Undo renames the same mark, so
//! only one of the two can succeed: the Undo finds the mark gone, or the drop finds the schema swapped.

use super::failure::RestoreError;
use super::marks::{Mark, Role};
use super::schemas::{Schema, drop_own, drop_schema, lock, lock_of_database, lock_of_request};
use crate::mysql::{Session, ident};
use sennight_core::result::{DatabaseDropped, DatabaseNumber};
use sennight_protocol::drop_database::{self, DropDatabaseTask};

/// Drops the task's schema. One that is gone is a success; one without the right mark or number is an error and stays.
pub async fn drop_marked(session: &mut Session, task: &DropDatabaseTask) -> Result<DatabaseDropped, RestoreError> {
    // A `prepare` or a swap that still works holds one of these locks.
    lock(session, &lock_of_database(&task.database.database)).await?;
    lock(session, &lock_of_request(&task.request_uid)).await?;
    let name = &task.database_to_drop.name;
    if *name == task.database.database {
        let found = format!("{name:?} is the live database");
        return Err(RestoreError::DatabasesChanged { found });
    }
    let dropped = |number| DatabaseDropped { database: Some(name.clone()), number };
    match task.database_to_drop.mark {
        drop_database::Mark::Restore => {
            let gone = drop_own(session, name, &task.request_uid).await?;
            Ok(if gone { dropped(None) } else { DatabaseDropped::default() })
        }
        drop_database::Mark::Previous => {
            let Some(found) = Schema::find(session, name).await? else { return Ok(DatabaseDropped::default()) };
            let number = task.database_to_drop.number;
            let drop_mark = mark_for_drop(session, task, &found).await?;
            drop_schema(session, name, &found, drop_mark.as_ref()).await?;
            Ok(dropped(number))
        }
    }
}

/// Renames the schema's mark to "to be dropped" and returns it. An empty schema was left by an earlier attempt and has none.
async fn mark_for_drop(
    session: &mut Session,
    task: &DropDatabaseTask,
    found: &Schema,
) -> Result<Option<Mark>, RestoreError> {
    let (name, uid) = (&task.database_to_drop.name, &task.request_uid);
    let dropping = found.mark(Role::Dropping, uid).cloned();
    if dropping.is_some() || found.is_empty() {
        return Ok(dropping);
    }
    // Without its number a previous schema is never dropped.
    let previous = found
        .mark(Role::Previous, uid)
        .filter(|mark| Some(DatabaseNumber(mark.number)) == task.database_to_drop.number);
    let Some(previous) = previous else {
        let wanted = Mark::new(Role::Previous, uid, task.database_to_drop.number.map_or(0, |number| number.0)).table();
        return Err(RestoreError::NameTaken { name: name.clone(), wanted });
    };
    let drop_mark = Mark { role: Role::Dropping, ..previous.clone() };
    let [from, to] = [previous, &drop_mark].map(|mark| format!("{}.{}", ident(name), ident(&mark.table())));
    session.run(&format!("RENAME TABLE {from} TO {to}"), &format!("marking {name:?} as to be dropped")).await?;
    Ok(Some(drop_mark))
}

/// Fails unless the name stands for the schema that the swap replaced.
pub async fn check_previous(
    session: &mut Session,
    name: &str,
    number: u32,
    request_uid: &str,
) -> Result<(), RestoreError> {
    let found = Schema::find(session, name).await?;
    let mark = found.as_ref().and_then(|schema| schema.mark(Role::Previous, request_uid));
    if mark.is_some_and(|mark| mark.number == number) {
        return Ok(());
    }
    let wanted = Mark::new(Role::Previous, request_uid, number).table();
    Err(RestoreError::DatabasesChanged { found: format!("{name:?} does not carry the mark {wanted:?}") })
}
