//! The settings that a session begins with, sent in the startup packet. There they override settings of database and role, and
//! are in force before the first statement. A tenant may set most of them on its database (`ALTER DATABASE … SET search_path`),
//! and a SET statement of ours would already be parsed with the tenant's settings.

use super::error::EngineError;
use tokio_postgres::Row;

/// What a session is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Reads a database; its transactions are read-only unless they say otherwise.
    Read,
    /// Makes, fills, renames or drops one.
    Write,
}

/// Whose rights a session has and what it can see.
const RIGHTS: &[(&str, &str)] = &[
    ("search_path", ""),
    ("row_security", "off"),
    ("role", "none"),
    ("local_preload_libraries", ""),
    ("gin_fuzzy_search_limit", "0"),
];

/// The text that client and server exchange, where reading it back does not depend on the reader's settings: pg_dump's own
/// settings, and some that it leaves to the database. Without them the text of a `timestamptz` depends on the zone, names of
/// types on `quote_all_identifiers`, a constant's backslashes on `standard_conforming_strings`.
const TEXT: &[(&str, &str)] = &[
    ("DateStyle", "ISO"),
    ("IntervalStyle", "postgres"),
    ("TimeZone", "UTC"),
    ("extra_float_digits", "3"),
    ("bytea_output", "hex"),
    ("xmloption", "content"),
    ("standard_conforming_strings", "on"),
    ("quote_all_identifiers", "off"),
    ("array_nulls", "on"),
    ("synchronize_seqscans", "off"),
];

/// Settings of Sennight's own sessions, not of the client tools.
const SESSION: &[(&str, &str)] = &[
    // Rows of `money` are written and read by it; an archive's constants are not, see [`tool_options`].
    ("lc_monetary", "C"),
    ("client_min_messages", "notice"),
    ("transform_null_equals", "off"),
    ("default_transaction_isolation", "read committed"),
    ("default_transaction_deferrable", "off"),
    ("statement_timeout", "0"),
    ("lock_timeout", "0"),
    ("idle_in_transaction_session_timeout", "0"),
];

/// Of the settings in the packet those that are asked back: without them nothing that is read can be believed.
const ASKED: &[(&str, &str)] =
    &[("search_path", ""), ("row_security", "off"), ("role", "none"), ("extra_float_digits", "3")];

/// The packet's `options` for a session of ours. `user` logs in, and stays who it is.
pub fn session_options(purpose: Purpose, user: &str, more: &[(&str, &str)]) -> String {
    // Of two with one name the server takes the later.
    let settings = [RIGHTS, TEXT, SESSION, more].concat();
    // A database may name another user for its sessions, too; a superuser's would become that one's.
    options(settings.iter().copied().chain([("session_authorization", user), read_only(purpose)]))
}

/// `PGOPTIONS` for pg_dump ([`Purpose::Read`]) and pg_restore. `more` are settings of this one run.
///
/// `lc_monetary` is left alone: an archive spells the constants of `money` by it and does not say how, so whoever reads them
/// needs what the writer had, and that is the server's own. pg_restore gets no output formats: its archive sets what it needs,
/// and what the tenant's own expressions compute depends on the rest.
pub fn tool_options<'a>(purpose: Purpose, more: &[(&'a str, &'a str)]) -> String {
    let text = if purpose == Purpose::Read { TEXT } else { &[] };
    options(RIGHTS.iter().chain(text).copied().chain([read_only(purpose)]).chain(more.iter().copied()))
}

fn read_only(purpose: Purpose) -> (&'static str, &'static str) {
    ("default_transaction_read_only", if purpose == Purpose::Read { "on" } else { "off" })
}

/// `-c name=value …`; blanks and backslashes of a value are escaped as the server undoes it.
fn options<'a>(settings: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let escaped = |value: &str| {
        value.chars().fold(String::new(), |mut text, c| {
            if c == '\\' || c.is_ascii_whitespace() {
                text.push('\\');
            }
            text.push(c);
            text
        })
    };
    let all: Vec<String> = settings.map(|(name, value)| format!("-c {name}={}", escaped(value))).collect();
    all.join(" ")
}

