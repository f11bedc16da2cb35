//! An export profile: which tables, columns and rows of a CRM become which CSV files. The same shape as the
//! ExportProfile kind's spec (`api::export_profile`), so that it travels as JSON. What makes sense by itself is checked
//! here (`check`); what a backup must have for it, in `export`.

mod check;
mod fault;
mod fits;
mod format;

pub use check::AMBIGUOUS_LINKS;
pub use fault::ProfileFault;
pub use fits::{Misfit, Tables};
pub use format::{Format, FormulaGuard, Newline, Quote, Style};

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What no export ever contains, whatever a profile lists: activities, comments (timeline) and history
/// (docs/csv.md). Compared without regard to case with the names of tables; `*` stands for any text.
pub const NEVER_EXPORTED: [&str; 7] =
    ["b_crm_act", "b_crm_act_*", "b_crm_usr_act*", "b_crm_timeline*", "b_crm_event*", "*_history*", "*_stat"];

/// The presets of [`Format`] by name.
pub const PRESETS: [&str; 3] = ["bitrix24", "rfc4180", "excel-eu"];

/// A CRM export as data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExportProfile {
    /// How cells and lines are written.
    #[serde(default)]
    pub format: Format,
    /// Language of the README, as an ISO 639 code.
    #[serde(default = "default_language")]
    pub language: String,
    /// Tables that codes and ids are turned into names with, by the name that columns use.
    #[serde(default)]
    pub lookups: BTreeMap<String, Lookup>,
    /// The files in import order.
    pub entities: Vec<Entity>,
    /// Tables and columns that must not get in; `*` stands for any text. Added to [`NEVER_EXPORTED`].
    #[serde(default)]
    pub exclude: Vec<String>,
    /// Beside the full set, another one of the records that the live database lacks: importers add, they never update.
    #[serde(default)]
    pub missing_only: bool,
}

fn default_language() -> String {
    "en".to_owned()
}

/// A table by name; compared without regard to case, an exact match wins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TableName {
    /// Schema; absent is `public`, or the only schema that has the table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// Name of the table.
    pub name: String,
}

/// A table that turns a key into a text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Lookup {
    /// The table that has the texts.
    pub table: TableName,
    /// The columns that make the key; the last one is compared with the cell.
    pub key: Vec<String>,
    /// A column, or a template like `{NAME} {LAST_NAME} [{ID}]`.
    pub value: String,
    /// Which rows count.
    #[serde(default, rename = "where")]
    pub conditions: Vec<Condition>,
    /// A tenant without this table gets no labels from it; otherwise the export is refused.
    #[serde(default)]
    pub optional: bool,
}

/// One kind of CRM element and its file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Entity {
    /// Name of the entity in messages and in the export's manifest.
    pub name: String,
    /// Name of the CSV file inside the zip.
    pub file: String,
    /// The table that has one row a record.
    pub table: TableName,
    /// Column that identifies a record; `multi` refers to it.
    #[serde(default = "default_key")]
    pub key: String,
    /// The columns in the order of the file.
    pub columns: Vec<ColumnSpec>,
    /// Which rows are exported; all of these must hold.
    #[serde(default, rename = "where")]
    pub conditions: Vec<Condition>,
    /// Values in a table of their own that become columns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub multi: Option<Multi>,
    /// Fields that the account defined for itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom: Option<Custom>,
    /// Rows of another table that make further lines of their record: product lines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lines: Option<Lines>,
}

fn default_key() -> String {
    "id".to_owned()
}

/// One column of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ColumnSpec {
    /// Column of the table.
    pub column: String,
    /// Its header in the file; absent is the column's name in capitals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
    /// A tenant without this column gets a file without it; otherwise the export is refused.
    #[serde(default)]
    pub optional: bool,
    /// The cell is a yes or no, whatever its type.
    #[serde(default)]
    pub boolean: bool,
    /// The name behind the code or id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lookup: Option<LookupRef>,
}

