//! `prepare`: fills a new database beside the live one from a backup, and compares it with the backup. May be repeated: each
//! attempt drops what the one before left. The live database is read, never written. PostgreSQL; `mysql/prepare.rs` is its like.

use super::postgres_load::PostgresLoad;
use super::{TaskError, WorkerContext, backup, hooks, mysql, preflight, verify};
use sennight_core::engine::EngineKind;
use sennight_core::manifest::Manifest;
use sennight_core::names::new_database;
use sennight_core::result::Done;
use sennight_engine::postgres::catalog::{self, Database};
use sennight_engine::postgres::create::{self, Creation};
use sennight_engine::postgres::database_properties::{self, Access};
use sennight_engine::postgres::failure::RestoreError;
use sennight_engine::postgres::{EngineError, Session, connect, preflight_rules, swap};
use sennight_protocol::restore::RestoreTask;
use std::time::Duration;

/// How often the new database's size is measured.
const SIZE_CHECK: Duration = Duration::from_secs(2);

/// One attempt on one new database.
struct Attempt<'a> {
    task: &'a RestoreTask,
    context: &'a WorkerContext,
    manifest: Manifest,
    /// On the maintenance database; holds the lock of this request.
    admin: Session,
    /// The new database's name.
    name: String,
    application: String,
}

/// Prepares. On any failure, a damaged frame included, the new database is dropped again.
pub async fn run(task: &RestoreTask, context: &WorkerContext) -> Result<Done, TaskError> {
    // Hooks that cannot be read fail here, before anything is loaded.
    hooks::check(task)?;
    if task.database.engine != EngineKind::PostgreSQL {
        return Box::pin(mysql::prepare::run(task, context)).await;
    }
    let manifest = backup::open(task, context).await?;
    tokio::select! {
        biased;
        () = context.cancel.cancelled() => return Err(TaskError::cancelled()),
        sound = verify::before_loading(&context.store, &task.backup.prefix, &manifest) => sound?,
    }
    let application = format!("sennight prepare {}", task.request_uid);
    let admin = connect(&task.database, &task.database.maintenance_database, &application).await?;
    create::lock(&admin, &task.request_uid).await?;
    let name = new_database(&task.database.database, &task.request_uid);
    let attempt = Attempt { task, context, manifest, admin, name, application };
    attempt.admit().await?;
    create::drop_own(&attempt.admin, &attempt.name, &task.request_uid).await?;
    let done = tokio::select! {
        biased;
        () = context.cancel.cancelled() => Err(TaskError::cancelled()),
        done = attempt.create_and_load() => done,
    };
    if done.is_err() {
        attempt.clean_up().await;
    }
    attempt.admin.close().await;
    done
}

impl Attempt<'_> {
    /// Checks the preflight's rules once more: its facts may be days old. What matters at the swap only may still be mended.
    async fn admit(&self) -> Result<(), TaskError> {
        let facts = preflight::facts(self.task, self.context, &self.manifest, &self.admin).await?;
        let refused = preflight_rules::refusals(&facts);
        let now: Vec<_> = refused.iter().filter(|r| !r.matters_at_the_swap_only()).collect();
        match now.first() {
            None => Ok(()),
            Some(first) => {
                let all: Vec<String> = now.iter().map(ToString::to_string).collect();
                Err(TaskError::refused(first.reason(), all.join("; ")))
            }
        }
    }

    async fn create_and_load(&self) -> Result<Done, TaskError> {
        let live = self.live().await?;
        let new_oid = create::create(
            &self.admin,
            &Creation {
                name: &self.name,
                owner: &live.owner,
                tablespace: &live.tablespace,
                facts: &self.manifest.server,
                request_uid: &self.task.request_uid,
            },
        )
        .await?;
        tracing::info!(database = self.name, oid = new_oid, "created the new database");
        let hooks = tokio::select! {
            loaded = self.load() => loaded?,
            too_large = watch_size(&self.admin, &self.manifest, new_oid) => return Err(too_large?),
        };
        self.rehearse_properties(live.oid, new_oid).await?;
        let now = self.live().await?;
        if now.oid != live.oid {
            let found = format!("{:?} had OID {} and has {} now", live.name, live.oid, now.oid);
            return Err(RestoreError::DatabasesChanged { found }.into());
        }
        Ok(Done::Prepared {
            live_oid: live.oid,
            new_oid,
            new_database: self.name.clone(),
            rows: self.manifest.totals.rows,
            tables: self.manifest.totals.tables,
            hooks,
        })
    }

    async fn live(&self) -> Result<Database, TaskError> {
        let database = &self.task.database.database;
        let live = catalog::by_name(&self.admin, database).await?;
        live.ok_or_else(|| RestoreError::LiveDatabaseMissing { database: database.clone() }.into())
    }

    async fn load(&self) -> Result<Vec<String>, TaskError> {
        let load = PostgresLoad {
            task: self.task,
            context: self.context,
            manifest: &self.manifest,
            server_major: self.admin.server_major(),
            name: &self.name,
            application: &self.application,
            owners: true,
        };
        load.run().await
    }

    /// Gives the new database the properties of the live one, but nobody may connect. The swap does it once more; a
    /// property that the role may not set is found out now, and not in the moment of the swap.
    async fn rehearse_properties(&self, live_oid: u32, new_oid: u32) -> Result<(), TaskError> {
        let had = database_properties::read(&self.admin, live_oid).await?;
        let has = database_properties::read(&self.admin, new_oid).await?;
        let superuser = swap::is_superuser(&self.admin).await?;
        let mut statements = vec!["BEGIN".to_owned()];
        statements.extend(had.statements_for(&self.name, &has, Access::Closed, superuser));
        statements.push("COMMIT".to_owned());
        for statement in statements {
            let applied = self.admin.batch_execute(&statement).await;
            applied.map_err(|e| EngineError::query("copying grants and settings", e))?;
        }
        Ok(())
    }

    /// Drops the new database. DROP DATABASE is refused inside a transaction, hence the ROLLBACK.
    async fn clean_up(&self) {
        let _ = self.admin.batch_execute("ROLLBACK").await;
        match create::drop_own(&self.admin, &self.name, &self.task.request_uid).await {
            Ok(dropped) => tracing::info!(database = self.name, dropped, "failed attempt cleaned up"),
            Err(error) => tracing::warn!(%error, "failed attempt not cleaned up; the next attempt does it"),
        }
    }
}

/// Returns the error to fail with when the new database has outgrown the backup; never returns before that. The outer
/// error is a size that cannot be measured.
pub async fn watch_size(admin: &Session, manifest: &Manifest, oid: u32) -> Result<TaskError, TaskError> {
    let limit = backup::size_limit(manifest);
    loop {
        tokio::time::sleep(SIZE_CHECK).await;
        let row = admin
            .query_one("SELECT pg_catalog.pg_database_size($1::pg_catalog.oid)", &[&oid])
            .await
            .map_err(|e| EngineError::query("measuring the new database", e))?;
        let bytes: i64 = row.get(0);
        if bytes > limit {
            return Ok(RestoreError::TooLarge { bytes, limit }.into());
        }
    }
}
