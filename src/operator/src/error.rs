//! The error of every reconcile, whatever its kind, and when it is tried again. Refusals are not errors: they are written
//! as conditions.

use crate::cache::storage_clients::OpenError;
use crate::runtime::instrumented::{ReconcileFailure, Retry};
use crate::runtime::writes::VerbError;
use sennight_core::audit::ChainFault;
use sennight_core::names::NameError;
use sennight_protocol::task::TaskParseError;
use sennight_storage::{CatalogueError, HoldError, LifecycleError, OwnerError, StoreError};

/// An error that ends a reconcile.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// A call to the API server failed.
    #[error(transparent)]
    Verb(Box<VerbError>),
    /// A storage cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A request to a bucket failed.
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
    /// The task of a restore's step cannot be built.
    #[error(transparent)]
    TaskUnavailable(#[from] TaskUnavailable),
    /// The audit record in the bucket cannot be brought up to date.
    #[error(transparent)]
    Record(Box<RecordError>),
    /// A restore's pinned backup was not read in this reconcile.
    #[error("the pinned backup has not been read yet")]
    NothingToHold,
    /// The spec of a DatabaseServer makes no sense.
    #[error(transparent)]
    ServerFault(#[from] ServerFault),
    /// A BackupStorage cannot be used.
    #[error(transparent)]
    Unusable(Box<Unusable>),
    /// The bucket's lifecycle rules could not be brought into force.
    #[error(transparent)]
    Lifecycle(Box<LifecycleError>),
    /// The walk through all backups of a storage failed.
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

impl ReconcileFailure for ReconcileError {
    fn reason(&self) -> &'static str {
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
            Self::NothingToHold => "BackupNotRead",
            Self::ServerFault(fault) => fault.reason(),
            Self::Unusable(unusable) => unusable.reason(),
            Self::Lifecycle(error) => error.reason(),
            Self::Patrol(error) => error.reason(),
        }
    }

    /// Most causes (buckets, Secrets, other objects) can go away without a change of this
    /// object, so almost all errors are retried.
    fn retry(&self) -> Retry {
        match self {
            Self::Verb(error) if error.is_conflict() => Retry::AtOnce,
            Self::Record(error) if error.is_behind() => Retry::AtOnce,
            Self::ServerFault(_) => Retry::OnChange,
            _ => Retry::Later,
        }
    }
}

/// What is wrong with a DatabaseServer's spec. The variant's name is the condition's reason.
#[derive(Debug, PartialEq, Eq, thiserror::Error, strum::IntoStaticStr)]
pub enum ServerFault {
    /// A client certificate without TLS would never be sent.
    #[error("spec.tls.mode is Disable, so spec.tls.{0} would never be used: choose VerifyFull, or remove it")]
    TlsDisabled(&'static str),
}

impl ServerFault {
    /// CamelCase reason of the condition Ready.
    pub fn reason(&self) -> &'static str {
        self.into()
    }
}

/// A BackupStorage that was there first has a part of the same bucket.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "prefix {prefix:?} of bucket {bucket:?} overlaps that of {other}, which was there first: choose another prefix or bucket"
)]
pub struct Overlap {
    /// Prefix of the refused storage.
    pub prefix: String,
    /// Name of the bucket.
    pub bucket: String,
    /// The other one. In another namespace it is not named: who asks may not be allowed to know.
    pub other: String,
}

/// Why a storage cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// An older BackupStorage has a part of its prefix.
    #[error(transparent)]
    Overlap(#[from] Overlap),
    /// Its Secrets or settings make no client.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A request of the probe failed.
    #[error(transparent)]
    Probe(Box<StoreError>),
    /// Its prefix is not its own.
    #[error(transparent)]
    Owner(Box<OwnerError>),
    /// Which cluster this is could not be read.
    #[error("the cluster's identity, the UID of namespace kube-system, cannot be read: {0}")]
    Cluster(Box<VerbError>),
}

impl From<OwnerError> for Unusable {
    fn from(error: OwnerError) -> Self {
        Self::Owner(Box::new(error))
    }
}

impl From<StoreError> for Unusable {
    fn from(error: StoreError) -> Self {
        Self::Probe(Box::new(error))
    }
}

impl Unusable {
    /// Whether the prefix was found to be another storage's.
    pub fn is_anothers(&self) -> bool {
        match self {
            Self::Overlap(_) => true,
            Self::Owner(error) => !matches!(**error, OwnerError::Store(_)),
            Self::Open(_) | Self::Probe(_) | Self::Cluster(_) => false,
        }
    }

    /// CamelCase reason of the condition Ready.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Overlap(_) => "OverlappingPrefix",
            Self::Open(error) => error.reason(),
            Self::Probe(error) => error.reason(),
            Self::Owner(error) => error.reason(),
            Self::Cluster(error) => error.reason(),
        }
    }
}

/// Why the task of a restore's step cannot be built.
#[derive(Debug, thiserror::Error, strum::IntoStaticStr)]
pub enum TaskUnavailable {
    /// A schedule, server, storage, profile or Secret reference was removed in between.
    #[error("an object that the request rests on is gone: its schedule, server, storage, profile or credentials")]
    ReferenceGone,
    /// Status does not name the databases that the step works on.
    #[error("status.prepared does not name the prepared database")]
    NotPrepared,
    /// The ExportProfile's spec cannot be written as JSON.
    #[error("the ExportProfile cannot be passed on: {0}")]
    ProfileNotWritable(#[from] serde_json::Error),
}

impl TaskUnavailable {
    /// CamelCase reason.
    pub fn reason(&self) -> &'static str {
        self.into()
    }
}

/// Why the audit record could not be brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The request could not be read from the API server.
    #[error(transparent)]
    Verb(#[from] VerbError),
    /// The storage's Secrets or settings make no client.
    #[error("the record cannot be written: {0}")]
    Open(#[from] OpenError),
    /// A request to the bucket failed.
    #[error("the record cannot be written: {0}")]
    Store(#[from] StoreError),
    /// The record in the bucket is not what Sennight wrote.
    #[error(
        "the record of this request is not what Sennight wrote: {0}; nothing more is done for it until a person has looked (kubectl sennight audit)"
    )]
    Broken(#[from] ChainFault),
    /// This reconcile read an older request, or another process appended first.
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

    /// Whether the next try may follow at once.
    pub fn is_behind(&self) -> bool {
        matches!(self, Self::Behind)
    }
}
