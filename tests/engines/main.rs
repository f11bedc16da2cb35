//! The MySQL family held to account on real servers: `make engines` on MariaDB 10.11, MariaDB 11.8 and MySQL 9; `make test` on the
//! host's MariaDB 10.11, and says what it left out.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on should say where")]
#![allow(
    clippy::large_futures,
    clippy::similar_names,
    reason = "a suite's futures are run once, on a heap that has room"
)]

mod crm;
mod export_scale;
mod fixtures;
mod login;
mod refusals;
mod restore;
mod several;
mod snapshot;
