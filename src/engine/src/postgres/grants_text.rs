//! Reads the SQL of grants, where names in double quotes may hold anything, and nothing else is quoted.

/// Begins a statement by which a grant is given in the name of another role than the owner.
const BECOME: &str = "SET SESSION AUTHORIZATION ";
/// Ends that.
const ITSELF: &str = "RESET SESSION AUTHORIZATION;";

/// The statements of the text, each with what stands before it and with its semicolon.
pub fn statements(text: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    text.split_inclusive(move |c| {
        quoted ^= c == '"';
        c == ';' && !quoted
    })
}

/// Roles in whose name grants are given.
pub fn grantors(text: &str) -> Vec<String> {
    let role = |statement: &str| {
        let name = statement.trim_start().strip_prefix(BECOME)?.strip_suffix(';')?;
        Some(match name.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
            Some(quoted) => quoted.replace("\"\"", "\""),
            None => name.to_owned(),
        })
    };
    let mut found: Vec<String> = statements(text).filter_map(role).collect();
    found.sort();
    found.dedup();
    found
}

/// The text with `SET ROLE`, which a member may say, in place of what only a superuser may.
pub fn by_members(text: &str) -> String {
    let other = |statement: &str| {
        let at = statement.len() - statement.trim_start().len();
        let (space, rest) = statement.split_at(at);
        match rest.strip_prefix(BECOME) {
            Some(role) => format!("{space}SET ROLE {role}"),
            None if rest == ITSELF => format!("{space}RESET ROLE;"),
            None => statement.to_owned(),
        }
    };
    statements(text).map(other).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_never_taken_for_statements() {
        let text = "SET SESSION AUTHORIZATION \"a;\"\"b\";\nGRANT SELECT ON TABLE t TO c;\nRESET SESSION AUTHORIZATION;\n\
                    GRANT SELECT ON TABLE \"x;\nSET SESSION AUTHORIZATION evil;\" TO c;\nSET SESSION AUTHORIZATION d;\n";
        assert_eq!(grantors(text), ["a;\"b", "d"]);
        let expected = "SET ROLE \"a;\"\"b\";\nGRANT SELECT ON TABLE t TO c;\nRESET ROLE;\n\
                        GRANT SELECT ON TABLE \"x;\nSET SESSION AUTHORIZATION evil;\" TO c;\nSET ROLE d;\n";
        assert_eq!(by_members(text), expected);
        assert_eq!(grantors(""), Vec::<String>::new());
    }
}
