//! A tenant on MariaDB: a full restore from both keys to the end, and one whose cut-over's pod is lost, which the operator has
//! another Job recover.

use sennight_api::ConditionStatus::{False, True};
use sennight_core::engine::EngineKind;
use sennight_core::engine::TlsMode;
use sennight_core::result::BackupSummary;
use sennight_protocol::backup::DumpTask;
use sennight_protocol::target::{DatabaseTarget, TlsTarget};
use serde_json::json;
use std::process::Command;
use tempfile::TempDir;
use testkit::cluster;
use testkit::world::{Tenant, World};
use testkit::{backup_ref, context, credential_files, dump_with, env, path, unique};

/// The database on the run's MariaDB 10.11, which goes with the value.
struct Maria {
    target: DatabaseTarget,
    _credentials: TempDir,
}

impl Maria {
    fn create() -> Self {
        let (user, password) = (env("SENNIGHT_TEST_MYSQL_USER"), env("SENNIGHT_TEST_MYSQL_PASSWORD"));
        let credentials = credential_files(&[("username", &user), ("password", &password)]);
        let target = DatabaseTarget {
            engine: EngineKind::MariaDB,
            host: env("SENNIGHT_TEST_MYSQL_HOST"),
            port: env("SENNIGHT_TEST_MARIADB_10_11_PORT").parse().unwrap(),
            database: unique("t_"),
            maintenance_database: String::new(),
            tls: TlsTarget {
                mode: TlsMode::VerifyFull,
                ca_file: Some(env("SENNIGHT_TEST_MYSQL_CA")),
                client_cert_dir: None,
            },
            credentials_dir: path(credentials.path()),
        };
        let maria = Self { target, _credentials: credentials };
        maria.run("", &format!("CREATE DATABASE {}", maria.target.database));
        maria
    }

