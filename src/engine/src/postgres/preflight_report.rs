//! Preflight of a full restore as a report: asks the server, lists the backup's schema archive, applies the rules.

use super::archive::Archive;
use super::connect::{Session, connect_to_read};
use super::error::EngineError;
use super::preflight::{ArchiveContents, gather_facts};
use super::preflight_facts::PreflightFacts;
use super::preflight_rules::{refusals, warnings};
use super::startup::Purpose;
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
    let facts = facts(task, backup, &admin, application).await;
    admin.close().await;
    let facts = facts?;
    Ok(Preflight {
        refusals: refusals(&facts).iter().map(Refusal::from).collect(),
        warnings: warnings(&facts),
        live_bytes: facts.live_bytes,
        live_sessions: facts.live_sessions,
    })
}

/// All that the rules need: facts from the server, and the table of contents of the backup's schema archive.
pub async fn facts(
    task: &RestoreTask,
    backup: &dyn BackupReader,
    admin: &Session,
    application: &str,
) -> Result<PreflightFacts, TaskError> {
    let contents = contents(task, backup, admin.server_major(), application).await?;
    Ok(gather_facts(admin, task, backup.manifest(), contents.as_ref()).await?)
}

/// `None` where the archive is too large to fetch, or the installed tools cannot read it; the latter is a refusal by itself.
async fn contents(
    task: &RestoreTask,
    backup: &dyn BackupReader,
    server_major: i32,
    application: &str,
) -> Result<Option<ArchiveContents>, TaskError> {
    let Ok(tools) = Tools::find(server_major) else { return Ok(None) };
    if backup.manifest().schema.length > ARCHIVE_LIMIT {
        return Ok(None);
    }
    let access = Access::prepare(&task.database, &task.database.maintenance_database, application, Purpose::Read)?;
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
