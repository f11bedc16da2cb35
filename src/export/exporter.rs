//! Drives one export: held tables first, then one entity after the other, row text in and zip bytes out.

use super::compose::{MOST_PIVOTS, Multis, compose, hold};
use super::error::ExportError;
use super::held::Held;
use super::output::{Outlet, Output};
use super::plan::{Plan, Target};
use super::records::Records;
use super::rows;
use super::summary::{self, EXPORT_MANIFEST, ExportContext, FileFacts, README};
use crate::domain::job::ExportFile;
use crate::domain::manifest::{Manifest, Table};
use std::collections::{BTreeMap, HashMap};

/// An entity whose row text is larger gets a zip64 entry, since its CSV text may pass 4 GiB.
const LARGE: i64 = 512 * 1024 * 1024;

/// One pass over one table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    pass: Pass,
    table: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pass {
    Hold(usize),
    Entity(usize),
}

impl Step {
    /// The table whose frames are to be pushed, by its place in the manifest.
    pub fn table(&self) -> usize {
        self.table
    }
}

/// An export under way.
pub struct Exporter {
    plan: Plan,
    context: ExportContext,
    tables: HashMap<usize, Table>,
    output: Output,
    lookups: Vec<Held>,
    multis: BTreeMap<usize, Multis>,
    current: Option<Current>,
    files: Vec<FileFacts>,
}

struct Current {
    step: Step,
    rows: i64,
    records: Option<Records>,
}

impl Exporter {
    /// An export of the copy that `manifest` describes. The zip's bytes are taken from the outlet.
    pub fn new(plan: Plan, manifest: &Manifest, context: ExportContext) -> (Self, Outlet) {
        let outlet = Outlet::default();
        let time = context.snapshot_time.with_timezone(&plan.zone).naive_local();
        let used = plan.held.iter().map(|held| held.table).chain(plan.entities.iter().map(|entity| entity.table));
        let exporter = Self {
            tables: used.map(|at| (at, manifest.tables[at].clone())).collect(),
            output: Output::new(outlet.clone(), time),
            lookups: std::iter::repeat_with(Held::default).take(plan.lookups).collect(),
            multis: BTreeMap::new(),
            current: None,
            files: Vec::new(),
            context,
            plan,
        };
        (exporter, outlet)
    }

    /// The passes to make, in order: `begin`, `push` each frame of the table in order, `end`.
    pub fn steps(&self) -> Vec<Step> {
        let held = self.plan.held.iter().enumerate().map(|(at, held)| Step { pass: Pass::Hold(at), table: held.table });
        let entities = self
            .plan
            .entities
            .iter()
            .enumerate()
            .map(|(at, entity)| Step { pass: Pass::Entity(at), table: entity.table });
        held.chain(entities).collect()
    }

    /// Starts a pass.
    pub fn begin(&mut self, step: Step) -> Result<(), ExportError> {
        if self.current.is_some() {
            return Err(ExportError::OutOfOrder("begin() before end()"));
        }
        let records = match step.pass {
            Pass::Hold(_) => None,
            Pass::Entity(at) => Some(self.open(at)?),
        };
        self.current = Some(Current { step, rows: 0, records });
        Ok(())
    }

    /// One frame of row text of the pass's table: whole rows, in order.
    pub fn push(&mut self, frame: &[u8]) -> Result<(), ExportError> {
        let mut current = self.current.take().ok_or(ExportError::OutOfOrder("push() before begin()"))?;
        for line in rows::lines(frame) {
            current.rows += 1;
            self.row(&mut current, line)?;
        }
        self.current = Some(current);
        Ok(())
    }

