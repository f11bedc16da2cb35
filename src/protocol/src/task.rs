//! The worker's verbs in one table. From it the enum [`Task`], its command line in both directions and the help are made.

use super::backup::{DumpTask, SafetyBackupTask, VerifyTask};
use super::cutover::CutoverTask;
use super::drop_database::DropDatabaseTask;
use super::export::{ExportTask, LiveIdsTask};
use super::restore::{DrillTask, RestoreTask};
use super::target::StorageTarget;
use sennight_core::names::RestoreStep;
use serde::{Deserialize, Serialize};

/// Arguments that do not make a worker's task.
#[derive(Debug, thiserror::Error)]
pub enum TaskParseError {
    /// The JSON of `--storage` or `--task` is wrong.
    #[error("{flag} is not valid: {source}; docs/worker.md describes its fields")]
    Json {
        /// The flag.
        flag: &'static str,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// More or fewer tasks than the verb takes.
    #[error("{verb} takes {takes} --task, got {got}")]
    Count {
        /// Name of the verb.
        verb: &'static str,
        /// How many `--task` it takes, in words.
        takes: &'static str,
        /// How many were given.
        got: usize,
    },
    /// Not a verb.
    #[error("{0:?} is not a worker's verb")]
    Verb(String),
}

/// A worker's verb as the command line shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verb {
    /// Name of the subcommand.
    pub name: &'static str,
    /// Help text of the subcommand.
    pub about: &'static str,
}

/// Makes [`Task`] of its verbs. A line holds the help, the variant with what it carries, the verb, the number of `--task`
/// (a module below: `one` or `some`), and after `step` the restore step that it is the work of.
macro_rules! tasks {
    ($(#[doc = $about:literal] $variant:ident($payload:ty) = $verb:literal, $count:ident $(, step $step:ident)?;)+) => {
        /// Everything that a worker can be told to do.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Task {
            $(#[doc = $about] $variant($payload),)+
        }

        impl Task {
            /// All verbs.
            pub const VERBS: &[Verb] = &[$(Verb { name: $verb, about: $about.trim_ascii() }),+];

            /// The subcommand.
            pub fn verb(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => $verb,)+
                }
            }

            /// The step of a RestoreRequest that this is the work of; `None` where it acts for no request.
            pub fn step(&self) -> Option<RestoreStep> {
                match self {
                    $(Self::$variant(_) => [$(RestoreStep::$step)?].first().copied(),)+
                }
            }

            /// The values of `--task`.
            fn values(&self) -> Result<Vec<String>, TaskParseError> {
                match self {
                    $(Self::$variant(tasks) => $count::to_json(tasks),)+
                }
            }

            /// The task of a verb and its `--task` values.
            pub fn parse(verb: &str, tasks: &[String]) -> Result<Self, TaskParseError> {
                match verb {
                    $($verb => $count::parse($verb, tasks).map(Self::$variant),)+
                    other => Err(TaskParseError::Verb(other.to_owned())),
                }
            }
        }
    };
}

tasks! {
    /// Dump databases into the bucket, some at a time
    Dump(Vec<DumpTask>) = "dump", some;
    /// Read a backup back and check every byte
    Verify(Vec<VerifyTask>) = "verify", some;
    /// Check whether a full restore would work; changes nothing
    Preflight(RestoreTask) = "preflight", one, step Preflight;
    /// Fill a new database from a backup, beside the live one
    Prepare(RestoreTask) = "prepare", one, step Prepare;
    /// Swap the prepared database for the live one, once
    Cutover(CutoverTask) = "cutover", one, step Cutover;
    /// End a cut-over whose Job was lost: complete it or revert it, by what the server says
    RecoverCutover(CutoverTask) = "recover-cutover", one, step RecoverCutover;
    /// Check whether a full restore could be undone; changes nothing
    PreflightUndo(CutoverTask) = "preflight-undo", one, step Preflight;
    /// Make the CRM export of a backup
    Export(ExportTask) = "export", one, step Export;
    /// List which records the live database still has; reads nothing but their ids
    LiveIds(LiveIdsTask) = "live-ids", one, step LiveIds;
    /// Dump the database that a full restore replaced, before it may be dropped
    SafetyBackup(SafetyBackupTask) = "safety-backup", one, step SafetyBackup;
    /// Drop the database that a RestoreRequest left on the server: by its mark and OID, never by name alone
    DropDatabase(DropDatabaseTask) = "drop-database", one, step DropDatabase;
    /// Restore a backup into a scratch database, prove it, and drop it
    Drill(DrillTask) = "drill", one;
}

