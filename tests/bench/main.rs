//! `make bench`: seeded databases on a real PostgreSQL, a real MariaDB and a real MinIO, Sennight and its peers in turns, and the bars of
//! docs/benchmarks.md, which this program writes. A bar that falls short is printed as such and is no failure.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::large_futures,
    clippy::cast_precision_loss,
    reason = "a measurement that cannot go on should say where"
)]

mod ceiling;
mod data;
mod mariadb;
mod mariadb_server;
mod measure;
mod peers;
mod plot;
mod report;
mod servers;
mod small;
mod wide;

use report::{Page, Scope};
use servers::Servers;

fn main() {
    let scope = Scope::from_env();
    let servers = Servers::from_env();
    let mut page = Page::new(&servers);
    if scope.runs("wide") {
        wide::run_and_judge(&servers, &scope, &mut page);
    }
    if scope.runs("small") {
        let shape = small::Shape { name: "small", tenants: scope.tenants, tables: 60, bytes: 10 << 20 };
        small::run_and_judge(&servers, &shape, 10.0, Some(2.0), &scope, &mut page);
    }
    if scope.runs("tables") {
        let tenants = (scope.tenants / 10).max(2);
        let shape = small::Shape { name: "tables", tenants, tables: 1000, bytes: 10 << 20 };
        small::run_and_judge(&servers, &shape, 2.0, None, &scope, &mut page);
    }
    if scope.runs("mariadb") {
        mariadb::run_and_judge(&servers, &scope, &mut page);
    }
    page.write(&scope);
}
