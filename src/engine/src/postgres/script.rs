//! Scans the SQL of a schema archive for what its table of contents does not show: tablespaces of single tables and indexes, and
//! objects that only a superuser may create.

use std::collections::BTreeSet;

/// Needs of the SQL that the preflight checks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Needs {
    /// Tablespaces that tables, indexes or materialised views lie in, where that is not the database's own.
    pub tablespaces: BTreeSet<String>,
    /// Objects that only a superuser may create, each in words.
    pub superuser: Vec<String>,
}

/// Line-by-line scanner of the SQL.
#[derive(Default)]
pub struct Script {
    /// Needs found so far.
    pub needs: Needs,
    /// Kind and name of the entry whose statement comes next.
    entry: Option<(String, String)>,
}

impl Script {
    /// The next line.
    pub fn line(&mut self, line: &str) {
        if let Some(space) = line.strip_prefix("SET default_tablespace = ").and_then(|rest| rest.strip_suffix(';')) {
            // Empty quotes are the database's own.
            if space != "''" {
                self.needs.tablespaces.insert(unquoted(space));
            }
        } else if let Some(rest) = line.strip_prefix("-- Name: ") {
            self.entry = entry(rest);
        } else if let Some((kind, name)) = &self.entry {
            let found = match kind.as_str() {
                "FUNCTION" | "PROCEDURE" => line.strip_prefix("    LANGUAGE ").map(|rest| {
                    let language = rest.split(' ').next().unwrap_or_default();
                    ["c", "internal"].contains(&language).then(|| format!("{kind} {name} in {language}"))
                }),
                "PUBLICATION" => line.strip_prefix("CREATE PUBLICATION ").map(|rest| {
                    let all = rest.contains(" FOR ALL TABLES");
                    all.then(|| format!("{kind} {name} of all tables"))
                }),
                _ => Some(None),
            };
            // Only the first match of an entry counts: a body follows, which may contain anything.
            if let Some(found) = found {
                self.needs.superuser.extend(found);
                self.entry = None;
            }
        }
    }
}

/// `f(integer); Type: FUNCTION; Schema: public; Owner: acme`, as kind and name.
fn entry(rest: &str) -> Option<(String, String)> {
    let (name, rest) = rest.split_once("; Type: ")?;
    let (kind, _) = rest.split_once("; Schema: ")?;
    Some((kind.to_owned(), name.to_owned()))
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

    #[test]
    fn the_sql_tells_what_the_table_of_contents_does_not() {
        let sql = "--
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
";
        let mut script = Script::default();
        sql.lines().for_each(|line| script.line(line));
        let expected = Needs {
            tablespaces: BTreeSet::from(["odd \"space".to_owned()]),
            superuser: vec!["FUNCTION fast(integer) in c".to_owned(), "PUBLICATION every of all tables".to_owned()],
        };
        assert_eq!(script.needs, expected);
    }
}
