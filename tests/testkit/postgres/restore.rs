//! A tenant of its own for each test: roles, database, bucket prefix, and a worker's context, on the services that
//! `tests/cluster/with.sh services` starts.

use crate::env;
use sennight_core::capabilities::Capabilities;
use sennight_core::engine::EngineKind;
use sennight_core::engine::TlsMode;
use sennight_core::manifest::TenantIdentity;
use sennight_core::names::{new_database, previous_database};
use sennight_core::result::{BackupSummary, Done, Preflight};
use sennight_engine::postgres::{Session, connect, ident, literal};
use sennight_protocol::backup::{BackupRef, DumpTask};
use sennight_protocol::cutover::CutoverTask;
use sennight_protocol::restore::RestoreTask;
use sennight_protocol::target::{DatabaseTarget, StorageTarget, TlsTarget};
use sennight_storage::Store;
use sennight_worker::{ProgressWriter, TaskError, WorkerContext, cutover, dump, preflight, prepare};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;
use tokio_util::sync::CancellationToken;

/// One tenant, its roles named after it: `<name>_owner`, `_app`, `_report`, `_dump`, `_restore`.
pub struct PostgresRestore {
    /// Short name, unique on the server.
    pub name: String,
    /// The live database.
    pub database: String,
    /// UID of the RestoreRequest.
    pub uid: String,
    /// The bucket.
    pub store: Store,
    secrets: tempfile::TempDir,
}

impl PostgresRestore {
    /// Roles and an empty database, owned by `<name>_owner`, closed to PUBLIC.
    pub async fn new(name: &str) -> Self {
        // Roles outlive a test; the server may outlive many runs.
        let name = format!("{name}_{:06x}", rand::random::<u32>() >> 8);
        Self::named(&name, &name).await
    }

    /// [`PostgresRestore::new`] with a database of another name.
    pub async fn named(name: &str, database: &str) -> Self {
        let secrets = tempfile::tempdir().unwrap();
        let uid = format!("{:08x}-aaaa-4bbb-8ccc-{:012x}", rand::random::<u32>(), rand::random::<u32>());
        let world =
            Self { name: name.to_owned(), database: database.to_owned(), uid, store: bucket(&secrets).await, secrets };
        world.secret("super", &env("SENNIGHT_TEST_PG_USER"), &env("SENNIGHT_TEST_PG_PASSWORD"));
        for role in ["owner", "app", "report", "dump", "restore"] {
            world.secret(role, &world.role(role), "s:e\\cret '\"");
        }
        world.sql("postgres", &world.roles()).await;
        let session = world.session("super", "postgres").await;
        let owners = ["owner", "app", "report"].map(|role| world.role(role));
        let owners: Vec<&str> = owners.iter().map(String::as_str).collect();
        may_load(&session, &world.role("restore"), &owners).await;
        session.close().await;
        let (database, owner) = (ident(database), ident(&world.role("owner")));
        world.sql("postgres", &format!("CREATE DATABASE {database} OWNER {owner}")).await;
        world.sql("postgres", &format!("REVOKE CONNECT ON DATABASE {database} FROM PUBLIC")).await;
        let (app, dump) = (ident(&world.role("app")), ident(&world.role("dump")));
        world.sql("postgres", &format!("GRANT CONNECT ON DATABASE {database} TO {app}, {dump}")).await;
        world
    }

    fn roles(&self) -> String {
        let role = |name: &str| ident(&self.role(name));
        let mut sql = String::new();
        for name in ["owner", "app", "report", "dump", "restore"] {
            let password = literal("s:e\\cret '\"");
            write!(sql, "CREATE ROLE {} LOGIN PASSWORD {password};", role(name)).unwrap();
        }
        sql + &format!(
            "ALTER ROLE {restore} CREATEDB; GRANT pg_signal_backend TO {restore};
             ALTER ROLE {dump} BYPASSRLS; GRANT pg_read_all_data TO {dump};",
            restore = role("restore"),
            dump = role("dump"),
        )
    }

