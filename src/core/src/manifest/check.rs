//! Whether the parts of a manifest agree with each other. Anybody may have written it, so no number in it is trusted.

use super::{Frame, MANIFEST, Manifest, Table, Totals};
use crate::names::segment;
use std::collections::{BTreeMap, BTreeSet};

/// A frame never has more row text than this, unless it is a single row.
pub const FRAME_LIMIT: i64 = 64 << 20;

/// By object name: its length, and offset and length of each frame in it.
type FramesByObject<'a> = BTreeMap<&'a str, (i64, Vec<(i64, i64)>)>;

pub(super) fn check(manifest: &Manifest) -> Result<(), String> {
    let mut places = objects(manifest)?;
    let mut sum = Totals { stored_bytes: manifest.schema.length, objects: 1, ..Totals::default() };
    let mut names = BTreeSet::new();
    for table in &manifest.tables {
        let name = format!("{}.{}", table.schema, table.name);
        if !names.insert((&table.schema, &table.name)) {
            return Err(format!("{name} is listed twice"));
        }
        let (rows, raw_bytes) = frames(table, &name, &mut places)?;
        if rows != table.rows {
            return Err(format!("{name} has {} rows, its frames {rows}", table.rows));
        }
        sum.tables += 1;
        sum.rows = plus(sum.rows, rows)?;
        sum.raw_bytes = plus(sum.raw_bytes, raw_bytes)?;
    }
    for (object, (length, frames)) in places {
        covers_object(object, length, frames)?;
        sum.stored_bytes = plus(sum.stored_bytes, length)?;
        sum.objects += 1;
    }
    if sum == manifest.totals {
        return Ok(());
    }
    Err(format!("totals are {:?}, the parts sum up to {sum:?}", manifest.totals))
}

/// The data objects: each has a name of its own that stays below the backup's prefix.
fn objects(manifest: &Manifest) -> Result<FramesByObject<'_>, String> {
    let mut places = FramesByObject::new();
    for object in &manifest.objects {
        legal(&object.name)?;
        // A name that stands twice would give two lengths to one object.
        if object.length <= 0 || places.insert(&object.name, (object.length, Vec::new())).is_some() {
            return Err(format!("{} is empty or listed twice", object.name));
        }
    }
    let schema = &manifest.schema;
    legal(&schema.object)?;
    if schema.length <= 0 || places.contains_key(schema.object.as_str()) {
        return Err(format!("{} is empty or listed twice", schema.object));
    }
    Ok(places)
}

/// An object's name becomes part of a key, and of a file name when a backup is restored to a directory.
fn legal(name: &str) -> Result<(), String> {
    if name == MANIFEST {
        return Err(format!("{name} cannot be one of its own objects"));
    }
    name.split('/').try_for_each(|part| segment("object", part).map(|_| ())).map_err(|error| error.to_string())
}

/// Rows and bytes of row text in a table's frames; adds each frame to its object in `places`.
fn frames<'a>(table: &'a Table, name: &str, places: &mut FramesByObject<'a>) -> Result<(i64, i64), String> {
    let (mut rows, mut raw_bytes) = (0, 0);
    for frame in &table.frames {
        let Some((length, frames)) = places.get_mut(frame.object.as_str()) else {
            return Err(format!("a frame of {name} lies in {}, which is not listed", frame.object));
        };
        if !bounded(frame, *length) {
            let Frame { object, offset, length, raw_length, rows, .. } = frame;
            return Err(format!(
                "a frame of {name} cannot be: {length} bytes at {offset} of {object} for {rows} rows in {raw_length} bytes"
            ));
        }
        frames.push((frame.offset, frame.length));
        rows = plus(rows, frame.rows)?;
        raw_bytes = plus(raw_bytes, frame.raw_length)?;
    }
    Ok((rows, raw_bytes))
}

