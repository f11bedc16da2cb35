//! The page docs/benchmarks.md: machine, versions, commands, what was measured, and every bar with its verdict.

use crate::peers::version;
use crate::plot::{Mark, draw};
use crate::servers::Servers;
use std::fmt::Write;

/// How much is measured; from the environment, so that a reduced form can be run by hand.
pub struct Scope {
    /// Rounds of each measurement.
    pub rounds: usize,
    /// Row text of the wide database, in megabytes.
    pub megabytes: u64,
    /// Small tenants.
    pub tenants: usize,
    only: Option<String>,
    /// Whether docs/ are written although it is a reduced run.
    write: bool,
}

impl Scope {
    /// `SENNIGHT_BENCH_ROUNDS`, `_MB`, `_TENANTS`, `_ONLY` (wide, small, tables, mariadb).
    pub fn from_env() -> Self {
        let number = |name: &str, default: usize| {
            std::env::var(format!("SENNIGHT_BENCH_{name}")).map_or(default, |text| text.parse().unwrap())
        };
        Self {
            rounds: number("ROUNDS", 5),
            megabytes: u64::try_from(number("MB", 2000)).unwrap(),
            tenants: number("TENANTS", 200),
            only: std::env::var("SENNIGHT_BENCH_ONLY").ok(),
            write: std::env::var_os("SENNIGHT_BENCH_WRITE").is_some(),
        }
    }

    /// Whether this part is asked for.
    pub fn runs(&self, part: &str) -> bool {
        self.only.as_deref().is_none_or(|only| only.split(',').any(|o| o == part))
    }

    /// Whether what was measured is what the bars are about, be it all parts or some.
    fn whole(&self) -> bool {
        self.rounds >= 5 && self.megabytes >= 2000 && self.tenants >= 200
    }
}

/// A promise and what became of it.
pub struct Bar {
    what: String,
    wanted: f64,
    found: f64,
    held: bool,
    sign: &'static str,
}

impl Bar {
    /// More is better.
    pub fn at_least(what: impl Into<String>, wanted: f64, found: f64) -> Self {
        Self { what: what.into(), wanted, found, held: found >= wanted, sign: "≥" }
    }

    /// Less is better.
    pub fn at_most(what: impl Into<String>, wanted: f64, found: f64) -> Self {
        Self { what: what.into(), wanted, found, held: found <= wanted, sign: "≤" }
    }
}

/// The parts in the order of the page. A bar's name begins with its part's.
const PARTS: [&str; 4] = ["wide", "small", "tables", "mariadb"];

/// The page in the making.
pub struct Page {
    head: String,
    /// Texts by part.
    sections: Vec<(String, String)>,
    bars: Vec<Bar>,
    marks: Vec<Mark>,
}

fn file(path: &str, key: &str) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().find(|l| l.starts_with(key)).unwrap_or_default();
    line.split_once(':').map_or(line, |(_, value)| value).trim().to_owned()
}

impl Page {
    /// Notes machine and versions.
    pub fn new(servers: &Servers) -> Self {
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let server = servers.sql("postgres", "SELECT split_part(version(), ' on ', 1)");
        let tools = [
            format!("{server} (TLS, shared_buffers 128 MB, fsync off)"),
            version(&servers.bin.join("pg_dump").display().to_string(), "--version"),
            version("zstd", "--version").trim_matches(|c| c == '*' || c == ' ').to_owned(),
            version("rclone", "--version"),
            version("restic", "version"),
            version(&servers.sennight.display().to_string(), "--version"),
        ];
        let head = format!(
            "# Benchmarks\n\n\
             Written by `make bench` on {}; do not edit, run it. It takes about half an hour and needs what `make test-fast` needs, and rclone, restic \
             and curl. Client, PostgreSQL and MinIO share one machine: every figure is what all three cost together.\n\n\
             - **Machine**: {cores} cores ({}), {} GiB, Linux {}. PostgreSQL reads from the page cache; MinIO writes to one disk.\n\
             - **Versions**: {}. MariaDB's and mydumper's are named where they are measured.\n\
             - **Commands**: `make bench`; a reduced form by `SENNIGHT_BENCH_ROUNDS=1 SENNIGHT_BENCH_MB=200 SENNIGHT_BENCH_TENANTS=20 make bench` \
             (prints only). `SENNIGHT_BENCH_ONLY=wide,small,tables,mariadb` or some of them runs these parts, and leaves the others' figures on this page as they \
             are. `sennight` is `cargo build --release`, what the image ships.\n\
             - **Data**: seeded, made by `tests/bench/data.rs`: words by a skewed choice, numbers, times, JSON, NULLs, some incompressible bytes.\n",
            chrono::Utc::now().format("%Y-%m-%d"),
            file("/proc/cpuinfo", "model name"),
            file("/proc/meminfo", "MemTotal").split(' ').next().and_then(|kb| kb.parse::<u64>().ok()).unwrap_or(0)
                >> 20,
            kernel.trim(),
            tools.join("; "),
        );
        Self { head, sections: Vec::new(), bars: Vec::new(), marks: Vec::new() }
    }

