//! The export room from outside: a hand-made backup, the profile that the chart ships, the zip's bytes.

use crate::samples::{Sample, bitrix, context, entries, export, manifest, profile, records, sample, text};
use chrono::{DateTime, Utc};
use proptest::prelude::*;
use sennight_core::profile::ExportProfile;
use sennight_export::ExportPlan;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::io::Cursor;

const TEXT: &str = "character varying(255)";

/// One entity with the columns `id` and `value`.
fn one_column(format: &Value) -> ExportProfile {
    profile(json!({
        "format": format,
        "entities": [{"name": "things", "file": "things.csv", "table": {"name": "things"},
                      "columns": [{"column": "id"}, {"column": "value"}]}]
    }))
}

fn things(values: &[Option<&str>], kind: &str) -> Vec<Sample> {
    let ids: Vec<String> = (1..=values.len()).map(|id| id.to_string()).collect();
    let rows: Vec<[Option<&str>; 2]> = ids.iter().zip(values).map(|(id, value)| [Some(id.as_str()), *value]).collect();
    let rows: Vec<&[Option<&str>]> = rows.iter().map(<[Option<&str>; 2]>::as_slice).collect();
    vec![sample("things", &[("id", "integer"), ("value", kind)], &rows)]
}

#[test]
fn cells_are_quoted_as_bitrix24_does_it() {
    let zip =
        export(&one_column(&json!({})), &things(&[Some("a;b"), Some("say \"hi\""), None, Some("")], TEXT)).unwrap();
    assert_eq!(
        text(&zip, "things.csv"),
        "\u{feff}\"ID\";\"VALUE\"\n\"1\";\"a;b\"\n\"2\";\"say \"\"hi\"\"\"\n\"3\";\"\"\n\"4\";\"\"\n"
    );
}

#[test]
fn no_value_and_empty_text_can_be_told_apart_if_the_profile_wants_it() {
    let format = json!({"nullText": "NULL", "quote": "Minimal", "bom": false, "newline": "CRLF", "delimiter": ","});
    let zip = export(&one_column(&format), &things(&[None, Some(""), Some("x,y")], TEXT)).unwrap();
    assert_eq!(text(&zip, "things.csv"), "ID,VALUE\r\n1,NULL\r\n2,\r\n3,\"x,y\"\r\n");
}

#[test]
fn a_formula_is_guarded_and_the_manifest_says_where() {
    let values = [Some("=1+1"), Some("+49 30 123456"), Some("-5"), Some("plain"), Some("@x")];
    let zip = export(&one_column(&json!({})), &things(&values, TEXT)).unwrap();
    let written: Vec<String> =
        records(&zip, "things.csv").into_iter().map(|mut r| r.remove("VALUE").unwrap()).collect();
    assert_eq!(written, ["'=1+1", "+49 30 123456", "-5", "plain", "'@x"]);
    let told: Value = serde_json::from_str(&text(&zip, "manifest.json")).unwrap();
    assert_eq!(told["files"][0]["guardedCells"], 2);
    assert_eq!(told["files"][0]["guarded"][1], json!({"record": 5, "column": "VALUE"}));
    assert!(text(&zip, "README.txt").contains("2 cells begin like a formula"));
    let off = export(&one_column(&json!({"formulaGuard": "Never"})), &things(&values, TEXT)).unwrap();
    assert!(text(&off, "things.csv").contains("\"=1+1\""));
}

#[test]
fn a_long_table_becomes_several_files_with_a_header_each() {
    let names: Vec<String> = (0..250).map(|n| format!("n{n}")).collect();
    let values: Vec<Option<&str>> = names.iter().map(|n| Some(n.as_str())).collect();
    let zip = export(&one_column(&json!({"maxRowsPerFile": 100})), &things(&values, TEXT)).unwrap();
    let rows: Vec<usize> =
        ["things.csv", "things-2.csv", "things-3.csv"].map(|name| records(&zip, name).len()).to_vec();
    assert_eq!(rows, [100, 100, 50]);
    assert_eq!(records(&zip, "things-3.csv")[49]["VALUE"], "n249");
}

