//! The business rules as pure functions over plain values: when a dump is due, whether a restore may run, what comes next.
//! No I/O, no clock (`now` is an argument), no environment, no Kubernetes, S3 or database types.
//! Clippy holds the crate to that: `.clippy.toml` lists what it must not call.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod alarm;
pub mod audit;
pub mod authority;
pub mod backup;
pub mod batch;
pub mod capabilities;
pub mod cleanup;
pub mod drill;
pub mod duration;
pub mod engine;
pub mod estimate;
pub mod gate;
pub mod manifest;
pub mod names;
pub mod prefix_owner;
pub mod profile;
pub mod progress;
pub mod reminders;
pub mod restore;
pub mod restore_record;
pub mod result;
pub mod retention;
pub mod rivals;
pub mod schedule;
