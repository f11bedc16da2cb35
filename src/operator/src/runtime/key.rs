//! What every queue and index calls an object by.

use kube::Resource;
use kube::runtime::reflector::{Lookup, ObjectRef};
use std::sync::Arc;

/// Namespace and name of an object; clones share their text.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// `metadata.namespace`.
    pub namespace: Arc<str>,
    /// `metadata.name`.
    pub name: Arc<str>,
}

impl Key {
    /// A key with strings of its own.
    pub fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// The key of an object.
    pub fn of(object: &impl Resource) -> Self {
        Self::new(
            object.meta().namespace.as_deref().unwrap_or_default(),
            object.meta().name.as_deref().unwrap_or_default(),
        )
    }
}

impl<K: Lookup<DynamicType = ()>> From<ObjectRef<K>> for Key {
    fn from(reference: ObjectRef<K>) -> Self {
        Self::new(reference.namespace.as_deref().unwrap_or_default(), &reference.name)
    }
}
