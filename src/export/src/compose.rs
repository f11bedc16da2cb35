//! Turns one row of an entity into the CSV lines of its record: cells, labels, custom fields, multi values, further lines.

use super::cell::{self, Shape};
use super::guard::guarded;
use super::lookup_cache::{CustomFields, Kind, LookupCache, MultiValues, Parts, unpack};
use super::plan::{CustomPlan, EntityPlan, ExportPlan, Source};
use super::rows::Cell;
use std::borrow::Cow;

/// The separator of several values that Bitrix24's importer looks for first.
const IMPORTERS: &str = ";";

/// What is worth knowing of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Note {
    /// The formula guard changed it.
    Guarded,
    /// It is not what its column's type promises.
    Unreadable,
    /// It has more characters than the format wants.
    Oversized,
    /// One of its values holds the separator: an importer takes it for two.
    Ambiguous,
}

/// A cell that an importer finds another record by, though the text is not that record's alone.
pub(super) struct Link<'a> {
    pub(super) column: usize,
    pub(super) id: Cow<'a, str>,
    pub(super) text: &'a str,
    pub(super) candidates: String,
}

/// A record on its way into a file.
#[derive(Default)]
pub(super) struct Record<'a> {
    /// The cells of its first line.
    pub(super) cells: Vec<Cow<'a, str>>,
    pub(super) notes: Vec<(Note, usize)>,
    pub(super) links: Vec<Link<'a>>,
    /// Where the cells of lines begin; those before are the same on each line.
    pub(super) base: usize,
    /// The cells of the further lines behind [`base`](Self::base), with their notes.
    pub(super) further: Vec<Further<'a>>,
}

/// A further line of a record.
pub(super) type Further<'a> = (Vec<Cow<'a, str>>, Vec<(Note, usize)>);

/// Composes the records of one entity.
pub(super) struct Composer<'a> {
    pub(super) entity: &'a EntityPlan,
    pub(super) plan: &'a ExportPlan,
    pub(super) cache: &'a LookupCache,
    pub(super) parts: Option<&'a Parts>,
}

