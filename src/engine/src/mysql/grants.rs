//! Parses `SHOW GRANTS` and finds out which rights on a database follow from it. Pure.

/// One line of the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    /// False for MySQL's partial revokes.
    gives: bool,
    rights: Vec<String>,
    on: On,
    to_role: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum On {
    Everything,
    /// A name, or a pattern of names.
    Database(String),
    Table(String, String),
}

/// How a server compares a database's name with what a grant says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    /// False where MySQL's `partial_revokes` is on: `%` and `_` are letters then.
    pub patterns: bool,
    /// `lower_case_table_names` is not 0.
    pub folds: bool,
}

/// The grants of an account and of the roles that are active in its session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grants {
    lines: Vec<Line>,
    names: Names,
}

impl Grants {
    /// Reads the server's answer. Lines about other things (roles, proxies, routines, columns) give nothing here.
    pub fn parse(lines: &[String], names: Names) -> Self {
        Self { lines: lines.iter().filter_map(|line| parsed(line)).collect(), names }
    }

    /// A right on everything that no restriction takes from this database.
    pub fn everywhere(&self, right: &str, database: &str) -> bool {
        let given = self.lines.iter().any(|l| l.gives && l.on == On::Everything && l.has(right));
        given && !self.is_revoked(right, database)
    }

    /// Whether a partial revoke takes the right from this database.
    pub fn is_revoked(&self, right: &str, database: &str) -> bool {
        let here = |on: &On| matches!(on, On::Database(name) if self.is(name, database));
        self.lines.iter().any(|l| !l.gives && here(&l.on) && l.has(right))
    }

    /// A right on all of a database. Of several grants whose patterns match, the server looks at one only: at the database's own,
    /// else at the one that it takes for the most exact. So where there is no grant on the very name, all that match must give it.
    pub fn on_database(&self, right: &str, database: &str) -> bool {
        let by = |roles: bool| {
            let of = |line: &&Line| line.gives && line.to_role == roles;
            let exact: Vec<&Line> = self.lines.iter().filter(of).filter(|l| self.names_it(l, database)).collect();
            if !exact.is_empty() {
                return exact.iter().any(|line| line.has(right));
            }
            let mut near = self.lines.iter().filter(of).filter(|l| self.matches(l, database)).peekable();
            near.peek().is_some() && near.all(|line| line.has(right))
        };
        self.everywhere(right, database) || by(false) || by(true)
    }

    /// A right on a table itself.
    pub fn on_table(&self, right: &str, database: &str, table: &str) -> bool {
        let it = |on: &On| matches!(on, On::Table(db, name) if self.is(db, database) && self.is(name, table));
        self.lines.iter().any(|l| l.gives && it(&l.on) && l.has(right))
    }

    /// How many grants are about this database, by its name or by a pattern.
    pub fn about(&self, database: &str) -> usize {
        self.lines.iter().filter(|l| l.gives && (self.names_it(l, database) || self.matches(l, database))).count()
    }

    fn names_it(&self, line: &Line, database: &str) -> bool {
        let On::Database(pattern) = &line.on else { return false };
        // Where nothing is a pattern nothing escapes one either: `t\_x` is then another database's name.
        if !self.names.patterns {
            return self.is(pattern, database);
        }
        self.is(&plain(pattern), database) && !is_pattern(pattern)
    }

    fn matches(&self, line: &Line, database: &str) -> bool {
        let On::Database(pattern) = &line.on else { return false };
        let fold = |text: &str| -> Vec<char> {
            if self.names.folds { text.to_lowercase().chars().collect() } else { text.chars().collect() }
        };
        self.names.patterns && like(&fold(pattern), &fold(database))
    }

    fn is(&self, name: &str, other: &str) -> bool {
        name == other || (self.names.folds && name.to_lowercase() == other.to_lowercase())
    }
}

impl Line {
    fn has(&self, right: &str) -> bool {
        self.rights.iter().any(|held| held == right || held == "ALL PRIVILEGES")
    }
}

fn parsed(line: &str) -> Option<Line> {
    let (gives, rest) = match line.strip_prefix("GRANT ") {
        Some(rest) => (true, rest),
        None => (false, line.strip_prefix("REVOKE ")?),
    };
    let (rights, rest) = rights(rest)?;
    let (on, rest) = object(rest)?;
    let rest = rest.strip_prefix(if gives { " TO " } else { " FROM " })?;
    let (_, rest) = name(rest)?;
    Some(Line { gives, rights, on, to_role: !rest.starts_with('@') })
}

/// The list before ` ON `, without rights on single columns. A role's name is none: `GRANT`, then a quoted name.
fn rights(text: &str) -> Option<(Vec<String>, &str)> {
    let (mut rights, mut right, mut depth, mut quoted) = (Vec::new(), String::new(), 0, false);
    for (at, c) in text.char_indices() {
        match c {
            '`' => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => depth -= 1,
            _ => {}
        }
        if quoted || depth > 0 {
            right.push(c);
        } else if text[at..].starts_with(" ON ") {
            rights.push(right);
            let whole = |right: String| Some(right.trim().to_owned()).filter(|right| !right.contains(['(', '`']));
            return Some((rights.into_iter().filter_map(whole).collect(), &text[at + " ON ".len()..]));
        } else if c == ',' {
            rights.push(std::mem::take(&mut right));
        } else {
            right.push(c);
        }
    }
    None
}

fn object(text: &str) -> Option<(On, &str)> {
    if let Some(rest) = text.strip_prefix("*.*") {
        return Some((On::Everything, rest));
    }
    let (database, rest) = name(text)?;
    let rest = rest.strip_prefix('.')?;
    if let Some(rest) = rest.strip_prefix('*') {
        return Some((On::Database(database), rest));
    }
    let (table, rest) = name(rest)?;
    Some((On::Table(database, table), rest))
}

