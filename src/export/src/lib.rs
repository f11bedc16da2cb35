//! Turns the row text of a backup into a zip of CSV files, by an ExportProfile. Pure and streaming: frames come in, bytes go out
//! through an [`Outlet`]. No network, no database, no clock: the same backup and profile give the same bytes.
//!
//! Memory: main tables are streamed. Lookups, multi values, custom fields and lines are cached: [`text_table::ENTRY_BYTES`]
//! plus the value's text for each row in use. Besides that one decoded frame, its CSV text and the deflate window.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod cell;
mod compile;
mod compile_parts;
mod compose;
pub mod error;
pub mod exporter;
pub mod guard;
mod links;
pub mod live;
mod lookup_cache;
mod output;
pub mod plan;
mod readme;
mod records;
mod resolve;
pub mod rows;
mod single_pass;
pub mod summary;
pub mod text_table;

pub use error::{CompileError, ExportError};
pub use exporter::{ExportStep, Exporter, Live};
pub use live::LiveIds;
pub use output::{DeferredFile, Outlet};
pub use plan::ExportPlan;
pub use summary::{Comparison, ExportContext};
