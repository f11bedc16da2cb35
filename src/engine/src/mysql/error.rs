//! Errors of the MySQL and MariaDB engine, classified by what a person would do about them.

use crate::credentials::{CredentialsError, not_for_this_host};
use mysql_async::{DriverError, Error, IoError};
use sennight_core::engine::EngineKind;
use sennight_protocol::report::TaskError;
use std::path::PathBuf;

/// Why the engine failed. The variant's name is the Event's reason and the metric's label. Failures that PostgreSQL has too
/// have the same name there.
#[derive(Debug, thiserror::Error, strum::IntoStaticStr)]
pub enum EngineError {
    /// A mounted file cannot be read.
    #[error("{} cannot be read ({source}): check the Secret that is mounted there and its keys", path.display())]
    CredentialsUnreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The Secret is for another host, or does not say for which.
    #[error("{}", not_for_this_host(server, named.as_deref()))]
    SecretNotForThisHost {
        /// Where the password would have gone.
        server: String,
        /// The hosts that the Secret names.
        named: Option<String>,
    },
    /// CA or client certificate do not make a TLS configuration.
    #[error("TLS towards {host} cannot be set up: {why}; check caSecretRef and clientCertSecretRef")]
    TlsSetup {
        /// The server.
        host: String,
        /// What is wrong.
        why: String,
    },
    /// The handshake failed: wrong CA, wrong host, or a server without TLS.
    #[error("TLS towards {host}:{port} failed: {why}; check tls.mode, caSecretRef and the server's certificate")]
    TlsRefused {
        /// The server.
        host: String,
        /// Its port.
        port: u16,
        /// What was wrong.
        why: String,
    },
    /// Nobody answers.
    #[error("{host}:{port} cannot be reached: {why}; check host, port and network policies")]
    Unreachable {
        /// The server.
        host: String,
        /// Its port.
        port: u16,
        /// What was tried.
        why: String,
    },
    /// Wrong user or password, or no account for this host.
    #[error("{host}:{port} refused the login: {why}; check the credentials Secret and the account's host")]
    LoginRefused {
        /// The server.
        host: String,
        /// Its port.
        port: u16,
        /// The server's words.
        why: String,
    },
    /// The account's authentication plugin is not supported by the driver.
    #[error(
        "{host}:{port}: {account} logs in by {plugin}, which Sennight does not speak: give it mysql_native_password, caching_sha2_password, ed25519 or parsec as its only plugin, or name another account in the credentials Secret"
    )]
    PluginUnsupported {
        /// The server.
        host: String,
        /// Its port.
        port: u16,
        /// Which account.
        account: &'static str,
        /// The plugin's name, as the server says it.
        plugin: String,
    },
    /// The driver panicked over an answer of the server.
    #[error(
        "{host}:{port}: the login ended in the middle, over an answer that the driver does not understand: check that the password in the credentials Secret is not empty, and that the account's plugin is mysql_native_password, caching_sha2_password, ed25519 or parsec"
    )]
    LoginBroken {
        /// The server.
        host: String,
        /// Its port.
        port: u16,
    },
    /// Settings of the session are not what they were set to.
    #[error(
        "the server, or a proxy in between, did not keep these settings of the session: {settings}; connect to the server itself, not to a proxy that shares connections"
    )]
    SettingsLost {
        /// Names of variables.
        settings: String,
    },
    /// There is no such database.
    #[error("{host}:{port} has no database {database:?}: check database.name of the BackupSchedule")]
    DatabaseMissing {
        /// The server.
        host: String,
        /// Its port.
        port: u16,
        /// The name.
        database: String,
    },
    /// The server has no connection to spare, is starting or shutting down.
    #[error("{host}:{port} takes no connection now: {why}; the next attempt may succeed")]
    ServerBusy {
        /// The server.
        host: String,
        /// Its port.
        port: u16,
        /// The server's words.
        why: String,
    },
    /// The server is MySQL where MariaDB was expected, or the other way round.
    #[error("the server is {found}, the DatabaseServer says {expected}: correct its engine")]
    WrongEngine {
        /// What was said.
        expected: EngineKind,
        /// What the server says.
        found: String,
    },
    /// A version that Sennight does not know.
    #[error("the server is {version}; Sennight dumps and restores MySQL 9 and MariaDB 10.11 to 11.8")]
    UnsupportedServer {
        /// Its version.
        version: String,
    },
    /// Tables that are not InnoDB's: a snapshot does not cover their rows.
    #[error(
        "these tables are not InnoDB's, so no snapshot holds them still: {tables}; convert them (ALTER TABLE … ENGINE=InnoDB), or say that their rows may be of another instant"
    )]
    NonTransactional {
        /// Names and engines.
        tables: String,
    },
    /// A column type without a text form in the backup format.
    #[error("{column} has the type {kind}, which this version cannot copy faithfully; change the column's type")]
    UnknownType {
        /// Table and column.
        column: String,
        /// Its type.
        kind: String,
    },
    /// Text that Unicode does not have.
    #[error("{table} holds text that does not survive the way to utf8mb4 and back; convert its columns to utf8mb4")]
    LossyText {
        /// The table.
        table: String,
    },
    /// The connection broke.
    #[error("the connection was lost while {doing}: {why}")]
    ConnectionLost {
        /// What was under way.
        doing: String,
        /// How it broke.
        why: String,
    },
    /// The account may not do this, or may not see all that there is.
    #[error("the account may not: {doing}: {why}; grant it the right")]
    PermissionDenied {
        /// What was under way.
        doing: String,
        /// The server's words, or which right is missing.
        why: String,
    },
    /// DDL ran meanwhile.
    #[error("the schema changed while {doing}: {why}; another attempt starts from the new one")]
    SchemaChanged {
        /// What was under way.
        doing: String,
        /// What is different.
        why: String,
    },
    /// What an object names cannot be read: a table, a column, a function or a database is gone, or whom it runs as may not.
    #[error("{doing} names what is not there, or what it may not read: {why}; make that again, or drop the object")]
    ReadsMissing {
        /// What was under way.
        doing: String,
        /// The server's words.
        why: String,
    },
    /// A row that no statement of this server holds.
    #[error(
        "a row of {table} makes a statement of {bytes} bytes and the server takes {limit}: raise max_allowed_packet to more than that, or allow LOAD DATA LOCAL (local_infile = ON)"
    )]
    RowTooLarge {
        /// The table.
        table: String,
        /// The statement's length.
        bytes: usize,
        /// The server's max_allowed_packet.
        limit: usize,
    },
    /// A lock was not to be had.
    #[error("a lock was not to be had while {doing}: {why}; DDL or a long transaction holds it")]
    LockTimeout {
        /// What was under way.
        doing: String,
        /// The server's words.
        why: String,
    },
    /// The server cannot spare memory, disk or locks.
    #[error("the server is out of resources while {doing}: {why}; look at its memory and disk")]
    ServerExhausted {
        /// What was under way.
        doing: String,
        /// The server's words.
        why: String,
    },
    /// Any other answer of the server.
    #[error("the server failed while {doing}: {why}")]
    Query {
        /// What was under way.
        doing: String,
        /// The server's words.
        why: String,
    },
    /// What arrived is not what should have.
    #[error("{what} is incomplete: {why}; nothing was kept, another attempt starts anew")]
    Incomplete {
        /// The table or object.
        what: String,
        /// What does not add up.
        why: String,
    },
}

