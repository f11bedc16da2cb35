//! `sennight`: reads the command line, runs one subcommand, and exits with its code.

use clap::Parser;
use sennight::cli::{Cli, Command, GenerateArgs, OperatorArgs, Shell, TaskArgs, VerifyMode};
use sennight::logging::{LogFormat, init_logging};
use sennight_api::generated;
use sennight_operator::operate;
use sennight_protocol::report::{EXIT_OK, EXIT_REFUSED, EXIT_RETRY};
use sennight_worker::{self as worker, WorkerEnv};
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

#[tokio::main]
async fn main() -> ExitCode {
    let code = match Cli::parse().command {
        Command::Operator(args) => operator(*args).await,
        Command::Task(command) => work(command.verb, command.args).await,
        Command::Verify(args) => match args.mode() {
            VerifyMode::ByJob(args) => work("verify", args).await,
            VerifyMode::ByPerson(asked) => shell(*asked).await,
        },
        Command::Restore(args) => shell(Shell::Restore(*args)).await,
        Command::Catalogue(args) => shell(Shell::Catalogue(*args)).await,
        Command::Generate(args) => generate(&args),
        Command::Version => version(),
    };
    ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX))
}

/// Exit code 0 after SIGTERM, 1 after a failure that a restart may cure, 3 for wrong settings.
async fn operator(args: OperatorArgs) -> i32 {
    init_logging(LogFormat::Json);
    let settings = match args.resolve(rand::random()) {
        Ok(settings) => settings,
        Err(error) => return refuse(&error),
    };
    let stop = CancellationToken::new();
    if let Err(error) = stop_on_signal(&stop) {
        return refuse(&error);
    }
    match operate(settings, stop).await {
        Ok(()) => EXIT_OK,
        Err(error) => {
            error!(%error, "operator failed; the process exits to be restarted");
            EXIT_RETRY
        }
    }
}

fn stop_on_signal(stop: &CancellationToken) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        info!("stop signal received");
        stop.cancel();
    });
    Ok(())
}

fn refuse(error: &dyn std::error::Error) -> i32 {
    error!(%error, "command refused");
    EXIT_REFUSED
}

/// A worker's verb: its exit code is the protocol with the Job (`protocol::report`).
async fn work(verb: &str, args: TaskArgs) -> i32 {
    init_logging(if args.job_uid.is_some() { LogFormat::Json } else { LogFormat::Plain });
    match args.resolve(verb, rand::random()) {
        Ok(order) => {
            let env = WorkerEnv { job_uid: order.job_uid, pod: order.pod };
            worker::run(order.task, order.storage, env, order.at_once).await
        }
        Err(error) => refuse(&error),
    }
}

/// A command of a person, with plain log lines.
async fn shell(asked: Shell) -> i32 {
    init_logging(LogFormat::Plain);
    Box::pin(asked.run()).await
}

/// Writes the generated files below a directory.
fn generate(args: &GenerateArgs) -> i32 {
    init_logging(LogFormat::Plain);
    let written = generated::files().map_err(std::io::Error::other).and_then(|files| {
        files.iter().try_for_each(|(path, text)| {
            let path = args.to.join(path);
            if let Some(directory) = path.parent() {
                std::fs::create_dir_all(directory)?;
            }
            std::fs::write(&path, text)
        })
    });
    match written {
        Ok(()) => EXIT_OK,
        Err(error) => refuse(&error),
    }
}

/// Prints the version to standard output, for scripts.
#[allow(clippy::print_stdout, reason = "this is what was asked for")]
fn version() -> i32 {
    println!("sennight {}", env!("CARGO_PKG_VERSION"));
    EXIT_OK
}
