//! The API tier that this run is on: its servers, killed and started again.

use std::process::{Command, Stdio};
use testkit::env;

/// Kills `apiserver` or `kcm` and starts it again, with more in its environment; returns once it serves.
pub fn restart(what: &str, more: &[(&str, &str)]) {
    let script = testkit::repository().join("tests/cluster/api-tier.sh");
    let done = Command::new(script)
        .arg(format!("restart-{what}"))
        .env("SENNIGHT_RUN_DIR", env("SENNIGHT_CLUSTER_DIR"))
        .envs(more.iter().copied())
        .stdin(Stdio::null())
        .status()
        .unwrap();
    assert!(done.success(), "{what} did not start again");
}
