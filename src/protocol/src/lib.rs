//! The protocol between operator and worker: tasks and reports, as both sides compile them in. No I/O.
//!
//! The operator writes a [`task::Task`] into a Job's arguments; the worker leaves a [`report::TaskReport`] in the bucket.
//! A new verb is one line of the table in [`task`], a function in `worker` and its line of dispatch there.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod backup;
pub mod cutover;
pub mod drop_database;
pub mod export;
pub mod report;
pub mod restore;
pub mod target;
pub mod task;