impl From<EngineError> for TaskError {
    fn from(error: EngineError) -> Self {
        Self::of(error.reason(), error.retryable(), &error)
    }
}

impl From<CredentialsError> for EngineError {
    fn from(error: CredentialsError) -> Self {
        match error {
            CredentialsError::Unreadable { path, source } => Self::CredentialsUnreadable { path, source },
            CredentialsError::NotForThisHost { server, named } => Self::SecretNotForThisHost { server, named },
        }
    }
}

impl EngineError {
    /// The variant's name: condition reason, Event reason, metric label.
    pub fn reason(&self) -> &'static str {
        self.into()
    }

    /// False when another attempt would fail the same way until a person has changed something.
    pub fn retryable(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::ServerBusy { .. }
                | Self::ConnectionLost { .. }
                | Self::SchemaChanged { .. }
                | Self::ReadsMissing { .. }
                | Self::LockTimeout { .. }
                | Self::ServerExhausted { .. }
                | Self::Query { .. }
                | Self::Incomplete { .. }
        )
    }

    /// True if a definition was refused because of an object that it names, not because of its own text.
    pub fn is_about_what_is_named(&self) -> bool {
        matches!(self, Self::SchemaChanged { .. } | Self::ReadsMissing { .. })
    }

    /// Classifies an error of the server by its number. `doing` completes "… while …".
    pub fn query(doing: impl Into<String>, source: &Error) -> Self {
        let (doing, why) = (doing.into(), words(source));
        let Error::Server(server) = source else { return Self::ConnectionLost { doing, why } };
        match server.code {
            // Access to a schema, table, column, routine, or a privilege that is named.
            1044 | 1142 | 1143 | 1227 | 1370 | 1410 => Self::PermissionDenied { doing, why },
            // Gone, or not what it was: 1412 is the snapshot's own word for it.
            1051 | 1054 | 1109 | 1146 | 1305 | 1360 | 1412 | 1539 | 4091 => Self::SchemaChanged { doing, why },
            // A database, and a view's own word for all of the above.
            1049 | 1356 => Self::ReadsMissing { doing, why },
            1205 | 1213 => Self::LockTimeout { doing, why },
            1021 | 1037 | 1038 | 1041 | 1114 | 1206 => Self::ServerExhausted { doing, why },
            // Shut down, or killed.
            1053 | 1077 | 1079 | 1080 | 1317 | 1927 | 3169 | 4031 => Self::ConnectionLost { doing, why },
            _ => Self::Query { doing, why },
        }
    }

    /// Classifies why no connection was opened.
    pub fn connect(host: &str, port: u16, database: &str, source: &Error) -> Self {
        let (host, why) = (host.to_owned(), words(source));
        match source {
            Error::Server(server) => match server.code {
                1049 => Self::DatabaseMissing { host, port, database: database.to_owned() },
                1044 | 1045 | 1130 | 1251 | 1524 | 1698 | 1862 => Self::LoginRefused { host, port, why },
                // 3118 and 4151: the account is locked, as all are in the moment of a full restore. 3032: offline_mode.
                1040 | 1053 | 1203 | 1226 | 3032 | 3118 | 4151 => Self::ServerBusy { host, port, why },
                _ => Self::Unreachable { host, port, why },
            },
            Error::Driver(driver) if plugin(driver).is_some() => {
                let (account, plugin) = plugin(driver).unwrap_or_default();
                Self::PluginUnsupported { host, port, account, plugin }
            }
            Error::Io(IoError::Tls(_)) | Error::Driver(DriverError::NoClientSslFlagFromServer) => {
                Self::TlsRefused { host, port, why }
            }
            Error::Io(IoError::Io(io))
                if io.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<rustls::Error>) =>
            {
                Self::TlsRefused { host, port, why }
            }
            _ => Self::Unreachable { host, port, why },
        }
    }
}

