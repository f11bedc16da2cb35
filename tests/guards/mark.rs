//! Reads the marks: comments of the form `// guard(TEST, MUTATION): what holds by it`, on a line of their own above the guarded
//! code. Which code that is, place.rs finds.

use std::path::{Path, PathBuf};

/// How a guard is taken away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mutation {
    /// The condition is false.
    Never,
    /// The condition is true.
    Always,
    /// The optional value is None.
    None,
    /// The statement is not there.
    Drop,
    /// The last method call of the value is not there.
    DropCall,
    /// The value, the function's body or the arm's is this expression.
    Value(String),
}

/// A guard in the code.
#[derive(Debug, Clone)]
pub struct Mark {
    /// File, below the repository's root.
    pub file: PathBuf,
    /// Line of the comment, from 1.
    pub line: usize,
    /// Where the comment's line ends, in bytes: the guarded code comes after it.
    pub end: usize,
    /// The suite that has the test: `lib`, or a test target of the package testkit.
    pub tier: String,
    /// The test that fails without the guard.
    pub test: String,
    /// How it is taken away.
    pub mutation: Mutation,
    /// What holds by it, in words; no two guards have the same.
    pub what: String,
}

/// Every mark of a file's text.
pub fn marks(file: &Path, text: &str) -> Result<Vec<Mark>, String> {
    let mut found = Vec::new();
    let mut end = 0;
    for (index, line) in text.split_inclusive('\n').enumerate() {
        end += line.len();
        let Some((before, comment)) = line.split_once("// guard") else { continue };
        let place = format!("{}:{}", file.display(), index + 1);
        if !before.trim().is_empty() {
            return Err(format!("{place}: the mark stands beside code: give it the line above"));
        }
        let mark = comment.strip_prefix('(').and_then(|rest| read(rest.trim_end())).ok_or_else(|| {
            format!("{place}: not of the form `// guard(test or target::test, mutation): what holds by it`")
        })?;
        found.push(Mark { file: file.to_owned(), line: index + 1, end, ..mark });
    }
    Ok(found)
}

fn read(rest: &str) -> Option<Mark> {
    let (inside, what) = rest.split_once("): ")?;
    let (test, mutation) = inside.split_once(", ")?;
    let (tier, test) = test.split_once("::").unwrap_or(("lib", test));
    let mutation = match mutation {
        "never" => Mutation::Never,
        "always" => Mutation::Always,
        "none" => Mutation::None,
        "drop" => Mutation::Drop,
        "drop-call" => Mutation::DropCall,
        value => Mutation::Value(value.strip_prefix("= ")?.to_owned()),
    };
    let (tier, test, what) = (tier.to_owned(), test.to_owned(), what.to_owned());
    Some(Mark { file: PathBuf::new(), line: 0, end: 0, tier, test, mutation, what })
}

/// The mutation as the mark has it.
pub fn words(mutation: &Mutation) -> String {
    match mutation {
        Mutation::Never => "never".to_owned(),
        Mutation::Always => "always".to_owned(),
        Mutation::None => "none".to_owned(),
        Mutation::Drop => "drop".to_owned(),
        Mutation::DropCall => "drop-call".to_owned(),
        Mutation::Value(value) => format!("= {value}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_names_its_test_its_mutation_and_what_holds() {
        let text = "fn f() {\n    // guard(servers::a_test, = Some(f(1, 2))): the claim: ours\n    x();\n}\n";
        let found = marks(Path::new("a.rs"), text).unwrap();
        let [mark] = &found[..] else { panic!("{found:?}") };
        assert_eq!((mark.line, &text[mark.end..]), (2, "    x();\n}\n"));
        assert_eq!(
            (mark.tier.as_str(), mark.test.as_str(), mark.what.as_str()),
            ("servers", "a_test", "the claim: ours")
        );
        assert_eq!(mark.mutation, Mutation::Value("Some(f(1, 2))".to_owned()));
        assert_eq!(marks(Path::new("a.rs"), "// guard(t, never): w\n").unwrap()[0].tier, "lib");
    }

    #[test]
    fn what_looks_like_a_mark_and_is_none_is_refused() {
        for bad in [
            "// guard(t): w",
            "// guard(t, sometimes): w",
            "// guard: w",
            "// guards(t, never): w",
            "x(); // guard(t, never): w",
        ] {
            assert!(marks(Path::new("a.rs"), bad).is_err(), "{bad}");
        }
    }
}
