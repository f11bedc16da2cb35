//! ExportProfile: a CRM export as data. `domain::profile` reads the same JSON and compiles it.

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
    printcolumn(name = "Language", type_ = "string", json_path = ".spec.language"),
    printcolumn(name = "Delimiter", type_ = "string", json_path = ".spec.format.delimiter"),
    printcolumn(name = "Formula-Guard", type_ = "string", json_path = ".spec.format.formulaGuard"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct ExportProfileSpec {
    /// How the CSV files are written.
    #[serde(default)]
    pub format: CsvFormat,
    /// Language of the README in the zip.
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
}

fn default_language() -> String {
    "en".to_owned()
}

/// How CSV files are written. The defaults are Bitrix24's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CsvFormat {
    /// One character between cells.
    #[serde(default = "default_delimiter")]
    #[schemars(length(equal = 1), regex(pattern = r"^[;,|\t^]$"))]
    pub delimiter: String,
    /// Which cells are quoted.
    #[serde(default)]
    pub quote: QuoteStyle,
    /// Begin each file with a UTF-8 byte order mark.
    #[serde(default = "yes")]
    pub bom: bool,
    /// How a line ends.
    #[serde(default)]
    pub newline: Newline,
    /// What a true boolean becomes.
    #[serde(default = "default_true")]
    #[schemars(length(max = 32))]
    pub bool_true: String,
    /// What a false boolean becomes.
    #[serde(default = "default_false")]
    #[schemars(length(max = 32))]
    pub bool_false: String,
    /// What a missing value becomes.
    #[serde(default)]
    #[schemars(length(max = 32))]
    pub null_text: String,
    /// How a date is written, in strftime's terms.
    #[serde(default = "default_date")]
    #[schemars(length(min = 1, max = 64))]
    pub date_format: String,
    /// How a date with time is written, in strftime's terms.
    #[serde(default = "default_date_time")]
    #[schemars(length(min = 1, max = 64))]
    pub date_time_format: String,
    /// Between several values in one cell.
    #[serde(default = "default_separator")]
    #[schemars(length(min = 1, max = 8))]
    pub multi_value_separator: String,
    /// Smart: an apostrophe before cells that a spreadsheet would run as a formula, but not before telephone numbers and
    /// numbers. Always: before each cell that begins with `=`, `+`, `-`, `@`, tab or NUL. Never: cells stay as they are.
    #[serde(default)]
    pub formula_guard: FormulaGuard,
    /// Records a file may have; more make another file. Leave it out for no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 100))]
    pub max_rows_per_file: Option<i32>,
}

impl Default for CsvFormat {
    fn default() -> Self {
        Self {
            delimiter: default_delimiter(),
            quote: QuoteStyle::default(),
            bom: yes(),
            newline: Newline::default(),
            bool_true: default_true(),
            bool_false: default_false(),
            null_text: String::new(),
            date_format: default_date(),
            date_time_format: default_date_time(),
            multi_value_separator: default_separator(),
            formula_guard: FormulaGuard::default(),
            max_rows_per_file: None,
        }
    }
}

fn default_delimiter() -> String {
    ";".to_owned()
}
fn yes() -> bool {
    true
}
fn default_true() -> String {
    "Y".to_owned()
}
fn default_false() -> String {
    "N".to_owned()
}
fn default_date() -> String {
    "%d.%m.%Y".to_owned()
}
fn default_date_time() -> String {
    "%d.%m.%Y %H:%M:%S".to_owned()
}
fn default_separator() -> String {
    ";".to_owned()
}

/// Which cells are quoted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum QuoteStyle {
    /// Every cell.
    #[default]
    All,
    /// Those that need it.
    Minimal,
}

/// How a line ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Newline {
    /// Line feed.
    #[default]
    LF,
    /// Carriage return and line feed.
    CRLF,
}

/// Whether cells that look like formulas are defused.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum FormulaGuard {
    /// All but telephone numbers and numbers.
    #[default]
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
