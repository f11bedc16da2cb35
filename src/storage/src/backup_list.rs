//! Lists every backup below a storage prefix, damaged and unfinished ones included, for the command line.

use super::catalogue::id_of;
use super::{CatalogueError, Listed, Store};
use chrono::{DateTime, NaiveDate, Utc};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use sennight_core::manifest::{MANIFEST, Manifest};
use sennight_core::names::{Area, BackupId};
use sennight_protocol::backup::BackupRef;
use serde::Serialize;
use std::collections::BTreeMap;

/// Backups that are opened at the same time.
const AT_ONCE: usize = 8;

/// State of a backup's directory in the bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, strum::Display)]
#[serde(rename_all = "camelCase")]
#[strum(serialize_all = "lowercase")]
pub enum FoundState {
    /// The manifest is valid and every object has its length. Only `verify` checks every byte.
    Whole,
    /// There is a manifest, and the backup cannot be used.
    Damaged,
    /// There is no manifest: a dump failed or is running.
    Unfinished,
}

/// One backup's directory.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FoundBackup {
    /// Namespace of the schedule, as the key says.
    pub namespace: String,
    /// Name of the schedule, as the key says.
    pub schedule: String,
    /// Id of the backup, from its key.
    pub id: BackupId,
    /// Key prefix, ending in `/`.
    pub prefix: String,
    /// Whether it can be used.
    pub state: FoundState,
    /// What is wrong with a damaged one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Bytes of all objects below the prefix.
    pub bytes: i64,
    /// Whether the lifecycle rules do not delete it.
    pub held: bool,
    /// End of the hold, if its tags say so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_until: Option<DateTime<Utc>>,
    /// Facts of the manifest, if that is valid.
    #[serde(flatten)]
    pub says: Option<ManifestFacts>,
}

/// The facts of a manifest that are shown.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ManifestFacts {
    /// Whose data it is.
    pub tenant: String,
    /// The database.
    pub database: String,
    /// The day that a RestoreRequest would name.
    pub day: NaiveDate,
    /// The instant of the data.
    pub snapshot_time: DateTime<Utc>,
    /// Tables.
    pub tables: i64,
    /// Rows.
    pub rows: i64,
    /// Id of the key that signed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signed_with: Option<String>,
    /// SHA-256 of the manifest, to pin it.
    pub manifest_sha256: String,
}

impl Store {
    /// All backups of all schedules, or of one namespace's or one schedule's: by schedule, the newest first.
    pub async fn list_backups(
        &self,
        namespace: Option<&str>,
        schedule: Option<&str>,
    ) -> Result<Vec<FoundBackup>, CatalogueError> {
        let mut all = Vec::new();
        for area in [Area::Daily, Area::Held, Area::Safety] {
            for namespace in self.names(&self.keys.area(area), namespace).await? {
                let above = format!("{}{namespace}/", self.keys.area(area));
                for schedule in self.names(&above, schedule).await? {
                    // Names that cannot be a schedule's are not Sennight's.
                    if let Ok(place) = self.keys.schedule(area, &namespace, &schedule) {
                        all.extend(self.survey_schedule(area, &namespace, &schedule, &place).await?);
                    }
                }
            }
        }
        let order = |found: &FoundBackup| {
            (found.namespace.clone(), found.schedule.clone(), std::cmp::Reverse(found.id.clone()))
        };
        all.sort_by_cached_key(order);
        Ok(all)
    }

    async fn names(&self, above: &str, only: Option<&str>) -> Result<Vec<String>, CatalogueError> {
        if let Some(only) = only {
            return Ok(vec![only.to_owned()]);
        }
        let dirs = self.list_dirs(above).await?;
        Ok(dirs.iter().filter_map(|dir| Some(dir.strip_prefix(above)?.trim_end_matches('/').to_owned())).collect())
    }

    async fn survey_schedule(
        &self,
        area: Area,
        namespace: &str,
        schedule: &str,
        place: &str,
    ) -> Result<Vec<FoundBackup>, CatalogueError> {
        let mut dirs: BTreeMap<String, Vec<Listed>> = BTreeMap::new();
        for object in self.list(place).await? {
            if let Some((dir, _)) = object.key[place.len()..].split_once('/') {
                dirs.entry(format!("{place}{dir}/")).or_default().push(object);
            }
        }
        // What does not bear a backup's id is somebody else's.
        let ours = dirs.into_iter().filter_map(|(dir, objects)| Some((id_of(&dir)?, dir, objects)));
        stream::iter(ours)
            .map(|(id, prefix, objects)| async move {
                let mut found = FoundBackup {
                    namespace: namespace.to_owned(),
                    schedule: schedule.to_owned(),
                    id,
                    prefix,
                    state: FoundState::Unfinished,
                    reason: None,
                    bytes: objects.iter().map(|object| object.length).sum(),
                    held: area != Area::Daily,
                    held_until: None,
                    says: None,
                };
                self.inspect(&mut found, &objects).await?;
                Ok(found)
            })
            .buffered(AT_ONCE)
            .try_collect()
            .await
    }

    /// Opens the backup, if there is one, and compares its objects with those that were listed.
    async fn inspect(&self, found: &mut FoundBackup, objects: &[Listed]) -> Result<(), CatalogueError> {
        let backup = BackupRef { prefix: found.prefix.clone(), id: found.id.clone(), manifest_sha256: None };
        let open = match self.open(&backup, None).await {
            Ok(open) => open,
            Err(CatalogueError::BackupGone { .. }) => return Ok(()),
            // A store that does not answer says nothing about the backup: it must not be listed as damaged.
            Err(CatalogueError::Store(error)) => return Err(error.into()),
            Err(error) => {
                (found.state, found.reason) = (FoundState::Damaged, Some(format!("{}: {error}", error.reason())));
                return Ok(());
            }
        };
        found.held_until = self.held_until(&backup).await?;
        found.held |= found.held_until.is_some();
        found.reason = missing(&found.prefix, &open.manifest, objects);
        found.state = if found.reason.is_some() { FoundState::Damaged } else { FoundState::Whole };
        let manifest = open.manifest;
        found.says = Some(ManifestFacts {
            tenant: manifest.identity.tenant,
            database: manifest.identity.database,
            day: manifest.day,
            snapshot_time: manifest.snapshot_time,
            tables: manifest.totals.tables,
            rows: manifest.totals.rows,
            signed_with: manifest.mac.map(|mac| mac.key_id),
            manifest_sha256: open.backup.manifest_sha256.unwrap_or_default(),
        });
        Ok(())
    }
}

/// The first object that is missing, or has another length than the manifest says; as a sentence.
fn missing(prefix: &str, manifest: &Manifest, objects: &[Listed]) -> Option<String> {
    // Only lengths, which the listing has brought already: reading every byte is what `verify` does.
    let lengths: BTreeMap<&str, i64> = objects.iter().map(|object| (object.key.as_str(), object.length)).collect();
    let schema = (&manifest.schema.object, manifest.schema.length);
    let listed = manifest.objects.iter().map(|object| (&object.name, object.length));
    listed.chain([schema]).find_map(|(name, length)| match lengths.get(format!("{prefix}{name}").as_str()) {
        Some(found) if *found == length => None,
        Some(found) => Some(format!("{MANIFEST} says that {name} has {length} bytes, it has {found}")),
        None => Some(format!("{name} is gone")),
    })
}
