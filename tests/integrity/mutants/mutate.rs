//! What can happen to a backup: by chance, by mistake, and by somebody who can write to the bucket.

use super::backups::Base;
use super::mutate_frames::{bomb, compress, decompress, pieces, rebuild};
use rand::RngExt;
use rand::rngs::StdRng;
use sennight_core::manifest::{Keyring, Manifest};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

const MANIFEST: &str = "manifest.json";
/// Parts that a multipart upload has at least.
const PART: usize = 5 << 20;

/// Kinds of mutants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, strum::Display, strum::EnumIter)]
pub enum Class {
    CutAtFrame,
    CutAtPart,
    CutArchive,
    CutManifest,
    BitInData,
    BitsInData,
    BitsInArchive,
    BitsInManifest,
    ForeignObject,
    ForeignManifest,
    ForeignBackup,
    OlderManifest,
    OlderBackup,
    ObjectMissing,
    BytesAppended,
    FramesSwapped,
    BombInPlace,
    BombListed,
    RowsMiscounted,
    FrameLeftOut,
    FrameTwice,
    ForgedFacts,
    ForgedRows,
    ForgedPlaces,
    ForgedBomb,
    ForgedOlderBackup,
    MacTakenOff,
}

impl Class {
    /// All digests are made anew, and the backup is what its manifest says: only a key, or having seen it before, helps.
    pub fn is_forgery(self) -> bool {
        use Class::{ForgedBomb, ForgedFacts, ForgedOlderBackup, ForgedPlaces, ForgedRows, MacTakenOff};
        matches!(self, ForgedFacts | ForgedRows | ForgedPlaces | ForgedBomb | ForgedOlderBackup | MacTakenOff)
    }
}

/// Objects to put (or to remove, without bytes) over the backup's own.
pub struct Mutant {
    pub what: String,
    pub changes: Vec<(String, Option<Vec<u8>>)>,
}

pub fn mutate(class: Class, base: &Base, other: &Base, rng: &mut StdRng) -> Mutant {
    match class {
        Class::CutAtFrame => {
            let pieces = pieces(base);
            let piece = &pieces[rng.random_range(0..pieces.len())];
            let frame = &base.manifest.tables[piece.table].frames[piece.frame];
            cut(base, &frame.object.clone(), usize::try_from(frame.offset).unwrap())
        }
        Class::CutAtPart => {
            let name = data(base, rng);
            let length = base.objects[&name].len();
            let parts = length.saturating_sub(1) / PART;
            let at = if parts > 0 { PART * rng.random_range(1..=parts) } else { rng.random_range(0..length) };
            cut(base, &name, at)
        }
        Class::CutArchive => cut_anywhere(base, &base.manifest.schema.object.clone(), rng),
        Class::CutManifest => cut_anywhere(base, MANIFEST, rng),
        Class::BitInData => flip(base, &data(base, rng), 1, rng),
        Class::BitsInData => flip(base, &data(base, rng), rng.random_range(2..64), rng),
        Class::BitsInArchive => flip(base, &base.manifest.schema.object.clone(), rng.random_range(1..9), rng),
        Class::BitsInManifest => flip(base, MANIFEST, rng.random_range(1..9), rng),
        Class::ForeignObject | Class::ForeignManifest | Class::ForeignBackup => foreign(class, base, other, rng),
        Class::OlderManifest => one("the older backup's manifest", MANIFEST, Some(base.older[MANIFEST].clone())),
        Class::OlderBackup => over("all of the older backup", base, &base.older),
        Class::ObjectMissing => {
            let names: Vec<&String> = base.objects.keys().collect();
            let name = names[rng.random_range(0..names.len())];
            one(&format!("{name} removed"), name, None)
        }
        Class::BytesAppended => appended(base, rng),
        Class::FramesSwapped => swapped(base, rng),
        Class::BombInPlace | Class::BombListed | Class::ForgedBomb => bombed(class, base, rng),
        Class::RowsMiscounted | Class::FrameLeftOut | Class::FrameTwice => contradicted(class, base, rng),
        Class::ForgedFacts => facts(base, rng),
        Class::ForgedRows => rows(base, rng),
        Class::ForgedPlaces => places(base, rng),
        Class::ForgedOlderBackup => older(base, rng),
        Class::MacTakenOff => {
            let bytes = Keyring::default().seal(&base.manifest).unwrap();
            one("the MAC taken off", MANIFEST, Some(bytes))
        }
    }
}

