//! Compiles the parts of an entity that come from other tables: custom fields and further lines.

use super::cell::Shape;
use super::compile::Compiler;
use super::error::CompileError;
use super::plan::{CacheRule, CacheUse, CustomPlan, LineColumn};
use super::resolve::{Filter, Resolve, Template};
use sennight_core::profile::{Custom, Lines, TableName};

/// The columns that values of a field with several values may be in; which one, depends on the field's type.
const VALUE_COLUMNS: [&str; 4] = ["VALUE", "VALUE_INT", "VALUE_DOUBLE", "VALUE_DATE"];

impl Compiler<'_> {
    /// Custom fields are the tenant's own: what there is of them is exported, and what is not there is listed.
    pub(super) fn custom(
        &mut self,
        entity: usize,
        name: &str,
        custom: &Custom,
    ) -> Result<Option<CustomPlan>, CompileError> {
        let field = format!("entities[{name}].custom");
        let Some(table) = self.tables.find(&format!("{field}.table"), &custom.table)? else {
            self.skip(name, &custom.table.name);
            return Ok(None);
        };
        let on = self.tables.need_column(&format!("{field}.key"), table, &custom.key)?;
        let prefix = custom.prefix.to_ascii_uppercase();
        let (mut columns, mut places) = (Vec::new(), Vec::new());
        for (place, column) in self.tables.tables[table].columns.iter().enumerate() {
            let header = column.name.to_ascii_uppercase();
            // What the profile excludes is left out here and not refused: the tenant names these columns, not the profile.
            if header.starts_with(&prefix) && self.tables.find_column(&field, table, &column.name).is_ok() {
                columns.push(LineColumn { header, shape: Shape::of(column, false) });
                places.push(place);
            }
        }
        self.cache(table, CacheUse { keep: CacheRule::Scalars { entity, on, columns: places }, filter: Vec::new() });
        self.fields(entity, name, custom, &field)?;
        let enums = self.enums(name, &custom.enums, &field)?;
        Ok(Some(CustomPlan { columns, enums }))
    }

    /// What the fields are, and the values of those that may have several.
    fn fields(&mut self, entity: usize, name: &str, custom: &Custom, field: &str) -> Result<(), CompileError> {
        let of_fields = format!("{field}.fields");
        let Some(fields) = self.tables.find(&of_fields, &custom.fields)? else {
            self.skip(name, &custom.fields.name);
            return Ok(());
        };
        let need = |column| self.tables.need_column(&of_fields, fields, column);
        let find = |column| self.tables.find_column(&of_fields, fields, column);
        let keep = CacheRule::Field {
            entity,
            id: need("ID")?,
            name: need("FIELD_NAME")?,
            kind: find("USER_TYPE_ID")?,
            multiple: find("MULTIPLE")?,
        };
        let own = Filter::equals(need("ENTITY_ID")?, &custom.entity);
        self.cache(fields, CacheUse { keep, filter: vec![own] });
        let of_values = format!("{field}.values");
        let Some(table) = self.tables.find(&of_values, &custom.values)? else {
            self.skip(name, &custom.values.name);
            return Ok(());
        };
        let mut values = Vec::new();
        for column in VALUE_COLUMNS {
            values.extend(self.tables.find_column(&of_values, table, column)?);
        }
        let keep = CacheRule::Value {
            entity,
            on: self.tables.need_column(&of_values, table, &custom.key)?,
            field: self.tables.need_column(&of_values, table, "FIELD_ID")?,
            values,
        };
        self.cache(table, CacheUse { keep, filter: Vec::new() });
        Ok(())
    }

    /// The texts of list fields: one lookup, as ids are unique among all fields.
    fn enums(&mut self, name: &str, enums: &TableName, field: &str) -> Result<Option<usize>, CompileError> {
        let field = format!("{field}.enums");
        let Some(table) = self.tables.find(&field, enums)? else {
            self.skip(name, &enums.name);
            return Ok(None);
        };
        // Several entities share this table: its texts are held once.
        if let Some(slot) = self.known_enums(table) {
            return Ok(Some(slot));
        }
        let key = vec![self.tables.need_column(&field, table, "ID")?];
        let value: Template = self.tables.template(&field, table, "VALUE")?;
        let slot = self.slot();
        self.cache(table, CacheUse { keep: CacheRule::Lookup { slot, key, value }, filter: Vec::new() });
        self.enums.push((table, slot));
        Ok(Some(slot))
    }

    fn known_enums(&self, table: usize) -> Option<usize> {
        self.enums.iter().find(|(known, _)| *known == table).map(|(_, slot)| *slot)
    }

    /// Further lines of a record.
    pub(super) fn lines(&mut self, entity: usize, name: &str, lines: &Lines) -> Result<Vec<LineColumn>, CompileError> {
        let field = format!("entities[{name}].lines");
        let Some(table) = self.tables.find(&format!("{field}.table"), &lines.table)? else {
            if lines.optional {
                self.skip(name, &lines.table.name);
                return Ok(Vec::new());
            }
            return self.tables.need(&format!("{field}.table"), &lines.table).map(|_| Vec::new());
        };
        let on = self.tables.need_column(&format!("{field}.on"), table, &lines.on)?;
        let (mut columns, mut places) = (Vec::new(), Vec::new());
        for spec in &lines.columns {
            let field = format!("{field}.columns[{}]", spec.column);
            let place = match self.tables.find_column(&field, table, &spec.column)? {
                Some(place) => place,
                None if spec.optional => {
                    self.skip(name, &spec.column);
                    continue;
                }
                None => self.tables.need_column(&field, table, &spec.column)?,
            };
            let header = spec.header.clone().unwrap_or_else(|| spec.column.to_uppercase());
            columns
                .push(LineColumn { header, shape: Shape::of(&self.tables.tables[table].columns[place], spec.boolean) });
            places.push(place);
        }
        let filter = self.tables.filters(&field, table, &lines.conditions)?;
        self.cache(table, CacheUse { keep: CacheRule::Line { entity, on, columns: places }, filter });
        Ok(columns)
    }
}
