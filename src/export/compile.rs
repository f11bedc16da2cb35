//! Compiles a profile against the tables of one copy. Messages name the field of the profile.

use super::cell::{Shape, is_date_format};
use super::error::CompileError;
use super::plan::{EntityPlan, HeldTable, KEY_SEPARATOR, OutColumn, Plan, Skipped, Source, Target, Use};
use super::resolve::{Tables, invalid};
use crate::domain::manifest::Manifest;
use crate::domain::names::segment;
use crate::domain::profile::{ColumnSpec, Entity, ExportProfile, Format, Lookup, LookupOutput, Multi};
use std::collections::BTreeSet;

/// The plan of a profile for a copy.
pub(super) fn compile(profile: &ExportProfile, manifest: &Manifest) -> Result<Plan, CompileError> {
    let encoding = &manifest.server.encoding;
    if !["UTF8", "SQL_ASCII", "UTF8MB4", "UTF8MB3"].contains(&encoding.to_ascii_uppercase().as_str()) {
        return Err(CompileError::EncodingUnsupported(encoding.clone()));
    }
    check_format(&profile.format)?;
    let zone = manifest
        .time_zone
        .parse()
        .map_err(|_| invalid("timeZone", format!("the copy's zone {:?} is unknown", manifest.time_zone)))?;
    let mut compiler = Compiler {
        profile,
        tables: Tables { tables: &manifest.tables, exclude: &profile.exclude },
        held: Vec::new(),
        lookups: Vec::new(),
        skipped: Vec::new(),
    };
    let entities = compiler.entities()?;
    Ok(Plan {
        format: profile.format.clone(),
        zone,
        held: compiler.held,
        lookups: compiler.lookups.len(),
        entities,
        skipped: compiler.skipped,
        exclude: profile.exclude.clone(),
    })
}

fn check_format(format: &Format) -> Result<(), CompileError> {
    let delimiter = format.delimiter.as_bytes();
    if !matches!(delimiter, [one] if one.is_ascii() && !matches!(one, b'"' | b'\n' | b'\r' | 0)) {
        return Err(invalid("format.delimiter", "use one ASCII character that is no quote and no line end"));
    }
    if format.multi_value_separator.is_empty() {
        return Err(invalid("format.multiValueSeparator", "use at least one character"));
    }
    if format.max_rows_per_file.is_some_and(|most| most < 1) {
        return Err(invalid("format.maxRowsPerFile", "use 1 or more, or leave it out"));
    }
    for (field, pattern) in
        [("format.dateFormat", &format.date_format), ("format.dateTimeFormat", &format.date_time_format)]
    {
        if !is_date_format(pattern) {
            return Err(invalid(field, format!("{pattern:?} is no strftime pattern without a zone")));
        }
    }
    let date_only = ["%H", "%M", "%S", "%I", "%p", "%T", "%R", "%X", "%c", "%s", "%f"];
    if date_only.iter().any(|time| format.date_format.contains(time)) {
        return Err(invalid("format.dateFormat", "a date has no time: use %Y, %m and %d"));
    }
    Ok(())
}

struct Compiler<'a> {
    profile: &'a ExportProfile,
    tables: Tables<'a>,
    held: Vec<HeldTable>,
    /// Lookups in use, by name; `None` is one whose table the tenant lacks.
    lookups: Vec<(&'a str, Option<usize>)>,
    skipped: Vec<Skipped>,
}

impl<'a> Compiler<'a> {
    fn entities(&mut self) -> Result<Vec<EntityPlan>, CompileError> {
        let profile = self.profile;
        if profile.entities.is_empty() {
            return Err(invalid("entities", "list at least one"));
        }
        let mut files = BTreeSet::new();
        let mut entities = Vec::with_capacity(profile.entities.len());
        for (at, entity) in profile.entities.iter().enumerate() {
            let field = format!("entities[{}]", entity.name);
            let legal = segment("file", &entity.file).is_ok() && entity.file.to_ascii_lowercase().ends_with(".csv");
            if !legal || !files.insert(entity.file.to_ascii_lowercase()) {
                return Err(invalid(
                    format!("{field}.file"),
                    format!("{:?} must be a name of its own that ends in .csv", entity.file),
                ));
            }
            entities.push(self.entity(at, entity, &field)?);
        }
        Ok(entities)
    }

    fn entity(&mut self, at: usize, entity: &'a Entity, field: &str) -> Result<EntityPlan, CompileError> {
        let table = self.tables.need(&format!("{field}.table"), &entity.table)?;
        let mut columns = Vec::new();
        for spec in &entity.columns {
            self.column(entity, spec, table, field, &mut columns)?;
        }
        let mut headers = BTreeSet::new();
        if let Some(twice) =
            columns.iter().find(|column: &&OutColumn| !headers.insert(column.header.to_ascii_lowercase()))
        {
            return Err(invalid(
                format!("{field}.columns"),
                format!("header {:?} is there twice: set header", twice.header),
            ));
        }
        if columns.is_empty() {
            return Err(invalid(format!("{field}.columns"), "no column is left"));
        }
        let multi = entity.multi.as_ref().map(|multi| self.multi(at, entity, multi, table));
        Ok(EntityPlan {
            name: entity.name.clone(),
            file: entity.file.clone(),
            table,
            columns,
            filter: self.tables.filters(field, table, &entity.conditions)?,
            multi: multi.transpose()?,
        })
    }

