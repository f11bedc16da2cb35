//! Loads a backup into an empty PostgreSQL database: schema, rows, indexes and constraints. Each step is checked before the
//! next one. `prepare` and drills use it; a drill leaves owners and grants out.

use super::archive::{Archive, Doors, Section};
use super::connect::{Login, Session, connect, connect_as, open_raw};
use super::error::EngineError;
use super::loading_role::{LoadingRole, Owners};
use super::raw_session::RawSession;
use super::relay::Relay;
use super::restore_plan::{self, PlanInputs, RestorePlan, Runner};
use super::script::Needs;
use super::tools::{Access, Tools};
use super::{backup_rows, compare, grants_text, handover, hooks, load, swap};
use crate::restore::LoadRequest;
use futures::future::try_join_all;
use sennight_core::progress::Stage;
use sennight_core::result::HookRun;
use sennight_protocol::report::TaskError;
use std::collections::BTreeSet;
use std::path::PathBuf;

/// Memory in KiB for each connection that builds indexes, if the server gives less: twice the default saves most indexes
/// from a sort on disk, and does not burden a shared server.
const SORT_KIB: i64 = 128 << 10;

/// A backup's schema archive in a private directory, and what is in it.
pub struct Fetched {
    tools: Tools,
    access: Access,
    file: PathBuf,
    contents: String,
    needs: Needs,
    grantors: Vec<String>,
}

impl Fetched {
    /// Fetches the archive and reads its table of contents, without a way to any server.
    pub async fn new(request: &LoadRequest<'_>, server_major: i32) -> Result<Self, TaskError> {
        let tools = Tools::find(server_major)?;
        tools.check("pg_restore").await?;
        let access = Access::none()?;
        let file = access.dir().join("schema");
        request.backup.fetch_schema(&file).await?;
        let archive = Archive { tools: &tools, access: &access, file: &file, owners: true };
        let (contents, needs) = (archive.contents().await?, archive.needs().await?);
        let grantors = grants_text::grantors(&archive.grants(&contents).await?);
        Ok(Self { tools, access, file, contents, needs, grantors })
    }

    /// The roles that own something in the archive, or in whose name a grant in it was given.
    pub fn owners(&self, roles: &[String]) -> Vec<String> {
        let owners = restore_plan::owners(&self.contents, roles);
        let all: BTreeSet<String> = owners.into_iter().chain(self.grantors.iter().cloned()).collect();
        all.into_iter().collect()
    }

    /// Tablespaces that single tables and indexes lie in.
    pub fn tablespaces(&self) -> &BTreeSet<String> {
        &self.needs.tablespaces
    }

    fn archive(&self, owners: bool) -> Archive<'_> {
        Archive { tools: &self.tools, access: &self.access, file: &self.file, owners }
    }
}

/// How many sessions the loading role needs at once.
pub fn sessions(request: &LoadRequest<'_>) -> usize {
    let rows = backup_rows::connections(request.task, request.backup.manifest());
    usize::try_from(rows).unwrap_or(1) + relayed(request)
}

/// `pg_restore --jobs=N` opens N connections beside its own, and its own once more.
fn relayed(request: &LoadRequest<'_>) -> usize {
    usize::try_from(request.task.parallelism.max(1)).unwrap_or(1) + 2
}

/// All sessions on the new database. They are opened before the first object of the tenant exists.
pub struct Sessions {
    rows: Vec<Session>,
    relayed: Vec<RawSession>,
    restore_role: Session,
    restore_role_relayed: RawSession,
}

impl Sessions {
    /// Opens them. The loading role's login can be closed afterwards. `expressions`: settings that the tenant's expressions read.
    pub async fn open(
        request: &LoadRequest<'_>,
        role: &LoadingRole,
        expressions: &[(&str, &str)],
    ) -> Result<Self, EngineError> {
        let (target, name, application) = (&request.task.database, request.database, request.application);
        let login = Login::As(&role.credentials);
        let restore_role = connect(target, name, application).await?;
        let sort = format!("{SORT_KIB}kB");
        let mut settings = relayed_settings(restore_role.server_major(), sorts_in(&restore_role).await?, &sort);
        settings.extend(expressions);
        let rows = backup_rows::connections(request.task, request.backup.manifest());
        Ok(Self {
            rows: try_join_all((0..rows).map(|_| connect_as(target, login, name, application, expressions))).await?,
            relayed: try_join_all((0..relayed(request)).map(|_| open_raw(target, login, name, application, &settings)))
                .await?,
            restore_role_relayed: open_raw(target, Login::Own, name, application, &[]).await?,
            restore_role,
        })
    }
}

