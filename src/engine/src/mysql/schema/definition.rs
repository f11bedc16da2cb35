//! Parses and edits SHOW CREATE's text: definers, trigger bodies, event states, names of the own database. Pure.

use crate::mysql::ident;

/// Splits `DEFINER=…` off a definition: the statement without it, and the account as `user@host`.
pub fn strip_definer(text: &str) -> (String, Option<String>) {
    const CLAUSE: &str = "DEFINER=";
    // It stands before the object's name, so the first one outside of quotes is it.
    let head = text.find(['`', '"', '\'', '(']).unwrap_or(text.len());
    let Some(at) = text[..head].find(CLAUSE) else { return (text.to_owned(), None) };
    let mut rest = &text[at + CLAUSE.len()..];
    let Some((user, after)) = name(rest) else { return (text.to_owned(), None) };
    rest = after;
    let mut account = user;
    if let Some((host, after)) = rest.strip_prefix('@').and_then(name) {
        account = format!("{account}@{host}");
        rest = after;
    }
    (format!("{}{}", &text[..at], rest.trim_start()), Some(account))
}

/// A definition with DEFINER: the inverse of [`strip_definer`]. Without a host it is a role's name. Who
/// alters an event becomes its definer, if he does not say otherwise.
pub fn with_definer(text: &str, definer: &str) -> String {
    let (user, host) = definer.rsplit_once('@').map_or((definer, None), |(user, host)| (user, Some(host)));
    let account = match host.filter(|host| !host.is_empty()) {
        Some(host) => format!("{}@{}", ident(user), ident(host)),
        None => ident(user),
    };
    if let Some(event) = text.strip_prefix("ALTER EVENT ") {
        return format!("ALTER DEFINER={account} EVENT {event}");
    }
    let Some(rest) = text.strip_prefix("CREATE ") else { return text.to_owned() };
    // Of a view, the algorithm comes first.
    let algorithm =
        rest.strip_prefix("ALGORITHM=").and_then(|r| r.find(' ')).map_or(0, |at| "ALGORITHM=".len() + at + 1);
    format!("CREATE {}DEFINER={account} {}", &rest[..algorithm], &rest[algorithm..])
}

/// A name at the beginning of `text`, quoted or not, and what follows.
fn name(text: &str) -> Option<(String, &str)> {
    let quote = text.chars().next()?;
    if !matches!(quote, '`' | '"' | '\'') {
        let end = text
            .find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '$') || !c.is_ascii()))
            .unwrap_or(text.len());
        return (end > 0).then(|| (text[..end].to_owned(), &text[end..]));
    }
    let mut found = String::new();
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if c != quote {
            found.push(c);
        } else if chars.next_if(|(_, next)| *next == quote).is_some() {
            found.push(quote);
        } else {
            return Some((found, &text[at + 1..]));
        }
    }
    None
}

/// White space and comments at the beginning, gone. A comment that a server executes (`/*!…`) is none.
fn blank(mut text: &str) -> &str {
    loop {
        text = text.trim_start();
        let end = if text.starts_with("/*") && !text.starts_with("/*!") && !text.starts_with("/*M!") {
            text.find("*/").map(|at| at + 2)
        } else if text.starts_with('#') || text.starts_with("-- ") || text.starts_with("--\n") {
            Some(text.find('\n').map_or(text.len(), |at| at + 1))
        } else {
            None
        };
        let Some(end) = end else { return text };
        text = &text[end..];
    }
}

fn word<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let text = blank(text);
    let head = text.get(..word.len())?;
    let ends = text[word.len()..].chars().next().is_none_or(|c| !(c.is_alphanumeric() || c == '_'));
    (head.eq_ignore_ascii_case(word) && ends).then(|| &text[word.len()..])
}

fn words<'a>(text: &'a str, all: &[&str]) -> Option<&'a str> {
    all.iter().try_fold(text, |rest, next| word(rest, next))
}

/// A name, or `schema.name`.
fn qualified(text: &str) -> Option<&str> {
    let (_, rest) = name(blank(text))?;
    match blank(rest).strip_prefix('.') {
        Some(second) => name(blank(second)).map(|(_, rest)| rest),
        None => Some(rest),
    }
}

/// The body of a trigger out of `CREATE TRIGGER …` (without DEFINER), as it was written: the name and the table before it may be
/// qualified by the database's name, which is another one in a restore.
pub fn body_of_trigger(text: &str) -> Option<&str> {
    let mut rest = word(text, "CREATE")?;
    rest = words(rest, &["OR", "REPLACE"]).unwrap_or(rest);
    rest = word(rest, "TRIGGER")?;
    rest = words(rest, &["IF", "NOT", "EXISTS"]).unwrap_or(rest);
    rest = qualified(rest)?;
    rest = word(rest, "BEFORE").or_else(|| word(rest, "AFTER"))?;
    rest = ["INSERT", "UPDATE", "DELETE"].iter().find_map(|event| word(rest, event))?;
    rest = qualified(word(rest, "ON")?)?;
    rest = words(rest, &["FOR", "EACH", "ROW"])?;
    // Left out: triggers are created in the order in which they fire.
    if let Some(other) = word(rest, "FOLLOWS").or_else(|| word(rest, "PRECEDES")) {
        rest = qualified(other)?;
    }
    Some(rest.trim_start())
}

