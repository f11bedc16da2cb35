//! Logging: JSON lines for pods, plain lines for people. Both go to standard error.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line, for pods: object references are fields.
    Json,
    /// For people at a shell.
    Plain,
}

/// Starts logging to standard error; `RUST_LOG` filters (default `info`). A second call does nothing.
pub fn init_logging(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    // Standard output is for results: `-o json` must stay readable by programs.
    let lines =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_span_events(FmtSpan::NONE);
    let started = match format {
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
        LogFormat::Plain => lines.with_target(false).try_init(),
    };
    // Only a test harness that has set its own subscriber gets here.
    drop(started);
}
