//! The watch of BackupSchedules. Objects are read without the metadata that nobody uses (managedFields are half of their
//! bytes). Lists are streamed where the API server can, else paged.

use crate::runtime::namespaced_watch;
use crate::runtime::writes::{VerbError, get_opt};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::api::Api;
use kube::core::NamespaceResourceScope;
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, watcher as watch};
use kube::{Client, Resource};
use sennight_api::{BackupSchedule, BackupScheduleSpec, BackupScheduleStatus};
use serde::Deserialize;
use std::borrow::Cow;
use std::sync::Arc;
use tracing::info;

/// Objects in one page of a list that is not streamed.
const PAGE: u32 = 500;

/// A BackupSchedule with only the metadata that the operator reads.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "RawSchedule")]
pub struct WatchedSchedule(pub BackupSchedule);

#[derive(Deserialize)]
struct RawSchedule {
    metadata: Meta,
    spec: BackupScheduleSpec,
    #[serde(default)]
    status: Option<BackupScheduleStatus>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Meta {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    generation: Option<i64>,
    creation_timestamp: Option<Time>,
    deletion_timestamp: Option<Time>,
}

impl From<RawSchedule> for WatchedSchedule {
    fn from(raw: RawSchedule) -> Self {
        let Meta { name, namespace, uid, resource_version, generation, creation_timestamp, deletion_timestamp } =
            raw.metadata;
        let metadata = ObjectMeta {
            name,
            namespace,
            uid,
            resource_version,
            generation,
            creation_timestamp,
            deletion_timestamp,
            ..ObjectMeta::default()
        };
        Self(BackupSchedule { metadata, spec: raw.spec, status: raw.status })
    }
}

impl Resource for WatchedSchedule {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        BackupSchedule::kind(&())
    }
    fn group((): &()) -> Cow<'_, str> {
        BackupSchedule::group(&())
    }
    fn version((): &()) -> Cow<'_, str> {
        BackupSchedule::version(&())
    }
    fn plural((): &()) -> Cow<'_, str> {
        BackupSchedule::plural(&())
    }
    fn meta(&self) -> &ObjectMeta {
        &self.0.metadata
    }
    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.0.metadata
    }
}

/// Reads a BackupSchedule from the API server: the index keeps only part of each.
pub async fn read_schedule(
    client: &Client,
    namespace: &str,
    name: &str,
) -> Result<Option<Arc<BackupSchedule>>, VerbError> {
    let api: Api<WatchedSchedule> = Api::namespaced(client.clone(), namespace);
    Ok(get_opt(&api, name).await?.map(|WatchedSchedule(object)| Arc::new(object)))
}

/// An event of the watch, or why the watch failed.
pub type WatchResult = Result<Event<WatchedSchedule>, watcher::Error>;

/// The endless watch of one namespace, or of all. It asks for a streamed list. Once the server has refused that (before
/// Kubernetes 1.34, or switched off), it lists page by page.
pub fn watch_schedules(client: &Client, scope: Option<&str>) -> BoxStream<'static, WatchResult> {
    let api = namespaced_watch::api::<WatchedSchedule>(client, scope);
    let paged = {
        let api = api.clone();
        move || watch(api.clone(), watcher::Config::default().page_size(PAGE)).default_backoff().boxed()
    };
    let streamed = watch(api, watcher::Config::default().streaming_lists()).default_backoff().boxed();
    let state = (streamed, Some(paged));
    stream::unfold(state, |(mut events, mut paged)| async move {
        let event = events.next().await?;
        if let Err(error) = &event
            && refuses_streams(error)
            && let Some(paged) = paged.take()
        {
            info!("streaming list refused by the API server; listing BackupSchedules page by page");
            events = paged();
        }
        Some((event, (events, paged)))
    })
    .boxed()
}

/// Whether the API server said that it has no streaming lists.
fn refuses_streams(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::WatchStartFailed(kube::Error::Api(status)) => matches!(status.code, 400 | 422),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::ResourceExt;
    use serde_json::json;

    #[test]
    fn an_object_is_read_with_all_that_the_operator_uses() {
        let object = json!({
            "apiVersion": "sennight.dev/v1alpha1", "kind": "BackupSchedule",
            "metadata": {
                "name": "a", "namespace": "n", "uid": "u", "resourceVersion": "7", "generation": 3,
                "creationTimestamp": "2026-11-22T00:00:00Z", "labels": {"x": "y"},
                "managedFields": [{"manager": "m", "operation": "Apply", "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {}}}]
            },
            "spec": {
                "tenant": {"id": "t", "owner": "1", "plan": {"name": "free"}},
                "database": {"serverRef": {"name": "s"}, "name": "d"}, "storageRef": {"name": "b"}
            },
            "status": {"nextRunTime": "2026-11-23T00:00:00Z"}
        });
        let whole: BackupSchedule = serde_json::from_value(object.clone()).unwrap();
        let WatchedSchedule(seen) = serde_json::from_value(object).unwrap();
        assert_eq!((seen.spec, seen.status), (whole.spec.clone(), whole.status.clone()));
        assert_eq!(seen.metadata.managed_fields, None);
        let meta =
            |o: &BackupSchedule| (o.name_any(), o.namespace(), o.uid(), o.resource_version(), o.creation_timestamp());
        let seen = BackupSchedule { metadata: seen.metadata, spec: whole.spec.clone(), status: None };
        assert_eq!((meta(&seen), seen.metadata.generation), (meta(&whole), Some(3)));
    }
}
