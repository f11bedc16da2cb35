//! The platform team's SQL: run in the new database before anybody sees it, each hook whole or not at all.

use sennight_core::result::{Done, HookRun};
use sennight_protocol::restore::RestoreTask;
use sennight_worker::{TaskError, Verdict, prepare};
use testkit::postgres::restore::{PostgresRestore, fill};

async fn prepared(restore: &PostgresRestore, task: &RestoreTask) -> Result<(String, Vec<HookRun>), TaskError> {
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
    let ran: Vec<(&str, i64)> = hooks.iter().map(|hook| (hook.name.as_str(), hook.rows)).collect();
    assert_eq!(ran, [("10-erased.sql", 1), ("20-told.sql", 1)]);
    let erased = "SELECT count(*)::text FROM crm.contacts WHERE id = 4000";
    assert_eq!(restore.value(&new, erased).await.as_deref(), Some("0"));
    assert_eq!(restore.value(&restore.database, erased).await.as_deref(), Some("1"), "the live one is not touched");
    let told = restore.value(&new, "SELECT at FROM public.hooked").await.unwrap();
    assert!(told.starts_with(&format!("{} 20", restore.name)), "{told}");
}

/// What a tenant writes so that erased persons come back: a trigger and a rule that keep a DELETE from its rows.
const KEEPERS: &str = "
CREATE TABLE public.people (id integer PRIMARY KEY, name text);
INSERT INTO public.people SELECT n, 'person ' || n FROM generate_series(1, 9) n;
CREATE FUNCTION public.keeps() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NULL; END$$;
CREATE TRIGGER keeps BEFORE DELETE ON public.people FOR EACH ROW EXECUTE FUNCTION public.keeps();
ALTER TABLE public.people ENABLE ALWAYS TRIGGER keeps;
CREATE TABLE public.ruled (id integer); INSERT INTO public.ruled VALUES (4), (5);
CREATE RULE stays AS ON DELETE TO public.ruled DO INSTEAD NOTHING;
CREATE TABLE public.hidden (id integer); INSERT INTO public.hidden VALUES (4), (5);
ALTER TABLE public.hidden ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY none ON public.hidden USING (false);";

#[tokio::test(flavor = "multi_thread")]
async fn i11_no_trigger_rule_or_policy_of_a_tenants_keeps_a_hook_from_its_rows() {
    let restore = PostgresRestore::new("keepers").await;
    restore.sql_as("owner", &restore.database, KEEPERS).await;
    let backup = restore.dump().await;
    let dir = tempfile::tempdir().unwrap();
    let hook = "DELETE FROM people WHERE id = 4; DELETE FROM ruled WHERE id = 4; DELETE FROM hidden WHERE id = 4;
        INSERT INTO people VALUES (100, session_user || ' ' || current_user); SELECT count(*) FROM people;";
    std::fs::write(dir.path().join("10-erased.sql"), hook).unwrap();
    for role in ["restore", "super"] {
        let task = RestoreTask {
            hooks_dir: Some(dir.path().to_str().unwrap().to_owned()),
            database: restore.target(role),
            ..restore.restore_task(&backup)
        };
        let (new, hooks) = prepared(&restore, &task).await.unwrap();
        assert_eq!(hooks, [HookRun { name: "10-erased.sql".to_owned(), rows: 4 }], "{role}");
        for table in ["people", "ruled", "hidden"] {
            let erased = format!("SELECT count(*)::text FROM public.{table} WHERE id = 4");
            assert_eq!(restore.value(&new, &erased).await.as_deref(), Some("0"), "{table} as {role}");
        }
        let who = restore.value(&new, "SELECT name FROM public.people WHERE id = 100").await.unwrap();
        assert!(who.starts_with("sennight_load_"), "{who}");
        // What the tenant wrote is there all the same.
        let there = "SELECT (SELECT tgenabled::text FROM pg_trigger WHERE tgname = 'keeps')
            || (SELECT count(*) FROM pg_rewrite WHERE rulename = 'stays') || (SELECT count(*) FROM pg_policy)";
        assert_eq!(restore.value(&new, there).await.as_deref(), Some("A11"));
        restore.sql("postgres", &format!("DROP DATABASE {}", sennight_engine::postgres::ident(&new))).await;
    }
}
