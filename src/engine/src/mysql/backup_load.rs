//! Loads a backup into an empty MySQL or MariaDB database, then reads every table's rows back and compares them. Events
//! stay switched off.

use super::connect::{Session, connect};
use super::digest::Digest;
use super::inventory::{Inventory, TableInfo};
use super::load::{Definers, LoadError, LoadMethod, apply, rows};
use super::preflight_report::script;
use super::schema::{Section, Statement};
use crate::restore::{BackupReader, LoadProgress};
use futures::TryStreamExt;
use futures::future::try_join_all;
use parking_lot::Mutex;
use sennight_core::manifest::{Manifest, Table};
use sennight_core::progress::Stage;
use sennight_protocol::report::TaskError;
use sennight_protocol::target::DatabaseTarget;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Below this many bytes of rows, a second connection would cost more than it brings.
const SMALL: i64 = 16 << 20;
/// More connections than this only wait for the server's log.
const MAX_CONNECTIONS: i32 = 8;

/// What to load, and where.
pub struct MySQLLoad<'a> {
    /// The backup.
    pub backup: &'a dyn BackupReader,
    /// The server; its database field is not used.
    pub target: &'a DatabaseTarget,
    /// Name of the empty database.
    pub database: &'a str,
    /// `program_name` of the sessions.
    pub application: &'a str,
    /// Connections that write rows.
    pub parallelism: i32,
    /// How rows are written; `None` is the fastest method that the server allows.
    pub method: Option<LoadMethod>,
    /// Account that views, routines, triggers and events run as.
    pub definers: Definers,
    /// Counts bytes, rows and tables.
    pub progress: &'a dyn LoadProgress,
}

