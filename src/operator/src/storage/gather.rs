//! All requests of a BackupStorage to its bucket: probe, lifecycle rules, patrol. Each step has its own result, so that one
//! failure does not hide the others.

use super::controller::StorageController;
use super::patrol;
use super::validate::{bucket_of, overlap, policy, take_over};
use crate::error::Unusable;
use crate::runtime::writes::VerbError;
use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt;
use kube::api::Api;
use sennight_api::BackupStorage;
use sennight_api::backup_storage::LifecycleMode;
use sennight_core::capabilities::Capabilities;
use sennight_core::prefix_owner::{OwnerMarker, PrefixOwner};
use sennight_storage::{self as store, Enforcement, LifecycleError, Store, StoreError, Tally};

/// What one reconcile found in the bucket.
pub struct Findings {
    /// What the store can do and by which marker the prefix is its own, or why the storage cannot be used.
    pub usable: Result<(Capabilities, OwnerMarker), Unusable>,
    /// The lifecycle rules in force; `None` if they were not read.
    pub rules: Option<Result<Enforcement, LifecycleError>>,
    /// A walk through all backups that ended or failed; `None` if none was due or it goes on later.
    pub patrol: Option<Result<Tally, StoreError>>,
}

/// Probes the bucket, applies its rules and continues its patrol.
pub async fn gather(storage: &BackupStorage, controller: &StorageController) -> Findings {
    match probe(storage, controller).await {
        Ok((store, marker)) => Findings {
            rules: rules(storage, controller, &store).await,
            patrol: patrol::continue_walk(storage, controller, &store).await,
            usable: Ok((store.capabilities(), marker)),
        },
        Err(unusable) => Findings { usable: Err(unusable), rules: None, patrol: None },
    }
}

/// Tries what the store can do, and makes the prefix the storage's own before anything else is done there.
async fn probe(storage: &BackupStorage, controller: &StorageController) -> Result<(Store, OwnerMarker), Unusable> {
    let others = controller.storages.state();
    overlap(storage, others.iter().map(AsRef::as_ref))?;
    let me = PrefixOwner {
        cluster: cluster(controller).await?,
        namespace: storage.namespace().unwrap_or_default(),
        storage: storage.name_any(),
    };
    // So that a rotated Secret is used by this probe.
    controller.stores.forget(&storage.uid().unwrap_or_default());
    let now = controller.clock.now();
    let store = controller.stores.open_unowned(storage).await?;
    let store = store.with_capabilities(store.probe(now).await?);
    let marker = store.own_prefix(&me, take_over(storage, others.iter().map(AsRef::as_ref)), now).await?;
    Ok((store, marker))
}

/// The UID of the namespace kube-system, read once: a cluster that is made anew has another one.
async fn cluster(controller: &StorageController) -> Result<String, Unusable> {
    let read = async || {
        let api: Api<Namespace> = Api::all(controller.client.clone());
        let read = api.get("kube-system").await;
        read.map_err(|source| {
            Unusable::Cluster(Box::new(VerbError::new::<Namespace>("get", None, "kube-system", source)))
        })
    };
    let uid =
        controller.cluster.get_or_try_init(async || Ok::<_, Unusable>(read().await?.uid().unwrap_or_default())).await;
    uid.cloned()
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
