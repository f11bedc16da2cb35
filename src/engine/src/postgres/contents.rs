//! The table of contents of a schema archive, as `pg_restore --list` prints it.

/// One entry of a table of contents: `217; 1259 16385 TABLE public contacts acme`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Its number in this archive.
    pub number: u32,
    /// What kind of object and which: `TABLE public contacts acme`. Kinds may be of several words, names too.
    pub text: &'a str,
    /// The whole line.
    pub line: &'a str,
}

/// The entries of a table of contents; its comments are left out.
pub fn entries(contents: &str) -> impl Iterator<Item = Entry<'_>> {
    contents.lines().filter_map(|line| {
        let (number, rest) = line.split_once("; ")?;
        let text = rest.splitn(3, ' ').nth(2)?;
        Some(Entry { number: number.parse().ok()?, text, line })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_told_from_the_comments_around_them() {
        let contents =
            ";\n; Archive created at 2026-11-22 02:10:00 UTC\n;\n217; 1259 16385 TABLE public contacts acme\n";
        let found: Vec<Entry<'_>> = entries(contents).collect();
        let line = "217; 1259 16385 TABLE public contacts acme";
        assert_eq!(found, [Entry { number: 217, text: "TABLE public contacts acme", line }]);
    }
}
