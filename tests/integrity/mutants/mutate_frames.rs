//! A backup's frames taken apart and put together again, and frames that are not what they seem.

use super::backups::Base;
use sennight_core::manifest::Manifest;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::Read;
use std::sync::OnceLock;
use zstd::zstd_safe::CParameter;

/// What a bomb wants to become.
const BOMB: u64 = 2 << 30;

/// A frame in its place.
#[derive(Clone)]
pub struct Piece {
    pub table: usize,
    pub frame: usize,
    pub object: String,
    pub bytes: Vec<u8>,
}

/// All frames in the order that they are stored in.
pub fn pieces(base: &Base) -> Vec<Piece> {
    let mut pieces = Vec::new();
    for (table, entry) in base.manifest.tables.iter().enumerate() {
        for (frame, place) in entry.frames.iter().enumerate() {
            let (from, length) = (usize::try_from(place.offset).unwrap(), usize::try_from(place.length).unwrap());
            let bytes = base.objects[&place.object][from..from + length].to_vec();
            pieces.push((place.offset, Piece { table, frame, object: place.object.clone(), bytes }));
        }
    }
    pieces.sort_by(|(offset, piece), (other, other_piece)| (&piece.object, offset).cmp(&(&other_piece.object, other)));
    pieces.into_iter().map(|(_, piece)| piece).collect()
}

/// The data objects made of these pieces, and a manifest that says so.
pub fn rebuild(manifest: &mut Manifest, pieces: &[Piece]) -> BTreeMap<String, Vec<u8>> {
    let mut objects: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for piece in pieces {
        let object = objects.entry(piece.object.clone()).or_default();
        let place = &mut manifest.tables[piece.table].frames[piece.frame];
        place.object.clone_from(&piece.object);
        place.offset = i64::try_from(object.len()).unwrap();
        place.length = i64::try_from(piece.bytes.len()).unwrap();
        place.sha256 = hex::encode(Sha256::digest(&piece.bytes));
        object.extend_from_slice(&piece.bytes);
    }
    for object in &mut manifest.objects {
        object.length = i64::try_from(objects[&object.name].len()).unwrap();
    }
    manifest.totals.stored_bytes = manifest.schema.length + manifest.objects.iter().map(|o| o.length).sum::<i64>();
    objects
}

/// A frame as a worker makes it.
pub fn compress(raw: &[u8]) -> Vec<u8> {
    let mut compressor = zstd::bulk::Compressor::new(1).unwrap();
    compressor.set_parameter(CParameter::ChecksumFlag(true)).unwrap();
    compressor.compress(raw).unwrap()
}

pub fn decompress(frame: &[u8]) -> Vec<u8> {
    zstd::stream::decode_all(frame).unwrap()
}

/// A small frame that grows to [`BOMB`] bytes: 0 does not say how long it is, 1 says so, 2 lies.
pub fn bomb(kind: u32, raw_length: i64) -> Vec<u8> {
    static SILENT: OnceLock<Vec<u8>> = OnceLock::new();
    static HONEST: OnceLock<Vec<u8>> = OnceLock::new();
    if kind == 0 {
        return SILENT.get_or_init(|| explosive(None)).clone();
    }
    let mut bytes = HONEST.get_or_init(|| explosive(Some(BOMB))).clone();
    if kind == 2 {
        // Four bytes of content size, behind the window's unless the frame is one segment (RFC 8878, 3.1.1.1).
        assert_eq!(bytes[4] >> 6, 2, "the size has four bytes");
        let at = if bytes[4] & 0x20 == 0 { 6 } else { 5 };
        bytes[at..at + 4].copy_from_slice(&u32::try_from(raw_length).unwrap().to_le_bytes());
    }
    bytes
}

fn explosive(says: Option<u64>) -> Vec<u8> {
    let mut encoder = zstd::stream::Encoder::new(Vec::new(), 1).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.include_contentsize(says.is_some()).unwrap();
    encoder.set_pledged_src_size(says).unwrap();
    std::io::copy(&mut std::io::repeat(b'\n').take(BOMB), &mut encoder).unwrap();
    encoder.finish().unwrap()
}
