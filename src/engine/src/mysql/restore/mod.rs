//! A full restore on a server of the MySQL family, which cannot rename a database: a schema filled beside the live one, and one
//! RENAME TABLE that moves every table of both, with a table of ours in it by which the server itself tells what took effect.

pub mod accounts;
pub mod clear;
pub mod code;
pub mod copied;
pub mod evidence;
pub mod failure;
pub mod fence;
pub mod hooks;
pub mod journal;
pub mod look_back;
pub mod marks;
pub mod preflight;
mod reach;
pub mod refuse;
pub mod refused;
mod rename;
pub mod schemas;
pub mod swap;
