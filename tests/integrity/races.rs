//! Dumps while the tenant's clients write and their schema changes, in an order that a seed decides: a backup is of one instant
//! and can be restored, or there is none.

use crate::seed;
use crate::servers::{Server, cases, restore_task, say};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use sennight_core::result::{BackupSummary, Done};
use sennight_engine::postgres::ident;
use sennight_storage::Store;
use sennight_worker::{Verdict, prepare};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use testkit::{Bucket, Database, context, dump_task, dump_with, unique};
use tokio_util::sync::CancellationToken;

/// Clients that move money.
const WRITERS: u64 = 8;
/// Sessions that change the schema.
const CHANGERS: u64 = 2;
/// Dumps over all servers in a whole run.
const WHOLE: usize = 60;

const TENANT: &str = "
CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE FUNCTION twice(n bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS 'SELECT n * 2';
CREATE TABLE accounts (id int PRIMARY KEY, money bigint NOT NULL, m mood DEFAULT 'sad') PARTITION BY RANGE (id);
CREATE TABLE accounts_0 PARTITION OF accounts FOR VALUES FROM (0) TO (1000);
CREATE TABLE accounts_1 PARTITION OF accounts FOR VALUES FROM (1000) TO (2000);
CREATE TABLE accounts_2 PARTITION OF accounts FOR VALUES FROM (2000) TO (3000);
CREATE TABLE accounts_3 PARTITION OF accounts FOR VALUES FROM (3000) TO (4000);
INSERT INTO accounts SELECT n, 1000 FROM generate_series(0, 3999) n;
CREATE TABLE ledger (id bigserial PRIMARY KEY, source int, target int, amount bigint, note text);
CREATE TABLE fixed AS SELECT n FROM generate_series(1, 777) n;
CREATE VIEW doubled AS SELECT id, twice(money) AS money FROM accounts;
CREATE MATERIALIZED VIEW richest AS SELECT id, money FROM accounts; CREATE UNIQUE INDEX ON richest (id);
CREATE SEQUENCE counter MAXVALUE 1000 CYCLE;
CREATE TABLE filler AS SELECT n, sha512(n::text::bytea) AS h FROM generate_series(1, 60000) n";

/// What a tenant's migrations and administrators do; `;;` parts statements.
const CHANGES: [&str; 20] = [
    "BEGIN; TRUNCATE fixed; INSERT INTO fixed SELECT generate_series(1, 777); COMMIT",
    "BEGIN; DROP TABLE fixed; CREATE TABLE fixed AS SELECT n FROM generate_series(1, 777) n; COMMIT",
    "ALTER TABLE ledger ALTER amount TYPE numeric",
    "ALTER TABLE ledger ALTER amount TYPE bigint",
    "VACUUM FULL accounts_1",
    "CLUSTER ledger USING ledger_pkey",
    "REFRESH MATERIALIZED VIEW CONCURRENTLY richest",
    "REFRESH MATERIALIZED VIEW richest",
    "BEGIN; ALTER TABLE accounts DETACH PARTITION accounts_3; ALTER TABLE accounts ATTACH PARTITION accounts_3 FOR VALUES FROM (3000) TO (4000); COMMIT",
    "CREATE TABLE IF NOT EXISTS accounts_9 PARTITION OF accounts FOR VALUES FROM (9000) TO (9999)",
    "DROP TABLE IF EXISTS accounts_9",
    "ALTER SEQUENCE counter MAXVALUE 100000 RESTART 50000;; SELECT nextval('counter')",
    "ALTER SEQUENCE counter MAXVALUE 1000 RESTART 5;; SELECT nextval('counter')",
    "ALTER TYPE mood RENAME VALUE 'sad' TO 'blue'",
    "ALTER TYPE mood RENAME VALUE 'blue' TO 'sad'",
    "BEGIN; ALTER FUNCTION twice(bigint) RENAME TO two_times; COMMIT;; ALTER FUNCTION two_times(bigint) RENAME TO twice",
    "BEGIN; CREATE TABLE newer AS SELECT 1 AS x; CREATE OR REPLACE VIEW doubled AS SELECT id, money * (SELECT x FROM newer) AS money FROM accounts; COMMIT",
    "BEGIN; CREATE OR REPLACE VIEW doubled AS SELECT id, twice(money) AS money FROM accounts; DROP TABLE IF EXISTS newer; COMMIT",
    "CREATE INDEX CONCURRENTLY IF NOT EXISTS by_source ON ledger (source)",
    "DROP INDEX IF EXISTS by_source;; ALTER TABLE ledger ADD COLUMN IF NOT EXISTS more text;; ALTER TABLE ledger DROP COLUMN more",
];

/// What must hold in every backup, each a query that counts violations.
const INVARIANTS: [(&str, &str); 5] = [
    ("money came or went", "SELECT count(*) FROM (SELECT sum(money) AS s FROM accounts) x WHERE s <> 4000000"),
    (
        "an account is not what its ledger says",
        "SELECT count(*) FROM accounts a LEFT JOIN (SELECT id, sum(amount) AS s FROM (SELECT target AS id, amount FROM ledger
          UNION ALL SELECT source, -amount FROM ledger) both_ GROUP BY id) l USING (id) WHERE a.money <> 1000 + coalesce(l.s, 0)",
    ),
    ("a table that always has 777 rows has not", "SELECT abs(777 - count(*)) FROM fixed"),
    ("a sequence would give a number again", "SELECT count(*) FROM ledger WHERE id > (SELECT last_value FROM ledger_id_seq)"),
    ("a view does not answer", "SELECT count(*) - 4000 FROM doubled"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn i4_a_backup_made_under_writers_and_ddl_is_of_one_instant_or_there_is_none() {
    let seed = seed("races");
    let servers = Server::all().await;
    let dumps = cases("races", WHOLE, 12).div_ceil(servers.len());
    for server in servers {
        let race = Race::start(&server, seed).await;
        let mut outcomes: BTreeMap<String, usize> = BTreeMap::new();
        for number in 0..dumps {
            *outcomes.entry(race.one(seed, number).await).or_default() += 1;
        }
        let written = race.end().await;
        let whole = outcomes.get("whole").copied().unwrap_or_default();
        say(&format!(
            "races on PostgreSQL {}: {outcomes:?} of {dumps} dumps, {written} transfers meanwhile",
            server.major
        ));
        assert!(whole > 0 || dumps < 10, "hardly any dump gets through: {outcomes:?}");
        assert!(written > 100, "nobody wrote");
    }
}

struct Race {
    database: Database,
    store: Store,
    _bucket: Bucket,
    stop: CancellationToken,
    tasks: Vec<tokio::task::JoinHandle<()>>,
    transfers: Arc<AtomicU64>,
}

impl Race {
    async fn start(server: &Server, seed: u64) -> Self {
        let name = unique("race_");
        let admin = Database::on(server.port, "postgres");
        admin.run(&format!("CREATE DATABASE {}", ident(&name))).await;
        let database = Database::on(server.port, &name);
        database.run(TENANT).await;
        let bucket = Bucket::create().await;
        let (stop, transfers) = (CancellationToken::new(), Arc::new(AtomicU64::new(0)));
        let mut tasks = Vec::new();
        for n in 0..WRITERS {
            let (session, stop, transfers) = (database.session().await, stop.clone(), transfers.clone());
            let mut random = StdRng::seed_from_u64(seed ^ n);
            tasks.push(tokio::spawn(async move {
                while !stop.is_cancelled() {
                    let (a, b, x) =
                        (random.random_range(0..4000), random.random_range(0..4000), random.random_range(1..100));
                    // The lower account first, so that transfers do not lock each other out.
                    let mut legs = [(a, -x), (b, x)];
                    legs.sort_unstable();
                    let [(first, d1), (second, d2)] = legs;
                    let moved = session
                        .batch_execute(&format!(
                            "BEGIN; UPDATE public.accounts SET money = money + {d1} WHERE id = {first};
                             UPDATE public.accounts SET money = money + {d2} WHERE id = {second};
                             INSERT INTO public.ledger (source, target, amount) VALUES ({a}, {b}, {x}); COMMIT"
                        ))
                        .await;
                    match moved {
                        Ok(()) => transfers.fetch_add(1, Ordering::Relaxed),
                        // A table was away for a moment.
                        Err(_) => session.batch_execute("ROLLBACK").await.map_or(0, |()| 0),
                    };
                    tokio::time::sleep(Duration::from_millis(random.random_range(1..10))).await;
                }
            }));
        }
        for n in 0..CHANGERS {
            let (session, stop) = (database.session().await, stop.clone());
            session.batch_execute("SET lock_timeout = '5s'").await.unwrap();
            let mut random = StdRng::seed_from_u64(seed ^ (1000 + n));
            tasks.push(tokio::spawn(async move {
                while !stop.is_cancelled() {
                    let change = CHANGES[random.random_range(0..CHANGES.len())];
                    for statement in change.split(";;") {
                        if session.batch_execute(statement).await.is_err() {
                            let _ = session.batch_execute("ROLLBACK").await;
                        }
                    }
                    tokio::time::sleep(Duration::from_millis(random.random_range(0..400))).await;
                }
            }));
        }
        Self { database, store: bucket.store().await, _bucket: bucket, stop, tasks, transfers }
    }

    /// One dump; what became of it.
    async fn one(&self, seed: u64, number: usize) -> String {
        let before = self.manifests().await;
        let mut task = dump_task("race", &self.database.target);
        task.lock_timeout_seconds = 5;
        match dump_with(&task, &context(&self.store)).await {
            Ok(backup) => {
                self.holds(&backup, &format!("seed {seed}, dump {number}")).await;
                "whole".to_owned()
            }
            Err(error) => {
                assert_eq!(error.verdict, Verdict::Retry, "seed {seed}, dump {number}: {error}");
                let known = ["SchemaChanged", "LockTimeout", "BlockingDdl"];
                assert!(known.contains(&error.reason.as_str()), "seed {seed}, dump {number}: {} {error}", error.reason);
                assert_eq!(self.manifests().await, before, "a dump that failed left a manifest");
                error.reason
            }
        }
    }

    async fn manifests(&self) -> usize {
        self.store.list("").await.unwrap().iter().filter(|o| o.key.ends_with("/manifest.json")).count()
    }

    /// Restores the backup beside the live database and looks whether it is of one instant.
    async fn holds(&self, backup: &BackupSummary, which: &str) {
        let uid = format!("{}-aaaa-4bbb-8ccc-000000000000", &unique("")[..8]);
        let task = restore_task(&self.database.target, "race", backup, &uid);
        let prepared = prepare::run(&task, &context(&self.store)).await.unwrap_or_else(|e| panic!("{which}: {e}"));
        let Done::Prepared { new_database, .. } = prepared else { panic!("{prepared:?}") };
        let restored = Database::on(self.database.target.port, &new_database);
        for (violation, query) in INVARIANTS {
            let count = restored.count(query).await;
            assert_eq!(count, 0, "{which}: {violation}");
        }
        let admin = Database::on(self.database.target.port, "postgres");
        admin.run(&format!("DROP DATABASE {} WITH (FORCE)", ident(&new_database))).await;
    }

    async fn end(self) -> u64 {
        self.stop.cancel();
        for task in self.tasks {
            task.await.unwrap();
        }
        let admin = Database::on(self.database.target.port, "postgres");
        admin.run(&format!("DROP DATABASE {} WITH (FORCE)", ident(&self.database.target.database))).await;
        self.transfers.load(Ordering::Relaxed)
    }
}
