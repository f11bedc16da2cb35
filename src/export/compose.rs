//! One row in: what a held table's row is kept for, or the record that an entity's row makes.

use super::cell;
use super::guard::guarded;
use super::held::Held;
use super::plan::{EntityPlan, HeldTable, KEY_SEPARATOR, Plan, Source, Target};
use super::rows::Cell;
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

/// Kinds of multi values of one entity: more would be data that nobody meant as columns.
pub(super) const MOST_PIVOTS: usize = 200;

/// The multi values of one entity, by record id and kind.
#[derive(Default)]
pub(super) struct Multis {
    held: Held,
    groups: HashMap<String, u32>,
    /// Column (behind the entity's own) of each group.
    places: Vec<usize>,
    headers: Vec<String>,
}

impl Multis {
    /// Kinds of values so far.
    pub(super) fn kinds(&self) -> usize {
        self.groups.len()
    }

    /// Ends the reading of its table.
    pub(super) fn seal(&mut self) {
        self.held.seal();
    }

    /// Gives each kind of value its column behind the entity's own, in the order of their names.
    pub(super) fn arrange(&mut self, columns: &mut Vec<String>, plan: &Plan) {
        let mut kinds: Vec<(&String, u32)> = self.groups.iter().map(|(name, at)| (name, *at)).collect();
        kinds.sort_unstable();
        self.places = vec![0; kinds.len()];
        for (place, (name, group)) in kinds.into_iter().enumerate() {
            let (header, _) = guarded(Cow::Borrowed(name), plan.format.formula_guard, false);
            let mut header = header.into_owned();
            while columns.iter().any(|known| known.eq_ignore_ascii_case(&header)) {
                header.push_str("_MULTI");
            }
            columns.push(header.clone());
            self.headers.push(header);
            self.places[group as usize] = place;
        }
    }
}

/// Keeps what a row of a held table says for all that read the table.
pub(super) fn hold(
    held: &HeldTable,
    cells: &[Cell<'_>],
    lookups: &mut [Held],
    multis: &mut BTreeMap<usize, Multis>,
) -> Result<(), &'static str> {
    for use_ in &held.uses {
        if !use_.filter.iter().all(|filter| filter.passes(cells)) {
            continue;
        }
        let text = |index: &usize| cells[*index].as_deref();
        let Some(key) = use_.key.iter().map(text).collect::<Option<Vec<_>>>() else {
            continue;
        };
        let key = key.join(KEY_SEPARATOR);
        let value = use_.value.render(cells);
        let kept = match use_.target {
            Target::Lookup(slot) => lookups[slot].push(&key, 0, &value),
            Target::Multi(_) if value.is_empty() => true,
            Target::Multi(entity) => {
                let parts: Vec<&str> = use_.pivot.iter().filter_map(text).collect();
                let multis = multis.entry(entity).or_default();
                let next = u32::try_from(multis.groups.len()).unwrap_or(u32::MAX);
                // Beyond the limit the export fails when the entity begins; until then no more kinds are kept.
                if multis.groups.len() > MOST_PIVOTS {
                    continue;
                }
                let group = *multis.groups.entry(parts.join("_")).or_insert(next);
                multis.held.push(&key, group, &value)
            }
        };
        if !kept {
            return Err("a key or value has 4 GiB or more");
        }
    }
    Ok(())
}

/// A record on its way into a file.
pub(super) struct Record<'a> {
    pub(super) cells: Vec<Cow<'a, str>>,
    /// Columns whose cells the formula guard changed.
    pub(super) guarded: Vec<usize>,
    /// Cells that are not what their column's type promises.
    pub(super) unreadable: i64,
}

/// One record of an entity: its cells, their labels, its multi values.
pub(super) fn compose<'a>(
    entity: &EntityPlan,
    plan: &'a Plan,
    lookups: &'a [Held],
    multis: Option<&'a Multis>,
    cells: &'a [Cell<'_>],
) -> Record<'a> {
    let format = &plan.format;
    let mut record = Record { cells: Vec::with_capacity(entity.columns.len()), guarded: Vec::new(), unreadable: 0 };
    for column in &entity.columns {
        let cell = cells[column.index].as_deref();
        let (text, number) = match (&column.source, cell) {
            (_, None) => (None, false),
            (Source::Cell(shape), Some(cell)) => {
                let (text, good) = cell::write(Cow::Borrowed(cell), *shape, format, plan.zone);
                record.unreadable += i64::from(!good);
                (Some(text), *shape == cell::Shape::Number)
            }
            (Source::Label { lookup, prefix }, Some(cell)) => {
                let found = lookups[*lookup].first(&format!("{prefix}{cell}"));
                (found.map(Cow::Borrowed), false)
            }
        };
        record.add(text, plan, number);
    }
    if let (Some(multis), Some(id)) = (multis, entity.multi) {
        let mut values = vec![String::new(); multis.headers.len()];
        for (group, value) in multis.held.get(cells[id].as_deref().unwrap_or_default()) {
            let joined = &mut values[multis.places[group as usize]];
            if !joined.is_empty() {
                joined.push_str(&format.multi_value_separator);
            }
            joined.push_str(value);
        }
        for value in values {
            let text = (!value.is_empty()).then_some(Cow::Owned(value));
            record.add(text, plan, false);
        }
    }
    record
}

impl<'a> Record<'a> {
    /// Adds a cell; one without a value is written as the profile says and never guarded.
    fn add(&mut self, text: Option<Cow<'a, str>>, plan: &'a Plan, number: bool) {
        let Some(text) = text else {
            self.cells.push(Cow::Borrowed(&plan.format.null_text));
            return;
        };
        let (text, changed) = guarded(text, plan.format.formula_guard, number);
        if changed {
            self.guarded.push(self.cells.len());
        }
        self.cells.push(text);
    }
}