/// Settings of sessions for `pg_restore` beside those of its rights. They wait for their turn, which no timeout may end.
fn relayed_settings(server_major: i32, sorts_in: i64, sort: &str) -> Vec<(&str, &str)> {
    let mut settings =
        vec![("statement_timeout", "0"), ("lock_timeout", "0"), ("idle_in_transaction_session_timeout", "0")];
    if server_major >= 14 {
        settings.push(("idle_session_timeout", "0"));
        // The server notices within seconds that a killed worker's query has no client any more.
        settings.push(("client_connection_check_interval", "10000"));
    }
    if server_major >= 17 {
        settings.push(("transaction_timeout", "0"));
    }
    if sorts_in < SORT_KIB {
        settings.push(("maintenance_work_mem", sort));
    }
    settings
}

/// A load: the backup, the archive, in whose name, and through which sessions.
pub struct Load<'a> {
    /// What is loaded, and where.
    pub request: &'a LoadRequest<'a>,
    /// The archive.
    pub fetched: &'a Fetched,
    /// The role that loads.
    pub role: &'a LoadingRole,
    /// Who it may be.
    pub owners: &'a Owners,
    /// The live database's owner; `None` leaves owners and grants out, as a drill does.
    pub live_owner: Option<&'a str>,
}

/// The two ways of `pg_restore` to the new database. They go when the value does.
struct Ways {
    loader: Access,
    restore_role: Access,
    _relays: [Relay; 2],
}

impl Ways {
    fn doors(&self) -> Doors<'_> {
        Doors { loader: &self.loader, restore_role: &self.restore_role }
    }
}

