//! Checks a BackupSchedule against the objects that it names and against its rivals. Gives a parsed schedule, or the first
//! reason why it is refused. Pure.

use crate::cache::schedule_index::{Holder, Invalid, timetable};
use sennight_api::{BackupSchedule, BackupStorage, DatabaseServer};
use sennight_core::schedule::Schedule;
use std::sync::Arc;

/// A schedule that is not refused.
#[derive(Debug, Clone)]
pub struct Valid {
    /// When it runs.
    pub schedule: Schedule,
    /// Where its backups go.
    pub storage: Arc<BackupStorage>,
    /// Where its database is.
    pub server: Arc<DatabaseServer>,
}

/// Checks a schedule. `holder` is the older schedule that claims the same tenant or database, if any.
pub fn validate(
    object: &BackupSchedule,
    storage: Option<Arc<BackupStorage>>,
    server: Option<Arc<DatabaseServer>>,
    holder: Option<&Holder>,
) -> Result<Valid, Invalid> {
    let spec = &object.spec;
    let schedule = timetable(object)?;
    if object.metadata.deletion_timestamp.is_some() {
        return Err(Invalid::BeingDeleted);
    }
    let storage = storage.ok_or_else(|| Invalid::StorageMissing(spec.storage_ref.name.clone()))?;
    let server = server.ok_or_else(|| Invalid::ServerMissing(spec.database.server_ref.name.clone()))?;
    holder.map_or(Ok(Valid { schedule, storage, server }), |by| Err(duplicate(object, by)))
}

fn duplicate(object: &BackupSchedule, holder: &Holder) -> Invalid {
    let what = if holder.tenant == object.spec.tenant.id {
        format!("tenant {:?}", holder.tenant)
    } else {
        format!("database {:?} of DatabaseServer {:?}", holder.database, holder.server)
    };
    Invalid::Duplicate { what, by: holder.name.clone(), suspended: holder.suspended }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::schedule_index::{ScheduleIndex, was_refused};
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
        let index = ScheduleIndex::default();
        others.iter().chain([&object]).for_each(|other| drop(index.put(other, 0, 1)));
        let rivals = index.rivals(object, |_| true);
        validate(object, Some(storage()), Some(server("PostgreSQL")), rivals.holder.as_ref()).err().map(|e| e.reason())
    }

    #[test]
    fn a_complete_schedule_is_valid() {
        assert_eq!(reason(&schedule("a", 0, &json!({})), &[]), None);
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        let good = schedule("a", 0, &json!({}));
        assert_eq!(validate(&good, None, Some(server("PostgreSQL")), None).unwrap_err().reason(), "StorageMissing");
        assert_eq!(validate(&good, Some(storage()), None, None).unwrap_err().reason(), "ServerMissing");
        assert!(validate(&good, Some(storage()), Some(server("MySQL")), None).is_ok());
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

    #[test]
    fn nobody_is_said_to_back_up_what_a_suspended_schedule_keeps() {
        let keeps = |suspended| Holder {
            name: "old".into(),
            tenant: "a".into(),
            server: "pg".into(),
            database: "x".into(),
            suspended,
        };
        let object = schedule("a", 0, &json!({}));
        let message = |suspended| {
            validate(&object, Some(storage()), Some(server("MySQL")), Some(&keeps(suspended))).unwrap_err().to_string()
        };
        assert!(
            message(false).starts_with("tenant \"a\" is already backed up by BackupSchedule \"old\""),
            "{}",
            message(false)
        );
        assert!(message(true).contains("\"old\", which is suspended, so that nobody backs it up"), "{}", message(true));
    }

    #[test]
    fn a_refusal_is_known_by_its_reason_and_a_failed_dump_is_none() {
        let says = |status: &str, reason: &str| {
            let mut object = schedule("a", 0, &json!({}));
            let status = json!({"conditions": [{"type": "Ready", "status": status, "reason": reason}]});
            object.status = serde_json::from_value(status).unwrap();
            was_refused(&object)
        };
        for reason in ["Duplicate", "ServerMissing", "StorageMissing", "BeingDeleted", "NeverFires", "UnknownTimeZone"]
        {
            assert!(says("False", reason), "{reason}");
        }
        assert!(
            !says("False", "LoginRefused") && !says("True", "Scheduled") && !was_refused(&schedule("a", 0, &json!({})))
        );
    }
}
