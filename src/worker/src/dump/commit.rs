//! The end of a dump: checks that no row or object is missing, builds the manifest and writes it last (I4).

use super::DumpError;
use super::rows::{DumpState, ReaderOutput};
use crate::WorkerContext;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use futures::{StreamExt, TryStreamExt};
use sennight_core::manifest::{
    DataObject, FORMAT, Frame, MANIFEST, Manifest, SchemaArchive, Sequence, ServerFacts, Table, Totals,
};
use sennight_core::names::BackupId;
use sennight_core::result::BackupSummary;
use sennight_engine::dump::Table as DumpedTable;
use sennight_protocol::backup::{BackupRef, DumpTask};
use sennight_storage::{OpenBackup, PutOptions, Store};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::sync::Arc;

/// HEAD requests at the same time.
const CONCURRENT_HEADS: usize = 8;

/// Everything that a dump read and stored before its manifest.
pub struct DumpedData {
    /// Tables, planned reads, and the prefix of the objects.
    pub objects: Arc<DumpState>,
    /// Instant of the snapshot, by the server's clock.
    pub taken_at: DateTime<Utc>,
    /// Version, locale and extensions of the server.
    pub server: ServerFacts,
    /// Object, length and SHA-256 of the schema archive.
    pub schema: SchemaArchive,
    /// Objects and frames of all readers.
    pub written: ReaderOutput,
    /// State of each sequence, read after the rows.
    pub sequences: Vec<Sequence>,
    /// Roles that own something or have a grant.
    pub roles: Vec<String>,
    /// Sentences for people; none of them failed the dump.
    pub warnings: Vec<String>,
}
impl DumpedData {
    /// Fails unless every planned read came to its end, and the frames hold as many rows as the server says it sent.
    fn check_rows(&self) -> Result<(), DumpError> {
        let (read, planned) = (self.written.items.len(), self.objects.items.len());
        if read != planned {
            return Err(DumpError::Inconsistent(format!("{read} of {planned} reads came to their end")));
        }
        let mut sent: BTreeMap<usize, i64> = self.written.items.iter().copied().collect();
        for (item, frame) in &self.written.frames {
            *sent.entry(*item).or_default() -= frame.rows;
        }
        sent.into_iter().find(|(_, left)| *left != 0).map_or(Ok(()), |(item, left)| {
            let table = &self.objects.tables[self.objects.items[item].table];
            let (schema, name) = (&table.schema, &table.name);
            Err(DumpError::Inconsistent(format!("the frames of {schema}.{name} lack {left} rows that the server sent")))
        })
    }

    /// Builds the manifest; an error if a row that the server sent is in no frame.
    pub fn manifest(
        &self,
        task: &DumpTask,
        zone: Tz,
        id: BackupId,
        started_at: DateTime<Utc>,
    ) -> Result<Manifest, DumpError> {
        self.check_rows()?;
        let tables = tables(&self.objects, &self.written);
        let mut objects = self.written.objects.clone();
        objects.sort_by(|a, b| a.name.cmp(&b.name));
        let manifest = Manifest {
            format: FORMAT.to_owned(),
            id,
            identity: task.identity.clone(),
            snapshot_time: self.taken_at,
            day: self.taken_at.with_timezone(&zone).date_naive(),
            time_zone: zone.name().to_owned(),
            started_at,
            finished_at: Utc::now(),
            server: self.server.clone(),
            schema: self.schema.clone(),
            totals: totals(&self.schema, &objects, &tables),
            objects,
            tables,
            sequences: self.sequences.clone(),
            roles: self.roles.clone(),
            warnings: self.warnings.clone(),
            encryption: None,
            mac: None,
        };
        manifest.check().map_err(|e| DumpError::Inconsistent(e.to_string()))?;
        Ok(manifest)
    }
}

/// The tables with their frames, in the order of each table's parts and of the frames within a part.
fn tables(shared: &DumpState, written: &ReaderOutput) -> Vec<Table> {
    let mut frames: BTreeMap<(usize, usize), Vec<Frame>> = BTreeMap::new();
    for (item, frame) in &written.frames {
        let item = &shared.items[*item];
        frames.entry((item.table, item.part)).or_default().push(frame.clone());
    }
    let table = |(index, info): (usize, &DumpedTable)| {
        let frames: Vec<Frame> =
            frames.range((index, 0)..(index + 1, 0)).flat_map(|(_, frames)| frames.clone()).collect();
        Table {
            schema: info.schema.clone(),
            name: info.name.clone(),
            columns: info.columns.clone(),
            rows: frames.iter().map(|f| f.rows).sum(),
            frames,
        }
    };
    shared.tables.iter().enumerate().map(table).collect()
}

fn totals(schema: &SchemaArchive, objects: &[DataObject], tables: &[Table]) -> Totals {
    let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
    Totals {
        tables: count(tables.len()),
        rows: tables.iter().map(|t| t.rows).sum(),
        raw_bytes: tables.iter().flat_map(|t| &t.frames).map(|f| f.raw_length).sum(),
        stored_bytes: schema.length + objects.iter().map(|o| o.length).sum::<i64>(),
        objects: count(objects.len()) + 1,
    }
}

/// Fails unless the object in the bucket has as many bytes as were written.
async fn check_length(store: &Store, object: String, written: i64) -> Result<(), DumpError> {
    let found = store.head(&object).await?.length;
    if found == written { Ok(()) } else { Err(DumpError::ObjectDiffers { object, found, written }) }
}

/// Checks every object once more, then writes the manifest: from then on the backup exists. Nothing is cancelled here, so
/// that the report knows whether the manifest was written.
pub async fn commit(
    manifest: Manifest,
    shared: &DumpState,
    context: &WorkerContext,
) -> Result<BackupSummary, DumpError> {
    let prefix = &shared.objects.prefix;
    let mut written: Vec<(String, i64)> = vec![(manifest.schema.object.clone(), manifest.schema.length)];
    written.extend(manifest.objects.iter().map(|o| (o.name.clone(), o.length)));
    let checks =
        written.into_iter().map(|(name, length)| check_length(&context.store, format!("{prefix}{name}"), length));
    futures::stream::iter(checks).buffer_unordered(CONCURRENT_HEADS).try_collect::<()>().await?;
    let bytes = context.store.keyring().seal(&manifest).map_err(|e| DumpError::Inconsistent(e.to_string()))?;
    let backup = BackupRef {
        prefix: prefix.clone(),
        id: manifest.id.clone(),
        manifest_sha256: Some(hex::encode(Sha256::digest(&bytes))),
    };
    let length = i64::try_from(bytes.len()).unwrap_or(i64::MAX);
    let options = PutOptions::json().exclusive().tags(shared.objects.tags.clone());
    let (object, bytes) = (format!("{prefix}{MANIFEST}"), Bytes::from(bytes));
    context.store.put(&object, bytes.clone(), &options).await?;
    // Read back: a store that accepts the manifest and stores other bytes must not make a backup (I4).
    let stored = context.store.get(&object).await?;
    if stored != bytes {
        let found = i64::try_from(stored.len()).unwrap_or(i64::MAX);
        return Err(DumpError::ObjectDiffers { object, found, written: length });
    }
    Ok(OpenBackup { backup, manifest, length }.summary())
}
