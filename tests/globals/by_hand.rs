//! A backup that a person loads with the stock client, on a server whose own settings would lose the rows or change them.

use crate::ALONE;
use crate::hostile::{globals, put_back};
use crate::picture::{backed_up, filled};
use sennight_core::engine::EngineKind;
use sennight_worker::{ProgressWriter, directory};
use std::process::Command;
use testkit::mysql::{Database, Server};
use testkit::{Bucket, backup_ref, env, path};

/// What each server takes of these; the names of some are of one family.
const HOSTILE: &[&str] = &[
    "autocommit = 0",
    "completion_type = 2",
    "transaction_read_only = 1",
    "tx_read_only = 1",
    "sql_mode = 'STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ANSI_QUOTES,NO_BACKSLASH_ESCAPES'",
    "time_zone = '-11:00'",
    "explicit_defaults_for_timestamp = 0",
    "sql_safe_updates = 1",
    "auto_increment_increment = 7",
    "character_set_client = latin1",
    "character_set_connection = latin1",
    "foreign_key_checks = 1",
    "check_constraint_checks = 1",
    "sql_select_limit = 1",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_loaded_by_hand_whatever_the_servers_globals_say() {
    let _alone = ALONE.lock().await;
    let bucket = Bucket::create().await;
    let store = bucket.store().await;
    for server in Server::all() {
        let database = filled(&server);
        let (backup, _, before) = backed_up(&database.dump_task(), &store).await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        let (into, options) = (dir.path().join("backup"), dir.path().join("my.cnf"));
        let open = store.open(&backup_ref(&backup), None).await.unwrap();
        directory::write(&store, &open, &into, &ProgressWriter::silent()).await.unwrap();
        let (port, password) = (server.port(), env("SENNIGHT_TEST_MYSQL_PASSWORD"));
        std::fs::write(
            &options,
            format!("[client]\nhost=127.0.0.1\nport={port}\nuser=root\npassword={password}\nprotocol=tcp\n"),
        )
        .unwrap();
        let restored = Database::create(&server);
        let mut control = database.session().await;
        let had = globals(&mut control).await;
        control.run("SET GLOBAL local_infile = 1", "test").await.unwrap();
        let mut taken = 0;
        for hostile in HOSTILE {
            taken += usize::from(control.run(&format!("SET GLOBAL {hostile}"), "test").await.is_ok());
        }
        let client = server.bin().join(if server.engine == EngineKind::MySQL { "mysql" } else { "mariadb" });
        let output = Command::new("bash")
            .arg(into.join("load.sh"))
            .arg(restored.name())
            .env("MYSQL", format!("{} --defaults-extra-file={}", path(&client), path(&options)))
            .output()
            .unwrap();
        put_back(&mut control, &had).await;
        assert!(output.status.success(), "{}: {}", server.name, String::from_utf8_lossy(&output.stderr));
        assert!(taken > 10, "{}: {taken}", server.name);
        let after = backed_up(&restored.dump_task(), &store).await.unwrap().2;
        assert_eq!(before.difference(&after), None, "{}", server.name);
    }
}
