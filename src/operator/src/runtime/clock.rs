//! The operator's clock: the wall clock, or in `make bench-scale` one that shows another day and runs faster. Leases and
//! request time-outs keep to real time.

use chrono::{DateTime, TimeDelta, Utc};
use std::time::Duration;

/// A clock. The default is the wall clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct Clock(Option<Running>);

#[derive(Debug, Clone, Copy)]
struct Running {
    began: DateTime<Utc>,
    shown: DateTime<Utc>,
    rate: f64,
}

impl Clock {
    /// A clock that showed `shown` at the real time `began`, and runs `rate` times as fast as the wall clock.
    pub fn running(began: DateTime<Utc>, shown: DateTime<Utc>, rate: f64) -> Self {
        Self(Some(Running { began, shown, rate }))
    }

    /// The time that it shows now.
    pub fn now(self) -> DateTime<Utc> {
        match self.0 {
            None => Utc::now(),
            Some(Running { began, shown, rate }) => {
                let real = (Utc::now() - began).to_std().unwrap_or_default();
                shown + TimeDelta::from_std(real.mul_f64(rate)).unwrap_or_default()
            }
        }
    }

    /// The real duration of a span of this clock; zero for a negative span.
    pub fn real(self, span: TimeDelta) -> Duration {
        let span = span.to_std().unwrap_or_default();
        self.0.map_or(span, |running| span.div_f64(running.rate))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fast_clock_shows_what_it_should_and_a_wait_on_it_is_short() {
        let began = Utc::now() - TimeDelta::seconds(10);
        let shown = "2026-11-22T01:00:00Z".parse().unwrap();
        let clock = Clock::running(began, shown, 60.0);
        let since = clock.now() - shown;
        assert!(since >= TimeDelta::minutes(10) && since < TimeDelta::minutes(15), "{since}");
        assert_eq!(clock.real(TimeDelta::minutes(1)), Duration::from_secs(1));
        assert_eq!(clock.real(TimeDelta::seconds(-5)), Duration::ZERO);
        assert_eq!(Clock::default().real(TimeDelta::minutes(1)), Duration::from_mins(1));
    }
}
