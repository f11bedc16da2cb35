//! The store against a real S3 server (MinIO), with faults put between where a server does not have them on its own.
//! Addresses and keys come from `tests/cluster/with.sh services -- cargo test --test store_s3`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on should say where")]

mod catalogue;
mod claims;
mod failures;
mod fault;
mod hold;
mod lifecycle;
mod objects;
mod probe;
mod support;
mod tls;
mod uploads;
