//! The dump of a MySQL or MariaDB database: snapshot, readers and schema script. Objects, frames, rate limit and manifest
//! are shared with PostgreSQL.

use super::rows::{DumpState, ReaderOutput};
use super::{APPLICATION, DumpError, dump_state, plan};
use crate::WorkerContext;
use crate::dump::commit::DumpedData;
use crate::dump::objects::OpenObject;
use bytes::Bytes;
use sennight_core::manifest::{SchemaArchive, Sequence, ServerFacts};
use sennight_core::names::{Area, BackupId};
use sennight_engine::mysql::inventory::{self, Inventory, TableInfo};
use sennight_engine::mysql::read::Rows;
use sennight_engine::mysql::schema::{self, ObjectKind, Schema};
use sennight_engine::mysql::{EngineError, Session, connect, rights, snapshot};
use sennight_engine::postgres::inventory::TableInfo as PlannedTable;
use sennight_protocol::backup::DumpTask;
use sha2::{Digest, Sha256};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Name of the schema script below the backup's prefix.
const OBJECT: &str = "schema.sql";

/// Reads rows, schema and facts at one snapshot, and writes everything but the manifest.
pub async fn read_database(
    task: &DumpTask,
    area: Area,
    context: &WorkerContext,
    id: &BackupId,
    stop: &CancellationToken,
) -> Result<DumpedData, DumpError> {
    let lock_timeout = Duration::from_secs(u64::try_from(task.lock_timeout_seconds).unwrap_or(0).max(1));
    let parallelism = if context.concurrency > 1 { 1 } else { task.parallelism };
    let opening = async {
        let source = open_source(task).await?;
        let sizes: Vec<(i64, i64)> = source.inventory.tables.iter().map(|t| (t.bytes, 0)).collect();
        let plan = plan::plan(&table_infos(&source), &sizes, parallelism, 0);
        let Source { session, inventory, schema } = source;
        let begun =
            snapshot::begin(session, &task.database, APPLICATION, &inventory.tables, plan.readers, lock_timeout)
                .await?;
        Ok::<_, EngineError>((begun, inventory, schema, plan))
    };
    let (begun, inventory, schema, plan) = tokio::select! {
        biased;
        () = stop.cancelled() => return Err(DumpError::Stopped),
        opened = Box::pin(opening) => opened?,
    };
    context.progress.expect(inventory.tables.iter().map(|t| t.bytes).sum());
    let tables = inventory.tables.iter().map(|table| table_info(&task.database.database, table)).collect();
    let shared = dump_state(task, area, context, id, stop, tables, plan)?;
    let reading = begun.readers.into_iter().map(|session| read_all(session, &shared, &inventory.tables, context));
    let (written, mut sessions) = merge_outputs(futures::future::join_all(reading).await)?;
    let Some(mut session) = sessions.pop() else { return Err(DumpError::Stopped) };
    for session in sessions {
        session.close().await;
    }
    let ending = async {
        let facts = facts(&mut session, &task.database.database, &inventory, &schema).await?;
        session.close().await;
        let about = format!("Schema of database {}, {}", task.database.database, facts.server.version);
        let archive = archive(&shared, &facts.schema.render(&about)).await?;
        Ok::<_, DumpError>((facts, archive))
    };
    let (facts, archive) = tokio::select! {
        biased;
        () = stop.cancelled() => return Err(DumpError::Stopped),
        ended = Box::pin(ending) => ended?,
    };
    let mut warnings = inventory.notes;
    warnings.extend(begun.notes);
    warnings.extend(schema_warnings(&facts.schema, shared.tables.is_empty()));
    Ok(DumpedData {
        objects: shared,
        taken_at: begun.taken_at,
        server: facts.server,
        schema: archive,
        written,
        sequences: facts.sequences,
        // The script names no accounts, so none must exist before a load.
        roles: Vec::new(),
        warnings,
    })
}

/// The database as it was found before the snapshot.
struct Source {
    session: Session,
    inventory: Inventory,
    schema: Schema,
}

async fn open_source(task: &DumpTask) -> Result<Source, EngineError> {
    let mut session = connect(&task.database, &task.database.database, APPLICATION).await?;
    rights::check_sees_all(&mut session).await?;
    let mut inventory = Inventory::read(&mut session).await?;
    inventory.transactional(task.allow_non_transactional)?;
    let schema = schema::read(&mut session, &inventory).await?;
    Ok(Source { session, inventory, schema })
}

fn table_infos(source: &Source) -> Vec<PlannedTable> {
    source.inventory.tables.iter().map(|table| table_info("", table)).collect()
}

/// A table as the shared parts know it. It has no OID, and no pages to split it by.
fn table_info(database: &str, table: &TableInfo) -> PlannedTable {
    PlannedTable {
        oid: 0,
        schema: database.to_owned(),
        name: table.name.clone(),
        columns: table.columns.iter().map(|c| c.column.clone()).collect(),
        heap: false,
    }
}

/// What is read last, after all transactions have ended without an error.
struct EndFacts {
    schema: Schema,
    server: ServerFacts,
    sequences: Vec<Sequence>,
}

/// Definitions are not part of a snapshot: fails unless they are the same after it as before. The backup gets the ones that
/// were read last, so that no AUTO_INCREMENT is lower than a row's number.
async fn facts(
    session: &mut Session,
    database: &str,
    before: &Inventory,
    schema_before: &Schema,
) -> Result<EndFacts, EngineError> {
    let changed = |why| EngineError::SchemaChanged { doing: "dumping the database".to_owned(), why };
    let now = Inventory::read(session).await?;
    let columns = |i: &Inventory| {
        i.tables.iter().map(|t| (t.name.clone(), t.columns.clone(), t.made_at.clone())).collect::<Vec<_>>()
    };
    if columns(before) != columns(&now) {
        return Err(changed("a table was created, dropped or altered".to_owned()));
    }
    let schema = schema::read(session, &now).await?;
    if let Some(difference) = schema_before.first_difference(&schema) {
        return Err(changed(difference));
    }
    let server = inventory::server_facts(session).await?;
    let sequences = sequences(&schema, database);
    Ok(EndFacts { schema, server, sequences })
}

