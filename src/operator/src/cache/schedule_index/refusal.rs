//! Why a BackupSchedule is refused, and whether its status says that it was. The index needs both to tell which of several
//! schedules holds what they claim.

use kube::ResourceExt;
use sennight_api::BackupSchedule;
use sennight_api::conditions::{ScheduleCondition, find};
use sennight_core::schedule::{Schedule, ScheduleError, Window};
use strum::VariantNames;

/// Why a schedule is refused. The variant's name is the reason of Ready.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, strum::IntoStaticStr, strum::VariantNames)]
pub enum Invalid {
    /// The BackupStorage does not exist; its name.
    #[error("spec.storageRef: BackupStorage {0:?} does not exist in this namespace: create it or name another")]
    StorageMissing(String),
    /// The DatabaseServer does not exist; its name.
    #[error(
        "spec.database.serverRef: DatabaseServer {0:?} does not exist in this namespace: create it or name another"
    )]
    ServerMissing(String),
    /// Another schedule holds the same tenant or database.
    #[error("{what} {}", duplicate_message(by, *suspended))]
    Duplicate {
        /// The tenant or database, as the message names it.
        what: String,
        /// Name of the schedule that holds it.
        by: String,
        /// Whether that one is suspended: it stays the holder, and nobody dumps.
        suspended: bool,
    },
    /// The schedule is being deleted.
    #[error("this BackupSchedule is being deleted: no dump starts any more; its backups expire in their time")]
    BeingDeleted,
    /// `spec.schedule`, the time zone or the window is wrong.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
}

impl Invalid {
    /// CamelCase reason of the condition Ready.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Schedule(error) => error.into(),
            Self::StorageMissing(_) | Self::ServerMissing(_) | Self::Duplicate { .. } | Self::BeingDeleted => {
                self.into()
            }
        }
    }

    /// Whether it is refused for a missing object. Its creation does not reconcile the schedule, so that is done by time.
    pub fn waits_for_what_it_names(&self) -> bool {
        matches!(self, Self::StorageMissing(_) | Self::ServerMissing(_))
    }
}

fn duplicate_message(by: &str, suspended: bool) -> String {
    if suspended {
        format!(
            "belongs to BackupSchedule {by:?}, which is suspended, so that nobody backs it up: set spec.suspend of {by:?} to \
             false, or delete one of the two"
        )
    } else {
        format!("is already backed up by BackupSchedule {by:?}: delete one of the two")
    }
}

/// Whether status says that the schedule was refused.
pub fn was_refused(object: &BackupSchedule) -> bool {
    let ready = object.status.as_ref().and_then(|status| find(&status.conditions, ScheduleCondition::Ready));
    ready.is_some_and(|ready| {
        let named = |names: &[&str]| names.contains(&ready.reason.as_str());
        !ready.is_true() && (named(Invalid::VARIANTS) || named(ScheduleError::VARIANTS))
    })
}

/// Parses schedule, time zone and window.
pub fn timetable(object: &BackupSchedule) -> Result<Schedule, ScheduleError> {
    let spec = &object.spec;
    let window = Window::parse(Some(&spec.window_start), Some(&spec.window))?;
    let namespace = object.namespace().unwrap_or_default();
    // The UID is not part of it: a tenant that is re-created keeps its second of the day.
    Schedule::parse(&spec.schedule, &spec.time_zone, window, &[&namespace, &object.name_any()])
}
