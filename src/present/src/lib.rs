//! The status of Sennight's objects in sentences and short tables, for plugin, console and tickets. Reads nothing itself.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod explain;
pub mod facts;
pub mod words;
