//! A tenant's database with its accounts, a restore account with the rights that docs/mysql.md names, and a request.

use crate::mysql::{Database, Seen, Server};
use crate::{Bucket, backup_ref, context, dump_task, unique};
use sennight_core::engine::EngineKind;
use sennight_core::names::{new_database, previous_database};
use sennight_core::result::{BackupSummary, Done, Preflight};
use sennight_engine::mysql::schemas::swap_state;
use sennight_engine::mysql::{connect, ident};
use sennight_engine::restore::SwapState;
use sennight_protocol::backup::SafetyBackupTask;
use sennight_protocol::cutover::CutoverTask;
use sennight_protocol::drop_database::{DatabaseToDrop, DropDatabaseTask, Mark};
use sennight_protocol::restore::RestoreTask;
use sennight_protocol::target::DatabaseTarget;
use sennight_storage::Store;
use sennight_worker::{
    TaskError, WorkerContext, cutover, drop_database, preflight, preflight_undo, prepare, recover_cutover,
    safety_backup,
};
use std::fmt::Write as _;

pub const PASSWORD: &str = "pass-word";

pub struct MysqlRestore {
    pub live: Database,
    pub store: Store,
    _bucket: Bucket,
    /// The request's UID.
    pub uid: String,
    /// The restore account's name.
    pub restore: String,
    /// The tenant's own account, with all rights on its database.
    pub app: String,
    /// An administrator, whom no fence holds.
    pub admin: String,
    restorer: Seen,
}

/// What docs/mysql.md says that a restore account needs.
fn rights(engine: EngineKind) -> &'static str {
    match engine {
        EngineKind::MySQL => {
            "SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, ALTER, INDEX, REFERENCES, CREATE VIEW, SHOW VIEW, CREATE ROUTINE, ALTER ROUTINE,
             EXECUTE, TRIGGER, EVENT, LOCK TABLES, CREATE USER, PROCESS, REPLICATION CLIENT, CONNECTION_ADMIN, SET_ANY_DEFINER, SYSTEM_USER, XA_RECOVER_ADMIN"
        }
        _ => {
            "SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, ALTER, INDEX, REFERENCES, CREATE VIEW, SHOW VIEW, CREATE ROUTINE, ALTER ROUTINE,
             EXECUTE, TRIGGER, EVENT, LOCK TABLES, CREATE USER, PROCESS, CONNECTION ADMIN, SET USER, BINLOG MONITOR, SLAVE MONITOR"
        }
    }
}

fn new_uid() -> String {
    format!("{:08x}-aaaa-4bbb-8ccc-{:012x}", rand::random::<u32>(), rand::random::<u32>())
}

impl MysqlRestore {
    pub async fn new(live: Database) -> Self {
        let [restore, app, admin] = ["r", "a", "s"].map(unique);
        let (engine, on) = (live.server.engine, ident(&live.name()));
        let mut script = String::new();
        for user in [&restore, &app, &admin] {
            let _ = write!(script, "CREATE USER '{user}'@'127.0.0.1' IDENTIFIED BY '{PASSWORD}';");
        }
        let _ = write!(
            script,
            "GRANT {} ON *.* TO '{restore}'@'127.0.0.1'; GRANT ALL ON {on}.* TO '{app}'@'127.0.0.1';
             GRANT SELECT, CREATE USER ON *.* TO '{admin}'@'127.0.0.1';",
            rights(engine)
        );
        // Triggers are made by an account without SUPER, and the server has a binary log.
        script += "SET GLOBAL log_bin_trust_function_creators = 1, GLOBAL local_infile = 1;";
        live.run(&script);
        let bucket = Bucket::signed().await;
        let store = bucket.store().await;
        let restorer = live.seen_by(&restore, PASSWORD);
        Self { store, _bucket: bucket, uid: new_uid(), restore, app, admin, restorer, live }
    }

    pub async fn on(server: &Server) -> Self {
        Self::new(Database::create(server)).await
    }

    /// Another request.
    pub fn next(&mut self) {
        self.uid = new_uid();
    }

