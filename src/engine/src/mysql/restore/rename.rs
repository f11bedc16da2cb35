//! The one statement that swaps. Pure. It moves every table of both schemas and our own tables among them: it can only be
//! carried out as a whole, once, and only over the very schemas that it names the marks of.

use super::marks::{Mark, Role};
use crate::mysql::ident;

/// What changes places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenamePlan<'a> {
    /// The live schema's name.
    pub live: &'a str,
    /// What becomes the live one.
    pub source: &'a str,
    /// Where the old one goes.
    pub previous: &'a str,
}

/// The statement. `ticket` is in `source`, and becomes the mark of the kept schema.
pub fn statement(places: &RenamePlan<'_>, live: &[String], source: &[String], ticket: &Mark) -> String {
    let name = |schema: &str, table: &str| format!("{}.{}", ident(schema), ident(table));
    let mut moves: Vec<(String, String)> =
        live.iter().map(|table| (name(places.live, table), name(places.previous, table))).collect();
    for table in source.iter().filter(|table| **table != ticket.table()) {
        let mark = Mark::parse(table).map(|mark| mark.role);
        // An undone request's mark has no place in a live schema.
        let to = if mark == Some(Role::Previous) { places.previous } else { places.live };
        moves.push((name(places.source, table), name(to, table)));
    }
    let kept = Mark { role: Role::Previous, ..ticket.clone() };
    moves.push((name(places.source, &ticket.table()), name(places.previous, &kept.table())));
    let moves: Vec<String> = moves.into_iter().map(|(from, to)| format!("{from} TO {to}")).collect();
    format!("RENAME TABLE {}", moves.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i2_one_statement_moves_everything_and_the_marks_with_it() {
        let places = RenamePlan { live: "a", source: "a`r", previous: "o" };
        let restored = Mark::new(Role::Restored, "01", 2);
        let ticket = Mark::new(Role::Ticket, "01", 1);
        let source = ["t".to_owned(), restored.table(), ticket.table()];
        assert_eq!(
            statement(&places, &["t".to_owned(), "u".to_owned()], &source, &ticket),
            "RENAME TABLE `a`.`t` TO `o`.`t`, `a`.`u` TO `o`.`u`, `a``r`.`t` TO `a`.`t`, \
             `a``r`.`__sennight_restored_01_00000002` TO `a`.`__sennight_restored_01_00000002`, \
             `a``r`.`__sennight_ticket_01_00000001` TO `o`.`__sennight_kept_01_00000001`"
        );
    }

    #[test]
    fn i2_an_undo_takes_the_undone_requests_mark_out_of_the_way() {
        let places = RenamePlan { live: "a", source: "k", previous: "o" };
        let undone = Mark::new(Role::Previous, "01", 1);
        let ticket = Mark::new(Role::Ticket, "02", 2);
        let text = statement(&places, &[], &[undone.table(), ticket.table()], &ticket);
        let expected = "RENAME TABLE `k`.`__sennight_kept_01_00000001` TO `o`.`__sennight_kept_01_00000001`, \
                        `k`.`__sennight_ticket_02_00000002` TO `o`.`__sennight_kept_02_00000002`";
        assert_eq!(text, expected);
    }
}
