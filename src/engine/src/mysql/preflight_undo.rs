//! Collects the facts for the preflight of an Undo. Changes nothing. The rules are those of a full restore, as far as they are
//! about the swap, and two of an Undo's own.

use super::marks::{Role, number_of};
use super::preflight::{definers_of, directory_length, gather_server_facts, missing_definers};
use super::preflight_facts::PreflightFacts;
use super::schemas::{Schema, source_number};
use crate::mysql::{EngineError, Session};
use sennight_protocol::cutover::CutoverTask;

/// Collects the facts of an Undo.
pub async fn gather_undo_facts(session: &mut Session, task: &CutoverTask) -> Result<PreflightFacts, EngineError> {
    let live = &task.database.database;
    let mut facts = gather_server_facts(session, live).await?;
    let mut definers = definers_of(session, live).await?;
    definers.extend(definers_of(session, &task.new_database).await?);
    missing_definers(session, &definers, &mut facts).await?;
    let source = Schema::find(session, &task.new_database).await?;
    if source.as_ref().and_then(|schema| source_number(schema, task)) != Some(task.new_number.0) {
        facts.previous_gone = Some(task.new_database.clone());
    }
    if let Some(schema) = Schema::find(session, live).await? {
        let number = number_of(live, &schema.marks);
        facts.replaced = (number != task.live_number.0).then_some((number, task.live_number.0));
    }
    facts.names_needed = vec![(task.previous_database.clone(), directory_length(&task.previous_database))];
    if let Some(found) = Schema::find(session, &task.previous_database).await?.filter(|schema| !schema.is_empty()) {
        match found.mark(Role::Previous, &task.request_uid) {
            Some(_) => facts.already_swapped = Some(task.previous_database.clone()),
            None => facts.names_in_use.push(task.previous_database.clone()),
        }
    }
    facts.notes.push(format!(
        "every change since the restore goes with the restored database, which is then kept as {:?}",
        task.previous_database
    ));
    Ok(facts)
}