#[test]
fn the_same_backup_gives_the_same_bytes() {
    let (profile, samples) = (one_column(&json!({})), things(&[Some("a")], TEXT));
    assert_eq!(export(&profile, &samples).unwrap(), export(&profile, &samples).unwrap());
}

#[test]
fn a_damaged_or_missing_row_ends_the_export() {
    let mut torn = things(&[Some("a"), Some("b")], TEXT);
    torn[0].text.truncate(7);
    let error = export(&one_column(&json!({})), &torn).unwrap_err();
    assert_eq!((error.reason(), error.to_string().contains("row 2 of public.things")), ("RowDamaged", true), "{error}");
    let mut short = things(&[Some("a"), Some("b")], TEXT);
    short[0].text.truncate(4);
    let error = export(&one_column(&json!({})), &short).unwrap_err();
    assert_eq!(error.to_string(), "public.things gave 1 rows, the manifest lists 2: use another backup");
}
#[test]
fn the_shipped_profile_gives_the_four_files_in_import_order() {
    let (profile, samples) = bitrix();
    let zip = export(&profile, &samples).unwrap();
    let names: Vec<String> = entries(&zip).into_iter().map(|(name, _)| name).collect();
    let csv = ["companies.csv", "contacts.csv", "leads.csv", "deals.csv", "ambiguous-links.csv"];
    let others = ["README.txt", "README.vi.txt", "README.ru.txt", "manifest.json"];
    assert_eq!(names, [&csv[..], &others].concat());
    assert_eq!(context(&manifest(&samples)).file_name(), "acme_2025-11-14_ticket-4711.zip");
}

#[test]
fn codes_ids_and_multi_values_become_columns_that_people_can_read() {
    let (profile, samples) = bitrix();
    let zip = export(&profile, &samples).unwrap();
    let contacts = records(&zip, "contacts.csv");
    assert_eq!(contacts.len(), 2, "category 2 is no contact");
    let anna = &contacts[0];
    for (header, value) in [
        ("ID", "7"),
        ("COMPANY_TITLE", "Müller & Söhne"),
        ("COMPANY_REF", "5"),
        ("SOURCE_ID", "WEB"),
        ("SOURCE_ID_LABEL", "Website"),
        ("ASSIGNED_BY_ID_LABEL", "Irina Weber [17]"),
        ("BIRTHDATE", "29.02.1980"),
        ("DATE_CREATE", "02.01.2025 03:04:05"),
        ("PHONE_WORK", "+49 30 1;+49 30 2"),
        ("EMAIL_HOME", "anna@home.example"),
    ] {
        assert_eq!(anna[header], value, "{header}");
    }
    assert!(!anna.contains_key("EMAIL_WORK"), "a company's address is no contact's");
    let orphan = &contacts[1];
    assert_eq!((orphan["COMPANY_TITLE"].as_str(), orphan["COMPANY_REF"].as_str()), ("", "404"));
    assert_eq!((orphan["SOURCE_ID"].as_str(), orphan["SOURCE_ID_LABEL"].as_str()), ("FAX", ""));
    assert_eq!(orphan["PHONE_WORK"], "");
    let deals = records(&zip, "deals.csv");
    assert_eq!(deals.len(), 1, "a recurring deal is a template");
    for (header, value) in [
        ("COMPANY_ID", "Müller & Söhne"),
        ("CONTACT_ID", "Anna Ivanova"),
        ("CONTACT_REF", "7"),
        ("STAGE_ID", "C1:NEW"),
        ("STAGE_ID_LABEL", "First contact"),
        ("CATEGORY_ID_LABEL", "Service"),
        ("CLOSED", "N"),
    ] {
        assert_eq!(deals[0][header], value, "{header}");
    }
    let leads = records(&zip, "leads.csv");
    assert_eq!(leads[0]["OPPORTUNITY"], "-10.50", "a negative number is no formula");
    assert!(leads[0].contains_key("'PHONE_=cmd|'/c calc'!A0") || leads[0].contains_key("PHONE_=cmd|'/c calc'!A0"));
    assert_eq!(records(&zip, "companies.csv").len(), 1, "one's own company is not exported");
}

