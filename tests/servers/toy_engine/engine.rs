//! The toy engine's databases, and what it does to them. A swap is one change of the map under its lock.

use super::snapshot::ToySnapshot;
use async_trait::async_trait;
use bytes::Bytes;
use futures::TryStreamExt;
use sennight_core::result::{DatabaseDropped, DatabaseNumber, HookRun, Preflight, Refusal};
use sennight_engine::Engine;
use sennight_engine::dump::{DumpRequest, LiveTables, OpenDatabase};
use sennight_engine::plain_files::{Directory, PlainFiles, README, readme};
use sennight_engine::restore::{BackupReader, JournalStore, LoadRequest, Prepared, SwapOutcome, SwapState, Swapped};
use sennight_protocol::backup::SafetyBackupTask;
use sennight_protocol::cutover::CutoverTask;
use sennight_protocol::drop_database::DropDatabaseTask;
use sennight_protocol::report::TaskError;
use sennight_protocol::restore::RestoreTask;
use sennight_protocol::target::DatabaseTarget;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

/// A table of two columns, `id` and `name`.
#[derive(Debug, Clone)]
pub struct ToyTable {
    pub name: String,
    /// Row text.
    pub rows: String,
}

#[derive(Debug, Clone)]
pub struct ToyDatabase {
    number: DatabaseNumber,
    /// UID of the request that made it or replaced it.
    mark: Option<String>,
    pub tables: Vec<ToyTable>,
}

/// Every database, by name.
pub static SERVER: Mutex<BTreeMap<String, ToyDatabase>> = Mutex::new(BTreeMap::new());
static NUMBERS: AtomicU32 = AtomicU32::new(1);

fn add(name: &str, mark: Option<&str>, tables: Vec<ToyTable>) -> DatabaseNumber {
    let number = DatabaseNumber(NUMBERS.fetch_add(1, Ordering::Relaxed));
    SERVER.lock().unwrap().insert(name.to_owned(), ToyDatabase { number, mark: mark.map(str::to_owned), tables });
    number
}

/// Makes a database, or replaces it.
pub fn put(name: &str, tables: &[(&str, &str)]) {
    let table = |(name, rows): &(&str, &str)| ToyTable { name: (*name).to_owned(), rows: (*rows).to_owned() };
    add(name, None, tables.iter().map(table).collect());
}

pub fn find(name: &str) -> Result<ToyDatabase, TaskError> {
    let found = SERVER.lock().unwrap().get(name).cloned();
    found.ok_or_else(|| TaskError::refused("DatabaseMissing", format!("there is no database {name:?}")))
}

fn changed(found: &str) -> TaskError {
    TaskError::refused("DatabasesChanged", found)
}

pub struct ToyEngine;

impl ToyEngine {
    /// Loads the backup into `request.database`, and compares what it has then.
    async fn load(&self, request: &LoadRequest<'_>) -> Result<DatabaseNumber, TaskError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        request.backup.fetch_schema(file.path()).await?;
        let schema = std::fs::read_to_string(file.path()).unwrap();
        let manifest = request.backup.manifest();
        assert!(schema.lines().eq(manifest.tables.iter().map(|table| table.name.as_str())));
        request.progress.expect_backup(&manifest.totals);
        let mut tables = Vec::new();
        for table in &manifest.tables {
            let frames: Vec<Bytes> = request.backup.rows(table).try_collect().await?;
            let rows = String::from_utf8(frames.concat()).unwrap();
            request.progress.add(i64::try_from(rows.len()).unwrap(), table.rows);
            request.progress.tables(1);
            tables.push(ToyTable { name: table.name.clone(), rows });
        }
        Ok(add(request.database, Some(&request.task.request_uid), tables))
    }
}

