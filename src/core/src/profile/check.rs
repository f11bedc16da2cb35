//! Checks a profile by itself: exclusions, references inside it, names of files, formats. The first fault is reported, with
//! its field. Whether a backup fits it is checked in `fits`.

use super::fits::template_columns;
use super::{ColumnSpec, Condition, Entity, ExportProfile, Lookup, NEVER_EXPORTED, ProfileFault, TableName, matches};
use crate::names::segment;
use std::collections::{BTreeMap, BTreeSet};

impl ExportProfile {
    /// Whether the profile makes sense by itself.
    pub fn check(&self) -> Result<(), ProfileFault> {
        self.format.style()?;
        if self.entities.is_empty() {
            return Err(ProfileFault::invalid("entities", "list at least one"));
        }
        let (mut names, mut files) = (BTreeSet::new(), BTreeSet::new());
        for entity in &self.entities {
            if !names.insert(&entity.name) {
                return Err(ProfileFault::invalid(
                    "entities",
                    format!("{:?} is there twice: give each a name of its own", entity.name),
                ));
            }
            let field = format!("entities[{}]", entity.name);
            let own = segment("file", &entity.file).is_ok()
                && entity.file.to_ascii_lowercase().ends_with(".csv")
                // The zip has a file of this name already.
                && !entity.file.eq_ignore_ascii_case(AMBIGUOUS_LINKS);
            if !own || !files.insert(entity.file.to_ascii_lowercase()) {
                return Err(ProfileFault::invalid(
                    format!("{field}.file"),
                    format!("{:?} must be a name of its own that ends in .csv", entity.file),
                ));
            }
            self.entity(entity, &field)?;
        }
        self.lookups.iter().try_for_each(|(name, lookup)| self.lookup(lookup, &format!("lookups[{name}]")))
    }

    /// Refuses a table that must not be exported.
    pub fn assert_table(&self, field: &str, name: &str) -> Result<(), ProfileFault> {
        let own = self.exclude.iter().map(String::as_str);
        let pattern = NEVER_EXPORTED.into_iter().chain(own).find(|pattern| matches(pattern, name));
        pattern.map_or(Ok(()), |pattern| Err(excluded(field, name, pattern)))
    }

    /// Refuses a column that must not be exported.
    pub fn assert_column(&self, field: &str, name: &str) -> Result<(), ProfileFault> {
        let pattern = self.exclude.iter().find(|pattern| matches(pattern, name));
        pattern.map_or(Ok(()), |pattern| Err(excluded(field, name, pattern)))
    }

    fn entity(&self, entity: &Entity, field: &str) -> Result<(), ProfileFault> {
        self.table(field, &entity.table)?;
        self.columns(&format!("{field}.key"), std::slice::from_ref(&entity.key))?;
        self.conditions(field, &entity.conditions)?;
        if entity.columns.is_empty() {
            return Err(ProfileFault::invalid(format!("{field}.columns"), "list at least one"));
        }
        let mut headers = BTreeMap::new();
        for column in &entity.columns {
            self.column(column, &format!("{field}.columns[{}]", column.column), &mut headers)?;
        }
        if let Some(multi) = &entity.multi {
            let field = format!("{field}.multi");
            self.table(&field, &multi.table)?;
            if multi.pivot.is_empty() {
                return Err(ProfileFault::invalid(format!("{field}.pivot"), "list at least one column"));
            }
            self.columns(&format!("{field}.pivot"), &multi.pivot)?;
            self.columns(&format!("{field}.on"), std::slice::from_ref(&multi.on))?;
            self.template(&format!("{field}.value"), &multi.value)?;
            self.conditions(&field, &multi.conditions)?;
        }
        if let Some(custom) = &entity.custom {
            let field = format!("{field}.custom");
            for (part, table) in [
                ("", &custom.table),
                (".fields", &custom.fields),
                (".enums", &custom.enums),
                (".values", &custom.values),
            ] {
                self.assert_table(&format!("{field}{part}.table"), &table.name)?;
            }
            self.columns(&format!("{field}.key"), std::slice::from_ref(&custom.key))?;
            if custom.prefix.is_empty() {
                return Err(ProfileFault::invalid(format!("{field}.prefix"), "say how custom columns begin, as UF_"));
            }
        }
        if let Some(lines) = &entity.lines {
            let field = format!("{field}.lines");
            self.table(&field, &lines.table)?;
            self.columns(&format!("{field}.on"), std::slice::from_ref(&lines.on))?;
            self.conditions(&field, &lines.conditions)?;
            if lines.columns.is_empty() {
                return Err(ProfileFault::invalid(format!("{field}.columns"), "list at least one"));
            }
            for column in &lines.columns {
                let field = format!("{field}.columns[{}]", column.column);
                if column.lookup.is_some() {
                    return Err(ProfileFault::invalid(
                        format!("{field}.lookup"),
                        "a line has no lookups: leave it out",
                    ));
                }
                self.column(column, &field, &mut headers)?;
            }
        }
        Ok(())
    }