/// What the first statement asks: version, encoding, process id, then who the session is, then the settings of the packet. No
/// operator, no cast, and every function by its schema: should the packet have been dropped on the way, the tenant's
/// `search_path` would be in force.
pub fn first_statement() -> String {
    let asked: Vec<String> = ASKED.iter().map(|(name, _)| format!("pg_catalog.current_setting('{name}')")).collect();
    format!(
        "SELECT pg_catalog.current_setting('server_version_num'), pg_catalog.getdatabaseencoding(),
                pg_catalog.pg_backend_pid(), current_user, {}",
        asked.join(", ")
    )
}

/// Columns of [`first_statement`] before the settings.
const BEFORE: usize = 4;

/// Refuses a session that did not begin with the packet's settings or is somebody else: a pooler stands in between, or one of
/// another kind of server.
/// `more` are the settings that the packet had beside those of every session: one that they replace is not compared, the server spells
/// it as it likes.
pub fn in_force(row: &Row, user: &str, more: &[(&str, &str)]) -> Result<(), EngineError> {
    let failed = |e| EngineError::query("asking the session's settings back", e);
    let found: String = row.try_get(3).map_err(failed)?;
    let wrong = |setting: &str, wanted: &str, found: String| EngineError::SettingsIgnored {
        setting: setting.to_owned(),
        wanted: wanted.to_owned(),
        found,
    };
    if found != user {
        return Err(wrong("current_user", user, found));
    }
    let replaced = |name: &str| more.iter().any(|(by, _)| by.eq_ignore_ascii_case(name));
    for (column, (name, value)) in ASKED.iter().enumerate().filter(|(_, (name, _))| !replaced(name)) {
        let found: String = row.try_get(BEFORE + column).map_err(failed)?;
        // An empty search_path is shown as it was written: with or without quotes.
        if found.trim_matches('"') != *value {
            return Err(wrong(name, value, found));
        }
    }
    Ok(())
}

/// As [`in_force`], of a session that a client tool will speak to: it has the settings of rights, not those of text.
pub fn tool_settings_in_force(answer: &[Option<String>], user: &str) -> Result<(), EngineError> {
    let rights = RIGHTS.iter().filter(|(name, _)| ASKED.iter().any(|(asked, _)| asked == name));
    let wanted = std::iter::once(("current_user", user)).chain(rights.copied());
    let asked = std::iter::once("current_user").chain(ASKED.iter().map(|(name, _)| *name));
    let found: Vec<(&str, &str)> = asked
        .zip(answer.iter().skip(BEFORE - 1))
        .map(|(name, found)| (name, found.as_deref().unwrap_or_default().trim_matches('"')))
        .collect();
    for (setting, wanted) in wanted {
        let has = found.iter().find(|(name, _)| *name == setting).map(|(_, value)| *value);
        if has != Some(wanted) {
            return Err(EngineError::SettingsIgnored {
                setting: setting.to_owned(),
                wanted: wanted.to_owned(),
                found: has.unwrap_or("nothing").to_owned(),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_and_backslashes_stay_in_their_value() {
        let text = options([("a", ""), ("b", "read committed"), ("c", "x\\y")].into_iter());
        assert_eq!(text, "-c a= -c b=read\\ committed -c c=x\\\\y");
    }

    #[test]
    fn every_session_and_tool_begins_with_the_settings_of_rights() {
        let all = [
            session_options(Purpose::Read, "u", &[]),
            session_options(Purpose::Write, "u", &[("TimeZone", "Asia/Tokyo")]),
            tool_options(Purpose::Read, &[]),
            tool_options(Purpose::Write, &[("maintenance_work_mem", "1kB")]),
        ];
        for text in &all {
            assert!(text.starts_with("-c search_path= -c row_security=off -c role=none "), "{text}");
        }
        let read_only = |text: &String| text.contains("default_transaction_read_only=on");
        assert_eq!(all.iter().map(read_only).collect::<Vec<_>>(), [true, false, true, false]);
        assert!(all[3].ends_with(" -c maintenance_work_mem=1kB"), "{}", all[3]);
    }

    #[test]
    fn the_first_statement_rests_on_no_search_path() {
        let statement = first_statement();
        assert!(!statement.contains("::") && !statement.contains('='), "{statement}");
        assert_eq!(statement.matches('(').count(), statement.matches("pg_catalog.").count(), "{statement}");
    }
}
