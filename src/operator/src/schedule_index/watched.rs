//! BackupSchedules as the watch brings them: without the fields that nobody reads (managedFields are half of an object's
//! bytes), one at a time where the server streams its lists, page by page where it does not.

use crate::namespaced_watch;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::core::NamespaceResourceScope;
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, watcher as watch};
use kube::{Client, Resource};
use sennight_api::{BackupSchedule, BackupScheduleSpec, BackupScheduleStatus};
use serde::Deserialize;
use std::borrow::Cow;
use tracing::info;

/// Objects of a list that is not streamed come in pages of this many.
const PAGE: u32 = 500;

/// A BackupSchedule, read with the metadata that the operator looks at.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "Raw")]
pub struct WatchedSchedule(pub BackupSchedule);

#[derive(Deserialize)]
struct Raw {
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

impl From<Raw> for WatchedSchedule {
    fn from(raw: Raw) -> Self {
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

/// What a watch says, or why it stumbled.
pub type Seen = Result<Event<WatchedSchedule>, watcher::Error>;

/// The watch of one namespace or of all, for ever: it asks for a streamed list, and for pages once a server has said that
/// it has none (before 1.34, or switched off).
pub fn sightings(client: &Client, scope: Option<&str>) -> BoxStream<'static, Seen> {
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
            info!("this API server streams no lists: BackupSchedules are listed page by page");
            events = paged();
        }
        Some((event, (events, paged)))
    })
    .boxed()
}

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
    fn what_is_kept_of_an_object_is_what_the_operator_reads() {
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
