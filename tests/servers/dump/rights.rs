//! I11: what a tenant wrote into its own database, settings included, decides nothing in a session of the dump role.

use sennight_core::engine::TlsMode;
use sennight_core::profile::TableName;
use sennight_core::result::Done;
use sennight_engine::postgres::{
    EngineError, connect, connect_to_read, ident, literal, sequences, settings_table, snapshot,
};
use sennight_protocol::export::{LiveEntity, LiveIdsTask};
use sennight_protocol::target::DatabaseTarget;
use sennight_worker::live_ids;
use std::time::Duration;
use testkit::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

const LOCKS: Duration = Duration::from_secs(5);
const APPLICATION: &str = "sennight-dump";

/// A tenant that owns its database, and the dump role as docs/full-restore.md asks for it.
struct Tenant {
    /// As the superuser.
    database: Database,
    /// As the owner.
    owner: Database,
    /// As the dump role.
    dump: Database,
    role: String,
}

impl Tenant {
    async fn create() -> Self {
        let database = Database::create().await;
        let (name, role) = (database.target.database.clone(), unique("dump_"));
        let (owner, dump) = (unique("owner_"), ident(&role));
        let quoted = ident(&owner);
        database
            .run(&format!(
                "CREATE ROLE {quoted} LOGIN PASSWORD 'o'; ALTER DATABASE {} OWNER TO {quoted}; ALTER SCHEMA public OWNER TO {quoted};
                 CREATE ROLE {dump} LOGIN BYPASSRLS PASSWORD 'd' IN ROLE pg_read_all_data",
                ident(&name)
            ))
            .await;
        let (dump, owner) = (database.seen_by(&role, "d"), database.seen_by(&owner, "o"));
        Self { database, owner, dump, role }
    }

    /// `ALTER DATABASE … SET …` by the owner. False where the server refuses it.
    async fn set(&self, setting: &str) -> bool {
        let sql = format!("ALTER DATABASE {} SET {setting}", ident(&self.database.target.database));
        self.owner.session().await.batch_execute(&sql).await.is_ok()
    }
}

