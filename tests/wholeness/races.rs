//! Dumps while the tenant's clients write and their schema changes: a copy is of one instant, or there is none.
