//! `sennight`: reads the command line, starts one thing, turns its end into an exit code.

use clap::Parser;
use sennight::api::crds;
use sennight::cli::{CatalogueArgs, Cli, Command, GenerateArgs, OperatorArgs, WorkArgs, text_or_file};
use sennight::controller::operate;
use sennight::domain::job::Work;
use sennight::domain::job::{EXIT_OK, EXIT_REFUSED, EXIT_RETRY};
use sennight::store::{Catalogue, Store};
use sennight::telemetry::{LogFormat, init_logging};
use sennight::worker::{self, WorkerEnv};
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

#[tokio::main]
async fn main() -> ExitCode {
    let code = match Cli::parse().command {
        Command::Operator(args) => operator(*args).await,
        Command::Dump(args) => work("dump", args).await,
        Command::Verify(args) => work("verify", args).await,
        Command::Preflight(args) => work("preflight", args).await,
        Command::Prepare(args) => work("prepare", args).await,
        Command::Cutover(args) => work("cutover", args).await,
        Command::Export(args) => work("export", args).await,
        Command::Catalogue(args) => catalogue(args).await,
        Command::Generate(args) => generate(&args),
        Command::Version => version(),
    };
    ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX))
}

/// Exit 0 after SIGTERM; 1 to be started anew; 3 for settings that no restart mends.
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
            error!(%error, "the operator ends");
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
        info!("asked to stop");
        stop.cancel();
    });
    Ok(())
}

fn refuse(error: &dyn std::error::Error) -> i32 {
    error!(%error, "refused");
    EXIT_REFUSED
}

/// A worker's verb: its exit code is the protocol with the Job (`domain::job`).
async fn work(verb: &str, args: WorkArgs) -> i32 {
    init_logging(if args.job_uid.is_some() { LogFormat::Json } else { LogFormat::Plain });
    match args.resolve(verb, rand::random()) {
        Ok(order) => {
            let env = WorkerEnv { job_uid: order.job_uid, pod: order.pod };
            worker::run(order.work, order.storage, env).await
        }
        Err(error) => refuse(&error),
    }
}

/// The copies of a schedule as the bucket has them; 1 if there are damaged ones.
async fn catalogue(args: CatalogueArgs) -> i32 {
    init_logging(LogFormat::Plain);
    match list(args).await {
        Ok(found) => print_catalogue(&found),
        Err(error) => refuse(error.as_ref()),
    }
}

async fn list(args: CatalogueArgs) -> Result<Catalogue, Box<dyn std::error::Error>> {
    let CatalogueArgs { storage, namespace, schedule } = args;
    let target = Work::parse_storage(&text_or_file("--storage", &storage)?)?;
    let store = Store::connect(&target).await?;
    Ok(store.catalogue(&namespace, &schedule).await?)
}

#[allow(clippy::print_stdout, reason = "this is what was asked for")]
fn print_catalogue(found: &Catalogue) -> i32 {
    println!("{:<25} {:<10} {:<20} {:>12} {:>14} AREA", "ID", "DAY", "SNAPSHOT", "ROWS", "BYTES");
    for entry in &found.copies {
        let copy = &entry.summary;
        let snapshot = copy.snapshot_time.format("%Y-%m-%dT%H:%M:%SZ");
        let (id, day) = (copy.id.to_string(), copy.day.to_string());
        println!("{id:<25} {day:<10} {snapshot:<20} {:>12} {:>14} {}", copy.rows, copy.bytes, entry.area);
    }
    for damaged in &found.damaged {
        error!(reason = damaged.reason(), error = %damaged, "a copy that cannot be used");
    }
    if found.damaged.is_empty() { EXIT_OK } else { EXIT_RETRY }
}

/// Writes the generated files below a directory.
fn generate(args: &GenerateArgs) -> i32 {
    init_logging(LogFormat::Plain);
    let written = crds::files().map_err(std::io::Error::other).and_then(|files| {
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

/// On standard output, for scripts.
#[allow(clippy::print_stdout, reason = "this is what was asked for")]
fn version() -> i32 {
    println!("sennight {}", env!("CARGO_PKG_VERSION"));
    EXIT_OK
}
