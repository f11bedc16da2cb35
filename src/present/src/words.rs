//! Formats times, spans and sizes for people.

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;

/// An instant in UTC and, where it differs, in the tenant's zone: `2026-11-22 02:10 UTC (03:10 Europe/Berlin)`.
pub fn instant(at: DateTime<Utc>, zone: Option<Tz>) -> String {
    let utc = at.format("%Y-%m-%d %H:%M UTC");
    let Some(zone) = zone.filter(|zone| *zone != Tz::UTC) else {
        return utc.to_string();
    };
    let local = at.with_timezone(&zone);
    let form = if local.date_naive() == at.date_naive() { "%H:%M" } else { "%Y-%m-%d %H:%M" };
    format!("{utc} ({} {zone})", local.format(form))
}

/// A span as kubectl shows it, in its two largest units: `3d4h`, `5h10m`, `42s`.
pub fn span(length: TimeDelta) -> String {
    let seconds = length.num_seconds().max(0);
    let (days, hours, minutes) = (seconds / 86400, seconds % 86400 / 3600, seconds % 3600 / 60);
    let two = |large: i64, unit: &str, small: i64, next: &str| {
        if small == 0 { format!("{large}{unit}") } else { format!("{large}{unit}{small}{next}") }
    };
    if days > 0 {
        two(days, "d", hours, "h")
    } else if hours > 0 {
        two(hours, "h", minutes, "m")
    } else if minutes > 0 {
        two(minutes, "m", seconds % 60, "s")
    } else {
        format!("{seconds}s")
    }
}

/// A short time: `250 ms`, `2.5 s`.
pub fn millis(number: i64) -> String {
    if number < 1000 { format!("{number} ms") } else { format!("{}.{} s", number / 1000, number % 1000 / 100) }
}

/// A number of bytes: `1.4 GiB`.
pub fn bytes(number: i64) -> String {
    let mut unit = "B";
    #[allow(clippy::cast_precision_loss, reason = "three digits are shown")]
    let mut value = number as f64;
    for next in ["KiB", "MiB", "GiB", "TiB"] {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    if unit == "B" { format!("{number} B") } else { format!("{value:.1} {unit}") }
}

/// A number with thousands separators: `1,234,567`.
pub fn count(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if number < 0 { format!("-{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_names_the_tenants_zone_where_it_differs() {
        let at: DateTime<Utc> = "2026-11-22T23:10:00Z".parse().unwrap();
        assert_eq!(instant(at, None), "2026-11-22 23:10 UTC");
        assert_eq!(instant(at, Some(Tz::UTC)), "2026-11-22 23:10 UTC");
        assert_eq!(instant(at, Some(Tz::Europe__Berlin)), "2026-11-22 23:10 UTC (2026-11-23 00:10 Europe/Berlin)");
        assert_eq!(
            instant(at - TimeDelta::hours(5), Some(Tz::Europe__Berlin)),
            "2026-11-22 18:10 UTC (19:10 Europe/Berlin)"
        );
    }

    #[test]
    fn spans_sizes_and_counts_are_short() {
        for (seconds, text) in [(-5, "0s"), (42, "42s"), (120, "2m"), (3725, "1h2m"), (90000, "1d1h"), (86400, "1d")] {
            assert_eq!(span(TimeDelta::seconds(seconds)), text);
        }
        for (number, text) in [(90, "90 ms"), (1000, "1.0 s"), (2450, "2.4 s")] {
            assert_eq!(millis(number), text);
        }
        for (number, text) in [(512, "512 B"), (1536, "1.5 KiB"), (3 << 30, "3.0 GiB")] {
            assert_eq!(bytes(number), text);
        }
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (-1_234_567, "-1,234,567")] {
            assert_eq!(count(number), text);
        }
    }
}
