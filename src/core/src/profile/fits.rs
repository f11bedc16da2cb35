//! Checks a profile against a backup: whether it has the tables and columns. Done twice: before anybody approves or pays,
//! and when the export is compiled.

use super::{ColumnSpec, Condition, Custom, Entity, ExportProfile, Lookup, ProfileFault, TableName};
use crate::manifest::{Manifest, Table};

/// A profile that does not fit a backup, or is wrong in itself. Another attempt fails the same way.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, strum::IntoStaticStr)]
pub enum Misfit {
    /// The profile is wrong by itself.
    #[error(transparent)]
    Profile(#[from] ProfileFault),
    /// A table that the backup lacks.
    #[error("{field} names table {table:?}, which the backup does not have: correct the profile")]
    TableMissing {
        /// Field of the profile.
        field: String,
        /// The table.
        table: String,
    },
    /// A table that two schemas have.
    #[error("{field} names table {table:?}, which several schemas have: add table.schema")]
    TableAmbiguous {
        /// Field of the profile.
        field: String,
        /// The table.
        table: String,
    },
    /// A column that its table lacks.
    #[error("{field} names column {column:?}, which table {table:?} does not have: correct it or set optional: true")]
    ColumnMissing {
        /// Field of the profile.
        field: String,
        /// The column.
        column: String,
        /// Its table.
        table: String,
    },
    /// Row text in an encoding that exports do not read.
    #[error(
        "the backup's encoding is {0:?}; exports read UTF8 only: use a FullRestore, or convert the database to UTF8"
    )]
    EncodingUnsupported(String),
}

impl Misfit {
    /// Reason of the refusal, in CamelCase.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Profile(fault) => fault.reason(),
            other => other.into(),
        }
    }
}

/// The tables of a backup as a profile may name them.
#[derive(Debug, Clone, Copy)]
pub struct Tables<'a> {
    /// The backup's tables.
    pub tables: &'a [Table],
    /// The profile; every name is checked against its exclusions.
    pub profile: &'a ExportProfile,
}

impl Tables<'_> {
    /// Index of the table in the manifest; `None` if the backup lacks it. An exact name wins, and `public` before other
    /// schemas.
    pub fn find(&self, field: &str, name: &TableName) -> Result<Option<usize>, Misfit> {
        self.profile.assert_table(field, &name.name)?;
        let fits = |table: &Table, exact: bool| {
            let same = |a: &str, b: &str| if exact { a == b } else { a.eq_ignore_ascii_case(b) };
            same(&table.name, &name.name) && name.schema.as_ref().is_none_or(|schema| same(&table.schema, schema))
        };
        for exact in [true, false] {
            let found: Vec<usize> = (0..self.tables.len()).filter(|at| fits(&self.tables[*at], exact)).collect();
            match found.as_slice() {
                [] => {}
                [one] => return Ok(Some(*one)),
                several => {
                    let public = several.iter().find(|at| self.tables[**at].schema == "public");
                    return public
                        .copied()
                        .map(Some)
                        .ok_or(Misfit::TableAmbiguous { field: field.to_owned(), table: name.name.clone() });
                }
            }
        }
        Ok(None)
    }

    /// Index of the table in the manifest; an error if the backup lacks it.
    pub fn need(&self, field: &str, name: &TableName) -> Result<usize, Misfit> {
        self.find(field, name)?.ok_or(Misfit::TableMissing { field: field.to_owned(), table: name.name.clone() })
    }

    /// Index of the column in its table; `None` if the table lacks it.
    pub fn find_column(&self, field: &str, table: usize, column: &str) -> Result<Option<usize>, Misfit> {
        self.profile.assert_column(field, column)?;
        let columns = &self.tables[table].columns;
        let exact = columns.iter().position(|c| c.name == column);
        Ok(exact.or_else(|| columns.iter().position(|c| c.name.eq_ignore_ascii_case(column))))
    }

    /// Index of the column in its table; an error if the table lacks it.
    pub fn need_column(&self, field: &str, table: usize, column: &str) -> Result<usize, Misfit> {
        self.find_column(field, table, column)?.ok_or(Misfit::ColumnMissing {
            field: field.to_owned(),
            column: column.to_owned(),
            table: self.tables[table].name.clone(),
        })
    }

    fn need_columns(&self, field: &str, table: usize, columns: &[String]) -> Result<(), Misfit> {
        columns.iter().try_for_each(|column| self.need_column(field, table, column).map(drop))
    }

    fn conditions_fit(&self, field: &str, table: usize, conditions: &[Condition]) -> Result<(), Misfit> {
        let needed = conditions.iter().enumerate().filter(|(_, condition)| !condition.optional);
        let mut needed = needed.map(|(at, condition)| (format!("{field}.where[{at}]"), condition));
        needed.try_for_each(|(field, condition)| self.need_column(&field, table, &condition.column).map(drop))
    }

    fn template_fits(&self, field: &str, table: usize, text: &str) -> Result<(), Misfit> {
        template_columns(text).try_for_each(|column| self.need_column(field, table, column).map(drop))
    }

    /// How many of the columns the table has; one that it lacks must be optional.
    fn columns(&self, field: &str, table: usize, columns: &[ColumnSpec]) -> Result<usize, Misfit> {
        let mut found = 0;
        for column in columns {
            let field = format!("{field}.columns[{}]", column.column);
            match self.find_column(&field, table, &column.column)? {
                Some(_) => found += 1,
                None if column.optional => {}
                None => drop(self.need_column(&field, table, &column.column)?),
            }
        }
        Ok(found)
    }
}

