//! The table of docs/guards.md, made from the marks.

use crate::mark::{Mark, words};

/// The page.
pub const PAGE: &str = "docs/guards.md";
/// The lines between which the table stands.
const BEGIN: &str = "<!-- made from the marks by `make generate` -->\n";
const END: &str = "<!-- end of the marks -->\n";

/// The page with the table of these guards. Files and functions are not in it, so that whoever moves or renames them need not write
/// it anew; the words are searched for in the code.
pub fn with_table(page: &str, guards: &[Mark]) -> Result<String, String> {
    let missing = || format!("{PAGE}: the lines {BEGIN:?} and {END:?} are missing");
    let (before, rest) = page.split_once(BEGIN).ok_or_else(missing)?;
    let (_, after) = rest.split_once(END).ok_or_else(missing)?;
    let mut rows: Vec<String> = guards.iter().map(row).collect();
    rows.sort();
    let header = "| crate | what holds by it | without it | test that fails |\n|---|---|---|---|\n";
    Ok(format!("{before}{BEGIN}\n{header}{}\n{END}{after}", rows.concat()))
}

fn row(mark: &Mark) -> String {
    let of_crate = mark.file.iter().nth(1).unwrap_or_default().display();
    let mutation = words(&mark.mutation).replace('|', "\\|");
    let test = if mark.tier == "lib" { mark.test.clone() } else { format!("{}::{}", mark.tier, mark.test) };
    format!("| {of_crate} | {} | `{mutation}` | `{test}` |\n", mark.what)
}
