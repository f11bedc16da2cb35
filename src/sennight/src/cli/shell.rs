//! The commands for people that need no cluster: list a bucket, check a backup, restore it to files. They write nothing into
//! the bucket, so that the right to read is enough.

use super::backup_args::{BackupArgs, StorageArgs};
use super::{TaskArgs, TaskArgsError};
use clap::{Args, ValueEnum};
use sennight_core::result::BackupSummary;
use sennight_protocol::report::{EXIT_OK, EXIT_REFUSED, EXIT_RETRY};
use sennight_storage::{FoundBackup, FoundState, OpenBackup, Store, StoreError};
use sennight_worker::{ProgressWriter, directory, verify};
use serde::Serialize;
use std::error::Error;
use std::path::PathBuf;
use tracing::{error, info};

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Output {
    /// Text for people.
    #[default]
    Table,
    /// JSON for programs.
    Json,
}

/// Arguments of `verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Where backups are.
    #[command(flatten)]
    pub storage: StorageArgs,
    /// Which backup.
    #[command(flatten)]
    pub backup: BackupArgs,
    /// How the result is printed.
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Output,
    /// A task, as JSON (docs/worker.md), or @file: what a Job passes, instead of --schedule.
    #[arg(long = "task", value_name = "JSON|@FILE", conflicts_with_all = ["namespace", "schedule"], requires = "storage")]
    pub tasks: Vec<String>,
    /// UID of the Job that this process runs in; results are filed under it.
    #[arg(long, env = "SENNIGHT_JOB_UID", value_name = "UID")]
    pub job_uid: Option<String>,
    /// Name of the pod that this process runs in.
    #[arg(long, env = "SENNIGHT_POD", value_name = "NAME")]
    pub pod: Option<String>,
}

/// Whether `verify` runs in a Job or for a person.
#[derive(Debug)]
pub enum VerifyMode {
    /// In a Job, by tasks: the report is stored in the bucket.
    ByJob(TaskArgs),
    /// For a person, by flags: the result is printed.
    ByPerson(Box<Shell>),
}

impl VerifyArgs {
    /// Tells a Job's arguments from a person's.
    pub fn mode(self) -> VerifyMode {
        let Self { storage, backup, output, tasks, job_uid, pod } = self;
        match (tasks.is_empty(), storage) {
            (false, StorageArgs { storage: Some(storage), .. }) => {
                VerifyMode::ByJob(TaskArgs { storage, tasks, job_uid, pod, at_once: None })
            }
            (_, storage) => VerifyMode::ByPerson(Box::new(Shell::Verify { storage, backup, output })),
        }
    }
}

/// Arguments of `restore`.
#[derive(Debug, Args)]
pub struct RestoreArgs {
    /// Where backups are.
    #[command(flatten)]
    pub storage: StorageArgs,
    /// Which backup.
    #[command(flatten)]
    pub backup: BackupArgs,
    /// Directory to write to: the schema archive, a text file a table, and a script that loads them. It must be empty, or
    /// not there.
    #[arg(long, value_name = "DIR")]
    pub to_directory: PathBuf,
    /// How the result is printed.
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Output,
}

/// Arguments of `catalogue`.
#[derive(Debug, Args)]
pub struct CatalogueArgs {
    /// Where backups are.
    #[command(flatten)]
    pub storage: StorageArgs,
    /// Only this namespace.
    #[arg(long, short)]
    pub namespace: Option<String>,
    /// Only the schedules of this name.
    #[arg(long)]
    pub schedule: Option<String>,
    /// How the result is printed.
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Output,
}

/// A command of a person.
#[derive(Debug)]
pub enum Shell {
    /// Check a backup.
    Verify {
        /// Where backups are.
        storage: StorageArgs,
        /// Which one.
        backup: BackupArgs,
        /// How the result is printed.
        output: Output,
    },
    /// Write a backup to files.
    Restore(RestoreArgs),
    /// List backups.
    Catalogue(CatalogueArgs),
}

/// Output of `verify` for a backup that is good.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Verified {
    #[serde(flatten)]
    backup: BackupSummary,
    /// Id of the key that signed it; absent if it was not signed or not checked.
    signed_with: Option<String>,
}

impl Shell {
    /// Runs it, prints the result, and returns the exit code: 0, or 1 for a damaged backup, or 3 where nothing could be done.
    pub async fn run(self) -> i32 {
        match self.answer().await {
            Ok(code) => code,
            Err(error) => {
                error!(%error, "command refused");
                EXIT_REFUSED
            }
        }
    }