impl MySQLLoad<'_> {
    /// Loads everything. Returns the statements that switch events on, for the moment when the database goes into service.
    pub async fn run(&self) -> Result<Vec<Statement>, TaskError> {
        let statements = self.load_tables().await?;
        self.create_code(statements).await
    }

    /// The first half: tables and their rows, compared. Returns the backup's script for [`MySQLLoad::create_code`].
    pub async fn load_tables(&self) -> Result<Vec<Statement>, TaskError> {
        self.check_engine()?;
        let statements = script(self.backup).await?;
        let mut session = self.connect().await?;
        let existing = Inventory::read(&mut session).await?;
        if !(existing.tables.is_empty() && existing.views.is_empty() && existing.sequences.is_empty()) {
            let message =
                format!("the database {:?} is not empty: nothing is loaded over what is there", self.database);
            return Err(TaskError::refused("DatabaseNotEmpty", message));
        }
        apply(&mut session, &statements, Section::Before, self.definers).await?;
        let inventory = Inventory::read(&mut session).await?;
        self.same_tables(&inventory)?;
        let sent = self.rows(&inventory).await?;
        self.progress.stage(Stage::Comparing);
        self.compare(&inventory, &sent).await?;
        session.close().await;
        Ok(statements)
    }

    /// The second half: routines, views, triggers and events.
    pub async fn create_code(&self, statements: Vec<Statement>) -> Result<Vec<Statement>, TaskError> {
        let mut session = self.connect().await?;
        apply(&mut session, &statements, Section::After, self.definers).await?;
        session.close().await;
        Ok(statements.into_iter().filter(|s| s.section == Section::Last).collect())
    }

    fn manifest(&self) -> &Manifest {
        self.backup.manifest()
    }

    fn check_engine(&self) -> Result<(), TaskError> {
        let engine = self.manifest().identity.engine;
        if engine != self.target.engine {
            let message = format!("a backup of {engine} cannot be loaded into {}", self.target.engine);
            return Err(TaskError::refused("EngineUnsupported", message));
        }
        if self.manifest().encryption.is_some() {
            let message = "the backup is encrypted by a later version of Sennight: restore it with that one";
            return Err(TaskError::refused("BackupEncrypted", message));
        }
        Ok(())
    }

    async fn connect(&self) -> Result<Session, TaskError> {
        let session = connect(self.target, self.database, self.application).await?;
        let (backup, server) = (self.manifest().server.major, session.version().major);
        if server < backup {
            let message = format!(
                "the backup is of {}, the server is older: {}",
                self.manifest().server.version,
                session.version()
            );
            return Err(TaskError::refused("ServerTooOld", message));
        }
        Ok(session)
    }

    /// Fails unless the script created the tables that the manifest lists, with the same columns.
    fn same_tables(&self, inventory: &Inventory) -> Result<(), TaskError> {
        let columns = |t: &TableInfo| -> Vec<String> { t.columns.iter().map(|c| c.column.name.clone()).collect() };
        let here: BTreeMap<&str, Vec<String>> =
            inventory.tables.iter().map(|t| (t.name.as_str(), columns(t))).collect();
        let listed = |t: &Table| -> Vec<String> { t.columns.iter().map(|c| c.name.clone()).collect() };
        let differs = self.manifest().tables.iter().find(|t| here.get(t.name.as_str()) != Some(&listed(t)));
        if differs.is_none() && here.len() == self.manifest().tables.len() {
            return Ok(());
        }
        let which = differs.map_or("one that the manifest does not list", |t| t.name.as_str());
        Err(TaskError::refused(
            "TablesDiffer",
            format!("the backup's script does not make the backup's tables: {which}"),
        ))
    }

    /// Sends every table's rows. Returns a digest of what was sent, by table.
    async fn rows(&self, inventory: &Inventory) -> Result<BTreeMap<String, Digest>, TaskError> {
        self.progress.expect_backup(&self.manifest().totals);
        let bytes = |t: &&Table| t.frames.iter().map(|f| f.raw_length).sum::<i64>();
        let mut queue: Vec<&Table> = self.manifest().tables.iter().collect();
        queue.sort_by_key(bytes);
        let (queue, sent) = (Mutex::new(queue), Mutex::new(BTreeMap::new()));
        let next = || queue.lock().pop();
        let loaders = (0..self.connections()).map(|_| async {
            let mut session = self.connect().await?;
            while let Some(table) = next() {
                let digest = self.table(&mut session, table).await?;
                sent.lock().insert(table.name.clone(), digest);
                self.progress.tables(1);
            }
            session.close().await;
            Ok::<_, TaskError>(())
        });
        try_join_all(loaders).await?;
        let sent = sent.into_inner();
        debug_assert_eq!(sent.len(), inventory.tables.len());
        Ok(sent)
    }

    fn connections(&self) -> i32 {
        if self.manifest().totals.raw_bytes < SMALL { 1 } else { self.parallelism.clamp(1, MAX_CONNECTIONS) }
    }

    async fn table(&self, session: &mut Session, table: &Table) -> Result<Digest, TaskError> {
        let digest = Arc::new(Mutex::new(Digest::default()));
        let sent = digest.clone();
        let frames = self.backup.rows(table).inspect_ok(move |raw| {
            sent.lock().add(raw);
        });
        let method = self.method.unwrap_or_else(|| LoadMethod::of(session));
        let taken = rows(session, table, method, frames).await.map_err(|error| match error {
            LoadError::Source(error) => error,
            LoadError::Engine(error) => TaskError::from(error),
        })?;
        if taken != table.rows {
            return Err(differ(&table.name, &format!("{taken} rows went in, the backup has {}", table.rows)));
        }
        self.progress.add(table.frames.iter().map(|f| f.raw_length).sum(), taken);
        let digest = *digest.lock();
        Ok(digest)
    }

    /// Reads every table back and compares its digest with what was sent.
    async fn compare(&self, inventory: &Inventory, sent: &BTreeMap<String, Digest>) -> Result<(), TaskError> {
        let queue = Mutex::new(inventory.tables.iter().collect::<Vec<_>>());
        let next = || queue.lock().pop();
        let readers = (0..self.connections()).map(|_| async {
            let mut session = self.connect().await?;
            while let Some(table) = next() {
                let found = Digest::of(&mut session, table).await?;
                let expected = sent.get(&table.name).copied().unwrap_or_default();
                if found != expected {
                    let why =
                        format!("it has {} rows, the backup {}, or other values in them", found.rows, expected.rows);
                    return Err(differ(&table.name, &why));
                }
            }
            session.close().await;
            Ok::<_, TaskError>(())
        });
        try_join_all(readers).await.map(|_| ())
    }
}

fn differ(table: &str, why: &str) -> TaskError {
    TaskError::refused("RowsDiffer", format!("{table} is not as it was copied: {why}"))
}
