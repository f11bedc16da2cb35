//! Fills a new database beside the live one from a backup, and compares it with the backup. May be repeated: each attempt drops
//! what the one before left. The live database is read, never written.

use super::backup_load::{self, Fetched, Load, Sessions};
use super::catalog::{self, Database};
use super::connect::{Session, connect};
use super::create::{self, Creation};
use super::database_properties::{self, Access};
use super::error::EngineError;
use super::failure::RestoreError;
use super::loading_role::{self, Owners};
use super::preflight_facts::PreflightFacts;
use super::preflight_refusal::PreflightRefusal;
use super::{ident, owners, preflight_report, preflight_rules, settings_table, swap};
use crate::restore::{LoadRequest, Prepared, size_limit};
use sennight_core::manifest::Manifest;
use sennight_core::result::DatabaseNumber;
use sennight_protocol::report::TaskError;
use std::time::Duration;

/// How often the new database's size is measured.
const SIZE_CHECK: Duration = Duration::from_secs(2);

/// One attempt on one new database.
struct Attempt<'a> {
    request: &'a LoadRequest<'a>,
    /// On the maintenance database; holds the lock of this request.
    admin: Session,
}

/// Prepares. On any failure, a damaged frame included, the new database is dropped again.
pub async fn prepare(request: &LoadRequest<'_>) -> Result<Prepared, TaskError> {
    let task = request.task;
    let admin = connect(&task.database, &task.database.maintenance_database, request.application).await?;
    create::lock(&admin, &task.request_uid).await?;
    let attempt = Attempt { request, admin };
    create::drop_own(&attempt.admin, request.database, &task.request_uid).await?;
    loading_role::drop_own(&attempt.admin, &task.request_uid).await?;
    attempt.admit().await?;
    let done = tokio::select! {
        biased;
        () = request.cancel.cancelled() => Err(TaskError::cancelled()),
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
        let facts = self.facts().await?;
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

    async fn facts(&self) -> Result<PreflightFacts, TaskError> {
        let LoadRequest { task, backup, .. } = *self.request;
        preflight_report::facts(task, backup, &self.admin).await
    }

    async fn create_and_load(&self) -> Result<Prepared, TaskError> {
        let (name, manifest) = (self.request.database, self.request.backup.manifest());
        let (live, uid) = (self.live().await?, &self.request.task.request_uid);
        let fetched = Fetched::new(self.request, self.admin.server_major()).await?;
        let owners = self.owners(&fetched, &live).await?;
        let role = loading_role::make(&self.admin, uid, &owners, backup_load::sessions(self.request)).await?;
        loading_role::open_tablespaces(&self.admin, &role, fetched.tablespaces()).await?;
        let creation = Creation { name, tablespace: &live.tablespace, facts: &manifest.server, request_uid: uid };
        let new_oid = create::create(&self.admin, &creation, &role, &owners).await?;
        tracing::info!(database = name, oid = new_oid, "created the new database");
        let had = database_properties::read(&self.admin, live.oid).await?;
        let sessions = Sessions::open(self.request, &role, &settings_table::of_expressions(&had.settings)).await?;
        // guard(servers::i11_a_password_that_the_tenant_gives_the_loading_role_lets_nobody_in, drop): nobody logs in as the loading role
        role.close(&self.admin).await?;
        let load = Load {
            request: self.request,
            fetched: &fetched,
            role: &role,
            owners: &owners,
            live_owner: Some(&live.owner),
        };
        let hooks = tokio::select! {
            loaded = load.run(sessions) => loaded?,
            too_large = watch_size(&self.admin, manifest, new_oid) => return Err(too_large?),
        };
        loading_role::drop_own(&self.admin, uid).await?;
        self.rehearse_properties(live.oid, new_oid).await?;
        let now = self.live().await?;
        if now.oid != live.oid {
            let found = format!("{:?} had OID {} and has {} now", live.name, live.oid, now.oid);
            return Err(RestoreError::DatabasesChanged { found }.into());
        }
        Ok(Prepared { live_number: DatabaseNumber(live.oid), new_number: DatabaseNumber(new_oid), hooks })
    }

    /// Who may run what the tenant wrote: the backup's owners that are the tenant's alone. Owners that tenants share are refused once
    /// more: a preflight does not look into an archive that is too large.
    async fn owners(&self, fetched: &Fetched, live: &Database) -> Result<Owners, TaskError> {
        let task = self.request.task;
        let mut names = fetched.owners(&self.request.backup.manifest().roles);
        let maintenance = &task.database.maintenance_database;
        let states = owners::look(&self.admin, &names, &live.name, maintenance).await?;
        let shared: Vec<&str> =
            states.iter().filter(|owner| owner.is_shared()).map(|owner| owner.name.as_str()).collect();
        if !shared.is_empty() && !task.allow_shared_owners {
            let refused = PreflightRefusal::OwnersShared { owners: shared.join(", ") };
            return Err(TaskError::refused(refused.reason(), refused.to_string()));
        }
        // What the tenant's code leaves behind goes to the database's owner.
        if !names.contains(&live.owner) {
            names.push(live.owner.clone());
        }
        Ok(owners::divide(&owners::look(&self.admin, &names, &live.name, maintenance).await?))
    }

    async fn live(&self) -> Result<Database, TaskError> {
        let database = &self.request.task.database.database;
        let live = catalog::by_name(&self.admin, database).await?;
        live.ok_or_else(|| RestoreError::LiveDatabaseMissing { database: database.clone() }.into())
    }

    /// Gives the new database the properties of the live one, but nobody may connect. The swap does it once more; a
    /// property that the role may not set is found out now, and not in the moment of the swap.
    async fn rehearse_properties(&self, live_oid: u32, new_oid: u32) -> Result<(), TaskError> {
        let had = database_properties::read(&self.admin, live_oid).await?;
        let has = database_properties::read(&self.admin, new_oid).await?;
        let superuser = swap::is_superuser(&self.admin).await?;
        let (database, owner) = (ident(self.request.database), ident(&had.owner));
        let mut statements = vec!["BEGIN".to_owned(), format!("ALTER DATABASE {database} OWNER TO {owner}")];
        statements.extend(had.statements_for(self.request.database, &has, Access::Closed, superuser));
        statements.push(format!("ALTER DATABASE {database} OWNER TO CURRENT_USER"));
        statements.push(format!("GRANT ALL ON DATABASE {database} TO CURRENT_USER"));
        statements.push("COMMIT".to_owned());
        for statement in statements {
            let applied = self.admin.batch_execute(&statement).await;
            applied.map_err(|e| EngineError::query("copying grants and settings", e))?;
        }
        Ok(())
    }

    /// Drops the new database. DROP DATABASE is refused inside a transaction, hence the ROLLBACK.
    async fn clean_up(&self) {
        let database = self.request.database;
        let _ = self.admin.batch_execute("ROLLBACK").await;
        match create::drop_own(&self.admin, database, &self.request.task.request_uid).await {
            Ok(dropped) => tracing::info!(database, dropped, "failed attempt cleaned up"),
            Err(error) => tracing::warn!(%error, "failed attempt not cleaned up; the next attempt does it"),
        }
        if let Err(error) = loading_role::drop_own(&self.admin, &self.request.task.request_uid).await {
            tracing::warn!(%error, "loading roles of the failed attempt not dropped; the next attempt does it");
        }
    }
}

/// Returns the error to fail with when the new database has outgrown the backup; never returns before that. The outer
/// error is a size that cannot be measured.
pub async fn watch_size(admin: &Session, manifest: &Manifest, oid: u32) -> Result<TaskError, TaskError> {
    let limit = size_limit(manifest);
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