impl Task {
    /// `sennight <verb> --storage <json> --task <json>…`, without the program's name.
    pub fn to_argv(&self, storage: &StorageTarget) -> Result<Vec<String>, TaskParseError> {
        let mut argv = vec![self.verb().to_owned(), "--storage".to_owned(), to_json("--storage", storage)?];
        argv.extend(self.values()?.into_iter().flat_map(|task| ["--task".to_owned(), task]));
        Ok(argv)
    }

    /// What [`Task::to_argv`] was made of.
    pub fn from_argv(argv: &[String]) -> Result<(Self, StorageTarget), TaskParseError> {
        let verb = argv.first().map_or("", String::as_str);
        let value = |flag: &str| argv.windows(2).filter(|pair| pair[0] == flag).map(|pair| pair[1].clone()).collect();
        let (storages, tasks): (Vec<String>, Vec<String>) = (value("--storage"), value("--task"));
        let task = Self::parse(verb, &tasks)?;
        match storages.as_slice() {
            [storage] => Ok((task, Self::parse_storage(storage)?)),
            other => Err(TaskParseError::Count { verb: "--storage", takes: "exactly one value,", got: other.len() }),
        }
    }

    /// The storage of a `--storage` value.
    pub fn parse_storage(text: &str) -> Result<StorageTarget, TaskParseError> {
        parse_json("--storage", text)
    }

    /// Why `other` is another task than this one, in words; `None` if both have the same effect. A Job of our name is
    /// adopted only then.
    ///
    /// Parallelism, the text of a profile and the latest start do not matter; for the swap, everything else does.
    pub fn difference(&self, other: &Self) -> Option<&'static str> {
        match (self, other) {
            (Self::Preflight(a), Self::Preflight(b)) | (Self::Prepare(a), Self::Prepare(b)) => a.difference(b),
            (Self::Cutover(a), Self::Cutover(b))
            | (Self::RecoverCutover(a), Self::RecoverCutover(b))
            | (Self::PreflightUndo(a), Self::PreflightUndo(b)) => a.difference(b),
            (Self::Export(a), Self::Export(b)) => a.difference(b),
            (Self::LiveIds(a), Self::LiveIds(b)) => a.difference(b),
            (Self::SafetyBackup(a), Self::SafetyBackup(b)) => a.difference(b),
            (Self::DropDatabase(a), Self::DropDatabase(b)) => a.difference(b),
            // Not the steps of a request. Without this a verb that has no line above would never be taken for ours.
            (a, b) if a.verb() == b.verb() => (a != b).then_some("its task is another one"),
            _ => Some("it does another step"),
        }
    }
}

fn to_json<T: Serialize>(flag: &'static str, value: &T) -> Result<String, TaskParseError> {
    serde_json::to_string(value).map_err(|source| TaskParseError::Json { flag, source })
}

fn parse_json<T: for<'a> Deserialize<'a>>(flag: &'static str, text: &str) -> Result<T, TaskParseError> {
    serde_json::from_str(text).map_err(|source| TaskParseError::Json { flag, source })
}

/// A verb with exactly one `--task`.
mod one {
    use super::{Deserialize, Serialize, TaskParseError, parse_json};

    pub fn to_json<T: Serialize>(task: &T) -> Result<Vec<String>, TaskParseError> {
        Ok(vec![super::to_json("--task", task)?])
    }

