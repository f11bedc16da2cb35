//! Preflight of a full restore as a report: asks the server, lists the backup's schema archive, applies the rules.

use super::archive::Archive;
use super::connect::{Login, Session, connect, connect_as, connect_to_read};
use super::create;
use super::error::EngineError;
use super::loading_role::{self, Owners};
use super::preflight::{ArchiveContents, gather_facts};
use super::preflight_facts::PreflightFacts;
use super::preflight_refusal::PreflightRefusal;
use super::preflight_rules::{refusals, warnings};
use super::tools::{Access, Tools};
use crate::restore::BackupReader;
use sennight_core::result::{Preflight, Refusal};
use sennight_protocol::report::TaskError;
use sennight_protocol::restore::RestoreTask;

/// A larger schema archive (large objects are in it) is not fetched for a preflight; in bytes.
const ARCHIVE_LIMIT: i64 = 64 << 20;

/// Collects the facts and applies the rules.
pub async fn preflight(
    task: &RestoreTask,
    backup: &dyn BackupReader,
    application: &str,
) -> Result<Preflight, TaskError> {
    let admin = connect_to_read(&task.database, &task.database.maintenance_database, application).await?;
    let facts = facts(task, backup, &admin).await;
    admin.close().await;
    let facts = facts?;
    let mut refused = refusals(&facts);
    if let Ok(tools) = Tools::find(facts.server_major)
        && let Err(error @ EngineError::ToolVulnerable { .. }) = tools.check("pg_restore").await
    {
        refused.push(PreflightRefusal::ToolVulnerable { why: error.to_string() });
    }
    if facts.loading_role.is_some() && !facts.in_recovery {
        refused.extend(loading_role_refused(task, application).await?);
    }
    Ok(Preflight {
        refusals: refused.iter().map(Refusal::from).collect(),
        warnings: warnings(&facts),
        live_bytes: facts.live_bytes,
        live_sessions: facts.live_sessions,
    })
}

/// Makes the role that would load the backup, logs in as it, and drops it: `pg_hba.conf` or a module may keep it out.
async fn loading_role_refused(task: &RestoreTask, application: &str) -> Result<Option<PreflightRefusal>, TaskError> {
    let (target, uid) = (&task.database, &task.request_uid);
    let admin = connect(target, &target.maintenance_database, application).await?;
    // An attempt at this request has shown that it can log in.
    if !create::try_lock(&admin, uid).await? {
        return Ok(None);
    }
    loading_role::drop_own(&admin, uid).await?;
    let role = loading_role::make(&admin, uid, &Owners::default(), 1).await?;
    let login = Login::As(&role.credentials);
    let entered = connect_as(target, login, &target.maintenance_database, application, &[]).await;
    let refused = match entered {
        Ok(session) => {
            session.close().await;
            None
        }
        // It was let in, and then not into this database, which it need not be.
        Err(EngineError::PermissionDenied { .. }) => None,
        Err(EngineError::LoginRefused { why, .. }) => {
            Some(PreflightRefusal::LoadingRoleRefused { name: role.credentials.username.clone(), why })
        }
        Err(other) => {
            loading_role::drop_own(&admin, uid).await?;
            return Err(other.into());
        }
    };
    loading_role::drop_own(&admin, uid).await?;
    admin.close().await;
    Ok(refused)
}

/// All that the rules need: facts from the server, and the table of contents of the backup's schema archive.
pub async fn facts(
    task: &RestoreTask,
    backup: &dyn BackupReader,
    admin: &Session,
) -> Result<PreflightFacts, TaskError> {
    let contents = contents(backup, admin.server_major()).await?;
    Ok(gather_facts(admin, task, backup.manifest(), contents.as_ref()).await?)
}

/// `None` where the archive is too large to fetch, or the installed tools cannot read it; the latter is a refusal by itself.
async fn contents(backup: &dyn BackupReader, server_major: i32) -> Result<Option<ArchiveContents>, TaskError> {
    let Ok(tools) = Tools::find(server_major) else { return Ok(None) };
    // Tools with known holes are a refusal by themselves, and read nothing.
    if backup.manifest().schema.length > ARCHIVE_LIMIT || tools.check("pg_restore").await.is_err() {
        return Ok(None);
    }
    // Without any credentials: the archive comes from a bucket, and nobody knows what reading it may do.
    let access = Access::none()?;
    let file = access.dir().join("schema");
    backup.fetch_schema(&file).await?;
    let archive = Archive { tools: &tools, access: &access, file: &file, owners: true };
    let listed = async {
        Ok::<_, EngineError>(ArchiveContents { list: archive.contents().await?, needs: archive.needs().await? })
    };
    let listed = listed.await;
    if let Err(error) = &listed {
        tracing::warn!(%error, "schema archive not listed");
    }
    Ok(listed.ok())
}
