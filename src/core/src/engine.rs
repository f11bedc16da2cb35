//! The database engines that can be backed up, and how far TLS towards them is checked.

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

/// How far TLS is checked, in the order of strength.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, strum::Display)]
pub enum TlsMode {
    /// No TLS.
    Disable,
    /// TLS, certificate not checked.
    Require,
    /// TLS, certificate signed by a known CA.
    VerifyCA,
    /// TLS, certificate signed by a known CA and issued for this host.
    #[default]
    VerifyFull,
}
