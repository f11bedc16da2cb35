//! The formula guard: puts a `'` in front of a cell that a spreadsheet would run. Phones and numbers are spared by
//! default, since the guard would damage them on re-import. Quoting is in `records`.

use sennight_core::profile::FormulaGuard;
use std::borrow::Cow;

/// The cell as it may be written, and whether it had to be changed. `number` says that the column is numeric.
pub fn guarded(cell: Cow<'_, str>, guard: FormulaGuard, number: bool) -> (Cow<'_, str>, bool) {
    let harmless = match guard {
        FormulaGuard::Never => true,
        FormulaGuard::Always => !starts_formula(&cell),
        // A column of numbers holds no formula, whatever sign comes first.
        FormulaGuard::Smart => !starts_formula(&cell) || number || is_phone(&cell) || is_number(&cell),
    };
    if harmless {
        return (cell, false);
    }
    (Cow::Owned(format!("'{cell}")), true)
}

/// The starts that OWASP lists (ASVS 1.2.10), the full-width ones that Excel folds, and CR and LF, which let a formula
/// begin a line of its own.
fn starts_formula(cell: &str) -> bool {
    cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '\0', '＝', '＋', '－', '＠'])
}

/// Several phones in one cell, too: the first starts with a `+`, which is what makes the cell look like a formula; those
/// behind it may be numbers without one (`+49 30 123456;112`).
fn is_phone(cell: &str) -> bool {
    let mut phones = cell.split([';', ',']).map(str::trim);
    phones.next().and_then(|first| first.strip_prefix('+')).is_some_and(is_number_of_phone)
        && phones.all(|phone| {
            let plain = |b: u8| b.is_ascii_digit() || matches!(b, b' ' | b'(' | b')' | b'-');
            // An empty one ends the cell, or was never there.
            phone.strip_prefix('+').map_or_else(|| phone.bytes().all(plain), is_number_of_phone)
        })
}

/// What stands behind the `+`: digits, and what people put between.
fn is_number_of_phone(rest: &str) -> bool {
    rest.bytes().any(|b| b.is_ascii_digit())
        && rest.bytes().all(|b| b.is_ascii_digit() || matches!(b, b' ' | b'(' | b')'))
        || is_dashed_phone(rest)
}

/// `+1-202-555-0100`: dashes only between digits or brackets, and enough digits that it is no sum like `+1-1`.
fn is_dashed_phone(rest: &str) -> bool {
    let digits = rest.bytes().filter(u8::is_ascii_digit).count();
    digits >= 7 && rest.bytes().all(|b| b.is_ascii_digit() || matches!(b, b' ' | b'(' | b')' | b'-'))
}

/// `-12`, `+3.5`, `-1,5`, `-2e9`: a sign and one number.
fn is_number(cell: &str) -> bool {
    let rest = cell.strip_prefix(['-', '+']).unwrap_or(cell);
    rest.starts_with(|c: char| c.is_ascii_digit()) && rest.replacen(',', ".", 1).parse::<f64>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn smart(cell: &str) -> String {
        guarded(cell.into(), FormulaGuard::Smart, false).0.into_owned()
    }

    #[test]
    fn phones_and_numbers_are_spared() {
        for kept in [
            "+49 30 123456",
            "+7 (495) 123-45-67",
            "+1-202-555-0100",
            "+491;+492",
            "+49 30 123456;112",
            "+491;112;",
            "+491, (030) 12-34",
            "-12",
            "+3.5",
            "-1,5",
            "-2e9",
            "",
            "plain",
            "a=b",
            "12",
        ] {
            assert_eq!(smart(kept), kept);
        }
    }

    #[test]
    fn formulas_are_guarded() {
        for run in [
            "=1+1",
            "+1-1",
            "+cmd|' /C calc'!A0",
            "-1+cmd",
            "@SUM(A1)",
            "\t=1",
            "\r=1",
            "-",
            "+",
            "-inf",
            "＝1",
            "+1;=2",
            "+1;2+3",
            "+1-1;112",
            "+;112",
            "+1;SUM(A1)",
        ] {
            assert_eq!(smart(run), format!("'{run}"));
        }
    }

    #[test]
    fn the_setting_and_the_columns_type_decide() {
        assert!(guarded("-12".into(), FormulaGuard::Always, true).1);
        assert!(!guarded("=1".into(), FormulaGuard::Never, false).1);
        assert!(!guarded("-1".into(), FormulaGuard::Smart, true).1);
    }
}
