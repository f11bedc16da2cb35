//! Drops databases that a restore left. DROP DATABASE goes by name and cannot run in a transaction. So the database is first
//! given a name of its own and a mark that says "to be dropped", in a transaction that commits only for the right OID.

use super::catalog::{self, Database};
use super::connect::Session;
use super::create::{is_ours, is_previous, lock, previous_marker, restore_marker};
use super::database_properties::comment;
use super::error::EngineError;
use super::failure::RestoreError;
use super::{ident, loading_role};
use sennight_core::names::{GROUP, database_to_drop};
use sennight_core::result::{DatabaseDropped, DatabaseNumber};
use sennight_protocol::drop_database::{DropDatabaseTask, Mark};
use std::time::Duration;
use tokio_postgres::error::SqlState;

/// Attempts to rename the database while sessions are on it.
const ATTEMPTS: u32 = 5;
/// Pause between two attempts.
const PAUSE: Duration = Duration::from_secs(2);

/// The comment on a database that is about to be dropped.
pub fn drop_marker(request_uid: &str) -> String {
    format!("{GROUP}/dropping={request_uid}")
}

/// Grants `reader` CONNECT on a previous database, which the swap has closed to everybody but its owner. Any database without
/// this OID and this request's mark is an error.
pub async fn grant_connect(
    admin: &Session,
    name: &str,
    oid: u32,
    request_uid: &str,
    reader: &str,
) -> Result<(), RestoreError> {
    let failed = |e| EngineError::query(format!("letting {reader:?} into {name:?}"), e);
    admin.batch_execute("BEGIN").await.map_err(failed)?;
    let grant = format!("GRANT CONNECT ON DATABASE {} TO {}", ident(name), ident(reader));
    let found = catalog::by_name(admin, name).await?;
    let is_expected = found.as_ref().is_some_and(|d| d.oid == oid && is_previous(d, request_uid));
    if !is_expected {
        let found =
            format!("{name:?} is not the database with OID {oid} that carries {:?}", previous_marker(request_uid));
        return Err(RestoreError::DatabasesChanged { found });
    }
    admin.batch_execute(&grant).await.map_err(failed)?;
    // If another database has got the name in between, nothing is granted.
    let same = catalog::by_name(admin, name).await?.is_some_and(|d| d.oid == oid);
    admin.batch_execute(if same { "COMMIT" } else { "ROLLBACK" }).await.map_err(failed)?;
    Ok(())
}

/// Drops the task's database. One that is gone is a success; one without the right mark or OID is an error and stays.
pub async fn drop_marked(admin: &Session, task: &DropDatabaseTask) -> Result<DatabaseDropped, RestoreError> {
    // A `prepare` that still works on the database holds this lock.
    lock(admin, &task.request_uid).await?;
    let live = &task.database.database;
    let drop_name = database_to_drop(live, &task.request_uid);
    let Some(found) = find(admin, task, &drop_name).await? else {
        loading_role::drop_own(admin, &task.request_uid).await?;
        return Ok(DatabaseDropped::default());
    };
    if found.name == *live || found.name == task.database.maintenance_database {
        let why = format!("the database with OID {} has the live name {:?} now", found.oid, found.name);
        return Err(RestoreError::DatabasesChanged { found: why });
    }
    if !may_drop(&found, task) {
        let marker = match task.database_to_drop.mark {
            Mark::Previous => previous_marker(&task.request_uid),
            Mark::Restore => restore_marker(&task.request_uid),
        };
        return Err(RestoreError::NameTaken { name: found.name, marker });
    }
    if found.comment != Some(drop_marker(&task.request_uid)) || found.name != drop_name {
        mark_for_drop(admin, &found, &drop_name, &task.request_uid).await?;
    }
    admin
        .batch_execute(&format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", ident(&drop_name)))
        .await
        .map_err(|e| EngineError::query(format!("dropping the database {drop_name:?}"), e))?;
    // A worker that died while it loaded has left them; they could not be dropped before the database.
    loading_role::drop_own(admin, &task.request_uid).await?;
    Ok(DatabaseDropped { database: Some(task.database_to_drop.name.clone()), number: Some(DatabaseNumber(found.oid)) })
}

/// Finds the database by OID where that is known, otherwise by the names that it may have.
async fn find(admin: &Session, task: &DropDatabaseTask, drop_name: &str) -> Result<Option<Database>, EngineError> {
    if let Some(DatabaseNumber(oid)) = task.database_to_drop.number {
        return catalog::by_oid(admin, oid).await;
    }
    match catalog::by_name(admin, drop_name).await? {
        Some(found) => Ok(Some(found)),
        None => catalog::by_name(admin, &task.database_to_drop.name).await,
    }
}

/// Whether its mark and OID allow to drop it.
fn may_drop(found: &Database, task: &DropDatabaseTask) -> bool {
    let uid = &task.request_uid;
    if found.comment == Some(drop_marker(uid)) {
        return true;
    }
    match task.database_to_drop.mark {
        // Without its OID a previous database is never dropped.
        Mark::Previous => task.database_to_drop.number.is_some() && is_previous(found, uid),
        Mark::Restore => found.name == task.database_to_drop.name && is_ours(found, uid),
    }
}

/// Renames the database, marks it as "to be dropped" and forbids connections, in one transaction.
pub(super) async fn mark_for_drop(
    admin: &Session,
    found: &Database,
    drop_name: &str,
    uid: &str,
) -> Result<(), RestoreError> {
    let doing = |what: &str| format!("taking {:?} out of the way: {what}", found.name);
    let mut failed = None;
    for _ in 0..ATTEMPTS {
        let sessions = "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity
                         WHERE datid = $1 AND pid <> pg_catalog.pg_backend_pid()";
        admin.query(sessions, &[&found.oid]).await.map_err(|e| EngineError::query(doing("ending its sessions"), e))?;
        let id = ident(drop_name);
        let renamed = admin
            .batch_execute(&format!(
                "BEGIN; SET LOCAL lock_timeout = '10s'; ALTER DATABASE {} RENAME TO {id}; {};
                 ALTER DATABASE {id} ALLOW_CONNECTIONS false",
                ident(&found.name),
                comment(drop_name, Some(&drop_marker(uid)))
            ))
            .await;
        if let Err(error) = renamed {
            let busy = error.code() == Some(&SqlState::OBJECT_IN_USE);
            let error = EngineError::query(doing("renaming it"), error);
            let _ = admin.batch_execute("ROLLBACK").await;
            if !busy {
                return Err(error.into());
            }
            failed = Some(error);
            tokio::time::sleep(PAUSE).await;
            continue;
        }
        // The lock of the RENAME is held: nobody else can rename it before the COMMIT.
        let oid = catalog::by_name(admin, drop_name).await?.map(|d| d.oid);
        let end = if oid == Some(found.oid) { "COMMIT" } else { "ROLLBACK" };
        admin.batch_execute(end).await.map_err(|e| EngineError::query(doing(end), e))?;
        if oid != Some(found.oid) {
            let found = format!("{:?} has OID {oid:?}, not {}", found.name, found.oid);
            return Err(RestoreError::DatabasesChanged { found });
        }
        return Ok(());
    }
    Err(failed.map_or_else(|| RestoreError::SessionsStay { who: found.name.clone() }, RestoreError::from))
}
