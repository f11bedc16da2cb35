//! All calls by which reconciles change the cluster. Each is safe to repeat after a lost answer: names are fixed, an
//! existing object is compared with ours, and guarded writes carry a resourceVersion.

use crate::runtime::clients::Unsent;
use k8s_openapi::api::batch::v1::Job;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams, Preconditions, PropagationPolicy};
use kube::{Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use std::fmt::Debug;

/// The field managers of the operator's writes: one for each controller that has its own part of a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::AsRefStr)]
pub enum FieldManager {
    /// Everything but the parts of the two others.
    #[strum(serialize = "sennight")]
    Sennight,
    /// What becomes of the databases after a restore.
    #[strum(serialize = "sennight-cleanup")]
    Cleanup,
    /// A restore's audit record, refunds and reminders.
    #[strum(serialize = "sennight-record")]
    Record,
}

/// The names of all of them. None of them signs an approval or a payment.
pub const FIELD_MANAGERS: &[&str] = &["sennight", "sennight-cleanup", "sennight-record"];

/// A call to the API server that failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {verb} {kind} {name}: {source}")]
pub struct VerbError {
    /// The call, as a word for the message.
    pub verb: &'static str,
    /// Kind of the object.
    pub kind: String,
    /// `namespace/name`, or the name alone.
    pub name: String,
    /// kube's error.
    pub source: kube::Error,
}

impl VerbError {
    /// Adds the call and the object to an error of kube.
    pub fn new<K>(verb: &'static str, api_namespace: Option<&str>, name: &str, source: kube::Error) -> Self
    where
        K: Resource<DynamicType = ()>,
    {
        Self {
            verb,
            kind: K::kind(&()).into_owned(),
            name: api_namespace.map_or_else(|| name.to_owned(), |namespace| format!("{namespace}/{name}")),
            source,
        }
    }

    /// CamelCase reason for conditions, Events and metrics.
    pub fn reason(&self) -> &'static str {
        match &self.source {
            kube::Error::Api(status) => match status.code {
                401 | 403 => "Forbidden",
                404 => "NotFound",
                409 => "Conflict",
                422 => "Invalid",
                429 => "TooManyRequests",
                _ => "ApiServerError",
            },
            kube::Error::Service(error) => match error.downcast_ref::<Unsent>() {
                Some(Unsent::NotLeading) => "NotLeading",
                Some(Unsent::TimedOut) => "ApiServerTimeout",
                None => "ApiServerUnreachable",
            },
            _ => "ApiServerUnreachable",
        }
    }

    /// Whether somebody else changed the object in between (409): then the next try may follow at once.
    pub fn is_conflict(&self) -> bool {
        matches!(&self.source, kube::Error::Api(status) if status.code == 409)
    }
}

/// Reads an object from the API server; `None` when it does not exist.
pub async fn get_opt<K>(api: &Api<K>, name: &str) -> Result<Option<K>, VerbError>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    api.get_opt(name).await.map_err(|source| VerbError::new::<K>("get", None, name, source))
}

/// Applies the manager's part of a status (server-side apply: entries of others stay). `status` holds every field that
/// the manager owns: one that is left out is taken away. Nothing is sent when `current` is equal already.
///
/// The write succeeds only if the object is still as `object`. A reconcile that began before the last one's write reached
/// the cache (a Job's event can start one at once) would undo that write. It gets a conflict instead.
///
/// Gives the resourceVersion that the write made; `None` when nothing was sent.
pub async fn apply_status<K, S>(
    api: &Api<K>,
    manager: FieldManager,
    object: &K,
    current: Option<&S>,
    status: &S,
) -> Result<Option<String>, VerbError>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
    S: Serialize + PartialEq,
{
    if current == Some(status) {
        return Ok(None);
    }
    let name = object.name_any();
    let patch = json!({
        "apiVersion": K::api_version(&()),
        "kind": K::kind(&()),
        // Without the uid a re-created namesake would inherit the status of the one that is gone. An empty
        // resourceVersion would be no guard at all; the API server refuses this one.
        "metadata": {
            "name": name,
            "uid": object.uid(),
            "resourceVersion": object.resource_version().unwrap_or_else(|| "none".to_owned()),
        },
        "status": status,
    });
    let written =
        api.patch_status(&name, &PatchParams::apply(manager.as_ref()).force(), &Patch::Apply(&patch)).await.map_err(
            |source| VerbError::new::<K>("apply the status of", object.namespace().as_deref(), &name, source),
        )?;
    Ok(written.resource_version())
}

