//! Sorts views so that each comes after those that it reads. Pure.

use super::Object;
use crate::mysql::ident;

/// Sorts views so that each comes after those that its text names. A name may also be a column's, so there may seem to be a
/// cycle: the remaining views then keep their order, and a load retries them.
pub fn sort_views(mut left: Vec<Object>) -> Vec<Object> {
    let mut sorted: Vec<Object> = Vec::with_capacity(left.len());
    while !left.is_empty() {
        let names: Vec<String> = left.iter().map(|view| ident(&view.name)).collect();
        let waits = |at: usize| names.iter().enumerate().any(|(other, name)| other != at && names_it(&left[at], name));
        let ready: Vec<bool> = (0..left.len()).map(|at| !waits(at)).collect();
        if !ready.contains(&true) {
            sorted.append(&mut left);
            break;
        }
        let mut ready = ready.into_iter();
        let (now, later) = left.into_iter().partition(|_| ready.next().unwrap_or(false));
        sorted.extend::<Vec<Object>>(now);
        left = later;
    }
    sorted
}

fn names_it(view: &Object, quoted: &str) -> bool {
    let body = view.text.find(" AS ").map_or(view.text.as_str(), |at| &view.text[at..]);
    body.contains(quoted)
}

#[cfg(test)]
mod tests {
    use super::super::ObjectKind;
    use super::*;

    fn view(name: &str, body: &str) -> Object {
        let text = format!("CREATE VIEW {} AS {body}", ident(name));
        Object { kind: ObjectKind::View, name: name.into(), definer: None, settings: None, text }
    }

    #[test]
    fn a_view_comes_after_those_that_it_reads() {
        let views = vec![
            view("a", "select `c`.`x` from `c` join `b`"),
            view("b", "select 1 from `c`"),
            view("c", "select `t`.`x` from `t`"),
            view("p", "select `q`.`x` AS `p` from `q`"),
            view("q", "select `t`.`x` AS `p` from `t`"),
        ];
        let names: Vec<String> = sort_views(views).into_iter().map(|v| v.name).collect();
        assert_eq!(names, ["c", "b", "a", "p", "q"], "p and q seem to need each other: their order stays");
    }
}
