//! I4 under faults: hundreds of dumps, each with one of ten kinds of trouble at a random moment. Afterwards every manifest
//! in the bucket verifies, the dump's own word is true, nothing unfinished stays, and the next run works.

use crate::hostile::{Act, Hostile, Request};
use crate::private_postgres::PrivatePostgres;
use crate::scale::{Dice, cases, first_seed};
use sennight_core::result::BackupSummary;
use sennight_protocol::backup::DumpTask;
use sennight_protocol::task::Task;
use sennight_storage::Store;
use sennight_worker::TaskError;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use testkit::{Bucket, context, dump_task, dump_with, verify};
use tokio::task::JoinSet;

/// More than one part, in some hundred milliseconds; and tables that share an object.
const DATA: &str = "
CREATE TABLE big AS SELECT i, sha512(i::text::bytea) AS h FROM generate_series(1, 170000) i;
CREATE TABLE small AS SELECT i FROM generate_series(1, 1000) i;
CREATE TABLE other AS SELECT md5(i::text) AS t FROM generate_series(1, 5000) i; CREATE TABLE none (i int);";
const ROWS: i64 = 176_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Trouble {
    Storm,
    Stall,
    Reset,
    LostAnswer,
    ExpiredKeys,
    LyingStore,
    LostConnection,
    Failover,
    Killed,
    FullStore,
}

const ALL: [Trouble; 10] = [
    Trouble::Storm,
    Trouble::Stall,
    Trouble::Reset,
    Trouble::LostAnswer,
    Trouble::ExpiredKeys,
    Trouble::LyingStore,
    Trouble::LostConnection,
    Trouble::Failover,
    Trouble::Killed,
    Trouble::FullStore,
];

/// Cases wait for deadlines and retries most of the time: so many run beside each other, each on a server of its own.
const RUNNERS: u64 = 5;

type Ends = BTreeMap<(Trouble, String), usize>;

#[tokio::test(flavor = "multi_thread")]
async fn i4_whatever_happens_to_a_dump_no_backup_exists_that_does_not_verify_and_the_next_run_works() {
    let first = first_seed();
    let end = first + cases("dumps under faults", 200, |asked| asked.div_ceil(5));
    let mut runners: JoinSet<Ends> = (first..first + RUNNERS).map(|seed| run_cases(seed, end)).collect();
    let mut ends = Ends::new();
    while let Some(runner) = runners.join_next().await {
        for (end, times) in runner.unwrap() {
            *ends.entry(end).or_default() += times;
        }
    }
    for ((trouble, end), times) in &ends {
        println!("{trouble:?}: {end} {times}");
    }
    println!("dumps under faults: {} cases", ends.values().sum::<usize>());
    // Faults that never bite prove nothing: of ten cases of a kind at least one does.
    let bitten: BTreeSet<Trouble> = ends.keys().filter(|(_, end)| end != "Succeeded").map(|(t, _)| *t).collect();
    for trouble in ALL {
        let tried: usize = ends.iter().filter(|((of, _), _)| *of == trouble).map(|(_, times)| times).sum();
        assert!(tried < 10 || bitten.contains(&trouble), "{trouble:?} never bit: {ends:?}");
    }
}

/// Every [`RUNNERS`]th case from the seed `begin` on.
async fn run_cases(begin: u64, end: u64) -> Ends {
    let mut ends = Ends::new();
    if begin >= end {
        return ends;
    }
    let mut server = PrivatePostgres::start().await;
    server.run(DATA).await;
    for seed in (begin..end).step_by(usize::try_from(RUNNERS).unwrap()) {
        // Not by the remainder: a runner would have the same two troubles for ever.
        let trouble = ALL[usize::try_from((seed + seed / 10) % 10).unwrap()];
        let began = std::time::Instant::now();
        let case = Case::new(seed, trouble).await;
        let end = tokio::time::timeout(Duration::from_mins(3), case.run(&mut server)).await;
        let end = end.unwrap_or_else(|_| panic!("seed {seed} ({trouble:?}): the case did not end"));
        println!("seed {seed} {trouble:?}: {end} ({:.1} s)", began.elapsed().as_secs_f64());
        *ends.entry((trouble, end)).or_default() += 1;
    }
    ends
}

struct Case {
    seed: u64,
    trouble: Trouble,
    dice: Dice,
    bucket: Arc<Bucket>,
    store: Store,
}

impl Case {
    async fn new(seed: u64, trouble: Trouble) -> Self {
        let bucket = Arc::new(Bucket::create().await);
        let store = bucket.store().await;
        Self { seed, trouble, dice: Dice::new(seed), bucket, store }
    }

    fn task(&self, server: &PrivatePostgres) -> DumpTask {
        let mut task = dump_task("acme", &server.target);
        task.deadline_seconds = if self.trouble == Trouble::Stall { 4 } else { 40 };
        task.lock_timeout_seconds = 5;
        task
    }

