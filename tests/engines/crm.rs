//! A CrmExport out of a copy of the MySQL schema: the shipped profile, no database needed.

use crate::server::{Database, Server};
use crate::support::{Bucket, context, copy_ref};
use sennight::domain::job::{Done, ExportTask};
use sennight::worker::export;
use std::collections::BTreeMap;
use std::io::{Cursor, Read};

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

#[tokio::test(flavor = "multi_thread")]
async fn the_shipped_profile_reads_the_mysql_schema() {
    let profile: serde_json::Value =
        serde_saphyr::from_str(include_str!("../../charts/sennight/profiles/bitrix24-crm.yaml")).unwrap();
    for server in Server::all() {
        let (database, store) = (Database::create(&server), Bucket::create().await.store().await);
        database.run(include_str!("crm.sql"));
        let copy = database.dump(&store).await.unwrap_or_else(|e| panic!("{}: {e}", server.name));
        // Later changes must not show, and nobody asks the database.
        database.run("DELETE FROM b_crm_deal; DROP TABLE b_crm_contact");
        let task = ExportTask {
            name: "export".to_owned(),
            request_uid: "0f3b2c1d-aaaa-4bbb-8ccc-1234567890ab".to_owned(),
            request: "ticket-1".to_owned(),
            identity: database.dump_task().identity,
            copy: copy_ref(&copy),
            profile: profile["spec"].clone(),
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
