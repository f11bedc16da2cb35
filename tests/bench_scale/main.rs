//! `make bench-scale`: thousands of BackupSchedules on a real API server, the operator's program as it is shipped, a fake
//! worker for the compressed day, native CronJobs beside it; and the bars of docs/scale.md. A bar that falls short is
//! printed as such and is no failure; a broken promise (a slot twice, a budget exceeded) is one.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::large_futures,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "a measurement that cannot go on should say where"
)]

mod apiserver;
mod day;
mod etcd;
mod k8up;
mod ledger;
mod peers;
mod process;
mod report;
mod rest;
mod schedules;
mod scope;
mod tier;
mod worker;

use report::Page;
use scope::{AWAY, SMALL, Scope, WHOLE};
use testkit::cluster::Turn;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    if arguments.get(1).is_some_and(|word| word == process::CHILD) {
        runtime.block_on(process::operate(&arguments[2..]));
        return;
    }
    runtime.block_on(measure());
}

async fn measure() {
    let scope = Scope::from_env();
    let _turn = Turn::among().await;
    let mut page = Page::new();
    if scope.runs("rest") {
        page.begin(scope.rest());
        rest::run_and_judge(&scope, &mut page).await;
        page.end(&scope, scope.schedules >= WHOLE || scope.schedules == SMALL);
    }
    if scope.runs("day") {
        page.begin("day");
        day::run_and_judge(&scope, &mut page).await;
        page.end(&scope, scope.day >= WHOLE);
    }
    if scope.runs("catch-up") {
        page.begin("catch-up");
        day::away_and_judge(&scope, &mut page).await;
        page.end(&scope, scope.away >= AWAY);
    }
    if scope.runs("cronjobs") {
        page.begin("cronjobs");
        peers::run_and_judge(&scope, &mut page).await;
        page.end(&scope, scope.schedules >= WHOLE);
    }
    if scope.runs("k8up") {
        page.begin("k8up");
        let measured = k8up::run_and_judge(&scope, &mut page).await;
        page.end(&scope, measured && scope.schedules >= SMALL);
    }
    page.judge(&scope);
}
