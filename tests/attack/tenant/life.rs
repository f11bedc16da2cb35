//! The life of one hostile database, from its dump to its drill.

use crate::hostile::{self, Hostile, Seen};
use sennight_core::names::drill_database;
use sennight_core::result::Done;
use sennight_engine::postgres::ident;
use sennight_protocol::backup::SafetyBackupTask;
use sennight_protocol::cutover::CutoverTask;
use sennight_protocol::restore::{DrillTask, RestoreTask};
use sennight_protocol::target::DatabaseTarget;
use sennight_worker::{cutover, drill, safety_backup, verify};
use testkit::postgres::restore::PostgresRestore;
use testkit::{backup_ref, dump_task, unique};

/// Who restores, and whom the tenant's objects belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrangement {
    /// A role with the rights of docs/full-restore.md.
    Lesser,
    /// A superuser.
    Superuser,
    /// The lesser role, and one owner for all tenants.
    OneOwner,
}

/// Lives it. An error is what went wrong, in words.
pub async fn lived(database: &Hostile, arrangement: Arrangement) -> Result<Seen, String> {
    let restore = PostgresRestore::new("hostile").await;
    let victim = made(&restore, database, arrangement).await?;
    let identity = restore.identity();
    let databases = [
        restore.database.clone(),
        restore.new_database(),
        restore.previous_database(),
        drill_database(&identity.namespace, &identity.schedule),
    ];
    let lived = whole_life(&restore, arrangement).await;
    // The server writes its log before it answers.
    let own = ["owner", "app", "report"].map(|role| restore.role(role));
    let seen = hostile::seen(&databases, &own);
    gone(&restore, &victim, &databases).await;
    lived.map_err(|why| format!("{why}; {}", seen.as_ref().map_or_else(Clone::clone, |seen| seen.who.clone())))?;
    seen
}

/// Makes the database by its owner, and another tenant beside it, whose role the restore role is a member of.
async fn made(restore: &PostgresRestore, hostile: &Hostile, arrangement: Arrangement) -> Result<String, String> {
    let victim = unique("victim_");
    let (owner, app, restorer) = (restore.role("owner"), restore.role("app"), restore.role("restore"));
    let of = if arrangement == Arrangement::OneOwner { &owner } else { &victim };
    restore
        .sql("postgres", &format!("CREATE ROLE {victim}; GRANT {victim} TO {restorer}; GRANT {app} TO {owner}"))
        .await;
    restore.sql("postgres", &format!("CREATE DATABASE {victim} OWNER {of}")).await;
    let (db, grants) = (ident(&restore.database), ident(&app));
    restore
        .sql(
            &restore.database,
            &format!("GRANT CREATE ON DATABASE {db} TO {grants}; GRANT CREATE ON SCHEMA public TO {grants}"),
        )
        .await;
    let sql = hostile
        .sql
        .replace(":\"db\"", &db)
        .replace(":\"app\"", &grants)
        .replace(":\"dump\"", &ident(&restore.role("dump")));
    let session = restore.session("owner", &restore.database).await;
    for text in [hostile::prelude(&victim), sql] {
        // As its application would: with the path that everybody has.
        let text = format!("SET search_path = public; {text}");
        session.batch_execute(&text).await.map_err(|e| format!("not made: {:?}", e.as_db_error()))?;
    }
    session.close().await;
    Ok(victim)
}

fn said(doing: &str) -> impl Fn(sennight_worker::TaskError) -> String {
    move |error| format!("{doing}: {} {}", error.reason, error.message)
}

async fn whole_life(restore: &PostgresRestore, arrangement: Arrangement) -> Result<(), String> {
    let context = restore.context("life", "pod");
    let backup = restore.dump().await;
    let task = sennight_protocol::backup::VerifyTask { name: "verify".to_owned(), backup: backup_ref(&backup) };
    verify::run(&task, &context).await.map_err(said("verify"))?;
    let role = if arrangement == Arrangement::Superuser { "super" } else { "restore" };
    let task =
        RestoreTask { database: restore.target(role), allow_shared_owners: false, ..restore.restore_task(&backup) };
    let found = restore.preflight(&task).await;
    let reasons: Vec<&str> = found.refusals.iter().map(|refusal| refusal.reason.as_str()).collect();
    let expected: &[&str] = if arrangement == Arrangement::OneOwner { &["OwnersShared"] } else { &[] };
    if reasons != expected {
        return Err(format!("preflight: {:?}", found.refusals));
    }
    let task = RestoreTask { allow_shared_owners: true, ..task };
    let swap = restore.prepare(&task).await.map_err(said("prepare"))?;
    closed(restore, &swap.new_database).await?;
    let swap = CutoverTask { database: restore.target(role), ..swap };
    cutover::run(&swap, &context).await.map_err(said("cutover"))?;
    closed(restore, &swap.previous_database).await?;
    restore.dump().await;
    safety(restore, &swap, role).await?;
    undone(restore, &swap, role).await?;
    let identity = restore.identity();
    let server = DatabaseTarget { database: "postgres".to_owned(), ..restore.target("super") };
    let task = DrillTask { name: "drill".to_owned(), identity, backup: backup_ref(&backup), server };
    drill::run(&task, &context).await.map_err(said("drill")).map(drop)
}

