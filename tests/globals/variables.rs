//! The property: whatever a server's globals say, a backup holds the same rows and objects, or there is none; and what is
//! loaded under them is what was backed up.

use crate::ALONE;
use crate::hostile::{Hostile, Plan, globals, plan, put_back};
use crate::picture::{Picture, backed_up, filled};
use sennight_core::engine::EngineKind;
use sennight_core::manifest::Manifest;
use sennight_core::result::BackupSummary;
use sennight_engine::mysql::load::LoadMethod;
use sennight_engine::mysql::{Session, ident};
use sennight_storage::Store;
use std::collections::BTreeMap;
use testkit::mysql::{Database, Seen, Server, say};
use testkit::{Bucket, unique};

/// Where there is no backup, or no load, under some value, and why that is well: nothing is kept then, and the error says what to do.
const MAY_REFUSE: &[(&str, &str)] = &[
    ("max_connections", "there is no connection to be had"),
    ("max_user_connections", "there is no connection to be had"),
    ("offline_mode", "nobody is to connect"),
];

/// The same of loads, which write.
const LOAD_MAY_REFUSE: &[(&str, &str)] = &[
    ("read_only", "nobody is to write"),
    ("super_read_only", "nobody is to write"),
    ("log_bin_trust_function_creators", "functions ask for SUPER then, as docs/mysql.md says"),
    ("binlog_format", "sequences cannot be set where the binary log has statements"),
    ("wsrep_forced_binlog_format", "sequences cannot be set where the binary log has statements"),
    ("enforce_storage_engine", "there is to be no other engine"),
    ("connection_memory_limit", "an INSERT is larger"),
    ("max_binlog_cache_size", "rows do not fit into the binary log's cache"),
    ("max_allowed_packet", "a row does not fit into a statement, as docs/mysql.md says"),
];

/// What a load cannot say for its session, and only how the same is stored.
const MAY_DIFFER: &[(&str, &str)] = &[
    ("mysql56_temporal_format", "how times are stored, which the type's name tells"),
    ("innodb_file_per_table", "in which file partitions are, which their definition tells"),
];

/// What is done under hostile values.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    Dump,
    Load,
}

/// What came of it.
enum Outcome {
    Same,
    Refused(String),
    Differs(String),
}

struct Trial<'a> {
    server: &'a Server,
    store: &'a Store,
    /// The account that dumps, with the rights of docs/mysql.md and no other.
    dumps: Seen,
    account: String,
    undisturbed: (BackupSummary, Manifest, Picture),
    /// The server's globals as they were.
    before: BTreeMap<String, String>,
}

impl Trial<'_> {
    async fn once(&self, way: Way, values: &[Hostile], control: &mut Session) -> Outcome {
        let into = (way == Way::Load).then(|| {
            let into = Database::create(self.server);
            self.server.script("", format!("GRANT ALL ON {}.* TO {}", ident(&into.name()), self.account).as_bytes());
            into
        });
        for value in values {
            if let Err(error) = value.set(control).await {
                say(&format!("{}: {} = {}: {error}", self.server.name, value.name, value.value));
            }
        }
        let done = match &into {
            None => backed_up(&self.dumps.dump_task(), self.store).await.map(|(.., picture)| Some(picture)),
            Some(into) => self.load(into).await.map(|()| None),
        };
        for value in values.iter().rev() {
            value.put_back(control).await;
        }
        put_back(control, &self.before).await;
        let picture = match (done, into) {
            (Err(error), _) => return Outcome::Refused(format!("{}: {}", error.reason, error.message)),
            (Ok(Some(picture)), _) => picture,
            (Ok(None), into) => {
                let into = into.unwrap();
                into.run("ALTER EVENT one ENABLE");
                let mut task = into.dump_task();
                task.allow_non_transactional = true;
                backed_up(&task, self.store).await.unwrap().2
            }
        };
        self.undisturbed.2.difference(&picture).map_or(Outcome::Same, Outcome::Differs)
    }

    async fn load(&self, into: &Database) -> Result<(), sennight_worker::TaskError> {
        let (backup, manifest, _) = &self.undisturbed;
        let seen = into.seen_by(&self.dumps_user(), "secret");
        seen.fill(backup, manifest, self.store, LoadMethod::Insert).await.map(|_| ())
    }

    fn dumps_user(&self) -> String {
        self.account.trim_start_matches('\'').split('\'').next().unwrap().to_owned()
    }

    /// All at once; where that is not the same, halves of them, down to the one that does it.
    async fn search(&self, way: Way, values: &[Hostile], control: &mut Session, found: &mut Vec<(Hostile, Outcome)>) {
        let mut left = vec![values.to_vec()];
        while let Some(some) = left.pop() {
            match self.once(way, &some, control).await {
                Outcome::Same => {}
                other if some.len() == 1 => found.push((some[0].clone(), other)),
                _ => {
                    let (a, b) = some.split_at(some.len() / 2);
                    left.extend([b.to_vec(), a.to_vec()]);
                }
            }
        }
    }
}

