//! The bars, and the generated part of docs/scale.md.

use crate::scope::Scope;
use std::fmt::Write;
use std::path::Path;

/// Between these lines of docs/scale.md stands what a run wrote.
const MARKS: (&str, &str) = ("<!-- make bench-scale writes from here -->", "<!-- to here -->");

/// A bar and what became of it.
pub struct Bar {
    what: String,
    wanted: f64,
    found: f64,
    promise: bool,
}

impl Bar {
    /// Less is better; more is told.
    pub fn at_most(what: impl Into<String>, wanted: f64, found: f64) -> Self {
        Self { what: what.into(), wanted, found, promise: false }
    }

    /// Must be none: the run fails.
    pub fn promise(what: impl Into<String>, found: f64) -> Self {
        Self { what: what.into(), wanted: 0.0, found, promise: true }
    }

    fn held(&self) -> bool {
        self.found <= self.wanted
    }
}

/// The page in the making.
pub struct Page {
    head: String,
    sections: String,
    bars: Vec<Bar>,
}

fn file(path: &str, key: &str) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().find(|l| l.starts_with(key)).unwrap_or_default();
    line.split_once(':').map_or(line, |(_, value)| value).trim().to_owned()
}

impl Page {
    /// Notes the machine.
    pub fn new(scope: &Scope) -> Self {
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let memory = file("/proc/meminfo", "MemTotal").split(' ').next().and_then(|kb| kb.parse::<u64>().ok());
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let head = format!(
            "{} on {cores} cores ({}), {} GiB; load at the start {}. {} BackupSchedules at rest, {} RestoreRequests, {} \
             BackupSchedules through the compressed day.\n",
            chrono::Utc::now().format("%Y-%m-%d"),
            file("/proc/cpuinfo", "model name"),
            memory.unwrap_or(0) >> 20,
            load.split(' ').next().unwrap_or_default(),
            scope.schedules,
            scope.requests,
            scope.day,
        );
        Self { head, sections: String::new(), bars: Vec::new() }
    }

    /// Adds a part; it is printed at once, for whoever waits.
    pub fn section(&mut self, title: &str, text: &str) {
        println!("{title}: {text}");
        write!(self.sections, "\n**{title}.** {text}\n").unwrap();
    }

    /// Adds bars.
    pub fn bars(&mut self, bars: Vec<Bar>) {
        self.bars.extend(bars);
    }

    /// Prints everything; a whole run also writes docs/scale.md. A broken promise ends the program with an error.
    pub fn write(&self, scope: &Scope) {
        let mut table = "\n| bar | wanted | measured | |\n|---|---|---|---|\n".to_owned();
        for bar in &self.bars {
            let verdict = if bar.held() { "holds" } else { "**FALLS SHORT**" };
            let wanted = if bar.promise { "none".to_owned() } else { format!("≤ {}", bar.wanted) };
            writeln!(table, "| {} | {wanted} | {:.2} | {verdict} |", bar.what, bar.found).unwrap();
        }
        let page = format!("{}{table}{}", self.head, self.sections);
        println!("{page}");
        let broken: Vec<&str> = self.bars.iter().filter(|b| b.promise && !b.held()).map(|b| b.what.as_str()).collect();
        assert!(broken.is_empty(), "broken promises: {broken:?}");
        let promises = self.bars.iter().filter(|bar| bar.promise).count();
        if scope.part {
            // In cargo's words, so that the harness counts it.
            println!("test result: ok. {promises} passed; 0 failed; 0 ignored; 0 measured; 0 filtered out");
            return;
        }
        if !scope.whole() && !scope.write {
            println!("a reduced run: docs/scale.md is not written (SENNIGHT_SCALE_WRITE=1 writes it)");
            return;
        }
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/scale.md");
        let old = std::fs::read_to_string(&path).unwrap();
        let (before, rest) = old.split_once(MARKS.0).expect("docs/scale.md has no mark");
        let (_, after) = rest.split_once(MARKS.1).expect("docs/scale.md has no second mark");
        std::fs::write(path, format!("{before}{}\n{page}{}{after}", MARKS.0, MARKS.1)).unwrap();
    }
}
