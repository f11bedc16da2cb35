//! Errors of the PostgreSQL engine, classified by what a person would do about them.

use super::plain_text;
use crate::credentials::{CredentialsError, not_for_this_host};
use sennight_protocol::report::TaskError;
use std::error::Error as _;
use std::path::PathBuf;
use tokio_postgres::error::SqlState;

/// Why the PostgreSQL engine failed. The variant's name is the Event's reason and the metric's label.
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
    /// The password would be read by whoever is at the other end.
    #[error(
        "{host}:{port} asks for the password in clear text, and nothing has proven that it is the server: nothing was sent; let pg_hba.conf ask for scram-sha-256, or set tls.mode to VerifyFull"
    )]
    CleartextRefused {
        /// The server.
        host: String,
        /// Its port.
        port: u16,
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
    /// Wrong user or password, or no line for them in pg_hba.conf.
    #[error("{host}:{port} refused the login: {why}; check the credentials Secret and pg_hba.conf")]
    LoginRefused {
        /// The server.
        host: String,
        /// Its port.
        port: u16,
        /// The server's words.
        why: String,
    },
    /// The session did not begin with the settings that it was given.
    #[error(
        "the session did not take {setting}: {wanted:?} was asked for, {found:?} is in force; host and port must be the PostgreSQL server itself, not a pooler"
    )]
    SettingsIgnored {
        /// The setting.
        setting: String,
        /// What the startup packet said.
        wanted: String,
        /// What was found.
        found: String,
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
    /// The connection broke.
    #[error("the connection was lost while {doing}: {why}")]
    ConnectionLost {
        /// What was under way.
        doing: String,
        /// How it broke.
        why: String,
    },
    /// The role may not do this.
    #[error("the role may not: {doing}: {why}; grant it the right (for dumps: pg_read_all_data)")]
    PermissionDenied {
        /// What was under way.
        doing: String,
        /// The server's words.
        why: String,
    },
    /// Row level security would have hidden rows.
    #[error(
        "row level security hides rows from the role while {doing}: {why}; give the dump role BYPASSRLS or make it the table's owner"
    )]
    RowSecurity {
        /// What was under way.
        doing: String,
        /// The server's words.
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
    /// A table was locked for longer than a dump may make others wait.
    #[error("a lock was not to be had while {doing}: {why}; DDL or a long transaction holds it")]
    LockTimeout {
        /// What was under way.
        doing: String,
        /// The server's words.
        why: String,
    },
    /// A tenant's DDL waited for the dump's locks as long as it may.
    #[error(
        "somebody waited {waited:.1} s for {wanted}, which the dump holds, and ddlWaitSeconds is {limit}: the dump was given up; another attempt starts anew (raise ddlWaitSeconds of the DatabaseServer if such DDL may wait)"
    )]
    BlockingDdl {
        /// The lock, and on what.
        wanted: String,
        /// For how many seconds.
        waited: f64,
        /// The limit, in seconds.
        limit: u64,
    },
    /// The server cannot spare memory, disk or locks.
    #[error("the server is out of resources while {doing}: {why}; look at max_locks_per_transaction and its disk")]
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
        /// The whole error.
        source: tokio_postgres::Error,
    },
    /// A major version that Sennight does not know.
    #[error("the server is PostgreSQL {major}, Sennight dumps and restores 13 and later")]
    UnsupportedServer {
        /// Its major version.
        major: i32,
    },
    /// The image has no fitting client tools.
    #[error(
        "no client tools of PostgreSQL {server_major} or later under {}: installed are {installed:?}; use an image that has them",
        root.display()
    )]
    ToolMissing {
        /// The server's major version.
        server_major: i32,
        /// Where they were looked for.
        root: PathBuf,
        /// The majors that are there.
        installed: Vec<i32>,
    },
    /// A client tool did not start or its pipes broke.
    #[error("{tool} cannot be run: {source}")]
    ToolBroken {
        /// Which.
        tool: String,
        /// Why.
        source: std::io::Error,
    },
    /// A client tool failed; its exit status decides, not its words.
    #[error("{tool} ended with {status}: {stderr}")]
    ToolFailed {
        /// Which.
        tool: String,
        /// Exit status or signal.
        status: String,
        /// The end of what it wrote to stderr.
        stderr: String,
    },
    /// More names than a program's arguments can hold.
    #[error(
        "pg_dump {major} cannot be told the names of {tables} tables: from 17 on it can, so use an image with newer client tools"
    )]
    TooManyTables {
        /// How many.
        tables: usize,
        /// The tools' major version.
        major: i32,
    },
    /// The dump would fill the server's lock table.
    #[error(
        "the dump would lock {tables} tables, and the server's lock table has {places} places, {in_use} of them in use: every session on the server would fail; raise max_locks_per_transaction"
    )]
    TooManyLocks {
        /// Tables to lock.
        tables: usize,
        /// Places in use.
        in_use: i64,
        /// All places.
        places: i64,
    },
    /// The client tools have a hole that is mended in a later minor version.
    #[error(
        "{tool} here is {has}, and versions before {needs} have known holes: use a worker image with {needs} or later"
    )]
    ToolVulnerable {
        /// The tool.
        tool: String,
        /// Its version.
        has: String,
        /// The first version without the holes.
        needs: String,
    },
    /// What arrived is not what the server said it had sent.
    #[error("{what} is incomplete: {why}; nothing was kept, another attempt starts anew")]
    Incomplete {
        /// The table or archive.
        what: String,
        /// What does not add up.
        why: String,
    },
}

