//! The bars, and the generated part of docs/scale.md: a block for each part of a run, so that parts can be run one by one.

use crate::scope::Scope;
use std::fmt::Write;

/// Between these lines of docs/scale.md stands what a run wrote.
const MARKS: (&str, &str) = ("<!-- make bench-scale writes from here -->", "<!-- to here -->");

/// A bar and what became of it.
pub struct Bar {
    what: String,
    found: f64,
    wanted: Wanted,
}

#[derive(Clone, Copy)]
enum Wanted {
    AtMost(f64),
    None,
    /// A peer's figure: nothing is asked of it.
    Anything,
}

impl Bar {
    /// Less is better; more is told.
    pub fn at_most(what: impl Into<String>, wanted: f64, found: f64) -> Self {
        Self { what: what.into(), found, wanted: Wanted::AtMost(wanted) }
    }

    /// Must be none: the run fails.
    pub fn promise(what: impl Into<String>, found: f64) -> Self {
        Self { what: what.into(), found, wanted: Wanted::None }
    }

    /// A figure of somebody else.
    pub fn told(what: impl Into<String>, found: f64) -> Self {
        Self { what: what.into(), found, wanted: Wanted::Anything }
    }

    fn is_promise(&self) -> bool {
        matches!(self.wanted, Wanted::None)
    }

    fn held(&self) -> bool {
        match self.wanted {
            Wanted::AtMost(wanted) => self.found <= wanted,
            Wanted::None => self.found <= 0.0,
            Wanted::Anything => true,
        }
    }

    /// What was wanted, and what became of it.
    fn words(&self) -> (String, &'static str) {
        let verdict = if self.held() { "holds" } else { "**FALLS SHORT**" };
        match self.wanted {
            Wanted::AtMost(wanted) => (format!("≤ {wanted}"), verdict),
            Wanted::None => ("none".to_owned(), verdict),
            Wanted::Anything => (String::new(), "a peer's"),
        }
    }
}

/// A block in the making: what it says of the machine and of itself, and its bars.
pub struct Page {
    part: Option<Part>,
    broken: Vec<String>,
    promises: usize,
}

struct Part {
    name: &'static str,
    head: String,
    sections: String,
    bars: Vec<Bar>,
}

fn file(path: &str, key: &str) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().find(|l| l.starts_with(key)).unwrap_or_default();
    line.split_once(':').map_or(line, |(_, value)| value).trim().to_owned()
}

/// When, and on what.
fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = file("/proc/meminfo", "MemTotal").split(' ').next().and_then(|kb| kb.parse::<u64>().ok());
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    format!(
        "{} on {cores} cores ({}), {} GiB; load at the start {}.",
        chrono::Utc::now().format("%Y-%m-%d %H:%M"),
        file("/proc/cpuinfo", "model name"),
        memory.unwrap_or(0) >> 20,
        load.split(' ').next().unwrap_or_default(),
    )
}

impl Page {
    /// An empty one.
    pub fn new() -> Self {
        Self { part: None, broken: Vec::new(), promises: 0 }
    }

    /// Begins a block, and notes the machine as it is now.
    pub fn begin(&mut self, name: &'static str) {
        self.part = Some(Part { name, head: machine(), sections: String::new(), bars: Vec::new() });
    }

    fn part(&mut self) -> &mut Part {
        self.part.as_mut().expect("a block was begun")
    }

    /// Adds a paragraph; it is printed at once, for whoever waits.
    pub fn section(&mut self, title: &str, text: &str) {
        println!("{title}: {text}");
        write!(self.part().sections, "\n**{title}.** {text}\n").unwrap();
    }

    /// Adds bars.
    pub fn bars(&mut self, bars: Vec<Bar>) {
        self.part().bars.extend(bars);
    }

    /// Prints the block; of a whole run, or where it is asked for, it takes its place in docs/scale.md.
    pub fn end(&mut self, scope: &Scope, whole: bool) {
        let part = self.part.take().expect("a block was begun");
        let text = part.text();
        println!("{text}");
        let promises = part.bars.iter().filter(|bar| bar.is_promise());
        self.promises += promises.clone().count();
        self.broken.extend(promises.filter(|bar| !bar.held()).map(|bar| bar.what.clone()));
        if whole || scope.write {
            replace(part.name, &text);
        } else if !scope.part {
            println!("a reduced run: docs/scale.md is not written (SENNIGHT_SCALE_WRITE=1 writes it)");
        }
    }

    /// A broken promise ends the program with an error.
    pub fn judge(&self, scope: &Scope) {
        assert!(self.broken.is_empty(), "broken promises: {:?}", self.broken);
        if scope.part {
            // In cargo's words, so that the harness counts it.
            println!("test result: ok. {} passed; 0 failed; 0 ignored; 0 measured; 0 filtered out", self.promises);
        }
    }
}

impl Part {
    fn text(&self) -> String {
        let mut text = format!("\n{}\n", self.head);
        if !self.bars.is_empty() {
            text.push_str("\n| bar | wanted | measured | |\n|---|---|---|---|\n");
        }
        for bar in &self.bars {
            let (wanted, verdict) = bar.words();
            writeln!(text, "| {} | {wanted} | {:.2} | {verdict} |", bar.what, bar.found).unwrap();
        }
        format!("{text}{}", self.sections)
    }
}

/// Puts a block where it was, or behind the others.
fn replace(name: &str, text: &str) {
    let path = testkit::repository().join("docs/scale.md");
    let old = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = old.split_once(MARKS.0).expect("docs/scale.md has no mark");
    let (blocks, after) = rest.split_once(MARKS.1).expect("docs/scale.md has no second mark");
    let (first, last) = (format!("<!-- {name} -->\n"), format!("<!-- end of {name} -->\n"));
    let block = format!("{first}{text}\n{last}");
    let there = blocks.split_once(&first).and_then(|(a, rest)| Some((a, rest.split_once(&last)?.1)));
    let blocks = match there {
        Some((a, z)) => format!("{a}{block}{z}"),
        None => format!("{}\n\n{block}\n", blocks.trim_end()),
    };
    std::fs::write(path, format!("{before}{}{blocks}{}{after}", MARKS.0, MARKS.1)).unwrap();
}