    pub fn context(&self, job: &str) -> WorkerContext {
        WorkerContext { job_uid: job.to_owned(), ..context(&self.store) }
    }

    pub async fn dump(&self) -> BackupSummary {
        self.live.dump(&self.store).await.unwrap_or_else(|e| panic!("{}: {e}", self.live.server.name))
    }

    /// The live database as the restore account reaches it.
    pub fn target(&self) -> DatabaseTarget {
        self.restorer.target.clone()
    }

    pub fn restore_task(&self, backup: &BackupSummary) -> RestoreTask {
        RestoreTask {
            name: "restore".to_owned(),
            request_uid: self.uid.clone(),
            identity: self.live.dump_task().identity,
            backup: backup_ref(backup),
            database: self.target(),
            parallelism: 2,
            headroom_bytes: None,
            allow_shared_owners: true,
            hooks_dir: None,
        }
    }

    pub fn new_database(&self) -> String {
        new_database(&self.live.name(), &self.uid)
    }

    pub async fn preflight(&self, task: &RestoreTask) -> Preflight {
        match preflight::run(task, &self.context("preflight")).await.unwrap() {
            Done::Preflighted(found) => found,
            other => panic!("{other:?}"),
        }
    }

    /// Reasons why a restore would not work.
    pub async fn refusals(&self, backup: &BackupSummary) -> Vec<String> {
        self.preflight(&self.restore_task(backup)).await.refusals.into_iter().map(|r| r.reason).collect()
    }

    pub async fn prepare(&self, task: &RestoreTask) -> Result<CutoverTask, TaskError> {
        let Done::Prepared { live_number, new_number, new_database, .. } =
            prepare::run(task, &self.context("prepare")).await?
        else {
            panic!("not prepared")
        };
        Ok(CutoverTask {
            name: "cutover".to_owned(),
            request_uid: self.uid.clone(),
            namespace: "tenants".to_owned(),
            database: self.target(),
            new_database,
            previous_database: previous_database(&self.live.name(), &self.uid),
            live_number,
            new_number,
            undo_of: None,
            start_by: None,
        })
    }

    /// The task that takes `done` back, for a new request.
    pub fn undo(&mut self, done: &CutoverTask) -> CutoverTask {
        self.next();
        CutoverTask {
            request_uid: self.uid.clone(),
            new_database: done.previous_database.clone(),
            previous_database: previous_database(&self.live.name(), &self.uid),
            live_number: done.new_number,
            new_number: done.live_number,
            undo_of: Some(done.request_uid.clone()),
            ..done.clone()
        }
    }

    pub async fn undoable(&self, task: &CutoverTask) -> Preflight {
        match preflight_undo::run(task, &self.context("preflight-undo")).await.unwrap() {
            Done::Preflighted(found) => found,
            other => panic!("{other:?}"),
        }
    }

    pub async fn cutover(&self, task: &CutoverTask, job: &str) -> Result<Done, TaskError> {
        cutover::run(task, &self.context(job)).await
    }

    pub async fn recover_cutover(&self, task: &CutoverTask, job: &str) -> Result<Done, TaskError> {
        recover_cutover::run(task, &self.context(job)).await
    }

    pub async fn standing(&self, task: &CutoverTask) -> SwapState {
        let mut session = connect(&self.target(), "", "test").await.unwrap();
        let found = swap_state(&mut session, task).await.unwrap();
        session.close().await;
        found
    }

    /// Dumps what a swap kept.
    pub async fn safety(&self, task: &CutoverTask) -> Result<BackupSummary, TaskError> {
        let kept = DatabaseTarget { database: task.previous_database.clone(), ..self.live.target.clone() };
        let mut dump = dump_task("acme", &kept);
        dump.identity = self.live.dump_task().identity;
        let safety = SafetyBackupTask {
            name: "safety-backup".to_owned(),
            request_uid: task.request_uid.clone(),
            previous_number: task.live_number,
            dump,
            restore_credentials_dir: self.target().credentials_dir,
        };
        match safety_backup::run(&safety, &self.context("safety-backup")).await? {
            Done::Dumped(backup) => Ok(backup),
            other => panic!("{other:?}"),
        }
    }

