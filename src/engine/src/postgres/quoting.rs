//! Tells, line by line, whether SQL text is inside of a string, a quoted name or a comment at the beginning of a line: what stands
//! there is a tenant's words, whatever it looks like.

/// Where the text is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
enum Inside {
    #[default]
    Nothing,
    /// `'…'`; with backslashes where an E stands before it.
    Text { escapes: bool },
    /// `"…"`
    Name,
    /// `$tag$…$tag$`; the whole delimiter.
    Dollars(String),
    /// `/* … */`, so deep.
    Comment(usize),
}

/// Reads text as the server's lexer does, with `standard_conforming_strings` on, which archives set.
#[derive(Debug, Default)]
pub struct Quoting {
    inside: Inside,
}

impl Quoting {
    /// Whether the next line begins outside of everything.
    pub fn is_outside(&self) -> bool {
        self.inside == Inside::Nothing
    }

    /// Reads a line, without its end.
    pub fn line(&mut self, line: &str) {
        let mut rest = line;
        // What stood before the current place: a letter there makes no new word.
        let mut before = ' ';
        while let Some(c) = rest.chars().next() {
            let length = self.step(rest, before);
            before = if length > c.len_utf8() { ' ' } else { c };
            rest = rest.get(length..).unwrap_or_default();
            if length == 0 {
                return;
            }
        }
    }

    /// Reads what comes next, and returns how many bytes it is; 0 ends the line.
    fn step(&mut self, rest: &str, before: char) -> usize {
        let first = rest.chars().next().map_or(0, char::len_utf8);
        match &mut self.inside {
            Inside::Nothing => return self.outside(rest, before),
            Inside::Text { escapes: true } if rest.starts_with('\\') => {
                return first + rest[first..].chars().next().map_or(0, char::len_utf8);
            }
            // A doubled quote ends the text and begins it again: without its E, so that is kept.
            Inside::Text { .. } if rest.starts_with("''") => return 2,
            Inside::Text { .. } if rest.starts_with('\'') => self.inside = Inside::Nothing,
            Inside::Name if rest.starts_with('"') => self.inside = Inside::Nothing,
            Inside::Dollars(tag) if rest.starts_with(tag.as_str()) => {
                let length = tag.len();
                self.inside = Inside::Nothing;
                return length;
            }
            Inside::Comment(depth) if rest.starts_with("*/") => {
                *depth -= 1;
                if *depth == 0 {
                    self.inside = Inside::Nothing;
                }
                return 2;
            }
            Inside::Comment(depth) if rest.starts_with("/*") => {
                *depth += 1;
                return 2;
            }
            _ => {}
        }
        first
    }

    fn outside(&mut self, rest: &str, before: char) -> usize {
        let word = before.is_alphanumeric() || before == '_' || before == '$';
        if rest.starts_with("--") {
            return 0;
        }
        if rest.starts_with("/*") {
            self.inside = Inside::Comment(1);
            return 2;
        }
        if !word && (rest.starts_with("E'") || rest.starts_with("e'")) {
            self.inside = Inside::Text { escapes: true };
            return 2;
        }
        if rest.starts_with('\'') {
            self.inside = Inside::Text { escapes: false };
        } else if rest.starts_with('"') {
            self.inside = Inside::Name;
        } else if let Some(tag) = dollars(rest).filter(|_| !word) {
            let length = tag.len();
            self.inside = Inside::Dollars(tag);
            return length;
        }
        rest.chars().next().map_or(0, char::len_utf8)
    }
}

/// `$$` or `$tag$` at the beginning of the text.
fn dollars(rest: &str) -> Option<String> {
    let (tag, _) = rest.strip_prefix('$')?.split_once('$')?;
    let fine = tag.chars().all(|c| c.is_alphanumeric() || c == '_') && !tag.starts_with(|c: char| c.is_ascii_digit());
    fine.then(|| format!("${tag}$"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outside_after(text: &str) -> bool {
        let mut quoting = Quoting::default();
        text.split('\n').for_each(|line| quoting.line(line));
        quoting.is_outside()
    }

    #[test]
    fn what_is_quoted_over_a_line_end_is_inside() {
        for inside in [
            "'a",
            "E'a\\'",
            "\"a",
            "$$ a",
            "$x$ a $$",
            "/* a",
            "/* /* a */",
            "a 'b''",
            "E'\\\\\\'",
            "SELECT e'it''s",
            "CREATE FUNCTION f() AS $_$ SELECT $1 $$",
        ] {
            assert!(!outside_after(inside), "{inside}");
        }
        for outside in [
            "'a'",
            "'a\\'",
            "E'a\\''",
            "\"a\"\"b\"",
            "$$ ' $$",
            "$x$ $$ ' $x$",
            "/* ' /* */ */",
            "-- it's",
            "a$$b",
            "$1 + $2",
            "'it''s'",
            "nee'x'",
            "/* a */ -- '",
        ] {
            assert!(outside_after(outside), "{outside}");
        }
    }
}
