//! The program `sennight`: its command line and its logging. Operator and worker are in crates of their own.

pub mod cli;
pub mod logging;
