//! `live-ids`: lists the ids of the records that the live database still has. Reads one column of each table at one
//! snapshot, with the dump role, and writes it into the bucket. The export, which sees no database, reads the list there.

use super::export_error::ExportTaskError;
use super::{TaskError, WorkerContext};
use bytes::Bytes;
use chrono::Utc;
use sennight_core::names::{NameError, live_ids};
use sennight_core::profile::TableName;
use sennight_core::result::{Done, LiveList};
use sennight_engine::dump::{DumpRequest, Table};
use sennight_export::LiveIds;
use sennight_export::live::ENTITY_MARK;
use sennight_protocol::export::{LiveEntity, LiveIdsTask};
use sennight_storage::{Store, StoreError, Tags, Upload};
use sha2::{Digest, Sha256};
use std::io::Write;
use std::time::Duration;

/// `application_name` of the sessions.
const APPLICATION: &str = "sennight live-ids";
/// Longest wait for the tables' locks: whoever queues behind this session waits no longer.
const LOCK_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of ids in one block from the server.
const BLOCK: usize = 1 << 20;
/// Compressed bytes that are collected before they go into the bucket, and the most that one request reads back.
const PIECE: usize = 4 << 20;

/// Why the ids could not be listed.
#[derive(Debug, thiserror::Error)]
enum ListError {
    #[error(transparent)]
    Engine(#[from] TaskError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Name(#[from] NameError),
    #[error("the ids cannot be compressed: {0}")]
    Compression(#[from] std::io::Error),
    #[error(
        "entities[{entity}].key: the live table {table} has no column {column:?} any more, so nobody can say what is missing"
    )]
    KeyGone { entity: String, table: String, column: String },
}

impl From<ListError> for TaskError {
    fn from(error: ListError) -> Self {
        match error {
            ListError::Engine(error) => error,
            ListError::Store(error) => error.into(),
            ListError::Name(_) => Self::of("NameInvalid", false, &error),
            ListError::Compression(_) => Self::of("EncoderFailed", true, &error),
            ListError::KeyGone { .. } => Self::of("LiveKeyGone", false, &error),
        }
    }
}

/// Lists the ids of every entity of the task.
pub async fn run(task: &LiveIdsTask, context: &WorkerContext) -> Result<Done, TaskError> {
    tokio::select! {
        biased;
        () = context.cancel.cancelled() => Err(TaskError::cancelled()),
        listed = Box::pin(list(task, context)) => Ok(Done::Listed(listed?)),
    }
}

async fn list(task: &LiveIdsTask, context: &WorkerContext) -> Result<LiveList, ListError> {
    let store = &context.store;
    let export = store.keys().export(&task.identity.namespace, &task.request_uid)?;
    let key = live_ids(&export, &context.job_uid)?;
    let at = Utc::now();
    let upload = store.upload(&key, Tags::new()).content_type("application/zstd");
    let encoder = zstd::stream::write::Encoder::new(Vec::new(), 3)?;
    let mut sink = Sink { upload, encoder, hash: Sha256::new(), ids: 0 };
    let read = Box::pin(read_ids(task, &mut sink, context)).await;
    match read {
        Ok(()) => sink.finish(key, at).await,
        Err(error) => {
            sink.upload.abort().await;
            Err(error)
        }
    }
}

struct Sink {
    upload: Upload,
    encoder: zstd::stream::write::Encoder<'static, Vec<u8>>,
    hash: Sha256,
    ids: i64,
}

impl Sink {
    async fn write(&mut self, text: &[u8]) -> Result<(), ListError> {
        self.encoder.write_all(text)?;
        if self.encoder.get_ref().len() >= PIECE {
            let piece = std::mem::take(self.encoder.get_mut());
            self.put(piece).await?;
        }
        Ok(())
    }

    async fn put(&mut self, piece: Vec<u8>) -> Result<(), ListError> {
        self.hash.update(&piece);
        Ok(self.upload.write(Bytes::from(piece)).await?)
    }

