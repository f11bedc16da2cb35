//! A CrmExport out of a backup of the MySQL schema: the shipped profile, no database needed.

use sennight_core::profile::ExportProfile;
use sennight_core::result::{BackupSummary, Done, LiveList};
use sennight_engine::mysql::ident;
use sennight_protocol::export::{ExportTask, LiveAnswer, LiveEntity, LiveIdsTask};
use sennight_storage::Store;
use sennight_worker::{TaskError, export, live_ids};
use std::collections::BTreeMap;
use std::io::{Cursor, Read};
use testkit::importer::{Element, KINDS, Portal};
use testkit::mysql::{Database, Server};
use testkit::{Bucket, backup_ref, context, unique};

type Record = BTreeMap<String, String>;

fn records(zip: &[u8], name: &str) -> Vec<Record> {
    let mut archive = zip::ZipArchive::new(Cursor::new(zip)).unwrap();
    let mut text = String::new();
    archive.by_name(name).unwrap().read_to_string(&mut text).unwrap();
    assert!(!text.contains("never in an export"), "{name}");
    let text = text.strip_prefix('\u{feff}').expect("a byte order mark");
    let mut reader = csv::ReaderBuilder::new().delimiter(b';').from_reader(text.as_bytes());
    reader.deserialize().map(Result::unwrap).collect()
}

fn is(record: &Record, expected: &[(&str, &str)]) {
    for (column, value) in expected {
        assert_eq!(record.get(*column).map(String::as_str), Some(*value), "{column} of {record:?}");
    }
}

