//! One frame: row text compressed with a content checksum, and what the manifest will say of it.

use bytes::Bytes;
use sha2::{Digest, Sha256};
use zstd::zstd_safe::CParameter;

/// zstd's own default: a faster level would save little beside the database and the network.
const LEVEL: i32 = 3;

/// A compressed frame.
#[derive(Debug, Clone)]
pub struct Sealed {
    /// The zstd frame.
    pub stored: Bytes,
    /// Length of the row text in bytes.
    pub raw_length: i64,
    /// Rows in it.
    pub rows: i64,
    /// SHA-256 of the zstd frame, hex.
    pub sha256: String,
}

/// Compresses and hashes; some ten milliseconds for a full frame, so not on a thread that drives connections.
pub fn seal(raw: &Bytes) -> std::io::Result<Sealed> {
    let mut compressor = zstd::bulk::Compressor::new(LEVEL)?;
    compressor.set_parameter(CParameter::ChecksumFlag(true))?;
    let stored = compressor.compress(raw)?;
    let rows = memchr::memchr_iter(b'\n', raw).count();
    Ok(Sealed {
        raw_length: i64::try_from(raw.len()).unwrap_or(i64::MAX),
        rows: i64::try_from(rows).unwrap_or(i64::MAX),
        sha256: hex::encode(Sha256::digest(&stored)),
        stored: stored.into(),
    })
}