impl Load<'_> {
    /// Loads everything and runs the restore hooks.
    pub async fn run(&self, sessions: Sessions) -> Result<Vec<HookRun>, TaskError> {
        let manifest = self.request.backup.manifest();
        let Sessions { rows, relayed, restore_role, restore_role_relayed } = sessions;
        let major = restore_role.server_major();
        let ways = self.ways(relayed, restore_role_relayed, major)?;
        let all: Vec<&Session> = rows.iter().collect();
        let Some(session) = all.first().copied() else { return Err(TaskError::cancelled()) };
        let plan = self.definitions(ways.doors(), session, &restore_role).await?;
        compare::tables(session, manifest).await?;
        self.archive().run_all(ways.doors(), "pg_restore of sequences and large objects", &plan.data).await?;
        compare::set_sequences(session, &manifest.sequences).await?;
        let routes = load::routes(session).await?;
        let counted = backup_rows::load(self.request, &routes, &all).await?;
        let progress = self.request.progress;
        progress.stage(Stage::Comparing);
        compare::rows(&all, &manifest.tables, &routes, &counted).await?;
        compare::sequences(session, &manifest.sequences).await?;
        // From here on a tenant's grants and policies may hide rows from the loading role: everything was compared before.
        progress.stage(Stage::Indexes);
        self.indexes(ways.doors(), session, &restore_role, &plan).await?;
        // Before triggers, rules and policies exist: they could keep a hook from doing what it says.
        progress.stage(Stage::Hooks);
        let ran = hooks::run_all(self.request, session).await?;
        progress.stage(Stage::Indexes);
        let (archive, jobs) = (self.archive(), self.request.task.parallelism);
        archive.build(ways.doors(), session, &plan.after_hooks, jobs).await?;
        compare::indexes(session).await?;
        progress.stage(Stage::Statistics);
        load::analyze(&all).await?;
        if let Some(owner) = self.live_owner {
            handover::of_the_loader(session, self.role, owner).await?;
            handover::of_stand_ins(&restore_role, self.role).await?;
        }
        handover::close_public(&restore_role, self.role).await?;
        archive.run_all(ways.doors(), "pg_restore of comments", &plan.comments).await?;
        archive.run_all(ways.doors(), "pg_restore of what only the restore role may make", &plan.last).await?;
        drop(ways);
        for session in rows.into_iter().chain([restore_role]) {
            session.close().await;
        }
        Ok(ran)
    }

    fn archive(&self) -> Archive<'_> {
        self.fetched.archive(self.live_owner.is_some())
    }

    fn ways(&self, relayed: Vec<RawSession>, own: RawSession, server_major: i32) -> Result<Ways, EngineError> {
        let loader = Access::through_relay(self.request.database, &self.role.credentials.username)?;
        // Only for messages: the relay logs nobody in.
        let restore_role = Access::through_relay(self.request.database, "restore_role")?;
        let relays = [
            Relay::start(loader.dir(), relayed, server_major)?,
            Relay::start(restore_role.dir(), vec![own], server_major)?,
        ];
        Ok(Ways { loader, restore_role, _relays: relays })
    }

    /// Schemas, extensions, then types, functions and tables. Grants wait: an owner who revoked their own INSERT could not be
    /// loaded.
    async fn definitions(
        &self,
        doors: Doors<'_>,
        session: &Session,
        restore_role: &Session,
    ) -> Result<RestorePlan, EngineError> {
        let archive = self.archive();
        let (data, last) = (archive.section(Section::Data).await?, archive.section(Section::PostData).await?);
        let mut facts = PlanInputs {
            stand_ins: self.role.stand_ins.clone(),
            roles: self.request.backup.manifest().roles.clone(),
            superuser: self.fetched.needs.superuser_entries.clone(),
            of_extensions: BTreeSet::new(),
            restore_role_is_superuser: swap::is_superuser(restore_role).await?,
        };
        if self.live_owner.is_none() {
            facts.stand_ins.clear();
        }
        let contents = &self.fetched.contents;
        let plan = restore_plan::plan(contents, &data, &last, &facts);
        handover::open_public(restore_role, self.role, self.owners).await?;
        archive.run_all(doors, "pg_restore of schemas", &plan.schemas).await?;
        archive.run_all(doors, "pg_restore of extensions", &plan.extensions).await?;
        facts.of_extensions = handover::tables_of_extensions(restore_role).await?;
        let plan = restore_plan::plan(contents, &data, &last, &facts);
        archive.run_all(doors, "pg_restore of extensions' configuration", &plan.configuration).await?;
        handover::open_schemas(session, self.role, self.owners).await?;
        handover::open_wrappers(restore_role, self.role, self.owners).await?;
        for run in plan.definitions.chunks(1) {
            archive.run_all(doors, "pg_restore of the schema", run).await?;
            if run.iter().any(|run| run.runner == Runner::RestoreRole) {
                // It may have made a wrapper.
                handover::open_wrappers(restore_role, self.role, self.owners).await?;
            }
        }
        Ok(plan)
    }

    /// Grants, then indexes and constraints. Materialised views are filled later, by owners who need the grants.
    async fn indexes(
        &self,
        doors: Doors<'_>,
        session: &Session,
        restore_role: &Session,
        plan: &RestorePlan,
    ) -> Result<(), EngineError> {
        let archive = self.archive();
        archive.run_all(doors, "pg_restore of statistics objects", &plan.statistics).await?;
        handover::close_schemas(session, self.role, self.owners).await?;
        handover::close_wrappers(restore_role, self.role, self.owners).await?;
        handover::owners_leave_public(restore_role, self.owners).await?;
        archive.run_all(doors, "pg_restore of the schema public", &plan.public).await?;
        if self.live_owner.is_some() {
            archive.run_all(doors, "pg_restore of the grants", &plan.grants).await?;
        }
        archive.build(doors, session, &plan.before_hooks, self.request.task.parallelism).await
    }
}

/// The server's `maintenance_work_mem`, in KiB.
async fn sorts_in(session: &Session) -> Result<i64, EngineError> {
    const ASK: &str = "SELECT setting::pg_catalog.int8 FROM pg_catalog.pg_settings WHERE name = 'maintenance_work_mem'";
    let failed = |e| EngineError::query("asking how much memory sorts get", e);
    session.query_one(ASK, &[]).await.map_err(failed)?.try_get(0).map_err(failed)
}
