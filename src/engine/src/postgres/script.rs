//! Scans the SQL of a schema archive for what its table of contents does not show: tablespaces of single tables and indexes, and
//! objects that only a superuser may create.

use super::quoting::Quoting;
use std::collections::BTreeSet;

/// Needs of the SQL that the preflight checks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Needs {
    /// Tablespaces that tables, indexes or materialised views lie in, where that is not the database's own.
    pub tablespaces: BTreeSet<String>,
    /// Objects that only a superuser may create although their kind does not say so, each in words.
    pub superuser: Vec<String>,
    /// The same objects, as their entries in the table of contents begin.
    pub superuser_entries: BTreeSet<String>,
}

/// Line-by-line scanner of the SQL.
#[derive(Default)]
pub struct Script {
    /// Needs found so far.
    pub needs: Needs,
    /// The entry whose statement comes next.
    entry: Option<EntryHead>,
    /// What a tenant wrote may look like anything: only lines outside of it are read.
    quoting: Quoting,
}

/// What an entry is, as the comment before its statement says.
struct EntryHead {
    kind: String,
    schema: String,
    name: String,
}

impl Script {
    /// The next line.
    pub fn line(&mut self, line: &str) {
        let outside = self.quoting.is_outside();
        self.quoting.line(line);
        if outside {
            self.outside(line);
        }
    }

    fn outside(&mut self, line: &str) {
        if let Some(space) = line.strip_prefix("SET default_tablespace = ").and_then(|rest| rest.strip_suffix(';')) {
            // Empty quotes are the database's own.
            if space != "''" {
                self.needs.tablespaces.insert(unquoted(space));
            }
        } else if let Some(rest) = line.strip_prefix("-- Name: ") {
            self.entry = entry(rest);
        } else if let Some(head) = self.entry.take() {
            // Only the first match of an entry counts.
            match superusers(&head, line) {
                Found::NotYet => self.entry = Some(head),
                Found::Anybodys => {}
                Found::Superusers(words) => {
                    let EntryHead { kind, schema, name } = head;
                    self.needs.superuser.push(words);
                    self.needs.superuser_entries.insert(format!("{kind} {schema} {name} "));
                }
            }
        }
    }
}

/// What a line says of who may make an entry.
enum Found {
    NotYet,
    Anybodys,
    /// Why, in words.
    Superusers(String),
}

/// Whether only a superuser may make the entry that begins so.
fn superusers(EntryHead { kind, name, .. }: &EntryHead, line: &str) -> Found {
    let found = match kind.as_str() {
        "FUNCTION" | "PROCEDURE" => line.strip_prefix("    LANGUAGE ").map(|rest| {
            let mut words = rest.split(' ');
            let language = words.next().unwrap_or_default();
            if ["c", "internal"].contains(&language) {
                return Some(format!("{kind} {name} in {language}"));
            }
            words.any(|word| word == "LEAKPROOF").then(|| format!("{kind} {name} that is leakproof"))
        }),
        "PUBLICATION" => line.strip_prefix("CREATE PUBLICATION ").map(|rest| {
            let all = rest.contains(" FOR ALL TABLES");
            all.then(|| format!("{kind} {name} of all tables"))
        }),
        "CAST" => line.strip_prefix("CREATE CAST ").map(|rest| {
            let without = rest.contains(" WITHOUT FUNCTION");
            without.then(|| format!("{name} without a function"))
        }),
        // A base type, or one that is declared and nothing more: the others say AS what they are.
        "TYPE" => line.strip_prefix("CREATE TYPE ").map(|rest| {
            let base = (rest.ends_with(';') || rest.ends_with(" (")) && !rest.contains(" AS ");
            base.then(|| format!("TYPE {name} with functions of its own"))
        }),
        _ => return Found::Anybodys,
    };
    match found {
        None => Found::NotYet,
        Some(None) => Found::Anybodys,
        Some(Some(words)) => Found::Superusers(words),
    }
}

/// `f(integer); Type: FUNCTION; Schema: public; Owner: acme`
fn entry(rest: &str) -> Option<EntryHead> {
    let (name, rest) = rest.split_once("; Type: ")?;
    let (kind, rest) = rest.split_once("; Schema: ")?;
    let schema = rest.split("; Owner: ").next()?;
    Some(EntryHead { kind: kind.to_owned(), schema: schema.to_owned(), name: name.to_owned() })
}

fn unquoted(name: &str) -> String {
    match name.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(inner) => inner.replace("\"\"", "\""),
        None => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SQL: &str = "--
-- Name: fast(integer); Type: FUNCTION; Schema: public; Owner: acme
--

CREATE FUNCTION public.fast(integer) RETURNS integer
    LANGUAGE c IMMUTABLE STRICT
    AS 'fast', 'fast';


--
-- Name: slow(); Type: FUNCTION; Schema: public; Owner: acme
--

CREATE FUNCTION public.slow() RETURNS text
    LANGUAGE plpgsql
    AS $$BEGIN RETURN '
-- Name: slow(); Type: FUNCTION; Schema: public; Owner: acme
    LANGUAGE c
CREATE PUBLICATION p FOR ALL TABLES'; END$$;


SET default_tablespace = \"odd \"\"space\";

SET default_table_access_method = heap;

--
-- Name: t; Type: TABLE; Schema: public; Owner: acme
--

CREATE TABLE public.t (
    a integer
);


SET default_tablespace = '';

--
-- Name: some; Type: PUBLICATION; Schema: -; Owner: acme
--

CREATE PUBLICATION some WITH (publish = 'insert');


--
-- Name: every; Type: PUBLICATION; Schema: -; Owner: acme
--

CREATE PUBLICATION every FOR ALL TABLES WITH (publish = 'insert');


--
-- Name: pair; Type: TYPE; Schema: public; Owner: acme
--

CREATE TYPE public.pair AS (
	a integer
);


--
-- Name: label; Type: TYPE; Schema: public; Owner: acme
--

CREATE TYPE public.label (
    INTERNALLENGTH = variable,


--
-- Name: none; Type: TYPE; Schema: public; Owner: acme
--

CREATE TYPE public.\"none\";
";

    #[test]
    fn the_sql_tells_what_the_table_of_contents_does_not() {
        let mut script = Script::default();
        SQL.lines().for_each(|line| script.line(line));
        let expected = Needs {
            tablespaces: BTreeSet::from(["odd \"space".to_owned()]),
            superuser: vec![
                "FUNCTION fast(integer) in c".to_owned(),
                "PUBLICATION every of all tables".to_owned(),
                "TYPE label with functions of its own".to_owned(),
                "TYPE none with functions of its own".to_owned(),
            ],
            superuser_entries: BTreeSet::from([
                "FUNCTION public fast(integer) ".to_owned(),
                "PUBLICATION - every ".to_owned(),
                "TYPE public label ".to_owned(),
                "TYPE public none ".to_owned(),
            ]),
        };
        assert_eq!(script.needs, expected);
    }
}
