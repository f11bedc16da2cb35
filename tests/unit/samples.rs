//! Backups made by hand, their exports, and what is in a zip. The tables are as the demo's schema has them.

use sennight_core::manifest::{Column, Frame, Manifest, Table};
use sennight_core::profile::ExportProfile;
use sennight_export::{Comparison, ExportContext, ExportError, ExportPlan, Exporter, Live};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{Cursor, Read};
use std::sync::LazyLock;

/// A table and its rows; `None` is no value.
pub struct Sample {
    pub table: Table,
    pub text: Vec<u8>,
}

pub fn sample(name: &str, columns: &[(&str, &str)], rows: &[&[Option<&str>]]) -> Sample {
    let mut text = String::new();
    for row in rows {
        assert_eq!(row.len(), columns.len(), "{name}: {row:?}");
        let cells: Vec<String> = row.iter().map(|cell| cell.map_or("\\N".to_owned(), copy_text)).collect();
        text += &cells.join("\t");
        text.push('\n');
    }
    let columns = columns.iter().map(|(name, kind)| Column { name: (*name).into(), kind: (*kind).into() }).collect();
    let frame = Frame {
        object: "data/pack-0001.zst".into(),
        offset: 0,
        length: 1,
        raw_length: i64::try_from(text.len()).unwrap(),
        rows: i64::try_from(rows.len()).unwrap(),
        sha256: String::new(),
    };
    Sample {
        table: Table { schema: "public".into(), name: name.into(), columns, rows: frame.rows, frames: vec![frame] },
        text: text.into_bytes(),
    }
}

fn copy_text(cell: &str) -> String {
    cell.replace('\\', "\\\\").replace('\n', "\\n").replace('\r', "\\r").replace('\t', "\\t")
}

pub fn manifest(samples: &[Sample]) -> Manifest {
    let manifest = json!({
        "format": "sennight/v1", "id": "20251114T173000Z-1a2b3c4d",
        "identity": {"namespace": "tenants", "schedule": "acme", "tenant": "acme", "engine": "PostgreSQL", "database": "crm"},
        "snapshotTime": "2025-11-14T17:30:00Z", "day": "2025-11-14", "timeZone": "Europe/Berlin",
        "startedAt": "2025-11-14T17:29:59Z", "finishedAt": "2025-11-14T17:30:09Z",
        "server": {"version": "17.0", "major": 17, "encoding": "UTF8", "collate": "C", "ctype": "C", "databaseBytes": 0},
        "schema": {"object": "schema.dump", "length": 1, "sha256": "", "tool": "pg_dump 17"},
        "objects": [], "tables": samples.iter().map(|s| &s.table).collect::<Vec<_>>(),
        "totals": {"tables": 0, "rows": 0, "rawBytes": 0, "storedBytes": 0, "objects": 0},
    });
    serde_json::from_value(manifest).unwrap()
}

pub fn context(manifest: &Manifest) -> ExportContext {
    ExportContext {
        identity: manifest.identity.clone(),
        request: "ticket-4711".into(),
        request_uid: "0f3b2c1d-aaaa-4bbb-8ccc-1234567890ab".into(),
        backup: manifest.id.clone(),
        manifest_sha256: "ab".repeat(32),
        day: manifest.day,
        snapshot_time: manifest.snapshot_time,
        time_zone: manifest.time_zone.clone(),
        missing_only: Comparison::NotAsked,
    }
}

pub fn profile(value: Value) -> ExportProfile {
    serde_json::from_value(value).unwrap()
}

/// The zip of a profile over some tables.
pub fn export(profile: &ExportProfile, samples: &[Sample]) -> Result<Vec<u8>, ExportError> {
    export_beside(profile, samples, None)
}

/// The same, compared with what the live database has.
pub fn export_beside(profile: &ExportProfile, samples: &[Sample], live: Option<Live>) -> Result<Vec<u8>, ExportError> {
    let manifest = manifest(samples);
    let plan = ExportPlan::compile(profile, &manifest).unwrap();
    let mut context = context(&manifest);
    if live.is_some() {
        context.missing_only = Comparison::Compared { at: manifest.snapshot_time };
    }
    let (mut exporter, outlet) = Exporter::new(plan, &manifest, context, live)?;
    let mut zip = Vec::new();
    for step in exporter.steps() {
        exporter.begin(step)?;
        exporter.push(&samples[step.table()].text)?;
        exporter.end()?;
        zip.extend(outlet.take());
    }
    exporter.finish()?;
    zip.extend(outlet.take());
    Ok(zip)
}

/// The entries of a zip, in its order.
pub fn entries(zip: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut archive = zip::ZipArchive::new(Cursor::new(zip)).unwrap();
    let mut entries = Vec::new();
    for at in 0..archive.len() {
        let mut entry = archive.by_index(at).unwrap();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        entries.push((entry.name().unwrap().into_owned(), bytes));
    }
    entries
}

pub fn text(zip: &[u8], name: &str) -> String {
    let found = entries(zip).into_iter().find(|(entry, _)| entry == name);
    String::from_utf8(found.unwrap_or_else(|| panic!("{name} is in the zip")).1).unwrap()
}

/// The records of a CSV file in the defaults' format, by header.
pub fn records(zip: &[u8], name: &str) -> Vec<BTreeMap<String, String>> {
    let file = text(zip, name);
    let file = file.strip_prefix('\u{feff}').unwrap();
    let mut reader = csv::ReaderBuilder::new().delimiter(b';').from_reader(file.as_bytes());
    reader.deserialize().map(|record| record.unwrap()).collect()
}
/// The chart's profile and a small account that its every part applies to.
pub fn bitrix() -> (ExportProfile, Vec<Sample>) {
    let file = &testkit::file("charts/sennight/profiles/bitrix24-crm.yaml");
    let object: Value = serde_saphyr::from_str(file).unwrap();
    let profile = profile(object["spec"].clone());
    (profile, account())
}

