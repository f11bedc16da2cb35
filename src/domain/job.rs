//! What a worker is told: tasks as argv (one type for the Job builder and the command line, so they cannot drift) and the
//! exit codes it answers with. The longer answer is in `report`.

pub use super::report::{
    Cleared, CopySummary, Done, Drilled, ExportFile, ExportSummary, Outcome, Preflight, Progress, Refusal, Stage,
    TAKEN_BACK, TaskReport,
};

pub use super::exporting::{ExportTask, LiveAnswer, LiveEntity, LiveIdsTask, LiveList};
pub use super::kept::{ClearTask, Doomed, Mark, SafetyTask};

use super::manifest::TenantIdentity;
use super::names::RecoveryPointId;
use super::target::{DatabaseTarget, StorageTarget};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// Exit code: every task succeeded.
pub const EXIT_OK: i32 = 0;
/// Exit code: a task failed in a way that another attempt may not.
pub const EXIT_RETRY: i32 = 1;
/// Exit code: a task was refused for good; the Job's podFailurePolicy ends it without another attempt.
pub const EXIT_REFUSED: i32 = 3;

/// A copy, named so that a worker can insist on exactly this one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CopyRef {
    /// Key prefix of the copy inside the bucket, ending in `/` (daily or held).
    pub prefix: String,
    /// Its id.
    pub id: RecoveryPointId,
    /// SHA-256 of the manifest's bytes, hex: pins the copy that was approved. Absent: from a shell, any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest_sha256: Option<String>,
}

/// Dump one database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DumpTask {
    /// Name of the task inside its Job; names the result object.
    pub name: String,
    /// Whose data it is; goes into the manifest.
    pub identity: TenantIdentity,
    /// Where to read.
    pub database: DatabaseTarget,
    /// IANA zone that decides the copy's day.
    pub time_zone: String,
    /// Connections that read rows (1 for a small database whatever this says).
    #[serde(default = "default_parallelism")]
    pub parallelism: i32,
    /// Longest wait for the table locks, in seconds: those who come behind the dump wait no longer.
    #[serde(default = "default_lock_timeout")]
    pub lock_timeout_seconds: i32,
    /// Longest time that a tenant's DDL may wait for the running dump's locks, in seconds; then the dump is given up.
    #[serde(default = "default_ddl_wait")]
    pub ddl_wait_seconds: i32,
    /// The whole task's deadline, in seconds.
    #[serde(default = "default_deadline")]
    pub deadline_seconds: i32,
    /// Row text that all connections together read from the server in a second; absent is without a limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_bytes_per_second: Option<i64>,
    /// MySQL, MariaDB: tables that are not InnoDB's are copied too, though no snapshot holds them still.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_non_transactional: bool,
}

fn default_parallelism() -> i32 {
    2
}
fn default_lock_timeout() -> i32 {
    30
}
fn default_ddl_wait() -> i32 {
    60
}
fn default_deadline() -> i32 {
    7200
}

/// Read a copy back and check every byte.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VerifyTask {
    /// Name of the task.
    pub name: String,
    /// Which copy.
    pub copy: CopyRef,
}

/// What `preflight` and `prepare` need to know of a full restore.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RestoreTask {
    /// Name of the task.
    pub name: String,
    /// UID of the RestoreRequest; marks the new database.
    pub request_uid: String,
    /// Whose data it must be: a copy of anybody else is refused (I7).
    pub identity: TenantIdentity,
    /// The copy.
    pub copy: CopyRef,
    /// The live database; credentials are the restore ones.
    pub database: DatabaseTarget,
    /// Connections that write rows.
    #[serde(default = "default_parallelism")]
    pub parallelism: i32,
    /// Bytes that the server can spare, where the platform team has said; absent is unknown, shown and not refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headroom_bytes: Option<i64>,
    /// Directory with the platform team's hooks, `*.sql`; they run in the new database before anybody sees it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hooks_dir: Option<String>,
}

