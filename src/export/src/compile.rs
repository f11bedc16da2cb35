//! Compiles a profile against the tables of one backup. Errors name the field of the profile.

use super::cell::Shape;
use super::error::CompileError;
use super::plan::{
    CacheRule, CacheUse, CachedTable, EntityPlan, ExportPlan, KEY_SEPARATOR, LookupPlan, OutColumn, Skipped, Source,
};
use super::resolve::{Resolve, invalid};
use super::single_pass;
use sennight_core::manifest::Manifest;
use sennight_core::profile::{ColumnSpec, Entity, ExportProfile, Lookup, LookupOutput, LookupRef, Tables};
use std::collections::BTreeSet;

impl ExportPlan {
    /// Compiles `profile` for the backup that `manifest` describes.
    pub fn compile(profile: &ExportProfile, manifest: &Manifest) -> Result<Self, CompileError> {
        compile(profile, manifest)
    }
}

/// The plan of a profile for a backup.
fn compile(profile: &ExportProfile, manifest: &Manifest) -> Result<ExportPlan, CompileError> {
    profile.fits(manifest)?;
    let zone = manifest
        .time_zone
        .parse()
        .map_err(|_| invalid("timeZone", format!("the backup's zone {:?} is unknown", manifest.time_zone)))?;
    let mut compiler = Compiler {
        profile,
        tables: Tables { tables: &manifest.tables, profile },
        cached: Vec::new(),
        lookups: Vec::new(),
        plans: Vec::new(),
        enums: Vec::new(),
        skipped: Vec::new(),
    };
    let mut entities = compiler.entities()?;
    // After all entities are compiled: only then is it known who needs which lookup first.
    let read_twice = single_pass::assign_lookups(&mut compiler.cached, &mut entities);
    // What the custom fields are must be known before their values are read.
    let fields = |use_: &CacheUse| matches!(use_.keep, CacheRule::Field { .. });
    compiler.cached.sort_by_key(|cached| !cached.uses.iter().any(fields));
    Ok(ExportPlan {
        style: profile.format.style()?,
        zone,
        language: profile.language.clone(),
        missing_only: profile.missing_only,
        cached: compiler.cached,
        lookups: compiler.plans,
        entities,
        skipped: compiler.skipped,
        read_twice,
        exclude: profile.exclude.clone(),
    })
}

pub(super) struct Compiler<'a> {
    profile: &'a ExportProfile,
    pub(super) tables: Tables<'a>,
    cached: Vec<CachedTable>,
    /// Lookups in use, by name; `None` is one whose table the tenant lacks.
    lookups: Vec<(&'a str, Option<usize>)>,
    plans: Vec<LookupPlan>,
    /// The tables with the texts of list fields, and their lookups.
    pub(super) enums: Vec<(usize, usize)>,
    skipped: Vec<Skipped>,
}

impl<'a> Compiler<'a> {
    fn entities(&mut self) -> Result<Vec<EntityPlan>, CompileError> {
        let profile = self.profile;
        let compiled = profile.entities.iter().enumerate();
        compiled.map(|(at, entity)| self.entity(at, entity, &format!("entities[{}]", entity.name))).collect()
    }

    fn entity(&mut self, at: usize, entity: &'a Entity, field: &str) -> Result<EntityPlan, CompileError> {
        let table = self.tables.need(&format!("{field}.table"), &entity.table)?;
        let mut columns = Vec::new();
        for spec in &entity.columns {
            self.column(entity, spec, table, field, &mut columns)?;
        }
        let custom = match &entity.custom {
            Some(custom) => self.custom(at, &entity.name, custom)?,
            None => None,
        };
        let lines = match &entity.lines {
            Some(lines) => self.lines(at, &entity.name, lines)?,
            None => Vec::new(),
        };
        let mut headers = BTreeSet::new();
        let custom_headers = custom.iter().flat_map(|custom| custom.columns.iter().map(|c| &c.header));
        let all = columns.iter().map(|c| &c.header).chain(custom_headers).chain(lines.iter().map(|c| &c.header));
        // Asked again beside the profile's own check: which optional columns a backup has is known only now, and custom
        // fields are the tenant's.
        if let Some(twice) = all.into_iter().find(|header| !headers.insert(header.to_ascii_lowercase())) {
            return Err(invalid(format!("{field}.columns"), format!("header {twice:?} is there twice: set header")));
        }
        self.multi(at, entity)?;
        Ok(EntityPlan {
            name: entity.name.clone(),
            file: entity.file.clone(),
            table,
            key: self.key(entity, table, field)?,
            columns,
            filter: self.tables.filters(field, table, &entity.conditions)?,
            multi: entity.multi.is_some(),
            custom,
            lines,
            labels: Vec::new(),
        })
    }

