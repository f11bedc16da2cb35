//! Full restores on real PostgreSQL and MinIO: preflight, prepare, cut-over. Run by
//! `tests/cluster/with.sh services -- cargo test -p testkit --test servers -- restore::`.

mod drill;
mod hooks;
mod prepares;
mod recover_cutover;
mod refusals;
mod refused_backups;
mod severed;
mod swaps;
mod undo;

use sennight_core::result::Done;
use sennight_engine::postgres::ident;
use testkit::postgres::restore::{PostgresRestore, assert_same, fill, picture};

/// What a tenant does to their data before they call the helpdesk.
async fn ruin(restore: &PostgresRestore) {
    let sql = "SET session_replication_role = replica; DELETE FROM crm.contacts WHERE id % 3 = 0; UPDATE crm.companies SET title = 'x';
        DROP TABLE crm.archive; TRUNCATE crm.deals_2026_0; ALTER TABLE crm.contacts DROP COLUMN photo;
        CREATE TABLE crm.later (id int); INSERT INTO crm.later VALUES (1); DROP VIEW crm.first_people;
        SELECT setval('crm.ticket', 999); SELECT lo_unlink(4242); REVOKE ALL ON crm.contacts FROM PUBLIC;
        DROP TRIGGER touch ON crm.contacts;";
    restore.sql(&restore.database, sql).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i3_a_restored_tenant_equals_the_dumped_one_and_the_old_one_is_kept() {
    let restore = PostgresRestore::new("equal").await;
    fill(&restore).await;
    let dumped = picture(&restore, &restore.database).await;
    let backup = restore.dump().await;
    ruin(&restore).await;
    let ruined = picture(&restore, &restore.database).await;
    let task = restore.restore_task(&backup);

    let looked = restore.preflight(&task).await;
    assert_eq!(looked.refusals, [], "{looked:?}");
    assert!(looked.live_bytes > 0);

    let cutover = restore.prepare(&task).await.unwrap();
    assert_same(&ruined, &picture(&restore, &restore.database).await);
    let new = ident(&restore.new_database());
    let may = format!("has_database_privilege('{}', '{}', 'CONNECT')", restore.role("app"), restore.new_database());
    assert_eq!(restore.value("postgres", &format!("SELECT ({may})::text")).await.unwrap(), "false", "{new} is closed");

    let Done::CutOver { previous_database, downtime_millis, .. } = restore.cutover(&cutover, "pod").await.unwrap()
    else {
        panic!("not cut over")
    };
    assert_eq!(previous_database, restore.previous_database());
    assert!((0..10_000).contains(&downtime_millis), "{downtime_millis} ms");
    assert_same(&dumped, &picture(&restore, &restore.database).await);
    assert_eq!(restore.oid(&restore.database).await, Some(cutover.new_number.0));
    assert_eq!(restore.oid(&previous_database).await, Some(cutover.live_number.0));

    // Rows and definitions of the kept one are the ruined ones'; the tenant's app no longer gets in.
    restore.session("app", &restore.database).await;
    let app = sennight_engine::postgres::connect(&restore.target("app"), &previous_database, "test").await;
    assert!(app.is_err(), "the previous database is closed to the app");
    let kept = picture(&restore, &previous_database).await;
    let rows = |text: &str| text.lines().filter(|l| l.starts_with("crm.")).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(rows(&kept), rows(&ruined));
    let analyzed = "SELECT count(*)::text FROM pg_stats WHERE schemaname = 'crm' AND tablename = 'contacts'";
    assert_ne!(restore.value(&restore.database, analyzed).await.unwrap(), "0", "statistics are there at once");
}
