//! Why a reconcile failed, whatever its kind. None of these is a refusal: refusals are conditions.

use super::server::validate::ServerFault;
use super::storage::validate::Overlap;
use super::storage_clients::OpenError;
use super::writes::VerbError;
use sennight_core::audit::ChainFault;
use sennight_core::names::NameError;
use sennight_protocol::task::TaskParseError;
use sennight_storage::{CatalogueError, HoldError, LifecycleError, StoreError};

/// When a failed reconcile is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// At once: somebody else changed the object in between.
    AtOnce,
    /// After a pause that grows with the time it has failed.
    Later,
    /// Only when the object changes: it can never work as it is.
    OnChange,
}

/// An error that ends a reconcile.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// A call to the API server.
    #[error(transparent)]
    Verb(Box<VerbError>),
    /// A storage cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A storage does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The bucket's backups cannot be listed or read.
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    /// A backup cannot be held or released.
    #[error(transparent)]
    Hold(#[from] HoldError),
    /// `status.backup.id` is not an id.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A task cannot be written as arguments of a worker.
    #[error(transparent)]
    Task(#[from] TaskParseError),
    /// A step of a restore makes no Job.
    #[error(transparent)]
    TaskUnavailable(#[from] TaskUnavailable),
    /// The audit record in the bucket.
    #[error(transparent)]
    Record(Box<RecordError>),
    /// A restore's pinned backup has not been read in this round.
    #[error("the pinned backup has not been read yet")]
    NothingToHold,
    /// The spec of a DatabaseServer.
    #[error(transparent)]
    ServerFault(#[from] ServerFault),
    /// The bucket of a BackupStorage.
    #[error(transparent)]
    Unusable(Box<Unusable>),
    /// The bucket's lifecycle rules could not be brought into force.
    #[error(transparent)]
    Lifecycle(Box<LifecycleError>),
    /// The walk through a storage's backups.
    #[error("the walk through all backups broke off, it goes on soon: {0}")]
    Patrol(#[source] Box<StoreError>),
}

impl From<VerbError> for ReconcileError {
    fn from(error: VerbError) -> Self {
        Self::Verb(Box::new(error))
    }
}

impl From<RecordError> for ReconcileError {
    fn from(error: RecordError) -> Self {
        Self::Record(Box::new(error))
    }
}

impl ReconcileError {
    /// CamelCase, one of a fixed set: the Event's reason and the metric's label.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Verb(error) => error.reason(),
            Self::Open(error) => error.reason(),
            Self::Store(error) => error.reason(),
            Self::Catalogue(error) => error.reason(),
            Self::Hold(error) => error.reason(),
            Self::Name(_) => "NameRefused",
            Self::Task(_) => "TaskNotWritable",
            Self::TaskUnavailable(error) => error.reason(),
            Self::Record(error) => error.reason(),
            Self::NothingToHold => "CopyNotRead",
            Self::ServerFault(fault) => fault.reason(),
            Self::Unusable(unusable) => unusable.reason(),
            Self::Lifecycle(error) => error.reason(),
            Self::Patrol(error) => error.reason(),
        }
    }

    /// Whether and when to try again. Buckets, Secrets and other objects change without this one changing.
    pub fn retry(&self) -> Retry {
        match self {
            Self::Verb(error) if error.is_conflict() => Retry::AtOnce,
            Self::Record(error) if error.is_behind() => Retry::AtOnce,
            Self::ServerFault(_) => Retry::OnChange,
            _ => Retry::Later,
        }
    }
}

/// Why a storage cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// Another one was there first.
    #[error(transparent)]
    Overlap(#[from] Overlap),
    /// It cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The bucket refused the probe.
    #[error(transparent)]
    Probe(Box<StoreError>),
}

impl From<StoreError> for Unusable {
    fn from(error: StoreError) -> Self {
        Self::Probe(Box::new(error))
    }
}

impl Unusable {
    /// Reason in CamelCase.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Overlap(_) => "OverlappingPrefix",
            Self::Open(error) => error.reason(),
            Self::Probe(error) => error.reason(),
        }
    }
}

/// Why a step makes no Job.
#[derive(Debug, thiserror::Error, strum::IntoStaticStr)]
pub enum TaskUnavailable {
    /// A schedule, server, storage or profile went away in between.
    #[error("an object that the request rests on is gone: its schedule, server, storage, profile or credentials")]
    ReferenceGone,
    /// The cut-over without its preparation.
    #[error("status.prepared does not name the prepared database")]
    NotPrepared,
    /// A profile that makes no JSON.
    #[error("the ExportProfile cannot be passed on: {0}")]
    ProfileNotWritable(#[from] serde_json::Error),
}

impl TaskUnavailable {
    /// CamelCase reason.
    pub fn reason(&self) -> &'static str {
        self.into()
    }
}

/// Why the record could not be kept up.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The API server.
    #[error(transparent)]
    Verb(#[from] VerbError),
    /// The storage cannot be opened.
    #[error("the record cannot be written: {0}")]
    Open(#[from] OpenError),
    /// The storage does not answer.
    #[error("the record cannot be written: {0}")]
    Store(#[from] StoreError),
    /// Somebody changed it.
    #[error(
        "the record of this request is not what Sennight wrote: {0}; nothing more is done for it until a person has looked (kubectl sennight audit)"
    )]
    Broken(#[from] ChainFault),
    /// This round's view is older than the cluster's, or another process appended first.
    #[error("the request or its record has just changed")]
    Behind,
}

impl RecordError {
    /// CamelCase reason.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Verb(error) => error.reason(),
            Self::Open(error) => error.reason(),
            Self::Store(error) => error.reason(),
            Self::Broken(_) => "RecordBroken",
            Self::Behind => "Conflict",
        }
    }

    /// Whether looking again at once is what to do.
    pub fn is_behind(&self) -> bool {
        matches!(self, Self::Behind)
    }
}
