//! Reads rows of a backup, frame by frame, with range requests. A frame's SHA-256 is checked before it is decoded; its zstd
//! checksum, length and row count before its bytes are returned.

use super::{TaskError, Verdict};
use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt};
use sennight_core::manifest::{Frame, Table};
use sennight_storage::{Store, StoreError};
use sha2::{Digest, Sha256};
use zstd::zstd_safe;

/// Frames that are fetched and decoded in advance.
const AHEAD: usize = 2;
/// Bytes; more than one row's text can have. A longer raw length in a manifest is damage.
const RAW_LIMIT: i64 = 4 << 30;
/// Most bytes that one request fetches.
const RANGE: i64 = 64 << 20;
/// First bytes of a zstd frame; a skippable frame has others.
const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// The frame header's flag for a content checksum (RFC 8878, section 3.1.1.1.1).
const CHECKSUM_FLAG: u8 = 1 << 2;

/// Why rows cannot be read back.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The bucket failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The bytes are not those that the manifest describes.
    #[error("{object} at {offset} is damaged: {why}; this backup cannot be used, take another day's")]
    Damaged {
        /// Key of the object.
        object: String,
        /// Offset of the frame in the object, in bytes.
        offset: i64,
        /// What differs from the manifest.
        why: String,
    },
}

impl From<FrameError> for TaskError {
    fn from(error: FrameError) -> Self {
        match error {
            FrameError::Store(error) => error.into(),
            FrameError::Damaged { .. } => {
                Self { reason: "BackupDamaged".to_owned(), message: error.to_string(), verdict: Verdict::Refused }
            }
        }
    }
}

/// The row text of `table`, frame by frame in row order. A frame is checked as a whole before it is returned. The stream
/// ends with the first error. `prefix` is the backup's and ends in `/`.
pub fn table_frames(
    store: &Store,
    prefix: &str,
    table: &Table,
) -> impl Stream<Item = Result<Bytes, FrameError>> + Send + Unpin + use<> {
    let (store, prefix) = (store.clone(), prefix.to_owned());
    let frames = futures::stream::iter(table.frames.clone()).map(move |frame| {
        let (store, key) = (store.clone(), format!("{prefix}{}", frame.object));
        async move { read_frame(&store, &key, frame).await }
    });
    let mut failed = false;
    let until_first_error = frames.buffered(AHEAD).take_while(move |read| {
        let go_on = !failed;
        failed = read.is_err();
        futures::future::ready(go_on)
    });
    Box::pin(until_first_error)
}

/// Fetches, decodes and checks one frame.
pub async fn read_frame(store: &Store, key: &str, frame: Frame) -> Result<Bytes, FrameError> {
    let offset = frame.offset;
    let stored = match fetch(store, key, offset, frame.length).await {
        Ok(stored) => stored,
        Err(error) => return Err(truncated_or(store, key, &frame, error).await),
    };
    let decoded = tokio::task::spawn_blocking(move || decode(&stored, &frame)).await;
    let why = match decoded {
        Ok(Ok(raw)) => return Ok(raw),
        Ok(Err(why)) => why,
        Err(ended) => format!("decoding ended: {ended}"),
    };
    Err(FrameError::Damaged { object: key.to_owned(), offset, why })
}

/// If the object ends before the frame, it is damaged and another attempt is useless; otherwise `error` stands.
async fn truncated_or(store: &Store, key: &str, frame: &Frame, error: StoreError) -> FrameError {
    match store.head(key).await {
        Ok(head) if head.length < frame.offset.saturating_add(frame.length) => {
            let why = format!("the object ends at {}, the frame is {} bytes long", head.length, frame.length);
            FrameError::Damaged { object: key.to_owned(), offset: frame.offset, why }
        }
        _ => error.into(),
    }
}

/// Bytes `offset..offset + length` of an object, with as many requests as necessary.
pub async fn fetch(store: &Store, key: &str, offset: i64, length: i64) -> Result<Bytes, StoreError> {
    if length <= RANGE {
        return store.get_range(key, offset, length).await;
    }
    let mut whole = BytesMut::new();
    let mut done = 0;
    while done < length {
        let piece = RANGE.min(length - done);
        whole.extend_from_slice(&store.get_range(key, offset + done, piece).await?);
        done += piece;
    }
    Ok(whole.freeze())
}

/// Decodes a frame and compares it with the manifest.
fn decode(stored: &[u8], frame: &Frame) -> Result<Bytes, String> {
    if hex::encode(Sha256::digest(stored)) != frame.sha256 {
        return Err("its SHA-256 is not the manifest's".to_owned());
    }
    if !(0..=RAW_LIMIT).contains(&frame.raw_length) {
        return Err(format!("a raw length of {} bytes cannot be", frame.raw_length));
    }
    check_header(stored, frame.raw_length)?;
    let capacity = usize::try_from(frame.raw_length).map_err(|e| e.to_string())?;
    let raw = zstd::bulk::decompress(stored, capacity).map_err(|e| e.to_string())?;
    if raw.len() != capacity {
        return Err(format!("{} bytes of row text, the manifest says {capacity}", raw.len()));
    }
    let rows = i64::try_from(memchr::memchr_iter(b'\n', &raw).count()).unwrap_or(i64::MAX);
    if rows != frame.rows {
        return Err(format!("{rows} rows, the manifest says {}", frame.rows));
    }
    Ok(Bytes::from(raw))
}

