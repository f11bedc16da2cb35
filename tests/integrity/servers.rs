//! What the suites on PostgreSQL share: their servers, how many cases are run, and the task of a restore.

use sennight_core::result::BackupSummary;
use sennight_protocol::restore::RestoreTask;
use sennight_protocol::target::DatabaseTarget;
use std::io::Write as _;
pub use testkit::postgres::Server;
use testkit::{backup_ref, dump_task};

/// A line that cargo does not swallow when the test passes.
pub fn say(words: &str) {
    let _ = writeln!(std::io::stderr(), "integrity: {words}");
}

/// How many cases to run of `whole`: a `cost`th of `SENNIGHT_CASES`, all where that is not set. Says what is left out.
pub fn cases(suite: &str, whole: usize, cost: usize) -> usize {
    let asked = std::env::var("SENNIGHT_CASES").ok().map(|n| n.parse::<usize>().expect("SENNIGHT_CASES is a number"));
    let cases = asked.map_or(whole, |asked| asked.div_ceil(cost).min(whole));
    if cases < whole {
        say(&format!("{suite}: {cases} of {whole} cases; left out: {} (make integrity runs all)", whole - cases));
    }
    cases
}

/// The task that fills a new database from a backup of tenant `name`'s.
pub fn restore_task(live: &DatabaseTarget, name: &str, backup: &BackupSummary, request_uid: &str) -> RestoreTask {
    RestoreTask {
        name: "restore".to_owned(),
        request_uid: request_uid.to_owned(),
        identity: dump_task(name, live).identity,
        backup: backup_ref(backup),
        database: live.clone(),
        parallelism: 4,
        headroom_bytes: None,
        allow_shared_owners: true,
        hooks_dir: None,
    }
}