/// The authentication plugin that the driver gave up over, and whether the account names more than one.
fn plugin(error: &DriverError) -> Option<(&'static str, String)> {
    const ACCOUNT: &str = "the account";
    let name = |bytes: &[u8]| {
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
        // A server's text, into logs and conditions.
        let name: String =
            String::from_utf8_lossy(&bytes[..end]).chars().filter(char::is_ascii_graphic).take(64).collect();
        if name.is_empty() { "a plugin without a name".to_owned() } else { name }
    };
    match error {
        DriverError::UnknownAuthPlugin { name: plugin } => Some((ACCOUNT, name(plugin.as_bytes()))),
        DriverError::MysqlOldPasswordDisabled => Some((ACCOUNT, "mysql_old_password".to_owned())),
        DriverError::CleartextPluginDisabled => Some((ACCOUNT, "mysql_clear_password".to_owned())),
        DriverError::InvalidParsecSalt => Some((ACCOUNT, "parsec (with a salt of another kind)".to_owned())),
        // A second plugin after the first one said no (MariaDB's OR), or a second factor after it said yes.
        DriverError::UnexpectedPacket { payload } => match payload.split_first()? {
            (0xfe | 0x02, rest) => Some(("the account, which has more than one plugin, at last", name(rest))),
            _ => None,
        },
        _ => None,
    }
}

/// Errors whose messages quote a value: a duplicate key, a date, a number, text in a wrong charset, JSON, an expression.
const QUOTE_VALUES: [u16; 15] =
    [1062, 1264, 1265, 1292, 1366, 1367, 1406, 1411, 1525, 1586, 1690, 3140, 3141, 3143, 3156];

/// The server's number and message, or the client's error. Messages that quote values (of a duplicate key, for example) are
/// left out, and so is what a tenant's own code says by SIGNAL.
pub fn words(error: &Error) -> String {
    match error {
        Error::Server(server) if QUOTE_VALUES.contains(&server.code) || signalled(&server.state, server.code) => {
            format!("error {} (SQLSTATE {})", server.code, server.state)
        }
        Error::Server(server) => format!("{} (error {}, SQLSTATE {})", server.message, server.code, server.state),
        other => other.to_string(),
    }
}

/// Whether SIGNAL or RESIGNAL made the message.
fn signalled(sqlstate: &str, code: u16) -> bool {
    // ER_SIGNAL_WARN, ER_SIGNAL_NOT_FOUND, ER_SIGNAL_EXCEPTION
    (1642..=1644).contains(&code) || sqlstate.starts_with("45")
}

#[cfg(test)]
mod value_tests {
    use super::*;
    use mysql_async::ServerError;

    #[test]
    fn no_value_of_a_row_and_no_text_of_the_tenants_code_gets_out() {
        let said = |code: u16, state: &str, message: &str| {
            words(&Error::Server(ServerError { code, message: message.to_owned(), state: state.to_owned() }))
        };
        for (code, state, message) in [
            (1062, "23000", "Duplicate entry 'anna@example.com' for key 'email'"),
            (1292, "22007", "Incorrect datetime value: 'anna@example.com'"),
            (1644, "45000", "no mail for anna@example.com"),
            (1234, "45001", "no mail for anna@example.com"),
            (3140, "22032", "Invalid JSON text: \"anna@example.com\""),
        ] {
            let told = said(code, state, message);
            assert!(!told.contains("anna") && told.contains(&code.to_string()), "{told}");
        }
        assert!(said(1146, "42S02", "Table 'd.t' doesn't exist").starts_with("Table 'd.t' doesn't exist"));
    }
}
