//! The tools that people use today, each writing to the same MinIO as Sennight does, and what they leave there.

use crate::servers::{BUCKET, Servers};
use std::process::Command;

/// A way to dump a database into the bucket.
pub struct Peer {
    /// What it is called in the tables.
    pub name: &'static str,
    /// As a shell script; `$DB` is the database, everything else stands in the environment.
    pub script: &'static str,
    /// Sennight shall be so many times as fast.
    pub bar: f64,
}

/// The peers of issue and documentation, in the order in which they run.
pub const PEERS: [Peer; 4] = [
    Peer {
        name: "pg_dump -Fc | rclone rcat",
        script: "pg_dump -Fc --no-password | rclone rcat s3:bench/peer/dump.pgdump",
        bar: 3.0,
    },
    Peer {
        name: "pg_dump -Z0 | zstd -1 -T2 | rclone rcat",
        script: "pg_dump -Z0 --no-password | zstd -q -1 -T2 -c | rclone rcat s3:bench/peer/dump.sql.zst",
        bar: 1.3,
    },
    Peer {
        name: "pg_dump -Fd -j2, then rclone backup",
        script: "pg_dump -Fd -j2 --no-password -f \"$SCRATCH/dir\" && \
                 rclone backup \"$SCRATCH/dir\" s3:bench/peer/dir && rm -r \"$SCRATCH/dir\"",
        bar: 1.2,
    },
    Peer {
        name: "pg_dump | restic backup --stdin",
        script: "pg_dump --no-password | restic -q -r \"s3:$ENDPOINT/bench/peer/restic\" backup --stdin",
        bar: 1.5,
    },
];

impl Peer {
    /// The command for one run; what must be there before is made here and not measured.
    pub fn command(&self, servers: &Servers, database: &str) -> Command {
        if self.script.contains("restic") {
            let status = servers.bash("restic -q -r \"s3:$ENDPOINT/bench/peer/restic\" init").status().unwrap();
            assert!(status.success(), "restic init");
        }
        let mut command = servers.bash(self.script);
        command.env("PGDATABASE", database);
        command
    }

    /// Bytes that it left in the bucket, which are removed.
    pub fn clear(servers: &Servers) -> u64 {
        let stored = servers.stored("peer");
        servers.purge("peer");
        stored
    }
}

/// The first line of what a program says of its version.
pub fn version(program: &str, argument: &str) -> String {
    let output = Command::new(program).arg(argument).output().unwrap_or_else(|e| panic!("{program}: {e}"));
    String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().trim().to_owned()
}

const _: () = assert!(matches!(BUCKET.as_bytes(), b"bench"), "the scripts name the bucket");
