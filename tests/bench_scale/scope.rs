//! How much is measured; from the environment, so that a reduced form can be run by hand and by `make test`.

/// How much.
pub struct Scope {
    /// BackupSchedules at rest.
    pub schedules: usize,
    /// RestoreRequests beside them.
    pub requests: usize,
    /// BackupSchedules of the compressed day.
    pub day: usize,
    /// Real seconds that the day's window takes.
    pub seconds: u64,
    /// BackupSchedules that are due while the operator is away.
    pub away: usize,
    /// Real seconds that such an outage of six hours would take: how fast the clocks of its catch-up run.
    pub away_seconds: u64,
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
/// The other size that has a bar of its own.
pub const SMALL: usize = 10_000;
/// Enough for a catch-up: it runs as fast as the budgets let it, not as slots come.
pub const AWAY: usize = 25_000;
/// The parts, in their order.
const PARTS: [&str; 5] = ["rest", "day", "catch-up", "cronjobs", "k8up"];
/// Real milliseconds of the day for each tenant: 100,000 in 45 minutes are 8 simulated seconds in one, and 37 backups.
const MILLIS_A_TENANT: usize = 27;
/// And of an outage: what it leaves behind is caught up in a third of its time.
const MILLIS_A_LATE_ONE: usize = 108;

impl Scope {
    /// `SENNIGHT_SCALE_SCHEDULES`, `_REQUESTS`, `_DAY`, `_SECONDS`, `_AWAY`, `_AWAY_SECONDS`, `_ONLY` (one or more of the parts).
    /// `SENNIGHT_CASES`: a few hundred, and said so.
    pub fn from_env() -> Self {
        let number = |name: &str, default: usize| {
            std::env::var(format!("SENNIGHT_SCALE_{name}")).map_or(default, |text| text.parse().unwrap())
        };
        let part = std::env::var_os("SENNIGHT_CASES").is_some();
        let schedules = number("SCHEDULES", if part { 300 } else { WHOLE });
        let day = number("DAY", if part { 80 } else { schedules });
        let away = number("AWAY", if part { 80 } else { schedules.min(AWAY) });
        let scope = Self {
            schedules,
            requests: number("REQUESTS", if part { 0 } else { schedules / 10 }),
            day,
            seconds: number("SECONDS", if part { 12 } else { (day * MILLIS_A_TENANT / 1000).max(300) }) as u64,
            away,
            away_seconds: number("AWAY_SECONDS", if part { 12 } else { (away * MILLIS_A_LATE_ONE / 1000).max(300) })
                as u64,
            idle: number("IDLE", if part { 2 } else { 60 }) as u64,
            part,
            only: std::env::var("SENNIGHT_SCALE_ONLY").ok().or_else(|| part.then(|| "rest".to_owned())),
            write: std::env::var_os("SENNIGHT_SCALE_WRITE").is_some(),
        };
        for only in scope.only.iter().flat_map(|only| only.split(',')) {
            assert!(PARTS.contains(&only), "SENNIGHT_SCALE_ONLY: {only:?} is none of {PARTS:?}");
        }
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

    /// The block of the schedules at rest: each of the two sizes with a bar has its own.
    pub fn rest(&self) -> &'static str {
        if self.schedules <= SMALL { "rest-10000" } else { "rest" }
    }

    /// Whether another part comes after this one: what it left behind would be in the way.
    pub fn followed(&self, part: &str) -> bool {
        PARTS.iter().skip_while(|p| **p != part).skip(1).any(|p| self.runs(p))
    }

    /// Whether this part is asked for.
    pub fn runs(&self, part: &str) -> bool {
        self.only.as_deref().is_none_or(|only| only.split(',').any(|o| o == part))
    }
}
