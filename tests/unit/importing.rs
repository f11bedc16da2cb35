//! What an importer (tests/testkit/importer.rs) makes of an export of a Bitrix24-like account that proptest made up: every record of that
//! day, nothing twice, no link that leads elsewhere without a word.

use crate::account::{Account, account, small, some, table};
use crate::samples::{bitrix, entries, export, export_beside, records, text};
use proptest::prelude::*;
use sennight_core::profile::ExportProfile;
use sennight_export::{Live, LiveIds};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Cursor;
use testkit::importer::{KINDS, Portal};

fn shipped() -> ExportProfile {
    bitrix().0
}

/// Every file of each kind, one after the other.
fn imported(zip: &[u8], folder: &str, portal: &mut Portal) {
    let files: BTreeMap<String, Vec<u8>> = entries(zip).into_iter().collect();
    for kind in KINDS {
        portal.import(kind, &files[&format!("{folder}{kind}.csv")]);
        for part in (2..).map_while(|n| files.get(&format!("{folder}{kind}-{n}.csv"))) {
            portal.import(kind, part);
        }
    }
}

/// The links of a whole import that do not lead where they led, as the file that lists doubtful ones would name them.
fn wrong_links(account: &Account, portal: &Portal) -> Vec<[String; 3]> {
    let mut wrong = Vec::new();
    let mut check = |file: &str, at: usize, column: &str, meant: Option<usize>, found: Option<&usize>| {
        if meant != found.copied() {
            wrong.push([format!("{file}.csv"), (at + 1).to_string(), column.to_owned()]);
        }
    };
    for (at, (contact, element)) in account.contacts.iter().zip(portal.of("contacts")).enumerate() {
        check("contacts", at, "COMPANY_TITLE", contact.company, element.found.get("COMPANY"));
    }
    for (at, (deal, element)) in account.deals.iter().zip(portal.of("deals")).enumerate() {
        check("deals", at, "COMPANY_ID", deal.company, element.found.get("COMPANY"));
        check("deals", at, "CONTACT_ID", deal.contact, element.found.get("CONTACT"));
    }
    wrong
}

/// What the live database says it has: every element that `has` says is there, by kind and place.
pub fn live(account: &Account, has: impl Fn(&str, usize) -> bool) -> Live {
    let mut list = String::new();
    let sizes = [account.companies.len(), account.contacts.len(), account.leads.len(), account.deals.len()];
    for (kind, size) in KINDS.into_iter().zip(sizes) {
        writeln!(list, "\t{kind}").unwrap();
        for at in (0..size).filter(|at| has(kind, *at)) {
            writeln!(list, "{}", at + 1).unwrap();
        }
    }
    let mut ids = LiveIds::default();
    ids.push(list.as_bytes()).unwrap();
    ids.seal().unwrap();
    Live { ids, deferred: Box::new(Cursor::new(Vec::new())) }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn an_importer_finds_every_record_of_that_day_and_nothing_that_is_excluded(account in account(), rows in prop::option::of(1..4_i32)) {
        let mut profile = shipped();
        profile.format.max_rows_per_file = rows;
        let zip = export(&profile, &account.tables()).unwrap();
        let mut portal = Portal::default();
        imported(&zip, "", &mut portal);
        prop_assert_eq!(portal.contents(), account.expected(|_, _| true).contents());
        prop_assert!(portal.rejected.is_empty(), "{:?}", portal.rejected);
        let listed: Vec<[String; 3]> =
            records(&zip, "ambiguous-links.csv").iter().map(|link| ["FILE", "ID", "COLUMN"].map(|of| link[of].clone())).collect();
        for link in wrong_links(&account, &portal) {
            prop_assert!(listed.contains(&link), "{:?} leads elsewhere, and nobody is told: {:?}", link, listed);
        }
        for (name, bytes) in entries(&zip) {
            prop_assert!(!String::from_utf8_lossy(&bytes).contains("SECRET"), "{}", name);
        }
    }

    #[test]
    fn importing_what_is_missing_gives_back_what_was_lost_and_nothing_twice(account in account(), lost: u32) {
        // Each element is lost or not by a bit of its own.
        let survives = |kind: &str, at: usize| lost >> (KINDS.iter().position(|k| *k == kind).unwrap() * 8 + at) & 1 == 0;
        let zip = export_beside(&shipped(), &account.tables(), Some(live(&account, survives))).unwrap();
        let mut portal = account.expected(survives);
        imported(&zip, "missing-only/", &mut portal);
        prop_assert_eq!(portal.contents(), account.expected(|_, _| true).contents());
        let mut full = Portal::default();
        imported(&zip, "", &mut full);
        prop_assert_eq!(full.contents(), account.expected(|_, _| true).contents(), "the full set is whole");
    }
}

#[test]
fn a_value_stays_one_where_an_importer_would_look_for_another_separator() {
    let mut account = small();
    account.companies[0].phones = vec!["+49 30 123456, 12".into()];
    account.companies[1].phones = vec!["+49 30 123456".into(), "112".into()];
    account.contacts[0].emails = vec!["Anna Weber <a@b.example>".into()];
    let zip = export(&shipped(), &account.tables()).unwrap();
    let phone = |at: usize| records(&zip, "companies.csv")[at]["PHONE_WORK"].clone();
    assert_eq!((phone(0), phone(1)), ("+49 30 123456, 12;".to_owned(), "+49 30 123456;112".to_owned()));
    assert_eq!(records(&zip, "contacts.csv")[0]["EMAIL_HOME"], "Anna Weber <a@b.example>;");
    let mut portal = Portal::default();
    imported(&zip, "", &mut portal);
    assert_eq!(portal.of("companies")[0].several["PHONE_WORK"], ["+49 30 123456, 12"]);
    assert_eq!(portal.of("companies")[1].several["PHONE_WORK"], ["+49 30 123456", "112"]);
    assert_eq!(portal.of("contacts")[0].several["EMAIL_HOME"], ["Anna Weber <a@b.example>"]);
    assert!(!text(&zip, "README.txt").contains("with the separator"), "nothing is ambiguous");
    let mut other = shipped();
    other.format.multi_value_separator = Some("|".into());
    let zip = export(&other, &account.tables()).unwrap();
    assert_eq!(records(&zip, "contacts.csv")[0]["EMAIL_HOME"], "Anna Weber <a@b.example>", "for another importer");
}

#[test]
fn a_lead_of_several_products_is_one_lead_to_an_importer() {
    let mut tables = small().tables();
    let columns = [
        ("OWNER_ID", "int"),
        ("OWNER_TYPE", "text"),
        ("PRODUCT_NAME", "text"),
        ("PRICE", "decimal"),
        ("QUANTITY", "int"),
    ];
    let rows = [["1", "L", "Panel", "100", "1"], ["1", "L", "Cable", "5", "2"]].map(|row| row.map(some).to_vec());
    let place = tables.iter().position(|sample| sample.table.name == "b_crm_product_row").unwrap();
    tables[place] = table("b_crm_product_row", &columns, &rows);
    let mut portal = Portal::default();
    imported(&export(&shipped(), &tables).unwrap(), "", &mut portal);
    assert_eq!(portal.of("leads").len(), 1);
    assert_eq!(portal.of("leads")[0].products, [["Panel", "100", "1"], ["Cable", "5", "2"]]);
}