/// The columns that a value is made of: itself, or those in braces.
pub(super) fn template_columns(text: &str) -> impl Iterator<Item = &str> {
    let plain = (!text.contains(['{', '}'])).then_some(text);
    let braced = text.split('{').skip(1).filter_map(|rest| Some(rest.split_once('}')?.0));
    plain.into_iter().chain(braced)
}

impl ExportProfile {
    /// Whether the backup that `manifest` describes can be exported by this profile.
    pub fn fits(&self, manifest: &Manifest) -> Result<(), Misfit> {
        let encoding = &manifest.server.encoding;
        // SQL_ASCII promises no encoding; cells that are no UTF-8 are counted and listed in the export's manifest.
        if !["UTF8", "SQL_ASCII", "UTF8MB4", "UTF8MB3"].contains(&encoding.to_ascii_uppercase().as_str()) {
            return Err(Misfit::EncodingUnsupported(encoding.clone()));
        }
        self.check()?;
        let tables = Tables { tables: &manifest.tables, profile: self };
        self.entities.iter().try_for_each(|entity| self.entity_fits(entity, tables))
    }

    fn entity_fits(&self, entity: &Entity, tables: Tables<'_>) -> Result<(), Misfit> {
        let field = format!("entities[{}]", entity.name);
        let table = tables.need(&format!("{field}.table"), &entity.table)?;
        if tables.columns(&field, table, &entity.columns)? == 0 {
            return Err(ProfileFault::invalid(format!("{field}.columns"), "no column is left").into());
        }
        tables.conditions_fit(&field, table, &entity.conditions)?;
        for name in entity.columns.iter().filter_map(|column| Some(&column.lookup.as_ref()?.name)) {
            if let Some(lookup) = self.lookups.get(name) {
                lookup_fits(lookup, &format!("lookups[{name}]"), tables)?;
            }
        }
        let parts = entity.multi.is_some() || entity.custom.is_some() || entity.lines.is_some();
        if parts || self.missing_only {
            tables.need_column(&format!("{field}.key"), table, &entity.key)?;
        }
        if let Some(multi) = &entity.multi {
            let field = format!("{field}.multi");
            let table = tables.need(&format!("{field}.table"), &multi.table)?;
            tables.need_column(&format!("{field}.on"), table, &multi.on)?;
            tables.need_columns(&format!("{field}.pivot"), table, &multi.pivot)?;
            tables.template_fits(&format!("{field}.value"), table, &multi.value)?;
            tables.conditions_fit(&field, table, &multi.conditions)?;
        }
        if let Some(custom) = &entity.custom {
            custom_fits(custom, &format!("{field}.custom"), tables)?;
        }
        if let Some(lines) = &entity.lines {
            let field = format!("{field}.lines");
            let of_table = format!("{field}.table");
            let Some(table) = tables.find(&of_table, &lines.table)? else {
                return if lines.optional { Ok(()) } else { tables.need(&of_table, &lines.table).map(drop) };
            };
            tables.need_column(&format!("{field}.on"), table, &lines.on)?;
            tables.columns(&field, table, &lines.columns)?;
            tables.conditions_fit(&field, table, &lines.conditions)?;
        }
        Ok(())
    }
}

fn lookup_fits(lookup: &Lookup, field: &str, tables: Tables<'_>) -> Result<(), Misfit> {
    let of_table = format!("{field}.table");
    let Some(table) = tables.find(&of_table, &lookup.table)? else {
        return if lookup.optional { Ok(()) } else { tables.need(&of_table, &lookup.table).map(drop) };
    };
    tables.need_columns(&format!("{field}.key"), table, &lookup.key)?;
    tables.template_fits(&format!("{field}.value"), table, &lookup.value)?;
    tables.conditions_fit(field, table, &lookup.conditions)
}

/// The tables of custom fields may be missing; one that exists must have the columns that are read.
fn custom_fits(custom: &Custom, field: &str, tables: Tables<'_>) -> Result<(), Misfit> {
    let key = [custom.key.as_str()];
    let values = [custom.key.as_str(), "FIELD_ID"];
    for (part, name, columns) in [
        ("", &custom.table, &key[..]),
        (".fields", &custom.fields, &["ID", "FIELD_NAME", "ENTITY_ID"]),
        (".values", &custom.values, &values),
        (".enums", &custom.enums, &["ID", "VALUE"]),
    ] {
        let field = format!("{field}{part}");
        let Some(table) = tables.find(&format!("{field}.table"), name)? else { continue };
        for column in columns {
            tables.need_column(&field, table, column)?;
        }
    }
    Ok(())
}