    /// What the stock client prints.
    fn run(&self, database: &str, sql: &str) -> String {
        let client = format!("{}/mariadb", env("SENNIGHT_TEST_MARIADB_10_11_BIN"));
        let output = Command::new(client)
            .env("MYSQL_PWD", env("SENNIGHT_TEST_MYSQL_PASSWORD"))
            .args(["--no-defaults", "--protocol=tcp", "--skip-column-names", "--batch"])
            .arg(format!("--host={}", self.target.host))
            .arg(format!("--port={}", self.target.port))
            .arg(format!("--user={}", env("SENNIGHT_TEST_MYSQL_USER")))
            .args(["--execute", sql])
            .args((!database.is_empty()).then_some(database))
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn contacts(&self, database: &str) -> String {
        self.run(database, "SELECT COUNT(*) FROM contacts")
    }
}

impl Drop for Maria {
    fn drop(&mut self) {
        let name = self.target.database.clone();
        let beside =
            format!("SELECT SCHEMA_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME LIKE '{name}\\_\\_%'");
        for schema in self.run("", &beside).lines().chain([name.as_str()]) {
            self.run("", &format!("DROP DATABASE IF EXISTS `{schema}`"));
        }
    }
}

/// A tenant of the namespace whose database is on MariaDB.
async fn tenant(world: &World) -> (Tenant, Maria, BackupSummary) {
    let maria = Maria::create();
    let database = maria.target.database.clone();
    maria.run(
        &database,
        "CREATE TABLE contacts (id int PRIMARY KEY, name varchar(40)); INSERT INTO contacts SELECT seq, CONCAT('Contact ', seq) FROM seq_1_to_100;
         CREATE VIEW names AS SELECT name FROM contacts",
    );
    let tenant = world.tenant("acme").await;
    let server = json!({
        "engine": "MariaDB", "host": maria.target.host, "port": maria.target.port,
        "tls": {"caSecretRef": {"name": "maria-ca", "key": "ca.pem"}},
        "dumpCredentialsSecretRef": {"name": "maria"}, "restoreCredentialsSecretRef": {"name": "maria"}
    });
    let login = json!({"username": env("SENNIGHT_TEST_MYSQL_USER"), "password": env("SENNIGHT_TEST_MYSQL_PASSWORD")});
    let ca = json!({"ca.pem": std::fs::read_to_string(env("SENNIGHT_TEST_MYSQL_CA")).unwrap()});
    cluster::apply(
        &[
            world.secret("maria", &login),
            world.secret("maria-ca", &ca),
            cluster::object(&world.namespace, "DatabaseServer", "maria", &server),
        ]
        .join("\n---\n"),
    );
    world.schedule(&tenant, json!({"suspend": true, "database": {"serverRef": {"name": "maria"}, "name": database}}));
    let mut task: DumpTask = testkit::dump_task(&tenant.name, &maria.target);
    task.identity.namespace.clone_from(&world.namespace);
    task.identity.tenant = format!("id-{}", tenant.name);
    task.identity.engine = EngineKind::MariaDB;
    task.identity.schedule_uid = String::new();
    "Etc/UTC".clone_into(&mut task.time_zone);
    let store = world.bucket().store().await;
    let backup = dump_with(&task, &context(&store)).await.unwrap();
    assert!(store.open(&backup_ref(&backup), None).await.is_ok());
    maria.run(&database, "DELETE FROM contacts WHERE id > 7");
    (tenant, maria, backup)
}

#[tokio::test(flavor = "multi_thread")]
async fn i1_i2_a_mariadb_tenant_is_restored_and_a_lost_cut_over_is_settled() {
    let world = World::on_servers("family").await;
    let (tenant, maria, backup) = tenant(&world).await;
    let live = maria.target.database.clone();
    let _operator = world.operator(&[]);
    let full = json!({"mode": "FullRestore", "acknowledgeDataLoss": true});

    world.request(&tenant, "lost", backup.day, full.clone()).await;
    assert_eq!(world.run(&world.step("preflight").await).await, 0);
    world.says("lost", "Eligible", True, "Possible").await;
    world.sign("lost").await;
    assert_eq!(world.run(&world.step("prepare").await).await, 0);
    world.evict(&world.step("cutover").await).await;
    // Nobody knows what it did: another Job asks the server, and swaps nothing.
    assert_eq!(world.run(&world.step("recover-cutover").await).await, 3);
    world.says("lost", "Failed", True, "CutoverTakenBack").await;
    assert_eq!(maria.contacts(&live), "7");
    assert_eq!(world.run(&world.step("drop-database").await).await, 0, "what was prepared is dropped");
    world.says("lost", "Progressing", False, "CutoverTakenBack").await;

    world.request(&tenant, "r", backup.day, full).await;
    assert_eq!(world.run(&world.step("preflight").await).await, 0);
    world.sign("r").await;
    assert_eq!(world.run(&world.step("prepare").await).await, 0);
    assert_eq!(maria.contacts(&live), "7", "I3: the old one until the swap");
    assert_eq!(world.run(&world.step("cutover").await).await, 0);
    world.says("r", "Complete", True, "Restored").await;
    assert_eq!((maria.contacts(&live), maria.run(&live, "SELECT COUNT(*) FROM names")), ("100".into(), "100".into()));
    let kept = world.get("r").await.status.unwrap().result.unwrap().previous_database.unwrap();
    assert_eq!(maria.contacts(&kept), "7", "what was replaced is kept");
    assert_eq!(world.run(&world.step("safety-backup").await).await, 0);

    world
        .request(
            &tenant,
            "u",
            backup.day,
            json!({"mode": "Undo", "acknowledgeDataLoss": true, "date": null, "undoOf": {"name": "r"}}),
        )
        .await;
    assert_eq!(world.run(&world.step("preflight").await).await, 0);
    world.sign("u").await;
    assert_eq!(world.run(&world.step("cutover").await).await, 0);
    world.says("u", "Complete", True, "Restored").await;
    assert_eq!(maria.contacts(&live), "7", "undone");
}
