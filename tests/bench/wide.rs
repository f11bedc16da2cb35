//! The wide database: one tenant of 2 GB. Sennight and every peer in turns, so that each pair saw the same machine.

use crate::ceiling::{CORES, Ceiling};
use crate::data;
use crate::measure::{Cost, median, run};
use crate::peers::{PEERS, Peer};
use crate::plot::Mark;
use crate::report::{Bar, Page, Scope};
use crate::servers::Servers;

const DATABASE: &str = "bench_wide";
pub const OWN: &str = "Sennight";
const MIB: f64 = 1_048_576.0;

/// The runs of one contestant.
pub struct Runs {
    pub name: &'static str,
    pub costs: Vec<Cost>,
    pub stored: u64,
}

impl Runs {
    /// None yet.
    pub fn new(name: &'static str) -> Self {
        Self { name, costs: Vec::new(), stored: 0 }
    }

    /// The median of something.
    pub fn of(&self, what: fn(&Cost) -> f64) -> f64 {
        median(self.costs.iter().map(what))
    }
}

/// What there is to tell.
pub struct Outcome {
    ceiling: Ceiling,
    /// CPU milliseconds of everybody for 1 MB of Sennight's.
    cpu: f64,
    lines: Vec<String>,
    bars: Vec<Bar>,
    marks: Vec<Mark>,
}

/// Loads, measures and judges.
pub fn run_all(servers: &Servers, scope: &Scope) -> Outcome {
    let tables = data::wide();
    eprintln!("wide: loading {} MB", scope.megabytes);
    data::load(servers, DATABASE, &tables, scope.megabytes * 1_000_000);
    let ceiling = Ceiling::measure(servers, DATABASE, &data::names(&tables), scope.rounds.min(3));
    eprintln!("wide: {ceiling:?}, {:.0} MB/s", ceiling.rate());
    let mut all: Vec<Runs> = std::iter::once(OWN).chain(PEERS.iter().map(|p| p.name)).map(Runs::new).collect();
    for round in 1..=scope.rounds {
        for (number, runs) in all.iter_mut().enumerate() {
            let cost = if let Some(peer) = number.checked_sub(1).map(|n| &PEERS[n]) {
                let cost = run(peer.command(servers, DATABASE), servers.watched);
                runs.stored = Peer::clear(servers);
                cost
            } else {
                let cost = run(servers.dump("own", &[DATABASE.to_owned()]), servers.watched);
                runs.stored = servers.stored("own/daily");
                servers.purge("own");
                cost
            };
            eprintln!("wide: round {round}, {}: {cost:.1?}", runs.name);
            runs.costs.push(cost);
        }
    }
    let lines = all.iter().map(|runs| line(runs, &all[0], ceiling.raw)).collect();
    let marks = all.iter().map(|r| Mark { name: r.name.to_owned(), rate: ceiling.raw / r.of(|c| c.wall) });
    let cpu = all[0].of(|c| c.client + c.database + c.store) * 1e3 / ceiling.raw;
    Outcome { ceiling, cpu, lines, bars: bars(&all, &ceiling), marks: marks.collect() }
}

/// A contestant's line in a table.
pub fn line(runs: &Runs, own: &Runs, raw: f64) -> String {
    #[allow(clippy::cast_precision_loss)]
    let (memory, stored) = (runs.of(|c| c.memory as f64) / MIB, runs.stored as f64 / 1e6);
    let (wall, client, database) = (runs.of(|c| c.wall), runs.of(|c| c.client), runs.of(|c| c.database));
    format!(
        "| `{}` | {wall:.1} | {:.0} | {:.2} | {client:.1} | {database:.1} | {:.1} | {memory:.0} | {stored:.0} |",
        runs.name.replace('|', "\\|"),
        raw / wall,
        ratio(runs, own),
        runs.of(|c| c.store)
    )
}

/// How many times as long as Sennight's run of the same round.
pub fn ratio(peer: &Runs, own: &Runs) -> f64 {
    median(peer.costs.iter().zip(&own.costs).map(|(peer, own)| peer.wall / own.wall))
}

fn bars(all: &[Runs], ceiling: &Ceiling) -> Vec<Bar> {
    let own = &all[0];
    let rate = ceiling.raw / own.of(|c| c.wall);
    #[allow(clippy::cast_precision_loss)]
    let (memory, stored) = (own.of(|c| c.memory as f64) / MIB, own.stored as f64 / ceiling.zstd3 as f64);
    let mut bars = vec![
        Bar::at_least("wide: share of the ceiling", 0.85, rate / ceiling.rate()),
        Bar::at_most("wide: peak resident memory, worker and pg_dump together, MiB", 256.0, memory),
        Bar::at_most("wide: stored bytes, times those of zstd -3", 1.05, stored),
    ];
    bars.extend(PEERS.iter().zip(&all[1..]).map(|(peer, runs)| {
        Bar::at_least(format!("wide: times as fast as `{}`", peer.name), peer.bar, ratio(runs, own))
    }));
    bars
}

/// Runs it all and puts it onto the page.
pub fn run_and_judge(servers: &Servers, scope: &Scope, page: &mut Page) {
    let Outcome { ceiling, cpu, lines, bars, mut marks } = run_all(servers, scope);
    let part = |what: &str, seconds: f64| format!("| {what} | {:.2} |", seconds * 1e3);
    page.section(
        "wide",
        "Wide database",
        &format!(
            "One database of 51 tables, {:.0} MB of row text; the medians of {} rounds, all contestants in turns. *Times as long* is the \
             median of the ratios within each round. Memory is the largest sum of the peaks of all processes of the client that were alive together.\n\n\
             | contestant | seconds | MB/s | times as long | client CPU s | PostgreSQL CPU s | MinIO CPU s | memory MiB | stored MB |\n\
             |---|---|---|---|---|---|---|---|---|\n{}\n\n\
             The ceiling of two cores is **{:.0} MB/s** of row text: 2 ÷ the sum of what the parts cost by themselves, measured in the same run:\n\n\
             | part | CPU milliseconds for 1 MB of row text |\n|---|---|\n{}\n\n\
             (Rows that never leave the server, `COPY … TO '/dev/null'`, cost {:.2}; with that the ceiling were {:.0} MB/s.)\n\n\
             Sennight, PostgreSQL and MinIO together spent {cpu:.2} CPU milliseconds on 1 MB. Had they had both cores for themselves and \
             never waited, that were {:.0} MB/s, {:.0} % of the ceiling.",
            ceiling.raw, scope.rounds, lines.join("\n"), ceiling.rate(),
            [
                part("`COPY … TO STDOUT` over TLS, the server's side", ceiling.backup),
                part(&format!("`zstd -{} --check`", sennight_worker::dump::frame_writer::LEVEL), ceiling.zstd),
                part("SHA-256 of the compressed bytes", ceiling.hash),
                part("PUT of the compressed bytes, curl and MinIO", ceiling.put),
            ].join("\n"),
            ceiling.copy_local * 1e3, ceiling.rate_local(),
            CORES * 1e3 / cpu, CORES * 1e5 / cpu / ceiling.rate(),
        ),
    );
    page.bars(bars);
    marks.push(Mark { name: "ceiling of 2 cores".to_owned(), rate: ceiling.rate() });
    page.plot(marks);
}