    /// The full name of one of the tenant's roles.
    pub fn role(&self, role: &str) -> String {
        format!("{}_{role}", self.name)
    }

    fn secret(&self, dir: &str, username: &str, password: &str) {
        let dir = self.secrets.path().join(dir);
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("host"), crate::LOOPBACK).unwrap();
        std::fs::write(dir.join("username"), username).unwrap();
        std::fs::write(dir.join("password"), password).unwrap();
    }

    /// The live database as one of the roles (or `super`) reaches it.
    pub fn target(&self, role: &str) -> DatabaseTarget {
        DatabaseTarget {
            engine: EngineKind::PostgreSQL,
            host: env("SENNIGHT_TEST_PG_HOST"),
            port: env("SENNIGHT_TEST_PG_PORT").parse().unwrap(),
            database: self.database.clone(),
            maintenance_database: "postgres".to_owned(),
            tls: TlsTarget {
                mode: TlsMode::VerifyFull,
                ca_file: Some(env("SENNIGHT_TEST_PG_CA")),
                client_cert_dir: None,
            },
            credentials_dir: self.secrets.path().join(role).to_str().unwrap().to_owned(),
        }
    }

    /// A session as one of the roles.
    pub async fn session(&self, role: &str, database: &str) -> Session {
        connect(&self.target(role), database, "test").await.unwrap()
    }

    /// Runs statements as the superuser.
    pub async fn sql(&self, database: &str, sql: &str) {
        self.sql_as("super", database, sql).await;
    }

    /// Runs statements as one of the roles.
    pub async fn sql_as(&self, role: &str, database: &str, sql: &str) {
        let session = self.session(role, database).await;
        session.batch_execute(sql).await.unwrap_or_else(|e| panic!("{:?}", e.as_db_error()));
        session.close().await;
    }

    /// Waits until no session is on a database: a closed one's process takes a moment to end.
    pub async fn is_left(&self, database: &str) {
        let there = format!(
            "SELECT count(*)::text FROM pg_stat_activity WHERE datname = {} AND backend_type = 'client backend'",
            literal(database)
        );
        for _ in 0..100 {
            if self.value("postgres", &there).await.as_deref() == Some("0") {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("somebody is still on {database}");
    }

    /// One value, as text, as the superuser sees it.
    pub async fn value(&self, database: &str, query: &str) -> Option<String> {
        let session = self.session("super", database).await;
        let row = session.query_one(query, &[]).await.unwrap_or_else(|e| panic!("{e:?} in {query}"));
        row.get(0)
    }

    /// OID of a database.
    pub async fn oid(&self, database: &str) -> Option<u32> {
        let session = self.session("super", "postgres").await;
        let row = session.query_opt("SELECT oid FROM pg_database WHERE datname = $1::text", &[&database]).await;
        row.unwrap().map(|row| row.get(0))
    }

    /// The tenant, as the operator would write it into tasks.
    pub fn identity(&self) -> TenantIdentity {
        TenantIdentity {
            namespace: "tenants".to_owned(),
            schedule: self.name.clone(),
            schedule_uid: String::new(),
            tenant: self.name.clone(),
            engine: EngineKind::PostgreSQL,
            database: self.database.clone(),
        }
    }

    /// A pod's context.
    pub fn context(&self, job: &str, pod: &str) -> WorkerContext {
        WorkerContext {
            store: self.store.clone(),
            job_uid: format!("{}-{job}", self.uid),
            pod: pod.to_owned(),
            cancel: CancellationToken::new(),
            progress: ProgressWriter::silent(),
            concurrency: 1,
            engines: sennight_engine::of,
        }
    }

    /// Dumps the live database.
    pub async fn dump(&self) -> BackupSummary {
        let task = DumpTask {
            name: "dump".to_owned(),
            identity: self.identity(),
            database: self.target("dump"),
            time_zone: "Europe/Berlin".to_owned(),
            parallelism: 2,
            lock_timeout_seconds: 30,
            ddl_wait_seconds: 60,
            deadline_seconds: 600,
            max_bytes_per_second: None,
            allow_non_transactional: false,
        };
        match dump::run(&task, &self.context("dump", "pod")).await.unwrap() {
            Done::Dumped(summary) => summary,
            other => panic!("{other:?}"),
        }
    }

    /// The task that restores `backup`.
    pub fn restore_task(&self, backup: &BackupSummary) -> RestoreTask {
        RestoreTask {
            name: "restore".to_owned(),
            request_uid: self.uid.clone(),
            identity: self.identity(),
            backup: BackupRef {
                prefix: backup.prefix.clone(),
                id: backup.id.clone(),
                manifest_sha256: Some(backup.manifest_sha256.clone()),
            },
            database: self.target("restore"),
            parallelism: 2,
            headroom_bytes: None,
            allow_shared_owners: true,
            hooks_dir: None,
        }
    }

    /// Looks at the server.
    pub async fn preflight(&self, task: &RestoreTask) -> Preflight {
        match preflight::run(task, &self.context("preflight", "pod")).await.unwrap() {
            Done::Preflighted(preflight) => preflight,
            other => panic!("{other:?}"),
        }
    }

    /// Prepares, and returns the task of the cut-over.
    pub async fn prepare(&self, task: &RestoreTask) -> Result<CutoverTask, TaskError> {
        let done = prepare::run(task, &self.context("prepare", "pod")).await?;
        let Done::Prepared { live_number, new_number, new_database, .. } = done else { panic!("{done:?}") };
        assert_eq!(new_database, self.new_database());
        Ok(CutoverTask {
            name: "cutover".to_owned(),
            request_uid: self.uid.clone(),
            namespace: "tenants".to_owned(),
            database: task.database.clone(),
            new_database,
            previous_database: self.previous_database(),
            live_number,
            new_number,
            undo_of: None,
            start_by: None,
        })
    }

    /// Cuts over, as `pod` of the one Job.
    pub async fn cutover(&self, task: &CutoverTask, pod: &str) -> Result<Done, TaskError> {
        cutover::run(task, &self.context("cutover", pod)).await
    }

    /// The name of the prepared database.
    pub fn new_database(&self) -> String {
        new_database(&self.database, &self.uid)
    }

    /// The name of the replaced one.
    pub fn previous_database(&self) -> String {
        previous_database(&self.database, &self.uid)
    }

    /// Every name and OID of databases on the server: to show that nothing came, went or was renamed.
    pub async fn databases(&self) -> String {
        let query = format!(
            "SELECT string_agg(datname || ' ' || oid, ', ' ORDER BY oid) FROM pg_database WHERE starts_with(datname, {})",
            literal(&self.database)
        );
        self.value("postgres", &query).await.unwrap_or_default()
    }
}

/// A bucket of this test process.
async fn bucket(secrets: &tempfile::TempDir) -> Store {
    let (key, secret) = (env("SENNIGHT_TEST_S3_ACCESS_KEY"), env("SENNIGHT_TEST_S3_SECRET_KEY"));
    let dir = secrets.path().join("s3");
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("AWS_ACCESS_KEY_ID"), &key).unwrap();
    std::fs::write(dir.join("AWS_SECRET_ACCESS_KEY"), &secret).unwrap();
    let target = StorageTarget {
        bucket: format!("restore-{}", std::process::id()),
        prefix: "backups".to_owned(),
        region: "us-east-1".to_owned(),
        endpoint: Some(env("SENNIGHT_TEST_S3_ENDPOINT")),
        force_path_style: true,
        ca_file: None,
        credentials_dir: Some(dir.to_str().unwrap().to_owned()),
        encryption: None,
        capabilities: Capabilities::default(),
        manifest_keys: None,
    };
    let credentials = aws_credential_types::Credentials::new(&key, &secret, None, None, "test");
    let config = aws_sdk_s3::Config::builder()
        .behavior_version_latest()
        .region(aws_sdk_s3::config::Region::new("us-east-1"))
        .endpoint_url(env("SENNIGHT_TEST_S3_ENDPOINT"))
        .force_path_style(true)
        .credentials_provider(credentials)
        .build();
    // The second test of the process meets it there.
    let made = aws_sdk_s3::Client::from_conf(config).create_bucket().bucket(&target.bucket).send().await;
    if let Err(error) = made {
        let error = error.into_service_error();
        assert!(error.is_bucket_already_owned_by_you(), "{error:?}");
    }
    Store::connect(&target).await.unwrap()
}

