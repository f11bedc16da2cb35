//! The Kubernetes API `sennight.dev/v1alpha1`: types, schemas and admission policies. No I/O and no decisions. One file for
//! each kind. `core` decides with types of its own; `convert.rs` translates.

#![allow(
    clippy::doc_markdown,
    clippy::duplicated_attributes,
    reason = "the comments become `kubectl explain`, where backticks are noise; printer columns share their type_"
)]

pub mod admission;
pub mod alarm;
pub mod backup;
pub mod backup_schedule;
pub mod backup_storage;
pub mod common;
pub mod conditions;
pub mod convert;
pub mod crds;
pub mod database_server;
pub mod export_profile;
pub mod generated;
pub mod restore_report;
pub mod restore_request;
pub mod restore_status;
pub mod undo;

pub use backup_schedule::{BackupSchedule, BackupScheduleSpec, BackupScheduleStatus};
pub use backup_storage::{BackupStorage, BackupStorageSpec, BackupStorageStatus};
pub use conditions::{Condition, ConditionStatus};
pub use database_server::{DatabaseServer, DatabaseServerSpec, DatabaseServerStatus};
pub use export_profile::{ExportProfile, ExportProfileSpec, ExportProfileStatus};
pub use restore_request::{RestoreRequest, RestoreRequestSpec};
pub use restore_status::RestoreRequestStatus;
