//! One tenant for many restores in a row: a backup that says "copied", a live database that says "live", and a new
//! request's UID for each.

use crate::clients::{Clients, SELDOM};
use sennight_core::result::BackupSummary;
use sennight_engine::postgres::ident;
use sennight_protocol::cutover::CutoverTask;
use sennight_protocol::drop_database::{DatabaseToDrop, DropDatabaseTask, Mark};
use sennight_worker::drop_database;
use std::time::Duration;
use testkit::env;
use testkit::postgres::restore::PostgresRestore;

pub struct Tenant {
    pub restore: PostgresRestore,
    pub backup: BackupSummary,
    pub clients: Clients,
}

impl Tenant {
    pub async fn new(name: &str) -> Self {
        Self::with_clients(name, SELDOM).await
    }

    /// Whose clients pause so long between two statements.
    pub async fn with_clients(name: &str, pause: Duration) -> Self {
        assert!(!env("SENNIGHT_TEST_PG_HOST").is_empty());
        let restore = PostgresRestore::new(name).await;
        let sql = "CREATE TABLE public.a (v text PRIMARY KEY); CREATE TABLE public.b (v text);
            CREATE TABLE public.w (n bigint PRIMARY KEY); CREATE SEQUENCE public.s; CREATE VIEW public.c AS SELECT 1 AS one;
            GRANT SELECT ON public.a, public.b TO PUBLIC; GRANT SELECT, INSERT ON public.w TO PUBLIC;
            INSERT INTO public.a VALUES ('copied'); INSERT INTO public.b VALUES ('copied')";
        restore.sql_as("owner", &restore.database, sql).await;
        let settings = format!(
            "ALTER DATABASE {db} SET work_mem = '7MB'; ALTER ROLE {app} IN DATABASE {db} SET statement_timeout = '55s'",
            db = ident(&restore.database),
            app = ident(&restore.role("app"))
        );
        for statement in settings.split(';') {
            restore.sql("postgres", statement).await;
        }
        let backup = restore.dump().await;
        live(&restore).await;
        let clients = Clients::start(&restore.target("app"), pause);
        clients.answered().await;
        Self { restore, backup, clients }
    }

    /// A new request: what was restored before becomes the live data that the next one replaces.
    pub async fn next(&mut self) {
        self.restore.uid = new_uid();
        live(&self.restore).await;
    }

    /// What the operator clears after a request that swapped nothing: all that it left on the server.
    pub async fn dropped(&self, task: &CutoverTask) {
        let task_to_drop = DropDatabaseTask {
            name: "drop-database".to_owned(),
            request_uid: task.request_uid.clone(),
            database: task.database.clone(),
            identity: None,
            database_to_drop: DatabaseToDrop { name: task.new_database.clone(), number: None, mark: Mark::Restore },
            safety_backup: None,
        };
        drop_database::run(&task_to_drop, &self.restore.context("drop-database", "pod")).await.unwrap();
        let left = format!(
            "SELECT string_agg(datname, ',') FROM pg_database WHERE shobj_description(oid, 'pg_database') LIKE '%{}'",
            task.request_uid
        );
        assert_eq!(self.restore.value("postgres", &left).await, None, "something is left");
    }

    /// Every acknowledged write is in the live database or in the kept one.
    pub async fn nothing_lost(&self, kept: Option<&str>) {
        let mut wanted = self.clients.acknowledged();
        for database in std::iter::once(self.restore.database.as_str()).chain(kept) {
            let session = self.restore.session("super", database).await;
            let rows = session.query("SELECT n FROM public.w WHERE n = ANY($1)", &[&wanted]).await.unwrap();
            let found: std::collections::HashSet<i64> = rows.iter().map(|row| row.get(0)).collect();
            wanted.retain(|n| !found.contains(n));
            session.close().await;
        }
        assert!(
            wanted.is_empty(),
            "{} acknowledged writes are nowhere: {:?}",
            wanted.len(),
            &wanted[..wanted.len().min(9)]
        );
    }

    /// Drops a database of an earlier case.
    pub async fn drop(&self, database: &str) {
        self.restore.sql("postgres", &format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", ident(database))).await;
    }
}

/// UID of a new request.
pub fn new_uid() -> String {
    format!("{:08x}-aaaa-4bbb-8ccc-{:012x}", rand::random::<u32>(), rand::random::<u32>())
}

async fn live(restore: &PostgresRestore) {
    restore
        .sql(&restore.database, "BEGIN; UPDATE public.a SET v = 'live'; UPDATE public.b SET v = 'live'; COMMIT")
        .await;
}
