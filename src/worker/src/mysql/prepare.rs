//! `prepare` on MySQL and MariaDB: fills a new schema beside the live one from a backup, and compares it with the backup.
//! May be repeated: each attempt drops what the one before left. The live schema is read, never written.

use super::{hooks, preflight};
use crate::mysql_load::MySQLLoad;
use crate::{TaskError, WorkerContext, backup, verify};
use sennight_core::manifest::Manifest;
use sennight_core::names::new_database;
use sennight_core::progress::Stage;
use sennight_core::result::Done;
use sennight_engine::mysql::failure::RestoreError;
use sennight_engine::mysql::load::Definers;
use sennight_engine::mysql::marks::{Mark, Role, number_of};
use sennight_engine::mysql::preflight_rules::refusals;
use sennight_engine::mysql::schema::Statement;
use sennight_engine::mysql::schemas::{self, Schema, create, drop_own, lock_of_request};
use sennight_engine::mysql::{Session, connect};
use sennight_engine::mysql::{stored_code, swap};
use sennight_protocol::restore::RestoreTask;
use std::time::Duration;

/// How often the new schema's size is measured.
const SIZE_CHECK: Duration = Duration::from_secs(2);

/// Prepares. On any failure, a damaged frame included, the new schema is dropped again.
pub async fn run(task: &RestoreTask, context: &WorkerContext) -> Result<Done, TaskError> {
    let manifest = backup::open(task, context).await?;
    verify::before_loading(&context.store, &task.backup.prefix, &manifest).await?;
    let application = format!("sennight prepare {}", task.request_uid);
    let mut admin = connect(&task.database, "", &application).await?;
    schemas::lock(&mut admin, &lock_of_request(&task.request_uid)).await?;
    let name = new_database(&task.database.database, &task.request_uid);
    admit(task, context, &manifest, &mut admin).await?;
    drop_own(&mut admin, &name, &task.request_uid).await?;
    let done = tokio::select! {
        biased;
        () = context.cancel.cancelled() => Err(TaskError::cancelled()),
        done = create_and_load(task, context, &manifest, &mut admin, &name, &application) => done,
    };
    if done.is_err() {
        clean_up(task, &name, admin, &application).await;
    } else {
        admin.close().await;
    }
    done
}

/// Drops the new schema, by another session: this one may be in the middle of a statement.
async fn clean_up(task: &RestoreTask, name: &str, admin: Session, application: &str) {
    admin.close().await;
    let dropped = async {
        let mut session = connect(&task.database, "", application).await.map_err(RestoreError::from)?;
        schemas::lock(&mut session, &lock_of_request(&task.request_uid)).await?;
        let dropped = drop_own(&mut session, name, &task.request_uid).await;
        session.close().await;
        dropped
    };
    match dropped.await {
        Ok(dropped) => tracing::info!(database = name, dropped, "failed attempt cleaned up"),
        Err(error) => tracing::warn!(%error, "failed attempt not cleaned up; the next attempt does it"),
    }
}

/// Checks the preflight's rules once more: its facts may be days old. What matters at the swap only may still be mended.
async fn admit(
    task: &RestoreTask,
    context: &WorkerContext,
    manifest: &Manifest,
    admin: &mut Session,
) -> Result<(), TaskError> {
    let facts = preflight::facts(task, context, manifest, admin).await?;
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

async fn create_and_load(
    task: &RestoreTask,
    context: &WorkerContext,
    manifest: &Manifest,
    admin: &mut Session,
    name: &str,
    application: &str,
) -> Result<Done, TaskError> {
    let live_oid = live_number(task, admin).await?;
    let new_oid = new_number(live_oid);
    let mark = Mark::new(Role::Restored, &task.request_uid, new_oid);
    let like = (manifest.server.ctype.as_str(), manifest.server.collate.as_str());
    create(admin, name, like, &mark, &task.request_uid).await?;
    tracing::info!(database = name, number = new_oid, "created the new database");
    let (hooks, last) = tokio::select! {
        loaded = load(task, context, manifest, name, application) => loaded?,
        too_large = watch_size(task, manifest, name, application) => return Err(too_large?),
    };
    // Until the swap its events are off. The mark remembers which of them were on.
    let states: Vec<(String, String)> = last.iter().map(state).collect();
    let objects = stored_code::read(admin, name, &[]).await?;
    stored_code::events_off(admin, name, &objects).await?;
    swap::write_mark(admin, name, &mark, &states).await?;
    let now = live_number(task, admin).await?;
    if now != live_oid {
        let found = format!("{:?} had the number {live_oid} and has {now} now", task.database.database);
        return Err(RestoreError::DatabasesChanged { found }.into());
    }
    let (rows, tables) = (manifest.totals.rows, manifest.totals.tables);
    Ok(Done::Prepared { live_oid, new_oid, new_database: name.to_owned(), rows, tables, hooks })
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

async fn load(
    task: &RestoreTask,
    context: &WorkerContext,
    manifest: &Manifest,
    name: &str,
    application: &str,
) -> Result<(Vec<String>, Vec<Statement>), TaskError> {
    let load = MySQLLoad {
        store: &context.store,
        prefix: &task.backup.prefix,
        manifest,
        target: &task.database,
        database: name,
        application,
        parallelism: task.parallelism,
        method: None,
        definers: Definers::Original,
        progress: &context.progress,
    };
    let script = load.load_tables().await?;
    // Hooks run before triggers and views exist: those run as accounts that have no rights on this schema.
    context.progress.stage(Stage::Hooks);
    let hooks = hooks::run_all(task, manifest, name, application).await?;
    Ok((hooks, load.create_code(script).await?))
}

/// Returns the error to fail with when the new schema has outgrown the backup; never returns before that.
async fn watch_size(
    task: &RestoreTask,
    manifest: &Manifest,
    name: &str,
    application: &str,
) -> Result<TaskError, TaskError> {
    let limit = backup::size_limit(manifest);
    let mut session = connect(&task.database, "", application).await?;
    loop {
        tokio::time::sleep(SIZE_CHECK).await;
        let bytes = schemas::size(&mut session, name).await?;
        if bytes > limit {
            return Ok(RestoreError::TooLarge { bytes, limit }.into());
        }
    }
}