/// A table's definition without how far its AUTO_INCREMENT has counted.
pub fn without_auto_increment(text: &str) -> String {
    // An option after the columns; in a string or a comment it would stand on a line that begins otherwise.
    let Some(options) = text.rfind("\n) ") else { return text.to_owned() };
    let (columns, options) = text.split_at(options);
    let Some(at) = options.find(" AUTO_INCREMENT=") else { return text.to_owned() };
    let (before, after) = options.split_at(at);
    let after = after[" AUTO_INCREMENT=".len()..].trim_start_matches(|c: char| c.is_ascii_digit());
    format!("{columns}{before}{after}")
}

/// A table's or view's definition (MariaDB) whose sequences are those of the database that it is made in: the server prints them
/// with the database's name, and a backup that is loaded under another one would draw its numbers from the first.
pub fn own_sequences(text: &str, database: &str) -> String {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    let calls = ["nextval", "lastval"].map(|call| (format!("{call}({}.", ident(database)), format!("{call}(")));
    // Pieces between quotes are texts: there nothing is changed.
    let mut inside = false;
    while !rest.is_empty() {
        let end = rest.find('\'').map_or(rest.len(), |at| at + 1);
        let (piece, after) = rest.split_at(end);
        let mut piece = piece.to_owned();
        if !inside {
            for (qualified, plain) in &calls {
                piece = piece.replace(qualified.as_str(), plain);
            }
        }
        // A quote that is escaped ends no text; a doubled one ends it and begins the next.
        let escaped = inside && piece.trim_end_matches('\'').bytes().rev().take_while(|b| *b == b'\\').count() % 2 == 1;
        inside = if piece.ends_with('\'') { inside == escaped } else { inside };
        out.push_str(&piece);
        rest = after;
    }
    out
}

/// A view's definition whose columns are those of the tables beside it. Where a view cannot be read, because whom it runs as has no
/// rights on a database that waits or was put aside, the server prints its columns with the database's name, as it also does
/// for views that read other databases, and the tables without: under another name that would be nobody's column.
pub fn own_columns(text: &str, database: &str) -> String {
    let (own, mut out, mut rest) = (ident(database), String::with_capacity(text.len()), text);
    while let Some(at) = rest.find(['\'', '`']) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        if rest.starts_with('\'') {
            let (string, after) = rest.split_at(string_end(rest));
            out.push_str(string);
            rest = after;
            continue;
        }
        let (parts, after) = dotted(rest);
        // Three names are database, table, column; of two, the first may be a table that is called like the database.
        let qualified = parts.len() == 3 && parts[0] == own;
        out.push_str(&parts[usize::from(qualified)..].join("."));
        rest = after;
    }
    out + rest
}

/// Quoted names with dots between them at the beginning of `text`, as they are written, and what follows.
fn dotted(text: &str) -> (Vec<&str>, &str) {
    let (mut parts, mut rest) = (Vec::new(), text);
    loop {
        let Some((_, after)) = name(rest) else { return ([parts, vec![rest]].concat(), "") };
        parts.push(&rest[..rest.len() - after.len()]);
        match after.strip_prefix('.').filter(|next| next.starts_with('`')) {
            Some(next) => rest = next,
            None => return (parts, after),
        }
    }
}

