//! The cut-over dies at every statement, with clients inside and outside its fence. Whatever it left, `recover-cutover` ends: the live name
//! serves the old database whole or the restored one whole, everybody can log in again, and every acknowledged write is in
//! one of the two.

use super::clients::Clients;
use sennight_core::result::{BackupSummary, Done, TAKEN_BACK};
use sennight_engine::restore::SwapState;
use sennight_protocol::cutover::CutoverTask;
use sennight_protocol::report::Outcome;
use sennight_protocol::task::Task;
use sennight_worker::TaskError;
use std::collections::BTreeMap;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use testkit::env;
use testkit::mysql::restore::MysqlRestore;
use testkit::mysql::{Server, say};
use testkit::sampling::costly;
use testkit::wire::mysql::{Point, Side, Wire};

/// The tenant's objects in one of its two states.
fn objects(state: &str, app: &str) -> String {
    let definer = format!("DEFINER = '{app}'@'127.0.0.1'");
    format!(
        "DROP VIEW IF EXISTS c; DROP FUNCTION IF EXISTS f; DROP TRIGGER IF EXISTS t; DROP TRIGGER IF EXISTS t2; DROP EVENT IF EXISTS e;
         CREATE {definer} VIEW c AS SELECT '{state}' AS stamp;
         CREATE {definer} FUNCTION f () RETURNS varchar(20) DETERMINISTIC RETURN '{state}';
         CREATE {definer} TRIGGER t BEFORE INSERT ON w FOR EACH ROW SET NEW.stamp = '{state}';
         CREATE {definer} TRIGGER t2 BEFORE INSERT ON w FOR EACH ROW SET NEW.twice = CONCAT(NEW.stamp, NEW.stamp);
         CREATE {definer} EVENT e ON SCHEDULE EVERY 1 DAY STARTS '2030-01-01 00:00:00' ON COMPLETION PRESERVE ENABLE COMMENT '{state}' DO SET @x = 1;
         UPDATE a SET v = '{state}'; UPDATE b SET v = '{state}';"
    )
}

pub struct Tenant {
    pub restore: MysqlRestore,
    pub backup: BackupSummary,
    pub clients: Clients,
}

impl Tenant {
    pub async fn new(server: &Server, more: &str) -> Self {
        let restore = MysqlRestore::on(server).await;
        restore.live.run(&format!(
            "CREATE TABLE a (v varchar(20) PRIMARY KEY); CREATE TABLE b (v varchar(20), x varchar(20), FOREIGN KEY (x) REFERENCES a (v));
             CREATE TABLE w (n bigint PRIMARY KEY, stamp varchar(20), twice varchar(40)); INSERT INTO a VALUES ('x'); INSERT INTO b (v) VALUES ('x'); {more}
             {}",
            objects("copied", &restore.app)
        ));
        let backup = restore.dump().await;
        let tenant = Self { clients: Clients::start(&restore.live, &restore.app, &restore.admin), restore, backup };
        tenant.live().await;
        tenant.clients.answered().await;
        tenant
    }

    /// The live data become such as the backup does not have. While that happens a client may see half of it: it is told so.
    async fn live(&self) {
        // In one go for the tenant: locked out, as long as it takes.
        let app = &self.restore.app;
        self.restore.live.run(&format!(
            "LOCK TABLES a WRITE, b WRITE; UPDATE a SET v = 'live'; UPDATE b SET v = 'live'; UNLOCK TABLES; {}",
            objects("live", app)
        ));
        self.clients.answered().await;
        self.clients.forget();
    }

    pub async fn next(&mut self) {
        self.restore.next();
        self.live().await;
    }

    pub async fn prepared(&self) -> CutoverTask {
        let task = self.restore.restore_task(&self.backup);
        self.restore.prepare(&task).await.unwrap_or_else(|e| panic!("{}: {e}", self.restore.live.server.name))
    }

    /// Every acknowledged write is in the live database or in the kept one, with what its triggers made of it.
    pub async fn nothing_lost(&self, kept: Option<&str>) {
        let wanted = self.clients.acknowledged();
        let mut found = std::collections::HashSet::new();
        for database in std::iter::once(self.restore.live.name().as_str()).chain(kept) {
            let rows = self
                .restore
                .list(&format!("SELECT CAST(n AS CHAR) FROM `{database}`.w WHERE twice = CONCAT(stamp, stamp)"))
                .await;
            found.extend(rows.into_iter().map(|n| n.parse::<i64>().unwrap()));
        }
        let lost: Vec<&i64> = wanted.iter().filter(|n| !found.contains(n)).collect();
        assert!(lost.is_empty(), "{} acknowledged writes are nowhere, or passed no trigger", lost.len());
    }

