//! Cases of the reviews of November 2026: each is run against the real worker and real servers, and ends as `expected.tsv` says.
//! A case that ends otherwise, better or worse, fails: its row is changed in the same commit. `make cases` runs all of them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on should say where")]
#![allow(
    clippy::large_futures,
    clippy::similar_names,
    reason = "a suite's futures are run once, on a heap that has room"
)]

mod case;
mod mysql;
mod mysql_tenant;
mod outcome;
mod postgres;
mod scripts;
mod table;

use table::Run;
use tokio::sync::Mutex;

/// Cases change global variables of these servers: one test at a time is on them.
static MYSQL: Mutex<()> = Mutex::const_new(());
/// Scripts make tenants of the same names on PostgreSQL.
static TENANTS: Mutex<()> = Mutex::const_new(());

#[tokio::test(flavor = "multi_thread")]
async fn databases_of_postgresql_end_as_the_table_says() {
    let mut run = Run::new();
    postgres::all(&mut run).await;
    run.end("postgres");
}

#[tokio::test(flavor = "multi_thread")]
async fn databases_of_the_mysql_family_end_as_the_table_says() {
    let _alone = MYSQL.lock().await;
    let mut run = Run::new();
    mysql::all(&mut run).await;
    run.end("mysql");
}

#[tokio::test(flavor = "multi_thread")]
async fn scripts_on_postgresql_end_as_the_table_says() {
    let _alone = TENANTS.lock().await;
    let mut run = Run::new();
    scripts::all(&mut run, "postgres").await;
    run.end("scripts on PostgreSQL");
}

#[tokio::test(flavor = "multi_thread")]
async fn scripts_on_mariadb_end_as_the_table_says() {
    let _alone = MYSQL.lock().await;
    let mut run = Run::new();
    scripts::all(&mut run, "mariadb").await;
    run.end("scripts on MariaDB");
}

#[tokio::test(flavor = "multi_thread")]
async fn scripts_on_the_api_server_end_as_the_table_says() {
    let _alone = TENANTS.lock().await;
    let mut run = Run::new();
    scripts::all(&mut run, "api").await;
    run.end("scripts on the API server");
}