/// Where the string that `text` begins with ends.
fn string_end(text: &str) -> usize {
    let mut bytes = text.bytes().enumerate().skip(1).peekable();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'\\' => {
                bytes.next();
            }
            b'\'' if bytes.next_if(|(_, next)| *next == b'\'').is_none() => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// An event's definition switched off, and the word that switches it on again: `None` if it was off.
pub fn disable_event(text: &str) -> Option<(String, Option<&'static str>)> {
    let rest = word(word(text, "CREATE")?, "EVENT")?;
    let schedule = qualified(rest)?;
    let from = text.len() - schedule.len();
    let (at, found) = ["ON COMPLETION NOT PRESERVE ", "ON COMPLETION PRESERVE "]
        .iter()
        .filter_map(|words| schedule.find(words).map(|at| (from + at + words.len(), words)))
        .min_by_key(|(at, _)| *at)
        .map(|(at, _)| (at, &text[at..]))?;
    // The longer ones first.
    for (state, back) in [
        ("DISABLE ON SLAVE", Some("DISABLE ON SLAVE")),
        ("DISABLE ON REPLICA", Some("DISABLE ON REPLICA")),
        ("DISABLE", None),
        ("ENABLE", Some("ENABLE")),
    ] {
        if let Some(after) = found.strip_prefix(state) {
            return Some((format!("{}DISABLE{after}", &text[..at]), back));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_of_the_own_database_lose_its_name_and_nothing_else_does() {
        for (text, own) in [
            (
                r"VIEW `v` AS select `d`.`t`.`c` AS `c`,'it\'s `d`.`t`.`c`' AS `l` from `t` group by `d`.`t`.`c`",
                r"VIEW `v` AS select `t`.`c` AS `c`,'it\'s `d`.`t`.`c`' AS `l` from `t` group by `t`.`c`",
            ),
            ("select `d`.`f`(`d`.`c`) from `t` `d`", "select `d`.`f`(`d`.`c`) from `t` `d`"),
            ("select `e`.`t`.`c`,'it''s',`d`.`t```.`c`", "select `e`.`t`.`c`,'it''s',`t```.`c`"),
            ("select `d`.`d`.`d` from `d`", "select `d`.`d` from `d`"),
            ("a string 'without end `d`.`t`.`c`", "a string 'without end `d`.`t`.`c`"),
            ("a name `without end", "a name `without end"),
        ] {
            assert_eq!(own_columns(text, "d"), own);
        }
    }

    #[test]
    fn the_definer_is_taken_off_and_told() {
        for (text, without, definer) in [
            ("CREATE DEFINER=`a``b`@`%` TRIGGER `t` BEFORE", "CREATE TRIGGER `t` BEFORE", Some("a`b@%")),
            (
                "CREATE ALGORITHM=UNDEFINED DEFINER=`root`@`127.0.0.1` SQL SECURITY DEFINER VIEW `v` AS select 1",
                "CREATE ALGORITHM=UNDEFINED SQL SECURITY DEFINER VIEW `v` AS select 1",
                Some("root@127.0.0.1"),
            ),
            ("CREATE DEFINER=\"root\"@\"h\" PACKAGE \"p\" AS", "CREATE PACKAGE \"p\" AS", Some("root@h")),
            ("CREATE DEFINER=`r` PROCEDURE `p`()", "CREATE PROCEDURE `p`()", Some("r")),
            (
                "CREATE VIEW `DEFINER=` AS select 'DEFINER=`x`@`y`'",
                "CREATE VIEW `DEFINER=` AS select 'DEFINER=`x`@`y`'",
                None,
            ),
        ] {
            assert_eq!(strip_definer(text), (without.to_owned(), definer.map(ToOwned::to_owned)));
            if let Some(definer) = definer {
                assert_eq!(with_definer(without, definer), text.replace("\"root\"@\"h\"", "`root`@`h`"));
            }
        }
    }

    #[test]
    fn a_triggers_body_is_found_behind_whatever_was_written_before_it() {
        for text in [
            "CREATE TRIGGER `t` BEFORE INSERT ON `a` FOR EACH ROW set new.x = 1",
            "CREATE TRIGGER t before insert on a for each row\n  set new.x = 1",
            "CREATE TRIGGER IF NOT EXISTS db.`t for each row` /* on b */ AFTER DELETE ON `my db`.`a`\n-- why\nFOR EACH ROW FOLLOWS `x` set new.x = 1",
        ] {
            assert_eq!(body_of_trigger(text), Some("set new.x = 1"), "{text}");
        }
        assert_eq!(body_of_trigger("CREATE VIEW v AS SELECT 1"), None);
    }

    #[test]
    fn sequences_are_those_of_the_database_that_a_table_is_made_in() {
        let text = |name: &str| {
            format!(
                "CREATE TABLE `t` (\n `a` int DEFAULT nextval({name}`s`) COMMENT 'it''s \\' nextval(`d`.`s`)',\n `b` int DEFAULT lastval({name}`s`)"
            )
        };
        assert_eq!(own_sequences(&text("`d`."), "d"), text(""));
        assert_eq!(own_sequences(&text("`other`."), "d"), text("`other`."));
    }

    #[test]
    fn counters_are_no_difference() {
        let table = "CREATE TABLE `t` (\n  `c` int COMMENT ' AUTO_INCREMENT=5'\n) ENGINE=InnoDB AUTO_INCREMENT=12 DEFAULT CHARSET=utf8mb4";
        assert_eq!(
            without_auto_increment(table),
            "CREATE TABLE `t` (\n  `c` int COMMENT ' AUTO_INCREMENT=5'\n) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4"
        );
    }

    #[test]
    fn events_are_switched_off_and_the_way_back_is_kept() {
        let event = |state: &str| {
            format!(
                "CREATE EVENT `ON COMPLETION PRESERVE x` ON SCHEDULE EVERY 1 DAY ON COMPLETION NOT PRESERVE {state} COMMENT 'ENABLE' DO set @a=1"
            )
        };
        for (state, back) in
            [("ENABLE", Some("ENABLE")), ("DISABLE", None), ("DISABLE ON SLAVE", Some("DISABLE ON SLAVE"))]
        {
            assert_eq!(disable_event(&event(state)), Some((event("DISABLE"), back)));
        }
    }
}