/// How a column uses a lookup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LookupRef {
    /// The lookup's name.
    pub name: String,
    /// Fixed values of the key's leading columns; the cell is the last one.
    #[serde(default)]
    pub key: Vec<String>,
    /// Where the name goes.
    #[serde(default)]
    pub output: LookupOutput,
    /// The importer finds the record by this text: texts that several records share are listed.
    #[serde(default)]
    pub link: bool,
}

/// Where the text of a lookup goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum LookupOutput {
    /// Into a further column, `<header>_LABEL`.
    #[default]
    Label,
    /// Into the cell's place; a cell that the lookup does not know becomes empty.
    Replace,
}

/// One condition on a column. Exactly one of `equals`, `not_equals` and `starts_with` is given.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Condition {
    /// Column of the table.
    pub column: String,
    /// The cell is this text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub equals: Option<String>,
    /// The cell is another text, or has no value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_equals: Option<String>,
    /// The cell begins with this text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub starts_with: Option<String>,
    /// Dropped where the table lacks the column; otherwise the export is refused.
    pub optional: bool,
}

/// Values in a table of their own: phones, e-mails. Each kind of value becomes a column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Multi {
    /// The table.
    pub table: TableName,
    /// Its column that holds the record's key.
    pub on: String,
    /// Its columns whose values, joined by `_`, are the headers.
    pub pivot: Vec<String>,
    /// Its column with the value.
    pub value: String,
    /// Which of its rows count.
    #[serde(default, rename = "where")]
    pub conditions: Vec<Condition>,
}

/// Fields that the account defined for itself: a table with a column each, and tables that say what they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Custom {
    /// The table with a row a record and a column a field: `b_uts_crm_contact`.
    pub table: TableName,
    /// Its column that holds the record's key.
    pub key: String,
    /// How the columns that are fields begin: `UF_`.
    pub prefix: String,
    /// What the fields are: `b_user_field`.
    pub fields: TableName,
    /// Which of its rows are this entity's: the value of its ENTITY_ID.
    pub entity: String,
    /// The texts of list fields: `b_user_field_enum`.
    pub enums: TableName,
    /// The values of fields that may have several: `b_utm_crm_contact`.
    pub values: TableName,
}

/// Rows of another table, several to a record. The record's cells are repeated on each line, as importers want it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Lines {
    /// The table.
    pub table: TableName,
    /// Its column that holds the record's key.
    pub on: String,
    /// Its columns, behind the record's own.
    pub columns: Vec<ColumnSpec>,
    /// Which of its rows count.
    #[serde(default, rename = "where")]
    pub conditions: Vec<Condition>,
    /// A tenant without this table gets records without lines; otherwise the export is refused.
    #[serde(default)]
    pub optional: bool,
}

/// Whether `text` matches `pattern`, in which `*` stands for any text; letters match in either case.
pub fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.to_ascii_lowercase(), text.to_ascii_lowercase());
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|head| text.strip_prefix(head)) else {
        return false;
    };
    let Some(tail) = parts.next_back() else {
        return rest.is_empty();
    };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, text, expected) in [
            ("b_crm_act", "b_crm_act", true),
            ("b_crm_act", "b_crm_activity", false),
            ("b_crm_timeline*", "B_CRM_TIMELINE_BIND", true),
            ("*_history*", "b_crm_deal_stage_history_with_supposed", true),
            ("*_stat", "b_crm_deal_stat", true),
            ("*_stat", "b_crm_status", false),
            ("a*b*c", "aXbYc", true),
            ("a*b*c", "ac", false),
            ("aa*a", "aa", false),
            ("*", "", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn a_short_profile_gets_the_defaults_of_bitrix24() {
        let profile: ExportProfile = serde_json::from_value(serde_json::json!({
            "entities": [{"name": "deals", "file": "deals.csv", "table": {"name": "b_crm_deal"}, "columns": [{"column": "ID"}]}]
        }))
        .unwrap();
        assert_eq!(profile.format.style(), Ok(Style::default()));
        assert_eq!(profile.language, "en");
        assert!(serde_json::from_str::<ExportProfile>(r#"{"entities":[],"typo":1}"#).is_err());
    }
}
