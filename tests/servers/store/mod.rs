//! The store against a real S3 server (MinIO), with faults put between where a server does not have them on its own.
//! Addresses and keys come from `tests/cluster/with.sh services -- cargo test -p testkit --test servers -- store::`.

mod audit;
mod catalogue;
mod claims;
mod failures;
mod hold;
mod lifecycle;
mod objects;
mod owner;
mod probe;
mod strangers;
mod tls;
mod uploads;
