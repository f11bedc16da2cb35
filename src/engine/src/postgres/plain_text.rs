//! What PostgreSQL and its tools say, without the values of rows and without text that a tenant's own code raises. What they
//! say reaches status, Events and logs, which people read who may not read the tenant's data.

/// Stands for a text that was left out.
const LEFT_OUT: &str = "a message about a value, or of the database's own code, is left out: the server's log has it";

/// How the server's messages begin and end that name nothing but objects, settings and limits. `…` stands for names. Any
/// other message may quote a row, or be the argument of a RAISE.
const NAMES_ONLY: [&str; 54] = [
    "bigint out of range",
    "cache lookup failed for …",
    "canceling statement due to …",
    "cannot … because other objects depend on it",
    "cannot … in a read-only transaction",
    "check constraint \"…\" of relation \"…\" is violated by some row",
    "column \"…\" does not exist",
    "column \"…\" of relation \"…\" contains null values",
    "connection to server …",
    "could not access file …",
    "could not create exclusion constraint \"…\"",
    "could not create unique index \"…\"",
    "could not extend file …",
    "could not find …",
    "could not load library …",
    "could not obtain lock on …",
    "could not open …",
    "could not resize shared memory segment …",
    "could not write …",
    "data type … has no default operator class for access method \"…\"",
    "database \"…\" does not exist",
    "date out of range",
    "deadlock detected",
    "division by zero",
    "duplicate key value violates unique constraint \"…\"",
    "extension \"…\" …",
    "function … does not exist",
    "functions in index expression must be marked IMMUTABLE",
    "index row size … exceeds …",
    "insert or update on table \"…\" violates foreign key constraint \"…\"",
    "integer out of range",
    "interval out of range",
    "must be …",
    "new row for relation \"…\" violates check constraint \"…\"",
    "new row violates row-level security policy for table \"…\"",
    "null value in column \"…\" of relation \"…\" violates not-null constraint",
    "out of memory",
    "out of shared memory",
    "password authentication failed for user \"…\"",
    "permission denied …",
    "publication \"…\" already exists",
    "relation \"…\" already exists",
    "relation \"…\" does not exist",
    "remaining connection slots are reserved …",
    "role \"…\" does not exist",
    "schema \"…\" …",
    "sorry, too many clients already",
    "statistics object \"…\" …",
    "smallint out of range",
    "terminating connection due to …",
    "the database system is …",
    "type \"…\" does not exist",
    "unrecognized configuration parameter \"…\"",
    "value too long for type …",
];

/// The server's message, where its SQLSTATE says that it is about objects and not about values.
pub fn message<'a>(sqlstate: &str, message: &'a str) -> &'a str {
    // 22 is about values. P0 is what PL/pgSQL raises, and codes with a class beyond the server's own come from there, too.
    let of_values =
        sqlstate.starts_with("22") || sqlstate.starts_with("P0") || !CLASSES.contains(&sqlstate.get(..2).unwrap_or(""));
    if of_values && !names_only(message) { LEFT_OUT } else { message }
}

/// Classes of SQLSTATE that the server itself uses.
const CLASSES: [&str; 42] = [
    "00", "01", "02", "03", "08", "09", "0A", "0B", "0F", "0L", "0P", "0Z", "10", "20", "21", "23", "24", "25", "26",
    "27", "28", "2B", "2D", "2F", "34", "38", "39", "3B", "3D", "3F", "40", "42", "44", "53", "54", "55", "57", "58",
    "72", "F0", "HV", "XX",
];

/// The text of a tool: its own lines, and of the server's messages those that name objects only. DETAIL, CONTEXT, HINT and the
/// command that failed are left out with all their lines.
pub fn of_tool(stderr: &str) -> String {
    let own =
        |line: &&str| ["pg_dump: ", "pg_restore: ", "pg_dumpall: ", "psql:"].iter().any(|tool| line.starts_with(tool));
    let mut lines: Vec<String> = stderr.lines().filter(own).map(without_values).collect();
    // One that wrote nothing in its own form: of a loader, or a shell.
    if lines.is_empty() {
        lines.extend(stderr.lines().take(1).filter(|line| !line.contains("ERROR:")).map(ToOwned::to_owned));
    }
    lines.dedup();
    lines.join("\n")
}

fn without_values(line: &str) -> String {
    // FATAL and PANIC are about connections and the server: no code of a database raises them.
    for level in ["ERROR:  ", "WARNING:  ", "NOTICE:  "] {
        if let Some((before, said)) = line.split_once(level) {
            return format!("{before}{level}{}", if names_only(said) { said } else { LEFT_OUT });
        }
    }
    line.to_owned()
}

