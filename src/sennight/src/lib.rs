//! The program `sennight`: its command line and its log. What it starts lies in the other crates.

pub mod cli;
pub mod logging;
