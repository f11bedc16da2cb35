//! Database engines: read rows, write rows, schema, swap. Knows no bucket, no Kubernetes: bytes come in and go out as
//! streams, and what is worth keeping is told in the words of `domain`.

pub mod credentials;
pub mod mysql;
pub mod postgres;
