//! The shipped profile on a Bitrix24-like account: every way in which an account, a cell or a profile can be odd.

use crate::account::{Company, small, some, table};
use crate::importing::live;
use crate::samples::{
    Sample, bitrix, context, entries, export, export_beside, manifest, profile, records, sample, text,
};
use sennight_core::profile::ExportProfile;
use sennight_export::{ExportPlan, Exporter};
use serde_json::{Value, json};
use testkit::importer::{KINDS, cells};

fn shipped() -> ExportProfile {
    bitrix().0
}

fn told(zip: &[u8]) -> Value {
    serde_json::from_str(&text(zip, "manifest.json")).unwrap()
}

#[test]
fn custom_fields_are_resolved_and_a_serialized_one_never_gets_out() {
    let zip = export(&shipped(), &small().tables()).unwrap();
    let anna = &records(&zip, "contacts.csv")[0];
    assert_eq!((anna["UF_CRM_COLOUR"].as_str(), anna["UF_CRM_NOTE"].as_str()), ("Blue,Red", "call"));
    assert!(!text(&zip, "contacts.csv").contains("a:1:"), "the backup that Bitrix24 keeps for itself");
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
fn a_record_is_written_as_the_preset_says() {
    let columns = [
        ("ID", "int"),
        ("NAME", "text"),
        ("BORN", "date"),
        ("AT", "datetime"),
        ("OPENED", "char(1)"),
        ("SUM", "decimal(18,2)"),
        ("NOTE", "text"),
    ];
    let listed: Vec<Value> =
        columns.iter().map(|(name, _)| json!({"column": name, "boolean": *name == "OPENED"})).collect();
    let spec = |preset: &str| json!({"format": {"preset": preset}, "entities": [{"name": "t", "file": "t.csv", "table": {"name": "t"}, "columns": listed}]});
    let row = [
        Some("1"),
        Some("a;b, \"c\""),
        Some("2026-02-28"),
        Some("2026-11-01 10:00:00"),
        Some("Y"),
        Some("-1.50"),
        None,
    ];
    for (preset, expected) in [
        (
            "bitrix24",
            "\u{feff}\"ID\";\"NAME\";\"BORN\";\"AT\";\"OPENED\";\"SUM\";\"NOTE\"\n\
             \"1\";\"a;b, \"\"c\"\"\";\"28.02.2026\";\"01.11.2026 10:00:00\";\"Y\";\"-1.50\";\"\"\n",
        ),
        (
            "rfc4180",
            "ID,NAME,BORN,AT,OPENED,SUM,NOTE\r\n1,\"a;b, \"\"c\"\"\",2026-02-28,2026-11-01 10:00:00,true,-1.50,\r\n",
        ),
        (
            "excel-eu",
            "\u{feff}ID;NAME;BORN;AT;OPENED;SUM;NOTE\r\n1;\"a;b, \"\"c\"\"\";28.02.2026;01.11.2026 10:00:00;Y;-1.50;\r\n",
        ),
    ] {
        let zip = export(&profile(spec(preset)), &[sample("t", &columns, &[&row])]).unwrap();
        assert_eq!(text(&zip, "t.csv"), expected, "{preset}");
    }
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
    let error = ExportPlan::compile(&profile, &manifest(&[both])).unwrap_err();
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
        let error = ExportPlan::compile(&profile, &manifest(&tables)).unwrap_err();
        assert_eq!(error.reason(), reason, "{error}");
        assert!(error.to_string().starts_with(said), "{error}");
    }
}

#[test]
fn the_postgresql_twin_differs_from_the_mysql_profile_in_the_case_of_names_only() {
    let read = |text: &str| serde_saphyr::from_str::<Value>(text).unwrap();
    let mysql = read(&testkit::file("config/profiles/bitrix24-crm.yaml"));
    let twin = read(&testkit::file("config/profiles/bitrix24-crm-postgresql.yaml"));
    assert_eq!(mysql, read(&testkit::file("charts/sennight/profiles/bitrix24-crm.yaml")), "the chart's is the same");
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

/// Tables in the order in which an export reads them.
fn read(profile: &ExportProfile, samples: &[Sample]) -> Vec<String> {
    let manifest = manifest(samples);
    let plan = ExportPlan::compile(profile, &manifest).unwrap();
    let (exporter, _) = Exporter::new(plan, &manifest, context(&manifest), None).unwrap();
    exporter.steps().iter().map(|step| samples[step.table()].table.name.clone()).collect()
}

#[test]
fn what_links_refer_to_is_read_once() {
    let tables = small().tables();
    let mut read = read(&shipped(), &tables);
    assert!(read.ends_with(&["b_crm_company", "b_crm_contact", "b_crm_lead", "b_crm_deal"].map(str::to_owned)));
    let passes = read.len();
    read.sort_unstable();
    read.dedup();
    assert_eq!(read.len(), passes, "a table was read twice");
    let zip = export(&shipped(), &tables).unwrap();
    assert_eq!(told(&zip)["readTwice"], json!([]));
    assert_eq!(records(&zip, "contacts.csv")[0]["COMPANY_TITLE"], "Acme");
}

#[test]
fn what_is_referred_to_before_its_turn_is_read_twice_and_the_manifest_says_so() {
    let tables = small().tables();
    let mut backwards = shipped();
    // Contacts before their companies; and contacts that refer to contacts.
    backwards.entities.swap(0, 1);
    let own = json!({"column": "LEAD_ID", "header": "OWN", "lookup": {"name": "contact", "output": "Replace"}});
    backwards.entities[0].columns.push(serde_json::from_value(own).unwrap());
    let read = read(&backwards, &tables);
    for name in ["b_crm_company", "b_crm_contact"] {
        assert_eq!(read.iter().filter(|read| *read == name).count(), 2, "{name} in {read:?}");
    }
    let zip = export(&backwards, &tables).unwrap();
    let mut twice: Vec<Value> = told(&zip)["readTwice"].as_array().unwrap().clone();
    twice.sort_by_key(ToString::to_string);
    assert_eq!(twice, ["public.b_crm_company", "public.b_crm_contact"]);
    assert_eq!(records(&zip, "contacts.csv")[0]["COMPANY_TITLE"], "Acme");
    let same = |name: &str| assert_eq!(text(&zip, name), text(&export(&shipped(), &tables).unwrap(), name), "{name}");
    same("companies.csv");
    same("deals.csv");
    same("ambiguous-links.csv");
}

#[test]
fn a_link_to_a_record_that_is_in_no_file_still_finds_its_name() {
    let mut account = small();
    account.contacts[0].company = Some(2);
    let mut tables = account.tables();
    let companies = tables.iter_mut().find(|sample| sample.table.name == "b_crm_company").unwrap();
    // The company is the portal's own: it is not exported.
    let mine = companies.table.columns.iter().position(|column| column.name == "is_my_company").unwrap();
    let lines: Vec<String> = String::from_utf8(companies.text.clone())
        .unwrap()
        .lines()
        .map(|line| {
            let mut cells: Vec<&str> = line.split('\t').collect();
            if cells.contains(&"Other") {
                cells[mine] = "Y";
            }
            cells.join("\t") + "\n"
        })
        .collect();
    companies.text = lines.concat().into_bytes();
    let zip = export(&shipped(), &tables).unwrap();
    assert_eq!(records(&zip, "companies.csv").len(), 2);
    assert_eq!(records(&zip, "contacts.csv")[0]["COMPANY_TITLE"], "Other");
}
