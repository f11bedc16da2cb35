//! What an object store can do: some rules of retention rest on it.

use serde::{Deserialize, Serialize};

/// What a store can do, found by trying (never assumed from its name).
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
    /// What AWS can do, for a shell that names no capabilities.
    fn default() -> Self {
        Self { tagging: true, lifecycle: true, conditional_put: true, checksums: true, versioning: false }
    }
}
