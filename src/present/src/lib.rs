//! Status of Sennight's objects as sentences and short tables, for whoever shows them: plugin, console, tickets. Pure.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod explain;
pub mod facts;
pub mod words;
