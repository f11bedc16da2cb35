//! How much is measured; from the environment, so that a reduced form can be run by hand and by `make test`.

/// How much.
pub struct Scope {
    /// BackupSchedules of the fleet at rest.
    pub schedules: usize,
    /// RestoreRequests beside them.
    pub requests: usize,
    /// BackupSchedules of the compressed day.
    pub day: usize,
    /// Real seconds that the day's window takes.
    pub seconds: u64,
    /// Real seconds of rest that are measured.
    pub idle: u64,
    /// A part of `make test`: promises are checked, figures are not told.
    pub part: bool,
    only: Option<String>,
    /// Whether docs/scale.md is written although it is a reduced run.
    pub write: bool,
}

/// What the bars are about.
pub const WHOLE: usize = 100_000;

impl Scope {
    /// `SENNIGHT_SCALE_SCHEDULES`, `_REQUESTS`, `_DAY`, `_SECONDS`, `_ONLY` (rest, day, peers). `SENNIGHT_CASES`: a few
    /// hundred, and said so.
    pub fn from_env() -> Self {
        let number = |name: &str, default: usize| {
            std::env::var(format!("SENNIGHT_SCALE_{name}")).map_or(default, |text| text.parse().unwrap())
        };
        let part = std::env::var_os("SENNIGHT_CASES").is_some();
        let schedules = number("SCHEDULES", if part { 300 } else { WHOLE });
        let scope = Self {
            schedules,
            requests: number("REQUESTS", if part { 0 } else { schedules / 10 }),
            day: number("DAY", if part { 80 } else { schedules }),
            seconds: number("SECONDS", if part { 12 } else { (schedules / 100).max(300) }) as u64,
            idle: number("IDLE", if part { 2 } else { 60 }) as u64,
            part,
            only: std::env::var("SENNIGHT_SCALE_ONLY").ok().or_else(|| part.then(|| "rest".to_owned())),
            write: std::env::var_os("SENNIGHT_SCALE_WRITE").is_some(),
        };
        if part {
            println!(
                "scale: {} schedules at rest; left out: the other {}, the compressed day, every figure, the peers (make \
                 bench-scale runs all)",
                scope.schedules,
                WHOLE - scope.schedules,
            );
        }
        scope
    }

    /// Whether this part is asked for.
    pub fn runs(&self, part: &str) -> bool {
        self.only.as_deref().is_none_or(|only| only.split(',').any(|o| o == part))
    }
}
