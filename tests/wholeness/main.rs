//! The suites that take their time: what a copy must hold, whatever the database is and whatever happens to it meanwhile.
//! `make wholeness` runs them whole, `make test` in a reduced form that says what it left out.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on should say where")]

mod museum;
mod races;
mod servers;
#[path = "../support/mod.rs"]
mod support;
