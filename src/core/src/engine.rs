//! The database engines that can be backed up, and the TLS modes of connections to them.

use serde::{Deserialize, Serialize};

/// The database engines.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, strum::Display, strum::EnumString,
)]
pub enum EngineKind {
    /// PostgreSQL.
    PostgreSQL,
    /// Oracle MySQL; MariaDB is an engine of its own.
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