    /// A header may stand twice where a column is optional: an old and a new name of one field. A backup that has both is
    /// refused when it is exported.
    fn column(
        &self,
        column: &ColumnSpec,
        field: &str,
        headers: &mut BTreeMap<String, bool>,
    ) -> Result<(), ProfileFault> {
        self.assert_column(field, &column.column)?;
        let header = column.header.clone().unwrap_or_else(|| column.column.to_uppercase());
        if headers.insert(header.to_ascii_lowercase(), column.optional) == Some(false) && !column.optional {
            return Err(ProfileFault::invalid(field, format!("header {header:?} is there twice: set header")));
        }
        let Some(reference) = &column.lookup else { return Ok(()) };
        let field = format!("{field}.lookup");
        let Some(lookup) = self.lookups.get(&reference.name) else {
            return Err(ProfileFault::LookupMissing { field, lookup: reference.name.clone() });
        };
        if reference.key.len() + 1 != lookup.key.len() {
            return Err(ProfileFault::invalid(
                format!("{field}.key"),
                format!(
                    "lookup {:?} has {} key columns, so give {} fixed values; the cell is the last one",
                    reference.name,
                    lookup.key.len(),
                    lookup.key.len().saturating_sub(1)
                ),
            ));
        }
        Ok(())
    }

    fn lookup(&self, lookup: &Lookup, field: &str) -> Result<(), ProfileFault> {
        self.table(field, &lookup.table)?;
        if lookup.key.is_empty() {
            return Err(ProfileFault::invalid(format!("{field}.key"), "list at least one column"));
        }
        self.columns(&format!("{field}.key"), &lookup.key)?;
        self.template(&format!("{field}.value"), &lookup.value)?;
        self.conditions(field, &lookup.conditions)
    }

    fn table(&self, field: &str, table: &TableName) -> Result<(), ProfileFault> {
        self.assert_table(&format!("{field}.table"), &table.name)
    }

    fn columns(&self, field: &str, names: &[String]) -> Result<(), ProfileFault> {
        names.iter().try_for_each(|name| self.assert_column(field, name))
    }

    fn conditions(&self, field: &str, conditions: &[Condition]) -> Result<(), ProfileFault> {
        for (at, condition) in conditions.iter().enumerate() {
            let field = format!("{field}.where[{at}]");
            self.assert_column(&field, &condition.column)?;
            let tests = [&condition.equals, &condition.not_equals, &condition.starts_with];
            if tests.into_iter().flatten().count() != 1 {
                return Err(ProfileFault::invalid(field, "give exactly one of equals, notEquals and startsWith"));
            }
        }
        Ok(())
    }

    fn template(&self, field: &str, text: &str) -> Result<(), ProfileFault> {
        if text.split('{').skip(1).any(|rest| !rest.contains('}')) {
            return Err(ProfileFault::invalid(field, "a { has no }"));
        }
        template_columns(text).try_for_each(|column| self.assert_column(field, column))
    }
}

/// The file of links that an importer may get wrong.
pub const AMBIGUOUS_LINKS: &str = "ambiguous-links.csv";

fn excluded(field: &str, name: &str, pattern: &str) -> ProfileFault {
    ProfileFault::ExcludedTable { field: field.to_owned(), name: name.to_owned(), pattern: pattern.to_owned() }
}
