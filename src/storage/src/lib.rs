//! The S3 client: uploads, listing and opening of backups, holds, lifecycle rules, claims and the patrol. No Kubernetes and no
//! database.

mod audit;
mod backup_list;
mod catalogue;
mod checksum;
mod claims;
mod client;
mod connect;
mod copy;
mod credentials;
mod error;
mod hold;
mod lifecycle;
mod lifecycle_xml;
mod link;
mod listing;
mod owner;
mod patrol;
mod probe;
mod raw;
mod reports;
mod upload;

pub use backup_list::{FoundBackup, FoundState};
pub use catalogue::{Catalogue, CatalogueEntry, CatalogueError, NEWEST, OpenBackup};
pub use claims::{ClaimRecord, Claimed};
pub use client::{Listed, ObjectHead, PutOptions, Store, Tags};
pub use connect::Access;
pub use credentials::Credentials;
pub use error::{Answer, Cause, Place, StoreError};
pub use hold::{HeldBackup, HoldError};
pub use lifecycle::{Enforcement, LifecycleError, ensure, observe};
pub use listing::{Page, Unfinished};
pub use owner::OwnerError;
pub use patrol::{Needs, Tally, Walk};
pub use upload::{Upload, Uploaded};