    /// Adds a part.
    pub fn section(&mut self, part: &str, title: &str, text: &str) {
        let day = chrono::Utc::now().format("%Y-%m-%d");
        let text = format!("{}\n## {title}\n\n{}\n\nMeasured on {day}.\n", marker(part), text.trim_end());
        self.sections.push((part.to_owned(), text));
    }

    /// Adds bars.
    pub fn bars(&mut self, bars: Vec<Bar>) {
        self.bars.extend(bars);
    }

    /// Sets what the plot shows.
    pub fn plot(&mut self, marks: Vec<Mark>) {
        self.marks = marks;
    }

    /// The lines of this run's bars of a part, or of those that stand on the page.
    fn bars_of(&self, part: &str, known: &str) -> String {
        let of = format!("{part}: ");
        let own: Vec<&Bar> = self.bars.iter().filter(|bar| bar.what.starts_with(&of)).collect();
        if own.is_empty() {
            let of = format!("| {of}");
            return known
                .lines()
                .filter(|line| line.starts_with(&of))
                .fold(String::new(), |all, line| all + line + "\n");
        }
        own.into_iter().fold(String::new(), |mut all, bar| {
            let verdict = if bar.held { "holds" } else { "**FALLS SHORT**" };
            let what = bar.what.replace('|', "\\|");
            writeln!(all, "| {what} | {} {} | {:.2} | {verdict} |", bar.sign, bar.wanted, bar.found).unwrap();
            all
        })
    }

    /// The text of a part of this run, or the one that stands on the page.
    fn text_of(&self, part: &str, known: &str) -> String {
        if let Some((_, text)) = self.sections.iter().find(|(of, _)| of == part) {
            return format!("\n{text}");
        }
        let Some((_, rest)) = known.split_once(&marker(part)) else { return String::new() };
        let own = rest.split_once("\n<!-- part: ").map_or(rest, |(own, _)| own);
        format!("\n{}{}\n", marker(part), own.trim_end())
    }

    /// Prints the page; a run of whole parts also writes docs/benchmarks.md and docs/benchmarks.svg. What `known` has of
    /// parts that did not run stays.
    pub fn write(&self, scope: &Scope) {
        let docs = testkit::repository().join("docs");
        let writes = scope.whole() || scope.write;
        let known = std::fs::read_to_string(docs.join("benchmarks.md")).unwrap_or_default();
        let known = if writes { known.as_str() } else { "" };
        let plotted = !self.marks.is_empty() || known.contains("](benchmarks.svg)");
        let plot = if plotted { "\n![megabytes of row text a second](benchmarks.svg)\n" } else { "" };
        let reduced =
            "\n**This is a reduced run**: fewer rounds, or fewer or smaller databases than the bars are about.\n";
        let reduced = if scope.whole() { "" } else { reduced };
        let bars: String = PARTS.iter().map(|part| self.bars_of(part, known)).collect();
        let texts: String = PARTS.iter().map(|part| self.text_of(part, known)).collect();
        let head = "\n## Bars\n\n| bar | wanted | measured | |\n|---|---|---|---|\n";
        let page = format!("{}{reduced}{head}{bars}{plot}{texts}", self.head);
        println!("{page}");
        if !writes {
            println!("a reduced run: docs/benchmarks.md is not written (SENNIGHT_BENCH_WRITE=1 writes it)");
            return;
        }
        if !self.marks.is_empty() {
            let title = "One database into S3 on 2 cores: MB of row text a second";
            draw(&docs.join("benchmarks.svg"), title, &self.marks).unwrap();
        }
        std::fs::write(docs.join("benchmarks.md"), page).unwrap();
    }
}

/// Where a part begins; it cannot be seen in what the page is rendered to.
fn marker(part: &str) -> String {
    format!("<!-- part: {part} -->")
}
