//! The platform team's SQL: run in the new database before anybody sees it, each hook whole or not at all.

use sennight_core::result::Done;
use sennight_protocol::restore::RestoreTask;
use sennight_worker::{TaskError, Verdict, prepare};
use testkit::postgres::restore::{PostgresRestore, fill};

async fn prepared(restore: &PostgresRestore, task: &RestoreTask) -> Result<(String, Vec<String>), TaskError> {
    match prepare::run(task, &restore.context("hooks", "pod")).await? {
        Done::Prepared { new_database, hooks, .. } => Ok((new_database, hooks)),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hooks_run_in_the_restored_database_and_a_failing_one_leaves_the_old_one_serving() {
    let restore = PostgresRestore::new("hooks").await;
    fill(&restore).await;
    let backup = restore.dump().await;
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, sql: &str| std::fs::write(dir.path().join(name), sql).unwrap();
    let task =
        RestoreTask { hooks_dir: Some(dir.path().to_str().unwrap().to_owned()), ..restore.restore_task(&backup) };
    let databases = restore.databases().await;

    let none = prepared(&restore, &task).await.unwrap_err();
    assert_eq!((none.reason.as_str(), none.verdict), ("HooksMissing", Verdict::Refused));
    let reasons = async || restore.preflight(&task).await.refusals.into_iter().map(|r| r.reason).collect::<Vec<_>>();
    assert_eq!(reasons().await, ["HooksMissing"], "known before anybody pays");
    std::fs::create_dir(dir.path().join("00-not-a-file.sql")).unwrap();
    assert_eq!(reasons().await, ["HooksUnreadable"]);
    std::fs::remove_dir(dir.path().join("00-not-a-file.sql")).unwrap();
    write("10-erased.sql", "DELETE FROM crm.contacts WHERE id = 4000; CREATE TABLE public.hooked (at text);");
    write(
        "20-told.sql",
        "INSERT INTO hooked VALUES (current_setting('sennight.tenant') || ' ' || current_setting('sennight.snapshot_time'))",
    );
    for (broken, why) in [
        ("DELETE FROM crm.contacts WHERE id = 4001; SELECT 1 / 0", "division by zero"),
        ("COMMIT", "ends the transaction"),
        ("ROLLBACK; BEGIN; SELECT 1", "ends the transaction"),
        ("SELEC 1", "syntax error"),
    ] {
        write("30-last.sql", broken);
        let failed = prepared(&restore, &task).await.unwrap_err();
        assert_eq!((failed.reason.as_str(), failed.verdict), ("HookFailed", Verdict::Refused), "{failed}");
        assert!(failed.message.contains("30-last.sql") && failed.message.contains(why), "{failed}");
        assert_eq!(restore.databases().await, databases, "nothing is left of it");
    }
    std::fs::remove_file(dir.path().join("30-last.sql")).unwrap();
    let (new, hooks) = prepared(&restore, &task).await.unwrap();
    assert_eq!(hooks, ["10-erased.sql", "20-told.sql"]);
    let erased = "SELECT count(*)::text FROM crm.contacts WHERE id = 4000";
    assert_eq!(restore.value(&new, erased).await.as_deref(), Some("0"));
    assert_eq!(restore.value(&restore.database, erased).await.as_deref(), Some("1"), "the live one is not touched");
    let told = restore.value(&new, "SELECT at FROM public.hooked").await.unwrap();
    assert!(told.starts_with(&format!("{} 20", restore.name)), "{told}");
}
