//! From a backup to a database: schema, rows, indexes and constraints, each step checked before the next one builds on it.
//! `prepare` and drills fill in the same way; a drill leaves owners and grants out.

use super::{TaskError, WorkerContext, backup, hooks, postgres_rows};
use futures::future::try_join_all;
use sennight_core::manifest::Manifest;
use sennight_core::progress::Stage;
use sennight_engine::postgres::archive::{Archive, Section};
use sennight_engine::postgres::tools::{Access, Tools};
use sennight_engine::postgres::{EngineError, Purpose, Session, compare, connect, load, swap};
use sennight_protocol::restore::RestoreTask;

/// What is filled, and from what.
pub struct PostgresLoad<'a> {
    /// The backup, and the server.
    pub task: &'a RestoreTask,
    /// The bucket, and who counts.
    pub context: &'a WorkerContext,
    /// The backup's manifest.
    pub manifest: &'a Manifest,
    /// The server's major version.
    pub server_major: i32,
    /// The new database.
    pub name: &'a str,
    /// As the server's administrators see the sessions.
    pub application: &'a str,
    /// Whether objects are given to their owners and grants are made.
    pub owners: bool,
}

impl PostgresLoad<'_> {
    /// Fills it, and runs the platform team's hooks; their names.
    pub async fn run(&self) -> Result<Vec<String>, TaskError> {
        let (task, manifest) = (self.task, self.manifest);
        let tools = Tools::find(self.server_major)?;
        let access = Access::prepare(&task.database, self.name, self.application, Purpose::Write)?;
        let file = access.dir().join("schema");
        backup::fetch_archive(task, self.context, manifest, &file).await?;
        let archive = Archive { tools: &tools, access: &access, file: &file, owners: self.owners };
        let session = self.connect().await?;
        let lesser = !swap::is_superuser(&session).await?;
        archive.load_definitions(lesser, &manifest.roles).await?;
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
        // From here on the owners' own grants and policies may keep even them from looking.
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