/// The account that dumps, and the same one's rights.
fn account(server: &Server, database: &Database) -> (String, String) {
    let user = unique("u");
    let routines = if server.engine == EngineKind::MySQL { "SHOW_ROUTINE ON *.*" } else { "SELECT ON mysql.proc" };
    let account = format!("'{user}'@'127.0.0.1'");
    database.run(&format!(
        "CREATE USER {account} IDENTIFIED BY 'secret'; GRANT {routines} TO {account};
         GRANT SELECT, SHOW VIEW, TRIGGER, EVENT, LOCK TABLES ON {}.* TO {account}",
        ident(&database.name())
    ));
    (user, account)
}

/// Both ways under every value, in groups of `size`; what is wrong.
async fn tried(server: &Server, size: usize, turns: usize) -> Vec<String> {
    let bucket = Bucket::create().await;
    let store = bucket.store().await;
    let database = filled(server);
    let (user, account) = account(server, &database);
    let dumps = database.seen_by(&user, "secret");
    let undisturbed = backed_up(&dumps.dump_task(), &store).await.unwrap();
    assert!(undisturbed.2.difference(&backed_up(&dumps.dump_task(), &store).await.unwrap().2).is_none());
    // Else functions could be loaded by nobody but an administrator.
    server.script("", b"SET GLOBAL log_bin_trust_function_creators = 1");
    let mut control = database.session().await;
    let before: BTreeMap<String, String> = globals(&mut control).await;
    let Plan { turns: planned, refused, left_out, variables } = plan(&mut control).await;
    let trial = Trial { server, store: &store, dumps, account, undisturbed, before };
    let all: usize = planned.iter().map(Vec::len).sum();
    let mut wrong = Vec::new();
    for way in [Way::Dump, Way::Load] {
        let (mut found, mut count) = (Vec::new(), 0);
        for turn in planned.iter().take(turns) {
            // Halving takes as long as all the rest: what is known to refuse is left to the long run.
            let known = |value: &&Hostile| turns > 1 || !may(way).any(|(may, _)| *may == value.name);
            let turn: Vec<Hostile> = turn.iter().filter(known).cloned().collect();
            for some in turn.chunks(size) {
                trial.search(way, some, &mut control, &mut found).await;
                count += some.len();
            }
        }
        say(&format!("{}: {way:?} under {count} of {all} hostile values of {variables} variables", server.name));
        wrong.extend(judged(server, way, found));
    }
    let other = put_back(&mut control, &trial.before).await;
    database.run(&format!("DROP USER {}; SET GLOBAL log_bin_trust_function_creators = 0", trial.account));
    say(&format!("{}: the server takes no other value for {}: {}", server.name, refused.len(), refused.join("; ")));
    say(&format!("{}: left out: {}; could not be put back: {}", server.name, left_out.join("; "), other.join("; ")));
    wrong
}

fn may(way: Way) -> impl Iterator<Item = &'static (&'static str, &'static str)> {
    let more: [&[_]; 2] = if way == Way::Load { [LOAD_MAY_REFUSE, MAY_DIFFER] } else { [&[], &[]] };
    MAY_REFUSE.iter().chain(more.into_iter().flatten())
}

/// Says what was refused and returns what is wrong.
fn judged(server: &Server, way: Way, found: Vec<(Hostile, Outcome)>) -> Vec<String> {
    let mut wrong = Vec::new();
    for (Hostile { name, value, .. }, outcome) in found {
        let expected = may(way).find(|(may, _)| *may == name);
        match (outcome, expected) {
            (Outcome::Refused(error), Some((_, why))) => {
                say(&format!("{}: {way:?} under {name} = {value} refused, as it may be ({why}): {error}", server.name));
            }
            (Outcome::Refused(error), None) => wrong.push(format!("{name} = {value}: refused: {error}")),
            (Outcome::Differs(what), _) if way == Way::Load && MAY_DIFFER.iter().any(|(may, _)| *may == name) => {
                say(&format!("{}: {way:?} under {name} = {value} differs, as it may: {what}", server.name));
            }
            (Outcome::Differs(what), _) => wrong.push(format!("{name} = {value}: DIFFERS: {what}")),
            (Outcome::Same, _) => {}
        }
    }
    wrong
}

/// How many at once, and how many turns: `make test` tries the worst value of each variable.
fn extent() -> (usize, usize) {
    if std::env::var("SENNIGHT_CASES").is_ok() {
        say(
            "the worst value of each variable only, 128 at once, without those that are known to refuse; `make engines` tries all",
        );
        (128, 1)
    } else {
        (12, usize::MAX)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn i4_no_global_of_a_server_changes_what_a_backup_holds_or_what_is_loaded() {
    let _alone = ALONE.lock().await;
    let (size, turns) = extent();
    for server in Server::all() {
        let wrong = tried(&server, size, turns).await;
        assert!(wrong.is_empty(), "{}:\n{}", server.name, wrong.join("\n"));
    }
}