    /// The schema has all objects of `state` and no others.
    async fn whole(&self, schema: &str, state: &str, events: &str) {
        let facts = self
            .restore
            .value(&format!(
                "SELECT CONCAT_WS(' ', (SELECT v FROM `{schema}`.a), (SELECT v FROM `{schema}`.b),
                   (SELECT IF(VIEW_DEFINITION LIKE '%''{state}''%', '{state}', VIEW_DEFINITION) FROM information_schema.VIEWS WHERE TABLE_SCHEMA = '{schema}'),
                   (SELECT IF(ROUTINE_DEFINITION LIKE '%''{state}''%', '{state}', ROUTINE_DEFINITION) FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = '{schema}'),
                   (SELECT GROUP_CONCAT(TRIGGER_NAME ORDER BY ACTION_ORDER) FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = '{schema}'),
                   (SELECT CONCAT(STATUS, EVENT_COMMENT) FROM information_schema.EVENTS WHERE EVENT_SCHEMA = '{schema}'),
                   (SELECT COUNT(*) FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = '{schema}'))"
            ))
            .await;
        assert_eq!(facts, format!("{state} {state} {state} {state} t,t2 {events}{state} 1"), "{schema}");
    }
}

struct Worker {
    child: Child,
    job: String,
}

impl Worker {
    fn start(restore: &MysqlRestore, work: &Task, job: &str) -> Self {
        let mut command = Command::new(testkit::binary("sennight"));
        command
            .args(work.to_argv(restore.store.target()).unwrap())
            .args(["--job-uid", job, "--pod", "pod"])
            .process_group(0);
        if std::env::var_os("SENNIGHT_SHOW").is_none() {
            command.stdout(Stdio::null()).stderr(Stdio::null());
        }
        Self { child: command.spawn().unwrap(), job: job.to_owned() }
    }

    fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    async fn ended(&mut self) {
        let since = Instant::now();
        while self.child.try_wait().unwrap().is_none() {
            assert!(since.elapsed() < Duration::from_mins(4), "the worker does not end");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.kill();
    }
}

fn through(task: &CutoverTask, wire: &Wire) -> Task {
    Task::Cutover(CutoverTask { database: wire.target(&task.database), ..task.clone() })
}

fn upstream(restore: &MysqlRestore) -> String {
    format!("{}:{}", env("SENNIGHT_TEST_MYSQL_HOST"), restore.live.server.port())
}

/// The statements of a cut-over when nobody dies. Those that end sessions repeat themselves: the least of two.
async fn statements(tenant: &mut Tenant) -> usize {
    let mut least = usize::MAX;
    for n in 0..2 {
        tenant.next().await;
        let task = tenant.prepared().await;
        let wire = Wire::start(upstream(&tenant.restore), None).await;
        let mut worker = Worker::start(&tenant.restore, &through(&task, &wire), &format!("{}-{n}", tenant.restore.uid));
        worker.ended().await;
        assert_eq!(tenant.restore.standing(&task).await, SwapState::After);
        least = least.min(wire.statements());
        after(tenant, &task).await;
    }
    least
}

/// What must be true after every case: `standing` decides which.
async fn after(tenant: &Tenant, task: &CutoverTask) -> SwapState {
    let restore = &tenant.restore;
    let standing = restore.standing(task).await;
    let live = restore.live.name();
    tenant.clients.answered().await;
    let beside = restore.beside().await;
    match &standing {
        SwapState::After => {
            tenant.whole(&live, "copied", "ENABLED").await;
            tenant.whole(&task.previous_database, "live", "DISABLED").await;
            assert_eq!(beside, [task.previous_database.as_str()]);
            tenant.nothing_lost(Some(&task.previous_database)).await;
        }
        SwapState::Before => {
            tenant.whole(&live, "live", "ENABLED").await;
            tenant.whole(&task.new_database, "copied", "DISABLED").await;
            assert_eq!(beside, [task.new_database.as_str()]);
            tenant.nothing_lost(None).await;
        }
        SwapState::Neither(found) => panic!("{found}"),
    }
    assert!(!restore.locked(&restore.app).await, "the tenant is locked out");
    let states = tenant.clients.states();
    assert_eq!(states.contains("copied"), standing == SwapState::After, "{states:?}");
    restore.drop_beside().await;
    standing
}

/// A point costs seconds, and there are some hundreds: by default as many as a run of an hour has room for.
fn points_of_each_server() -> usize {
    match std::env::var("SENNIGHT_POINTS").as_deref() {
        Ok("all") => usize::MAX,
        Ok(number) => number.parse().expect("SENNIGHT_POINTS is a number, or all"),
        Err(_) => 60,
    }
}

async fn case(tenant: &mut Tenant, point: Point, number: usize) -> &'static str {
    tenant.next().await;
    let task = tenant.prepared().await;
    let mut wire = Wire::start(upstream(&tenant.restore), Some(point)).await;
    let job = format!("{}-{number}", tenant.restore.uid);
    let mut worker = Worker::start(&tenant.restore, &through(&task, &wire), &job);
    let reached = tokio::select! {
        reached = wire.reached.recv() => reached,
        () = worker.ended() => None,
    };
    let died = reached.is_some();
    if died {
        worker.kill();
        drop(reached);
    }
    let report = tenant.restore.store.report(&worker.job, "cutover").await.unwrap().map(|r| r.outcome);
    // The operator's next Job, as it does after a cut-over without a report.
    let recovered = if died { Some(tenant.restore.recover_cutover(&task, "recover-cutover").await) } else { None };
    let standing = tenant.restore.standing(&task).await;
    let told = match (&report, &recovered, &standing) {
        (Some(Outcome::Succeeded(Done::CutOver { .. })), None, SwapState::After) => "ended by itself",
        (None, Some(Ok(Done::CutOver { .. })), SwapState::After) => "finished forward",
        (None, Some(Err(TaskError { reason, .. })), SwapState::Before) if reason == TAKEN_BACK => "taken back",
        told => panic!("at {point:?}: {told:?}"),
    };
    if number == 1 && std::env::var_os("SENNIGHT_CASES").is_none() {
        // The dead one's twin starts late, and watches for a minute and a half: it swaps nothing.
        let late = tenant.restore.cutover(&task, "late").await;
        assert!(matches!(late, Ok(Done::CutOver { .. })) == (standing == SwapState::After), "{late:?}");
        assert_eq!(tenant.restore.standing(&task).await, standing);
    }
    // Settled twice is recovered once.
    if died {
        let again = tenant.restore.recover_cutover(&task, "recover again").await;
        assert_eq!(again.is_ok(), standing == SwapState::After, "at {point:?}: {again:?}");
    }
    assert_eq!(after(tenant, &task).await, standing);
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn i2_i3_a_worker_killed_at_any_statement_of_fence_rename_and_after_is_settled_by_another() {
    for server in Server::all() {
        let mut tenant = Tenant::new(&server, "").await;
        let statements = statements(&mut tenant).await;
        let all: Vec<Point> = (1..=statements).flat_map(|n| [(n, Side::Before), (n, Side::After)]).collect();
        let most = points_of_each_server().min(all.len());
        if most < all.len() {
            say(&format!("{}: {most} of {} points; SENNIGHT_POINTS=all tries all", server.name, all.len()));
        }
        let wanted = costly("make engines", &format!("cut-over on {}", server.name), most, 15);
        let points: Vec<Point> = (0..wanted).map(|n| all[n * (all.len() - 1) / (wanted - 1).max(1)]).collect();
        if std::env::var_os("SENNIGHT_CASES").is_some() {
            say("left out: the dead worker's twin that starts late and watches for 90 s; `make engines` has it");
        }
        let mut ends: BTreeMap<&str, usize> = BTreeMap::new();
        for (number, point) in points.iter().enumerate() {
            *ends.entry(case(&mut tenant, *point, number).await).or_default() += 1;
        }
        say(&format!(
            "cut-over on {}, the worker dies: {} points of {statements} statements: {ends:?}",
            server.name,
            points.len()
        ));
        tenant.clients.stop().await;
    }
}