    pub fn parse<T: for<'a> Deserialize<'a>>(verb: &'static str, tasks: &[String]) -> Result<T, TaskParseError> {
        match tasks {
            [task] => parse_json("--task", task),
            other => Err(TaskParseError::Count { verb, takes: "exactly one", got: other.len() }),
        }
    }
}

/// A verb with at least one `--task`.
mod some {
    use super::{Deserialize, Serialize, TaskParseError, parse_json};

    pub fn to_json<T: Serialize>(tasks: &[T]) -> Result<Vec<String>, TaskParseError> {
        tasks.iter().map(|task| super::to_json("--task", task)).collect()
    }

    pub fn parse<T: for<'a> Deserialize<'a>>(verb: &'static str, tasks: &[String]) -> Result<Vec<T>, TaskParseError> {
        match tasks {
            [] => Err(TaskParseError::Count { verb, takes: "at least one", got: 0 }),
            some => some.iter().map(|task| parse_json("--task", task)).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;
    use sennight_core::engine::EngineKind;
    use sennight_core::result::DatabaseNumber;
    use strum::IntoEnumIterator;

    fn storage() -> StorageTarget {
        Task::parse_storage(r#"{"bucket":"b","endpoint":"http://s3","credentialsDir":"/s3"}"#).unwrap()
    }

    fn dump(name: &str) -> DumpTask {
        serde_json::from_value(serde_json::json!({
            "name": name, "timeZone": "Europe/Berlin",
            "identity": {"namespace": "n", "schedule": name, "tenant": "t", "engine": EngineKind::PostgreSQL, "database": "d"},
            "database": {"engine": "PostgreSQL", "host": "h", "port": 5432, "database": "d", "credentialsDir": "/c"}
        }))
        .unwrap()
    }

    #[test]
    fn a_task_survives_its_argv() {
        let task = Task::Dump(vec![dump("a"), dump("b")]);
        let argv = task.to_argv(&storage()).unwrap();
        assert_eq!(argv[..2], ["dump", "--storage"]);
        assert_eq!(Task::parse_storage(&argv[2]).unwrap(), storage());
        let tasks: Vec<String> = argv[3..].iter().skip(1).step_by(2).cloned().collect();
        assert_eq!(Task::parse(&argv[0], &tasks).unwrap(), task);
    }

    #[test]
    fn i2_only_a_job_with_the_same_effect_is_taken_for_ours() {
        let task = serde_json::json!({
            "name": "r", "requestUid": "u", "namespace": "n", "newDatabase": "new", "previousDatabase": "old", "liveNumber": 1, "newNumber": 2,
            "database": {"engine": "PostgreSQL", "host": "h", "port": 5432, "database": "d", "credentialsDir": "/c"}
        });
        let task: CutoverTask = serde_json::from_value(task).unwrap();
        let swap = |change: fn(&mut CutoverTask)| {
            let mut task = task.clone();
            change(&mut task);
            Task::Cutover(task)
        };
        let ours = swap(|_| ());
        assert_eq!(ours.difference(&swap(|t| t.start_by = DateTime::from_timestamp(9, 0))), None);
        for other in [
            swap(|t| t.new_number = DatabaseNumber(3)),
            swap(|t| t.live_number = DatabaseNumber(3)),
            swap(|t| t.request_uid = "v".into()),
            swap(|t| t.previous_database = "gone".into()),
            swap(|t| t.database.host = "elsewhere".into()),
            Task::Dump(vec![]),
        ] {
            assert!(ours.difference(&other).is_some(), "{other:?}");
        }
        let argv = ours.to_argv(&storage()).unwrap();
        assert_eq!(Task::from_argv(&argv).unwrap(), (ours, storage()));
        assert!(Task::from_argv(&argv[..3]).is_err() && Task::from_argv(&[]).is_err());
    }

    #[test]
    fn i2_every_step_of_a_request_is_taken_for_ours_again_after_a_lost_answer() {
        let database = serde_json::json!({"engine": "PostgreSQL", "host": "h", "port": 1, "database": "d", "credentialsDir": "/c"});
        let identity = serde_json::to_value(dump("s").identity).unwrap();
        let backup = serde_json::json!({"prefix": "p", "id": "20261122T021000Z-1a2b3c4d", "manifestSha256": "0"});
        let swap = serde_json::json!({
            "name": "r", "requestUid": "u", "namespace": "n", "newDatabase": "new", "previousDatabase": "old", "liveNumber": 1,
            "newNumber": 2, "database": database
        });
        let restore = serde_json::json!({
            "name": "r", "requestUid": "u", "identity": identity, "backup": backup, "database": database, "parallelism": 1
        });
        let of = |verb: &str, task: &serde_json::Value| {
            Task::parse(verb, &[task.to_string()]).unwrap_or_else(|error| panic!("{verb}: {error}"))
        };
        let safety = |uid: &str, parallelism: i32| {
            let dump = DumpTask { parallelism, ..dump("s") };
            let task = SafetyBackupTask {
                name: "r".into(),
                request_uid: uid.into(),
                previous_number: DatabaseNumber(1),
                dump,
                restore_credentials_dir: "/r".into(),
            };
            of("safety-backup", &serde_json::to_value(task).unwrap())
        };
        let to_drop = |name: &str| {
            of(
                "drop-database",
                &serde_json::json!({
                    "name": "r", "requestUid": "u", "database": database, "identity": identity, "safetyBackup": backup,
                    "databaseToDrop": {"name": name, "number": 1, "mark": "Previous"}
                }),
            )
        };
        let all = [
            of("preflight", &restore),
            of("prepare", &restore),
            of("cutover", &swap),
            of("recover-cutover", &swap),
            of("preflight-undo", &swap),
            safety("u", 1),
            to_drop("d__old"),
            Task::Dump(vec![dump("a")]),
        ];
        for ours in &all {
            assert_eq!(ours.difference(&ours.clone()), None, "{ours:?}");
            let others = all.iter().filter(|other| other.verb() != ours.verb());
            assert!(others.map(|other| ours.difference(other)).all(|said| said.is_some()), "{ours:?}");
        }
        assert_eq!(safety("u", 1).difference(&safety("u", 2)), None, "the operator's flags may have changed since");
        assert!(safety("u", 1).difference(&safety("v", 1)).is_some());
        assert!(to_drop("d__old").difference(&to_drop("d")).is_some());
        assert!(Task::Dump(vec![dump("a")]).difference(&Task::Dump(vec![dump("b")])).is_some());
    }

    #[test]
    fn wrong_arguments_say_which_and_why() {
        let text = |r: Result<Task, TaskParseError>| r.unwrap_err().to_string();
        assert!(text(Task::parse("dump", &[])).contains("at least one --task"));
        assert!(text(Task::parse("prepare", &["{}".into(), "{}".into()])).contains("exactly one"));
        assert!(text(Task::parse("verify", &["{\"nam\":1}".into()])).contains("unknown field `nam`"));
        assert!(text(Task::parse("drop", &[])).contains("drop"));
    }

    #[test]
    fn every_restore_step_is_named_by_the_verb_that_does_it() {
        let cutover = r#"{"name":"r","requestUid":"u","namespace":"n","newDatabase":"n","previousDatabase":"o","liveNumber":1,
            "newNumber":2,"database":{"engine":"PostgreSQL","host":"h","port":1,"database":"d","credentialsDir":"/c"}}"#;
        let step = |verb| Task::parse(verb, &[cutover.to_owned()]).unwrap().step();
        assert_eq!(step("recover-cutover"), Some(RestoreStep::RecoverCutover));
        assert_eq!(
            step("preflight-undo"),
            Some(RestoreStep::Preflight),
            "the check before an undo is a request's preflight"
        );
        for step in RestoreStep::iter() {
            assert!(Task::VERBS.iter().any(|verb| verb.name == step.to_string()), "{step}");
        }
    }
}