/// Fails unless this is exactly one zstd frame with a checksum, whose announced size is the manifest's.
fn check_header(stored: &[u8], raw_length: i64) -> Result<(), String> {
    if !stored.starts_with(&MAGIC) || stored.get(4).is_none_or(|descriptor| descriptor & CHECKSUM_FLAG == 0) {
        return Err("it is no zstd frame with a content checksum".to_owned());
    }
    let ends =
        zstd_safe::find_frame_compressed_size(stored).map_err(|code| zstd_safe::get_error_name(code).to_owned())?;
    if ends != stored.len() {
        return Err(format!("its zstd frame ends after {ends} of {} bytes", stored.len()));
    }
    match zstd_safe::get_frame_content_size(stored) {
        Ok(Some(size)) if i64::try_from(size) != Ok(raw_length) => {
            Err(format!("it announces {size} bytes of row text, the manifest says {raw_length}"))
        }
        Ok(_) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dump::frame_writer::compress_frame;

    fn frame(raw: &'static [u8]) -> (Vec<u8>, Frame) {
        let sealed = compress_frame(&Bytes::from_static(raw)).unwrap();
        let frame = Frame {
            object: "data/pack-0001.zst".into(),
            offset: 0,
            length: i64::try_from(sealed.stored.len()).unwrap(),
            raw_length: sealed.raw_length,
            rows: sealed.rows,
            sha256: sealed.sha256,
        };
        (sealed.stored.to_vec(), frame)
    }

    #[test]
    fn what_was_sealed_comes_back() {
        let (stored, frame) = frame(b"1\ta\n2\t\\N\n");
        assert_eq!(frame.rows, 2);
        assert_eq!(decode(&stored, &frame).unwrap(), &b"1\ta\n2\t\\N\n"[..]);
    }

    #[test]
    fn i4_a_flipped_bit_anywhere_is_damage() {
        let (stored, frame) = frame(b"1\tabcabcabc\n2\tdef\n");
        for at in 0..stored.len() {
            let mut bad = stored.clone();
            for bit in 0..8 {
                bad[at] ^= 1 << bit;
                assert!(decode(&bad, &frame).is_err(), "bit {bit} of byte {at}");
                bad[at] ^= 1 << bit;
            }
        }
    }

    fn reseal(stored: &[u8], frame: &Frame) -> Frame {
        let length = i64::try_from(stored.len()).unwrap();
        Frame { length, sha256: hex::encode(Sha256::digest(stored)), ..frame.clone() }
    }

    #[test]
    fn i4_bytes_that_hash_well_and_are_not_one_honest_frame_are_damage() {
        let (stored, good) = frame(b"1\ta\n2\tb\n");
        let twice = [&stored[..], &stored[..]].concat();
        let skippable = [&b"\x50\x2a\x4d\x18\x04\0\0\0abcd"[..], &stored[..]].concat();
        let unchecked = zstd::bulk::compress(b"1\ta\n2\tb\n", 3).unwrap();
        let bomb = {
            let mut compressor = zstd::bulk::Compressor::new(19).unwrap();
            compressor.set_parameter(zstd_safe::CParameter::ChecksumFlag(true)).unwrap();
            compressor.set_parameter(zstd_safe::CParameter::ContentSizeFlag(false)).unwrap();
            compressor.compress(&vec![b'\n'; 64 << 20]).unwrap()
        };
        for (bytes, why) in [
            (&twice, "ends after"),
            (&skippable, "no zstd frame"),
            (&unchecked, "no zstd frame"),
            (&bomb, "small"),
            (&stored[..stored.len() - 1].to_vec(), "Src size"),
        ] {
            let words = decode(bytes, &reseal(bytes, &good)).unwrap_err();
            assert!(words.contains(why), "{words}");
        }
    }

    #[test]
    fn i4_a_manifest_that_says_otherwise_is_damage() {
        let (stored, good) = frame(b"1\ta\n2\tb\n");
        for (bad, why) in [
            (Frame { rows: 3, ..good.clone() }, "3"),
            (Frame { raw_length: 7, ..good.clone() }, "announces 8"),
            (Frame { raw_length: 9, ..good.clone() }, "9"),
            (Frame { raw_length: -1, ..good.clone() }, "cannot be"),
            (Frame { sha256: "0".repeat(64), ..good }, "SHA-256"),
        ] {
            let words = decode(&stored, &bad).unwrap_err();
            assert!(words.contains(why), "{words}");
        }
    }
}
