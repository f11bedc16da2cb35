//! From the objects as people wrote them to a schedule that can be followed, or the first reason why it cannot. Pure.

use crate::api::{BackupSchedule, BackupStorage, DatabaseServer};
use crate::controller::fleet::Rival;
use crate::domain::schedule::{Schedule, ScheduleError, Window};
use chrono::{DateTime, Utc};
use kube::ResourceExt;
use std::sync::Arc;

/// Why a schedule cannot be followed. The variant's name is the reason of Ready.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, strum::IntoStaticStr)]
pub enum Invalid {
    /// No such BackupStorage.
    #[error("spec.storageRef: BackupStorage {0:?} does not exist in this namespace: create it or name another")]
    StorageMissing(String),
    /// No such DatabaseServer.
    #[error(
        "spec.database.serverRef: DatabaseServer {0:?} does not exist in this namespace: create it or name another"
    )]
    ServerMissing(String),
    /// The same tenant or database is somebody else's already.
    #[error("{what} is already backed up by BackupSchedule {by:?}: delete one of the two")]
    Duplicate {
        /// Tenant or database.
        what: String,
        /// The older schedule.
        by: String,
    },
    /// The schedule itself.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
}

impl Invalid {
    /// CamelCase reason.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Schedule(error) => error.into(),
            Self::StorageMissing(_) | Self::ServerMissing(_) | Self::Duplicate { .. } => self.into(),
        }
    }
}

/// A schedule that can be followed.
#[derive(Debug, Clone)]
pub struct Valid {
    /// When.
    pub schedule: Schedule,
    /// Where to.
    pub storage: Arc<BackupStorage>,
    /// Where from.
    pub server: Arc<DatabaseServer>,
}

/// Checks a schedule against what it names. `rivals` claim the same tenant or database in its namespace.
pub fn validate(
    object: &BackupSchedule,
    storage: Option<Arc<BackupStorage>>,
    server: Option<Arc<DatabaseServer>>,
    rivals: &[Rival],
) -> Result<Valid, Invalid> {
    let spec = &object.spec;
    let schedule = timetable(object)?;
    let storage = storage.ok_or_else(|| Invalid::StorageMissing(spec.storage_ref.name.clone()))?;
    let server = server.ok_or_else(|| Invalid::ServerMissing(spec.database.server_ref.name.clone()))?;
    duplicate(object, rivals).map_or(Ok(Valid { schedule, storage, server }), Err)
}

/// The schedule's own fields.
pub fn timetable(object: &BackupSchedule) -> Result<Schedule, ScheduleError> {
    let spec = &object.spec;
    let window = Window::parse(Some(&spec.window_start), Some(&spec.window))?;
    let namespace = object.namespace().unwrap_or_default();
    // The UID is not part of it: a tenant that is re-created keeps its second of the day.
    Schedule::parse(&spec.schedule, &spec.time_zone, window, &[&namespace, &object.name_any()])
}

/// An older schedule for the same tenant or the same database: the first one keeps it.
fn duplicate(object: &BackupSchedule, rivals: &[Rival]) -> Option<Invalid> {
    let created = object.creation_timestamp().and_then(|t| t.0.to_string().parse::<DateTime<Utc>>().ok());
    let mine = (created, object.name_any());
    let older = rivals.iter().find(|other| (other.created, other.name.clone()) < mine)?;
    let what = if older.tenant == object.spec.tenant.id {
        format!("tenant {:?}", older.tenant)
    } else {
        format!("database {:?} of DatabaseServer {:?}", older.database, older.server)
    };
    Some(Invalid::Duplicate { what, by: older.name.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::fleet::Fleet;
    use serde_json::json;

    fn schedule(name: &str, second: u32, change: &serde_json::Value) -> BackupSchedule {
        let mut object = json!({
            "apiVersion": "sennight.dev/v1alpha1", "kind": "BackupSchedule",
            "metadata": {"name": name, "namespace": "n", "uid": name, "creationTimestamp": format!("2026-11-22T00:00:{second:02}Z")},
            "spec": {"tenant": {"id": name, "owner": "1", "plan": {"name": "free"}}, "storageRef": {"name": "s"},
                     "database": {"serverRef": {"name": "pg"}, "name": name}}
        });
        if let Some(fields) = change.as_object() {
            for (key, value) in fields {
                object["spec"][key] = value.clone();
            }
        }
        serde_json::from_value(object).unwrap()
    }

    fn storage() -> Arc<BackupStorage> {
        Arc::new(BackupStorage::new("s", serde_json::from_value(json!({"bucket": "b"})).unwrap()))
    }

    fn server(engine: &str) -> Arc<DatabaseServer> {
        let spec = json!({"engine": engine, "host": "h", "dumpCredentialsSecretRef": {"name": "x"}});
        Arc::new(DatabaseServer::new("pg", serde_json::from_value(spec).unwrap()))
    }

    fn reason(object: &BackupSchedule, others: &[&BackupSchedule]) -> Option<&'static str> {
        let fleet = Fleet::default();
        others.iter().chain([&object]).for_each(|other| drop(fleet.put(other, 0, 1)));
        let rivals = fleet.rivals(object);
        validate(object, Some(storage()), Some(server("PostgreSQL")), &rivals).err().map(|e| e.reason())
    }

    #[test]
    fn a_complete_schedule_is_valid() {
        assert_eq!(reason(&schedule("a", 0, &json!({})), &[]), None);
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        let good = schedule("a", 0, &json!({}));
        assert_eq!(validate(&good, None, Some(server("PostgreSQL")), &[]).unwrap_err().reason(), "StorageMissing");
        assert_eq!(validate(&good, Some(storage()), None, &[]).unwrap_err().reason(), "ServerMissing");
        assert!(validate(&good, Some(storage()), Some(server("MySQL")), &[]).is_ok());
        assert_eq!(reason(&schedule("a", 0, &json!({"timeZone": "Mars"})), &[]), Some("UnknownTimeZone"));
        assert_eq!(reason(&schedule("a", 0, &json!({"schedule": "* * * * *"})), &[]), Some("FiresTwiceADay"));
    }

    #[test]
    fn the_older_of_two_schedules_keeps_the_tenant_and_the_database() {
        let first = schedule("a", 0, &json!({}));
        let tenant = json!({"tenant": {"id": "a", "owner": "1", "plan": {"name": "free"}}});
        let database = json!({"database": {"serverRef": {"name": "pg"}, "name": "a"}});
        for change in [tenant, database] {
            let second = schedule("b", 1, &change);
            assert_eq!(reason(&second, &[&first]), Some("Duplicate"));
            assert_eq!(reason(&first, &[&second]), None, "the first is not disturbed");
        }
    }
}
