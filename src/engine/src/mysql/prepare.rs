//! Fills a new schema beside the live one from a backup, and compares it with the backup. May be repeated: each attempt drops
//! what the one before left. The live schema is read, never written.

use super::backup_load::MySQLLoad;
use super::connect::{Session, connect};
use super::failure::RestoreError;
use super::load::Definers;
use super::marks::{Mark, Role, number_of};
use super::preflight_rules::refusals;
use super::schema::Statement;
use super::schemas::{self, Schema, create, drop_own, lock_of_request};
use super::{hooks, preflight_report, stored_code, swap};
use crate::restore::{LoadRequest, Prepared, size_limit};
use sennight_core::progress::Stage;
use sennight_core::result::{DatabaseNumber, HookRun};
use sennight_protocol::report::TaskError;
use sennight_protocol::restore::RestoreTask;
use std::time::Duration;

/// How often the new schema's size is measured.
const SIZE_CHECK: Duration = Duration::from_secs(2);

/// Prepares. On any failure, a damaged frame included, the new schema is dropped again.
pub async fn prepare(request: &LoadRequest<'_>) -> Result<Prepared, TaskError> {
    let task = request.task;
    let mut admin = connect(&task.database, "", request.application).await?;
    schemas::lock(&mut admin, &lock_of_request(&task.request_uid)).await?;
    admit(request, &mut admin).await?;
    drop_own(&mut admin, request.database, &task.request_uid).await?;
    let done = tokio::select! {
        biased;
        () = request.cancel.cancelled() => Err(TaskError::cancelled()),
        done = create_and_load(request, &mut admin) => done,
    };
    if done.is_err() {
        clean_up(request, admin).await;
    } else {
        admin.close().await;
    }
    done
}

/// Drops the new schema, by another session: this one may be in the middle of a statement.
async fn clean_up(request: &LoadRequest<'_>, admin: Session) {
    admin.close().await;
    let (task, database) = (request.task, request.database);
    let dropped = async {
        let mut session = connect(&task.database, "", request.application).await.map_err(RestoreError::from)?;
        schemas::lock(&mut session, &lock_of_request(&task.request_uid)).await?;
        let dropped = drop_own(&mut session, database, &task.request_uid).await;
        session.close().await;
        dropped
    };
    match dropped.await {
        Ok(dropped) => tracing::info!(database, dropped, "failed attempt cleaned up"),
        Err(error) => tracing::warn!(%error, "failed attempt not cleaned up; the next attempt does it"),
    }
}

/// Checks the preflight's rules once more: its facts may be days old. What matters at the swap only may still be mended.
async fn admit(request: &LoadRequest<'_>, admin: &mut Session) -> Result<(), TaskError> {
    let facts = preflight_report::facts(request.task, request.backup, admin).await?;
    let refused = refusals(&facts);
    let now: Vec<_> = refused.iter().filter(|r| !r.matters_at_the_swap_only()).collect();
    match now.first() {
        None => Ok(()),
        Some(first) => {
            let all: Vec<String> = now.iter().map(ToString::to_string).collect();
            Err(TaskError::refused(first.reason(), all.join("; ")))
        }
    }
}

async fn create_and_load(request: &LoadRequest<'_>, admin: &mut Session) -> Result<Prepared, TaskError> {
    let LoadRequest { task, database: name, .. } = *request;
    let server = &request.backup.manifest().server;
    let live = live_number(task, admin).await?;
    let new = new_number(live);
    let mark = Mark::new(Role::Restored, &task.request_uid, new);
    let charset = (server.ctype.as_str(), server.collate.as_str());
    create(admin, name, charset, &mark, &task.request_uid).await?;
    tracing::info!(database = name, number = new, "created the new database");
    let (hooks, last) = tokio::select! {
        loaded = load(request) => loaded?,
        too_large = watch_size(request) => return Err(too_large?),
    };
    // Until the swap its events are off. The mark remembers which of them were on.
    let states: Vec<(String, String)> = last.iter().map(state).collect();
    let objects = stored_code::read(admin, name, &[]).await?;
    stored_code::events_off(admin, name, &objects).await?;
    swap::write_mark(admin, name, &mark, &states).await?;
    let now = live_number(task, admin).await?;
    if now != live {
        let found = format!("{:?} had the number {live} and has {now} now", task.database.database);
        return Err(RestoreError::DatabasesChanged { found }.into());
    }
    Ok(Prepared { live_number: DatabaseNumber(live), new_number: DatabaseNumber(new), hooks })
}

async fn live_number(task: &RestoreTask, admin: &mut Session) -> Result<u32, TaskError> {
    let database = &task.database.database;
    match Schema::find(admin, database).await? {
        Some(live) => Ok(number_of(database, &live.marks)),
        None => Err(RestoreError::DatabasesChanged { found: format!("there is no database {database:?}") }.into()),
    }
}

/// A random number for a new schema, other than `number`.
pub fn new_number(number: u32) -> u32 {
    let drawn: u32 = rand::random();
    if drawn == number { drawn.wrapping_add(1) } else { drawn }
}

fn state(statement: &Statement) -> (String, String) {
    let word = statement.sql.rsplit_once("` ").map_or("ENABLE", |(_, word)| word);
    (statement.header.name.clone(), word.to_owned())
}

async fn load(request: &LoadRequest<'_>) -> Result<(Vec<HookRun>, Vec<Statement>), TaskError> {
    let load = MySQLLoad {
        backup: request.backup,
        target: &request.task.database,
        database: request.database,
        application: request.application,
        parallelism: request.task.parallelism,
        method: None,
        definers: Definers::Original,
        progress: request.progress,
    };
    let script = load.load_tables().await?;
    // Hooks run before triggers and views exist: those run as accounts that have no rights on this schema.
    request.progress.stage(Stage::Hooks);
    let hooks = hooks::run_all(request).await?;
    Ok((hooks, load.create_code(script).await?))
}

/// Returns the error to fail with when the new schema has outgrown the backup; never returns before that.
async fn watch_size(request: &LoadRequest<'_>) -> Result<TaskError, TaskError> {
    let limit = size_limit(request.backup.manifest());
    let mut session = connect(&request.task.database, "", request.application).await?;
    loop {
        tokio::time::sleep(SIZE_CHECK).await;
        let bytes = schemas::size(&mut session, request.database).await?;
        if bytes > limit {
            return Ok(RestoreError::TooLarge { bytes, limit }.into());
        }
    }
}
