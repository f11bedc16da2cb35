//! Many small tenants in one batch: one worker process with a list of tasks, as a Job would give it.

use crate::data;
use crate::measure::{Cost, median, quantile, run};
use crate::report::{Bar, Page, Scope};
use crate::servers::Servers;
use chrono::{DateTime, Utc};

/// What the tenants look like.
pub struct Shape {
    /// Name of the shape.
    pub name: &'static str,
    /// How many tenants.
    pub tenants: usize,
    /// Tables of each.
    pub tables: u64,
    /// Bytes of row text of each.
    pub bytes: u64,
}

fn make(servers: &Servers, shape: &Shape) -> Vec<String> {
    let template = format!("bench_{}", shape.name);
    eprintln!("{}: loading {} tenants", shape.name, shape.tenants);
    data::load(servers, &template, &data::small(shape.tables), shape.bytes);
    let name = |n: usize| format!("{template}_{n:03}");
    let names: Vec<String> = (0..shape.tenants).map(name).collect();
    for name in &names {
        servers.sql("postgres", &format!("CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy"));
    }
    servers.sql("postgres", "CHECKPOINT");
    names
}

/// Seconds that each task took, by its own report.
fn seconds(servers: &Servers, names: &[String]) -> Vec<f64> {
    let one = |name: &String| {
        let report = servers.report("own", name);
        let at = |field: &str| report[field].as_str().unwrap().parse::<DateTime<Utc>>().unwrap();
        assert_eq!(report["outcome"]["status"].as_str().unwrap_or("Succeeded"), "Succeeded", "{report}");
        (at("finishedAt") - at("startedAt")).as_seconds_f64()
    };
    names.iter().map(one).collect()
}

/// Runs it and puts it onto the page.
pub fn run_shape(servers: &Servers, shape: &Shape, scope: &Scope) -> (Vec<Cost>, Vec<f64>, u64) {
    let names = make(servers, shape);
    let (mut costs, mut taken, mut stored) = (Vec::new(), Vec::new(), 0);
    for round in 1..=scope.rounds {
        let cost = run(servers.dump("own", &names), servers.watched);
        taken.extend(seconds(servers, &names));
        stored = servers.stored("own/daily");
        servers.purge("own");
        eprintln!("{}: round {round}: {cost:.2?}", shape.name);
        costs.push(cost);
    }
    for name in &names {
        servers.sql("postgres", &format!("DROP DATABASE {name}"));
    }
    (costs, taken, stored)
}

/// Runs it, judges it, and puts it onto the page.
pub fn run_and_judge(servers: &Servers, shape: &Shape, rate: f64, p99: Option<f64>, scope: &Scope, page: &mut Page) {
    let (costs, taken, stored) = run_shape(servers, shape, scope);
    #[allow(clippy::cast_precision_loss)]
    let tenants = shape.tenants as f64;
    let of = |what: fn(&Cost) -> f64| median(costs.iter().map(what));
    let (found, slow) = (tenants / of(|c| c.wall), quantile(taken.iter().copied(), 0.99));
    let milliseconds = |what: fn(&Cost) -> f64| of(what) * 1e3 / tenants;
    #[allow(clippy::cast_precision_loss)]
    let (memory, stored) = (of(|c| c.memory as f64) / 1_048_576.0, stored as f64 / 1e6 / tenants);
    page.section(
        shape.name,
        &format!("{} tenants of {} tables", shape.tenants, shape.tables),
        &format!(
            "{} databases of {} tables and {:.0} MB of row text each, dumped by one worker process with a list of tasks; the medians of {} rounds.\n\n\
             | tenants a second | median s | p99 s | CPU ms a tenant: worker and pg_dump | PostgreSQL | MinIO | memory MiB | stored MB a tenant |\n\
             |---|---|---|---|---|---|---|---|\n\
             | {found:.1} | {:.2} | {slow:.2} | {:.0} | {:.0} | {:.0} | {memory:.0} | {stored:.1} |",
            shape.tenants, shape.tables, shape.bytes as f64 / 1e6, scope.rounds, median(taken.iter().copied()),
            milliseconds(|c| c.client), milliseconds(|c| c.database), milliseconds(|c| c.store),
        ),
    );
    page.bars(vec![Bar::at_least(format!("{}: tenants a second", shape.name), rate, found)]);
    if let Some(limit) = p99 {
        page.bars(vec![Bar::at_most(format!("{}: p99 in seconds", shape.name), limit, slow)]);
    }
    page.bars(vec![Bar::at_most(
        format!("{}: peak resident memory, worker and all pg_dump together, MiB", shape.name),
        256.0,
        memory,
    )]);
}