/// A restore into a scratch database, to prove that a copy is one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DrillTask {
    /// Name of the task.
    pub name: String,
    /// Whose data it must be (I7).
    pub identity: TenantIdentity,
    /// The copy.
    pub copy: CopyRef,
    /// The scratch server; its `database` is not looked at. Credentials are of a role that may create databases there.
    pub server: DatabaseTarget,
}

/// The swap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CutoverTask {
    /// Name of the task.
    pub name: String,
    /// UID of the RestoreRequest: one cut-over for ever (I2).
    pub request_uid: String,
    /// Namespace of the RestoreRequest, for the claim's record.
    pub namespace: String,
    /// The live database; credentials are the restore ones.
    pub database: DatabaseTarget,
    /// The prepared database's name.
    pub new_database: String,
    /// The name that the old one is kept under.
    pub kept_database: String,
    /// OID of the live database as `prepare` saw it: the swap commits only if it is still this one.
    pub live_oid: u32,
    /// OID of the prepared database.
    pub new_oid: u32,
    /// Of an Undo: UID of the request that is undone. The "prepared" database is then the one that its swap kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo_of: Option<String>,
    /// The swap is not begun after this instant: a pod that a lost node starts late finds its request ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_by: Option<DateTime<Utc>>,
}

/// Everything a worker can be told to do.
#[derive(Debug, Clone, PartialEq, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum Work {
    /// Dump databases, some at a time; a list even when it holds one.
    Dump(Vec<DumpTask>),
    /// Verify copies.
    Verify(Vec<VerifyTask>),
    /// Look whether a full restore would work; changes nothing.
    Preflight(RestoreTask),
    /// Fill and verify the new database.
    Prepare(RestoreTask),
    /// Swap.
    Cutover(CutoverTask),
    /// Export.
    Export(ExportTask),
    /// List the ids that the live database has.
    #[strum(serialize = "live-ids")]
    LiveIds(LiveIdsTask),
    /// Look whether a swap could be undone; changes nothing.
    Undoable(CutoverTask),
    /// End a swap whose process died in the middle; repeatable.
    Settle(CutoverTask),
    /// Dump a replaced database before it may be dropped.
    Safety(SafetyTask),
    /// Drop what a request left on the server.
    Clear(ClearTask),
    /// Restore a copy into a scratch database, and drop it.
    Drill(DrillTask),
}

/// Arguments that do not make a worker's task.
#[derive(Debug, thiserror::Error)]
pub enum WorkError {
    /// The JSON of `--storage` or `--task`.
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
        /// The verb.
        verb: &'static str,
        /// How many it takes.
        takes: &'static str,
        /// How many there were.
        got: usize,
    },
    /// Not a verb.
    #[error("{0:?} is not a worker's verb")]
    Verb(String),
}

impl Work {
    /// `sennight <verb> --storage <json> --task <json>…`, without the program's name.
    pub fn to_argv(&self, storage: &StorageTarget) -> Result<Vec<String>, WorkError> {
        fn json<T: Serialize>(flag: &'static str, value: &T) -> Result<String, WorkError> {
            serde_json::to_string(value).map_err(|source| WorkError::Json { flag, source })
        }
        let verb: &'static str = self.into();
        let tasks = match self {
            Self::Dump(tasks) => tasks.iter().map(|t| json("--task", t)).collect::<Result<_, _>>()?,
            Self::Verify(tasks) => tasks.iter().map(|t| json("--task", t)).collect::<Result<_, _>>()?,
            Self::Preflight(task) | Self::Prepare(task) => vec![json("--task", task)?],
            Self::Cutover(task) | Self::Undoable(task) | Self::Settle(task) => vec![json("--task", task)?],
            Self::Safety(task) => vec![json("--task", task)?],
            Self::Clear(task) => vec![json("--task", task)?],
            Self::Drill(task) => vec![json("--task", task)?],
            Self::Export(task) => vec![json("--task", task)?],
            Self::LiveIds(task) => vec![json("--task", task)?],
        };
        let mut argv = vec![verb.to_owned(), "--storage".to_owned(), json("--storage", storage)?];
        argv.extend(tasks.into_iter().flat_map(|task: String| ["--task".to_owned(), task]));
        Ok(argv)
    }

