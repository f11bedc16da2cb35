//! Errors of an export: one enum for the profile, one for the data.

pub use sennight_core::profile::Misfit as CompileError;

use sennight_core::manifest::Table;

/// Data that cannot be exported.
#[derive(Debug, thiserror::Error, strum::IntoStaticStr)]
pub enum ExportError {
    /// A row that is not what the manifest says.
    #[error("row {row} of {table} is damaged: {problem}; use another backup")]
    RowDamaged {
        /// The table.
        table: String,
        /// The row, counted from 1.
        row: i64,
        /// What is wrong.
        problem: String,
    },
    /// More or fewer rows than the manifest lists.
    #[error("{table} gave {found} rows, the manifest lists {expected}: use another backup")]
    RowsMissing {
        /// The table.
        table: String,
        /// Rows of the manifest.
        expected: i64,
        /// Rows read.
        found: i64,
    },
    /// More kinds of multi values than columns make sense.
    #[error("{table} has more than {limit} kinds of values for {entity}: narrow spec.entities[{entity}].multi.where")]
    TooManyColumns {
        /// The table.
        table: String,
        /// The entity.
        entity: String,
        /// The limit.
        limit: usize,
    },
    /// More text for lookups and multi values than can be addressed.
    #[error("{table} has more text for lookups and multi values than an export can hold: narrow its where")]
    TooMuchHeld {
        /// The table.
        table: String,
    },
    /// The ids of the live database are not readable.
    #[error("the list of the live database's ids is damaged at line {line}: ask for the export again")]
    LiveIdsDamaged {
        /// The line, counted from 1.
        line: i64,
    },
    /// The CSV or zip encoder failed.
    #[error("the file {file} could not be written: {problem}")]
    EncodingFailed {
        /// The file inside the zip.
        file: String,
        /// What the encoder says.
        problem: String,
    },
    /// Frames arrived for no table, or tables in another order than asked for.
    #[error("the export was driven in the wrong order: {0}; report this as a bug")]
    OutOfOrder(&'static str),
}

impl ExportError {
    /// The reason, in CamelCase.
    pub fn reason(&self) -> &'static str {
        self.into()
    }

    /// A damaged row.
    pub(crate) fn damaged(table: &Table, row: i64, problem: impl Into<String>) -> Self {
        Self::RowDamaged { table: format!("{}.{}", table.schema, table.name), row, problem: problem.into() }
    }
}
