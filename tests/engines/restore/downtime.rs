//! How long the tenant's clients are locked out, and how long somebody outside the fence waits, at 300 tables.

use super::kills::Tenant;
use sennight_core::result::Done;
use std::fmt::Write as _;
use std::time::{Duration, Instant};
use testkit::mysql::{Server, say};

const TABLES: usize = 300;

#[tokio::test(flavor = "multi_thread")]
async fn a_swap_of_300_tables_is_a_matter_of_seconds() {
    let part = std::env::var_os("SENNIGHT_CASES").is_some();
    let (swaps, tables) = if part { (1, TABLES / 5) } else { (5, TABLES) };
    if part {
        say(&format!(
            "left out: 4 of 5 swaps, {} of {TABLES} tables of the downtime; `make engines` has them",
            TABLES - tables
        ));
    }
    for server in Server::all() {
        let mut more = String::new();
        for n in 0..tables {
            let key =
                if n == 0 { String::new() } else { format!(", p int, FOREIGN KEY (p) REFERENCES t{} (id)", n - 1) };
            let _ = write!(more, "CREATE TABLE t{n} (id int PRIMARY KEY{key}); INSERT INTO t{n} (id) VALUES (1);");
            if n % 10 == 0 {
                let _ = write!(
                    more,
                    "CREATE TRIGGER tr{n} BEFORE INSERT ON t{n} FOR EACH ROW SET NEW.id = NEW.id; CREATE VIEW v{n} AS SELECT * FROM t{n};"
                );
            }
        }
        let mut tenant = Tenant::new(&server, &more).await;
        let (mut told, mut inside, mut outside) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..swaps {
            tenant.next().await;
            let task = tenant.prepared().await;
            tokio::time::sleep(Duration::from_millis(500)).await;
            let since = Instant::now();
            let Done::CutOver { downtime_millis, .. } = tenant.restore.cutover(&task, "pod").await.unwrap() else {
                panic!("not swapped")
            };
            tenant.clients.answered().await;
            let gaps = tenant.clients.gaps(since);
            told.push(Duration::from_millis(u64::try_from(downtime_millis).unwrap()));
            inside.push(gaps.0);
            outside.push(gaps.1);
            tenant.nothing_lost(Some(&task.previous_database)).await;
            tenant.clients.states();
            tenant.restore.drop_beside().await;
        }
        for all in [&mut told, &mut inside, &mut outside] {
            all.sort_unstable();
        }
        let (middle, last) = (swaps / 2, swaps - 1);
        say(&format!(
            "downtime on {} of {swaps} swaps of {tables} tables: by the worker median {:?}; a client inside the fence median {:?}, \
             worst {:?}; one outside median {:?}, worst {:?}",
            server.name, told[middle], inside[middle], inside[last], outside[middle], outside[last]
        ));
        tenant.clients.stop().await;
    }
}
