//! Runs `pg_dump` in the leader's snapshot, for everything that is not a table's rows: definitions, owners, grants, sequences,
//! large objects, extensions and their configuration.

use super::connect::Session;
use super::error::EngineError;
use super::inventory::TableInfo;
use super::tools::{Access, Running, Tools};
use std::io::Write;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

/// Bytes of arguments. Linux accepts 2 MiB of arguments and environment together; more names go through a file.
const ARGUMENTS: usize = 1 << 20;
/// The oldest major whose pg_dump reads such a file.
const FILTER_SINCE: i32 = 17;

/// Whether anything but rows and sequences' state, which the manifest has, is data: large objects, what extensions mark as
/// configuration. Where there is none, `pg_dump` need not be told of every table whose rows it leaves out, which costs a
/// query each.
pub async fn has_data(session: &Session) -> Result<bool, EngineError> {
    const DATA: &str = "
SELECT EXISTS (SELECT FROM pg_catalog.pg_largeobject_metadata)
    OR EXISTS (SELECT FROM pg_catalog.pg_extension WHERE extconfig IS NOT NULL)";
    let row = session.query_one(DATA, &[]).await;
    Ok(row.map_err(|e| EngineError::query("looking for data beside the tables", e))?.get(0))
}

/// Starts `pg_dump -Fc`, whose standard output is the archive. `data` is what [`has_data`] said in the same snapshot.
pub fn start(
    tools: &Tools,
    access: &Access,
    snapshot: &str,
    encoding: &str,
    lock_timeout: Duration,
    tables: &[TableInfo],
    data: bool,
) -> Result<Running, EngineError> {
    let mut command = tools.command("pg_dump", access);
    command
        .stdout(Stdio::piped())
        .args(["--format=custom", "--no-password"])
        .arg(format!("--snapshot={snapshot}"))
        .arg(format!("--lock-wait-timeout={}", lock_timeout.as_millis()));
    if data {
        leave_rows_out(&mut command, tools, access, tables)?;
    } else {
        command.args(["--section=pre-data", "--section=post-data"]);
    }
    if encoding != "SQL_ASCII" {
        // pg_dump reads its arguments in the client's encoding.
        command.arg("--encoding=UTF8");
    }
    Running::start("pg_dump", &mut command)
}

/// Excludes each table's rows by name: a pattern like * would exclude the sequences' state too.
fn leave_rows_out(
    command: &mut Command,
    tools: &Tools,
    access: &Access,
    tables: &[TableInfo],
) -> Result<(), EngineError> {
    let arguments = || tables.iter().map(|table| format!("--exclude-table-data={}", pattern(table)));
    // Each argument costs its length, an end and a pointer.
    if arguments().map(|argument| argument.len() + 9).sum::<usize>() <= ARGUMENTS {
        command.args(arguments());
        return Ok(());
    }
    if tools.major() < FILTER_SINCE {
        return Err(EngineError::TooManyTables { tables: tables.len(), major: tools.major() });
    }
    let file = access.dir().join("filter");
    let write = || {
        let mut out = std::io::BufWriter::new(std::fs::File::create(&file)?);
        tables.iter().try_for_each(|table| writeln!(out, "exclude table_data {}", pattern(table)))?;
        out.flush()
    };
    write().map_err(|source| EngineError::ToolBroken { tool: "pg_dump's filter file".to_owned(), source })?;
    command.arg("--filter").arg(file);
    Ok(())
}

/// A pattern that matches exactly one table: inside of double quotes nothing is special but the quote.
fn pattern(table: &TableInfo) -> String {
    table.qualified()
}

/// Classifies a failure of `pg_dump`, so that it has the same reason as elsewhere. That it failed is known from the exit status;
/// its text only tells the kind.
pub fn classified(error: EngineError) -> EngineError {
    match error {
        // --lock-wait-timeout is a statement timeout around LOCK TABLE; everything else runs without one.
        EngineError::ToolFailed { tool, stderr: why, .. }
            if why.contains("lock timeout") || (why.contains("statement timeout") && why.contains("LOCK TABLE")) =>
        {
            EngineError::LockTimeout { doing: format!("{tool} was running"), why }
        }
        // Dropped since the snapshot was taken: the catalogs still list it, the server's caches do not.
        EngineError::ToolFailed { tool, stderr: why, .. }
            if ["cache lookup failed", "does not exist", "could not find"].iter().any(|words| why.contains(words)) =>
        {
            EngineError::SchemaChanged { doing: format!("{tool} was running"), why }
        }
        EngineError::ToolFailed { tool, stderr: why, .. } if why.contains("permission denied") => {
            EngineError::PermissionDenied { doing: format!("run {tool}"), why }
        }
        EngineError::ToolFailed { tool, stderr: why, .. } if UNREACHED.iter().any(|words| why.contains(words)) => {
            EngineError::ConnectionLost { doing: format!("{tool} was running"), why }
        }
        other => other,
    }
}

/// libpq's messages for a server that cannot be reached any more, or whose name cannot be resolved.
const UNREACHED: [&str; 6] = [
    "could not translate host name",
    "Connection refused",
    "Connection timed out",
    "No route to host",
    "timeout expired",
    "server closed the connection unexpectedly",
];

/// The first 20 warning lines of a tool's stderr.
pub fn warnings(stderr: &str) -> Vec<String> {
    stderr.lines().filter(|line| line.contains("warning:")).take(20).map(ToOwned::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_of_pg_dump_has_the_reason_that_it_has_elsewhere() {
        let failed = |stderr: &str| {
            let (tool, status) = ("pg_dump".to_owned(), "exit status: 1".to_owned());
            classified(EngineError::ToolFailed { tool, status, stderr: stderr.to_owned() }).reason()
        };
        assert_eq!(
            failed("pg_dump: error: query failed: ERROR:  canceling statement due to lock timeout"),
            "LockTimeout"
        );
        let waited =
            "ERROR:  canceling statement due to statement timeout\nQuery was: LOCK TABLE public.t IN ACCESS SHARE MODE";
        assert_eq!(failed(waited), "LockTimeout");
        assert_eq!(failed("pg_dump: error: query failed: ERROR:  permission denied for table t"), "PermissionDenied");
        assert_eq!(
            failed("pg_dump: error: query failed: ERROR:  cache lookup failed for function 16390"),
            "SchemaChanged"
        );
        for lost in [
            "could not translate host name \"pg\" to address: Temporary failure in name resolution",
            "connection to server at \"pg\" (10.0.0.7), port 5432 failed: Connection refused",
            "connection to server at \"pg\" (10.0.0.7), port 5432 failed: server closed the connection unexpectedly",
        ] {
            assert_eq!(failed(&format!("pg_dump: error: {lost}")), "ConnectionLost");
        }
        let login = "connection to server at \"pg\", port 5432 failed: FATAL:  password authentication failed";
        assert_eq!(failed(&format!("pg_dump: error: {login}")), "ToolFailed");
        assert_eq!(failed("pg_dump: error: out of memory"), "ToolFailed");
    }

    #[test]
    fn only_warnings_are_kept_of_a_tools_words() {
        let words = "pg_dump: warning: circular foreign keys\npg_dump: detail: x\n";
        assert_eq!(warnings(words), ["pg_dump: warning: circular foreign keys"]);
    }
}
