//! The objects that a RestoreRequest rests on: its BackupSchedule, and the BackupStorage and DatabaseServer that this names.

use crate::cache::schedule_index::watched::read_schedule;
use crate::error::ReconcileError;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Client, ResourceExt};
use sennight_api::{BackupSchedule, BackupStorage, DatabaseServer, RestoreRequest};
use std::sync::Arc;

/// Each is `None` if it does not exist.
#[derive(Clone, Default)]
pub struct References {
    /// The BackupSchedule.
    pub schedule: Option<Arc<BackupSchedule>>,
    /// Its BackupStorage.
    pub storage: Option<Arc<BackupStorage>>,
    /// Its DatabaseServer.
    pub server: Option<Arc<DatabaseServer>>,
}

impl References {
    /// Reads the schedule from the API server, the others from the caches.
    pub async fn read(
        object: &RestoreRequest,
        client: &Client,
        storages: &Store<BackupStorage>,
        servers: &Store<DatabaseServer>,
    ) -> Result<Self, ReconcileError> {
        let namespace = object.namespace().unwrap_or_default();
        let schedule = read_schedule(client, &namespace, &object.spec.schedule_ref.name).await?;
        let names = schedule.as_ref().map(|s| (&s.spec.storage_ref.name, &s.spec.database.server_ref.name));
        let storage = names.and_then(|(name, _)| storages.get(&ObjectRef::new(name).within(&namespace)));
        let server = names.and_then(|(_, name)| servers.get(&ObjectRef::new(name).within(&namespace)));
        Ok(Self { schedule, storage, server })
    }

    /// Whether a Job can be made that drops a database: all exist, and the server has credentials for it.
    pub fn reachable(&self) -> bool {
        let server = self.server.as_ref().is_some_and(|server| server.spec.restore_credentials_secret_ref.is_some());
        self.schedule.is_some() && self.storage.is_some() && server
    }
}