#[test]
fn the_manifest_and_the_readme_say_what_is_in_and_what_is_not() {
    let (profile, samples) = bitrix();
    let zip = export(&profile, &samples).unwrap();
    let told: Value = serde_json::from_str(&text(&zip, "manifest.json")).unwrap();
    assert_eq!(told["format"], "sennight-export/v1");
    assert_eq!(told["backup"], "20251114T173000Z-1a2b3c4d");
    let csv = |name: &str| name.contains(".csv") && name != "ambiguous-links.csv";
    for (name, bytes) in entries(&zip).into_iter().filter(|(name, _)| csv(name)) {
        let files = told["files"].as_array().unwrap();
        let file = files.iter().find(|file| file["name"] == name.as_str()).unwrap();
        assert_eq!(file["sha256"], hex::encode(Sha256::digest(&bytes)));
        assert_eq!(file["bytes"], bytes.len());
        assert_eq!(file["rows"], records(&zip, &name).len());
    }
    let skipped: Vec<&str> = told["skipped"].as_array().unwrap().iter().map(|s| s["name"].as_str().unwrap()).collect();
    for name in ["SOURCE_ID", "SOURCE_DESCRIPTION", "b_uts_crm_contact", "b_crm_product_row"] {
        assert!(skipped.contains(&name), "the demo's account does not have {name}: {skipped:?}");
    }
    let readme = text(&zip, "README.txt");
    for said in [
        "CRM export of acme",
        "2025-11-14 18:30:00 (Europe/Berlin)",
        "1. companies.csv - 1 records",
        "4. deals.csv - 1 records",
        "Activities",
        "deals: SOURCE_ID does not exist in this account.",
    ] {
        assert!(readme.contains(said), "{said}\n{readme}");
    }
}

#[test]
fn activities_comments_and_indexes_never_get_in() {
    let (profile, samples) = bitrix();
    let zip = export(&profile, &samples).unwrap();
    for (name, bytes) in entries(&zip) {
        assert!(!String::from_utf8_lossy(&bytes).contains("SECRET-"), "{name}");
    }
    for (field, table) in [
        ("entity", "b_crm_act"),
        ("entity", "B_CRM_TIMELINE"),
        ("entity", "b_crm_event_2025"),
        ("lookup", "b_crm_timeline_note"),
        ("multi", "b_crm_act_comm"),
        ("entity", "b_crm_deal_stage_history"),
    ] {
        let mut bad = profile.clone();
        bad.exclude.clear();
        match field {
            "entity" => bad.entities[0].table.name = table.into(),
            "lookup" => bad.lookups.get_mut("user").unwrap().table.name = table.into(),
            _ => bad.entities[0].multi.as_mut().unwrap().table.name = table.into(),
        }
        let error = ExportPlan::compile(&bad, &manifest(&samples)).unwrap_err();
        assert_eq!(error.reason(), "ExcludedTable", "{table}: {error}");
    }
    let mut bad = profile.clone();
    bad.entities[0].columns[0].column = "SEARCH_CONTENT".into();
    let error = ExportPlan::compile(&bad, &manifest(&samples)).unwrap_err();
    assert!(error.to_string().starts_with("entities[companies].columns[SEARCH_CONTENT] names"), "{error}");
}

