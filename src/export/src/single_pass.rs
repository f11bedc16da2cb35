//! Finds the lookups that can be filled while an entity's own table is read, so that the table is downloaded only once. That
//! works if no earlier entity uses the lookup, which is the rule in import order. Otherwise the table is read twice.

use super::plan::{CacheRule, CacheUse, CachedTable, EntityPlan, Source};

/// Moves the uses of cached tables to the entities that read the same table. Returns the tables that are read twice.
pub(super) fn assign_lookups(cached: &mut Vec<CachedTable>, entities: &mut [EntityPlan]) -> Vec<usize> {
    let mut twice = Vec::new();
    let all = std::mem::take(cached);
    for table in all {
        let reader = entities.iter().position(|entity| entity.table == table.table);
        match reader {
            Some(reader) if table.uses.iter().all(|use_| needed_only_after(use_, reader, entities)) => {
                entities[reader].labels.extend(table.uses);
            }
            found => {
                twice.extend(found.map(|_| table.table));
                cached.push(table);
            }
        }
    }
    twice
}

/// Whether no entity needs the cached values before entity `reader` has been read.
fn needed_only_after(use_: &CacheUse, reader: usize, entities: &[EntityPlan]) -> bool {
    let first = match &use_.keep {
        CacheRule::Lookup { slot, .. } => entities.iter().position(|entity| uses_lookup(entity, *slot)),
        // Custom fields have to be known before their values are read, in whatever table.
        CacheRule::Field { .. } => return false,
        CacheRule::Multi { entity, .. }
        | CacheRule::Scalars { entity, .. }
        | CacheRule::Value { entity, .. }
        | CacheRule::Line { entity, .. } => Some(*entity),
    };
    // Not `>=`: the reader's own rows would use the lookup while it is being filled.
    first.is_none_or(|first| first > reader)
}

fn uses_lookup(entity: &EntityPlan, slot: usize) -> bool {
    let of_columns = entity.columns.iter().any(|column| match column.source {
        Source::Label { lookup, .. } => lookup == slot,
        Source::Cell(_) => false,
    });
    of_columns || entity.custom.as_ref().is_some_and(|custom| custom.enums == Some(slot))
}
