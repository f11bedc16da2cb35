//! `kubectl sennight`: the commands of helpdesk, billing and platform team, with the rights of whoever calls them. It reads
//! and writes objects and prints them; whether a restore may run is decided by the operator.

pub mod args;
#[cfg(feature = "s3")]
pub mod audit;
pub mod cluster;
pub mod complete;
pub mod decide;
pub mod drill;
pub mod error;
pub mod explain;
#[cfg(feature = "s3")]
pub mod link;
pub mod list;
pub mod output;
pub mod settle;
pub mod status;

pub use args::{Args, Verb};
pub use error::PluginError;
pub use output::Io;

use clap::{CommandFactory, Parser};
use std::ffi::OsString;
use std::process::ExitCode;

/// Runs the plugin with the process's arguments and streams.
pub async fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args = match Args::try_parse_from(arguments) {
        Ok(args) => args,
        Err(error) => {
            // Help and version are no failure; clap knows which stream and code belong to which.
            let code = u8::try_from(error.exit_code()).unwrap_or(2);
            return if error.print().is_ok() { ExitCode::from(code) } else { ExitCode::FAILURE };
        }
    };
    let mut io = Io::standard();
    match Box::pin(run(args, &mut io)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            io.complain(&format!("error: {error}"));
            ExitCode::from(error.exit_code())
        }
    }
}

/// Runs the verb of the arguments.
pub async fn run(args: Args, io: &mut Io<'_>) -> Result<(), PluginError> {
    let Args { cluster, verb } = args;
    match verb {
        Verb::List(args) => list::run(&cluster, &args, io).await,
        Verb::Explain(args) => explain::run(&cluster, &args, io).await,
        Verb::Approve(args) => decide::approve(&cluster, &args, io).await,
        Verb::Deny(args) => decide::deny(&cluster, &args, io).await,
        Verb::Settle(args) => settle::run(&cluster, &args, io).await,
        Verb::Refund(args) => settle::refund(&cluster, &args, io).await,
        #[cfg(feature = "s3")]
        Verb::Link(args) => Box::pin(link::run(&cluster, &args, io)).await,
        #[cfg(feature = "s3")]
        Verb::Audit(args) => audit::run(&cluster, &args, io).await,
        Verb::Drill(args) => drill::run(&cluster, &args, io).await,
        Verb::Status(args) => status::run(&cluster, &args, io).await,
        Verb::Complete { words } => io.say(&complete::answer(&words).await),
        Verb::Completion { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Args::command(), "kubectl-sennight", &mut text);
            io.say(&String::from_utf8_lossy(&text))
        }
    }
}
