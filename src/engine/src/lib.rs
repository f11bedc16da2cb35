//! The database engines, PostgreSQL and MySQL/MariaDB: read and write rows, read and create schemas, swap databases. No bucket
//! and no Kubernetes: rows come in and go out as streams, facts as types of `sennight-core`.

pub mod credentials;
pub mod mysql;
pub mod postgres;