#[test]
fn a_profile_that_does_not_fit_is_refused_by_field() {
    let things = manifest(&things(&[], TEXT));
    let good =
        json!({"name": "things", "file": "things.csv", "table": {"name": "things"}, "columns": [{"column": "id"}]});
    for (change, value, said) in [
        ("table", json!({"name": "nobody"}), "entities[things].table names table \"nobody\""),
        ("columns", json!([{"column": "nope"}]), "entities[things].columns[nope] names column \"nope\""),
        ("columns", json!([{"column": "nope", "optional": true}]), "no column is left"),
        ("columns", json!([{"column": "id"}, {"column": "ID"}]), "header \"ID\" is there twice"),
        ("columns", json!([{"column": "id"}, {"column": "ID", "optional": true}]), "header \"ID\" is there twice"),
        ("columns", json!([{"column": "id", "lookup": {"name": "who"}}]), "lookup \"who\""),
        ("where", json!([{"column": "id"}]), "entities[things].where[0]: give exactly one of"),
        ("where", json!([{"column": "x", "equals": "1"}]), "names column \"x\""),
        ("file", json!("../up.csv"), "entities[things].file"),
        (
            "multi",
            json!({"table": {"name": "things"}, "on": "id", "pivot": [], "value": "value"}),
            "entities[things].multi.pivot",
        ),
    ] {
        let mut entity = good.clone();
        entity[change] = value;
        let error = ExportPlan::compile(&profile(json!({"entities": [entity]})), &things).unwrap_err();
        assert!(error.to_string().contains(said), "{error}");
    }
    for (field, value) in [("delimiter", "\""), ("dateFormat", "%Q"), ("dateFormat", "%H"), ("multiValueSeparator", "")]
    {
        let error = ExportPlan::compile(&one_column(&json!({field: value})), &things).unwrap_err();
        assert!(error.to_string().starts_with(&format!("format.{field}")), "{error}");
    }
    let mut latin = things;
    latin.server.encoding = "LATIN1".into();
    assert_eq!(ExportPlan::compile(&one_column(&json!({})), &latin).unwrap_err().reason(), "EncodingUnsupported");
}

#[test]
fn a_table_that_two_schemas_have_needs_its_schema_said() {
    let mut samples = things(&[], TEXT);
    samples.extend(things(&[], TEXT));
    samples[0].table.schema = "one".into();
    samples[1].table.schema = "two".into();
    let mut profile = one_column(&json!({}));
    let error = ExportPlan::compile(&profile, &manifest(&samples)).unwrap_err();
    assert_eq!(error.reason(), "TableAmbiguous");
    profile.entities[0].table.schema = Some("two".into());
    assert!(ExportPlan::compile(&profile, &manifest(&samples)).is_ok());
    samples[1].table.schema = "public".into();
    profile.entities[0].table.schema = None;
    assert!(ExportPlan::compile(&profile, &manifest(&samples)).is_ok(), "public wins");
}

#[test]
fn times_are_the_backups_and_not_the_clocks() {
    let zip = export(&one_column(&json!({})), &things(&[], TEXT)).unwrap();
    let mut archive = zip::ZipArchive::new(Cursor::new(zip)).unwrap();
    let time = archive.by_index(0).unwrap().last_modified().unwrap();
    let expected: DateTime<Utc> = "2025-11-14T18:30:00Z".parse().unwrap();
    assert_eq!(time.to_string(), expected.format("%Y-%m-%d %H:%M:%S").to_string());
}

proptest! {
    #[test]
    fn any_text_survives_the_csv_and_any_reader(values in prop::collection::vec(prop::option::of("[\\PC;\"',=+\\-@\\\\\n\r\t]{0,12}"), 1..20)) {
        let cells: Vec<Option<&str>> = values.iter().map(Option::as_deref).collect();
        for format in [json!({"formulaGuard": "Never"}), json!({"formulaGuard": "Never", "quote": "Minimal", "newline": "CRLF"})] {
            let zip = export(&one_column(&format), &things(&cells, TEXT)).unwrap();
            let read: Vec<String> = records(&zip, "things.csv").into_iter().map(|mut r| r.remove("VALUE").unwrap()).collect();
            let expected: Vec<String> = values.iter().map(|v| v.clone().unwrap_or_default()).collect();
            prop_assert_eq!(read, expected);
        }
        let zip = export(&one_column(&json!({})), &things(&cells, TEXT)).unwrap();
        for record in records(&zip, "things.csv") {
            let cell = &record["VALUE"];
            prop_assert!(!cell.starts_with(['=', '@', '\t', '\r', '\n']), "{:?}", cell);
        }
    }
}