    /// The task of a verb and its `--task` values.
    pub fn parse(verb: &str, tasks: &[String]) -> Result<Self, WorkError> {
        fn json<T: for<'a> Deserialize<'a>>(text: &str) -> Result<T, WorkError> {
            serde_json::from_str(text).map_err(|source| WorkError::Json { flag: "--task", source })
        }
        fn list<T: for<'a> Deserialize<'a>>(verb: &'static str, tasks: &[String]) -> Result<Vec<T>, WorkError> {
            match tasks {
                [] => Err(WorkError::Count { verb, takes: "at least one", got: 0 }),
                some => some.iter().map(|task| json(task)).collect(),
            }
        }
        fn one<T: for<'a> Deserialize<'a>>(verb: &'static str, tasks: &[String]) -> Result<T, WorkError> {
            match tasks {
                [task] => json(task),
                other => Err(WorkError::Count { verb, takes: "exactly one", got: other.len() }),
            }
        }
        Ok(match verb {
            "dump" => Self::Dump(list("dump", tasks)?),
            "verify" => Self::Verify(list("verify", tasks)?),
            "preflight" => Self::Preflight(one("preflight", tasks)?),
            "prepare" => Self::Prepare(one("prepare", tasks)?),
            "cutover" => Self::Cutover(one("cutover", tasks)?),
            "export" => Self::Export(one("export", tasks)?),
            "live-ids" => Self::LiveIds(one("live-ids", tasks)?),
            "undoable" => Self::Undoable(one("undoable", tasks)?),
            "settle" => Self::Settle(one("settle", tasks)?),
            "safety" => Self::Safety(one("safety", tasks)?),
            "clear" => Self::Clear(one("clear", tasks)?),
            "drill" => Self::Drill(one("drill", tasks)?),
            other => return Err(WorkError::Verb(other.to_owned())),
        })
    }

    /// What [`Work::to_argv`] was made of.
    pub fn from_argv(argv: &[String]) -> Result<(Self, StorageTarget), WorkError> {
        let verb = argv.first().map_or("", String::as_str);
        let value = |flag: &str| argv.windows(2).filter(|pair| pair[0] == flag).map(|pair| pair[1].clone()).collect();
        let (storages, tasks): (Vec<String>, Vec<String>) = (value("--storage"), value("--task"));
        let work = Self::parse(verb, &tasks)?;
        match storages.as_slice() {
            [storage] => Ok((work, Self::parse_storage(storage)?)),
            other => Err(WorkError::Count { verb: "--storage", takes: "exactly one value,", got: other.len() }),
        }
    }

