//! Errors of a full restore beyond the server's own. Every variant but [`RestoreError::Unsettled`] means that the live schema
//! is as it was.

use crate::mysql::EngineError;
use sennight_protocol::report::TaskError;

/// Why a full restore failed. The variant's name is the Event's reason and the metric's label. Failures that PostgreSQL has
/// too have the same name there.
#[derive(Debug, thiserror::Error, strum::IntoStaticStr)]
pub enum RestoreError {
    /// The server failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A database has a name that the restore needs, and not Sennight's mark: it is not touched.
    #[error(
        "a database {name:?} exists and does not carry {wanted}: Sennight drops nothing that it did not make; drop or rename it"
    )]
    NameTaken {
        /// The name.
        name: String,
        /// The mark that would make it ours.
        wanted: String,
    },
    /// Another process works for the same request, or on the same live database.
    #[error("another process is at work on the same restore on the server ({lock}): it must end first")]
    AnotherAttempt {
        /// The server-wide lock that it holds.
        lock: String,
    },
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
    /// The schemas are not those that `prepare` reported.
    #[error("the swap is refused: {found}; the databases are no longer those that were prepared")]
    DatabasesChanged {
        /// What is there instead.
        found: String,
    },
    /// A view names the new schema: after the swap it could not be created.
    #[error(
        "the view {view} names the database {database:?}, which is called otherwise after a swap, so none was begun; report this as a bug"
    )]
    ViewNamesDatabase {
        /// The view.
        view: String,
        /// The new schema's name, which a swap changes.
        database: String,
    },
    /// Sessions remained on the live database.
    #[error(
        "sessions did not leave the live database, so it was not swapped ({who}); end them and create a new RestoreRequest"
    )]
    SessionsStay {
        /// Who they are.
        who: String,
    },
    /// The swap was begun, and its outcome is not known.
    #[error(
        "the swap was begun and the server could not be brought to its end since ({why}): accounts of the tenant may be locked; `sennight recover-cutover` with the cut-over's task ends it one way or the other"
    )]
    Unsettled {
        /// What kept failing.
        why: String,
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
            other => matches!(other, Self::AnotherAttempt { .. }),
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