fn shipped() -> serde_json::Value {
    serde_saphyr::from_str(&testkit::file("charts/sennight/profiles/bitrix24-crm.yaml")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shipped_profile_reads_the_mysql_schema() {
    let profile = shipped();
    for server in Server::all() {
        let (database, store) = (Database::create(&server), Bucket::create().await.store().await);
        database.run(include_str!("crm.sql"));
        let backup = database.dump(&store).await.unwrap_or_else(|e| panic!("{}: {e}", server.name));
        // Later changes must not show, and nobody asks the database.
        database.run("DELETE FROM b_crm_deal; DROP TABLE b_crm_contact");
        let task = ExportTask {
            name: "export".to_owned(),
            request_uid: "0f3b2c1d-aaaa-4bbb-8ccc-1234567890ab".to_owned(),
            request: "ticket-1".to_owned(),
            identity: database.dump_task().identity,
            backup: backup_ref(&backup),
            profile: profile["spec"].clone(),
            live: None,
        };
        let Done::Exported(summary) = export::run(&task, &context(&store)).await.unwrap_or_else(|e| panic!("{e}"))
        else {
            panic!("an export answered something else")
        };
        let zip = store.get(&summary.key).await.unwrap();
        let [companies, contacts, leads, deals] =
            ["companies.csv", "contacts.csv", "leads.csv", "deals.csv"].map(|name| records(&zip, name));
        assert_eq!([companies.len(), contacts.len(), leads.len(), deals.len()], [2, 2, 1, 1], "{}", server.name);
        is(&leads[0], &[("STATUS_ID_LABEL", "Unassigned")]);
        is(
            &companies[0],
            &[
                ("ID", "17"),
                ("TITLE", "Müller & Söhne; \"best\" 😀"),
                ("INDUSTRY_LABEL", "Computers"),
                ("REVENUE", "12.50"),
                ("COMMENTS", "two\nlines\tand a tab"),
                ("DATE_CREATE", "01.11.2026 10:00:00"),
                // TIMESTAMP is an instant: in the schedule's zone, Europe/Berlin.
                ("DATE_MODIFY", "03.11.2026 00:30:00"),
                ("PHONE_WORK", "112"),
            ],
        );
        is(&companies[1], &[("TITLE", "'=HYPERLINK(\"x\")"), ("REVENUE", "-1.00"), ("DATE_MODIFY", "")]);
        is(
            &contacts[0],
            &[
                ("LAST_NAME", "Văn Lâm"),
                ("BIRTHDATE", "29.02.1980"),
                ("COMPANY_TITLE", "Müller & Söhne; \"best\" 😀"),
                ("COMPANY_REF", "17"),
                ("PHONE_WORK", "+49 30 123456;+49 30 654321"),
                ("EMAIL_HOME", "a@b.example"),
                ("ASSIGNED_BY_ID_LABEL", "Ann Ash [1]"),
            ],
        );
        is(
            &deals[0],
            &[
                ("STAGE_ID_LABEL", "Begun"),
                ("COMPANY_ID", "Müller & Söhne; \"best\" 😀"),
                ("CONTACT_ID", "Đặng Văn Lâm"),
                ("OPPORTUNITY", "99999999.99"),
            ],
        );
    }
}

fn profile() -> serde_json::Value {
    let text = &testkit::file("config/profiles/bitrix24-crm.yaml");
    serde_saphyr::from_str::<serde_json::Value>(text).unwrap()["spec"].clone()
}

/// More of the same, by the hundreds, with product lines and custom fields.
pub const MORE: &str = "
SET NAMES utf8mb4;
CREATE TABLE n AS WITH RECURSIVE n AS (SELECT 1 i UNION ALL SELECT i + 1 FROM n WHERE i < 400) SELECT i FROM n;
INSERT INTO b_crm_company (ID, TITLE, OPENED, ASSIGNED_BY_ID, DATE_CREATE) SELECT 1000 + i, CONCAT('Công ty ', i % 150, '; \"Söhne\" 😀'), 'Y', 1, '2026-11-01 10:00:00' FROM n;
INSERT INTO b_crm_contact (ID, NAME, LAST_NAME, FULL_NAME, COMPANY_ID, OPENED, ASSIGNED_BY_ID) SELECT 1000 + i, CONCAT('N', i), CONCAT('L', i % 90), CONCAT('N', i, ' L', i % 90), 1000 + i, 'N', 1 FROM n;
INSERT INTO b_crm_field_multi SELECT 1000 + i, 'CONTACT', 1000 + i, 'PHONE', IF(i % 2, 'WORK', 'MOBILE'), CONCAT('+49 30 ', i) FROM n;
INSERT INTO b_crm_deal (ID, TITLE, CATEGORY_ID, STAGE_ID, OPPORTUNITY, CURRENCY_ID, COMPANY_ID, CONTACT_ID, CLOSED, OPENED, ASSIGNED_BY_ID) SELECT 1000 + i, CONCAT('deal ', i), 1, 'C1:NEW', -i, 'EUR', 1000 + i, 1000 + i, 'N', 'Y', 1 FROM n;
CREATE TABLE b_crm_product_row (ID int AUTO_INCREMENT PRIMARY KEY, OWNER_ID int, OWNER_TYPE varchar(20), PRODUCT_NAME varchar(256), PRICE decimal(26,8), QUANTITY decimal(18,4));
INSERT INTO b_crm_product_row (OWNER_ID, OWNER_TYPE, PRODUCT_NAME, PRICE, QUANTITY) SELECT 1000 + a.i, 'D', CONCAT('Product ', b.i), b.i, 2 FROM n a, n b WHERE b.i <= a.i % 4;
INSERT INTO b_crm_lead (ID, TITLE, NAME, STATUS_ID, OPPORTUNITY, CURRENCY_ID, OPENED, ASSIGNED_BY_ID) SELECT 1000 + i, CONCAT('lead ', i), CONCAT('N', i), 'NEW', i, 'EUR', 'Y', 1 FROM n;
INSERT INTO b_crm_product_row (OWNER_ID, OWNER_TYPE, PRODUCT_NAME, PRICE, QUANTITY) SELECT 1000 + a.i, 'L', CONCAT('Product ', b.i), b.i, 1 FROM n a, n b WHERE b.i <= a.i % 3;
CREATE TABLE b_user_field (ID int PRIMARY KEY, ENTITY_ID varchar(50), FIELD_NAME varchar(50), USER_TYPE_ID varchar(50), MULTIPLE char(1));
INSERT INTO b_user_field VALUES (1, 'CRM_COMPANY', 'UF_CRM_SIZE', 'enumeration', 'Y'), (2, 'CRM_COMPANY', 'UF_CRM_SINCE', 'date', 'N');
CREATE TABLE b_user_field_enum (ID int PRIMARY KEY, USER_FIELD_ID int, VALUE varchar(255));
INSERT INTO b_user_field_enum VALUES (5, 1, 'Small'), (6, 1, 'Größe L');
CREATE TABLE b_uts_crm_company (VALUE_ID int PRIMARY KEY, UF_CRM_SIZE text, UF_CRM_SINCE date);
INSERT INTO b_uts_crm_company SELECT 1000 + i, 'a:2:{i:0;i:5;i:1;i:6;}', '2020-02-29' FROM n;
CREATE TABLE b_utm_crm_company (ID int AUTO_INCREMENT PRIMARY KEY, VALUE_ID int, FIELD_ID int, VALUE text, VALUE_INT int);
INSERT INTO b_utm_crm_company (VALUE_ID, FIELD_ID, VALUE_INT) SELECT 1000 + i, 1, 5 FROM n UNION ALL SELECT 1000 + i, 1, 6 FROM n;
DROP TABLE n;
";

const DAMAGE: &str = "
DELETE FROM b_crm_lead WHERE ID % 4 = 1; DELETE FROM b_crm_company WHERE ID % 3 = 0; DELETE FROM b_crm_contact WHERE ID % 3 = 0; DELETE FROM b_crm_deal WHERE ID % 3 = 0 OR ID % 5 = 0;
INSERT INTO b_crm_deal (ID, TITLE, CLOSED) VALUES (9999, 'made later', 'N');
";

async fn exported(database: &Database, backup: &BackupSummary, live: Option<LiveAnswer>, store: &Store) -> Vec<u8> {
    let task = ExportTask {
        name: "export".to_owned(),
        request_uid: "0f3b2c1d-aaaa-4bbb-8ccc-1234567890ab".to_owned(),
        request: format!("r-{}", live.is_some()),
        identity: database.dump_task().identity,
        backup: backup_ref(backup),
        profile: profile(),
        live,
    };
    let done = export::run(&task, &context(store)).await.unwrap_or_else(|e| panic!("{}: {e}", database.server.name));
    let Done::Exported(summary) = done else { panic!("an export answered something else") };
    store.get(&summary.key).await.unwrap().to_vec()
}

/// What SQL says of every record, and what an importer found of it: the same, whatever the order.
async fn same_as_by_sql(database: &Database, portal: &Portal) {
    let guarded = "IF(TITLE LIKE '=%', CONCAT('''', TITLE), TITLE)";
    let phones = |kind: &str| {
        format!(
            "COALESCE((SELECT GROUP_CONCAT(VALUE ORDER BY m.ID SEPARATOR '+') FROM b_crm_field_multi m WHERE m.ENTITY_ID = '{kind}' AND m.ELEMENT_ID = r.ID AND m.TYPE_ID = 'PHONE'), '')"
        )
    };
    let title = |of: &str| format!("COALESCE((SELECT {guarded} FROM b_crm_company c WHERE c.ID = {of}), '')");
    let products = |kind: &str| {
        format!(
            "COALESCE((SELECT GROUP_CONCAT(p.PRODUCT_NAME, ' ', CAST(p.PRICE AS CHAR) ORDER BY p.ID) FROM b_crm_product_row p WHERE p.OWNER_TYPE = '{kind}' AND p.OWNER_ID = r.ID), '')"
        )
    };
    let queries = [
        format!(
            "SELECT CONCAT_WS('|', {guarded}, COALESCE(COMMENTS, ''), {}) FROM b_crm_company r WHERE COALESCE(IS_MY_COMPANY, 'N') <> 'Y'",
            phones("COMPANY")
        ),
        format!(
            "SELECT CONCAT_WS('|', NAME, LAST_NAME, {}, {}) FROM b_crm_contact r",
            title("r.COMPANY_ID"),
            phones("CONTACT")
        ),
        format!("SELECT CONCAT_WS('|', TITLE, CAST(OPPORTUNITY AS CHAR), {}) FROM b_crm_lead r", products("L")),
        format!(
            "SELECT CONCAT_WS('|', TITLE, CAST(OPPORTUNITY AS CHAR), {}, {}) FROM b_crm_deal r",
            title("r.COMPANY_ID"),
            products("D")
        ),
    ];
    let server = &database.server.name;
    let mut session = database.session().await;
    for (kind, query) in KINDS.into_iter().zip(queries) {
        let rows: Vec<(String,)> = session.rows(&query, "test").await.unwrap_or_else(|e| panic!("{query}: {e}"));
        let mut expected: Vec<String> = rows.into_iter().map(|(text,)| text).collect();
        let mut found: Vec<String> = portal.of(kind).iter().map(|element| line(kind, element)).collect();
        expected.sort();
        found.sort();
        assert_eq!(found.len(), expected.len(), "{server}: {kind}");
        let other = found.iter().zip(&expected).find(|(found, expected)| found != expected);
        assert_eq!(other, None, "{server}: {kind}");
    }
    session.close().await;
}

fn line(kind: &str, element: &Element) -> String {
    let field = |name: &str| element.fields.get(name).cloned().unwrap_or_default();
    let phones = element.several.iter().filter(|(name, _)| name.starts_with("PHONE_"));
    let phones = phones.flat_map(|(_, all)| all.clone()).collect::<Vec<_>>().join("+");
    let company = element.links.get("COMPANY").cloned().unwrap_or_default();
    let products: Vec<String> = element.products.iter().map(|[name, price, _]| format!("{name} {price}")).collect();
    match kind {
        "companies" => [field("TITLE"), field("COMMENTS"), phones].join("|"),
        "contacts" => [field("NAME"), field("LAST_NAME"), company, phones].join("|"),
        "leads" => [field("TITLE"), field("OPPORTUNITY"), products.join(",")].join("|"),
        _ => [field("TITLE"), field("OPPORTUNITY"), company, products.join(",")].join("|"),
    }
}

fn import(zip: &[u8], folder: &str, portal: &mut Portal) {
    for kind in KINDS {
        let mut archive = zip::ZipArchive::new(Cursor::new(zip)).unwrap();
        let mut bytes = Vec::new();
        archive.by_name(&format!("{folder}{kind}.csv")).unwrap().read_to_end(&mut bytes).unwrap();
        portal.import(kind, &bytes);
    }
}

/// Asks the database, as its account sees it, which records it has.
async fn ask(database: &Database, store: &Store) -> Result<LiveList, TaskError> {
    let profile: ExportProfile = serde_json::from_value(profile()).unwrap();
    let ask = LiveIdsTask {
        name: "live".to_owned(),
        request_uid: "0f3b2c1d-aaaa-4bbb-8ccc-1234567890ab".to_owned(),
        identity: database.dump_task().identity,
        database: database.target.clone(),
        entities: LiveEntity::of(&profile),
    };
    match live_ids::run(&ask, &context(store)).await? {
        Done::Listed(list) => Ok(list),
        other => panic!("asking answered {other:?}"),
    }
}

/// A table that an account is not shown looks like one that is gone: all of its records would be "missing".
#[tokio::test(flavor = "multi_thread")]
async fn i4_an_account_that_is_not_shown_every_table_cannot_say_what_is_missing() {
    for server in Server::all() {
        let (database, store) = (Database::create(&server), Bucket::create().await.store().await);
        database.run(include_str!("crm.sql"));
        let (user, on) = (unique("u"), ident(&database.name()));
        let account = format!("'{user}'@'127.0.0.1'");
        database.run(&format!(
            "CREATE USER {account} IDENTIFIED BY 'pass-word'; GRANT SELECT ON {on}.b_crm_company TO {account}"
        ));
        let refused = ask(&database.seen_by(&user, "pass-word"), &store).await.map(|_| ()).unwrap_err();
        database.run(&format!("DROP USER {account}"));
        assert_eq!(refused.reason, "PermissionDenied", "{}: {refused}", server.name);
    }
}

/// Columns that newer accounts have and older ones do not.
#[tokio::test(flavor = "multi_thread")]
async fn old_and_new_accounts_are_exported_by_the_same_profile() {
    for server in Server::all() {
        let (database, store) = (Database::create(&server), Bucket::create().await.store().await);
        database.run(include_str!("crm.sql"));
        let old = exported(&database, &database.dump(&store).await.unwrap(), None, &store).await;
        assert!(!records(&old, "leads.csv")[0].contains_key("HONORIFIC"), "{}", server.name);
        database.run(
            "ALTER TABLE b_crm_company ADD LAST_ACTIVITY_TIME datetime; ALTER TABLE b_crm_contact ADD LAST_ACTIVITY_TIME datetime;
             ALTER TABLE b_crm_lead ADD HONORIFIC varchar(50) AFTER ID, ADD BIRTHDATE date; ALTER TABLE b_crm_deal ADD MOVED_TIME datetime;
             UPDATE b_crm_company SET LAST_ACTIVITY_TIME = '2026-11-03 04:05:06'; UPDATE b_crm_contact SET LAST_ACTIVITY_TIME = '2026-11-03 04:05:06';
             INSERT INTO b_crm_status VALUES (7, 'HONORIFIC', 'MS', 'Ms.');
             UPDATE b_crm_lead SET HONORIFIC = 'MS', BIRTHDATE = '1990-12-31'; UPDATE b_crm_deal SET MOVED_TIME = '2026-11-04 00:00:00'",
        );
        let new = exported(&database, &database.dump(&store).await.unwrap(), None, &store).await;
        for name in ["companies.csv", "contacts.csv"] {
            is(&records(&new, name)[0], &[("LAST_ACTIVITY_TIME", "03.11.2026 04:05:06")]);
        }
        is(
            &records(&new, "leads.csv")[0],
            &[("HONORIFIC", "MS"), ("HONORIFIC_LABEL", "Ms."), ("BIRTHDATE", "31.12.1990")],
        );
        is(&records(&new, "deals.csv")[0], &[("MOVED_TIME", "04.11.2026 00:00:00"), ("TITLE", "deal")]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_missing_set_gives_a_damaged_tenant_back_what_it_lost() {
    for server in Server::all() {
        let (database, store) = (Database::create(&server), Bucket::create().await.store().await);
        database.run(include_str!("crm.sql"));
        database.run(MORE);
        let that_day = database.dump(&store).await.unwrap();
        let (mut whole, mut damaged) = (Portal::default(), Portal::default());
        import(&exported(&database, &that_day, None, &store).await, "", &mut whole);
        let big = whole
            .of("companies")
            .iter()
            .filter(|c| c.several.get("UF_CRM_SIZE").is_some_and(|v| v == &["Small", "Größe L"]));
        assert_eq!(big.count(), 400, "{}", server.name);
        same_as_by_sql(&database, &whole).await;

        database.run(DAMAGE);
        let list = ask(&database, &store).await.unwrap_or_else(|e| panic!("{e}"));
        let now = database.dump(&store).await.unwrap();
        import(&exported(&database, &now, None, &store).await, "", &mut damaged);
        let later = |element: &Element| element.fields["TITLE"] == "made later";
        let zip = exported(&database, &that_day, Some(LiveAnswer::Listed(list)), &store).await;
        import(&zip, "missing-only/", &mut damaged);
        let deals = damaged.elements.get_mut("deals").unwrap();
        assert_eq!(deals.iter().filter(|deal| later(deal)).count(), 1, "{}: what came later stays", server.name);
        deals.retain(|deal| !later(deal));
        assert!(damaged.contents() == whole.contents(), "{}: nothing lost, nothing twice", server.name);
    }
}