impl EngineError {
    /// The variant's name: condition reason, Event reason, metric label.
    pub fn reason(&self) -> &'static str {
        self.into()
    }

    /// False when another attempt would fail the same way until a person has changed something.
    pub fn retryable(&self) -> bool {
        !matches!(
            self,
            Self::CredentialsUnreadable { .. }
                | Self::SecretNotForThisHost { .. }
                | Self::CleartextRefused { .. }
                | Self::TlsSetup { .. }
                | Self::TlsRefused { .. }
                | Self::LoginRefused { .. }
                | Self::SettingsIgnored { .. }
                | Self::DatabaseMissing { .. }
                | Self::PermissionDenied { .. }
                | Self::RowSecurity { .. }
                | Self::UnsupportedServer { .. }
                | Self::ToolMissing { .. }
                | Self::TooManyTables { .. }
                | Self::ToolVulnerable { .. }
        )
    }

    /// Classifies an error of the server by its SQLSTATE. `doing` completes "… while …".
    pub fn query(doing: impl Into<String>, source: tokio_postgres::Error) -> Self {
        let (doing, why) = (doing.into(), words(&source));
        let Some(code) = source.code() else {
            return if source.is_closed() || broken_pipe(&source) {
                Self::ConnectionLost { doing, why }
            } else {
                Self::Query { doing, why, source }
            };
        };
        match code {
            c if *c == SqlState::INSUFFICIENT_PRIVILEGE && why.contains("row-level security") => {
                Self::RowSecurity { doing, why }
            }
            c if *c == SqlState::INSUFFICIENT_PRIVILEGE => Self::PermissionDenied { doing, why },
            c if *c == SqlState::LOCK_NOT_AVAILABLE || *c == SqlState::T_R_DEADLOCK_DETECTED => {
                Self::LockTimeout { doing, why }
            }
            c if [
                SqlState::UNDEFINED_TABLE,
                SqlState::UNDEFINED_COLUMN,
                SqlState::UNDEFINED_OBJECT,
                SqlState::INVALID_SCHEMA_NAME,
                SqlState::WRONG_OBJECT_TYPE,
            ]
            .contains(c) =>
            {
                Self::SchemaChanged { doing, why }
            }
            // `restrict_nonsystem_relation_kind`: what was a table or a sequence is a view now.
            c if *c == SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE && why.contains("restricted") => {
                Self::SchemaChanged { doing, why }
            }
            c if c.code().starts_with("53") => Self::ServerExhausted { doing, why },
            c if c.code().starts_with("57P") || c.code().starts_with("08") => Self::ConnectionLost { doing, why },
            _ => Self::Query { doing, why, source },
        }
    }
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

/// The server's message and SQLSTATE, or the client's error with its causes. Never the DETAIL, which quotes rows, nor what a
/// tenant's own code raises (`plain_text`).
pub fn words(error: &tokio_postgres::Error) -> String {
    if let Some(db) = error.as_db_error() {
        let sqlstate = db.code().code();
        return format!("{} (SQLSTATE {sqlstate})", plain_text::message(sqlstate, db.message()));
    }
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let more = next.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = next.source();
    }
    text
}

fn broken_pipe(error: &tokio_postgres::Error) -> bool {
    error.source().is_some_and(|cause| cause.downcast_ref::<std::io::Error>().is_some())
}
