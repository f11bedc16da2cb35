//! The ceiling: what two cores could do if nothing but the work itself cost anything. Its parts are measured one by one in
//! the same run: the server's side of bare COPYs, zstd, SHA-256 and PUT, in CPU seconds for each megabyte of row text.

use crate::measure::{Cost, median, run};
use crate::servers::{BUCKET, Servers};
use sennight_worker::dump::frame_writer::LEVEL;

/// Cores that the ceiling is for.
pub const CORES: f64 = 2.0;
const MB: f64 = 1e6;

/// CPU seconds for each megabyte of row text, and the sizes they were measured on.
#[derive(Debug, Clone, Copy)]
pub struct Ceiling {
    /// COPY TO STDOUT over TLS, on the server's side.
    pub backup: f64,
    /// COPY to the server's own /dev/null: no connection at all.
    pub copy_local: f64,
    /// zstd with checksums at Sennight's level.
    pub zstd: f64,
    /// SHA-256 of the frames.
    pub hash: f64,
    /// PUT of the compressed bytes, both sides.
    pub put: f64,
    /// Megabytes of row text.
    pub raw: f64,
    /// Bytes that `zstd -3` makes of it.
    pub zstd3: u64,
}

impl Ceiling {
    /// Megabytes a second on two cores.
    pub fn rate(&self) -> f64 {
        CORES / (self.backup + self.zstd + self.hash + self.put)
    }

    /// The same if rows reached us without a connection.
    pub fn rate_local(&self) -> f64 {
        CORES / (self.copy_local + self.zstd + self.hash + self.put)
    }

    /// Measures each part `rounds` times.
    pub fn measure(servers: &Servers, database: &str, tables: &[&str], rounds: usize) -> Self {
        let raw_file = servers.scratch.path().join("raw");
        let backups = |target: &str| {
            let one = |t: &&str| format!("psql -XqAt -c 'COPY {t} TO {target}'");
            tables.iter().map(one).collect::<Vec<_>>().join("\n")
        };
        let bash = |script: &str| {
            let mut command = servers.bash(script);
            command.env("PGDATABASE", database).env("RAW", &raw_file);
            command
        };
        let costs = |script: &str| (0..rounds).map(|_| run(bash(script), servers.watched)).collect::<Vec<Cost>>();
        run(bash(&format!("{{ {}\n}} > \"$RAW\"", backups("STDOUT"))), servers.watched);
        #[allow(clippy::cast_precision_loss)]
        let raw = std::fs::metadata(&raw_file).unwrap().len() as f64 / MB;
        let backup = costs(&backups("STDOUT"));
        let copy_local = costs(&backups("$$/dev/null$$"));
        let zstd = costs(&format!("zstd -q -{LEVEL} -T1 --check -c \"$RAW\" > /dev/null"));
        run(bash(&format!("zstd -q -f -{LEVEL} -T2 --check \"$RAW\" -o \"$RAW.zst\"")), servers.watched);
        let hash = costs("openssl dgst -sha256 \"$RAW.zst\"");
        let put = costs(&format!(
            "printf 'user = \"%s:%s\"\\n' \"$AWS_ACCESS_KEY_ID\" \"$AWS_SECRET_ACCESS_KEY\" | \
             curl -fsS --config - --aws-sigv4 aws:amz:us-east-1:s3 -T \"$RAW.zst\" \"$ENDPOINT/{BUCKET}/ceiling\""
        ));
        run(bash("zstd -q -f -3 -T2 --check \"$RAW\" -o \"$RAW.zst\""), servers.watched);
        let zstd3 = std::fs::metadata(raw_file.with_extension("zst")).unwrap().len();
        run(bash("rm \"$RAW\" \"$RAW.zst\""), servers.watched);
        servers.rclone(&["deletefile", &format!("s3:{BUCKET}/ceiling")]);
        let middle = |costs: &[Cost], of: fn(&Cost) -> f64| median(costs.iter().map(of)) / raw;
        Self {
            backup: middle(&backup, |c| c.database),
            copy_local: middle(&copy_local, |c| c.database),
            zstd: middle(&zstd, |c| c.client),
            hash: middle(&hash, |c| c.client),
            put: middle(&put, |c| c.client + c.store),
            raw,
            zstd3,
        }
    }
}
