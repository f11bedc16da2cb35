//! The suites that take their time: what a copy must hold, whatever the database is and whatever happens to it meanwhile.
//! `make wholeness` runs them whole, `make test` in a reduced form that says what it left out.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on should say where")]
#![allow(clippy::print_stdout, reason = "a suite says how many cases it ran, and with which seed")]

#[path = "../servers/store/bucket.rs"]
mod bucket;
mod cases;
mod faults;
mod hostile;
mod model;
mod private_postgres;
mod retention;
mod stores;
#[path = "../support/mod.rs"]
mod support;
