//! ExportProfile: a CRM export as data. `core::profile` has the same structure and checks it; the crate `export` compiles it.

use super::conditions::Condition;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Which tables and columns of a tenant's database become which CSV files.
#[derive(CustomResource, Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "sennight.dev",
    version = "v1alpha1",
    kind = "ExportProfile",
    plural = "exportprofiles",
    namespaced,
    category = "sennight",
    shortname = "eprof",
    status = "ExportProfileStatus",
    derive = "PartialEq",
    doc = "A CRM export as data: which tables and columns become which CSV files.",
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].reason"),
    printcolumn(name = "Preset", type_ = "string", json_path = ".spec.format.preset"),
    printcolumn(name = "Missing-Only", type_ = "boolean", json_path = ".spec.missingOnly"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct ExportProfileSpec {
    /// How the CSV files are written.
    #[serde(default)]
    pub format: CsvFormat,
    /// Language of README.txt in the zip: `en`, `vi` or `ru`. The other two stand beside it; a language that is none of
    /// them gets English.
    #[serde(default = "default_language")]
    #[schemars(length(min = 2, max = 16), regex(pattern = r"^[a-z]{2,3}(-[A-Za-z0-9]+)*$"))]
    pub language: String,
    /// The files, in the order to import them: what others refer to comes first.
    #[schemars(length(min = 1, max = 32), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub entities: Vec<Entity>,
    /// Tables that turn codes and ids into text, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    pub lookups: BTreeMap<String, Lookup>,
    /// Tables that must never get into an export, as globs (`*` stands for anything). A profile that names one of them is
    /// refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 128)), extend("x-kubernetes-list-type" = "set"))]
    pub exclude: Vec<String>,
    /// Beside the full set, deliver one with only the records that the live database lacks: CRM importers add records and
    /// never update them, so that the full set would bring every surviving record a second time. The live database is asked
    /// for its ids, with the read-only credentials, by a Job of its own.
    #[serde(default)]
    pub missing_only: bool,
}

fn default_language() -> String {
    "en".to_owned()
}

/// How CSV files are written. What is left out is the preset's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CsvFormat {
    /// bitrix24 (also where nothing is said): what Bitrix24's importer takes without a hand touching it. rfc4180: commas,
    /// CRLF, ISO dates, for programs. excel-eu: opens by a double click in a European Excel; more lines than a sheet has go
    /// into another file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset: Option<CsvPreset>,
    /// One character between cells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(equal = 1), regex(pattern = r"^[;,|\t^]$"))]
    pub delimiter: Option<String>,
    /// Which cells are quoted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quote: Option<QuoteStyle>,
    /// Begin each file with a UTF-8 byte order mark.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bom: Option<bool>,
    /// How a line ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newline: Option<Newline>,
    /// What a true boolean becomes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub bool_true: Option<String>,
    /// What a false boolean becomes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub bool_false: Option<String>,
    /// What a missing value becomes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub null_text: Option<String>,
    /// How a date is written, in strftime's terms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub date_format: Option<String>,
    /// How a date with time is written, in strftime's terms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub date_time_format: Option<String>,
    /// Between several values of a multi-field (telephone numbers) in one cell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 8))]
    pub multi_value_separator: Option<String>,
    /// Between several values of a custom field in one cell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 8))]
    pub custom_value_separator: Option<String>,
    /// Smart: an apostrophe before cells that a spreadsheet would run as a formula, but not before telephone numbers and
    /// numbers. Always: before each cell that begins with `=`, `+`, `-`, `@`, tab or NUL. Never: cells stay as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub formula_guard: Option<FormulaGuard>,
    /// Lines a file may have; more make another file. The lines of one record stay together. Leave it out for no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 100))]
    pub max_rows_per_file: Option<i32>,
    /// Characters that a cell may have before manifest.json lists it. Nothing is cut.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_cell_chars: Option<i32>,
}