fn one(what: &str, name: &str, bytes: Option<Vec<u8>>) -> Mutant {
    Mutant { what: what.to_owned(), changes: vec![(name.to_owned(), bytes)] }
}

/// A whole set of objects instead of the backup's own.
fn over(what: &str, base: &Base, objects: &BTreeMap<String, Vec<u8>>) -> Mutant {
    let gone = base.objects.keys().filter(|name| !objects.contains_key(*name)).map(|name| (name.clone(), None));
    let put = objects.iter().map(|(name, bytes)| (name.clone(), Some(bytes.clone())));
    Mutant { what: what.to_owned(), changes: gone.chain(put).collect() }
}

fn data(base: &Base, rng: &mut StdRng) -> String {
    base.manifest.objects[rng.random_range(0..base.manifest.objects.len())].name.clone()
}

fn cut(base: &Base, name: &str, at: usize) -> Mutant {
    one(&format!("{name} cut at {at}"), name, Some(base.objects[name][..at].to_vec()))
}

fn cut_anywhere(base: &Base, name: &str, rng: &mut StdRng) -> Mutant {
    cut(base, name, rng.random_range(0..base.objects[name].len()))
}

/// Different bits, so that they do not undo each other.
fn flip(base: &Base, name: &str, count: usize, rng: &mut StdRng) -> Mutant {
    let mut bytes = base.objects[name].clone();
    let mut bits = std::collections::BTreeSet::new();
    while bits.len() < count {
        bits.insert(rng.random_range(0..bytes.len() * 8));
    }
    for bit in &bits {
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
    one(&format!("bits {bits:?} of {name}"), name, Some(bytes))
}

fn foreign(class: Class, base: &Base, other: &Base, rng: &mut StdRng) -> Mutant {
    let what = format!("of {}", other.name);
    match class {
        Class::ForeignManifest => one(&what, MANIFEST, Some(other.objects[MANIFEST].clone())),
        Class::ForeignBackup => {
            // Even with a manifest that calls itself by this backup's id.
            let mut objects = other.objects.clone();
            if rng.random_bool(0.5) {
                let manifest = Manifest { id: base.manifest.id.clone(), ..other.manifest.clone() };
                objects.insert(MANIFEST.to_owned(), forge(base, &manifest, rng));
            }
            over(&what, base, &objects)
        }
        _ => {
            let name = if rng.random_bool(0.3) { base.manifest.schema.object.clone() } else { data(base, rng) };
            let theirs = other.objects.get(&name).unwrap_or(&other.objects[&other.manifest.objects[0].name]);
            let same = *theirs == base.objects[&name];
            let bytes = if same { base.older[MANIFEST].clone() } else { theirs.clone() };
            one(&format!("{name} {what}"), &name, Some(bytes))
        }
    }
}

fn appended(base: &Base, rng: &mut StdRng) -> Mutant {
    let names: Vec<&String> = base.objects.keys().collect();
    let name = names[rng.random_range(0..names.len())];
    let more = match rng.random_range(0..4) {
        0 => vec![0; rng.random_range(1..2000)],
        1 => compress(b"1\tx\ty\n"),
        2 => b"\n".to_vec(),
        _ => base.objects[name].clone(),
    };
    one(&format!("{} bytes after {name}", more.len()), name, Some([&base.objects[name][..], &more].concat()))
}

/// The bytes of two frames change places, the manifest does not know.
fn swapped(base: &Base, rng: &mut StdRng) -> Mutant {
    let mut pieces = pieces(base);
    let (a, b) = two(&pieces.iter().map(|piece| piece.bytes.clone()).collect::<Vec<_>>(), rng);
    let bytes = std::mem::take(&mut pieces[a].bytes);
    pieces[a].bytes = std::mem::replace(&mut pieces[b].bytes, bytes);
    let objects = rebuild(&mut base.manifest.clone(), &pieces);
    let changes = objects.into_iter().filter(|(name, bytes)| base.objects[name] != *bytes);
    Mutant { what: format!("frames {a} and {b} swapped"), changes: changes.map(|(n, b)| (n, Some(b))).collect() }
}

/// Two that differ.
fn two(all: &[Vec<u8>], rng: &mut StdRng) -> (usize, usize) {
    loop {
        let (a, b) = (rng.random_range(0..all.len()), rng.random_range(0..all.len()));
        if all[a] != all[b] {
            return (a, b);
        }
    }
}

fn bombed(class: Class, base: &Base, rng: &mut StdRng) -> Mutant {
    let (mut manifest, mut pieces) = (base.manifest.clone(), pieces(base));
    let at = rng.random_range(0..pieces.len());
    let (table, frame) = (pieces[at].table, pieces[at].frame);
    let raw_length = manifest.tables[table].frames[frame].raw_length;
    let kind = rng.random_range(0..3);
    pieces[at].bytes = match class {
        Class::ForgedBomb => compress(&[vec![b'a'; 64 << 20], b"\n".to_vec()].concat()),
        _ => bomb(kind, raw_length),
    };
    if class == Class::ForgedBomb {
        let entry = &mut manifest.tables[table];
        let frame = &mut entry.frames[frame];
        let (raw, rows) = ((64 << 20) + 1, 1);
        manifest.totals.raw_bytes += raw - frame.raw_length;
        manifest.totals.rows += rows - frame.rows;
        entry.rows += rows - frame.rows;
        (frame.raw_length, frame.rows) = (raw, rows);
    }
    let objects = rebuild(&mut manifest, &pieces);
    let mut changes: Vec<_> = objects.into_iter().filter(|(name, bytes)| base.objects[name] != *bytes).collect();
    if class != Class::BombInPlace {
        changes.push((MANIFEST.to_owned(), forge(base, &manifest, rng)));
    }
    let changes = changes.into_iter().map(|(name, bytes)| (name, Some(bytes))).collect();
    Mutant { what: format!("frame {frame} of table {table} is bomb {kind}"), changes }
}

/// Manifests that say something else than the objects, or than they themselves; all digests are right.
fn contradicted(class: Class, base: &Base, rng: &mut StdRng) -> Mutant {
    let mut manifest = base.manifest.clone();
    let pieces = pieces(base);
    let piece = &pieces[rng.random_range(0..pieces.len())];
    let table = &mut manifest.tables[piece.table];
    let totals = &mut manifest.totals;
    match class {
        Class::RowsMiscounted => {
            let more = if table.frames[piece.frame].rows > 1 && rng.random_bool(0.5) { -1 } else { 1 };
            table.frames[piece.frame].rows += more;
            table.rows += more;
            totals.rows += more;
        }
        Class::FrameLeftOut => {
            let frame = table.frames.remove(piece.frame);
            table.rows -= frame.rows;
            totals.rows -= frame.rows;
            totals.raw_bytes -= frame.raw_length;
        }
        _ => {
            let frame = table.frames[piece.frame].clone();
            table.rows += frame.rows;
            totals.rows += frame.rows;
            totals.raw_bytes += frame.raw_length;
            table.frames.push(frame);
        }
    }
    one(&format!("frame {} of table {}", piece.frame, piece.table), MANIFEST, Some(forge(base, &manifest, rng)))
}

/// Facts that nothing in the objects speaks of.
fn facts(base: &Base, rng: &mut StdRng) -> Mutant {
    let mut manifest = base.manifest.clone();
    let kind = rng.random_range(0..8);
    let table = manifest.tables.iter().position(|table| table.columns.len() > 1).unwrap();
    match kind {
        0 => manifest.identity.tenant.push('x'),
        1 => manifest.snapshot_time -= chrono::TimeDelta::days(1),
        2 => manifest.day = manifest.day.pred_opt().unwrap(),
        3 => manifest.tables[table].columns.swap(0, 1),
        4 => "text".clone_into(&mut manifest.tables[table].columns[0].kind),
        5 => manifest.warnings.push("all is well".to_owned()),
        6 => manifest.roles.clear(),
        _ => "SQL_ASCII".clone_into(&mut manifest.server.encoding),
    }
    if manifest == base.manifest {
        manifest.warnings.push("nothing else could be changed".to_owned());
    }
    one(&format!("fact {kind}"), MANIFEST, Some(forge(base, &manifest, rng)))
}

/// One letter of a row, and every digest after it.
fn rows(base: &Base, rng: &mut StdRng) -> Mutant {
    let (mut manifest, mut pieces) = (base.manifest.clone(), pieces(base));
    let with_letters: Vec<usize> =
        (0..pieces.len()).filter(|at| manifest.tables[pieces[*at].table].rows > 10).collect();
    let at = with_letters[rng.random_range(0..with_letters.len())];
    let mut raw = decompress(&pieces[at].bytes);
    let letters: Vec<usize> = (0..raw.len().min(100_000)).filter(|i| raw[*i].is_ascii_digit()).collect();
    let letter = letters[rng.random_range(0..letters.len())];
    raw[letter] = if raw[letter] == b'7' { b'8' } else { b'7' };
    pieces[at].bytes = compress(&raw);
    forged(&format!("byte {letter} of frame {at}"), base, &mut manifest, &pieces, rng)
}

/// Two frames change places, and the manifest says so.
fn places(base: &Base, rng: &mut StdRng) -> Mutant {
    let (mut manifest, mut pieces) = (base.manifest.clone(), pieces(base));
    let (a, b) = two(&pieces.iter().map(|piece| piece.bytes.clone()).collect::<Vec<_>>(), rng);
    let object = pieces[a].object.clone();
    pieces[a].object = std::mem::replace(&mut pieces[b].object, object);
    pieces.swap(a, b);
    forged(&format!("frames {a} and {b} moved"), base, &mut manifest, &pieces, rng)
}

fn forged(
    what: &str,
    base: &Base,
    manifest: &mut Manifest,
    pieces: &[super::mutate_frames::Piece],
    rng: &mut StdRng,
) -> Mutant {
    let mut objects = rebuild(manifest, pieces);
    objects.insert(MANIFEST.to_owned(), forge(base, manifest, rng));
    let changes = objects.into_iter().filter(|(name, bytes)| base.objects[name] != *bytes);
    Mutant { what: what.to_owned(), changes: changes.map(|(name, bytes)| (name, Some(bytes))).collect() }
}

/// Last week's data under today's id.
fn older(base: &Base, rng: &mut StdRng) -> Mutant {
    let mut manifest = Manifest::parse(&base.older[MANIFEST]).unwrap();
    manifest.id = base.manifest.id.clone();
    let mut objects = base.older.clone();
    objects.insert(MANIFEST.to_owned(), forge(base, &manifest, rng));
    over("the older backup under this id", base, &objects)
}

/// A manifest sealed by somebody without the key: unsigned, with the old MAC, or with a key of his own.
fn forge(base: &Base, manifest: &Manifest, rng: &mut StdRng) -> Vec<u8> {
    let own = |id: &str| {
        let keys = BTreeMap::from([(id.to_owned(), b"a key that somebody else has made up".to_vec())]);
        Keyring::new(keys, id, true).unwrap().seal(manifest).unwrap()
    };
    match rng.random_range(0..4) {
        0 => Keyring::default().seal(manifest).unwrap(),
        1 => own("test"),
        2 => own("mine"),
        _ => {
            let sealed = String::from_utf8(Keyring::default().seal(manifest).unwrap()).unwrap();
            let body = sealed.rsplit_once(",\"mac\":null,").unwrap().0;
            let mac = serde_json::to_string(&base.manifest.mac).unwrap();
            let signed = format!("{body},\"mac\":{mac}");
            format!("{signed},\"sha256\":\"{}\"}}", hex::encode(Sha256::digest(signed.as_bytes()))).into_bytes()
        }
    }
}