/// A database as text: definition (`pg_dump --create`, so with grants, settings and comment of the database itself), an
/// ordered checksum of every table's rows, sequences, large objects. Equal text is an equal database.
pub async fn picture(world: &PostgresRestore, database: &str) -> String {
    let definition = definition(world, database).replace(&ident(database), "LIVE").replace(database, "LIVE");
    let session = world.session("super", database).await;
    let relations = session
        .query(
            "SELECT c.oid::regclass::text, c.relkind::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
              WHERE c.relkind IN ('r', 'S', 'm') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
                AND (c.relkind <> 'm' OR c.relispopulated) ORDER BY 1",
            &[],
        )
        .await
        .unwrap();
    let mut text = definition;
    for relation in relations {
        let (name, kind): (String, String) = (relation.get(0), relation.get(1));
        let query = match kind.as_str() {
            "S" => format!("SELECT last_value || ' ' || is_called FROM {name}"),
            _ => format!(
                "SELECT count(*) || ' ' || coalesce(md5(string_agg(t::text, E'\\n' ORDER BY t::text COLLATE \"C\")), '')
                   FROM ONLY {name} t"
            ),
        };
        // ONLY is not for materialised views.
        let query = if kind == "m" { query.replace("FROM ONLY", "FROM") } else { query };
        let value: String = session.query_one(&query, &[]).await.unwrap_or_else(|e| panic!("{e:?} {query}")).get(0);
        writeln!(text, "{name}: {value}").unwrap();
    }
    for row in session.query("SELECT oid, md5(lo_get(oid)) FROM pg_largeobject_metadata ORDER BY 1", &[]).await.unwrap()
    {
        writeln!(text, "large object {}: {}", row.get::<_, u32>(0), row.get::<_, String>(1)).unwrap();
    }
    text
}