    /// What would make `other` another restore than this one, in words. How fast a step works, with which wording of a
    /// profile and until when it may begin does not; for the swap, everything else does.
    pub fn difference(&self, other: &Self) -> Option<&'static str> {
        let restore = |a: &RestoreTask, b: &RestoreTask| {
            let place = |t: &RestoreTask| (t.database.host.clone(), t.database.port, t.database.database.clone());
            if a.request_uid != b.request_uid {
                Some("it is for another request")
            } else if a.copy.id != b.copy.id || a.copy.manifest_sha256 != b.copy.manifest_sha256 {
                Some("it is for another copy")
            } else if a.identity.first_difference(&b.identity).is_some() || place(a) != place(b) {
                Some("it is for another tenant's database")
            } else {
                None
            }
        };
        match (self, other) {
            (Self::Preflight(a), Self::Preflight(b)) | (Self::Prepare(a), Self::Prepare(b)) => restore(a, b),
            (Self::Cutover(a), Self::Cutover(b)) | (Self::Settle(a), Self::Settle(b)) => {
                let timeless = |task: &CutoverTask| CutoverTask { start_by: None, ..task.clone() };
                (timeless(a) != timeless(b)).then_some("it would swap other databases")
            }
            (Self::Export(a), Self::Export(b)) => {
                let same = a.request_uid == b.request_uid
                    && (&a.copy.id, &a.copy.manifest_sha256) == (&b.copy.id, &b.copy.manifest_sha256)
                    && a.identity.first_difference(&b.identity).is_none();
                (!same).then_some("it would export something else")
            }
            (Self::LiveIds(a), Self::LiveIds(b)) => {
                let place = |t: &LiveIdsTask| (t.database.host.clone(), t.database.port, t.database.database.clone());
                let same = a.request_uid == b.request_uid
                    && a.identity.first_difference(&b.identity).is_none()
                    && place(a) == place(b);
                (!same).then_some("it would ask another database")
            }
            _ => Some("it does another step"),
        }
    }

    /// The storage of a `--storage` value.
    pub fn parse_storage(text: &str) -> Result<StorageTarget, WorkError> {
        serde_json::from_str(text).map_err(|source| WorkError::Json { flag: "--storage", source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::target::Engine;

    fn storage() -> StorageTarget {
        Work::parse_storage(r#"{"bucket":"b","endpoint":"http://s3","credentialsDir":"/s3"}"#).unwrap()
    }

    fn dump(name: &str) -> DumpTask {
        serde_json::from_value(serde_json::json!({
            "name": name, "timeZone": "Europe/Berlin",
            "identity": {"namespace": "n", "schedule": name, "tenant": "t", "engine": Engine::PostgreSQL, "database": "d"},
            "database": {"engine": "PostgreSQL", "host": "h", "port": 5432, "database": "d", "credentialsDir": "/c"}
        }))
        .unwrap()
    }

    #[test]
    fn a_task_survives_its_argv() {
        let work = Work::Dump(vec![dump("a"), dump("b")]);
        let argv = work.to_argv(&storage()).unwrap();
        assert_eq!(argv[..2], ["dump", "--storage"]);
        assert_eq!(Work::parse_storage(&argv[2]).unwrap(), storage());
        let tasks: Vec<String> = argv[3..].iter().skip(1).step_by(2).cloned().collect();
        assert_eq!(Work::parse(&argv[0], &tasks).unwrap(), work);
    }

    #[test]
    fn i2_only_a_job_with_the_same_effect_is_taken_for_ours() {
        let task = serde_json::json!({
            "name": "r", "requestUid": "u", "namespace": "n", "newDatabase": "new", "keptDatabase": "old", "liveOid": 1, "newOid": 2,
            "database": {"engine": "PostgreSQL", "host": "h", "port": 5432, "database": "d", "credentialsDir": "/c"}
        });
        let task: CutoverTask = serde_json::from_value(task).unwrap();
        let swap = |change: fn(&mut CutoverTask)| {
            let mut task = task.clone();
            change(&mut task);
            Work::Cutover(task)
        };
        let ours = swap(|_| ());
        assert_eq!(ours.difference(&swap(|t| t.start_by = DateTime::from_timestamp(9, 0))), None);
        for other in [
            swap(|t| t.new_oid = 3),
            swap(|t| t.live_oid = 3),
            swap(|t| t.request_uid = "v".into()),
            swap(|t| t.kept_database = "gone".into()),
            swap(|t| t.database.host = "elsewhere".into()),
            Work::Dump(vec![]),
        ] {
            assert!(ours.difference(&other).is_some(), "{other:?}");
        }
        let argv = ours.to_argv(&storage()).unwrap();
        assert_eq!(Work::from_argv(&argv).unwrap(), (ours, storage()));
        assert!(Work::from_argv(&argv[..3]).is_err() && Work::from_argv(&[]).is_err());
    }

    #[test]
    fn wrong_arguments_say_which_and_why() {
        let text = |r: Result<Work, WorkError>| r.unwrap_err().to_string();
        assert!(text(Work::parse("dump", &[])).contains("at least one --task"));
        assert!(text(Work::parse("prepare", &["{}".into(), "{}".into()])).contains("exactly one"));
        assert!(text(Work::parse("verify", &["{\"nam\":1}".into()])).contains("unknown field `nam`"));
        assert!(text(Work::parse("drop", &[])).contains("drop"));
    }
}
