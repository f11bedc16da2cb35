//! What a CRM's importer makes of an export: the shipped profile, a Bitrix24-like account made up by proptest, the importer
//! of tests/importer. And every way in which an account can be odd.

use crate::export::{
    Sample, bitrix, entries, export, export_beside, manifest, multi, of, profile, records, sample, text,
};
use crate::importer::{Element, KINDS, Portal, cells};
use proptest::prelude::*;
use sennight::domain::profile::{ExportProfile, FormulaGuard};
use sennight::export::guard::guarded;
use sennight::export::{Live, LiveIds, Plan};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Cursor;

/// An account: what its tables hold, and what an importer should find.
#[derive(Debug, Clone, Default)]
struct Account {
    companies: Vec<Company>,
    contacts: Vec<Contact>,
    leads: Vec<(String, String)>,
    deals: Vec<Deal>,
}

#[derive(Debug, Clone)]
struct Company {
    title: String,
    comments: String,
    phones: Vec<String>,
}

#[derive(Debug, Clone)]
struct Contact {
    name: String,
    last_name: String,
    company: Option<usize>,
    emails: Vec<String>,
    /// Of the list field with the texts Red, Green, Blue.
    colours: Vec<usize>,
    note: String,
}

#[derive(Debug, Clone)]
struct Deal {
    title: String,
    company: Option<usize>,
    contact: Option<usize>,
    products: Vec<(String, i32)>,
    closed: bool,
}

const COLOURS: [&str; 3] = ["Red", "Green", "Blue"];

/// Columns of an upper-case table of MySQL's schema, all text but for the types that are said.
fn table(name: &str, columns: &[(&str, &str)], rows: &[Vec<Option<String>>]) -> Sample {
    let rows: Vec<Vec<Option<&str>>> = rows.iter().map(|row| row.iter().map(Option::as_deref).collect()).collect();
    let rows: Vec<&[Option<&str>]> = rows.iter().map(Vec::as_slice).collect();
    sample(name, columns, &rows)
}

#[allow(clippy::needless_pass_by_value, clippy::unnecessary_wraps, reason = "a cell of a row")]
fn some(text: impl ToString) -> Option<String> {
    Some(text.to_string())
}

