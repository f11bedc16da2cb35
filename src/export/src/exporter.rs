//! Runs one export: cached tables first, then one entity after the other. Row text in, zip bytes out.

use super::compose::Composer;
use super::error::ExportError;
use super::links::Links;
use super::live::LiveIds;
use super::lookup_cache::LookupCache;
use super::output::{DeferredFile, DeferredOutput, MainOutput, Outlet};
use super::plan::ExportPlan;
use super::records::Records;
use super::rows;
use super::summary::{self, EXPORT_MANIFEST, ExportContext, FileFacts, MISSING_ONLY, ManifestFacts, NotUtf8};
use sennight_core::manifest::{Manifest, Table};
use sennight_core::profile::AMBIGUOUS_LINKS;
use sennight_core::result::ExportFile;
use std::collections::HashMap;

/// An entity whose row text is larger gets a zip64 entry, since its CSV text may pass 4 GiB.
const LARGE: i64 = 512 * 1024 * 1024;

/// One pass over one table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExportStep {
    pass: Pass,
    table: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pass {
    Cache(usize),
    Entity(usize),
}

impl ExportStep {
    /// The table whose frames are to be pushed, by its place in the manifest.
    pub fn table(&self) -> usize {
        self.table
    }
}

/// The ids that the live database has, and storage for the missing-only set until the full set is written.
pub struct Live {
    /// Ids of the live records, by entity.
    pub ids: LiveIds,
    /// Storage for the missing-only set's entries.
    pub deferred: Box<dyn DeferredFile>,
}

/// An export under way.
pub struct Exporter {
    plan: ExportPlan,
    context: ExportContext,
    tables: HashMap<usize, Table>,
    output: MainOutput,
    missing: Option<Missing>,
    cache: LookupCache,
    links: Links,
    current: Option<Current>,
    facts: ManifestFacts,
    /// Files of the second set.
    missing_files: Vec<FileFacts>,
}

/// The second set.
struct Missing {
    ids: LiveIds,
    output: DeferredOutput,
}

struct Current {
    step: ExportStep,
    rows: i64,
    records: Option<(Records, Option<Records>)>,
    headers: Vec<String>,
    not_utf8: NotUtf8,
}

impl Exporter {
    /// An export of the backup that `manifest` describes. The zip's bytes are taken from the outlet.
    pub fn new(
        plan: ExportPlan,
        manifest: &Manifest,
        context: ExportContext,
        live: Option<Live>,
    ) -> Result<(Self, Outlet), ExportError> {
        let outlet = Outlet::default();
        // The backup's time and no clock: the same backup must give the same bytes, so that a repeated attempt finds
        // its own.
        let time = context.snapshot_time.with_timezone(&plan.zone).naive_local();
        let used = plan.cached.iter().map(|held| held.table).chain(plan.entities.iter().map(|entity| entity.table));
        let exporter = Self {
            tables: used.map(|at| (at, manifest.tables[at].clone())).collect(),
            output: MainOutput::new(outlet.clone(), time),
            missing: live.map(|live| Missing { ids: live.ids, output: DeferredOutput::new(live.deferred, time) }),
            cache: LookupCache::new(&plan),
            links: Links::new(&plan.style)?,
            current: None,
            facts: ManifestFacts {
                read_twice: plan.read_twice.iter().map(|at| full_name(&manifest.tables[*at])).collect(),
                ..ManifestFacts::default()
            },
            missing_files: Vec::new(),
            context,
            plan,
        };
        Ok((exporter, outlet))
    }

    /// The passes to make, in order: `begin`, `push` each frame of the table in order, `end`.
    pub fn steps(&self) -> Vec<ExportStep> {
        let held = self
            .plan
            .cached
            .iter()
            .enumerate()
            .map(|(at, held)| ExportStep { pass: Pass::Cache(at), table: held.table });
        let entities = self
            .plan
            .entities
            .iter()
            .enumerate()
            .map(|(at, entity)| ExportStep { pass: Pass::Entity(at), table: entity.table });
        held.chain(entities).collect()
    }

    /// Starts a pass.
    pub fn begin(&mut self, step: ExportStep) -> Result<(), ExportError> {
        if self.current.is_some() {
            return Err(ExportError::OutOfOrder("begin() before end()"));
        }
        let (records, headers) = match step.pass {
            Pass::Cache(_) => (None, Vec::new()),
            Pass::Entity(at) => self.open(at).map(|(records, headers)| (Some(records), headers))?,
        };
        let table = &self.tables[&step.table];
        let not_utf8 = NotUtf8 { table: full_name(table), ..NotUtf8::default() };
        self.current = Some(Current { step, rows: 0, records, headers, not_utf8 });
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
        // A frame that was left out would otherwise only look like a smaller table.
        if current.rows != table.rows {
            return Err(ExportError::RowsMissing {
                table: current.not_utf8.table,
                expected: table.rows,
                found: current.rows,
            });
        }
        if let Some((full, missing)) = current.records {
            self.facts.files.extend(full.finish(&mut self.output)?);
            if let (Some(records), Some(set)) = (missing, &mut self.missing) {
                self.missing_files.extend(records.finish(&mut set.output)?);
            }
        }
        // A table may be read twice, as lookup and as entity.
        let listed = self.facts.not_utf8.iter().any(|known| known.table == current.not_utf8.table);
        if current.not_utf8.cells > 0 && !listed {
            self.facts.not_utf8.push(current.not_utf8);
        }
        match current.step.pass {
            Pass::Cache(at) => self.cache.seal(&self.plan.cached[at].uses, &self.plan),
            Pass::Entity(at) => {
                // Its own values are not needed any more; its names are, by later entities.
                drop(self.cache.parts.remove(&at));
                self.cache.seal(&self.plan.entities[at].labels, &self.plan);
            }
        }
        Ok(())
    }

