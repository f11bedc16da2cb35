//! The compiled form of a profile for one backup: every name is resolved and every exclusion checked. After this only the data
//! can be wrong.

use super::cell::Shape;
use super::resolve::{Filter, Template};
use chrono_tz::Tz;
use sennight_core::profile::Style;
use serde::Serialize;

/// A profile that fits a backup.
#[derive(Debug, Clone)]
pub struct ExportPlan {
    pub(super) style: Style,
    pub(super) zone: Tz,
    pub(super) language: String,
    pub(super) missing_only: bool,
    pub(super) cached: Vec<CachedTable>,
    pub(super) lookups: Vec<LookupPlan>,
    pub(super) entities: Vec<EntityPlan>,
    pub(super) skipped: Vec<Skipped>,
    /// Tables of entities that are read once more, before all entities.
    pub(super) read_twice: Vec<usize>,
    pub(super) exclude: Vec<String>,
}

/// Something that the profile lists as optional and the tenant does not have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// The entity, or `lookups`.
    pub entity: String,
    /// The column or table.
    pub name: String,
}

/// A lookup in use.
#[derive(Debug, Clone, Default)]
pub(super) struct LookupPlan {
    /// Importers find records by its texts: those that several records share are listed.
    pub(super) link: bool,
}

/// A table that is read into memory, once, for all that need it.
#[derive(Debug, Clone)]
pub(super) struct CachedTable {
    pub(super) table: usize,
    pub(super) uses: Vec<CacheUse>,
}

#[derive(Debug, Clone)]
pub(super) struct CacheUse {
    pub(super) keep: CacheRule,
    pub(super) filter: Vec<Filter>,
}

/// What to cache of a row, and what for. Numbers of columns are places in the row.
#[derive(Debug, Clone)]
pub(super) enum CacheRule {
    /// A text by its key.
    Lookup { slot: usize, key: Vec<usize>, value: Template },
    /// A value of one kind of a record.
    Multi { entity: usize, on: usize, pivot: Vec<usize>, value: Template },
    /// What a custom field is. These are read before all others.
    Field { entity: usize, id: usize, name: usize, kind: Option<usize>, multiple: Option<usize> },
    /// The custom fields of a record, in the order of [`CustomPlan::columns`].
    Scalars { entity: usize, on: usize, columns: Vec<usize> },
    /// One of several values of a record's custom field: the first of these columns that has one.
    Value { entity: usize, on: usize, field: usize, values: Vec<usize> },
    /// A further line of a record.
    Line { entity: usize, on: usize, columns: Vec<usize> },
}

#[derive(Debug, Clone)]
pub(super) struct EntityPlan {
    pub(super) name: String,
    pub(super) file: String,
    pub(super) table: usize,
    /// The id column: what multi values, custom fields and lines are found by, and what the live database is asked for.
    pub(super) key: usize,
    pub(super) columns: Vec<OutColumn>,
    pub(super) filter: Vec<Filter>,
    pub(super) multi: bool,
    pub(super) custom: Option<CustomPlan>,
    pub(super) lines: Vec<LineColumn>,
    /// Lookups of later entities that are filled while this one's table is read.
    pub(super) labels: Vec<CacheUse>,
}

#[derive(Debug, Clone)]
pub(super) struct OutColumn {
    pub(super) header: String,
    pub(super) index: usize,
    pub(super) source: Source,
}

#[derive(Debug, Clone)]
pub(super) enum Source {
    /// The cell itself.
    Cell(Shape),
    /// The name that a lookup gives to the cell, behind the fixed part of the key.
    Label { lookup: usize, prefix: String, link: bool },
}

/// The custom fields of an entity.
#[derive(Debug, Clone)]
pub(super) struct CustomPlan {
    pub(super) columns: Vec<LineColumn>,
    /// The lookup with the texts of list fields, if the tenant has the table.
    pub(super) enums: Option<usize>,
}

/// A column whose cells come from a cached table.
#[derive(Debug, Clone)]
pub(super) struct LineColumn {
    pub(super) header: String,
    pub(super) shape: Shape,
}

/// Between the parts of a lookup's key. PostgreSQL's text cannot hold it, and no code of a code list does.
pub(super) const KEY_SEPARATOR: &str = "\0";

impl ExportPlan {
    /// Places in the manifest of the tables that are read twice: a lookup needs them before their entity's turn.
    pub fn read_twice(&self) -> &[usize] {
        &self.read_twice
    }

    /// Whether the records that the live database lacks are to come a second time.
    pub fn missing_only(&self) -> bool {
        self.missing_only
    }
}
