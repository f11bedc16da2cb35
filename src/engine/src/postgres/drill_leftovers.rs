//! Drops scratch databases that killed drills left, which hold a tenant's data. They are found by name and mark; a drill that
//! still runs holds its lock.

use super::connect::Session;
use super::create::{drop_own, restore_marker, try_lock, unlock};
use super::error::EngineError;
use super::failure::RestoreError;
use super::loading_role;
use crate::restore::DRILL;

/// Drops every scratch database whose drill no longer runs, except `own`'s. Returns their names. One that cannot be dropped
/// is left to the next drill.
pub async fn drop_leftovers(admin: &Session, own: &str) -> Result<Vec<String>, EngineError> {
    let failed = |e| EngineError::query("looking for what killed drills left", e);
    let found = admin
        .query(
            "SELECT datname::pg_catalog.text, pg_catalog.shobj_description(oid, 'pg_database') FROM pg_catalog.pg_database
              WHERE pg_catalog.starts_with(datname::pg_catalog.text, 'sennight_drill_') ORDER BY 1",
            &[],
        )
        .await
        .map_err(failed)?;
    let mut dropped_names = Vec::new();
    for row in &found {
        let (name, comment): (String, Option<String>) =
            (row.try_get(0).map_err(failed)?, row.try_get(1).map_err(failed)?);
        let Some(uid) = drill_of(comment.as_deref()).filter(|uid| *uid != own) else { continue };
        match drop_left(admin, &name, uid).await {
            Ok(true) => dropped_names.push(name),
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, database = name, "leftover of a killed drill not dropped"),
        }
    }
    Ok(dropped_names)
}

async fn drop_left(admin: &Session, name: &str, uid: &str) -> Result<bool, RestoreError> {
    if !try_lock(admin, uid).await? {
        return Ok(false);
    }
    let mut dropped = drop_own(admin, name, uid).await;
    if dropped.is_ok()
        && let Err(error) = loading_role::drop_own(admin, uid).await
    {
        dropped = Err(error);
    }
    unlock(admin, uid).await?;
    dropped
}

/// The drill's UID in a database's comment, if it is a drill's.
fn drill_of(comment: Option<&str>) -> Option<&str> {
    let uid = comment?.strip_prefix(&restore_marker(""))?;
    uid.strip_prefix(DRILL).is_some_and(|tenant| !tenant.is_empty()).then_some(uid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::restore::drill_uid;

    #[test]
    fn only_a_drills_mark_is_one() {
        let mark = restore_marker(&drill_uid("0123"));
        assert_eq!(drill_of(Some(&mark)), Some("drill-0123"));
        let request = restore_marker("0f3b2c1d-aaaa-4bbb-8ccc-1234567890ab");
        let nobody = restore_marker(DRILL);
        for other in [None, Some("drill-0123"), Some(request.as_str()), Some(nobody.as_str()), Some("mine")] {
            assert_eq!(drill_of(other), None, "{other:?}");
        }
    }
}
