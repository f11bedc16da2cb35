//! All requests of a BackupStorage to its bucket: probe, lifecycle rules, patrol. Each step has its own result, so that one
//! failure does not hide the others.

use super::controller::StorageController;
use super::patrol;
use super::validate::{bucket_of, overlap, policy};
use crate::error::Unusable;
use kube::ResourceExt;
use sennight_api::BackupStorage;
use sennight_api::backup_storage::LifecycleMode;
use sennight_core::capabilities::Capabilities;
use sennight_storage::{self as store, Enforcement, LifecycleError, Store, StoreError, Tally};

/// What one reconcile found in the bucket.
pub struct Findings {
    /// What the store can do, or why the storage cannot be used.
    pub capabilities: Result<Capabilities, Unusable>,
    /// The lifecycle rules in force; `None` if they were not read.
    pub rules: Option<Result<Enforcement, LifecycleError>>,
    /// A walk through all backups that ended or failed; `None` if none was due or it goes on later.
    pub patrol: Option<Result<Tally, StoreError>>,
}

/// Probes the bucket, applies its rules and continues its patrol.
pub async fn gather(storage: &BackupStorage, controller: &StorageController) -> Findings {
    match probe(storage, controller).await {
        Ok((store, capabilities)) => {
            let store = store.with_capabilities(capabilities);
            Findings {
                rules: rules(storage, controller, &store).await,
                patrol: patrol::continue_walk(storage, controller, &store).await,
                capabilities: Ok(capabilities),
            }
        }
        Err(unusable) => Findings { capabilities: Err(unusable), rules: None, patrol: None },
    }
}

async fn probe(storage: &BackupStorage, controller: &StorageController) -> Result<(Store, Capabilities), Unusable> {
    let others = controller.storages.state();
    overlap(storage, others.iter().map(AsRef::as_ref))?;
    // So that a rotated Secret is used by this probe.
    controller.stores.forget(&storage.uid().unwrap_or_default());
    let store = controller.stores.open(storage).await?;
    let capabilities = store.probe(controller.clock.now()).await?;
    Ok((store, capabilities))
}

async fn rules(
    storage: &BackupStorage,
    controller: &StorageController,
    store: &Store,
) -> Option<Result<Enforcement, LifecycleError>> {
    let capabilities = store.capabilities();
    if !capabilities.lifecycle {
        return None;
    }
    let policy = policy(&storage.spec, capabilities);
    let bucket = controller.stores.bucket(bucket_of(&storage.spec));
    // One writer for each bucket: S3 replaces the whole configuration, so of two merges at once one would be lost.
    let mut unsupported = bucket.lock().await;
    let known = unsupported.entry(policy.id_prefix()).or_default();
    let result = match storage.spec.lifecycle.mode {
        LifecycleMode::Merge => store::ensure(store, &policy, known).await,
        LifecycleMode::Observe => store::observe(store, &policy, known).await,
        LifecycleMode::Sweep => return None,
    };
    if let Ok(enforcement) = &result {
        known.clone_from(&enforcement.unsupported);
    }
    Some(result)
}
