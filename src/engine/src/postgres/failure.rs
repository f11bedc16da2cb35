//! Errors of a full restore beyond the server's own. Every variant but [`RestoreError::Unsettled`] means that the live
//! database is untouched.

use super::error::EngineError;
use sennight_protocol::report::TaskError;

/// Why a full restore failed. The variant's name is the Event's reason and the metric's label.
#[derive(Debug, thiserror::Error, strum::IntoStaticStr)]
pub enum RestoreError {
    /// The server or a client tool failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// There is no database with the live name.
    #[error("there is no database {database:?} on the server: check database.name of the BackupSchedule")]
    LiveDatabaseMissing {
        /// Its name.
        database: String,
    },
    /// A database has a name that the restore needs, and not Sennight's mark: it is not touched.
    #[error(
        "a database {name:?} exists and does not carry the mark {marker:?}: Sennight drops nothing that it did not make; drop or rename it"
    )]
    NameTaken {
        /// The name.
        name: String,
        /// The comment that would make it ours.
        marker: String,
    },
    /// The request's swap has taken effect before.
    #[error(
        "this request was cut over before: its old database is kept as {previous:?}; a new restore needs a new RestoreRequest"
    )]
    AlreadyCutOver {
        /// Name of the previous database.
        previous: String,
    },
    /// The role that loads the backup cannot be made or dropped.
    #[error(
        "the restore role may not make the role that loads the backup: {why}; from PostgreSQL 16 on ALTER ROLE … CREATEROLE, before that install config/postgresql/loading-role.sql (docs/full-restore.md)"
    )]
    LoadingRoleDenied {
        /// What it may not.
        why: String,
    },
    /// Another process prepares the same request.
    #[error("another attempt of this request is still at work on the server: it must end first")]
    AnotherAttempt,
    /// The new database became larger than its backup explains.
    #[error(
        "the new database has grown to {bytes} bytes, past {limit}, 1.5 times what the backup should take: stopped before the server's disk is full"
    )]
    TooLarge {
        /// Bytes that it takes.
        bytes: i64,
        /// Bytes that it may take.
        limit: i64,
    },
    /// The schema archive made other tables than the manifest lists.
    #[error(
        "the new database does not have the backup's tables: {difference}; the backup is damaged, choose another day"
    )]
    TablesDiffer {
        /// The first differences.
        difference: String,
    },
    /// Rows were lost or doubled.
    #[error("{table} has {found} rows in the new database, {expected} in the backup")]
    RowsDiffer {
        /// The table.
        table: String,
        /// Rows by the manifest.
        expected: i64,
        /// Rows counted.
        found: i64,
    },
    /// A sequence would hand out other numbers.
    #[error("the sequence {sequence} stands at {found} in the new database, at {expected} in the backup")]
    SequencesDiffer {
        /// The sequence.
        sequence: String,
        /// State by the manifest.
        expected: String,
        /// State found.
        found: String,
    },
    /// A restore hook failed.
    #[error(
        "the restore hook {hook} failed: {why}; mend it (restoreHooks of the DatabaseServer) and create a new RestoreRequest"
    )]
    HookFailed {
        /// Its name.
        hook: String,
        /// The server's words.
        why: String,
    },
    /// Indexes that the planner would not use, or that are not unique although they should be.
    #[error("indexes of the new database are not valid: {indexes}")]
    IndexesInvalid {
        /// Their names.
        indexes: String,
    },
    /// The databases are not those that `prepare` reported.
    #[error("the swap is refused: {found}; the databases are no longer those that were prepared")]
    DatabasesChanged {
        /// What is there instead.
        found: String,
    },
    /// Sessions remained on the live database.
    #[error(
        "sessions did not leave the live database, so it was not swapped ({who}); end them (superusers' sessions only a superuser can) and create a new RestoreRequest"
    )]
    SessionsStay {
        /// Who they are.
        who: String,
    },
    /// The swap's COMMIT was sent, and it is not known whether it was carried out.
    #[error(
        "the connection was lost at COMMIT and the server could not be asked since ({why}): look which OID the database's name has now; {before} is the old one, {after} the restored one"
    )]
    Unsettled {
        /// Why it could not be asked.
        why: String,
        /// OID of the old database.
        before: u32,
        /// OID of the restored one.
        after: u32,
    },
}

impl RestoreError {
    /// The variant's name, or that of the engine's error: condition reason, Event reason, metric label.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Engine(error) => error.reason(),
            other => other.into(),
        }
    }

    /// False when another attempt would fail the same way until a person has changed something.
    pub fn retryable(&self) -> bool {
        match self {
            Self::Engine(error) => error.retryable(),
            other => matches!(other, Self::AnotherAttempt),
        }
    }

    /// True when it cannot be told whether the live name serves the old or the restored database.
    pub fn unknown(&self) -> bool {
        matches!(self, Self::Unsettled { .. })
    }
}

impl From<RestoreError> for TaskError {
    fn from(error: RestoreError) -> Self {
        if error.unknown() {
            return Self::unknown(error.reason(), error.to_string());
        }
        Self::of(error.reason(), error.retryable(), &error)
    }
}
