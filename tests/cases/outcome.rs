//! How a case ends, in the words of `expected.tsv`, and how a step of the worker becomes one.

use futures::FutureExt as _;
use sennight_worker::{TaskError, Verdict};
use std::fmt;
use std::panic::AssertUnwindSafe;
use testkit::picture::Parts;

/// How many parts of a database a difference names.
const NAMED: usize = 3;

/// How a case ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The restored database is the original.
    Same,
    /// Every step ended well, and something is another: the parts, or what a check said.
    Differs(String),
    /// The worker said beforehand that it would not do it: step and reasons.
    Refused(String),
    /// A step ended in an error: step and reason.
    Failed(String),
}

impl Outcome {
    /// With the names of the case instead of those that one run of it had.
    #[must_use]
    pub fn with(self, written: &str, here: &str) -> Self {
        let words = |text: String| text.replace(here, written);
        match self {
            Self::Same => Self::Same,
            Self::Differs(what) => Self::Differs(words(what)),
            Self::Refused(why) => Self::Refused(words(why)),
            Self::Failed(why) => Self::Failed(words(why)),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Same => f.write_str("Same"),
            Self::Differs(what) => write!(f, "Differs({what})"),
            Self::Refused(why) => write!(f, "Refused({why})"),
            Self::Failed(why) => write!(f, "Failed({why})"),
        }
    }
}

/// A step of the worker; a panic is a failure like any other, because cases look for them.
pub async fn step<T>(name: &str, work: impl Future<Output = Result<T, TaskError>>) -> Result<T, Outcome> {
    match AssertUnwindSafe(work).catch_unwind().await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => {
            crate::table::say(&format!("    {name}: {}: {error}", error.reason));
            let said = format!("{name}: {}", error.reason);
            // A dump that refuses has said so before anything was made; a later step has let the restore begin.
            let before = name == "dump" && error.verdict == Verdict::Refused;
            Err(if before { Outcome::Refused(said) } else { Outcome::Failed(said) })
        }
        Err(_) => Err(Outcome::Failed(format!("{name}: panic"))),
    }
}

/// What a test's own work found; `None` where it panicked, because a database could not be read.
pub async fn readable<T>(work: impl Future<Output = T>) -> Option<T> {
    AssertUnwindSafe(work).catch_unwind().await.ok()
}

/// Two pictures compared. `looked_at` chooses the parts.
pub fn compared(before: &Parts, now: &Parts, looked_at: impl Fn(&str) -> bool) -> Outcome {
    let mut names: Vec<&String> =
        before.keys().chain(now.keys()).filter(|name| looked_at(name) && before.get(*name) != now.get(*name)).collect();
    names.sort();
    names.dedup();
    if names.is_empty() {
        return Outcome::Same;
    }
    for words in testkit::picture::differences(&only(before, &names), &only(now, &names)).into_iter().take(NAMED) {
        crate::table::say(&words);
    }
    let more = names.len().saturating_sub(NAMED);
    let named: Vec<String> =
        names.iter().take(NAMED).map(|name| name.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    Outcome::Differs(named.join(", ") + &more)
}

fn only(parts: &Parts, names: &[&String]) -> Parts {
    parts.iter().filter(|(name, _)| names.contains(name)).map(|(name, lines)| (name.clone(), lines.clone())).collect()
}