/// A whole format by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CsvPreset {
    /// Semicolons, every cell quoted, byte order mark, LF, Y and N, 31.12.2026.
    Bitrix24,
    /// Commas, CRLF, quotes where needed, true and false, 2026-12-31.
    Rfc4180,
    /// Semicolons, byte order mark, CRLF, quotes where needed, at most as many lines as a sheet has.
    ExcelEu,
}

/// Which cells are quoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum QuoteStyle {
    /// Every cell.
    All,
    /// Those that need it.
    Minimal,
}

/// How a line ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Newline {
    /// Line feed.
    LF,
    /// Carriage return and line feed.
    CRLF,
}

/// Whether cells that look like formulas are defused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum FormulaGuard {
    /// All but telephone numbers and numbers.
    Smart,
    /// All.
    Always,
    /// None.
    Never,
}

/// A table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TableName {
    /// Schema; leave it out for `public` (PostgreSQL) or the tenant's database (MySQL).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub schema: Option<String>,
    /// Table.
    #[schemars(length(min = 1, max = 64))]
    pub name: String,
}

/// One CSV file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Entity {
    /// What it is: `contacts`.
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[a-z0-9]([a-z0-9_-]*[a-z0-9])?$"))]
    pub name: String,
    /// Name of the file inside the zip: `contacts.csv`.
    #[schemars(length(min = 5, max = 128), regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9._-]*[.]csv$"))]
    pub file: String,
    /// The table that its records come from.
    pub table: TableName,
    /// Column that identifies a record; `multi` refers to it.
    #[serde(default = "default_key")]
    #[schemars(length(min = 1, max = 64))]
    pub key: String,
    /// The columns, in order.
    #[schemars(length(min = 1, max = 256), extend("x-kubernetes-list-type" = "atomic"))]
    pub columns: Vec<ProfileColumn>,
    /// Which records: all terms must hold.
    #[serde(default, rename = "where", skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub where_: Vec<Term>,
    /// Values of another table, several to a record, that become columns (telephone numbers, e-mail addresses).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub multi: Option<MultiField>,
    /// Fields that the account defined for itself (Bitrix24's `UF_CRM_…`). What the tenant has of them is exported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom: Option<CustomFields>,
    /// Rows of another table that make further lines of their record (the products of a deal). The record's cells are
    /// repeated on each line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lines: Option<RecordLines>,
}

fn default_key() -> String {
    "id".to_owned()
}

/// One column of a CSV file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProfileColumn {
    /// Column of the table.
    #[schemars(length(min = 1, max = 64))]
    pub column: String,
    /// Header in the file. Leave it out for the column's name in capitals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub header: Option<String>,
    /// A tenant whose table lacks this column gets the file without it; it is listed in the zip. Otherwise the export fails.
    #[serde(default)]
    pub optional: bool,
    /// Turn the cell's code or id into text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lookup: Option<ColumnLookup>,
    /// The cell is a boolean kept as text or number (Y/N, 1/0, t/f): write it as `format.boolTrue` and `format.boolFalse`.
    /// Columns of the database's own boolean type need no saying.
    #[serde(default)]
    pub boolean: bool,
}

/// How a cell is looked up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ColumnLookup {
    /// One of the profile's `lookups`.
    #[schemars(length(min = 1, max = 64))]
    pub name: String,
    /// Fixed values of the lookup's first key columns; the cell itself is the last one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4), inner(length(max = 128)), extend("x-kubernetes-list-type" = "atomic"))]
    pub key: Vec<String>,
    /// The importer finds the other record by this text: `ambiguous-links.csv` lists the cells whose text several records
    /// share, with the id that was meant.
    #[serde(default)]
    pub link: bool,
    /// Label: the cell stays and the text comes into a further column `<header>_LABEL`. Replace: the text takes the cell's
    /// place.
    #[serde(default)]
    pub output: LookupOutput,
}

/// Where the text of a lookup goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum LookupOutput {
    /// Into a further column.
    #[default]
    Label,
    /// Into the cell itself.
    Replace,
}

