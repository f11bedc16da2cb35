//! In-memory cache of the tables that an export reads first: lookups, and each entity's multi values, custom fields and lines.

use super::error::ExportError;
use super::guard::guarded;
use super::plan::{CacheRule, CacheUse, CustomPlan, ExportPlan, KEY_SEPARATOR, LineColumn};
use super::rows::Cell;
use super::text_table::{SharedTexts, TextTable};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

/// Most kinds of multi values of one entity: more would be data that is not meant as columns.
pub(super) const MOST_PIVOTS: usize = 200;

/// All cached values of one export.
#[derive(Default)]
pub(super) struct LookupCache {
    /// Lookups by slot.
    pub(super) lookups: Vec<TextTable>,
    /// Texts that several records share, of lookups by which importers find records.
    pub(super) shared: Vec<Option<SharedTexts>>,
    /// Parts by the entity's place in the plan.
    pub(super) parts: BTreeMap<usize, Parts>,
}

/// Cached values of one entity's records.
#[derive(Default)]
pub(super) struct Parts {
    pub(super) multis: MultiValues,
    pub(super) customs: CustomFields,
    /// Cells packed by [`pack`], by record id.
    pub(super) lines: TextTable,
}

impl LookupCache {
    /// An empty cache for a plan.
    pub(super) fn new(plan: &ExportPlan) -> Self {
        let lookups: Vec<TextTable> = std::iter::repeat_with(TextTable::default).take(plan.lookups.len()).collect();
        let shared = plan.lookups.iter().map(|_| None).collect();
        Self { lookups, shared, parts: BTreeMap::new() }
    }

    /// Adds a row's values for every use of its table. False if the cache is full.
    pub(super) fn add_row(&mut self, uses: &[CacheUse], plan: &ExportPlan, cells: &[Cell<'_>]) -> bool {
        uses.iter()
            .filter(|use_| use_.filter.iter().all(|filter| filter.passes(cells)))
            .all(|use_| self.apply(&use_.keep, plan, cells))
    }

    fn apply(&mut self, keep: &CacheRule, plan: &ExportPlan, cells: &[Cell<'_>]) -> bool {
        let text = |index: usize| cells[index].as_deref();
        match keep {
            CacheRule::Lookup { slot, key, value } => {
                // A key with a missing part identifies nothing, as in SQL.
                let Some(key) = key.iter().map(|index| text(*index)).collect::<Option<Vec<_>>>() else { return true };
                self.lookups[*slot].push(&key.join(KEY_SEPARATOR), 0, &value.render(cells))
            }
            CacheRule::Multi { entity, on, pivot, value } => {
                let value = value.render(cells);
                let Some(id) = text(*on).filter(|_| !value.is_empty()) else { return true };
                let kind: Vec<&str> = pivot.iter().filter_map(|index| text(*index)).collect();
                self.parts.entry(*entity).or_default().multis.push(id, &kind.join("_"), &value)
            }
            CacheRule::Field { entity, id, name, kind, multiple } => {
                let (Some(id), Some(name), Some(custom)) = (text(*id), text(*name), &plan.entities[*entity].custom)
                else {
                    return true;
                };
                let kind = match kind.and_then(text) {
                    Some("enumeration") => Kind::List,
                    Some("boolean") => Kind::Boolean,
                    Some("date") => Kind::Date,
                    Some("datetime") => Kind::DateTime,
                    _ => Kind::Plain,
                };
                let field = Field { kind, several: multiple.and_then(text) == Some("Y") };
                self.parts.entry(*entity).or_default().customs.define(custom, id, name, field);
                true
            }
            CacheRule::Scalars { entity, on, columns } => {
                let Some(id) = text(*on) else { return true };
                let customs = &mut self.parts.entry(*entity).or_default().customs;
                let filled = columns.iter().enumerate().filter_map(|(place, index)| Some((place, text(*index)?)));
                // Empty ones would cost memory and bring nothing.
                filled.filter(|(_, value)| !value.is_empty()).all(|(place, value)| customs.scalar(id, place, value))
            }
            CacheRule::Value { entity, on, field, values } => {
                let value = values.iter().filter_map(|index| text(*index)).find(|value| !value.is_empty());
                let (Some(id), Some(field), Some(value)) = (text(*on), text(*field), value) else { return true };
                self.parts.entry(*entity).or_default().customs.value(id, field, value)
            }
            CacheRule::Line { entity, on, columns } => {
                let Some(id) = text(*on) else { return true };
                let packed = pack(columns.iter().map(|index| text(*index)));
                self.parts.entry(*entity).or_default().lines.push(id, 0, &packed)
            }
        }
    }

    /// Ends the reading of a table.
    pub(super) fn seal(&mut self, uses: &[CacheUse], plan: &ExportPlan) {
        for use_ in uses {
            match &use_.keep {
                CacheRule::Lookup { slot, .. } => {
                    self.lookups[*slot].seal();
                    self.shared[*slot] = plan.lookups[*slot].link.then(|| self.lookups[*slot].shared_texts());
                }
                CacheRule::Multi { entity, .. } => self.parts.entry(*entity).or_default().multis.values.seal(),
                CacheRule::Scalars { entity, .. } => self.parts.entry(*entity).or_default().customs.scalars.seal(),
                CacheRule::Value { entity, .. } => self.parts.entry(*entity).or_default().customs.values.seal(),
                CacheRule::Line { entity, .. } => self.parts.entry(*entity).or_default().lines.seal(),
                CacheRule::Field { .. } => {}
            }
        }
    }
}

/// The multi values of one entity, by record id and kind.
#[derive(Default)]
pub(super) struct MultiValues {
    pub(super) values: TextTable,
    groups: HashMap<String, u32>,
    /// Column (behind the entity's own) of each group.
    pub(super) places: Vec<usize>,
    /// By column: what an importer takes for a separator where the cell has none.
    pub(super) fallbacks: Vec<&'static [char]>,
}

/// Bitrix24's importer falls back to a comma in phones and mail addresses, and in addresses to a space.
fn fallbacks(kind: &str) -> &'static [char] {
    let kind = kind.split('_').next().unwrap_or_default();
    match kind {
        _ if kind.eq_ignore_ascii_case("PHONE") => &[','],
        _ if kind.eq_ignore_ascii_case("EMAIL") => &[',', ' '],
        _ => &[],
    }
}

impl MultiValues {
    fn push(&mut self, id: &str, kind: &str, value: &str) -> bool {
        let group = match self.groups.get(kind) {
            Some(group) => *group,
            // Beyond the limit the export fails when the entity begins; until then no more kinds are kept.
            None if self.groups.len() > MOST_PIVOTS => return true,
            None => {
                let next = u32::try_from(self.groups.len()).unwrap_or(u32::MAX);
                self.groups.insert(kind.to_owned(), next);
                next
            }
        };
        self.values.push(id, group, value)
    }