/// Merges into a status only if the object is still as `read` (its resourceVersion goes along). Of several writers one
/// wins, the others get a conflict. Claims are written this way.
pub async fn patch_status_guarded<K>(
    api: &Api<K>,
    manager: FieldManager,
    read: &K,
    status: serde_json::Value,
) -> Result<K, VerbError>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    let name = read.name_any();
    let patch = json!({
        "apiVersion": K::api_version(&()),
        "kind": K::kind(&()),
        // An empty resourceVersion would be no guard at all; the API server refuses this one.
        "metadata": {"resourceVersion": read.resource_version().unwrap_or_else(|| "none".to_owned())},
        "status": status,
    });
    let params = PatchParams { field_manager: Some(manager.as_ref().to_owned()), ..PatchParams::default() };
    api.patch_status(&name, &params, &Patch::Merge(&patch))
        .await
        .map_err(|source| VerbError::new::<K>("claim", read.namespace().as_deref(), &name, source))
}

/// Result of [`create_or_adopt`].
#[derive(Debug, Clone, PartialEq)]
pub enum Created<K> {
    /// This call created it.
    New(K),
    /// It existed and is ours: an earlier answer was lost, or another reconcile created it.
    Adopted(K),
    /// Another object has the name.
    Foreign(K),
}

/// Creates a Job with a fixed name. One that exists is adopted if `ours` says so, else left alone.
pub async fn create_or_adopt(
    api: &Api<Job>,
    job: &Job,
    ours: impl FnOnce(&Job) -> bool,
) -> Result<Created<Job>, VerbError> {
    let name = job.name_any();
    let namespace = job.namespace();
    let params =
        PostParams { field_manager: Some(FieldManager::Sennight.as_ref().to_owned()), ..PostParams::default() };
    match api.create(&params, job).await {
        Ok(created) => Ok(Created::New(created)),
        Err(kube::Error::Api(status)) if status.code == 409 => {
            let existing = api
                .get(&name)
                .await
                .map_err(|source| VerbError::new::<Job>("get", namespace.as_deref(), &name, source))?;
            Ok(if ours(&existing) { Created::Adopted(existing) } else { Created::Foreign(existing) })
        }
        Err(source) => Err(VerbError::new::<Job>("create", namespace.as_deref(), &name, source)),
    }
}

/// Deletes exactly this object (its uid goes along), its dependents in the background. An object that is gone already counts as success.
pub async fn delete<K>(api: &Api<K>, object: &K) -> Result<(), VerbError>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    let name = object.name_any();
    let params = DeleteParams {
        propagation_policy: Some(PropagationPolicy::Background),
        preconditions: Some(Preconditions { uid: object.uid(), resource_version: None }),
        ..DeleteParams::default()
    };
    match api.delete(&name, &params).await {
        Ok(_) => Ok(()),
        // 409: the name belongs to another object now, so ours is gone.
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
        Err(source) => Err(VerbError::new::<K>("delete", object.namespace().as_deref(), &name, source)),
    }
}

/// Adds finalizers in one write; sends nothing if the object has them all. Gives the resourceVersion that the write made.
pub async fn add_finalizers<K>(api: &Api<K>, object: &K, finalizers: &[&str]) -> Result<Option<String>, VerbError>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    let missing = finalizers.iter().filter(|name| !object.finalizers().iter().any(|has| has == *name));
    let missing: Vec<String> = missing.map(|name| (*name).to_owned()).collect();
    if missing.is_empty() {
        return Ok(None);
    }
    write_finalizers(api, object, &[object.finalizers(), &missing].concat()).await
}

/// Removes a finalizer; sends nothing if the object does not have it. An object that is gone already counts as success.
/// Gives the resourceVersion that the write made.
pub async fn remove_finalizer<K>(api: &Api<K>, object: &K, finalizer: &str) -> Result<Option<String>, VerbError>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    if !object.finalizers().iter().any(|f| f == finalizer) {
        return Ok(None);
    }
    let remaining: Vec<String> = object.finalizers().iter().filter(|f| *f != finalizer).cloned().collect();
    match write_finalizers(api, object, &remaining).await {
        Err(VerbError { source: kube::Error::Api(status), .. }) if status.code == 404 => Ok(None),
        other => other,
    }
}

async fn write_finalizers<K>(api: &Api<K>, object: &K, finalizers: &[String]) -> Result<Option<String>, VerbError>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    let name = object.name_any();
    // The list is replaced whole: the resourceVersion keeps a finalizer that somebody else has just added.
    let patch = json!({"metadata": {"finalizers": finalizers, "resourceVersion": object.resource_version()}});
    let written = api.patch(&name, &PatchParams::default(), &Patch::Merge(&patch)).await.map_err(|source| {
        VerbError::new::<K>("change the finalizers of", object.namespace().as_deref(), &name, source)
    })?;
    Ok(written.resource_version())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_field_managers_names_each_of_them() {
        let all = [FieldManager::Sennight, FieldManager::Cleanup, FieldManager::Record];
        assert_eq!(all.map(|manager| manager.as_ref().to_owned()).as_slice(), FIELD_MANAGERS);
    }
}
