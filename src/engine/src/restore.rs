//! What a restore needs beside the server: the backup, hooks, progress, the journal of a swap. And what every engine says of
//! a swap.

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::stream::BoxStream;
use sennight_core::manifest::{Manifest, Table, Totals};
use sennight_core::progress::Stage;
use sennight_core::result::{DatabaseNumber, HookRun};
use sennight_protocol::report::TaskError;
use sennight_protocol::restore::RestoreTask;
use std::path::Path;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Bytes that an empty database takes for its catalogs; below this, a size says nothing.
const FLOOR: i64 = 64 << 20;

/// Prefix of the UID in a drill's mark; no RestoreRequest's UID begins so.
pub const DRILL: &str = "drill-";

/// The UID that a tenant's drills use for mark and lock.
pub fn drill_uid(tenant: &str) -> String {
    format!("{DRILL}{tenant}")
}

/// A backup that is read back. Every byte that it gives was compared with the manifest.
#[async_trait]
pub trait BackupReader: Send + Sync {
    /// The manifest.
    fn manifest(&self) -> &Manifest;

    /// Writes the schema into `file`.
    async fn fetch_schema(&self, file: &Path) -> Result<(), TaskError>;

    /// The row text of a table, or of the frames that `table` lists, in row order. Ends with the first error.
    fn rows(&self, table: &Table) -> BoxStream<'static, Result<Bytes, TaskError>>;
}

/// What a load says of how far it is.
pub trait LoadProgress: Send + Sync {
    /// Sets all totals, and the stage to rows.
    fn expect_backup(&self, totals: &Totals);
    /// Sets the stage.
    fn stage(&self, stage: Stage);
    /// Adds bytes of row text, and rows.
    fn add(&self, bytes: i64, rows: i64);
    /// Adds finished tables.
    fn tables(&self, tables: i64);
}

/// SQL of the platform team that runs in the new database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// Its key in the ConfigMap or Secret.
    pub name: String,
    /// Its SQL, one or more statements.
    pub sql: String,
}

/// A backup to load, and where.
#[derive(Clone, Copy)]
pub struct LoadRequest<'a> {
    /// Server, tenant, and how many connections.
    pub task: &'a RestoreTask,
    /// The backup.
    pub backup: &'a dyn BackupReader,
    /// Name of the database that is made and filled.
    pub database: &'a str,
    /// Name of the sessions.
    pub application: &'a str,
    /// Hooks, in the order in which they run.
    pub hooks: &'a [Hook],
    /// Is told how far the load is.
    pub progress: &'a dyn LoadProgress,
    /// Ends the load.
    pub cancel: &'a CancellationToken,
}

/// Bytes that the new database may take: 1.5 times what the backed-up one took. Where the backup does not say, four times
/// its row text, because small rows may need that.
pub fn size_limit(manifest: &Manifest) -> i64 {
    let guess = manifest.totals.raw_bytes.saturating_mul(4);
    let expected = manifest.server.database_bytes.unwrap_or(guess).max(FLOOR);
    expected.saturating_add(expected / 2)
}

/// A database that was filled and compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    /// Number of the live database.
    pub live_number: DatabaseNumber,
    /// Number of the new one.
    pub new_number: DatabaseNumber,
    /// The hooks that ran.
    pub hooks: Vec<HookRun>,
}

/// Which database the live name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SwapState {
    /// The old one; the prepared one waits beside it.
    Before,
    /// The restored one: the swap has taken effect.
    After,
    /// Anything else; what was found, as a sentence.
    Neither(String),
}

/// How a swap ended, by what the server says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SwapOutcome {
    /// It took effect, and is complete.
    Forward,
    /// It did not take effect, and never will.
    Back,
    /// Somebody else changed the databases; what was found, as a sentence.
    Neither(String),
}

/// A swap that took effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Swapped {
    /// How long the live name had no database; `None` where another process swapped.
    pub downtime: Option<Duration>,
    /// When it took effect, by the server's clock if it could be asked.
    pub committed_at: DateTime<Utc>,
}

impl Swapped {
    /// A swap that another process made: how long the live name was away is not known.
    pub fn found() -> Self {
        Self { downtime: None, committed_at: Utc::now() }
    }
}

/// Where an engine keeps what another process needs to end its swap: one journal for each request, written once.
#[async_trait]
pub trait JournalStore: Send + Sync {
    /// Writes the journal. An error if there is one already.
    async fn put(&self, request_uid: &str, journal: serde_json::Value) -> Result<(), TaskError>;

    /// Writes the journal unless there is one already, which then stays.
    async fn put_if_none(&self, request_uid: &str, journal: serde_json::Value) -> Result<(), TaskError>;

    /// The journal, if there is one.
    async fn get(&self, request_uid: &str) -> Result<Option<serde_json::Value>, TaskError>;
}