    /// Ends a pass: as many rows as the manifest lists must have come.
    pub fn end(&mut self) -> Result<(), ExportError> {
        let current = self.current.take().ok_or(ExportError::OutOfOrder("end() before begin()"))?;
        let table = &self.tables[&current.step.table];
        if current.rows != table.rows {
            return Err(ExportError::RowsMissing {
                table: format!("{}.{}", table.schema, table.name),
                expected: table.rows,
                found: current.rows,
            });
        }
        if let Some(records) = current.records {
            self.files.extend(records.finish(&mut self.output)?);
        }
        match current.step.pass {
            Pass::Hold(at) => self.seal(at),
            // Its multi values are not needed any more.
            Pass::Entity(at) => drop(self.multis.remove(&at)),
        }
        Ok(())
    }

    /// Writes README.txt, manifest.json and the zip's directory; tells of the CSV files.
    pub fn finish(mut self) -> Result<Vec<ExportFile>, ExportError> {
        if self.current.is_some() {
            return Err(ExportError::OutOfOrder("finish() before end()"));
        }
        let manifest = summary::manifest(&self.plan, &self.context, &self.files).map_err(|source| {
            ExportError::EncodingFailed { file: EXPORT_MANIFEST.to_owned(), problem: source.to_string() }
        })?;
        let readme = summary::readme(&self.plan, &self.context, &self.files);
        self.output.start(README, false)?;
        self.output.write(readme.as_bytes())?;
        self.output.start(EXPORT_MANIFEST, false)?;
        self.output.write(&manifest)?;
        self.output.finish()?;
        let told = |file: FileFacts| ExportFile { name: file.name, rows: file.rows };
        Ok(self.files.into_iter().map(told).collect())
    }

    fn row(&mut self, current: &mut Current, line: Result<&[u8], rows::RowError>) -> Result<(), ExportError> {
        let table = &self.tables[&current.step.table];
        let damaged = |problem: rows::RowError| ExportError::damaged(table, current.rows, problem.to_string());
        let cells = line.and_then(|line| rows::cells(line, table.columns.len())).map_err(damaged)?;
        match (current.step.pass, &mut current.records) {
            (Pass::Hold(at), _) => hold(&self.plan.held[at], &cells, &mut self.lookups, &mut self.multis)
                .map_err(|problem| ExportError::damaged(table, current.rows, problem)),
            (Pass::Entity(at), Some(records)) => {
                let entity = &self.plan.entities[at];
                if !entity.filter.iter().all(|filter| filter.passes(&cells)) {
                    return Ok(());
                }
                let record = compose(entity, &self.plan, &self.lookups, self.multis.get(&at), &cells);
                records.write(&mut self.output, &record.cells, &record.guarded, record.unreadable)
            }
            (Pass::Entity(_), None) => Err(ExportError::OutOfOrder("an entity without its file")),
        }
    }

    fn open(&mut self, at: usize) -> Result<Records, ExportError> {
        let entity = &self.plan.entities[at];
        let table = &self.tables[&entity.table];
        let mut columns: Vec<String> = entity.columns.iter().map(|c| c.header.clone()).collect();
        if let Some(multis) = self.multis.get_mut(&at) {
            if multis.kinds() > MOST_PIVOTS {
                return Err(ExportError::TooManyColumns {
                    table: table.name.clone(),
                    entity: entity.name.clone(),
                    limit: MOST_PIVOTS,
                });
            }
            multis.arrange(&mut columns, &self.plan);
        }
        let facts = FileFacts {
            name: entity.file.clone(),
            entity: entity.name.clone(),
            table: format!("{}.{}", table.schema, table.name),
            columns,
            rows: 0,
            bytes: 0,
            sha256: String::new(),
            guarded_cells: 0,
            guarded: Vec::new(),
            unreadable_cells: 0,
        };
        let raw: i64 = table.frames.iter().map(|frame| frame.raw_length).sum();
        Records::start(&mut self.output, facts, &self.plan.format, raw > LARGE)
    }

    fn seal(&mut self, at: usize) {
        for use_ in &self.plan.held[at].uses {
            match use_.target {
                Target::Lookup(slot) => self.lookups[slot].seal(),
                Target::Multi(entity) => self.multis.entry(entity).or_default().seal(),
            }
        }
    }
}
