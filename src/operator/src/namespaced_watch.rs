//! Watches of one kind over all watched namespaces as one stream, so that each kind has one cache, one queue and one
//! timer whether the operator serves the whole cluster or three namespaces.

use crate::settings::Watch;
use futures::stream::{self, BoxStream, select_all};
use futures::{Stream, StreamExt, TryStreamExt};
use kube::api::Api;
use kube::core::NamespaceResourceScope;
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, watcher as watch};
use kube::{Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use std::collections::HashSet;
use std::fmt::Debug;
use tokio_util::sync::CancellationToken;

/// A namespaced kind of ours or of Kubernetes that can be watched and cached.
pub trait Watched:
    Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug + Send + Sync + 'static
{
}

impl<K> Watched for K where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + DeserializeOwned
        + Debug
        + Send
        + Sync
        + 'static
{
}

/// The API of a kind in one namespace, or in all.
pub fn api<K: Watched>(client: &Client, namespace: Option<&str>) -> Api<K> {
    namespace.map_or_else(|| Api::all(client.clone()), |namespace| Api::namespaced(client.clone(), namespace))
}

/// A cache, the stream that fills it and names what changed, and a token that is cancelled once the cache is filled.
/// Fields that nobody reads are dropped before they are kept: at 100,000 objects they are three quarters of the memory.
///
/// The token, because `Store::wait_until_ready` of kube 5.0 wakes only the task that asked last: a second waiter beside
/// the Controller's own sleeps for ever, or the Controller does.
pub fn cached<K: Watched>(
    client: &Client,
    watched: &Watch,
    config: &watcher::Config,
) -> (Store<K>, BoxStream<'static, Result<K, watcher::Error>>, CancellationToken) {
    let (reader, events, filled) = cached_events(client, watched, config, prune);
    (reader, events.touched_objects().boxed(), filled)
}

/// The events of a watch.
pub type Events<K> = BoxStream<'static, Result<Event<K>, watcher::Error>>;

/// [`cached`] with the events as they are, and with the caller's word about what need not be kept.
pub fn cached_events<K: Watched>(
    client: &Client,
    watched: &Watch,
    config: &watcher::Config,
    shrink: fn(&mut K),
) -> (Store<K>, Events<K>, CancellationToken) {
    let (reader, writer) = reflector::store::<K>();
    let streams = streams::<K>(client, watched, config);
    let one = if streams.len() == 1 {
        select_all(streams).map(|(_, event)| event).boxed()
    } else {
        merged(streams, reader.clone()).boxed()
    };
    let pruned = one.map(move |event| event.map(|event| event.modify(shrink)));
    let filled = CancellationToken::new();
    let fills = filled.clone();
    let kept = pruned.reflect(writer).inspect_ok(move |event| {
        if matches!(event, Event::InitDone) {
            fills.cancel();
        }
    });
    (reader, kept.boxed(), filled)
}

/// Drops what nobody reads of any object.
pub fn prune<K: Resource>(object: &mut K) {
    let meta = object.meta_mut();
    meta.managed_fields = None;
    if let Some(annotations) = &mut meta.annotations {
        annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
    }
}

type Scoped<K> = BoxStream<'static, (usize, Result<Event<K>, watcher::Error>)>;

fn streams<K: Watched>(client: &Client, watched: &Watch, config: &watcher::Config) -> Vec<Scoped<K>> {
    let scopes = watched.scopes();
    scopes
        .into_iter()
        .enumerate()
        .map(|(index, scope)| {
            let events = watch(api::<K>(client, scope), config.clone()).default_backoff();
            events.map(move |event| (index, event)).boxed()
        })
        .collect()
}

fn merged<K: Watched>(
    streams: Vec<Scoped<K>>,
    cache: Store<K>,
) -> impl Stream<Item = Result<Event<K>, watcher::Error>> + Send + 'static {
    let mut merge = Merge::new(streams.len());
    select_all(streams).flat_map(move |(scope, event)| {
        stream::iter(match event {
            Ok(event) => {
                let known = || cache.state().into_iter().map(|object| (*object).clone()).collect();
                merge.take(scope, event, known).into_iter().map(Ok).collect::<Vec<_>>()
            }
            Err(error) => vec![Err(error)],
        })
    })
}

/// Several namespaces' events as those of one watch. Nothing goes out before every namespace has been listed once
/// (a half-filled cache would look as if the rest were deleted); a later re-list becomes applies and deletes.
struct Merge<K> {
    /// First lists that are not complete; `None` once all are.
    first: Option<Vec<FirstList<K>>>,
    /// Objects seen by a re-list that is under way.
    relist: Vec<HashSet<String>>,
    /// A namespace of each scope, learnt from its objects.
    namespace: Vec<Option<String>>,
}

struct FirstList<K> {
    objects: Vec<K>,
    done: bool,
}

