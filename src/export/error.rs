//! Why an export is refused or fails: one enum for the profile, one for the data.

use crate::domain::manifest::Table;
use crate::domain::profile::ProfileFault;

/// A profile that does not fit, or is wrong in itself. Another attempt fails the same way.
#[derive(Debug, thiserror::Error, strum::IntoStaticStr)]
pub enum CompileError {
    /// It is wrong in itself.
    #[error(transparent)]
    Profile(#[from] ProfileFault),
    /// A table that the copy lacks.
    #[error("{field} names table {table:?}, which the copy does not have: correct the profile")]
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
    /// Row text in an encoding that is not read here.
    #[error("the copy's encoding is {0:?}; exports read UTF8 only: use a FullRestore, or convert the database to UTF8")]
    EncodingUnsupported(String),
}

impl CompileError {
    /// The reason, in CamelCase.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Profile(fault) => fault.reason(),
            other => other.into(),
        }
    }
}

/// Data that cannot be exported.
#[derive(Debug, thiserror::Error, strum::IntoStaticStr)]
pub enum ExportError {
    /// A row that is not what the manifest says.
    #[error("row {row} of {table} is damaged: {problem}; use another recovery point")]
    RowDamaged {
        /// The table.
        table: String,
        /// The row, counted from 1.
        row: i64,
        /// What is wrong.
        problem: String,
    },
    /// More or fewer rows than the manifest lists.
    #[error("{table} gave {found} rows, the manifest lists {expected}: use another recovery point")]
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
