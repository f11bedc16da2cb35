//! One museum on one server: made by psql from the SQL files, dumped and restored as the worker does it, taken down again.

use super::portrait::Portrait;
use crate::servers::{Server, restore_task};
use crate::support::{Bucket, Database, context, dump_task, dump_with, unique};
use sennight::domain::job::{CopySummary, CutoverTask, Done, DumpTask};
use sennight::domain::names::{kept_database, new_database};
use sennight::engine::postgres::ident;
use sennight::store::Store;
use sennight::worker::{TaskError, cutover, prepare};

/// The files in their order, and the first major that knows what is in them.
const FILES: [(&str, i32); 6] =
    [("types", 13), ("tables", 13), ("code", 13), ("since17", 17), ("since18", 18), ("settings", 13)];

/// A collation of the database's own.
const RULED: &str = " TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'und' ICU_RULES '&V << w <<< W'";

/// A museum, and the names that are its own on the server.
pub struct Exhibit {
    pub server: Server,
    pub database: Database,
    pub store: Store,
    bucket: Bucket,
    request_uid: String,
    id: String,
}

impl Exhibit {
    /// Makes it.
    pub async fn open(server: Server) -> Self {
        let id = unique("");
        let name = format!("host=x \"museum\" é {id}");
        let exhibit = Self {
            database: Database::on(server.port, &name),
            server,
            bucket: Bucket::create().await,
            store: Bucket::create().await.store().await,
            request_uid: format!("{}-aaaa-4bbb-8ccc-{}", &id[..8], &id[4..16]),
            id,
        };
        let exhibit = Self { store: exhibit.bucket.store().await, ..exhibit };
        let mut statements: Vec<String> = exhibit.roles().iter().map(|r| format!("CREATE ROLE {}", ident(r))).collect();
        statements.extend([
            "SET allow_in_place_tablespaces = on".to_owned(),
            format!("CREATE TABLESPACE {} LOCATION ''", exhibit.space()),
            format!("CREATE DATABASE {}{}", ident(&name), if exhibit.server.major >= 17 { RULED } else { "" }),
        ]);
        exhibit.admin(&statements).await;
        for (file, since) in FILES {
            if exhibit.server.major >= since {
                exhibit.psql(file);
            }
        }
        exhibit
    }

    fn roles(&self) -> [String; 3] {
        let id = &self.id;
        [format!("owner_{id}"), format!("reader_{id}"), format!("odd \"role\" {id}")]
    }

    fn space(&self) -> String {
        format!("space_{}", self.id)
    }

    fn psql(&self, file: &str) {
        let [owner, reader, odd] = self.roles();
        let variables =
            [("owner", owner), ("reader", reader), ("odd", odd), ("space", self.space()), ("db", self.name())];
        let variables: Vec<String> = variables.iter().map(|(name, value)| format!("--set={name}={value}")).collect();
        let path = format!("{}/tests/museum/{file}.sql", env!("CARGO_MANIFEST_DIR"));
        let mut arguments = vec!["-X", "--quiet", "--set=ON_ERROR_STOP=1", "--output=/dev/null", "--file", &path];
        arguments.extend(variables.iter().map(String::as_str));
        self.server.run("psql", &self.name(), &arguments);
    }

    /// The live database's name.
    pub fn name(&self) -> String {
        self.database.target.database.clone()
    }

    /// Statements on the maintenance database, each by itself.
    pub async fn admin(&self, statements: &[String]) {
        let session = Database::on(self.server.port, "postgres").session().await;
        for statement in statements {
            session.batch_execute(statement).await.unwrap_or_else(|e| panic!("{statement}: {e:?}"));
        }
        session.close().await;
    }

    /// What is there now.
    pub async fn portrait(&self) -> Portrait {
        Portrait::of(&self.server, &self.database).await
    }

    fn dump_task(&self) -> DumpTask {
        dump_task("museum", &self.database.target)
    }

    /// A copy of it.
    pub async fn dump(&self) -> CopySummary {
        dump_with(&self.dump_task(), &context(&self.store)).await.unwrap_or_else(|e| panic!("{e}"))
    }

    /// Fills a new database from the copy, as a FullRestore's `prepare` does.
    pub async fn prepare(&self, copy: &CopySummary) -> Result<CutoverTask, TaskError> {
        let task = restore_task(&self.database.target, "museum", copy, &self.request_uid);
        let Done::Prepared { live_oid, new_oid, new_database, .. } = prepare::run(&task, &context(&self.store)).await?
        else {
            panic!("a prepare answered something else")
        };
        Ok(CutoverTask {
            name: "cutover".to_owned(),
            request_uid: self.request_uid.clone(),
            namespace: "tenants".to_owned(),
            database: task.database,
            new_database,
            kept_database: kept_database(&self.name(), &self.request_uid),
            live_oid,
            new_oid,
            undo_of: None,
            start_by: None,
        })
    }

    /// Restores it from the copy under its own name.
    pub async fn restore(&self, copy: &CopySummary) {
        let task = self.prepare(copy).await.unwrap_or_else(|e| panic!("PostgreSQL {}: {e}", self.server.major));
        cutover::run(&task, &context(&self.store)).await.unwrap_or_else(|e| panic!("{e}"));
    }

    /// Leaves nothing on the server.
    pub async fn close(self) {
        let kept = kept_database(&self.name(), &self.request_uid);
        let new = new_database(&self.name(), &self.request_uid);
        let mut statements: Vec<String> = [self.name(), kept, new]
            .iter()
            .map(|name| format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", ident(name)))
            .collect();
        statements.push(format!("DROP TABLESPACE {}", self.space()));
        statements.extend(self.roles().iter().map(|r| format!("DROP ROLE {}", ident(r))));
        self.admin(&statements).await;
    }
}
