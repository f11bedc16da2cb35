//! A profile compiled against the tables of one copy: every name is resolved, every exclusion asserted, so that nothing
//! but the data can go wrong afterwards.

use super::cell::Shape;
use super::compile;
use super::error::CompileError;
use super::resolve::{Filter, Template};
use crate::domain::manifest::Manifest;
use crate::domain::profile::{ExportProfile, Format};
use chrono_tz::Tz;
use serde::Serialize;

/// A profile that fits a copy.
#[derive(Debug, Clone)]
pub struct Plan {
    pub(super) format: Format,
    pub(super) zone: Tz,
    pub(super) held: Vec<HeldTable>,
    pub(super) lookups: usize,
    pub(super) entities: Vec<EntityPlan>,
    pub(super) skipped: Vec<Skipped>,
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

/// A table that is read into memory, once, for all that need it.
#[derive(Debug, Clone)]
pub(super) struct HeldTable {
    pub(super) table: usize,
    pub(super) uses: Vec<Use>,
}

#[derive(Debug, Clone)]
pub(super) struct Use {
    pub(super) target: Target,
    /// Columns whose texts, joined, are the key.
    pub(super) key: Vec<usize>,
    /// Columns whose texts, joined by `_`, name the group; empty for a lookup.
    pub(super) pivot: Vec<usize>,
    pub(super) value: Template,
    pub(super) filter: Vec<Filter>,
}

/// What a held table is read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    Lookup(usize),
    Multi(usize),
}

#[derive(Debug, Clone)]
pub(super) struct EntityPlan {
    pub(super) name: String,
    pub(super) file: String,
    pub(super) table: usize,
    pub(super) columns: Vec<OutColumn>,
    pub(super) filter: Vec<Filter>,
    /// The id column that multi values are found by.
    pub(super) multi: Option<usize>,
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
    Label { lookup: usize, prefix: String },
}

/// Between the parts of a lookup's key: no text of either engine can hold it.
pub(super) const KEY_SEPARATOR: &str = "\0";

impl Plan {
    /// Compiles `profile` for the copy that `manifest` describes.
    pub fn compile(profile: &ExportProfile, manifest: &Manifest) -> Result<Self, CompileError> {
        compile::compile(profile, manifest)
    }

    /// What the profile lists as optional and this tenant does not have.
    pub fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }
}