/// State of MariaDB's sequences, for people: the script sets them by itself. Values above an `i64` are left out here.
fn sequences(schema: &Schema, database: &str) -> Vec<Sequence> {
    let state = |text: &str| text.rsplit_once("`, ")?.1.split(',').next()?.parse().ok();
    let set = |text: &&schema::Object| text.kind == ObjectKind::Sequence && text.text.starts_with("DO SETVAL(");
    let sequence = |object: &schema::Object| {
        let last_value = state(&object.text)?;
        Some(Sequence { schema: database.to_owned(), name: object.name.clone(), last_value, is_called: false })
    };
    schema.objects.iter().filter(set).filter_map(sequence).collect()
}

fn schema_warnings(schema: &Schema, no_tables: bool) -> Vec<String> {
    let mut warnings = Vec::new();
    let definers = schema.definers();
    if !definers.is_empty() {
        let each: Vec<String> = definers.iter().map(|(account, count)| format!("{account} ({count})")).collect();
        warnings.push(format!(
            "DEFINER is left out of {OBJECT}, whose comments keep it; objects ran as: {}",
            each.join(", ")
        ));
    }
    if no_tables {
        warnings.push("the database has no tables".to_owned());
    }
    warnings
}

/// One reader: reads table after table until none is left. Returns its session, whose transaction has ended.
async fn read_all(
    mut session: Session,
    shared: &DumpState,
    tables: &[TableInfo],
    context: &WorkerContext,
) -> Result<(ReaderOutput, Session), DumpError> {
    let mut reader = Reader { shared, tables, context, written: ReaderOutput::default(), pack: None, own: None };
    let read = tokio::select! {
        biased;
        () = shared.stop.cancelled() => Err(DumpError::Stopped),
        read = Box::pin(reader.work(&mut session)) => read,
    };
    match read {
        Ok(()) => Ok((reader.written, session)),
        Err(error) => {
            shared.stop.cancel();
            for open in [reader.pack.take(), reader.own.take()].into_iter().flatten() {
                open.abort().await;
            }
            Err(error)
        }
    }
}

struct Reader<'a> {
    shared: &'a DumpState,
    tables: &'a [TableInfo],
    context: &'a WorkerContext,
    written: ReaderOutput,
    pack: Option<OpenObject>,
    own: Option<OpenObject>,
}

impl Reader<'_> {
    async fn work(&mut self, session: &mut Session) -> Result<(), DumpError> {
        loop {
            let next = self.shared.queue.lock().pop_front();
            let Some(item) = next else { break };
            self.read(session, item).await?;
            snapshot::release_metadata_locks(session).await?;
            self.context.progress.tables(1);
        }
        snapshot::finish(session).await?;
        for open in [self.pack.take(), self.own.take()].into_iter().flatten() {
            self.written.add(open.finish().await?);
        }
        Ok(())
    }

    async fn read(&mut self, session: &mut Session, index: usize) -> Result<(), DumpError> {
        let item = &self.shared.items[index];
        let mut rows = Rows::open(session, &self.tables[item.table], self.shared.frame_bytes).await?;
        while let Some(block) = rows.next().await? {
            self.shared.rate_limiter.wait_for(block.raw.len()).await;
            self.context.progress.add(i64::try_from(block.raw.len()).unwrap_or(i64::MAX), block.rows);
            let slot = if item.own_object { &mut self.own } else { &mut self.pack };
            if let Some(full) = slot.take_if(|open| open.is_full()) {
                self.written.add(full.finish().await?);
            }
            let kind = if item.own_object { "table" } else { "pack" };
            let object = slot.get_or_insert_with(|| self.shared.objects.begin(kind));
            object.add(index, block.raw, |_: Bytes| {}).await?;
        }
        if let Some(own) = self.own.take() {
            self.written.add(own.finish().await?);
        }
        self.written.items.push((index, rows.counted()));
        Ok(())
    }
}

/// The outputs of all readers as one, or the error that came first.
fn merge_outputs(
    read: Vec<Result<(ReaderOutput, Session), DumpError>>,
) -> Result<(ReaderOutput, Vec<Session>), DumpError> {
    let (mut all, mut sessions, mut failure) = (ReaderOutput::default(), Vec::new(), None);
    for read in read {
        match read {
            Ok((written, session)) => {
                all.objects.extend(written.objects);
                all.frames.extend(written.frames);
                all.items.extend(written.items);
                sessions.push(session);
            }
            Err(error) if matches!(failure, None | Some(DumpError::Stopped)) => failure = Some(error),
            Err(_) => {}
        }
    }
    failure.map_or(Ok((all, sessions)), Err)
}

async fn archive(shared: &DumpState, text: &str) -> Result<SchemaArchive, DumpError> {
    let mut upload = shared.objects.upload(OBJECT);
    let bytes = Bytes::copy_from_slice(text.as_bytes());
    if let Err(error) = upload.write(bytes).await {
        upload.abort().await;
        return Err(error.into());
    }
    let uploaded = upload.finish().await?;
    Ok(SchemaArchive {
        object: OBJECT.to_owned(),
        length: uploaded.length,
        sha256: hex::encode(Sha256::digest(text.as_bytes())),
        tool: concat!("sennight ", env!("CARGO_PKG_VERSION"), " (SHOW CREATE)").to_owned(),
    })
}
