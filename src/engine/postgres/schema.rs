//! Everything that is not a table's rows, by `pg_dump` in the leader's snapshot: definitions, owners, grants, sequences,
//! large objects, extensions and their configuration, the refresh of materialized views.

use super::error::EngineError;
use super::inventory::TableInfo;
use super::tools::{Access, Running, Tools};
use std::process::Stdio;
use std::time::Duration;

/// Starts `pg_dump -Fc`, whose standard output is the archive.
pub fn start(
    tools: &Tools,
    access: &Access,
    snapshot: &str,
    encoding: &str,
    lock_timeout: Duration,
    tables: &[TableInfo],
) -> Result<Running, EngineError> {
    let mut command = tools.command("pg_dump", access);
    command
        .stdout(Stdio::piped())
        .args(["--format=custom", "--no-password"])
        .arg(format!("--snapshot={snapshot}"))
        .arg(format!("--lock-wait-timeout={}", lock_timeout.as_millis()))
        // By name: a pattern like * would drop the sequences' state too.
        .args(tables.iter().map(|t| format!("--exclude-table-data={}", pattern(t))));
    if encoding != "SQL_ASCII" {
        // pg_dump reads its arguments in the client's encoding.
        command.arg("--encoding=UTF8");
    }
    Running::start("pg_dump", &mut command)
}

/// A pattern that matches exactly one table: inside of double quotes nothing is special but the quote.
fn pattern(table: &TableInfo) -> String {
    table.qualified()
}

/// The warnings among a tool's words, bounded.
pub fn warnings(stderr: &str) -> Vec<String> {
    stderr.lines().filter(|line| line.contains("warning:")).take(20).map(ToOwned::to_owned).collect()
}
