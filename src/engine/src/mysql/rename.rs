//! Builds the RENAME TABLE statement that swaps two schemas. Pure. It moves every table of both, the marks included, so it is
//! carried out completely or not at all, at most once, and only on the schemas that have these marks.

use super::marks::{Mark, Role};
use crate::mysql::ident;

/// Names of the schemas that the statement renames between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenamePlan<'a> {
    /// The live schema's name.
    pub live: &'a str,
    /// The schema that becomes the live one.
    pub source: &'a str,
    /// The schema that gets the old tables.
    pub previous: &'a str,
}

/// The statement. `ticket` is in `source`, and becomes the mark of the previous schema.
pub fn statement(plan: &RenamePlan<'_>, live: &[String], source: &[String], ticket: &Mark) -> String {
    let name = |schema: &str, table: &str| format!("{}.{}", ident(schema), ident(table));
    let mut moves: Vec<(String, String)> =
        live.iter().map(|table| (name(plan.live, table), name(plan.previous, table))).collect();
    for table in source.iter().filter(|table| **table != ticket.table()) {
        let mark = Mark::parse(table).map(|mark| mark.role);
        // The mark of an undone request must not get into the live schema.
        let to = if mark == Some(Role::Previous) { plan.previous } else { plan.live };
        moves.push((name(plan.source, table), name(to, table)));
    }
    let previous = Mark { role: Role::Previous, ..ticket.clone() };
    moves.push((name(plan.source, &ticket.table()), name(plan.previous, &previous.table())));
    let moves: Vec<String> = moves.into_iter().map(|(from, to)| format!("{from} TO {to}")).collect();
    format!("RENAME TABLE {}", moves.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i2_one_statement_moves_everything_and_the_marks_with_it() {
        let plan = RenamePlan { live: "a", source: "a`r", previous: "o" };
        let restored = Mark::new(Role::Restored, "01", 2);
        let ticket = Mark::new(Role::Ticket, "01", 1);
        let source = ["t".to_owned(), restored.table(), ticket.table()];
        assert_eq!(
            statement(&plan, &["t".to_owned(), "u".to_owned()], &source, &ticket),
            "RENAME TABLE `a`.`t` TO `o`.`t`, `a`.`u` TO `o`.`u`, `a``r`.`t` TO `a`.`t`, \
             `a``r`.`__sennight_restored_01_00000002` TO `a`.`__sennight_restored_01_00000002`, \
             `a``r`.`__sennight_ticket_01_00000001` TO `o`.`__sennight_kept_01_00000001`"
        );
    }

    #[test]
    fn i2_an_undo_takes_the_undone_requests_mark_out_of_the_way() {
        let plan = RenamePlan { live: "a", source: "k", previous: "o" };
        let undone = Mark::new(Role::Previous, "01", 1);
        let ticket = Mark::new(Role::Ticket, "02", 2);
        let text = statement(&plan, &[], &[undone.table(), ticket.table()], &ticket);
        let expected = "RENAME TABLE `k`.`__sennight_kept_01_00000001` TO `o`.`__sennight_kept_01_00000001`, \
                        `k`.`__sennight_ticket_02_00000002` TO `o`.`__sennight_kept_02_00000002`";
        assert_eq!(text, expected);
    }
}