fn filled<'a>(rows: &'a [Vec<(&'static str, String)>], name: &str) -> Sample {
    let borrowed: Vec<Vec<(&str, &'a str)>> =
        rows.iter().map(|row| row.iter().map(|(column, cell)| (*column, cell.as_str())).collect()).collect();
    let slices: Vec<&[(&str, &str)]> = borrowed.iter().map(Vec::as_slice).collect();
    of(name, &slices)
}

impl Account {
    /// The tables of the account, with something beside them that no export may hold.
    fn tables(&self) -> Vec<Sample> {
        let secret = [vec![("id", "1".to_owned()), ("subject", "SECRET".to_owned())]];
        let timeline = [vec![("id", "1".to_owned()), ("comment", "SECRET".to_owned())]];
        vec![
            filled(&[vec![("id", "17".to_owned()), ("name", "Irina".to_owned())]], "b_user"),
            of("b_crm_status", &[]),
            filled(&self.company_rows(), "b_crm_company"),
            filled(&self.contact_rows(), "b_crm_contact"),
            filled(&self.lead_rows(), "b_crm_lead"),
            filled(&self.deal_rows(), "b_crm_deal"),
            self.multis(),
            table(
                "b_user_field",
                &[
                    ("ID", "int"),
                    ("ENTITY_ID", "text"),
                    ("FIELD_NAME", "text"),
                    ("USER_TYPE_ID", "text"),
                    ("MULTIPLE", "text"),
                ],
                &[
                    ["1", "CRM_CONTACT", "UF_CRM_COLOUR", "enumeration", "Y"].map(some).to_vec(),
                    ["2", "CRM_CONTACT", "UF_CRM_NOTE", "string", "N"].map(some).to_vec(),
                    ["3", "CRM_DEAL", "UF_CRM_COLOUR", "string", "N"].map(some).to_vec(),
                ],
            ),
            table(
                "b_user_field_enum",
                &[("ID", "int"), ("USER_FIELD_ID", "int"), ("VALUE", "varchar(255)")],
                &COLOURS.iter().enumerate().map(|(at, text)| vec![some(at), some(1), some(text)]).collect::<Vec<_>>(),
            ),
            table(
                "b_uts_crm_contact",
                &[("VALUE_ID", "int"), ("UF_CRM_COLOUR", "text"), ("UF_CRM_NOTE", "text")],
                &(1..)
                    .zip(&self.contacts)
                    .map(|(id, contact)| vec![some(id), some("a:1:{i:0;i:1;}"), some(&contact.note)])
                    .collect::<Vec<_>>(),
            ),
            self.colours(),
            self.products(),
            filled(&secret, "b_crm_act"),
            filled(&timeline, "b_crm_timeline"),
        ]
    }

    fn company_rows(&self) -> Vec<Vec<(&'static str, String)>> {
        let row = |(id, company): (i32, &Company)| {
            vec![
                ("id", id.to_string()),
                ("title", company.title.clone()),
                ("comments", company.comments.clone()),
                ("is_my_company", "N".to_owned()),
                ("category_id", "0".to_owned()),
            ]
        };
        (1..).zip(&self.companies).map(row).collect()
    }

    fn contact_rows(&self) -> Vec<Vec<(&'static str, String)>> {
        let row = |(id, contact): (i32, &Contact)| {
            let mut row = vec![
                ("id", id.to_string()),
                ("name", contact.name.clone()),
                ("last_name", contact.last_name.clone()),
                ("full_name", format!("{} {}", contact.name, contact.last_name)),
                ("category_id", "0".to_owned()),
                ("opened", "Y".to_owned()),
                ("assigned_by_id", "17".to_owned()),
            ];
            row.extend(contact.company.map(|at| ("company_id", (at + 1).to_string())));
            row
        };
        (1..).zip(&self.contacts).map(row).collect()
    }

    fn lead_rows(&self) -> Vec<Vec<(&'static str, String)>> {
        let row = |(id, (title, comments)): (i32, &(String, String))| {
            vec![("id", id.to_string()), ("title", title.clone()), ("comments", comments.clone())]
        };
        (1..).zip(&self.leads).map(row).collect()
    }

    fn deal_rows(&self) -> Vec<Vec<(&'static str, String)>> {
        let row = |(id, deal): (i32, &Deal)| {
            let closed = if deal.closed { "Y" } else { "N" };
            let mut row = vec![("id", id.to_string()), ("title", deal.title.clone()), ("closed", closed.to_owned())];
            row.extend(deal.company.map(|at| ("company_id", (at + 1).to_string())));
            row.extend(deal.contact.map(|at| ("contact_id", (at + 1).to_string())));
            row
        };
        (1..).zip(&self.deals).map(row).collect()
    }

    fn multis(&self) -> Sample {
        let mut rows = Vec::new();
        let mut add = |owner: &str, id: usize, kind: &str, of: &str, value: &str| {
            let cells = multi(owner, "0", kind, of, value).map(|(column, cell)| (column, cell.to_owned()));
            let mut cells = cells.to_vec();
            cells[1].1 = id.to_string();
            rows.push(cells);
        };
        for (at, company) in self.companies.iter().enumerate() {
            company.phones.iter().for_each(|phone| add("COMPANY", at + 1, "PHONE", "WORK", phone));
        }
        for (at, contact) in self.contacts.iter().enumerate() {
            contact.emails.iter().for_each(|email| add("CONTACT", at + 1, "EMAIL", "HOME", email));
        }
        filled(&rows, "b_crm_field_multi")
    }

    fn colours(&self) -> Sample {
        let values = (1..).zip(&self.contacts).flat_map(|(id, contact)| {
            contact.colours.iter().map(move |colour| vec![some(id), some(1), None, some(colour)])
        });
        let columns = [("VALUE_ID", "int"), ("FIELD_ID", "int"), ("VALUE", "text"), ("VALUE_INT", "int")];
        table("b_utm_crm_contact", &columns, &values.collect::<Vec<_>>())
    }

    fn products(&self) -> Sample {
        let mut rows = Vec::new();
        for (id, deal) in (1..).zip(&self.deals) {
            for (name, price) in &deal.products {
                rows.push(vec![some(id), some("D"), some(name), some(price), some("2.0000")]);
            }
            rows.push(vec![some(id), some("Q"), some("of a quote"), some(1), some(1)]);
        }
        let columns = [
            ("OWNER_ID", "int"),
            ("OWNER_TYPE", "varchar(20)"),
            ("PRODUCT_NAME", "varchar(256)"),
            ("PRICE", "decimal(26,8)"),
            ("QUANTITY", "decimal(18,4)"),
        ];
        table("b_crm_product_row", &columns, &rows)
    }

    /// What an importer should find of the elements that pass, by kind and place.
    fn expected(&self, passes: impl Fn(&str, usize) -> bool) -> Portal {
        let mut portal = Portal::default();
        let mut add = |kind: &str, at: usize, element: Element| {
            if passes(kind, at) {
                portal.elements.entry(kind.to_owned()).or_default().push(element);
            }
        };
        for (at, company) in self.companies.iter().enumerate() {
            let mut element = plain(&[("TITLE", &company.title), ("COMMENTS", &company.comments)]);
            several(&mut element, "PHONE_WORK", &company.phones);
            add("companies", at, element);
        }
        for (at, contact) in self.contacts.iter().enumerate() {
            let mut element = plain(&[
                ("NAME", &contact.name),
                ("LAST_NAME", &contact.last_name),
                ("OPENED", "Y"),
                ("ASSIGNED_BY_ID", "17"),
            ]);
            several(&mut element, "EMAIL_HOME", &contact.emails);
            let colours: Vec<String> = contact.colours.iter().map(|at| COLOURS[*at].to_owned()).collect();
            several(&mut element, "UF_CRM_COLOUR", &colours);
            several(&mut element, "UF_CRM_NOTE", std::slice::from_ref(&contact.note));
            let company = contact.company.map(|at| self.companies[at].title.clone());
            element.links.extend(company.map(|title| ("COMPANY".to_owned(), title)));
            add("contacts", at, element);
        }
        for (at, (title, comments)) in self.leads.iter().enumerate() {
            add("leads", at, plain(&[("TITLE", title), ("COMMENTS", comments)]));
        }
        for (at, deal) in self.deals.iter().enumerate() {
            let closed = if deal.closed { "Y" } else { "N" };
            let mut element = plain(&[("TITLE", &deal.title), ("CLOSED", closed)]);
            let company = deal.company.map(|at| self.companies[at].title.clone());
            element.links.extend(company.map(|title| ("COMPANY".to_owned(), title)));
            let contact = deal.contact.map(|at| &self.contacts[at]);
            let contact = contact.map(|contact| format!("{} {}", contact.name, contact.last_name));
            element.links.extend(contact.map(|name| ("CONTACT".to_owned(), name)));
            let product = |(name, price): &(String, i32)| [name.clone(), price.to_string(), "2.0000".to_owned()];
            element.products = deal.products.iter().map(product).collect();
            add("deals", at, element);
        }
        portal
    }
}

/// Fields as an importer takes them: guarded where a spreadsheet would run them, trimmed, none that is empty.
fn plain(fields: &[(&str, &str)]) -> Element {
    let mut element = Element::default();
    for (name, text) in fields {
        let (text, _) = guarded((*text).into(), FormulaGuard::Smart, false);
        if !text.trim().is_empty() {
            element.fields.insert((*name).to_owned(), text.trim().to_owned());
        }
    }
    element
}

fn several(element: &mut Element, name: &str, values: &[String]) {
    let values: Vec<String> =
        values.iter().map(|value| value.trim().to_owned()).filter(|value| !value.is_empty()).collect();
    if !values.is_empty() {
        element.several.insert(name.to_owned(), values);
    }
}

/// Names: whatever people type, but that they begin and end with a letter, as the importer trims them.
fn name() -> impl Strategy<Value = String> {
    "[a-c]([\\PC;,\"'\n\t=+@-]{0,8}[a-z])?".prop_map(|name| name.to_lowercase())
}

fn free_text() -> impl Strategy<Value = String> {
    "[\\PC;,\"'\n\r\t=+@\\\\-]{0,12}"
}

fn value() -> impl Strategy<Value = String> {
    "[a-z0-9][a-z0-9@.+-]{0,8}"
}

fn account() -> impl Strategy<Value = Account> {
    let company = (name(), free_text(), prop::collection::vec("\\+[0-9]{2,8}", 0..3))
        .prop_map(|(title, comments, phones)| Company { title, comments, phones });
    let contact = (
        "[A-C][a-z]{0,3}",
        "[A-C][a-z]{0,3}",
        prop::option::of(0..8_usize),
        prop::collection::vec(value(), 0..3),
        prop::collection::vec(0..3_usize, 0..3),
        value(),
    )
        .prop_map(|(name, last_name, company, emails, colours, note)| Contact {
            name,
            last_name,
            company,
            emails,
            colours,
            note,
        });
    let deal = (
        name(),
        prop::option::of(0..8_usize),
        prop::option::of(0..8_usize),
        prop::collection::vec((name(), -3..9_i32), 0..4),
        any::<bool>(),
    )
        .prop_map(|(title, company, contact, products, closed)| Deal { title, company, contact, products, closed });
    let parts = (
        prop::collection::vec(company, 1..6),
        prop::collection::vec(contact, 1..6),
        prop::collection::vec((name(), free_text()), 0..4),
        prop::collection::vec(deal, 0..6),
    );
    parts.prop_map(|(companies, mut contacts, leads, mut deals)| {
        let (companies_, contacts_) = (companies.len(), contacts.len());
        for contact in &mut contacts {
            contact.company = contact.company.map(|at| at % companies_);
        }
        for deal in &mut deals {
            (deal.company, deal.contact) =
                (deal.company.map(|at| at % companies_), deal.contact.map(|at| at % contacts_));
        }
        Account { companies, contacts, leads, deals }
    })
}

fn shipped() -> ExportProfile {
    bitrix().0
}

fn imported(zip: &[u8], folder: &str, portal: &mut Portal) {
    let files: BTreeMap<String, Vec<u8>> = entries(zip).into_iter().collect();
    for kind in KINDS {
        portal.import(kind, &files[&format!("{folder}{kind}.csv")]);
    }
}

/// What the live database says it has: every element that `has` says is there, by kind and place.
fn live(account: &Account, has: impl Fn(&str, usize) -> bool) -> Live {
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
    Live { ids, aside: Box::new(Cursor::new(Vec::new())) }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn an_importer_finds_every_record_of_that_day_and_nothing_that_is_excluded(account in account()) {
        let zip = export(&shipped(), &account.tables()).unwrap();
        let mut portal = Portal::default();
        imported(&zip, "", &mut portal);
        prop_assert_eq!(portal.contents(), account.expected(|_, _| true).contents());
        prop_assert!(portal.rejected.is_empty(), "{:?}", portal.rejected);
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

fn small() -> Account {
    let company = |title: &str| Company { title: title.into(), comments: String::new(), phones: Vec::new() };
    let contact = Contact {
        name: "Anna".into(),
        last_name: "Weber".into(),
        company: Some(0),
        emails: vec!["a@b.example".into()],
        colours: vec![2, 0],
        note: "call".into(),
    };
    let deal = Deal {
        title: "Roof".into(),
        company: Some(1),
        contact: Some(0),
        products: vec![("Panel".into(), 100), ("Cable".into(), -5)],
        closed: false,
    };
    Account {
        companies: vec![company("Acme"), company("ACME"), company("Other")],
        contacts: vec![contact],
        leads: vec![("Lead".into(), "x".into())],
        deals: vec![deal.clone(), Deal { products: Vec::new(), company: None, ..deal }],
    }
}

fn told(zip: &[u8]) -> Value {
    serde_json::from_str(&text(zip, "manifest.json")).unwrap()
}

#[test]
fn custom_fields_are_resolved_and_a_serialized_one_never_gets_out() {
    let zip = export(&shipped(), &small().tables()).unwrap();
    let anna = &records(&zip, "contacts.csv")[0];
    assert_eq!((anna["UF_CRM_COLOUR"].as_str(), anna["UF_CRM_NOTE"].as_str()), ("Blue,Red", "call"));
    assert!(!text(&zip, "contacts.csv").contains("a:1:"), "the copy that Bitrix24 keeps for itself");
}

#[test]
fn a_custom_field_is_written_by_its_kind() {
    let mut tables = small().tables();
    let at = |name: &str, tables: &[Sample]| tables.iter().position(|sample| sample.table.name == name).unwrap();
    let fields =
        [("UF_CRM_YES", "boolean"), ("UF_CRM_DAY", "date"), ("UF_CRM_AT", "datetime"), ("UF_CRM_SUM", "double")];
    let mut rows: Vec<Vec<Option<String>>> = Vec::new();
    for (id, (name, kind)) in (1..).zip(fields) {
        rows.push(vec![some(id), some("CRM_CONTACT"), some(name), some(kind), some(if id == 3 { "Y" } else { "N" })]);
    }
    let columns =
        [("ID", "int"), ("ENTITY_ID", "text"), ("FIELD_NAME", "text"), ("USER_TYPE_ID", "text"), ("MULTIPLE", "text")];
    let place = at("b_user_field", &tables);
    tables[place] = table("b_user_field", &columns, &rows);
    let place = at("b_uts_crm_contact", &tables);
    tables[place] = table(
        "b_uts_crm_contact",
        &[
            ("VALUE_ID", "int"),
            ("UF_CRM_YES", "int"),
            ("UF_CRM_DAY", "date"),
            ("UF_CRM_AT", "text"),
            ("UF_CRM_SUM", "double"),
            ("UF_CRM_ORPHAN", "text"),
            ("XML_ID", "text"),
        ],
        &[["1", "1", "2026-02-28", "a:0:{}", "-1.5", "left behind", "hidden"].map(some).to_vec()],
    );
    let place = at("b_utm_crm_contact", &tables);
    let columns = [("VALUE_ID", "int"), ("FIELD_ID", "int"), ("VALUE", "text"), ("VALUE_DATE", "datetime")];
    tables[place] = table("b_utm_crm_contact", &columns, &[vec![some(1), some(3), None, some("2026-11-01 10:00:00")]]);
    let zip = export(&shipped(), &tables).unwrap();
    let anna = &records(&zip, "contacts.csv")[0];
    for (header, value) in [
        ("UF_CRM_YES", "Y"),
        ("UF_CRM_DAY", "28.02.2026"),
        ("UF_CRM_AT", "01.11.2026 10:00:00"),
        ("UF_CRM_SUM", "-1.5"),
        ("UF_CRM_ORPHAN", "left behind"),
    ] {
        assert_eq!(anna[header], value, "{header}");
    }
    assert!(!anna.contains_key("XML_ID"), "only what begins as the profile says");
}

#[test]
fn a_deal_has_a_line_for_each_product_and_they_stay_in_one_file() {
    let mut profile = shipped();
    profile.format.max_rows_per_file = Some(1);
    let zip = export(&profile, &small().tables()).unwrap();
    let lines = records(&zip, "deals.csv");
    let products: Vec<[&str; 4]> = lines
        .iter()
        .map(|line| ["ID", "PRODUCT_ID", "PRODUCT_PRICE", "TITLE"].map(|header| line[header].as_str()))
        .collect();
    assert_eq!(products, [["1", "Panel", "100", "Roof"], ["1", "Cable", "-5", "Roof"]]);
    assert_eq!(records(&zip, "deals-2.csv")[0]["PRODUCT_ID"], "", "a deal without products has one line");
    let files = told(&zip)["files"].as_array().unwrap().clone();
    let deals = files.iter().find(|file| file["name"] == "deals.csv").unwrap();
    assert_eq!((&deals["records"], &deals["rows"]), (&json!(1), &json!(2)));
}

#[test]
fn links_that_an_importer_may_get_wrong_are_listed_with_what_was_meant() {
    let zip = export(&shipped(), &small().tables()).unwrap();
    let links = records(&zip, "ambiguous-links.csv");
    let listed: Vec<[&str; 6]> = links
        .iter()
        .map(|line| ["FILE", "ID", "COLUMN", "TEXT", "MEANT_ID", "CANDIDATES"].map(|header| line[header].as_str()))
        .collect();
    assert_eq!(
        listed,
        [
            ["contacts.csv", "1", "COMPANY_TITLE", "Acme", "1", "1,2"],
            ["deals.csv", "1", "COMPANY_ID", "ACME", "2", "1,2"]
        ]
    );
    assert_eq!(told(&zip)["ambiguousLinks"], json!({"listed": 2, "notListed": 0}));
    assert!(text(&zip, "README.txt").contains("2 links are by a name"));
    let mut guarded = small();
    guarded.companies = vec![Company { title: "=Acme".into(), ..guarded.companies[0].clone() }; 1];
    guarded.deals.clear();
    let zip = export(&shipped(), &guarded.tables()).unwrap();
    assert_eq!(records(&zip, "ambiguous-links.csv")[0]["CANDIDATES"], "1", "a guarded name finds nobody");
}

#[test]
fn nothing_is_missing_twice_and_a_live_database_that_was_not_asked_is_told_of() {
    let account = small();
    let zip = export_beside(&shipped(), &account.tables(), Some(live(&account, |_, _| true))).unwrap();
    for kind in KINDS {
        assert_eq!(cells(text(&zip, &format!("missing-only/{kind}.csv")).as_bytes()).len(), 1, "{kind}: a header only");
    }
    let manifest = told(&zip);
    assert_eq!(manifest["missingOnly"], json!({"live": "Compared", "at": "2025-11-14T17:30:00Z"}));
    assert_eq!(manifest["files"].as_array().unwrap().len(), 8);
    assert!(text(&zip, "README.txt").contains("Import the files of missing-only/"));
    let zip = export(&shipped(), &account.tables()).unwrap();
    assert!(!entries(&zip).iter().any(|(name, _)| name.contains("missing-only")));
    assert!(text(&zip, "README.txt").contains("whatever still exists would be there twice"));
}

#[test]
fn the_readme_is_in_three_languages_and_the_profile_says_which_comes_first() {
    let mut profile = shipped();
    for (language, first, others) in [
        ("en", "CRM export of acme", ["README.vi.txt", "README.ru.txt"]),
        ("vi", "Dữ liệu CRM của acme", ["README.txt", "README.en.txt"]),
        ("ru-RU", "Выгрузка CRM: acme", ["README.en.txt", "README.vi.txt"]),
        ("de", "CRM export of acme", ["README.vi.txt", "README.ru.txt"]),
    ] {
        language.clone_into(&mut profile.language);
        let zip = export(&profile, &small().tables()).unwrap();
        assert!(text(&zip, "README.txt").starts_with(first), "{language}");
        for other in others {
            let told = text(&zip, other);
            assert!(told.contains("companies.csv") && !told.contains('{'), "{language}: {other}\n{told}");
        }
    }
}

#[test]
fn what_is_not_utf8_is_a_line_in_the_manifest_and_loses_no_record() {
    let mut tables = small().tables();
    let contacts = tables.iter_mut().find(|sample| sample.table.name == "b_crm_contact").unwrap();
    let place = contacts.text.windows(6).position(|bytes| bytes == b"\tWeber").unwrap();
    contacts.text[place + 2] = 0xff;
    let zip = export(&shipped(), &tables).unwrap();
    assert_eq!(records(&zip, "contacts.csv")[0]["LAST_NAME"], "W\u{fffd}ber");
    assert_eq!(
        told(&zip)["notUtf8"],
        json!([{"table": "public.b_crm_contact", "cells": 1, "first": [{"row": 1, "column": "last_name"}]}])
    );
    assert!(text(&zip, "README.txt").contains("1 cells of the database are not readable text"));
}

#[test]
fn an_oversized_cell_and_a_value_with_the_separator_in_it_are_told_and_whole() {
    let mut account = small();
    account.leads[0].1 = "x".repeat(40_000);
    account.contacts[0].emails = vec!["a@b.example;c@d.example".into()];
    let mut profile = shipped();
    profile.format.preset = Some("excel-eu".into());
    let zip = export(&profile, &account.tables()).unwrap();
    assert_eq!(records(&zip, "leads.csv")[0]["COMMENTS"].len(), 40_000);
    let manifest = told(&zip);
    let file =
        |name: &str| manifest["files"].as_array().unwrap().iter().find(|file| file["name"] == name).unwrap().clone();
    assert_eq!(file("leads.csv")["oversized"], json!([{"record": 1, "column": "COMMENTS"}]));
    assert_eq!(file("contacts.csv")["ambiguous"], json!([{"record": 1, "column": "EMAIL_HOME"}]));
    let readme = text(&zip, "README.txt");
    assert!(readme.contains("1 cells are longer than a spreadsheet shows"), "{readme}");
    assert!(readme.contains("1 cells hold a value with the separator"), "{readme}");
}

#[test]
fn presets_are_whole_formats() {
    let file = |preset: &str| {
        let mut profile = shipped();
        profile.format.preset = Some(preset.into());
        text(&export(&profile, &small().tables()).unwrap(), "leads.csv").lines().next().unwrap().to_owned()
    };
    assert!(file("bitrix24").starts_with("\u{feff}\"ID\";\"TITLE\";"));
    assert!(file("rfc4180").starts_with("ID,TITLE,"));
    assert!(file("excel-eu").starts_with("\u{feff}ID;TITLE;"));
}

#[test]
fn a_column_under_its_old_or_its_new_name_is_one_column() {
    let columns = json!([{"column": "ID"}, {"column": "STAGE", "header": "S", "optional": true}, {"column": "STAGE_ID", "header": "S", "optional": true}]);
    let profile =
        profile(json!({"entities": [{"name": "d", "file": "d.csv", "table": {"name": "d"}, "columns": columns}]}));
    let of = |names: &[(&str, &str)]| sample("d", names, &[]);
    for names in [&[("ID", "int"), ("STAGE", "text")], &[("ID", "int"), ("STAGE_ID", "text")]] {
        let zip = export(&profile, &[of(names)]).unwrap();
        assert_eq!(cells(text(&zip, "d.csv").as_bytes()), [["ID", "S"]]);
        assert_eq!(told(&zip)["skipped"].as_array().unwrap().len(), 1);
    }
    let both = of(&[("ID", "int"), ("STAGE", "text"), ("STAGE_ID", "text")]);
    let error = Plan::compile(&profile, &manifest(&[both])).unwrap_err();
    assert!(error.to_string().contains("header \"S\" is there twice"), "{error}");
}

#[test]
fn a_profile_that_no_account_fits_says_so_by_its_own_reason() {
    type Change = fn(&mut ExportProfile);
    let tables = small().tables();
    let cases: [(Change, &str, &str); 6] = [
        (
            |p| p.format.preset = Some("salesforce".into()),
            "UnknownPreset",
            "format.preset: \"salesforce\" is no preset",
        ),
        (|p| p.entities[0].table.name = "b_crm_firm".into(), "TableMissing", "entities[companies].table names table"),
        (
            |p| p.entities[1].columns[2].column = "FIRST_NAME".into(),
            "ColumnMissing",
            "entities[contacts].columns[FIRST_NAME] names column",
        ),
        (
            |p| p.entities[0].custom.as_mut().unwrap().values.name = "b_crm_timeline".into(),
            "ExcludedTable",
            "entities[companies].custom.values.table names \"b_crm_timeline\"",
        ),
        (
            |p| p.entities[3].lines.as_mut().unwrap().table.name = "b_crm_deal_stage_history".into(),
            "ExcludedTable",
            "entities[deals].lines.table names",
        ),
        (|p| p.entities[3].lines.as_mut().unwrap().columns.clear(), "FieldInvalid", "entities[deals].lines.columns: "),
    ];
    for (change, reason, said) in cases {
        let mut profile = shipped();
        change(&mut profile);
        let error = Plan::compile(&profile, &manifest(&tables)).unwrap_err();
        assert_eq!(error.reason(), reason, "{error}");
        assert!(error.to_string().starts_with(said), "{error}");
    }
}

#[test]
fn the_postgresql_twin_differs_from_the_mysql_profile_in_the_case_of_names_only() {
    let read = |text: &str| serde_saphyr::from_str::<Value>(text).unwrap();
    let mysql = read(include_str!("../../config/profiles/bitrix24-crm.yaml"));
    let twin = read(include_str!("../../config/profiles/bitrix24-crm-postgresql.yaml"));
    assert_eq!(
        mysql,
        read(include_str!("../../charts/sennight/profiles/bitrix24-crm.yaml")),
        "the chart's is the same"
    );
    assert_ne!(mysql["spec"], twin["spec"]);
    assert_eq!(mysql["spec"].to_string().to_lowercase(), twin["spec"].to_string().to_lowercase());
    let of = |value: &Value| profile(value["spec"].clone());
    let tables = small().tables();
    let csv = |profile: &ExportProfile| {
        let zip = export(profile, &tables).unwrap();
        KINDS.map(|kind| text(&zip, &format!("{kind}.csv")))
    };
    assert_eq!(csv(&of(&mysql)), csv(&of(&twin)));
}
