//! Merges the watches of one kind over all watched namespaces into one stream. So each kind has one cache and one delay
//! queue, whether the operator serves the whole cluster or three namespaces.

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

/// Which namespaces the operator serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Watch {
    /// All namespaces.
    All,
    /// Only these.
    Namespaces(Vec<String>),
}

impl Watch {
    /// One `None` for the whole cluster, or each namespace.
    pub fn scopes(&self) -> Vec<Option<&str>> {
        match self {
            Self::All => vec![None],
            Self::Namespaces(names) => names.iter().map(|name| Some(name.as_str())).collect(),
        }
    }
}

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

/// The API of a kind in one namespace; `None` is all of them.
pub fn api<K: Watched>(client: &Client, namespace: Option<&str>) -> Api<K> {
    namespace.map_or_else(|| Api::all(client.clone()), |namespace| Api::namespaced(client.clone(), namespace))
}

/// A cache, the stream that fills_cache it and names what changed, and a token that is cancelled once the cache is filled.
/// Fields that nobody reads are dropped before they are stored: at 100,000 objects they are three quarters of the memory.
///
/// The token is needed because `Store::wait_until_ready` of kube 5.0 wakes only the task that polled last. With a second
/// waiter beside the Controller's own, one of the two sleeps for ever.
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

/// As [`cached`], but gives the raw events; `shrink` drops what need not be stored.
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
    let fills_cache = filled.clone();
    let reflected = pruned.reflect(writer).inspect_ok(move |event| {
        if matches!(event, Event::InitDone) {
            fills_cache.cancel();
        }
    });
    (reader, reflected.boxed(), filled)
}

/// Drops `managedFields` and kubectl's last-applied annotation: nobody reads them.
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
                merge.handle_event(scope, event, known).into_iter().map(Ok).collect::<Vec<_>>()
            }
            Err(error) => vec![Err(error)],
        })
    })
}

/// Presents the events of several namespaces as those of one watch. Nothing is passed on before every namespace has been
/// listed once: kube's reflector would take a partial list as the whole and drop the rest. A later re-list becomes applies
/// and deletes.
struct Merge<K> {
    /// The first list of each scope; `None` once all are complete.
    first: Option<Vec<FirstList<K>>>,
    /// Names that a re-list under way has brought so far, for each scope.
    relist: Vec<HashSet<String>>,
    /// The namespace of each scope, learnt from its first object.
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

    fn handle_event(&mut self, scope: usize, event: Event<K>, known: impl FnOnce() -> Vec<K>) -> Vec<Event<K>> {
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
            None => self.after_first_lists(scope, event, known),
        }
    }

    fn after_first_lists(&mut self, scope: usize, event: Event<K>, known: impl FnOnce() -> Vec<K>) -> Vec<Event<K>> {
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
                let listed = std::mem::take(&mut self.relist[scope]);
                let Some(namespace) = self.namespace[scope].clone() else {
                    return Vec::new();
                };
                let gone = |object: &K| {
                    object.namespace().as_deref() == Some(namespace.as_str()) && !listed.contains(&object.name_any())
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
        assert!(merge.handle_event(0, Event::Init, none).is_empty());
        assert!(merge.handle_event(0, Event::InitApply(object("a", "stale")), none).is_empty());
        assert!(merge.handle_event(0, Event::Init, none).is_empty(), "a list that broke off starts over");
        assert!(merge.handle_event(0, Event::InitApply(object("a", "one")), none).is_empty());
        assert!(merge.handle_event(0, Event::InitDone, none).is_empty());
        assert!(merge.handle_event(0, Event::Apply(object("a", "two")), none).is_empty());
        assert!(merge.handle_event(0, Event::Delete(object("a", "one")), none).is_empty());
        assert!(merge.handle_event(1, Event::Init, none).is_empty());
        let all = merge.handle_event(1, Event::InitDone, none);
        assert_eq!(names(&all), ["Init", "InitApply(two)", "InitDone"]);
    }

    #[test]
    fn a_re_list_of_one_namespace_deletes_what_is_gone_there_and_nothing_elsewhere() {
        let mut merge = Merge::new(2);
        let none = || Vec::new();
        for scope in [0, 1] {
            merge.handle_event(scope, Event::Init, none);
            merge.handle_event(scope, Event::InitApply(object(["a", "b"][scope], "x")), none);
            merge.handle_event(scope, Event::InitDone, none);
        }
        let cache = || vec![object("a", "x"), object("a", "y"), object("b", "x"), object("b", "z")];
        assert!(merge.handle_event(0, Event::Init, cache).is_empty());
        let kept = merge.handle_event(0, Event::InitApply(object("a", "x")), cache);
        assert_eq!(names(&kept), ["Apply(x)"]);
        let gone = merge.handle_event(0, Event::InitDone, cache);
        assert_eq!(names(&gone), ["Delete(y)"]);
        assert_eq!(names(&merge.handle_event(1, Event::Apply(object("b", "n")), cache)), ["Apply(n)"]);
    }

    #[test]
    fn an_empty_list_of_namespaces_means_all_of_them() {
        assert_eq!(Watch::All.scopes(), [None]);
        assert_eq!(Watch::Namespaces(vec!["a".into(), "b".into()]).scopes(), [Some("a"), Some("b")]);
    }
}
