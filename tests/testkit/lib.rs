//! What the suites share: a [`World`] on an API server, databases, buckets, proxies that do harm, the operator as a process
//! and a kubelet that is played. A suite is a `[[test]]` of this package and has only its own tests.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on should say where")]
#![allow(clippy::print_stderr, reason = "a failed test shows the operator's log")]
#![allow(missing_docs, clippy::missing_panics_doc, reason = "only tests call it, and each of its panics fails one")]

mod binaries;
pub mod cluster;
pub mod importer;
pub mod mysql;
pub mod operator;
pub mod picture;
pub mod postgres;
pub mod proxy;
pub mod sampling;
mod services;
pub mod store;
pub mod wire;
pub mod world;

pub use binaries::{binary, file, repository};
pub use services::*;
pub use world::World;