fn definition(world: &PostgresRestore, database: &str) -> String {
    let target = world.target("super");
    let output = Command::new(PathBuf::from(env("SENNIGHT_TEST_PG_BIN")).join("pg_dump"))
        .args(["--schema-only", "--create"])
        .env("PGHOST", &target.host)
        .env("PGPORT", target.port.to_string())
        .env("PGDATABASE", database)
        .env("PGUSER", env("SENNIGHT_TEST_PG_USER"))
        .env("PGPASSWORD", env("SENNIGHT_TEST_PG_PASSWORD"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    // The keys of \restrict are random.
    let text: Vec<&str> =
        text.lines().filter(|l| !l.starts_with("\\restrict") && !l.starts_with("\\unrestrict")).collect();
    let text = text.join("\n");
    // pg_dump puts objects that its sort finds equal in the order of their OIDs: several connections made these at once.
    let mut entries: Vec<&str> = text.split("\n--\n-- ").map(str::trim_end).collect();
    entries.sort_unstable();
    entries.join("\n") + "\n"
}

/// Two texts must be equal; if not, only the lines that differ are shown.
pub fn assert_same(before: &str, after: &str) {
    let (old, new): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    let lost: Vec<_> = old.iter().filter(|line| !new.contains(line)).collect();
    let came: Vec<_> = new.iter().filter(|line| !old.contains(line)).collect();
    assert!(before == after, "lost: {lost:#?}\ncame: {came:#?}\n({} and {} lines)", old.len(), new.len());
}

/// The tenant's tables and rows.
pub async fn fill(world: &PostgresRestore) {
    let sql = include_str!("tenant.sql");
    world.sql_as("owner", &world.database, sql).await;
    let role = |name: &str| ident(&world.role(name));
    let (owner, app, report, dump) = (role("owner"), role("app"), role("report"), role("dump"));
    let database = ident(&world.database);
    let sql = format!(
        "GRANT USAGE ON SCHEMA crm TO {app}, {report}; GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA crm TO {app} WITH GRANT OPTION;
         GRANT SELECT (id, name) ON crm.contacts TO {report}; REVOKE ALL ON FUNCTION crm.won() FROM PUBLIC;
         GRANT EXECUTE ON FUNCTION crm.won() TO {app}; GRANT USAGE ON SEQUENCE crm.ticket TO {app};
         GRANT SELECT ON LARGE OBJECT 4242 TO {report}, {dump};
         ALTER DEFAULT PRIVILEGES IN SCHEMA crm GRANT SELECT ON TABLES TO {report};"
    );
    world.sql_as("owner", &world.database, &sql).await;
    let sql = format!(
        "ALTER DATABASE {database} SET work_mem = '7MB';
         ALTER DATABASE {database} SET search_path TO \"$user\", crm, \"Odd \"\"Schema\"; ALTER DATABASE {database} CONNECTION LIMIT 77;
         ALTER ROLE {app} IN DATABASE {database} SET statement_timeout = '55s';
         ALTER ROLE {owner} IN DATABASE {database} SET search_path = crm;
         COMMENT ON DATABASE {database} IS 'it''s the tenant';
         GRANT CREATE ON DATABASE {database} TO {app} WITH GRANT OPTION"
    );
    for statement in sql.split(';') {
        world.sql("postgres", statement).await;
    }
}

/// A file of the backup in the bucket, changed by `change`.
pub async fn tamper(store: &Store, key: &str, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = store.get(key).await.unwrap().to_vec();
    change(&mut bytes);
    store.put(key, bytes.into(), &sennight_storage::PutOptions::default()).await.unwrap();
}

/// The backup's first data object.
pub async fn first_data(store: &Store, backup: &BackupSummary) -> String {
    let listed = store.list(&format!("{}data/", backup.prefix)).await.unwrap();
    listed.into_iter().next().unwrap().key
}

/// Gives a restore role what docs/full-restore.md names for making loading roles: from 16 on CREATEROLE, before that the three
/// functions. `session` is a superuser's, on the maintenance database.
pub async fn may_load(session: &Session, restore: &str, owners: &[&str]) {
    let (restore, owners) = (ident(restore), owners.iter().map(|owner| ident(owner)).collect::<Vec<_>>().join(", "));
    let rights = if session.server_major() >= 16 {
        format!("ALTER ROLE {restore} CREATEROLE; GRANT {owners} TO {restore} WITH ADMIN OPTION")
    } else {
        format!(
            "GRANT {owners} TO {restore}; GRANT USAGE ON SCHEMA sennight TO {restore};
             GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA sennight TO {restore}"
        )
    };
    // Others on this server do the same just now.
    session.batch_execute("SELECT pg_catalog.pg_advisory_lock(20261130)").await.unwrap();
    if session.server_major() < 16 {
        let there = session.query_one("SELECT pg_catalog.to_regnamespace('sennight') IS NOT NULL", &[]).await.unwrap();
        if !there.get::<_, bool>(0) {
            session.batch_execute(&crate::file("config/postgresql/loading-role.sql")).await.unwrap();
        }
    }
    session.batch_execute(&rights).await.unwrap_or_else(|e| panic!("{:?}", e.as_db_error()));
    session.batch_execute("SELECT pg_catalog.pg_advisory_unlock(20261130)").await.unwrap();
}