/// Columns that the profile needs of a table and that a test says nothing about, without a value.
fn row_of<'a>(table: &str, cells: &[(&'a str, &'a str)]) -> Vec<Option<&'a str>> {
    let columns = columns_of(table);
    for (name, _) in cells {
        assert!(columns.iter().any(|(known, _)| known == name), "{table}.{name}");
    }
    let value = |column: &str| cells.iter().find(|(name, _)| *name == column).map(|(_, value)| *value);
    columns.iter().map(|(name, _)| value(name)).collect()
}

/// A table's columns as the demo's schema has them, with a time's type as `format_type` spells it: MySQL's TIMESTAMP is
/// another type, and has the short name to itself.
fn columns_of(table: &str) -> Vec<(&'static str, &'static str)> {
    static SCHEMA: LazyLock<String> = LazyLock::new(|| testkit::file("tests/demo/crm/schema.sql"));
    let schema: &'static str = SCHEMA.as_str();
    let start = schema.find(&format!("CREATE TABLE {table} (\n")).unwrap_or_else(|| panic!("{table} is in schema.sql"));
    let body = &schema[start..];
    let body = &body[..body.find("\n)").unwrap()];
    let columns = body.lines().skip(1).filter_map(|line| line.trim().trim_end_matches(',').split_once(' '));
    let spelt =
        |kind: &'static str| if kind.starts_with("timestamp(0)") { "timestamp(0) without time zone" } else { kind };
    let named = |name: &str| name.chars().all(|c| c.is_ascii_lowercase() || c == '_' || c.is_ascii_digit());
    columns.filter(|(name, _)| named(name)).map(|(name, kind)| (name, spelt(kind))).collect()
}

pub fn of(table: &str, rows: &[&[(&str, &str)]]) -> Sample {
    let rows: Vec<Vec<Option<&str>>> = rows.iter().map(|row| row_of(table, row)).collect();
    let rows: Vec<&[Option<&str>]> = rows.iter().map(Vec::as_slice).collect();
    sample(table, &columns_of(table), &rows)
}

#[allow(clippy::too_many_lines, reason = "rows, not logic")]
fn account() -> Vec<Sample> {
    vec![
        of("b_user", &[&[("id", "17"), ("name", "Irina"), ("last_name", "Weber")]]),
        of(
            "b_crm_status",
            &[
                &[("entity_id", "SOURCE"), ("status_id", "WEB"), ("name", "Website")],
                &[("entity_id", "DEAL_STAGE_1"), ("status_id", "C1:NEW"), ("name", "First contact")],
                &[("entity_id", "STATUS"), ("status_id", "C1:NEW"), ("name", "Not a stage")],
            ],
        ),
        of("b_crm_deal_category", &[&[("id", "1"), ("name", "Service")]]),
        of(
            "b_crm_company",
            &[
                &[
                    ("id", "5"),
                    ("title", "Müller & Söhne"),
                    ("is_my_company", "N"),
                    ("category_id", "0"),
                    ("opened", "Y"),
                ],
                &[("id", "6"), ("title", "Ourselves"), ("is_my_company", "Y"), ("category_id", "0")],
            ],
        ),
        of(
            "b_crm_contact",
            &[
                &[
                    ("id", "7"),
                    ("full_name", "Anna Ivanova"),
                    ("name", "Anna"),
                    ("last_name", "Ivanova"),
                    ("company_id", "5"),
                    ("source_id", "WEB"),
                    ("assigned_by_id", "17"),
                    ("birthdate", "1980-02-29"),
                    ("date_create", "2025-01-02 03:04:05"),
                    ("category_id", "0"),
                    ("search_content", "SECRET-INDEX"),
                ],
                &[("id", "8"), ("name", "Deleted"), ("company_id", "404"), ("source_id", "FAX"), ("category_id", "0")],
                &[("id", "9"), ("name", "Store"), ("category_id", "2")],
            ],
        ),
        of("b_crm_lead", &[&[("id", "1"), ("title", "Lead one"), ("opportunity", "-10.50")]]),
        of(
            "b_crm_deal",
            &[
                &[
                    ("id", "3"),
                    ("title", "Solar roof"),
                    ("category_id", "1"),
                    ("stage_id", "C1:NEW"),
                    ("company_id", "5"),
                    ("contact_id", "7"),
                    ("is_recurring", "N"),
                    ("closed", "N"),
                ],
                &[("id", "4"), ("title", "Every month"), ("is_recurring", "Y")],
            ],
        ),
        of(
            "b_crm_field_multi",
            &[
                &multi("CONTACT", "7", "PHONE", "WORK", "+49 30 1"),
                &multi("COMPANY", "7", "EMAIL", "WORK", "wrong@owner"),
                &multi("CONTACT", "7", "PHONE", "WORK", "+49 30 2"),
                &multi("CONTACT", "7", "EMAIL", "HOME", "anna@home.example"),
                &multi("LEAD", "1", "PHONE", "=cmd|'/c calc'!A0", "1"),
            ],
        ),
        of("b_crm_act", &[&[("id", "1"), ("subject", "SECRET-ACTIVITY")]]),
        of("b_crm_timeline", &[&[("id", "1"), ("comment", "SECRET-COMMENT")]]),
    ]
}

pub fn multi<'a>(
    entity: &'a str,
    id: &'a str,
    kind: &'a str,
    of: &'a str,
    value: &'a str,
) -> [(&'static str, &'a str); 5] {
    [("entity_id", entity), ("element_id", id), ("type_id", kind), ("value_type", of), ("value", value)]
}