/// A name in backticks.
fn name(text: &str) -> Option<(String, &str)> {
    let (mut name, mut rest) = (String::new(), text.strip_prefix('`')?);
    loop {
        let end = rest.find('`')?;
        name.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('`') {
            Some(more) => {
                name.push('`');
                rest = more;
            }
            None => return Some((name, rest)),
        }
    }
}

/// A pattern's letters without what escapes them.
fn plain(pattern: &str) -> String {
    let mut letters = pattern.chars();
    let mut text = String::new();
    while let Some(c) = letters.next() {
        text.push(if c == '\\' { letters.next().unwrap_or(c) } else { c });
    }
    text
}

fn is_pattern(pattern: &str) -> bool {
    let mut letters = pattern.chars();
    while let Some(c) = letters.next() {
        match c {
            '\\' => drop(letters.next()),
            '%' | '_' => return true,
            _ => {}
        }
    }
    false
}

fn like(pattern: &[char], text: &[char]) -> bool {
    match pattern {
        [] => text.is_empty(),
        ['%', rest @ ..] => (0..=text.len()).any(|at| like(rest, &text[at..])),
        ['_', rest @ ..] => !text.is_empty() && like(rest, &text[1..]),
        ['\\', c, rest @ ..] | [c, rest @ ..] => text.first() == Some(c) && like(rest, &text[1..]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grants(patterns: bool, lines: &[&str]) -> Grants {
        let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        Grants::parse(&lines, Names { patterns, folds: false })
    }

    #[test]
    fn each_line_gives_what_it_says_and_no_more() {
        let all = grants(
            true,
            &[
                "GRANT `r` TO `u`@`%`",
                "GRANT USAGE ON *.* TO `u`@`%` IDENTIFIED BY PASSWORD '*0' REQUIRE SSL WITH GRANT OPTION",
                "GRANT SHOW_ROUTINE,XA_RECOVER_ADMIN ON *.* TO `u`@`%`",
                "GRANT SELECT, SHOW VIEW, UPDATE (`a`, ` ON ```) ON `t\\_a``b`.* TO `u`@`%` WITH GRANT OPTION",
                "GRANT SELECT (`x`) ON `mysql`.`proc` TO `u`@`%`",
                "GRANT EXECUTE ON PROCEDURE `t_a`.`p` TO `u`@`%`",
                "GRANT PROXY ON ``@`%` TO `u`@`%` WITH GRANT OPTION",
                "GRANT ALL PRIVILEGES ON `own`.* TO `r`",
                "SET DEFAULT ROLE `r` FOR `u`@`%`",
                "anything else",
            ],
        );
        assert!(all.everywhere("SHOW_ROUTINE", "x") && all.everywhere("XA_RECOVER_ADMIN", "x"));
        assert!(all.on_database("SHOW VIEW", "t_a`b") && !all.on_database("SHOW VIEW", "tXa`b"));
        assert!(!all.on_database("UPDATE", "t_a`b") && !all.on_table("SELECT", "mysql", "proc"));
        assert!(all.on_database("TRIGGER", "own"));
        assert_eq!(all.about("t_a"), 0);
        let proc = grants(true, &["GRANT SELECT ON `mysql`.`proc` TO `u`@`%`"]);
        assert!(proc.on_table("SELECT", "mysql", "proc") && !proc.on_database("SELECT", "mysql"));
    }

    #[test]
    fn of_several_patterns_the_server_looks_at_one() {
        let exact = "GRANT SELECT ON `t\\_x`.* TO `u`@`%`";
        let near = "GRANT SELECT, TRIGGER ON `t%`.* TO `u`@`%`";
        let far = "GRANT TRIGGER ON `%x`.* TO `u`@`%`";
        let sees = |lines: &[&str], right| grants(true, lines).on_database(right, "t_x");
        assert!(sees(&[exact, near], "SELECT") && !sees(&[exact, near], "TRIGGER"), "the exact one decides");
        assert!(sees(&[near], "TRIGGER") && sees(&[near, far], "TRIGGER") && !sees(&[near, far], "SELECT"));
        assert!(!sees(&["GRANT SELECT ON `t_y`.* TO `u`@`%`"], "SELECT"));
        assert!(sees(&[exact, "GRANT TRIGGER ON `t\\_x`.* TO `role`"], "TRIGGER"), "a role's come on top");
        assert!(!grants(false, &[near]).on_database("SELECT", "t_x"), "no patterns with partial revokes");
        assert!(!grants(false, &[exact]).on_database("SELECT", "t_x"), "nor what escapes them");
        assert!(grants(false, &["GRANT SELECT ON `t_x`.* TO `u`@`%`"]).on_database("SELECT", "t_x"));
    }

    #[test]
    fn a_partial_revoke_takes_from_everything_and_from_nothing_else() {
        let lines = ["GRANT TRIGGER, EVENT ON *.* TO `u`@`%`", "REVOKE TRIGGER ON `t_x`.* FROM `u`@`%`"];
        let some = grants(false, &lines);
        assert!(!some.on_database("TRIGGER", "t_x") && some.on_database("TRIGGER", "t_y"));
        assert!(some.on_database("EVENT", "t_x") && some.is_revoked("TRIGGER", "t_x"));
        let back = grants(false, &[lines[0], lines[1], "GRANT TRIGGER ON `t_x`.* TO `u`@`%`"]);
        assert!(back.on_database("TRIGGER", "t_x"));
        let folded = Grants { names: Names { patterns: false, folds: true }, ..some };
        assert!(!folded.on_database("TRIGGER", "T_X"));
    }
}
