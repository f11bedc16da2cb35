//! Which lookups are filled while an entity's own table is read, so that the table costs its bytes once: those whose table
//! is that of an entity, if nobody asks them before the entity has been read. In import order what others refer to comes first,
//! so that this is the rule; a reference backwards, or to the same table, needs a pass of its own before all entities.

use super::plan::{CacheRule, CacheUse, CachedTable, EntityPlan, Source};

/// Moves the uses of held tables to the entities that read the same table. Gives the tables that are read twice.
pub(super) fn assign_lookups(held: &mut Vec<CachedTable>, entities: &mut [EntityPlan]) -> Vec<usize> {
    let mut twice = Vec::new();
    let all = std::mem::take(held);
    for table in all {
        let reader = entities.iter().position(|entity| entity.table == table.table);
        match reader {
            Some(reader) if table.uses.iter().all(|use_| needed_only_after(use_, reader, entities)) => {
                entities[reader].labels.extend(table.uses);
            }
            found => {
                twice.extend(found.map(|_| table.table));
                held.push(table);
            }
        }
    }
    twice
}

/// Whether nobody needs what is kept until entity `reader` has been read.
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
    first.is_none_or(|first| first > reader)
}

fn uses_lookup(entity: &EntityPlan, slot: usize) -> bool {
    let of_columns = entity.columns.iter().any(|column| match column.source {
        Source::Label { lookup, .. } => lookup == slot,
        Source::Cell(_) => false,
    });
    of_columns || entity.custom.as_ref().is_some_and(|custom| custom.enums == Some(slot))
}