#[async_trait]
impl Engine for ToyEngine {
    fn schema_object(&self) -> &'static str {
        "schema.toy"
    }

    async fn open(&self, request: &DumpRequest<'_>) -> Result<Box<dyn OpenDatabase>, TaskError> {
        Ok(Box::new(ToySnapshot::of(request.target)?))
    }

    async fn open_live(&self, request: &DumpRequest<'_>) -> Result<Box<dyn LiveTables>, TaskError> {
        Ok(Box::new(ToySnapshot::of(request.target)?))
    }

    async fn preflight(&self, task: &RestoreTask, _: &dyn BackupReader, _: &str) -> Result<Preflight, TaskError> {
        let missing = find(&task.database.database).err();
        let refusals = missing.into_iter().map(|e| Refusal { reason: e.reason, message: e.message }).collect();
        Ok(Preflight { refusals, ..Preflight::default() })
    }

    async fn preflight_undo(&self, task: &CutoverTask, _: &str) -> Result<Preflight, TaskError> {
        find(&task.new_database).map(|_| Preflight::default())
    }

    async fn prepare(&self, request: &LoadRequest<'_>) -> Result<Prepared, TaskError> {
        let live_number = find(&request.task.database.database)?.number;
        if find(request.database).is_ok_and(|found| found.mark.as_ref() != Some(&request.task.request_uid)) {
            return Err(TaskError::refused("NameTaken", format!("{:?} is not this request's", request.database)));
        }
        let new_number = self.load(request).await?;
        let hooks = request.hooks.iter().map(|hook| HookRun { name: hook.name.clone(), rows: 0 }).collect();
        Ok(Prepared { live_number, new_number, hooks })
    }

    async fn drill(&self, request: &LoadRequest<'_>) -> Result<(), TaskError> {
        let loaded = self.load(request).await;
        SERVER.lock().unwrap().remove(request.database);
        loaded.map(drop)
    }

    async fn swap_state(&self, task: &CutoverTask, _: &str) -> Result<SwapState, TaskError> {
        let live = find(&task.database.database)?.number;
        if live == task.new_number {
            return Ok(SwapState::After);
        }
        match find(&task.new_database) {
            Ok(new) if live == task.live_number && new.number == task.new_number => Ok(SwapState::Before),
            _ => Ok(SwapState::Neither(format!("the live database has the number {live}"))),
        }
    }

    async fn obstacles(&self, _: &CutoverTask, _: &str) -> Result<(), TaskError> {
        Ok(())
    }

    async fn swap(&self, task: &CutoverTask, _: &dyn JournalStore, _: &str, _: bool) -> Result<Swapped, TaskError> {
        let mut server = SERVER.lock().unwrap();
        let live = &task.database.database;
        let old = server.get(live).filter(|found| found.number == task.live_number).cloned();
        let new = server.get(&task.new_database).filter(|found| found.number == task.new_number).cloned();
        let (Some(old), Some(new)) = (old, new) else { return Err(changed("a number is another one")) };
        server.remove(&task.new_database);
        server.insert(task.previous_database.clone(), ToyDatabase { mark: Some(task.request_uid.clone()), ..old });
        server.insert(live.clone(), ToyDatabase { mark: None, ..new });
        Ok(Swapped { downtime: Some(std::time::Duration::ZERO), ..Swapped::found() })
    }

    async fn finish_swap(&self, _: &CutoverTask, _: &dyn JournalStore, _: &str) -> Result<Swapped, TaskError> {
        Ok(Swapped::found())
    }

    async fn recover_swap(
        &self,
        task: &CutoverTask,
        _: &dyn JournalStore,
        swapper: &str,
        _: bool,
    ) -> Result<SwapOutcome, TaskError> {
        Ok(match self.swap_state(task, swapper).await? {
            SwapState::After => SwapOutcome::Forward,
            SwapState::Before => SwapOutcome::Back,
            SwapState::Neither(found) => SwapOutcome::Neither(found),
        })
    }

    fn previous_database(&self, task: &SafetyBackupTask) -> DatabaseTarget {
        task.dump.database.clone()
    }

    async fn check_previous(&self, task: &SafetyBackupTask) -> Result<(), TaskError> {
        let found = find(&task.dump.database.database)?;
        let is_expected = found.number == task.previous_number && found.mark.as_ref() == Some(&task.request_uid);
        is_expected.then_some(()).ok_or_else(|| changed("it is not the previous database"))
    }

    async fn drop_database(&self, task: &DropDatabaseTask) -> Result<DatabaseDropped, TaskError> {
        let name = &task.database_to_drop.name;
        let mut server = SERVER.lock().unwrap();
        match server.get(name) {
            None => Ok(DatabaseDropped::default()),
            Some(found) if task.database_to_drop.number.is_none_or(|number| number == found.number) => {
                let number = server.remove(name).map(|gone| gone.number);
                Ok(DatabaseDropped { database: Some(name.clone()), number })
            }
            Some(_) => Err(changed("it has another number")),
        }
    }

    fn plain_files(&self) -> &dyn PlainFiles {
        self
    }
}

impl PlainFiles for ToyEngine {
    fn schema_file(&self) -> Option<&'static str> {
        Some("schema.toy")
    }

    fn rows(&self, raw: Bytes) -> Bytes {
        raw
    }

    fn files(&self, directory: &Directory<'_>) -> Vec<(&'static str, Vec<u8>)> {
        vec![(README, readme(directory.manifest, "a map", "").into_bytes())]
    }
}
