//! The walks through all backups of a storage that are under way.

use parking_lot::Mutex;
use sennight_storage::Walk;
use std::collections::HashMap;

/// Walks under way with the generation that they began for, by the storage's UID. After a restart a walk begins again.
#[derive(Debug, Default)]
pub struct Patrols(Mutex<HashMap<String, (Option<i64>, Walk)>>);

impl Patrols {
    /// Takes the walk of a storage out, with the generation that it began for.
    pub fn take(&self, uid: &str) -> Option<(Option<i64>, Walk)> {
        self.0.lock().remove(uid)
    }

    /// Keeps a walk until its next piece.
    pub fn put_back(&self, uid: String, generation: Option<i64>, walk: Walk) {
        self.0.lock().insert(uid, (generation, walk));
    }
}
