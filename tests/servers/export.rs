//! CRM exports of the demo's tenant: dumped from a real PostgreSQL server, exported out of a real bucket.
use sennight_core::manifest::TenantIdentity;
use sennight_core::profile::ExportProfile;
use sennight_core::result::{Done, ExportSummary};
use sennight_protocol::export::{ExportTask, LiveAnswer, LiveEntity, LiveIdsTask};
use sennight_storage::Store;
use sennight_worker::{TaskError, Verdict, export, live_ids};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::{Cursor, Read};
use testkit::importer::{KINDS, Portal};
use testkit::*;

const UID: &str = "0f3b2c1d-aaaa-4bbb-8ccc-1234567890ab";

fn profile() -> Value {
    let object: Value = serde_saphyr::from_str(&testkit::file("config/profiles/bitrix24-crm-postgresql.yaml")).unwrap();
    object["spec"].clone()
}

/// The demo's tenant, dumped once for each test that needs it.
async fn tenant(store: &Store) -> (Database, ExportTask) {
    let database = Database::create().await;
    database.run(&testkit::file("tests/demo/crm/schema.sql")).await;
    database.run(&testkit::file("tests/demo/crm/data.sql")).await;
    let task = task(&database, store).await;
    (database, task)
}

async fn task(database: &Database, store: &Store) -> ExportTask {
    let backup = dump(database, store).await.unwrap();
    ExportTask {
        name: "export".to_owned(),
        request_uid: UID.to_owned(),
        request: "ticket-4711".to_owned(),
        identity: dump_task("acme", &database.target).identity,
        backup: backup_ref(&backup),
        profile: profile(),
        live: None,
    }
}

async fn exported(task: &ExportTask, store: &Store) -> Result<ExportSummary, TaskError> {
    match export::run(task, &context(store)).await? {
        Done::Exported(summary) => Ok(summary),
        other => panic!("an export answered {other:?}"),
    }
}

type Record = BTreeMap<String, String>;

fn text(zip: &[u8], name: &str) -> String {
    let mut archive = zip::ZipArchive::new(Cursor::new(zip)).unwrap();
    let mut text = String::new();
    archive.by_name(name).unwrap().read_to_string(&mut text).unwrap();
    text
}

fn records(zip: &[u8], name: &str) -> Vec<Record> {
    let text = text(zip, name);
    let text = text.strip_prefix('\u{feff}').expect("a byte order mark");
    let mut reader = csv::ReaderBuilder::new().delimiter(b';').from_reader(text.as_bytes());
    reader.deserialize().map(Result::unwrap).collect()
}

/// What SQL says of some columns, in the order of the ids.
async fn expected(database: &Database, sql: &str) -> Vec<Vec<String>> {
    let rows = database.session().await.query(sql, &[]).await.unwrap();
    let cell = |row: &tokio_postgres::Row, at: usize| row.get::<_, Option<String>>(at).unwrap_or_default();
    rows.iter().map(|row| (0..row.len()).map(|at| cell(row, at)).collect()).collect()
}