    /// One dump in trouble, what it left, and one without.
    async fn run(mut self, server: &mut PrivatePostgres) -> String {
        let what = format!("seed {} ({:?})", self.seed, self.trouble);
        let decide = self.decide();
        let proxy = Hostile::start(Arc::clone(&self.bucket), decide).await;
        let before = self.backups().await;
        let ended = self.dump(server, &proxy).await;
        let found = self.backups().await;
        for backup in &found {
            verify(backup, &self.store)
                .await
                .unwrap_or_else(|e| panic!("{what}: {} does not verify: {e}", backup.prefix));
            assert_eq!((backup.rows, backup.tables), (ROWS, 4), "{what}");
        }
        let end = match ended {
            Some(Ok(backup)) => {
                assert_eq!(found.len(), before.len() + 1, "{what}: it says that there is a backup");
                assert!(found.contains(&backup), "{what}: it says that there is {backup:?}, there is {found:?}");
                "Succeeded".to_owned()
            }
            Some(Err(error)) => {
                assert!(!error.message.is_empty(), "{what}");
                error.reason
            }
            None => "Killed".to_owned(),
        };
        // With expired keys nothing can be aborted, and a killed worker aborts nothing: the bucket's rule does.
        if !matches!(self.trouble, Trouble::ExpiredKeys | Trouble::Killed) {
            for key in proxy.begun() {
                let mut left = self.bucket.unfinished_uploads(&key).await;
                // What was dropped is aborted in the background.
                for _ in 0..50 {
                    if left == 0 {
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    left = self.bucket.unfinished_uploads(&key).await;
                }
                assert_eq!(left, 0, "{what}: {end}: an upload of {key} was left unfinished");
            }
        }
        server.ensure_running().await;
        let task = DumpTask { deadline_seconds: 120, ..self.task(server) };
        let next =
            dump_with(&task, &context(&self.store)).await.unwrap_or_else(|e| panic!("{what}: the next run: {e}"));
        verify(&next, &self.store).await.unwrap_or_else(|e| panic!("{what}: the next backup: {e}"));
        assert_eq!(self.backups().await.len(), found.len() + 1, "{what}");
        let bitten = if end == "Succeeded" && proxy.acted() > 0 { " in spite of it" } else { "" };
        format!("{end}{bitten}")
    }

    /// Every backup that the bucket has, damaged manifests included: those fail the case.
    async fn backups(&self) -> Vec<BackupSummary> {
        let catalogue = self.store.catalogue("tenants", "acme").await.unwrap();
        // A lying store may have kept half a manifest: it is seen as damaged, and is no backup.
        if self.trouble != Trouble::LyingStore {
            assert!(catalogue.damaged.is_empty(), "seed {}: {:?}", self.seed, catalogue.damaged);
        }
        catalogue.backups.into_iter().map(|entry| entry.summary).collect()
    }

    async fn dump(
        &mut self,
        server: &mut PrivatePostgres,
        proxy: &Hostile,
    ) -> Option<Result<BackupSummary, TaskError>> {
        let task = self.task(server);
        let moment = Duration::from_millis(self.dice.below(1000));
        let through = self.bucket.through(proxy.endpoint.clone());
        if self.trouble == Trouble::Killed {
            let argv = Task::Dump(vec![task]).to_argv(&through).unwrap();
            let mut worker = tokio::process::Command::new(testkit::binary("sennight"))
                .args(&argv)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .kill_on_drop(true)
                .spawn()
                .unwrap();
            tokio::time::sleep(moment * 2).await;
            worker.start_kill().ok();
            worker.wait().await.unwrap();
            return None;
        }
        let store = Store::connect(&through).await.unwrap();
        let context = context(&store);
        let trouble = async {
            tokio::time::sleep(moment).await;
            match self.trouble {
                Trouble::LostConnection => {
                    let ended = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                        WHERE application_name IN ('sennight-dump', 'pg_dump')";
                    server.run(ended).await;
                }
                Trouble::Failover => server.crash_and_restart().await,
                _ => {}
            }
        };
        let (dumped, ()) = tokio::join!(dump_with(&task, &context), trouble);
        Some(dumped)
    }

    /// Which requests meet which fault.
    fn decide(&mut self) -> impl FnMut(&Request) -> Act + Send + 'static {
        let trouble = self.trouble;
        // There are about eight requests before the manifest's: begin, parts, complete, puts, heads.
        let mut skip = self.dice.below(6);
        let mut times = match trouble {
            Trouble::Storm => 1 + self.dice.below(12),
            Trouble::Reset | Trouble::LostAnswer => 1 + self.dice.below(4),
            Trouble::LyingStore => 1 + self.dice.below(3),
            Trouble::Stall => 1 + self.dice.below(6),
            _ => u64::MAX,
        };
        let percent = [0, 50, 99, 100][usize::try_from(self.dice.below(4)).unwrap()];
        let lie = if self.dice.one_in(2) { Act::Truncate } else { Act::Swallow };
        // Half of the lies are about the manifest itself.
        let manifest = self.dice.one_in(2);
        move |request| {
            let act = match trouble {
                Trouble::Storm if request.writes() => Act::Answer(503, "SlowDown"),
                Trouble::Stall if request.writes() => Act::Stall,
                Trouble::Reset if request.writes() => Act::Reset(percent),
                Trouble::LostAnswer if request.writes() => Act::LoseAnswer,
                Trouble::ExpiredKeys => Act::Answer(403, "ExpiredToken"),
                Trouble::FullStore if request.writes() => Act::Answer(507, "XMinioStorageFull"),
                Trouble::LyingStore if request.writes() && request.key.ends_with("manifest.json") == manifest => lie,
                _ => return Act::Forward,
            };
            if skip > 0 && !(trouble == Trouble::LyingStore && manifest) {
                skip -= 1;
                return Act::Forward;
            }
            if times == 0 {
                return Act::Forward;
            }
            times -= 1;
            act
        }
    }
}
