//! The database engines, PostgreSQL and MySQL/MariaDB: read and write rows, read and create schemas, swap databases. No bucket
//! and no Kubernetes: rows come in and go out as streams, facts as types of `sennight-core`.

pub mod credentials;
pub mod dump;
pub mod engine;
pub mod mysql;
pub mod plain_files;
pub mod postgres;
pub mod restore;

pub use engine::Engine;

use sennight_core::engine::EngineKind;

/// The engine of each kind. A new one is a line here.
pub fn of(kind: EngineKind) -> &'static dyn Engine {
    match kind {
        EngineKind::PostgreSQL => &postgres::PostgreSQL,
        EngineKind::MySQL | EngineKind::MariaDB => &mysql::MySQL,
    }
}