/// A function for each one of `pg_catalog` that can be imitated, a view for each of its relations, each type's name, and
/// the operators of text and numbers: whoever calls one of them without its schema, under a `search_path` that begins with
/// `trojan`, ends in an error that says OWNED.
const TROJANS: &str = r"
CREATE SCHEMA trojan; GRANT USAGE ON SCHEMA trojan TO PUBLIC;
CREATE FUNCTION trojan.owned(what text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
  RAISE EXCEPTION 'OWNED: % as % through %', what, current_user, what; END $$;
DO $$ DECLARE r record; BEGIN
  FOR r IN SELECT p.oid, p.proname, p.proretset, pg_catalog.pg_get_function_identity_arguments(p.oid) AS arguments,
                  pg_catalog.format_type(p.prorettype, NULL) AS result
             FROM pg_catalog.pg_proc p
            WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.prokind = 'f' AND NOT p.proretset
              AND NOT EXISTS (SELECT FROM pg_catalog.pg_type t WHERE t.typtype = 'p' AND (t.oid = p.prorettype OR t.oid = ANY (p.proargtypes)))
              -- What casts call by itself, and what this very loop needs.
              AND p.proname NOT IN ('format_type', 'format', 'quote_ident', 'quote_literal') LOOP
    BEGIN
      EXECUTE pg_catalog.format('CREATE FUNCTION trojan.%I(%s) RETURNS %s LANGUAGE plpgsql AS %L', r.proname, r.arguments, r.result,
        pg_catalog.format('BEGIN PERFORM trojan.owned(%L); RETURN NULL; END', r.proname));
    EXCEPTION WHEN OTHERS THEN NULL; END;
  END LOOP;
  FOR r IN SELECT c.relname FROM pg_catalog.pg_class c WHERE c.relnamespace = 'pg_catalog'::regnamespace AND c.relkind IN ('r', 'v') LOOP
    BEGIN
      EXECUTE pg_catalog.format('CREATE VIEW trojan.%I AS SELECT * FROM pg_catalog.%I WHERE trojan.owned(%L)', r.relname, r.relname, r.relname);
      EXECUTE pg_catalog.format('GRANT SELECT ON trojan.%I TO PUBLIC', r.relname);
    EXCEPTION WHEN OTHERS THEN NULL; END;
  END LOOP;
  CREATE FUNCTION trojan.eq(text, text) RETURNS boolean LANGUAGE sql AS 'SELECT trojan.owned(''='')';
  CREATE OPERATOR trojan.= (LEFTARG = text, RIGHTARG = text, FUNCTION = trojan.eq);
  CREATE FUNCTION trojan.divided(int, int) RETURNS int LANGUAGE plpgsql AS 'BEGIN PERFORM trojan.owned(''/''); RETURN 1; END';
  CREATE OPERATOR trojan./ (LEFTARG = int, RIGHTARG = int, FUNCTION = trojan.divided);
  CREATE DOMAIN trojan.text AS pg_catalog.text CHECK (trojan.owned('text'));
  CREATE DOMAIN trojan.oid AS pg_catalog.oid CHECK (trojan.owned('oid'));
END $$";

const CRM: &str = "
CREATE TABLE contacts (id int PRIMARY KEY, name text); INSERT INTO contacts SELECT n, 'c' || n FROM generate_series(1, 100) n;
CREATE SEQUENCE numbers; SELECT nextval('numbers')";

#[tokio::test]
async fn i11_no_search_path_of_a_tenants_is_in_force_in_a_session_of_the_dump_role() {
    let (tenant, bucket) = (Tenant::create().await, Bucket::create().await);
    let store = bucket.store().await;
    tenant.owner.run(CRM).await;
    tenant.owner.run(TROJANS).await;
    let made = tenant.database.count("SELECT count(*) FROM pg_proc WHERE pronamespace = 'trojan'::regnamespace").await;
    assert!(made > 1000, "{made} functions stand in the way");
    assert!(tenant.set("search_path = trojan, pg_catalog").await);

    let dumped = dump(&tenant.dump, &store).await.unwrap();
    let task = LiveIdsTask {
        name: "live-ids".to_owned(),
        request_uid: unique("uid-"),
        identity: dump_task("acme", &tenant.dump.target).identity,
        database: tenant.dump.target.clone(),
        entities: vec![LiveEntity {
            name: "contacts".to_owned(),
            table: TableName { schema: None, name: "contacts".to_owned() },
            key: "id".to_owned(),
        }],
    };
    let Done::Listed(listed) = live_ids::run(&task, &context(&store)).await.unwrap() else { panic!("a list") };

    let dumped = manifest(&dumped, &store).await;
    assert_eq!((table(&dumped, "contacts").rows, dumped.sequences[0].last_value, listed.ids), (100, 1, 100));
    // The same path, in force: the trap snaps at the first unqualified name.
    let session = connect(&tenant.dump.target, &tenant.dump.target.database, "test").await.unwrap();
    session.batch_execute("SET search_path = trojan, pg_catalog").await.unwrap();
    for trap in
        ["SELECT current_setting('search_path')", "SELECT 4 / 2", "SELECT relname FROM pg_class", "SELECT 'x'::text"]
    {
        let caught = session.batch_execute(trap).await.unwrap_err();
        let raised = caught.as_db_error().map(|error| error.message().to_owned()).unwrap_or_default();
        assert!(raised.contains("OWNED"), "{trap}: {caught:?}");
        let told = sennight_engine::postgres::error::words(&caught);
        assert!(!told.contains("OWNED"), "what a tenant's code raises is not told: {told}");
    }
}

#[tokio::test]
async fn i11_settings_of_a_tenants_neither_change_who_reads_nor_what_is_read() {
    let (tenant, bucket) = (Tenant::create().await, Bucket::create().await);
    let store = bucket.store().await;
    tenant.owner.run(CRM).await;
    tenant
        .owner
        .run(
            "CREATE TABLE texts (t timestamptz, b bytea, i interval, a text[], f float8, x xml);
             INSERT INTO texts VALUES ('2026-03-29 02:30:00+02', '\\x00ff5c', '1 mon -3 days', '{a,NULL,\"NULL\"}', 0.1, '<a/>');
             ALTER TABLE texts ENABLE ROW LEVEL SECURITY; CREATE POLICY nobody ON texts USING (false)",
        )
        .await;
    let rows = async || {
        let backup = dump(&tenant.dump, &store).await.unwrap_or_else(|e| panic!("{}: {}", e.reason, e.message));
        let manifest = manifest(&backup, &store).await;
        let mut all = Vec::new();
        for name in ["contacts", "texts"] {
            all.extend(sorted_lines(&copied(&backup, &store, table(&manifest, name)).await));
        }
        all
    };
    let before = rows().await;
    let owner = tenant.database.session().await;
    let owner: String = owner
        .query_one("SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()", &[])
        .await
        .unwrap()
        .get(0);
    let named = [format!("role = {}", literal(&owner)), format!("session_authorization = {}", literal(&owner))];
    let settings = [
        "row_security = on",
        "default_transaction_read_only = off",
        "default_transaction_isolation = 'serializable'",
        "default_transaction_deferrable = on",
        "statement_timeout = 1",
        "lock_timeout = 1",
        "idle_in_transaction_session_timeout = 1",
        "local_preload_libraries = 'nonexistent'",
        "datestyle = 'German'",
        "intervalstyle = 'sql_standard'",
        "timezone = 'Asia/Tokyo'",
        "extra_float_digits = '-15'",
        "bytea_output = 'escape'",
        "standard_conforming_strings = off",
        "quote_all_identifiers = on",
        "array_nulls = off",
        "transform_null_equals = on",
        "xmloption = 'document'",
        "client_encoding = 'LATIN1'",
        "gin_fuzzy_search_limit = 1",
        "synchronous_commit = off",
    ];
    for setting in settings.iter().copied().chain(named.iter().map(String::as_str)) {
        assert!(tenant.set(setting).await, "{setting}");
    }

    assert_eq!(rows().await, before);
    // Where the dump role could become the tenant it still does not, and sees what a policy hides from the tenant.
    tenant.database.run(&format!("GRANT {} TO {}", ident(&owner), ident(&tenant.role))).await;
    assert_eq!(rows().await, before);
    let as_superuser = dump(&tenant.database, &store).await.unwrap();
    assert_eq!(as_superuser.rows, 101);
}

#[tokio::test]
async fn i11_a_dump_session_writes_nothing() {
    let tenant = Tenant::create().await;
    tenant.owner.run("GRANT ALL ON SCHEMA public TO PUBLIC").await;
    let leader = snapshot::open(&tenant.dump.target, APPLICATION, LOCKS).await.unwrap();
    leader.session.batch_execute("COMMIT").await.unwrap();

    let refused = leader.session.batch_execute("CREATE TABLE public.written ()").await.unwrap_err();

    assert_eq!(refused.code().unwrap().code(), "25006", "{refused:?}");
}

/// What `sequences` says when `meanwhile` happened to the sequence `s` after the snapshot.
async fn replaced(meanwhile: &str) -> Result<usize, EngineError> {
    let tenant = Tenant::create().await;
    tenant
        .owner
        .run(
            "CREATE SEQUENCE s; CREATE FUNCTION evil() RETURNS bigint LANGUAGE plpgsql IMMUTABLE AS
             $$ BEGIN RAISE EXCEPTION 'OWNED as %', current_user; END $$",
        )
        .await;
    let leader = snapshot::open(&tenant.dump.target, APPLICATION, LOCKS).await.unwrap();
    tenant.owner.run(meanwhile).await;
    sequences::sequences(&leader.session).await.map(|found| found.len())
}

#[tokio::test]
async fn i11_what_replaces_a_sequence_under_a_dump_is_not_run() {
    for meanwhile in [
        "DROP SEQUENCE s; CREATE VIEW s AS SELECT public.evil() AS last_value, true AS is_called",
        "DROP SEQUENCE s; CREATE MATERIALIZED VIEW s AS SELECT 1::bigint AS last_value, true AS is_called",
        "DROP SEQUENCE s; CREATE TABLE s AS SELECT 1::bigint AS last_value, true AS is_called",
        "DROP SEQUENCE s; CREATE VIEW s AS SELECT 1::bigint AS last_value, public.evil() > 0 AS is_called, public.evil() AS more",
        "DROP SEQUENCE s; CREATE SEQUENCE s START 77",
        "DROP SEQUENCE s",
    ] {
        let error = replaced(meanwhile).await.expect_err(meanwhile);
        assert_eq!((error.reason(), error.retryable()), ("SchemaChanged", true), "{meanwhile}: {error}");
        assert!(!error.to_string().contains("OWNED"), "{meanwhile}: {error}");
    }
    // Read by its OID the renamed one is itself; the dump's last look finds the rename (`drift`).
    let renamed =
        "ALTER SEQUENCE s RENAME TO t; CREATE VIEW s AS SELECT public.evil() AS last_value, true AS is_called";
    match replaced(renamed).await {
        Ok(found) => assert_eq!(found, 1),
        Err(error) => assert_eq!(error.reason(), "SchemaChanged", "{error}"),
    }
    assert_eq!(replaced("SELECT nextval('s')").await.unwrap(), 1);
}

#[tokio::test]
async fn a_sequence_that_the_dump_role_may_not_read_is_named() {
    let tenant = Tenant::create().await;
    tenant.owner.run("CREATE SEQUENCE closed").await;
    tenant.database.run(&format!("REVOKE pg_read_all_data FROM {}", ident(&tenant.role))).await;
    let session = connect_to_read(&tenant.dump.target, &tenant.dump.target.database, APPLICATION).await.unwrap();
    session.batch_execute("BEGIN READ ONLY").await.unwrap();

    let error = sequences::sequences(&session).await.unwrap_err();

    assert_eq!(error.reason(), "PermissionDenied", "{error}");
    assert!(error.to_string().contains("closed"), "{error}");
}

#[tokio::test]
async fn i11_where_the_server_can_say_so_a_view_is_no_table_to_a_session_that_reads() {
    let tenant = Tenant::create().await;
    tenant.owner.run("CREATE VIEW v AS SELECT 1 AS i").await;
    let target = &tenant.dump.target;
    let session = connect_to_read(target, &target.database, APPLICATION).await.unwrap();
    let known = "SELECT count(*) FROM pg_catalog.pg_settings WHERE name = 'restrict_nonsystem_relation_kind'";
    let known: i64 = session.query_one(known, &[]).await.unwrap().get(0);

    let read = session.batch_execute("SELECT * FROM public.v").await;

    assert_eq!(read.is_err(), known == 1, "{read:?}");
}

/// What stands between a client and the server and does to the startup packet what poolers do: it forgets parameters that it
/// does not know. No TLS, it has to see the packet.
async fn pooler(forgets: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let server: u16 = env("SENNIGHT_TEST_PG_PORT").parse().unwrap();
            let mut server = TcpStream::connect((env("SENNIGHT_TEST_PG_HOST"), server)).await.unwrap();
            let length = client.read_u32().await.unwrap() as usize;
            let mut packet = vec![0; length - 4];
            client.read_exact(&mut packet).await.unwrap();
            let mut words = packet[4..].split(|byte| *byte == 0);
            let mut kept = packet[..4].to_vec();
            while let (Some(name), Some(value)) = (words.next(), words.next()) {
                if !name.is_empty() && name != forgets.as_bytes() {
                    kept.extend_from_slice(&[name, b"\0", value, b"\0"].concat());
                }
            }
            kept.push(0);
            server.write_u32(u32::try_from(kept.len() + 4).unwrap()).await.unwrap();
            server.write_all(&kept).await.unwrap();
            tokio::spawn(async move { copy_bidirectional(&mut client, &mut server).await });
        }
    });
    port
}