/// A table that turns codes and ids into text. It is held in memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Lookup {
    /// The table.
    pub table: TableName,
    /// Columns that identify a row.
    #[schemars(length(min = 1, max = 4), inner(length(min = 1, max = 64)), extend("x-kubernetes-list-type" = "atomic"))]
    pub key: Vec<String>,
    /// The text: column names in braces and anything between them, `{name} {last_name} [{id}]`.
    #[schemars(length(min = 1, max = 256))]
    pub value: String,
    /// Which rows: all terms must hold.
    #[serde(default, rename = "where", skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub where_: Vec<Term>,
    /// A tenant without this table gets no texts from it. Otherwise the export fails.
    #[serde(default)]
    pub optional: bool,
}

/// A condition on a row: the column is there and its value is as said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "[has(self.equals), has(self.notEquals), has(self.startsWith)].filter(x, x).size() == 1",
    "message": "a term needs exactly one of equals, notEquals and startsWith"
}]))]
pub struct Term {
    /// Column of the table.
    #[schemars(length(min = 1, max = 64))]
    pub column: String,
    /// The value is this text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub equals: Option<String>,
    /// The value is missing or is not this text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub not_equals: Option<String>,
    /// The value begins with this text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub starts_with: Option<String>,
    /// A tenant whose table lacks the column: the term is dropped. Otherwise the export fails.
    #[serde(default)]
    pub optional: bool,
}

/// Values of another table, several to a record. They are held in memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MultiField {
    /// The table.
    pub table: TableName,
    /// Its column that holds the record's key.
    #[schemars(length(min = 1, max = 64))]
    pub on: String,
    /// Its columns whose values, joined by `_`, name the CSV column: `[type_id, value_type]` gives `PHONE_WORK`.
    #[schemars(length(min = 1, max = 4), inner(length(min = 1, max = 64)), extend("x-kubernetes-list-type" = "atomic"))]
    pub pivot: Vec<String>,
    /// Its column that holds the value.
    #[schemars(length(min = 1, max = 64))]
    pub value: String,
    /// Which rows: all terms must hold.
    #[serde(default, rename = "where", skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub where_: Vec<Term>,
}

/// Fields that the account defined for itself: a table with a column each, and tables that say what they are. Whatever of
/// this a tenant does not have is listed in the zip.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CustomFields {
    /// The table with a row a record and a column a field: `b_uts_crm_contact`.
    pub table: TableName,
    /// Its column that holds the record's key, and that of `values`: `VALUE_ID`.
    #[schemars(length(min = 1, max = 64))]
    pub key: String,
    /// How the columns that are fields begin: `UF_`.
    #[schemars(length(min = 1, max = 64))]
    pub prefix: String,
    /// What the fields are: `b_user_field`, with `ID`, `ENTITY_ID`, `FIELD_NAME`, `USER_TYPE_ID` and `MULTIPLE`.
    pub fields: TableName,
    /// The `ENTITY_ID` of this entity's fields: `CRM_CONTACT`.
    #[schemars(length(min = 1, max = 64))]
    pub entity: String,
    /// The texts of list fields: `b_user_field_enum`, with `ID` and `VALUE`.
    pub enums: TableName,
    /// The values of fields that may have several: `b_utm_crm_contact`, with `FIELD_ID` and `VALUE`, `VALUE_INT`,
    /// `VALUE_DOUBLE` or `VALUE_DATE`.
    pub values: TableName,
}

/// Rows of another table, several to a record. They are held in memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RecordLines {
    /// The table.
    pub table: TableName,
    /// Its column that holds the record's key.
    #[schemars(length(min = 1, max = 64))]
    pub on: String,
    /// Its columns, behind the record's own. They have no lookups.
    #[schemars(length(min = 1, max = 64), extend("x-kubernetes-list-type" = "atomic"))]
    pub columns: Vec<ProfileColumn>,
    /// Which rows: all terms must hold.
    #[serde(default, rename = "where", skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub where_: Vec<Term>,
    /// A tenant without this table gets records without lines. Otherwise the export fails.
    #[serde(default)]
    pub optional: bool,
}

/// Whether the profile makes sense by itself.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExportProfileStatus {
    /// The generation of the spec that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}
