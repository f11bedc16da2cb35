//! The ids of the live database's records, by entity. A record of the backup that is not among them is missing there.
//!
//! As text: a line that begins with a tab names an entity, each line below it is an id of it, in the backup's cell text. An
//! entity that is named has been asked for, also where no id follows.

use super::error::ExportError;
use super::rows;
use std::collections::{BTreeMap, BTreeSet};

/// What begins the line of an entity; no cell's text holds it.
pub const ENTITY_MARK: char = '\t';

/// The ids of every entity that was asked for.
#[derive(Debug, Default)]
pub struct LiveIds {
    entities: BTreeMap<String, Ids>,
    current: Option<String>,
    rest: Vec<u8>,
    line: i64,
}

/// Ids; four bytes each where they are numbers, as almost all are.
#[derive(Debug, Default)]
struct Ids {
    numbers: Vec<u32>,
    sorted: bool,
    others: BTreeSet<String>,
}

impl LiveIds {
    /// Adds a piece of the text, wherever it was cut.
    pub fn push(&mut self, piece: &[u8]) -> Result<(), ExportError> {
        self.rest.extend_from_slice(piece);
        let text = std::mem::take(&mut self.rest);
        let whole = memchr::memrchr(b'\n', &text).map_or(0, |end| end + 1);
        for line in text[..whole].split_inclusive(|byte| *byte == b'\n') {
            self.line += 1;
            self.add(&line[..line.len() - 1])?;
        }
        self.rest = text[whole..].to_vec();
        Ok(())
    }

    /// Ends the text.
    pub fn seal(&mut self) -> Result<(), ExportError> {
        // A list that was cut would make records look missing that are there, and importing would double them.
        if !self.rest.is_empty() {
            return Err(ExportError::LiveIdsDamaged { line: self.line + 1 });
        }
        for ids in self.entities.values_mut() {
            ids.numbers.sort_unstable();
            ids.numbers.shrink_to_fit();
            ids.sorted = true;
        }
        Ok(())
    }

    /// Whether the live database has this id of an entity. An entity that was not asked for has none missing.
    pub fn has(&self, entity: &str, id: &str) -> bool {
        let Some(ids) = self.entities.get(entity) else { return true };
        match number(id) {
            Some(number) => ids.numbers.binary_search(&number).is_ok(),
            None => ids.others.contains(id),
        }
    }

    fn add(&mut self, line: &[u8]) -> Result<(), ExportError> {
        let damaged = ExportError::LiveIdsDamaged { line: self.line };
        if let Some(entity) = line.strip_prefix(b"\t") {
            let Ok(entity) = std::str::from_utf8(entity) else { return Err(damaged) };
            // Also without ids below it: the table was asked and has none, so that all its records are missing.
            self.entities.entry(entity.to_owned()).or_default();
            self.current = Some(entity.to_owned());
            return Ok(());
        }
        let Some(ids) = self.current.as_ref().and_then(|entity| self.entities.get_mut(entity)) else {
            return Err(damaged);
        };
        let Ok(row) = rows::cells(line, 1) else { return Err(damaged) };
        if let Some(Some(id)) = row.cells.into_iter().next() {
            match number(&id) {
                Some(number) => ids.numbers.push(number),
                None => drop(ids.others.insert(id.into_owned())),
            }
        }
        Ok(())
    }
}

fn number(id: &str) -> Option<u32> {
    // "007" and "+7" are other texts than "7", and other ids.
    let plain = id == "0" || !id.starts_with(['0', '+']);
    id.parse().ok().filter(|_| plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_found_however_the_text_was_cut() {
        let text = b"\tcontacts\n3\n1\nabc\\n\n007\n\\N\n\tdeals\n";
        for size in 1..text.len() {
            let mut live = LiveIds::default();
            text.chunks(size).for_each(|piece| live.push(piece).unwrap());
            live.seal().unwrap();
            for (id, there) in [("1", true), ("3", true), ("2", false), ("abc\n", true), ("007", true), ("7", false)] {
                assert_eq!(live.has("contacts", id), there, "{id}");
            }
            assert!(!live.has("deals", "1"), "it was asked for and is empty");
            assert!(live.has("leads", "1"), "it was not asked for");
        }
    }

    #[test]
    fn a_text_that_breaks_off_or_begins_in_the_middle_is_refused() {
        let mut live = LiveIds::default();
        live.push(b"\tcontacts\n12").unwrap();
        assert!(matches!(live.seal(), Err(ExportError::LiveIdsDamaged { line: 2 })));
        assert!(matches!(LiveIds::default().push(b"12\n"), Err(ExportError::LiveIdsDamaged { line: 1 })));
    }
}
