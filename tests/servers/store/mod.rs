//! The store against a real S3 server (MinIO), with faults put between where a server does not have them on its own.
//! Addresses and keys come from `tests/cluster/with.sh services -- cargo test --test store_s3`.

mod audit;
mod bucket;
mod catalogue;
mod claims;
mod failures;
mod fault;
mod hold;
mod lifecycle;
mod objects;
mod probe;
mod strangers;
mod tls;
mod uploads;