    /// The id column. What needs no ids does without: the first column stands for it.
    fn key(&self, entity: &Entity, table: usize, field: &str) -> Result<usize, CompileError> {
        let field = format!("{field}.key");
        let needed =
            entity.multi.is_some() || entity.custom.is_some() || entity.lines.is_some() || self.profile.missing_only;
        match self.tables.find_column(&field, table, &entity.key)? {
            Some(key) => Ok(key),
            None if needed => self.tables.need_column(&field, table, &entity.key),
            None => Ok(0),
        }
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
        let label = self.label(reference, &format!("{field}.lookup"))?;
        match (reference.output, label) {
            (LookupOutput::Replace, Some(label)) => add(header, label),
            // Without the table no name is known, and the id in its place would become a name: an importer would create
            // it.
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

    /// What a lookup makes of a cell; `None` where the tenant lacks its table. It is compiled when a column first uses it.
    fn label(&mut self, reference: &'a LookupRef, field: &str) -> Result<Option<Source>, CompileError> {
        let name = reference.name.as_str();
        let known = self.lookups.iter().find(|(known, _)| *known == name);
        let slot = match (known, self.profile.lookups.get(name)) {
            (Some((_, slot)), _) => *slot,
            (None, Some(lookup)) => {
                let slot = self.cache_lookup(name, lookup)?;
                self.lookups.push((name, slot));
                slot
            }
            (None, None) => return Err(invalid(field, "there is no such lookup")),
        };
        let Some(lookup) = slot else { return Ok(None) };
        // One link is enough: shared texts are looked for once a lookup, not once a column.
        self.plans[lookup].link |= reference.link;
        let prefix = reference.key.iter().fold(String::new(), |prefix, part| prefix + part + KEY_SEPARATOR);
        Ok(Some(Source::Label { lookup, prefix, link: reference.link }))
    }

    fn cache_lookup(&mut self, name: &str, lookup: &Lookup) -> Result<Option<usize>, CompileError> {
        let field = format!("lookups[{name}]");
        let Some(table) = self.tables.find(&format!("{field}.table"), &lookup.table)? else {
            if lookup.optional {
                self.skip("lookups", &lookup.table.name);
                return Ok(None);
            }
            return self.tables.need(&format!("{field}.table"), &lookup.table).map(Some);
        };
        let mut key = Vec::with_capacity(lookup.key.len());
        for column in &lookup.key {
            key.push(self.tables.need_column(&format!("{field}.key"), table, column)?);
        }
        let value = self.tables.template(&format!("{field}.value"), table, &lookup.value)?;
        let filter = self.tables.filters(&field, table, &lookup.conditions)?;
        let slot = self.slot();
        self.cache(table, CacheUse { keep: CacheRule::Lookup { slot, key, value }, filter });
        Ok(Some(slot))
    }

    fn multi(&mut self, entity: usize, of: &Entity) -> Result<(), CompileError> {
        let Some(multi) = &of.multi else { return Ok(()) };
        let field = format!("entities[{}].multi", of.name);
        let table = self.tables.need(&format!("{field}.table"), &multi.table)?;
        let mut pivot = Vec::with_capacity(multi.pivot.len());
        for column in &multi.pivot {
            pivot.push(self.tables.need_column(&format!("{field}.pivot"), table, column)?);
        }
        let on = self.tables.need_column(&format!("{field}.on"), table, &multi.on)?;
        let value = self.tables.template(&format!("{field}.value"), table, &multi.value)?;
        let filter = self.tables.filters(&field, table, &multi.conditions)?;
        self.cache(table, CacheUse { keep: CacheRule::Multi { entity, on, pivot, value }, filter });
        Ok(())
    }

    /// A place for one more lookup.
    pub(super) fn slot(&mut self) -> usize {
        self.plans.push(LookupPlan::default());
        self.plans.len() - 1
    }

    pub(super) fn cache(&mut self, table: usize, use_: CacheUse) {
        match self.cached.iter_mut().find(|cached| cached.table == table) {
            // One reading for all uses: each further one would cost the table's bytes again.
            Some(cached) => cached.uses.push(use_),
            None => self.cached.push(CachedTable { table, uses: vec![use_] }),
        }
    }

    pub(super) fn skip(&mut self, entity: &str, name: &str) {
        self.skipped.push(Skipped { entity: entity.to_owned(), name: name.to_owned() });
    }
}
