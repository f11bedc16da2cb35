//! From what the producers left to the manifest: nothing is missing, and each frame stands with its table.

use super::DumpError;
use super::rows::{Shared, Written};
use crate::domain::job::DumpTask;
use crate::domain::manifest::{
    DataObject, FORMAT, Frame, Manifest, SchemaArchive, Sequence, ServerFacts, Table, Totals,
};
use crate::domain::names::RecoveryPointId;
use crate::engine::postgres::inventory::TableInfo;
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use std::collections::BTreeMap;
use std::sync::Arc;

/// All that was read and stored.
pub struct Gathered {
    /// The tables, the COPYs, and where the objects are.
    pub objects: Arc<Shared>,
    /// When the snapshot was taken.
    pub taken_at: DateTime<Utc>,
    /// The server and the database.
    pub server: ServerFacts,
    /// The archive.
    pub schema: SchemaArchive,
    /// What the readers wrote.
    pub written: Written,
    /// The state of the sequences.
    pub sequences: Vec<Sequence>,
    /// Roles in use.
    pub roles: Vec<String>,
    /// What a reader should know.
    pub warnings: Vec<String>,
}

impl Gathered {
    /// Every planned COPY came to its end, and the frames hold as many rows as the server says that it sent.
    fn every_row_is_there(&self) -> Result<(), DumpError> {
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

    /// The manifest, if all adds up.
    pub fn manifest(
        &self,
        task: &DumpTask,
        zone: Tz,
        id: RecoveryPointId,
        started_at: DateTime<Utc>,
    ) -> Result<Manifest, DumpError> {
        self.every_row_is_there()?;
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

/// Puts each frame to its table, in the order of the table's parts and of the frames within one.
fn tables(shared: &Shared, written: &Written) -> Vec<Table> {
    let mut frames: BTreeMap<(usize, usize), Vec<Frame>> = BTreeMap::new();
    for (item, frame) in &written.frames {
        let item = &shared.items[*item];
        frames.entry((item.table, item.part)).or_default().push(frame.clone());
    }
    let table = |(index, info): (usize, &TableInfo)| {
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
