//! Dumps, exports, restores and the store on a real PostgreSQL and a real S3 server (MinIO). Run by
//! `tests/cluster/with.sh services -- cargo test -p testkit --test servers`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on should say where")]

mod dump;
mod export;
mod restore;
mod store;
mod toy_engine;
