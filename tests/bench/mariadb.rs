//! MariaDB: one tenant of the wide database's shape and half its size. Sennight and the tools that people use with MariaDB in
//! turns, dumping into the same MinIO; then a restore beside the stock client reading a dump.

use crate::data;
use crate::mariadb_server::MariaDb;
use crate::measure::run;
use crate::peers::version;
use crate::report::{Bar, Page, Scope};
use crate::servers::Servers;
use crate::wide::{OWN, Runs, line, ratio};

const DATABASE: &str = "bench_mariadb";
const MYDUMPER: &str = "mydumper -t 2 -c, then rclone backup";
const MIB: f64 = 1_048_576.0;

/// A way to dump the database into the bucket.
struct Peer {
    name: &'static str,
    script: &'static str,
    /// Sennight shall be so many times as fast.
    bar: Option<f64>,
}

const PEERS: [Peer; 3] = [
    Peer {
        name: "mariadb-dump --single-transaction | zstd | rclone rcat",
        script: "mariadb-dump --defaults-file=\"$DEFAULTS\" --single-transaction \"$DB\" | zstd -q -c | rclone rcat s3:bench/peer/dump.sql.zst",
        bar: Some(1.5),
    },
    Peer {
        name: "mariadb-dump --single-transaction | zstd -1 -T2 | rclone rcat",
        script: "mariadb-dump --defaults-file=\"$DEFAULTS\" --single-transaction \"$DB\" | zstd -q -1 -T2 -c | \
                 rclone rcat s3:bench/peer/dump.sql.zst",
        bar: None,
    },
    Peer {
        name: MYDUMPER,
        script: "\"$MYDUMPER\" --defaults-file=\"$DEFAULTS\" --ssl --ca \"$CA\" -v 1 -B \"$DB\" -t 2 -c -o \"$SCRATCH/dir\" && \
                 rclone backup \"$SCRATCH/dir\" s3:bench/peer/dir && rm -r \"$SCRATCH/dir\"",
        bar: None,
    },
];

/// What a person does with a dump in a bucket.
const STOCK: &str = "rclone cat | zstd -d | mariadb";
const STOCK_SCRIPT: &str =
    "rclone cat s3:bench/stock/dump.sql.zst | zstd -q -dc | mariadb --defaults-file=\"$DEFAULTS\" \"${DB}_stock\"";

/// All contestants in turns; what Sennight stored last stays in the bucket, and a stock dump.
fn dumps(server: &MariaDb<'_>, servers: &Servers, peers: &[&Peer], rounds: usize) -> Vec<Runs> {
    let mut own = Runs::new(OWN);
    let mut others: Vec<Runs> = peers.iter().map(|peer| Runs::new(peer.name)).collect();
    for round in 1..=rounds {
        for (peer, runs) in peers.iter().zip(&mut others) {
            let cost = run(server.bash(peer.script, DATABASE), server.watched);
            eprintln!("mariadb: round {round}, {}: {cost:.1?}", peer.name);
            runs.costs.push(cost);
            runs.stored = servers.stored("peer");
            if round == rounds && peer.bar.is_some() {
                servers.rclone(&["moveto", "s3:bench/peer/dump.sql.zst", "s3:bench/stock/dump.sql.zst"]);
            }
            servers.purge("peer");
        }
        if round > 1 {
            servers.purge("own");
        }
        let cost = run(server.dump("own", DATABASE), server.watched);
        eprintln!("mariadb: round {round}, {OWN}: {cost:.1?}");
        own.costs.push(cost);
        own.stored = servers.stored("own/daily");
    }
    std::iter::once(own).chain(others).collect()
}

/// Both in turns; `stored` is what they read.
fn restores(server: &MariaDb<'_>, rounds: usize, stored: [u64; 2]) -> [Runs; 2] {
    let (mut own, mut stock) = (Runs::new("Sennight prepare"), Runs::new(STOCK));
    [own.stored, stock.stored] = stored;
    for round in 1..=rounds {
        server.sql("", &format!("CREATE DATABASE {DATABASE}_stock CHARACTER SET utf8mb4"));
        for runs in [&mut stock, &mut own] {
            let command =
                if runs.name == STOCK { server.bash(STOCK_SCRIPT, DATABASE) } else { server.prepare("own", DATABASE) };
            let cost = run(command, server.watched);
            eprintln!("mariadb: restore, round {round}, {}: {cost:.1?}", runs.name);
            runs.costs.push(cost);
        }
        server.clear(DATABASE);
    }
    [own, stock]
}

fn bars(dumped: &[Runs], peers: &[&Peer]) -> Vec<Bar> {
    #[allow(clippy::cast_precision_loss)]
    let memory = dumped[0].of(|c| c.memory as f64) / MIB;
    let mut bars = vec![Bar::at_most("mariadb: peak resident memory, MiB", 256.0, memory)];
    bars.extend(peers.iter().zip(&dumped[1..]).filter_map(|(peer, runs)| {
        Some(Bar::at_least(format!("mariadb: times as fast as `{}`", peer.name), peer.bar?, ratio(runs, &dumped[0])))
    }));
    bars
}

/// Runs it all and puts it onto the page.
pub fn run_and_judge(servers: &Servers, scope: &Scope, page: &mut Page) {
    let server = MariaDb::from_env(servers);
    let megabytes = scope.megabytes / 2;
    eprintln!("mariadb: loading {megabytes} MB");
    data::load_mariadb(&server, DATABASE, &data::wide(), megabytes * 1_000_000);
    let peers: Vec<&Peer> = PEERS.iter().filter(|peer| server.mydumper.is_some() || peer.name != MYDUMPER).collect();
    let dumped = dumps(&server, servers, &peers, scope.rounds);
    let restored = restores(&server, scope.rounds.min(3), [dumped[0].stored, dumped[1].stored]);
    for prefix in ["own", "stock"] {
        servers.purge(prefix);
    }
    #[allow(clippy::cast_precision_loss)]
    let raw = megabytes as f64;
    let lines = |all: &[Runs]| all.iter().map(|runs| line(runs, &all[0], raw)).collect::<Vec<_>>().join("\n");
    let mydumper = server.mydumper.as_ref().map_or_else(
        || "mydumper was not there: Debian's package of bookworm could not be unpacked".to_owned(),
        |path| version(path, "--version"),
    );
    let head = "seconds | MB/s | times as long | client CPU s | MariaDB CPU s | MinIO CPU s | memory MiB | stored MB |\n|---|---|---|---|---|---|---|---|---|";
    page.section(
        "mariadb",
        "MariaDB",
        &format!(
            "One database of 51 tables, {megabytes} MB of row text, on {} (TLS, buffer pool 128 MB, nobody waits for a disk); {mydumper}. The medians \
             of {} rounds, all contestants in turns.\n\n\
             | dump | {head}\n{}\n\n\
             A restore of it into a new database of the same server; the medians of {} rounds. Sennight checks each frame of the backup and \
             afterwards reads every table back and compares it with what was in it; `mariadb` does neither.\n\n\
             | restore | {head}\n{}\n\n",
            server.sql("", "SELECT VERSION()"), scope.rounds, lines(&dumped), scope.rounds.min(3), lines(&restored),
        ),
    );
    page.bars(bars(&dumped, &peers));
}
