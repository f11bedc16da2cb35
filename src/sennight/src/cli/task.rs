//! The worker's verbs on the command line: one subcommand for each verb of the protocol, all with the same arguments.

use clap::{ArgMatches, Args, Command, FromArgMatches, Subcommand};
use sennight_protocol::target::StorageTarget;
use sennight_protocol::task::{Task, TaskParseError, Verb};

/// Arguments of a worker's verb.
#[derive(Debug, Args)]
pub struct TaskArgs {
    /// The bucket, as JSON (docs/worker.md), or @file.
    #[arg(long, value_name = "JSON|@FILE")]
    pub storage: String,
    /// A task, as JSON (docs/worker.md), or @file; may be given several times for dump and verify.
    #[arg(long = "task", value_name = "JSON|@FILE", required = true)]
    pub tasks: Vec<String>,
    /// UID of the Job that this process runs in; results are filed under it.
    #[arg(long, env = "SENNIGHT_JOB_UID", value_name = "UID")]
    pub job_uid: Option<String>,
    /// Name of the pod that this process runs in.
    #[arg(long, env = "SENNIGHT_POD", value_name = "NAME")]
    pub pod: Option<String>,
    /// Of several databases, how many are dumped at once at most; never more than the cores and memory are for.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u8).range(1..))]
    pub at_once: Option<u8>,
}

/// A worker's verb with its arguments.
#[derive(Debug)]
pub struct TaskCommand {
    /// The verb, as [`Task::parse`] takes it.
    pub verb: &'static str,
    /// Arguments of the verb.
    pub args: TaskArgs,
}

/// `verify` is a command of its own: people use it too, with other flags.
fn verbs() -> impl Iterator<Item = &'static Verb> {
    Task::VERBS.iter().filter(|verb| verb.name != "verify")
}

/// Written by hand, because the subcommands are the protocol's table and not the variants of an enum.
impl Subcommand for TaskCommand {
    fn augment_subcommands(command: Command) -> Command {
        command.subcommands(verbs().map(|verb| TaskArgs::augment_args(Command::new(verb.name)).about(verb.about)))
    }

    fn augment_subcommands_for_update(command: Command) -> Command {
        Self::augment_subcommands(command)
    }

    fn has_subcommand(name: &str) -> bool {
        verbs().any(|verb| verb.name == name)
    }
}

impl FromArgMatches for TaskCommand {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let (name, args) = matches.subcommand().unwrap_or(("", matches));
        let verb = verbs().find(|verb| verb.name == name);
        let verb = verb.ok_or_else(|| clap::Error::new(clap::error::ErrorKind::InvalidSubcommand))?;
        Ok(Self { verb: verb.name, args: TaskArgs::from_arg_matches(args)? })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Why worker arguments were not accepted.
#[derive(Debug, thiserror::Error)]
pub enum TaskArgsError {
    /// A file named by `@file` cannot be read.
    #[error("{flag} @{path}: {source}")]
    File {
        /// Name of the flag.
        flag: &'static str,
        /// Path of the file.
        path: String,
        /// Why it cannot be read.
        source: std::io::Error,
    },
    /// The JSON or the number of tasks is wrong.
    #[error(transparent)]
    Task(#[from] TaskParseError),
}

/// A flag's text, or the content of the file that `@file` names.
pub fn text_or_file(flag: &'static str, value: &str) -> Result<String, TaskArgsError> {
    let Some(path) = value.strip_prefix('@') else {
        return Ok(value.to_owned());
    };
    std::fs::read_to_string(path).map_err(|source| TaskArgsError::File { flag, path: path.to_owned(), source })
}

/// A task with all that the worker needs to run it.
#[derive(Debug)]
pub struct ResolvedTask {
    /// What to do.
    pub task: Task,
    /// Where backups are.
    pub storage: StorageTarget,
    /// UID of the Job, or `shell-<random>`.
    pub job_uid: String,
    /// Name of the pod, or `shell-<random>`.
    pub pod: String,
    /// How many tasks at once at most.
    pub at_once: Option<usize>,
}

impl TaskArgs {
    /// Parses the arguments of a verb; `random` names the run where no Job does.
    pub fn resolve(self, verb: &str, random: u32) -> Result<ResolvedTask, TaskArgsError> {
        let Self { storage, tasks, job_uid, pod, at_once } = self;
        let tasks = tasks.iter().map(|task| text_or_file("--task", task)).collect::<Result<Vec<_>, _>>()?;
        let shell = || format!("shell-{random:08x}");
        Ok(ResolvedTask {
            task: Task::parse(verb, &tasks)?,
            storage: Task::parse_storage(&text_or_file("--storage", &storage)?)?,
            // A name that no Job has: reports of people's tasks must not replace a Job's.
            job_uid: job_uid.unwrap_or_else(shell),
            pod: pod.unwrap_or_else(shell),
            at_once: at_once.map(usize::from),
        })
    }
}