    async fn answer(self) -> Result<i32, Box<dyn Error>> {
        match self {
            Self::Verify { storage, backup, output } => {
                let store = connect(storage).await?;
                let open = backup.open(&store).await?;
                info!(backup = %open.manifest.id, bytes = open.manifest.totals.stored_bytes, "verify started");
                let progress = ProgressWriter::silent();
                if let Err(error) = verify::check_all(&store, &open.backup.prefix, &open.manifest, &progress).await {
                    error!(backup = %open.manifest.id, %error, "backup damaged");
                    return Ok(EXIT_RETRY);
                }
                print_verified(&store, &open, output)?;
                Ok(EXIT_OK)
            }
            Self::Restore(RestoreArgs { storage, backup, to_directory, output }) => {
                let store = connect(storage).await?;
                let open = backup.open(&store).await?;
                let written = directory::write(&store, &open, &to_directory, &ProgressWriter::silent()).await?;
                let directory = written.directory.display();
                let words = format!(
                    "backup {} is in {directory}: {} tables, {} rows, {} bytes of row text; {directory}/README.md says how to load it",
                    open.manifest.id, written.tables, written.rows, written.bytes
                );
                print(output, &written, &words)?;
                Ok(EXIT_OK)
            }
            Self::Catalogue(CatalogueArgs { storage, namespace, schedule, output }) => {
                let store = connect(storage).await?;
                let found = store.list_backups(namespace.as_deref(), schedule.as_deref()).await?;
                print(output, &found, table(&found).trim_end())?;
                for damaged in found.iter().filter(|found| found.state == FoundState::Damaged) {
                    error!(prefix = damaged.prefix, reason = damaged.reason, "damaged backup found");
                }
                let damaged = found.iter().any(|found| found.state == FoundState::Damaged);
                Ok(if damaged { EXIT_RETRY } else { EXIT_OK })
            }
        }
    }
}

async fn connect(storage: StorageArgs) -> Result<Store, Box<dyn Error>> {
    let target = storage.resolve().map_err(|error: TaskArgsError| Box::new(error))?;
    Ok(Store::connect(&target).await.map_err(|error: StoreError| Box::new(error))?)
}

fn print_verified(store: &Store, open: &OpenBackup, output: Output) -> Result<(), serde_json::Error> {
    // Without keys nobody looked at the signature: it is not shown as if it proved anything.
    let mac = open.manifest.mac.as_ref().filter(|_| store.target().manifest_keys.is_some());
    let verified = Verified { backup: open.summary(), signed_with: mac.map(|mac| mac.key_id.clone()) };
    let backup = &verified.backup;
    let signed = match (&verified.signed_with, &open.manifest.mac) {
        (Some(key), _) => format!("signed with key {key:?}"),
        (None, Some(mac)) => format!("signature not checked (key {:?}: name it by --manifest-keys)", mac.key_id),
        (None, None) => "not signed".to_owned(),
    };
    let words = format!(
        "backup {} of {} is whole: {} tables, {} rows, {} bytes; {signed}; manifest SHA-256 {}",
        backup.id, backup.day, backup.tables, backup.rows, backup.bytes, backup.manifest_sha256
    );
    print(output, &verified, &words)
}

#[allow(clippy::print_stdout, reason = "this is what was asked for")]
fn print(output: Output, value: &impl Serialize, words: &str) -> Result<(), serde_json::Error> {
    match output {
        Output::Table => println!("{words}"),
        Output::Json => println!("{}", serde_json::to_string_pretty(value)?),
    }
    Ok(())
}

/// A table with columns as wide as their widest cell; the last column is not padded.
fn table(found: &[FoundBackup]) -> String {
    let head = ["SCHEDULE", "ID", "DAY", "TENANT", "ROWS", "BYTES", "HELD", "STATE"].map(str::to_owned);
    let rows: Vec<[String; 8]> = std::iter::once(head).chain(found.iter().map(row)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..8).map(width).collect();
    let line = |row: &[String; 8]| {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

fn row(found: &FoundBackup) -> [String; 8] {
    let says = found.says.as_ref();
    let held = match (found.held, found.held_until) {
        (_, Some(until)) => format!("until {}", until.format("%Y-%m-%dT%H:%MZ")),
        (true, None) => "yes".to_owned(),
        (false, None) => "no".to_owned(),
    };
    let dash = || "-".to_owned();
    [
        format!("{}/{}", found.namespace, found.schedule),
        found.id.to_string(),
        says.map_or_else(dash, |says| says.day.to_string()),
        says.map_or_else(dash, |says| says.tenant.clone()),
        says.map_or_else(dash, |says| says.rows.to_string()),
        found.bytes.to_string(),
        held,
        found.state.to_string(),
    ]
}