    pub async fn clear(&self, task: &DropDatabaseTask) -> Result<Option<String>, TaskError> {
        match drop_database::run(task, &self.context("drop-database")).await? {
            Done::DatabaseDropped(cleared) => Ok(cleared.database),
            other => panic!("{other:?}"),
        }
    }

    pub fn clear_kept(&self, task: &CutoverTask, safety: Option<&BackupSummary>) -> DropDatabaseTask {
        let to_drop = DatabaseToDrop {
            name: task.previous_database.clone(),
            number: Some(task.live_number),
            mark: Mark::Previous,
        };
        self.dropping(&task.request_uid, to_drop, safety)
    }

    pub fn clear_new(&self) -> DropDatabaseTask {
        let to_drop = DatabaseToDrop { name: self.new_database(), number: None, mark: Mark::Restore };
        self.dropping(&self.uid, to_drop, None)
    }

    fn dropping(&self, uid: &str, to_drop: DatabaseToDrop, safety: Option<&BackupSummary>) -> DropDatabaseTask {
        DropDatabaseTask {
            name: "drop-database".to_owned(),
            request_uid: uid.to_owned(),
            database: self.target(),
            database_to_drop: to_drop,
            identity: None,
            safety_backup: safety.map(backup_ref),
        }
    }

    /// First column of every row, as the superuser.
    pub async fn list(&self, query: &str) -> Vec<String> {
        let mut session = self.live.session().await;
        let rows: Vec<(Option<String>,)> = session.rows(query, "test").await.unwrap_or_else(|e| panic!("{query}: {e}"));
        session.close().await;
        rows.into_iter().map(|(text,)| text.unwrap_or_default()).collect()
    }

    pub async fn value(&self, query: &str) -> String {
        self.list(query).await.into_iter().next().unwrap_or_default()
    }

    /// Schemas beside the live one.
    pub async fn beside(&self) -> Vec<String> {
        let name = self.live.name();
        self.list(&format!(
            "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA WHERE LEFT(SCHEMA_NAME, {}) = '{name}__'",
            name.len() + 2
        ))
        .await
    }

    /// Whether an account can log in.
    pub async fn locked(&self, user: &str) -> bool {
        let query = match self.live.server.engine {
            EngineKind::MySQL => format!("SELECT account_locked FROM mysql.user WHERE User = '{user}'"),
            _ => format!(
                "SELECT IF(COALESCE(JSON_VALUE(Priv, '$.account_locked'), '0') IN ('1', 'true'), 'Y', 'N') FROM mysql.global_priv WHERE User = '{user}'"
            ),
        };
        self.value(&query).await == "Y"
    }

    /// A new database is thrown away with everything around it.
    pub async fn drop_beside(&self) {
        for schema in self.beside().await {
            self.live.run(&format!("SET foreign_key_checks = 0; DROP DATABASE {}", ident(&schema)));
        }
    }
}

impl Drop for MysqlRestore {
    fn drop(&mut self) {
        let name = self.live.name();
        let mut script = String::new();
        for user in [&self.restore, &self.app, &self.admin] {
            let _ = write!(script, "DROP USER IF EXISTS '{user}'@'127.0.0.1';");
        }
        let _ = self.live.server.client("").arg("--execute").arg(&script).status();
        let listed = self
            .live
            .server
            .client("")
            .args(["--skip-column-names", "--execute"])
            .arg(format!("SELECT SCHEMA_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME LIKE '{name}\\_\\_%'"))
            .output();
        for schema in listed.map(|o| String::from_utf8_lossy(&o.stdout).into_owned()).unwrap_or_default().lines() {
            let drop = format!("SET foreign_key_checks = 0; DROP DATABASE {}", ident(schema));
            let _ = self.live.server.client("").arg("--execute").arg(drop).status();
        }
    }
}
