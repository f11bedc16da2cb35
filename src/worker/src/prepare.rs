//! `prepare`: fills a new database beside the live one from a backup, and proves that it is the backup. May be repeated: each
//! attempt drops what the one before left. The live database is read, never written.

use super::postgres_load::PostgresLoad;
use super::{TaskError, WorkerContext, backup, hooks, mysql, preflight, verify};
use sennight_core::engine::Engine;
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

/// How often the new database's size is looked at.
const WATCH: Duration = Duration::from_secs(2);

/// One attempt.
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

/// Prepares. On any failure, that of a damaged frame included, the new database is dropped again.
pub async fn run(task: &RestoreTask, context: &WorkerContext) -> Result<Done, TaskError> {
    // Before anything is loaded for them.
    hooks::check(task)?;
    if task.database.engine != Engine::PostgreSQL {
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
        done = attempt.make() => done,
    };
    if done.is_err() {
        attempt.clean_up().await;
    }
    attempt.admin.close().await;
    done
}

impl Attempt<'_> {
    /// The preflight's rules once more: what it saw may be days old. What matters at the swap only may still be mended.
    async fn admit(&self) -> Result<(), TaskError> {
        let evidence = preflight::facts(self.task, self.context, &self.manifest, &self.admin).await?;
        let refused = preflight_rules::refusals(&evidence);
        let now: Vec<_> = refused.iter().filter(|r| !r.matters_at_the_swap_only()).collect();
        match now.first() {
            None => Ok(()),
            Some(first) => {
                let all: Vec<String> = now.iter().map(ToString::to_string).collect();
                Err(TaskError::refused(first.reason(), all.join("; ")))
            }
        }
    }

    async fn make(&self) -> Result<Done, TaskError> {
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
            filled = self.fill() => filled?,
            grown = watch_size(&self.admin, &self.manifest, new_oid) => return Err(grown?),
        };
        self.rehearse(live.oid, new_oid).await?;
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

    async fn fill(&self) -> Result<Vec<String>, TaskError> {
        let filling = PostgresLoad {
            task: self.task,
            context: self.context,
            manifest: &self.manifest,
            server_major: self.admin.server_major(),
            name: &self.name,
            application: &self.application,
            owners: true,
        };
        filling.run().await
    }

    /// Gives the new database what belongs to the live one's OID, but lets nobody in: what may not be set is found out
    /// now, and not in the moment of the swap, which does it once more.
    async fn rehearse(&self, live_oid: u32, new_oid: u32) -> Result<(), TaskError> {
        let had = database_properties::read(&self.admin, live_oid).await?;
        let has = database_properties::read(&self.admin, new_oid).await?;
        let superuser = swap::is_superuser(&self.admin).await?;
        let mut statements = vec!["BEGIN".to_owned()];
        statements.extend(had.statements_for(&self.name, &has, Access::Closed, superuser));
        statements.push("COMMIT".to_owned());
        for statement in statements {
            let carried = self.admin.batch_execute(&statement).await;
            carried.map_err(|e| EngineError::query("carrying grants and settings over", e))?;
        }
        Ok(())
    }

    /// Leaves nothing behind. A session that is still in a transaction would refuse to drop, hence the ROLLBACK.
    async fn clean_up(&self) {
        let _ = self.admin.batch_execute("ROLLBACK").await;
        match create::drop_own(&self.admin, &self.name, &self.task.request_uid).await {
            Ok(dropped) => tracing::info!(database = self.name, dropped, "cleaned up after a failed attempt"),
            Err(error) => tracing::warn!(%error, "the next attempt has to clean up after this one"),
        }
    }
}

/// Ends when the new database has outgrown the backup, and not before.
pub async fn watch_size(admin: &Session, manifest: &Manifest, oid: u32) -> Result<TaskError, TaskError> {
    let limit = backup::size_limit(manifest);
    loop {
        tokio::time::sleep(WATCH).await;
        let row = admin
            .query_one("SELECT pg_catalog.pg_database_size($1::pg_catalog.oid)", &[&oid])
            .await
            .map_err(|e| EngineError::query("watching the new database's size", e))?;
        let bytes: i64 = row.get(0);
        if bytes > limit {
            return Ok(RestoreError::TooLarge { bytes, limit }.into());
        }
    }
}
