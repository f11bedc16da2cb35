//! The API tier that this run is on: its servers, killed and started again.

use crate::support::env;
use std::process::{Command, Stdio};

/// Kills `apiserver` or `kcm` and starts it again, with more in its environment; returns once it serves.
pub fn restart(what: &str, more: &[(&str, &str)]) {
    let script = format!("{}/tests/cluster/api-tier.sh", env!("CARGO_MANIFEST_DIR"));
    let done = Command::new(script)
        .arg(format!("restart-{what}"))
        .env("SENNIGHT_RUN_DIR", env("SENNIGHT_CLUSTER_DIR"))
        .envs(more.iter().copied())
        .stdin(Stdio::null())
        .status()
        .unwrap();
    assert!(done.success(), "{what} did not start again");
}
