//! Status of Sennight's objects as sentences and short tables, for whoever shows them: plugin, console, tickets. Pure.

pub mod explain;
pub mod facts;
pub mod words;
