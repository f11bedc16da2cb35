//! `link`: a short-lived link to a finished export, signed with the caller's own AWS credentials and stored nowhere.

use super::args::{ClusterArgs, LinkArgs};
use super::cluster::Cluster;
use super::error::PluginError;
use super::output::Io;
use chrono::{TimeDelta, Utc};
use kube::ResourceExt;
use sennight_api::backup_storage::BackupStorageSpec;
use sennight_api::restore_request::RestoreMode;
use sennight_api::{BackupStorage, RestoreRequest};
use sennight_core::capabilities::Capabilities;
use sennight_present::words::{bytes, instant, span};
use sennight_protocol::target::StorageTarget;
use sennight_storage::{Access, Store};
use std::path::Path;

/// Prints the link to standard output, and warnings for people to standard error.
pub async fn run(args: &ClusterArgs, link: &LinkArgs, io: &mut Io<'_>) -> Result<(), PluginError> {
    let cluster = Cluster::connect(args).await?;
    let request = cluster.request(&link.name).await?;
    let key = export_key(&request)?;
    let storage = cluster.storage(&request).await?;
    let ca_bundle = ca_bundle(link.ca_file.as_deref())?;
    let target = target(&storage, link.endpoint.as_deref());
    let store = Store::with_access(&target, Access { ca_bundle, ..Access::default() }).await?;
    // Signing makes no request, so that a link to an object that is gone would be made all the same.
    let size = if link.no_check { None } else { Some(store.head(&key).await?.length) };
    let file = key.rsplit('/').next().unwrap_or(&key);
    let url = store.link(&key, file, link.expires_in).await?;
    let life = TimeDelta::from_std(link.expires_in).unwrap_or_default();
    let size = size.map_or_else(String::new, |size| format!(" ({})", bytes(size)));
    io.complain(&whose(&request));
    io.complain(&format!(
        "Whoever has this link can read {}{size} for {}, until {}; temporary credentials end it earlier. It holds personal data: \
         send it to the account's owner only.",
        file,
        span(life),
        instant(Utc::now() + life, None),
    ));
    io.say(&url)
}

/// Whose data the link gives access to, and for which ticket.
fn whose(request: &RestoreRequest) -> String {
    let status = request.status.as_ref();
    let tenant = status.and_then(|status| status.tenant.as_deref()).unwrap_or("not known");
    let day = status.and_then(|status| status.backup.as_ref()).map(|backup| format!(", data of {}", backup.day));
    let spec = &request.spec;
    format!(
        "{}: tenant {tenant}{}; asked for by user {}, ticket {}",
        request.name_any(),
        day.unwrap_or_default(),
        spec.requester.user_id,
        spec.ticket.id
    )
}

/// The CAs that the caller names.
pub fn ca_bundle(file: Option<&Path>) -> Result<Option<Vec<u8>>, PluginError> {
    let read = |file: &Path| std::fs::read(file).map_err(|source| PluginError::File { file: file.to_owned(), source });
    file.map(read).transpose()
}

/// The export's key, or why there is none.
pub fn export_key(request: &RestoreRequest) -> Result<String, PluginError> {
    if request.spec.mode != RestoreMode::CrmExport {
        return Err(PluginError::NotNow("only a CrmExport has files; this request's mode is another".to_owned()));
    }
    let result = request.status.as_ref().and_then(|status| status.result.as_ref());
    result.and_then(|result| result.key.clone()).ok_or_else(|| {
        PluginError::NotNow("this export is not finished: kubectl sennight explain says what it waits for".to_owned())
    })
}

/// The bucket as the receiver of the link reaches it.
pub fn target(storage: &BackupStorage, endpoint: Option<&str>) -> StorageTarget {
    let BackupStorageSpec { bucket, prefix, region, endpoint: own, force_path_style, .. } = &storage.spec;
    StorageTarget {
        bucket: bucket.clone(),
        prefix: prefix.clone(),
        region: region.clone(),
        endpoint: endpoint.map(ToOwned::to_owned).or_else(|| own.clone()),
        force_path_style: *force_path_style,
        ca_file: None,
        credentials_dir: None,
        encryption: None,
        // Nothing is written by this store, so what it can do beside reading does not matter.
        capabilities: Capabilities::default(),
        // A link reads no manifest.
        manifest_keys: None,
    }
}
