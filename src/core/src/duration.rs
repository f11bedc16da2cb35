//! Durations as people write them: `90s`, `1h30m`, `2d`. Flags, `spec.window` and the plugin share this parser.

use std::time::Duration;

/// Names of the units and their nanoseconds, the largest first. U+00B5 is the micro sign, U+03BC the Greek letter.
const UNITS: [(&str, u64); 9] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("\u{b5}s", 1_000),
    ("\u{3bc}s", 1_000),
    ("ns", 1),
];

/// Why a text is no duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// A unit that is not known, stands twice, or is larger than the one before it.
    #[error("invalid unit: expected one of 'ns', 'us', '\u{b5}s', 'ms', 's', 'm', or 'h', the largest first")]
    Unit,
    /// A number without a unit.
    #[error("missing a unit: expected one of 'ns', 'us', '\u{b5}s', 'ms', 's', 'm', or 'h'")]
    NoUnit,
    /// What stands before a unit is not a number.
    #[error("invalid floating-point number: {0}")]
    Number(#[from] std::num::ParseFloatError),
    /// Zero, negative, or longer than can be counted.
    #[error("must be longer than nothing")]
    OutOfRange,
}

/// A duration in Kubernetes' units, hours to nanoseconds, the largest first: `1h30m`, `1.5h`, `250ms`. Never zero.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    read(text, &UNITS[1..])
}

/// Like [`parse`], and with days: `2d`, `1d12h`.
pub fn parse_with_days(text: &str) -> Result<Duration, DurationError> {
    read(text, &UNITS)
}

fn read(text: &str, mut units: &[(&str, u64)]) -> Result<Duration, DurationError> {
    let mut rest = text.strip_prefix(['+', '-']).unwrap_or(text);
    let mut total = Duration::ZERO;
    while !rest.is_empty() && rest != "0" {
        let number = rest.find(char::is_alphabetic).ok_or(DurationError::NoUnit)?;
        let (number, tail) = rest.split_at(number);
        let unit = tail.find(|c: char| !c.is_alphabetic()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit);
        let number: f64 = number.parse()?;
        let known = units.iter().position(|(name, _)| *name == unit).ok_or(DurationError::Unit)?;
        let one = Duration::from_nanos(units[known].1).as_secs_f64();
        let part = Duration::try_from_secs_f64(number * one).map_err(|_| DurationError::OutOfRange)?;
        total = total.checked_add(part).ok_or(DurationError::OutOfRange)?;
        units = &units[known + 1..];
        rest = tail;
    }
    if total.is_zero() || text.starts_with('-') { Err(DurationError::OutOfRange) } else { Ok(total) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_kubernetes_writes_them() {
        for (text, seconds) in
            [("90s", 90.0), ("1h30m", 5400.0), ("1.5h", 5400.0), ("250ms", 0.25), ("72h", 259_200.0), ("+1m", 60.0)]
        {
            assert_eq!(parse(text), Ok(Duration::from_secs_f64(seconds)), "{text}");
        }
        assert_eq!(parse("1h1m1s1ms1us1ns"), Ok(Duration::new(3661, 1_001_001)));
        assert_eq!(parse_with_days("1d12h"), Ok(Duration::from_hours(36)));
    }

    #[test]
    fn what_is_no_duration_is_refused_with_a_reason() {
        for (text, why) in [
            ("", "must be longer than nothing"),
            ("0", "must be longer than nothing"),
            ("0s", "must be longer than nothing"),
            ("-5m", "must be longer than nothing"),
            ("99999999999999999999h", "must be longer than nothing"),
            ("5", "missing a unit"),
            ("h", "invalid floating-point number"),
            ("soon", "invalid floating-point number"),
            ("1w", "invalid unit"),
            ("1d", "invalid unit"),
            ("30m1h", "invalid unit"),
            ("1h1h", "invalid unit"),
        ] {
            let said = parse(text).unwrap_err().to_string();
            assert!(said.starts_with(why), "{text:?}: {said}");
        }
    }
}