    async fn finish(mut self, key: String, at: chrono::DateTime<Utc>) -> Result<LiveList, ListError> {
        self.encoder.flush()?;
        let encoder = std::mem::replace(&mut self.encoder, zstd::stream::write::Encoder::new(Vec::new(), 3)?);
        let rest = encoder.finish()?;
        self.put(rest).await?;
        let bytes = self.upload.length();
        self.upload.finish().await?;
        Ok(LiveList { key, sha256: hex::encode(self.hash.finalize()), bytes, ids: self.ids, at })
    }
}

/// Finds a profile's table among the live ones: an exact name first, and the schema `public` before others.
fn find(name: &TableName, tables: &[Table]) -> Option<usize> {
    let fits = |table: &Table, exact: bool| {
        let same = |a: &str, b: &str| if exact { a == b } else { a.eq_ignore_ascii_case(b) };
        same(&table.name, &name.name) && name.schema.as_ref().is_none_or(|wanted| same(&table.schema, wanted))
    };
    [true, false].into_iter().find_map(|exact| {
        let found = || tables.iter().enumerate().filter(|(_, table)| fits(table, exact));
        let chosen = found().find(|(_, table)| table.schema == "public").or_else(|| found().next());
        chosen.map(|(index, _)| index)
    })
}

fn key_gone(entity: &LiveEntity, table: &str) -> ListError {
    ListError::KeyGone { entity: entity.name.clone(), table: table.to_owned(), column: entity.key.clone() }
}

fn position<'c>(mut columns: impl Iterator<Item = &'c str> + Clone, key: &str) -> Option<usize> {
    let exact = columns.clone().position(|column| column == key);
    exact.or_else(|| columns.position(|column| column.eq_ignore_ascii_case(key)))
}

async fn read_ids(task: &LiveIdsTask, sink: &mut Sink, context: &WorkerContext) -> Result<(), ListError> {
    let request = DumpRequest {
        target: &task.database,
        application: APPLICATION,
        lock_timeout: LOCK_TIMEOUT,
        ddl_wait: LOCK_TIMEOUT,
        allow_non_transactional: true,
    };
    let mut live = context.engine(task.database.engine).open_live(&request).await?;
    for entity in &task.entities {
        sink.write(format!("{ENTITY_MARK}{}\n", entity.name).as_bytes()).await?;
        // A table that was dropped has no records: all of the backup's are missing.
        let Some(index) = find(&entity.table, live.tables()) else { continue };
        let table = &live.tables()[index];
        let names = table.columns.iter().map(|column| column.name.as_str());
        let key = position(names, &entity.key).ok_or_else(|| key_gone(entity, &table.name))?;
        let mut rows = live.column(index, key, BLOCK).await?;
        while let Some(block) = rows.next().await? {
            sink.ids += block.rows;
            context.progress.add(i64::try_from(block.raw.len()).unwrap_or(i64::MAX), block.rows);
            sink.write(&block.raw).await?;
        }
        context.progress.tables(1);
    }
    Ok(live.end().await?)
}

/// Reads a list from the bucket; an error unless it has the bytes that were written.
pub async fn read_list(list: &LiveList, store: &Store) -> Result<LiveIds, ExportTaskError> {
    let damaged = |why: String| ExportTaskError::LiveIds(why);
    let mut decoder = zstd::stream::write::Decoder::new(Text::default()).map_err(|error| damaged(error.to_string()))?;
    let (mut hash, mut done) = (Sha256::new(), 0);
    while done < list.bytes {
        let length = i64::try_from(PIECE).unwrap_or(i64::MAX).min(list.bytes - done);
        let piece = store.get_range(&list.key, done, length).await?;
        hash.update(&piece);
        decoder.write_all(&piece).map_err(|error| damaged(error.to_string()))?;
        done += length;
    }
    if hex::encode(hash.finalize()) != list.sha256 {
        return Err(damaged("its SHA-256 is another one".to_owned()));
    }
    decoder.flush().map_err(|error| damaged(error.to_string()))?;
    let mut ids = decoder.into_inner().ids;
    ids.seal()?;
    Ok(ids)
}

/// Parses the decoded text while it is written.
#[derive(Default)]
struct Text {
    ids: LiveIds,
}

impl Write for Text {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.ids.push(bytes).map_err(std::io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