fn names_only(said: &str) -> bool {
    NAMES_ONLY.iter().any(|shape| fits(said, shape))
}

/// Whether a text has the parts of a shape in their order, the first at its beginning and the last at its end.
fn fits(text: &str, shape: &str) -> bool {
    let (mut rest, mut parts) = (text, shape.split('…').peekable());
    if let Some(first) = parts.next() {
        match text.strip_prefix(first) {
            Some(after) => rest = after,
            None => return false,
        }
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "anna@example.com";

    #[test]
    fn no_value_of_a_row_and_no_text_of_the_tenants_code_gets_out_of_a_tool() {
        let said = [
            "pg_restore: error: could not execute query: ERROR:  could not create unique index \"contacts_email\"\nDETAIL:  Key (email)=(anna@example.com) is duplicated.\nCommand was: CREATE UNIQUE INDEX contacts_email ON public.contacts USING btree (email)\nWHERE email <> 'anna@example.com';\n\n",
            "pg_restore: error: COPY failed for table \"contacts\": ERROR:  invalid input syntax for type integer: \"anna@example.com\"\nCONTEXT:  COPY contacts, line 3, column age: \"anna@example.com\"\n",
            "pg_restore: error: could not execute query: ERROR:  no mail for anna@example.com\nCONTEXT:  PL/pgSQL function f() line 3 at RAISE\nanna@example.com",
            "pg_restore: error: could not execute query: ERROR:  x\nHINT:  ask anna@example.com",
            "pg_dump: error: query failed: ERROR:  value \"anna@example.com\" is out of range for type integer",
            "pg_restore: WARNING:  anna@example.com\n",
        ];
        for text in said {
            let kept = of_tool(text);
            assert!(!kept.contains(SECRET), "{kept}");
            assert!(kept.starts_with("pg_"), "who said it stays: {kept}");
        }
        assert!(of_tool(said[0]).contains("could not create unique index \"contacts_email\""));
        assert!(of_tool(said[2]).contains(LEFT_OUT));
    }

    #[test]
    fn what_the_kind_of_a_failure_is_told_by_stays() {
        for text in [
            "pg_restore: error: could not execute query: ERROR:  deadlock detected",
            "pg_dump: error: query failed: ERROR:  canceling statement due to lock timeout\npg_dump: detail: Query was: LOCK TABLE public.contacts IN ACCESS SHARE MODE",
            "pg_dump: error: query failed: ERROR:  permission denied for table contacts",
            "pg_dump: error: query failed: ERROR:  cache lookup failed for index 16389",
            "pg_dump: error: connection to server at \"h\" (10.0.0.1), port 5432 failed: Connection refused",
            "pg_dump: error: connection to server at \"h\", port 5432 failed: FATAL:  too many connections for database \"d\"",
            "pg_restore: from TOC entry 3387; 1259 16389 TABLE contacts owner\npg_restore: error: could not execute query: ERROR:  role \"acme\" does not exist",
            "error while loading shared libraries: libpq.so.5: cannot open shared object file",
        ] {
            assert_eq!(of_tool(text), text);
        }
    }

    #[test]
    fn a_message_is_kept_by_its_sqlstate() {
        let told = |sqlstate, text| message(sqlstate, text) == text;
        for (sqlstate, text, kept) in [
            ("22012", "division by zero", true),
            ("23514", "check constraint \"c\" of relation \"t\" is violated by some row", true),
            ("42P01", "relation \"t\" does not exist", true),
            ("22P02", "invalid input syntax for type integer: \"anna@example.com\"", false),
            ("P0001", "no mail for anna@example.com", false),
            ("45000", "anna@example.com", false),
            ("QQ001", "anna@example.com", false),
            ("", "anna@example.com", false),
            ("XX000", "cache lookup failed for relation 5", true),
        ] {
            assert_eq!(told(sqlstate, text), kept, "{sqlstate} {text}");
        }
    }

    #[test]
    fn a_shape_is_met_from_its_beginning_to_its_end() {
        for (text, shape, meets) in [
            ("deadlock detected", "deadlock detected", true),
            ("deadlock detected, said anna", "deadlock detected", false),
            ("role \"a\" does not exist", "role \"…\" does not exist", true),
            ("a role \"a\" does not exist", "role \"…\" does not exist", false),
            ("role \"a\" does not exist, anna", "role \"…\" does not exist", false),
            ("must be owner of table t", "must be …", true),
            ("", "must be …", false),
        ] {
            assert_eq!(fits(text, shape), meets, "{text:?} {shape:?}");
        }
    }
}