    /// Gives each kind of value its column behind the entity's own, in the order of their names.
    pub(super) fn arrange(&mut self, columns: &mut Vec<String>, others: &[LineColumn], plan: &ExportPlan) {
        let mut kinds: Vec<(&String, u32)> = self.groups.iter().map(|(name, at)| (name, *at)).collect();
        // By name and not by first occurrence: the same backup must give the same bytes.
        kinds.sort_unstable();
        self.places = vec![0; kinds.len()];
        for (place, (name, group)) in kinds.into_iter().enumerate() {
            let (header, _) = guarded(Cow::Borrowed(name), plan.style.formula_guard, false);
            let mut header = header.into_owned();
            let known = |header: &str| {
                let others = others.iter().map(|column| &column.header);
                columns.iter().chain(others).any(|known| known.eq_ignore_ascii_case(header))
            };
            // Importers go by the header: two columns of one name would be one.
            while known(&header) {
                header.push_str("_MULTI");
            }
            columns.push(header);
            self.places[group as usize] = place;
            self.fallbacks.push(fallbacks(name));
        }
    }

    /// Refuses more kinds than columns make sense.
    pub(super) fn check(&self, table: &str, entity: &str) -> Result<(), ExportError> {
        if self.groups.len() <= MOST_PIVOTS {
            return Ok(());
        }
        Err(ExportError::TooManyColumns { table: table.to_owned(), entity: entity.to_owned(), limit: MOST_PIVOTS })
    }
}

/// What a custom field is.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Field {
    pub(super) kind: Kind,
    /// It may have several values, which are in a table of their own.
    pub(super) several: bool,
}

/// How the values of a custom field are to be read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Kind {
    /// As their column's type says.
    #[default]
    Plain,
    /// Ids of texts.
    List,
    /// 1 and 0.
    Boolean,
    /// Dates without a time.
    Date,
    /// Dates with a time.
    DateTime,
}

/// The custom fields of one entity's records.
#[derive(Default)]
pub(super) struct CustomFields {
    /// By place among the plan's columns.
    pub(super) fields: Vec<Field>,
    /// Places by the id of the field.
    places: HashMap<String, u32>,
    /// Values that stand in the record's own row, by record id; the group is the place.
    pub(super) scalars: TextTable,
    /// Values of fields that may have several.
    pub(super) values: TextTable,
}

impl CustomFields {
    fn define(&mut self, custom: &CustomPlan, id: &str, name: &str, field: Field) {
        self.fields.resize(custom.columns.len(), Field::default());
        if let Some(place) = custom.columns.iter().position(|column| column.header.eq_ignore_ascii_case(name)) {
            self.fields[place] = field;
            self.places.insert(id.to_owned(), u32::try_from(place).unwrap_or(u32::MAX));
        }
    }

    /// What stands in the row of a field with several values is a serialized copy of them, of no use to anybody.
    fn scalar(&mut self, id: &str, place: usize, value: &str) -> bool {
        let several = self.fields.get(place).is_some_and(|field| field.several);
        several || self.scalars.push(id, u32::try_from(place).unwrap_or(u32::MAX), value)
    }

    fn value(&mut self, id: &str, field: &str, value: &str) -> bool {
        let place = self.places.get(field).copied();
        place.is_none_or(|place| self.values.push(id, place, value))
    }
}

/// Cells as one text: the length of each before it, `-` for one without a value.
fn pack<'a>(cells: impl Iterator<Item = Option<&'a str>>) -> String {
    let mut packed = String::new();
    for cell in cells {
        match cell {
            Some(text) => {
                packed.push_str(&text.len().to_string());
                packed.push(':');
                packed.push_str(text);
            }
            None => packed.push('-'),
        }
    }
    packed
}

/// The cells of a text that [`pack`] made.
pub(super) fn unpack(packed: &str) -> impl Iterator<Item = Option<&str>> {
    let mut rest = packed;
    std::iter::from_fn(move || {
        if let Some(after) = rest.strip_prefix('-') {
            rest = after;
            return Some(None);
        }
        let (length, after) = rest.split_once(':')?;
        let (cell, after) = after.split_at_checked(length.parse().ok()?)?;
        rest = after;
        Some(Some(cell))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn packed_cells_come_out_as_they_went_in(cells in prop::collection::vec(prop::option::of("[-:0-9\\PC]{0,6}"), 0..6)) {
            let packed = pack(cells.iter().map(Option::as_deref));
            let out: Vec<Option<String>> = unpack(&packed).map(|cell| cell.map(str::to_owned)).collect();
            prop_assert_eq!(out, cells);
        }
    }
}