/// The tenant's owner may neither enter nor drop what waits beside its database.
async fn closed(restore: &PostgresRestore, database: &str) -> Result<(), String> {
    if sennight_engine::postgres::connect(&restore.target("owner"), database, "test").await.is_ok() {
        return Err(format!("the tenant's owner is in {database}"));
    }
    let session = restore.session("owner", &restore.database).await;
    let dropped = session.batch_execute(&format!("DROP DATABASE {}", ident(database))).await;
    let renamed = session.batch_execute(&format!("ALTER DATABASE {} RENAME TO mine", ident(database))).await;
    let told = session.batch_execute(&format!("COMMENT ON DATABASE {} IS 'mine'", ident(database))).await;
    session.close().await;
    if dropped.is_ok() || renamed.is_ok() || told.is_ok() {
        return Err(format!("the tenant's owner may change {database}"));
    }
    Ok(())
}

async fn safety(restore: &PostgresRestore, swap: &CutoverTask, role: &str) -> Result<(), String> {
    let kept = DatabaseTarget { database: swap.previous_database.clone(), ..restore.target("dump") };
    let mut dump = dump_task("acme", &kept);
    dump.identity = restore.identity();
    let task = SafetyBackupTask {
        name: "safety-backup".to_owned(),
        request_uid: swap.request_uid.clone(),
        previous_number: swap.live_number,
        dump,
        restore_credentials_dir: restore.target(role).credentials_dir,
    };
    safety_backup::run(&task, &restore.context("safety", "pod")).await.map_err(said("safety-backup")).map(drop)
}

async fn undone(restore: &PostgresRestore, swap: &CutoverTask, role: &str) -> Result<(), String> {
    let uid = format!("{}0", &unique("").replace('-', "")[..1]);
    let undo = CutoverTask {
        name: "undo".to_owned(),
        request_uid: format!("{:08x}-bbbb-4bbb-8ccc-{uid}23456789ab", rand::random::<u32>()),
        new_database: swap.previous_database.clone(),
        previous_database: format!("{}__undone", restore.database),
        live_number: swap.new_number,
        new_number: swap.live_number,
        undo_of: Some(swap.request_uid.clone()),
        database: restore.target(role),
        ..swap.clone()
    };
    let done = cutover::run(&undo, &restore.context("undo", "pod")).await.map_err(said("undo"))?;
    let Done::CutOver { .. } = done else { return Err(format!("undo: {done:?}")) };
    // The tenant has its database back: it is the owner again.
    let owner = format!("SELECT pg_get_userbyid(datdba)::text FROM pg_database WHERE datname = '{}'", restore.database);
    let owner = restore.value("postgres", &owner).await;
    if owner.as_ref() != Some(&restore.role("owner")) {
        return Err(format!("after the undo the database belongs to {owner:?}"));
    }
    Ok(())
}

/// Drops what is left, and sees that no role of a restore is.
async fn gone(restore: &PostgresRestore, victim: &str, databases: &[String]) {
    let left = "SELECT string_agg(rolname, ' ') FROM pg_roles r
        WHERE rolname LIKE 'sennight_load_%' AND shobj_description(oid, 'pg_authid') LIKE '%' || $uid$";
    let left = format!("{left}{}$uid$", restore.uid);
    assert_eq!(restore.value("postgres", &left).await, None, "roles of a restore are left");
    let undone = format!("{}__undone", restore.database);
    let all = databases.iter().map(String::as_str).chain([victim, undone.as_str()]);
    for database in all {
        restore.sql("postgres", &format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", ident(database))).await;
    }
}
