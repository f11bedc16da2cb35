//! What an object store can do. Retention and claims depend on it.

use serde::{Deserialize, Serialize};

/// What a store can do, as the probe found by trying it. Never assumed from the store's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(clippy::struct_excessive_bools, reason = "five independent facts, each with its own name")]
pub struct Capabilities {
    /// Object tags can be put, read back and replaced.
    pub tagging: bool,
    /// Lifecycle rules are kept and read back.
    pub lifecycle: bool,
    /// `If-None-Match: *` refuses a second put.
    pub conditional_put: bool,
    /// Full-object CRC64NVME checksums are accepted.
    pub checksums: bool,
    /// The bucket is versioned.
    pub versioning: bool,
}

impl Default for Capabilities {
    /// What AWS S3 can do, for a person's command line that names no capabilities.
    fn default() -> Self {
        Self { tagging: true, lifecycle: true, conditional_put: true, checksums: true, versioning: false }
    }
}
