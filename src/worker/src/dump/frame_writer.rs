//! Compresses row text into one frame, with a content checksum, and computes what the manifest says of it.

use bytes::Bytes;
use sha2::{Digest, Sha256};
use std::cell::RefCell;
use zstd::bulk::Compressor;
use zstd::zstd_safe::CParameter;

/// Measured (docs/benchmarks.md): a fifth faster than level 3 for 2 % more bytes; level 1 would make 12 % more.
pub const LEVEL: i32 = 2;

thread_local! {
    /// One per thread: to create a compressor costs more than to compress a small frame.
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
}

/// A compressed frame.
#[derive(Debug, Clone)]
pub struct CompressedFrame {
    /// One zstd frame.
    pub stored: Bytes,
    /// Bytes of row text before compression.
    pub raw_length: i64,
    /// Line feeds in the row text: each ends a row.
    pub rows: i64,
    /// SHA-256 of the zstd frame, hex.
    pub sha256: String,
}

/// Compresses and hashes. Takes some ten milliseconds for a full frame: call it on a blocking thread.
pub fn compress_frame(raw: &Bytes) -> std::io::Result<CompressedFrame> {
    let stored = COMPRESSOR.with_borrow_mut(|slot| {
        let compressor = match slot {
            Some(compressor) => compressor,
            None => slot.insert(compressor()?),
        };
        compressor.compress(raw)
    })?;
    let rows = memchr::memchr_iter(b'\n', raw).count();
    Ok(CompressedFrame {
        raw_length: i64::try_from(raw.len()).unwrap_or(i64::MAX),
        rows: i64::try_from(rows).unwrap_or(i64::MAX),
        sha256: hex::encode(Sha256::digest(&stored)),
        stored: stored.into(),
    })
}

fn compressor() -> std::io::Result<Compressor<'static>> {
    let mut compressor = Compressor::new(LEVEL)?;
    compressor.set_parameter(CParameter::ChecksumFlag(true))?;
    Ok(compressor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_one_thread_owe_nothing_to_each_other() {
        let texts = [Bytes::from("1\ta\n".repeat(100_000)), Bytes::from("x\n"), Bytes::from("1\ta\n".repeat(10))];
        for raw in texts {
            let sealed = compress_frame(&raw).unwrap();
            let checksum = sealed.stored[4] & 0b100;
            assert_ne!(checksum, 0, "the frame's header promises a content checksum");
            assert_eq!(zstd::bulk::decompress(&sealed.stored, raw.len()).unwrap(), raw);
            assert_eq!(usize::try_from(sealed.rows).unwrap(), raw.split(|b| *b == b'\n').count() - 1);
        }
    }
}
