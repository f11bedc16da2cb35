//! From the row text of a copy to a zip of CSV files, by a profile: pure and streaming. Bytes come in frame by frame and
//! go out through an [`Outlet`]; no network, no database, no clock (the copy's own times are used, so that the same copy
//! and profile give the same bytes).
//!
//! Memory: main tables are streamed. Lookups and multi-value tables are held, [`held::ENTRY_BYTES`] plus the text of key
//! and value for each row that matters; besides that one decoded frame, its CSV text and the deflate window.

pub mod cell;
mod compile;
mod compose;
pub mod error;
pub mod exporter;
pub mod guard;
pub mod held;
mod output;
pub mod plan;
mod records;
mod resolve;
pub mod rows;
pub mod summary;

pub use error::{CompileError, ExportError};
pub use exporter::{Exporter, Step};
pub use output::Outlet;
pub use plan::Plan;
pub use summary::ExportContext;
