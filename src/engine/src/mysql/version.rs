//! Parses the server's version, and checks whether Sennight supports it.

use super::error::EngineError;
use sennight_core::engine::EngineKind;
use std::fmt;

/// MySQL or MariaDB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavour {
    /// MySQL.
    MySQL,
    /// MariaDB.
    MariaDB,
}

/// A server's version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// MySQL or MariaDB.
    pub flavour: Flavour,
    /// Major version.
    pub major: i32,
    /// Minor version.
    pub minor: i32,
    /// The whole text of `VERSION()`.
    pub text: String,
}

impl Version {
    /// Reads what `VERSION()` gives: `9.7.4-2`, `10.11.19-MariaDB-0+deb12u1-log`.
    pub fn parse(text: &str) -> Option<Self> {
        let flavour = if text.contains("MariaDB") { Flavour::MariaDB } else { Flavour::MySQL };
        let mut numbers = text.split(|c: char| !c.is_ascii_digit()).map(str::parse);
        let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next()) else { return None };
        Some(Self { flavour, major, minor, text: text.to_owned() })
    }

    /// Refuses servers of another engine, and versions that Sennight was not tested with.
    pub fn check(&self, engine: EngineKind) -> Result<(), EngineError> {
        let is = match self.flavour {
            Flavour::MySQL => EngineKind::MySQL,
            Flavour::MariaDB => EngineKind::MariaDB,
        };
        if is != engine {
            return Err(EngineError::WrongEngine { expected: engine, found: self.text.clone() });
        }
        let known = match self.flavour {
            Flavour::MySQL => self.major == 9,
            Flavour::MariaDB => (10, 11) <= (self.major, self.minor) && (self.major, self.minor) <= (11, 8),
        };
        if known { Ok(()) } else { Err(EngineError::UnsupportedServer { version: self.text.clone() }) }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = if self.flavour == Flavour::MySQL { "MySQL" } else { "MariaDB" };
        write!(f, "{name} {}.{}", self.major, self.minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_servers_that_were_tried_are_taken() {
        for (text, engine, reason) in [
            ("9.7.4-2", EngineKind::MySQL, None),
            ("10.11.19-MariaDB-0+deb12u1-log", EngineKind::MariaDB, None),
            ("11.8.6-MariaDB-0+deb13u1 from Debian-log", EngineKind::MariaDB, None),
            ("10.6.3-MariaDB", EngineKind::MariaDB, Some("UnsupportedServer")),
            ("12.1.0-MariaDB", EngineKind::MariaDB, Some("UnsupportedServer")),
            ("8.0.40", EngineKind::MySQL, Some("UnsupportedServer")),
            ("8.0.40", EngineKind::MariaDB, Some("WrongEngine")),
            ("11.8.6-MariaDB", EngineKind::MySQL, Some("WrongEngine")),
        ] {
            let checked = Version::parse(text).unwrap().check(engine);
            assert_eq!(checked.err().map(|e| e.reason()), reason, "{text} as {engine}");
        }
        assert_eq!(Version::parse("what"), None);
    }
}