fn plain(target: &DatabaseTarget, port: u16) -> DatabaseTarget {
    let mut target = DatabaseTarget { port, ..target.clone() };
    target.tls.mode = TlsMode::Disable;
    target
}

#[tokio::test]
async fn i11_a_pooler_that_forgets_the_settings_is_refused_before_a_tenants_path_is_read() {
    let tenant = Tenant::create().await;
    tenant.owner.run(TROJANS).await;
    assert!(tenant.set("search_path = trojan, pg_catalog").await);
    let through = |port| plain(&tenant.dump.target, port);
    let honest = through(pooler("nothing").await);
    connect(&honest, &honest.database, APPLICATION).await.unwrap();

    let forgetful = through(pooler("options").await);
    let error = connect(&forgetful, &forgetful.database, APPLICATION).await.err().unwrap();

    assert_eq!((error.reason(), error.retryable()), ("SettingsIgnored", false), "{error}");
    assert!(error.to_string().contains("search_path") && error.to_string().contains("pooler"), "{error}");
}

#[tokio::test]
async fn i11_every_setting_that_a_tenant_may_set_has_a_class() {
    let session = Database::existing("postgres").session().await;
    // Names with a point are placeholders, or an extension's.
    let names = "SELECT name FROM pg_settings WHERE context = 'user' AND name NOT LIKE '%.%' ORDER BY 1";
    let rows = session.query(names, &[]).await.unwrap();
    assert!(rows.len() > 100, "{}", rows.len());
    let unknown: Vec<String> =
        rows.iter().map(|row| row.get(0)).filter(|name: &String| settings_table::class(name).is_none()).collect();
    assert!(unknown.is_empty(), "say in settings_table.rs what these decide: {unknown:?}");
}