    fn column(
        &mut self,
        entity: &'a Entity,
        spec: &'a ColumnSpec,
        table: usize,
        field: &str,
        columns: &mut Vec<OutColumn>,
    ) -> Result<(), CompileError> {
        let field = format!("{field}.columns[{}]", spec.column);
        let Some(index) = self.tables.find_column(&field, table, &spec.column)? else {
            if spec.optional {
                self.skip(&entity.name, &spec.column);
                return Ok(());
            }
            return self.tables.need_column(&field, table, &spec.column).map(|_| ());
        };
        let header = spec.header.clone().unwrap_or_else(|| spec.column.to_uppercase());
        let cell = Source::Cell(Shape::of(&self.tables.tables[table].columns[index], spec.boolean));
        let mut add = |header: String, source| columns.push(OutColumn { header, index, source });
        let Some(reference) = &spec.lookup else {
            add(header, cell);
            return Ok(());
        };
        let slot = self.lookup(&reference.name, reference.key.len(), &format!("{field}.lookup"))?;
        let label = slot.map(|lookup| Source::Label {
            lookup,
            prefix: reference.key.iter().fold(String::new(), |prefix, part| prefix + part + KEY_SEPARATOR),
        });
        match (reference.output, label) {
            (LookupOutput::Replace, Some(label)) => add(header, label),
            (LookupOutput::Replace, None) => self.skip(&entity.name, &header),
            (LookupOutput::Label, label) => {
                let of_label = format!("{header}_LABEL");
                add(header, cell);
                match label {
                    Some(label) => add(of_label, label),
                    None => self.skip(&entity.name, &of_label),
                }
            }
        }
        Ok(())
    }

    /// The slot of a lookup, which is compiled when a column first uses it; `None` where the tenant lacks its table.
    fn lookup(&mut self, name: &'a str, fixed: usize, field: &str) -> Result<Option<usize>, CompileError> {
        let Some(lookup) = self.profile.lookups.get(name) else {
            return Err(CompileError::LookupMissing { field: field.to_owned(), lookup: name.to_owned() });
        };
        if fixed + 1 != lookup.key.len() {
            return Err(invalid(
                format!("{field}.key"),
                format!(
                    "lookup {name:?} has {} key columns, so give {} fixed values; the cell is the last one",
                    lookup.key.len(),
                    lookup.key.len().saturating_sub(1)
                ),
            ));
        }
        if let Some((_, slot)) = self.lookups.iter().find(|(known, _)| *known == name) {
            return Ok(*slot);
        }
        let slot = self.hold_lookup(name, lookup)?;
        self.lookups.push((name, slot));
        Ok(slot)
    }

    fn hold_lookup(&mut self, name: &str, lookup: &Lookup) -> Result<Option<usize>, CompileError> {
        let field = format!("lookups[{name}]");
        let Some(table) = self.tables.find(&format!("{field}.table"), &lookup.table)? else {
            if lookup.optional {
                self.skip("lookups", &lookup.table.name);
                return Ok(None);
            }
            return self.tables.need(&format!("{field}.table"), &lookup.table).map(Some);
        };
        let slot = self.lookups.len();
        let mut key = Vec::with_capacity(lookup.key.len());
        for column in &lookup.key {
            key.push(self.tables.need_column(&format!("{field}.key"), table, column)?);
        }
        let value = self.tables.template(&format!("{field}.value"), table, &lookup.value)?;
        let filter = self.tables.filters(&field, table, &lookup.conditions)?;
        self.hold(table, Use { target: Target::Lookup(slot), key, pivot: Vec::new(), value, filter });
        Ok(Some(slot))
    }

    fn multi(&mut self, at: usize, entity: &Entity, multi: &Multi, of: usize) -> Result<usize, CompileError> {
        let field = format!("entities[{}].multi", entity.name);
        let table = self.tables.need(&format!("{field}.table"), &multi.table)?;
        let key = format!("entities[{}].key", entity.name);
        let id = self.tables.need_column(&key, of, &entity.key)?;
        if multi.pivot.is_empty() {
            return Err(invalid(format!("{field}.pivot"), "list at least one column"));
        }
        let mut pivot = Vec::with_capacity(multi.pivot.len());
        for column in &multi.pivot {
            pivot.push(self.tables.need_column(&format!("{field}.pivot"), table, column)?);
        }
        let key = vec![self.tables.need_column(&format!("{field}.on"), table, &multi.on)?];
        let value = self.tables.template(&format!("{field}.value"), table, &multi.value)?;
        let filter = self.tables.filters(&field, table, &multi.conditions)?;
        self.hold(table, Use { target: Target::Multi(at), key, pivot, value, filter });
        Ok(id)
    }

    fn hold(&mut self, table: usize, use_: Use) {
        match self.held.iter_mut().find(|held| held.table == table) {
            Some(held) => held.uses.push(use_),
            None => self.held.push(HeldTable { table, uses: vec![use_] }),
        }
    }

    fn skip(&mut self, entity: &str, name: &str) {
        self.skipped.push(Skipped { entity: entity.to_owned(), name: name.to_owned() });
    }
}