fn picked(mut records: Vec<Record>, columns: &[&str]) -> Vec<Vec<String>> {
    records.sort_by_key(|record| record["ID"].parse::<i64>().unwrap());
    let pick = |record: Record| columns.iter().map(|column| record[*column].clone()).collect();
    records.into_iter().map(pick).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_files_hold_what_the_database_held_that_day() {
    let bucket = Bucket::create().await;
    let store = bucket.store().await;
    let (database, task) = tenant(&store).await;
    // Later changes must not show.
    let before = that_day(&database).await;
    database.run("DELETE FROM b_crm_deal; UPDATE b_crm_company SET title = 'later'").await;

    let summary = exported(&task, &store).await.unwrap();

    let day = manifest_day(&task, &store).await;
    assert_eq!(summary.key, format!("backups/exports/tenants/{UID}/tenant-acme_{day}_ticket-4711.zip"));
    let zip = store.get(&summary.key).await.unwrap();
    assert_eq!(summary.bytes, i64::try_from(zip.len()).unwrap());
    assert_eq!(summary.sha256, hex::encode(Sha256::digest(&zip)));
    let columns: [&[&str]; 4] = [
        &["ID", "TITLE", "DATE_CREATE", "INDUSTRY_LABEL", "REVENUE", "EMAIL_WORK"],
        &["ID", "LAST_NAME", "BIRTHDATE", "COMPANY_TITLE", "COMPANY_REF", "ASSIGNED_BY_ID_LABEL", "PHONE_WORK"],
        &["ID", "TITLE", "OPPORTUNITY", "STATUS_ID"],
        &["ID", "TITLE", "OPPORTUNITY", "STAGE_ID_LABEL", "COMPANY_ID", "CONTACT_ID", "CLOSED"],
    ];
    let files = ["companies.csv", "contacts.csv", "leads.csv", "deals.csv"];
    for (((name, columns), expected), told) in files.into_iter().zip(columns).zip(before).zip(&summary.files) {
        assert_eq!((told.name.as_str(), told.rows), (name, i64::try_from(expected.len()).unwrap()));
        assert!(expected.len() > 5000, "{name}: the demo's tenant is no toy");
        let found = picked(records(&zip, name), columns);
        assert!(
            found == expected,
            "{name}: {:?}",
            found.iter().zip(&expected).find(|(found, expected)| found != expected)
        );
    }
    let whole = files.map(|name| text(&zip, name)).concat();
    for hidden in ["TIMELINE-COMMENT", "HISTORY-TEXT", "Send the offer", "index words"] {
        assert!(!whole.contains(hidden), "{hidden}");
    }
}

/// What the four files must say, asked of the database itself.
async fn that_day(database: &Database) -> [Vec<Vec<String>>; 4] {
    [
        expected(
            database,
            "SELECT c.id::text, c.title, to_char(c.date_create, 'DD.MM.YYYY HH24:MI:SS'), i.name, c.revenue,
                    (SELECT string_agg(value, ';' ORDER BY id) FROM b_crm_field_multi
                     WHERE entity_id = 'COMPANY' AND element_id = c.id AND type_id = 'EMAIL' AND value_type = 'WORK')
             FROM b_crm_company c LEFT JOIN b_crm_status i ON i.entity_id = 'INDUSTRY' AND i.status_id = c.industry
             WHERE c.is_my_company <> 'Y' ORDER BY c.id",
        )
        .await,
        expected(
            database,
            "SELECT c.id::text, c.last_name, to_char(c.birthdate, 'DD.MM.YYYY'), o.title, c.company_id::text,
                    u.name || ' ' || u.last_name || ' [' || u.id || ']',
                    (SELECT string_agg(value, ';' ORDER BY id) FROM b_crm_field_multi
                     WHERE entity_id = 'CONTACT' AND element_id = c.id AND type_id = 'PHONE' AND value_type = 'WORK')
             FROM b_crm_contact c LEFT JOIN b_crm_company o ON o.id = c.company_id
             LEFT JOIN b_user u ON u.id = c.assigned_by_id WHERE c.category_id = 0 ORDER BY c.id",
        )
        .await,
        expected(database, "SELECT id::text, title, opportunity::text, status_id FROM b_crm_lead l ORDER BY l.id")
            .await,
        expected(
            database,
            "SELECT d.id::text, d.title, d.opportunity::text, s.name, o.title, c.full_name, d.closed::text
             FROM b_crm_deal d LEFT JOIN b_crm_status s ON s.entity_id LIKE 'DEAL\\_STAGE%' AND s.status_id = d.stage_id
             LEFT JOIN b_crm_company o ON o.id = d.company_id LEFT JOIN b_crm_contact c ON c.id = d.contact_id
             WHERE d.is_recurring <> 'Y' ORDER BY d.id",
        )
        .await,
    ]
}

async fn manifest_day(task: &ExportTask, store: &Store) -> chrono::NaiveDate {
    store.open(&task.backup, None).await.unwrap().manifest.day
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_attempt_adopts_its_own_work_and_never_overwrites_another() {
    let bucket = Bucket::create().await;
    let store = bucket.store().await;
    let database = Database::create().await;
    database.run(&testkit::file("tests/demo/crm/schema.sql")).await;
    let task = task(&database, &store).await;
    let first = exported(&task, &store).await.unwrap();
    assert_eq!(exported(&task, &store).await.unwrap(), first);

    bucket.overwrite(&first.key, b"somebody else's".to_vec()).await;
    let beside = exported(&task, &store).await.unwrap();
    assert_ne!(beside.key, first.key);
    assert!(beside.key.ends_with(&format!("-{}.zip", &first.sha256[..12])), "{}", beside.key);
    assert_eq!(&store.get(&first.key).await.unwrap()[..], b"somebody else's");
    assert_eq!(exported(&task, &store).await.unwrap(), beside);
    assert_eq!(bucket.unfinished_uploads(&beside.key).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn i7_another_tenants_backup_is_refused_before_anything_is_written() {
    let bucket = Bucket::create().await;
    let store = bucket.store().await;
    let database = Database::create().await;
    database.run(&testkit::file("tests/demo/crm/schema.sql")).await;
    let task = task(&database, &store).await;
    let other = |change: fn(&mut TenantIdentity)| {
        let mut other = task.clone();
        change(&mut other.identity);
        other
    };
    for foreign in [
        other(|i| i.tenant = "tenant-other".into()),
        other(|i| i.database = "other".into()),
        other(|i| i.schedule = "other".into()),
        other(|i| i.namespace = "other".into()),
    ] {
        let error = exported(&foreign, &store).await.unwrap_err();
        assert_eq!(error.verdict, Verdict::Refused, "{error}");
    }
    assert!(!bucket.keys().await.iter().any(|key| key.contains("/exports/")));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_exported_says_why_and_leaves_nothing() {
    let bucket = Bucket::create().await;
    let store = bucket.store().await;
    let database = Database::create().await;
    database.run(&testkit::file("tests/demo/crm/schema.sql")).await;
    database.run("INSERT INTO b_user (login) SELECT 'u' || i FROM generate_series(1, 100) i").await;
    let good = task(&database, &store).await;
    let with = |change: fn(&mut ExportTask)| {
        let mut task = good.clone();
        change(&mut task);
        task
    };
    for (bad, reason) in [
        (with(|t| t.profile["entities"][0]["table"]["name"] = "b_crm_act".into()), "ExcludedTable"),
        (with(|t| t.profile["entities"][0]["table"]["name"] = "nobody".into()), "TableMissing"),
        (with(|t| t.profile = "no profile".into()), "ProfileInvalid"),
        (with(|t| t.backup.manifest_sha256 = Some("0".repeat(64))), "ManifestChanged"),
    ] {
        let error = exported(&bad, &store).await.unwrap_err();
        assert_eq!((error.reason.as_str(), error.verdict), (reason, Verdict::Refused), "{error}");
    }
    // A damaged object: the checksum of the frame says so, and no half export stays.
    let open = store.open(&good.backup, None).await.unwrap();
    let object = open.manifest.tables.iter().find(|t| t.name == "b_user").unwrap().frames[0].object.clone();
    let key = format!("{}{object}", good.backup.prefix);
    let mut bytes = store.get(&key).await.unwrap().to_vec();
    for byte in &mut bytes {
        *byte ^= 1;
    }
    bucket.overwrite(&key, bytes).await;
    let error = exported(&good, &store).await.unwrap_err();
    assert_eq!((error.reason.as_str(), error.verdict), ("BackupDamaged", Verdict::Refused), "{error}");
    assert!(!bucket.keys().await.iter().any(|key| key.contains("/exports/")));
}

/// Asks the live database which records it still has.
async fn ask(database: &Database, task: &ExportTask, store: &Store) -> Result<LiveAnswer, TaskError> {
    let profile: ExportProfile = serde_json::from_value(task.profile.clone()).unwrap();
    let ask = LiveIdsTask {
        name: "live".to_owned(),
        request_uid: UID.to_owned(),
        identity: task.identity.clone(),
        database: database.target.clone(),
        entities: LiveEntity::of(&profile),
    };
    match live_ids::run(&ask, &context(store)).await? {
        Done::Listed(list) => Ok(LiveAnswer::Listed(list)),
        other => panic!("asking answered {other:?}"),
    }
}

fn import(zip: &[u8], folder: &str, portal: &mut Portal) {
    for kind in KINDS {
        portal.import(kind, text(zip, &format!("{folder}{kind}.csv")).as_bytes());
    }
}

/// A part of the demo's tenant that an importer reads in a moment, with product lines and custom fields.
const PART: &str = "
DELETE FROM b_crm_deal WHERE id > 900; DELETE FROM b_crm_contact WHERE id > 900; DELETE FROM b_crm_company WHERE id > 300;
DELETE FROM b_crm_lead WHERE id > 300; DELETE FROM b_crm_field_multi WHERE element_id > 900;
UPDATE b_crm_contact SET company_id = company_id % 300 + 1; UPDATE b_crm_deal SET company_id = company_id % 300 + 1, contact_id = contact_id % 900 + 1;
CREATE TABLE b_crm_product_row (id serial, owner_id int, owner_type text, product_name text, price numeric(26,8), quantity numeric(18,4));
INSERT INTO b_crm_product_row (owner_id, owner_type, product_name, price, quantity)
  SELECT d, 'D', 'Product ' || p, p * 10, p FROM generate_series(1, 900) d, generate_series(1, 3) p WHERE (d + p) % 4 < 2;
CREATE TABLE b_user_field (id int, entity_id text, field_name text, user_type_id text, multiple text);
INSERT INTO b_user_field VALUES (1, 'CRM_CONTACT', 'UF_CRM_1', 'enumeration', 'N'), (2, 'CRM_CONTACT', 'UF_CRM_2', 'string', 'Y');
CREATE TABLE b_user_field_enum (id int, user_field_id int, value text);
INSERT INTO b_user_field_enum VALUES (10, 1, 'Gold'), (11, 1, 'Silver');
CREATE TABLE b_uts_crm_contact (value_id int, uf_crm_1 int, uf_crm_2 text);
INSERT INTO b_uts_crm_contact SELECT i, 10 + i % 3, 'a:0:{}' FROM generate_series(1, 900) i;
CREATE TABLE b_utm_crm_contact (id serial, value_id int, field_id int, value text);
INSERT INTO b_utm_crm_contact (value_id, field_id, value) SELECT i, 2, 'tag' || i % 7 FROM generate_series(1, 900) i, generate_series(1, 2);
";

/// Companies, and whatever is linked to them: nothing that survives has lost a link.
const DAMAGE: &str = "
DELETE FROM b_crm_company WHERE id % 3 = 0;
DELETE FROM b_crm_contact WHERE id % 10 = 4 OR (company_id IS NOT NULL AND NOT EXISTS (SELECT FROM b_crm_company c WHERE c.id = company_id));
DELETE FROM b_crm_deal WHERE id % 7 = 2 OR (company_id IS NOT NULL AND NOT EXISTS (SELECT FROM b_crm_company c WHERE c.id = company_id))
  OR (contact_id IS NOT NULL AND NOT EXISTS (SELECT FROM b_crm_contact c WHERE c.id = contact_id));
DELETE FROM b_crm_lead WHERE id % 2 = 0;
";

#[tokio::test(flavor = "multi_thread")]
async fn importing_the_missing_set_into_the_damaged_tenant_gives_back_exactly_what_was_lost() {
    let bucket = Bucket::create().await;
    let store = bucket.store().await;
    let database = Database::create().await;
    let demo = ["schema", "data"].map(|part| testkit::file(&format!("tests/demo/crm/{part}.sql")));
    for sql in demo.iter().map(String::as_str).chain([WITHOUT_CONSTRAINTS, PART]) {
        database.run(sql).await;
    }
    let mut that_day = task(&database, &store).await;
    let before = exported(&that_day, &store).await.unwrap();
    let (mut whole, mut damaged) = (Portal::default(), Portal::default());
    import(&store.get(&before.key).await.unwrap(), "", &mut whole);
    assert!(whole.of("deals").iter().any(|deal| deal.products.len() == 2) && whole.of("contacts").len() > 800);

    database.run(DAMAGE).await;
    let live = ask(&database, &that_day, &store).await.unwrap();
    let mut now = task(&database, &store).await;
    now.request = "now".to_owned();
    let now = exported(&now, &store).await.unwrap();
    import(&store.get(&now.key).await.unwrap(), "", &mut damaged);
    assert!(damaged.contents().len() < whole.contents().len() * 3 / 4);

    (that_day.live, that_day.request) = (Some(live), "missing".to_owned());
    let missing = exported(&that_day, &store).await.unwrap();
    let zip = store.get(&missing.key).await.unwrap();
    import(&zip, "missing-only/", &mut damaged);
    assert!(damaged.contents() == whole.contents(), "nothing lost, nothing twice");
    assert_eq!(exported(&that_day, &store).await.unwrap(), missing, "another attempt adopts it");
    let lines = |name: &str| missing.files.iter().find(|file| file.name == name).unwrap().rows;
    assert!(lines("missing-only/deals.csv") < lines("deals.csv"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_live_ids_that_is_not_the_one_that_was_written_is_refused() {
    let bucket = Bucket::create().await;
    let store = bucket.store().await;
    let database = Database::create().await;
    database.run(&testkit::file("tests/demo/crm/schema.sql")).await;
    let mut task = task(&database, &store).await;
    let Ok(LiveAnswer::Listed(list)) = ask(&database, &task, &store).await else { panic!("no list") };
    bucket.overwrite(&list.key, vec![0; usize::try_from(list.bytes).unwrap()]).await;
    task.live = Some(LiveAnswer::Listed(list));
    let error = exported(&task, &store).await.unwrap_err();
    assert_eq!((error.reason.as_str(), error.verdict), ("LiveIdsDamaged", Verdict::Refused), "{error}");
    // A database that has no such table any more has none of its records; one whose ids have another name cannot tell.
    database.run("DROP TABLE b_crm_lead CASCADE").await;
    assert!(ask(&database, &task, &store).await.is_ok());
    database.run("ALTER TABLE b_crm_deal RENAME COLUMN id TO number").await;
    let error = ask(&database, &task, &store).await.unwrap_err();
    assert_eq!((error.reason.as_str(), error.verdict), ("LiveKeyGone", Verdict::Refused), "{error}");
}