/// Whether a frame lies inside its object and has at least one byte for every row. A huge frame of many rows is refused: it
/// would not fit into memory.
fn bounded(frame: &Frame, object: i64) -> bool {
    let end = frame.offset.checked_add(frame.length);
    let inside = frame.offset >= 0 && frame.length > 0 && end.is_some_and(|end| end <= object);
    let rows = frame.rows >= 1 && frame.raw_length >= frame.rows;
    inside && rows && (frame.raw_length <= FRAME_LIMIT || frame.rows == 1)
}

/// Every byte of a data object must belong to one frame: a byte outside of all frames could change unnoticed.
fn covers_object(object: &str, length: i64, mut frames: Vec<(i64, i64)>) -> Result<(), String> {
    frames.sort_unstable();
    let mut end = 0;
    for (offset, length) in frames {
        if offset != end {
            return Err(format!("the frames of {object} leave a gap or overlap at {}", offset.min(end)));
        }
        // Cannot overflow: the frame begins at `end`, and `bounded` has seen that it ends inside the object.
        end += length;
    }
    if end == length {
        return Ok(());
    }
    Err(format!("{object} has {length} bytes, its frames end at {end}"))
}

fn plus(one: i64, two: i64) -> Result<i64, String> {
    one.checked_add(two).ok_or_else(|| "its sums are beyond all numbers".to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::tests::manifest;
    use super::*;

    type Change = fn(&mut Manifest);

    #[test]
    fn i4_a_manifest_whose_parts_disagree_is_refused() {
        manifest().check().unwrap();
        let changes: &[(&str, Change)] = &[
            ("rows of a table", |m| m.tables[0].rows += 1),
            ("rows of a frame", |m| m.tables[0].frames[0].rows += 1),
            ("rows of a frame and its table", |m| {
                m.tables[0].frames[0].rows += 1;
                m.tables[0].rows += 1;
            }),
            ("a frame's place", |m| m.tables[0].frames[0].offset += 1),
            ("a frame's length", |m| m.tables[0].frames[0].length -= 1),
            ("a frame beyond the end", |m| m.tables[1].frames[0].length += 1),
            ("a negative offset", |m| m.tables[0].frames[0].offset = -1),
            ("an offset at the end of numbers", |m| m.tables[0].frames[0].offset = i64::MAX),
            ("a frame of another object", |m| m.tables[0].frames[0].object = "data/other.zst".into()),
            ("a frame used twice", |m| {
                let frame = m.tables[0].frames[0].clone();
                m.tables[0].frames.push(frame);
            }),
            ("a frame left out", |m| {
                m.tables[1].frames.clear();
                m.tables[1].rows = 0;
                m.totals.rows -= 1;
                m.totals.raw_bytes -= 5;
            }),
            ("a table left out", |m| drop(m.tables.pop())),
            ("a table twice", |m| m.tables[1].name = "a".into()),
            ("an object left out", |m| drop(m.objects.pop())),
            ("a longer object", |m| m.objects[0].length += 1),
            ("an object above the backup", |m| m.objects[0].name = "../x".into()),
            ("the manifest as its own object", |m| m.schema.object = MANIFEST.into()),
            ("a data object as the archive", |m| m.schema.object.clone_from(&m.objects[0].name)),
            ("an archive without bytes", |m| m.schema.length = 0),
            ("totals", |m| m.totals.stored_bytes += 1),
            ("sums beyond all numbers", |m| {
                m.tables[0].frames[0].rows = 1;
                m.tables[0].frames[0].raw_length = i64::MAX;
                m.tables[1].frames[0].raw_length = i64::MAX;
            }),
            ("many rows in a frame of gigabytes", |m| {
                m.tables[0].frames[0].raw_length = FRAME_LIMIT + 1;
                m.totals.raw_bytes += FRAME_LIMIT + 1 - 4;
            }),
        ];
        for (what, change) in changes {
            let mut bad = manifest();
            change(&mut bad);
            assert!(bad.check().is_err(), "{what}");
        }
    }
}