    /// Writes what stands behind the CSV files: the other set, the links, READMEs, the manifest, the zip's directory.
    /// Returns the CSV files with their rows.
    pub fn finish(mut self) -> Result<Vec<ExportFile>, ExportError> {
        if self.current.is_some() {
            return Err(ExportError::OutOfOrder("finish() before end()"));
        }
        if let Some(missing) = self.missing {
            // A zip is written from front to back, so the second set waits until the first is complete.
            self.output.append(missing.output)?;
        }
        self.facts.files.append(&mut self.missing_files);
        let (links, counted) = self.links.finish()?;
        self.facts.ambiguous_links = counted;
        self.output.start(AMBIGUOUS_LINKS, false)?;
        self.output.write(&links)?;
        for (name, text) in super::readme::all(&self.plan, &self.context, &self.facts) {
            self.output.start(&name, false)?;
            self.output.write(text.as_bytes())?;
        }
        let manifest = summary::manifest(&self.plan, &self.context, &self.facts).map_err(|source| {
            ExportError::EncodingFailed { file: EXPORT_MANIFEST.to_owned(), problem: source.to_string() }
        })?;
        self.output.start(EXPORT_MANIFEST, false)?;
        self.output.write(&manifest)?;
        self.output.finish()?;
        let summary = |file: FileFacts| ExportFile { name: file.name, rows: file.rows };
        Ok(self.facts.files.into_iter().map(summary).collect())
    }

    fn row(&mut self, current: &mut Current, line: Result<&[u8], rows::RowError>) -> Result<(), ExportError> {
        let table = &self.tables[&current.step.table];
        let too_much = || ExportError::TooMuchHeld { table: table.name.clone() };
        let damaged = |problem: rows::RowError| ExportError::damaged(table, current.rows, problem.to_string());
        let row = line.and_then(|line| rows::cells(line, table.columns.len())).map_err(damaged)?;
        for place in row.odd {
            current.not_utf8.note(current.rows, &table.columns[place].name);
        }
        match (current.step.pass, &mut current.records) {
            (Pass::Cache(at), _) if self.cache.add_row(&self.plan.cached[at].uses, &self.plan, &row.cells) => Ok(()),
            (Pass::Cache(_), _) => Err(too_much()),
            (Pass::Entity(at), Some((full, missing))) => {
                let entity = &self.plan.entities[at];
                // Also of rows that are no record of this file: others may refer to them.
                if !self.cache.add_row(&entity.labels, &self.plan, &row.cells) {
                    return Err(too_much());
                }
                if !entity.filter.iter().all(|filter| filter.passes(&row.cells)) {
                    return Ok(());
                }
                let parts = self.cache.parts.get(&at);
                let composer = Composer { entity, plan: &self.plan, cache: &self.cache, parts };
                let record = composer.compose(&row.cells);
                full.write(&mut self.output, &record)?;
                let id = row.cells[entity.key].as_deref().unwrap_or_default();
                self.links.add(&entity.file, id, &current.headers, &record)?;
                match (missing, &mut self.missing) {
                    (Some(records), Some(set)) if !set.ids.has(&entity.name, id) => {
                        records.write(&mut set.output, &record)
                    }
                    _ => Ok(()),
                }
            }
            (Pass::Entity(_), None) => Err(ExportError::OutOfOrder("an entity without its file")),
        }
    }

    #[allow(clippy::type_complexity, reason = "both sets' files and their headers")]
    fn open(&mut self, at: usize) -> Result<((Records, Option<Records>), Vec<String>), ExportError> {
        let entity = &self.plan.entities[at];
        let table = &self.tables[&entity.table];
        let mut columns: Vec<String> = entity.columns.iter().map(|c| c.header.clone()).collect();
        columns.extend(entity.custom.iter().flat_map(|custom| &custom.columns).map(|c| c.header.clone()));
        if let Some(parts) = self.cache.parts.get_mut(&at).filter(|_| entity.multi) {
            parts.multis.check(&table.name, &entity.name)?;
            parts.multis.arrange(&mut columns, &entity.lines, &self.plan);
        }
        columns.extend(entity.lines.iter().map(|c| c.header.clone()));
        let facts = FileFacts {
            name: entity.file.clone(),
            entity: entity.name.clone(),
            table: full_name(table),
            columns: columns.clone(),
            ..FileFacts::default()
        };
        let raw: i64 = table.frames.iter().map(|frame| frame.raw_length).sum();
        // Of what other tables add nobody knows the size beforehand.
        // A zip64 entry must be announced before its first byte: too late it would be an error, too often it costs
        // bytes only.
        let large = raw > LARGE || !entity.lines.is_empty() || entity.custom.is_some() || entity.multi;
        let missing = match &mut self.missing {
            Some(set) => {
                let facts = FileFacts { name: format!("{MISSING_ONLY}{}", entity.file), ..facts.clone() };
                Some(Records::start(&mut set.output, facts, &self.plan.style, large)?)
            }
            None => None,
        };
        let full = Records::start(&mut self.output, facts, &self.plan.style, large)?;
        Ok(((full, missing), columns))
    }
}

fn full_name(table: &Table) -> String {
    format!("{}.{}", table.schema, table.name)
}