impl<K: Watched> Merge<K> {
    fn new(scopes: usize) -> Self {
        let empty = || FirstList { objects: Vec::new(), done: false };
        Self {
            first: Some((0..scopes).map(|_| empty()).collect()),
            relist: vec![HashSet::new(); scopes],
            namespace: vec![None; scopes],
        }
    }

    fn take(&mut self, scope: usize, event: Event<K>, known: impl FnOnce() -> Vec<K>) -> Vec<Event<K>> {
        if let Event::Apply(object) | Event::InitApply(object) = &event {
            self.namespace[scope] = object.namespace();
        }
        match &mut self.first {
            Some(lists) => {
                lists[scope].take(event);
                if lists.iter().any(|list| !list.done) {
                    return Vec::new();
                }
                let all = lists.drain(..).flat_map(|list| list.objects).map(Event::InitApply);
                let all: Vec<_> = std::iter::once(Event::Init).chain(all).chain([Event::InitDone]).collect();
                self.first = None;
                all
            }
            None => self.later(scope, event, known),
        }
    }

    fn later(&mut self, scope: usize, event: Event<K>, known: impl FnOnce() -> Vec<K>) -> Vec<Event<K>> {
        match event {
            Event::Init => {
                self.relist[scope].clear();
                Vec::new()
            }
            Event::InitApply(object) => {
                self.relist[scope].insert(object.name_any());
                vec![Event::Apply(object)]
            }
            Event::InitDone => {
                let seen = std::mem::take(&mut self.relist[scope]);
                let Some(namespace) = self.namespace[scope].clone() else {
                    return Vec::new();
                };
                let gone = |object: &K| {
                    object.namespace().as_deref() == Some(namespace.as_str()) && !seen.contains(&object.name_any())
                };
                known().into_iter().filter(gone).map(Event::Delete).collect()
            }
            other @ (Event::Apply(_) | Event::Delete(_)) => vec![other],
        }
    }
}

impl<K: Watched> FirstList<K> {
    fn take(&mut self, event: Event<K>) {
        match event {
            Event::Init => {
                self.objects.clear();
                self.done = false;
            }
            Event::InitApply(object) => self.objects.push(object),
            Event::InitDone => self.done = true,
            Event::Apply(object) => {
                self.forget(&object);
                self.objects.push(object);
            }
            Event::Delete(object) => self.forget(&object),
        }
    }

    fn forget(&mut self, object: &K) {
        let gone = ObjectRef::from_obj(object);
        self.objects.retain(|other| ObjectRef::from_obj(other) != gone);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::ConfigMap;

    fn object(namespace: &str, name: &str) -> ConfigMap {
        let mut object = ConfigMap::default();
        object.metadata.namespace = Some(namespace.to_owned());
        object.metadata.name = Some(name.to_owned());
        object
    }

    fn names(events: &[Event<ConfigMap>]) -> Vec<String> {
        events.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn nothing_goes_out_before_every_namespace_was_listed_once() {
        let mut merge = Merge::new(2);
        let none = || Vec::new();
        assert!(merge.take(0, Event::Init, none).is_empty());
        assert!(merge.take(0, Event::InitApply(object("a", "stale")), none).is_empty());
        assert!(merge.take(0, Event::Init, none).is_empty(), "a list that broke off starts over");
        assert!(merge.take(0, Event::InitApply(object("a", "one")), none).is_empty());
        assert!(merge.take(0, Event::InitDone, none).is_empty());
        assert!(merge.take(0, Event::Apply(object("a", "two")), none).is_empty());
        assert!(merge.take(0, Event::Delete(object("a", "one")), none).is_empty());
        assert!(merge.take(1, Event::Init, none).is_empty());
        let all = merge.take(1, Event::InitDone, none);
        assert_eq!(names(&all), ["Init", "InitApply(two)", "InitDone"]);
    }

    #[test]
    fn a_re_list_of_one_namespace_deletes_what_is_gone_there_and_nothing_elsewhere() {
        let mut merge = Merge::new(2);
        let none = || Vec::new();
        for scope in [0, 1] {
            merge.take(scope, Event::Init, none);
            merge.take(scope, Event::InitApply(object(["a", "b"][scope], "x")), none);
            merge.take(scope, Event::InitDone, none);
        }
        let cache = || vec![object("a", "x"), object("a", "y"), object("b", "x"), object("b", "z")];
        assert!(merge.take(0, Event::Init, cache).is_empty());
        let kept = merge.take(0, Event::InitApply(object("a", "x")), cache);
        assert_eq!(names(&kept), ["Apply(x)"]);
        let gone = merge.take(0, Event::InitDone, cache);
        assert_eq!(names(&gone), ["Delete(y)"]);
        assert_eq!(names(&merge.take(1, Event::Apply(object("b", "n")), cache)), ["Apply(n)"]);
    }
}
