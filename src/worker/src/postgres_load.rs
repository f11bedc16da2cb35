//! Loads a backup into an empty PostgreSQL database: schema, rows, indexes and constraints. Each step is checked before the
//! next one. `prepare` and drills use it; a drill leaves owners and grants out.

use super::{TaskError, WorkerContext, backup, hooks, postgres_rows};
use futures::future::try_join_all;
use sennight_core::manifest::Manifest;
use sennight_core::progress::Stage;
use sennight_engine::postgres::archive::{Archive, Section};
use sennight_engine::postgres::tools::{Access, Tools};
use sennight_engine::postgres::{EngineError, Purpose, Session, compare, connect, load, swap};
use sennight_protocol::restore::RestoreTask;

/// What to load, and where.
pub struct PostgresLoad<'a> {
    /// Names the backup and the server.
    pub task: &'a RestoreTask,
    /// Bucket and progress counters.
    pub context: &'a WorkerContext,
    /// The backup's manifest.
    pub manifest: &'a Manifest,
    /// The server's major version.
    pub server_major: i32,
    /// Name of the new database.
    pub name: &'a str,
    /// `application_name` of the sessions.
    pub application: &'a str,
    /// Whether to set owners and grants. Otherwise everything belongs to the loading role.
    pub owners: bool,
}

impl PostgresLoad<'_> {
    /// Loads everything and runs the restore hooks. Returns their names.
    pub async fn run(&self) -> Result<Vec<String>, TaskError> {
        let (task, manifest) = (self.task, self.manifest);
        let tools = Tools::find(self.server_major)?;
        let access = Access::prepare(&task.database, self.name, self.application, Purpose::Write)?;
        let file = access.dir().join("schema");
        backup::fetch_archive(task, self.context, manifest, &file).await?;
        let archive = Archive { tools: &tools, access: &access, file: &file, owners: self.owners };
        let session = self.connect().await?;
        let superuser = swap::is_superuser(&session).await?;
        archive.load_definitions(superuser, &manifest.roles).await?;
        compare::tables(&session, manifest).await?;
        archive.load(Section::Data).await?;
        compare::set_sequences(&session, &manifest.sequences).await?;
        let routes = load::routes(&session).await?;
        let more = try_join_all((1..postgres_rows::connections(task, manifest)).map(|_| self.connect())).await?;
        let sessions: Vec<&Session> = std::iter::once(&session).chain(&more).collect();
        let counted = postgres_rows::load(task, self.context, manifest, &routes, &sessions).await?;
        let progress = &self.context.progress;
        progress.stage(Stage::Comparing);
        compare::rows(&sessions, &manifest.tables, &routes, &counted).await?;
        compare::sequences(&session, &manifest.sequences).await?;
        // From here on a tenant's grants and policies may hide rows from the loading role: everything was compared before.
        progress.stage(Stage::Indexes);
        archive.load_grants().await?;
        archive.build(&session, task.parallelism).await?;
        compare::indexes(&session).await?;
        progress.stage(Stage::Hooks);
        let ran = hooks::run_all(task, manifest, &session).await?;
        progress.stage(Stage::Statistics);
        load::analyze(&sessions).await?;
        for session in more {
            session.close().await;
        }
        session.close().await;
        Ok(ran)
    }

    async fn connect(&self) -> Result<Session, EngineError> {
        connect(&self.task.database, self.name, self.application).await
    }
}