impl<'a> Composer<'a> {
    /// One record.
    pub(super) fn compose(&self, cells: &'a [Cell<'_>]) -> Record<'a> {
        let mut record = Record { cells: Vec::with_capacity(self.entity.columns.len()), ..Record::default() };
        for column in &self.entity.columns {
            let cell = cells[column.index].as_deref();
            match (&column.source, cell) {
                (_, None) => self.add(&mut record, None, false),
                (Source::Cell(shape), Some(cell)) => self.shaped(&mut record, Cow::Borrowed(cell), *shape),
                (Source::Label { lookup, prefix, link }, Some(cell)) => {
                    let found = self.cache.lookups[*lookup].first(&format!("{prefix}{cell}"));
                    if let (true, Some(text)) = (*link, found) {
                        self.link(&mut record, *lookup, cell, text);
                    }
                    self.add(&mut record, found.map(Cow::Borrowed), false);
                }
            }
        }
        let id = cells[self.entity.key].as_deref().unwrap_or_default();
        if let Some(custom) = &self.entity.custom {
            self.custom(&mut record, custom, self.parts.map(|parts| &parts.customs), id);
        }
        if let Some(parts) = self.parts.filter(|_| self.entity.multi) {
            self.multi(&mut record, &parts.multis, id);
        }
        record.base = record.cells.len();
        self.lines(&mut record, id);
        record
    }

    fn link(&self, record: &mut Record<'a>, lookup: usize, id: &'a str, text: &'a str) {
        let shared = self.cache.shared[lookup].as_ref();
        let candidates = shared.and_then(|shared| shared.candidates(text));
        // A guarded name is not the name any more: it finds nobody.
        let guarded = || guarded(Cow::Borrowed(text), self.plan.style.formula_guard, false).1.then(|| id.to_owned());
        if let Some(candidates) = candidates.or_else(guarded) {
            record.links.push(Link { column: record.cells.len(), id: Cow::Borrowed(id), text, candidates });
        }
    }

    fn custom(&self, record: &mut Record<'a>, custom: &CustomPlan, customs: Option<&'a CustomFields>, id: &str) {
        let mut values: Vec<Vec<&'a str>> = vec![Vec::new(); custom.columns.len()];
        if let Some(customs) = customs {
            for (place, value) in customs.scalars.get(id).chain(customs.values.get(id)) {
                values[place as usize].push(value);
            }
        }
        for (place, values) in values.into_iter().enumerate() {
            let field = customs.and_then(|customs| customs.fields.get(place)).copied().unwrap_or_default();
            let list = field.kind == Kind::List;
            let shape = match field.kind {
                Kind::Boolean => Shape::Boolean,
                Kind::Date => Shape::Date,
                Kind::DateTime => Shape::Timestamp,
                Kind::List | Kind::Plain => custom.columns[place].shape,
            };
            let mut texts = Vec::with_capacity(values.len());
            for value in values {
                let text = custom.enums.filter(|_| list).and_then(|slot| self.cache.lookups[slot].first(value));
                let (text, good) = match text {
                    Some(text) => (Cow::Borrowed(text), true),
                    None => cell::write(Cow::Borrowed(value), shape, &self.plan.style, self.plan.zone),
                };
                if !good {
                    record.notes.push((Note::Unreadable, record.cells.len()));
                }
                texts.push(text);
            }
            // The cell of a list field holds texts by now, whatever its column's type.
            let number = shape == Shape::Number && !list;
            self.joined(record, texts, &self.plan.style.custom_value_separator, number);
        }
    }

    fn multi(&self, record: &mut Record<'a>, multis: &'a MultiValues, id: &str) {
        let mut values: Vec<Vec<Cow<'a, str>>> = vec![Vec::new(); multis.places.len()];
        for (group, value) in multis.values.get(id) {
            values[multis.places[group as usize]].push(Cow::Borrowed(value));
        }
        let separator = &self.plan.style.multi_value_separator;
        for (values, fallbacks) in values.into_iter().zip(&multis.fallbacks) {
            match values.as_slice() {
                // Ended by the separator it stays one value; without it an importer would look for another one in there.
                [one] if separator == IMPORTERS && !one.contains(IMPORTERS) && one.trim().contains(*fallbacks) => {
                    self.add(record, Some(Cow::Owned(format!("{one}{IMPORTERS}"))), false);
                }
                _ => self.joined(record, values, separator, false),
            }
        }
    }

    /// Several values in one cell.
    fn joined(&self, record: &mut Record<'a>, mut values: Vec<Cow<'a, str>>, separator: &str, number: bool) {
        // Also for one value alone: an importer cuts it all the same.
        if values.iter().any(|value| value.contains(separator)) {
            record.notes.push((Note::Ambiguous, record.cells.len()));
        }
        let text = if values.len() > 1 { Some(Cow::Owned(values.join(separator))) } else { values.pop() };
        self.add(record, text, number);
    }

    /// The lines of a record; one that has none has one line, with empty cells.
    fn lines(&self, record: &mut Record<'a>, id: &str) {
        if self.entity.lines.is_empty() {
            return;
        }
        let packed_lines = self.parts.map(|parts| &parts.lines);
        let mut packed =
            packed_lines.into_iter().flat_map(|packed_lines| packed_lines.get(id)).map(|(_, packed)| packed);
        let first = packed.next();
        self.line(record, first);
        for more in packed {
            // Behind empty cells, so that notes name the right columns.
            let mut line = Record { cells: vec![Cow::Borrowed(""); record.base], ..Record::default() };
            self.line(&mut line, Some(more));
            record.further.push((line.cells.split_off(record.base), line.notes));
        }
    }

    fn line(&self, record: &mut Record<'a>, packed: Option<&'a str>) {
        let mut cells = packed.into_iter().flat_map(unpack);
        for column in &self.entity.lines {
            match cells.next().flatten() {
                Some(cell) => self.shaped(record, Cow::Borrowed(cell), column.shape),
                None => self.add(record, None, false),
            }
        }
    }

    fn shaped(&self, record: &mut Record<'a>, cell: Cow<'a, str>, shape: Shape) {
        let (text, good) = cell::write(cell, shape, &self.plan.style, self.plan.zone);
        if !good {
            record.notes.push((Note::Unreadable, record.cells.len()));
        }
        self.add(record, Some(text), shape == Shape::Number);
    }

    /// Adds a cell; one without a value is written as the profile says and never guarded.
    fn add(&self, record: &mut Record<'a>, text: Option<Cow<'a, str>>, number: bool) {
        let style = &self.plan.style;
        let Some(text) = text else {
            record.cells.push(Cow::Borrowed(&style.null_text));
            return;
        };
        let (text, changed) = guarded(text, style.formula_guard, number);
        if changed {
            record.notes.push((Note::Guarded, record.cells.len()));
        }
        // Bytes first: there are never fewer of them than characters, and counting them costs nothing.
        if style.max_cell_chars.is_some_and(|most| text.len() > most && text.chars().count() > most) {
            record.notes.push((Note::Oversized, record.cells.len()));
        }
        record.cells.push(text);
    }
}
