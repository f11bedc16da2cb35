//! The database engines that can be backed up.

use serde::{Deserialize, Serialize};

/// The database engines.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, strum::Display, strum::EnumString,
)]
pub enum Engine {
    /// PostgreSQL.
    PostgreSQL,
    /// MySQL.
    MySQL,
    /// MariaDB.
    MariaDB,
}
