//! Conversions from the API's types to those of `core`, and back for what `core` decides. Every pair is converted here only.

use super::common::{Engine, TlsMode};
use super::export_profile as profile;
use super::restore_report::JobRecord;
use super::restore_request::RestoreMode;
use super::restore_status::{RestorePhase, WaitingOn};
use chrono::{DateTime, Utc};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use sennight_core::names::RestoreStep;
use sennight_core::{engine, gate, profile as core, restore};

/// A Kubernetes timestamp; `None` beyond chrono's years.
pub fn instant(time: &Time) -> Option<DateTime<Utc>> {
    const SECOND: i128 = 1_000_000_000;
    let nanoseconds = time.0.as_nanosecond();
    // Towards the past: before 1970 the remainder must stay positive.
    let seconds = i64::try_from(nanoseconds.div_euclid(SECOND)).ok()?;
    DateTime::from_timestamp(seconds, u32::try_from(nanoseconds.rem_euclid(SECOND)).ok()?)
}

/// When an object was created, by its metadata.
pub fn created(of: &ObjectMeta) -> Option<DateTime<Utc>> {
    of.creation_timestamp.as_ref().and_then(instant)
}

impl JobRecord {
    /// Whether the Job was for this step.
    pub fn is(&self, step: RestoreStep) -> bool {
        self.step == <&str>::from(step)
    }
}

/// `From` between two enums that have the same variants.
macro_rules! same_variants {
    ($from:ty => $to:ty { $($variant:ident),* $(,)? }) => {
        impl From<$from> for $to {
            fn from(value: $from) -> Self {
                match value {
                    $(<$from>::$variant => Self::$variant,)*
                }
            }
        }
    };
}

same_variants!(Engine => engine::EngineKind { PostgreSQL, MySQL, MariaDB });
same_variants!(TlsMode => engine::TlsMode { Disable, Require, VerifyCA, VerifyFull });
same_variants!(RestoreMode => gate::Mode { CrmExport, FullRestore, Undo });
same_variants!(restore::WaitingOn => WaitingOn { Operator, Helpdesk, Billing, PlatformTeam, Queue, Nobody });
same_variants!(restore::Phase => RestorePhase {
    Checking, AwaitingApproval, AwaitingPayment, Queued, Preparing, CuttingOver, Exporting, Complete, Denied, Expired,
    Failed, NeedsAttention,
});
same_variants!(profile::QuoteStyle => core::Quote { All, Minimal });
same_variants!(profile::FormulaGuard => core::FormulaGuard { Smart, Always, Never });
same_variants!(profile::LookupOutput => core::LookupOutput { Label, Replace });

impl From<profile::Newline> for core::Newline {
    fn from(newline: profile::Newline) -> Self {
        match newline {
            profile::Newline::LF => Self::Lf,
            profile::Newline::CRLF => Self::CrLf,
        }
    }
}

/// The preset's name, as users write it.
fn preset(preset: profile::CsvPreset) -> String {
    let name = match preset {
        profile::CsvPreset::Bitrix24 => "bitrix24",
        profile::CsvPreset::Rfc4180 => "rfc4180",
        profile::CsvPreset::ExcelEu => "excel-eu",
    };
    name.to_owned()
}

// The sources are taken apart without `..`: a field that is added to one side only does not compile.

impl From<profile::ExportProfileSpec> for core::ExportProfile {
    fn from(value: profile::ExportProfileSpec) -> Self {
        let profile::ExportProfileSpec { format, language, lookups, entities, exclude, missing_only } = value;
        Self {
            format: format.into(),
            language,
            lookups: lookups.into_iter().map(|(name, lookup)| (name, lookup.into())).collect(),
            entities: entities.into_iter().map(Into::into).collect(),
            exclude,
            missing_only,
        }
    }
}

impl From<profile::CsvFormat> for core::Format {
    fn from(value: profile::CsvFormat) -> Self {
        let profile::CsvFormat {
            preset,
            delimiter,
            bom,
            bool_true,
            bool_false,
            null_text,
            date_format,
            date_time_format,
            multi_value_separator,
            custom_value_separator,
            max_rows_per_file,
            max_cell_chars,
            quote,
            newline,
            formula_guard,
        } = value;
        Self {
            preset: preset.map(self::preset),
            delimiter,
            bom,
            bool_true,
            bool_false,
            null_text,
            date_format,
            date_time_format,
            multi_value_separator,
            custom_value_separator,
            max_rows_per_file,
            max_cell_chars,
            quote: quote.map(Into::into),
            newline: newline.map(Into::into),
            formula_guard: formula_guard.map(Into::into),
        }
    }
}

impl From<profile::TableName> for core::TableName {
    fn from(value: profile::TableName) -> Self {
        let profile::TableName { schema, name } = value;
        Self { schema, name }
    }
}

impl From<profile::Entity> for core::Entity {
    fn from(value: profile::Entity) -> Self {
        let profile::Entity { name, file, key, table, columns, where_, multi, custom, lines } = value;
        Self {
            name,
            file,
            key,
            table: table.into(),
            columns: columns.into_iter().map(Into::into).collect(),
            conditions: where_.into_iter().map(Into::into).collect(),
            multi: multi.map(Into::into),
            custom: custom.map(Into::into),
            lines: lines.map(Into::into),
        }
    }
}

impl From<profile::ProfileColumn> for core::ColumnSpec {
    fn from(value: profile::ProfileColumn) -> Self {
        let profile::ProfileColumn { column, header, optional, boolean, lookup } = value;
        Self { column, header, optional, boolean, lookup: lookup.map(Into::into) }
    }
}

impl From<profile::ColumnLookup> for core::LookupRef {
    fn from(value: profile::ColumnLookup) -> Self {
        let profile::ColumnLookup { name, key, link, output } = value;
        Self { name, key, link, output: output.into() }
    }
}

impl From<profile::Lookup> for core::Lookup {
    fn from(value: profile::Lookup) -> Self {
        let profile::Lookup { table, key, value, optional, where_ } = value;
        Self { table: table.into(), key, value, optional, conditions: where_.into_iter().map(Into::into).collect() }
    }
}

impl From<profile::Term> for core::Condition {
    fn from(value: profile::Term) -> Self {
        let profile::Term { column, equals, not_equals, starts_with, optional } = value;
        Self { column, equals, not_equals, starts_with, optional }
    }
}

impl From<profile::MultiField> for core::Multi {
    fn from(value: profile::MultiField) -> Self {
        let profile::MultiField { table, on, pivot, value, where_ } = value;
        Self { table: table.into(), on, pivot, value, conditions: where_.into_iter().map(Into::into).collect() }
    }
}

impl From<profile::CustomFields> for core::Custom {
    fn from(value: profile::CustomFields) -> Self {
        let profile::CustomFields { table, fields, enums, values, key, prefix, entity } = value;
        Self {
            table: table.into(),
            fields: fields.into(),
            enums: enums.into(),
            values: values.into(),
            key,
            prefix,
            entity,
        }
    }
}

impl From<profile::RecordLines> for core::Lines {
    fn from(value: profile::RecordLines) -> Self {
        let profile::RecordLines { table, on, optional, columns, where_ } = value;
        Self {
            table: table.into(),
            on,
            optional,
            columns: columns.into_iter().map(Into::into).collect(),
            conditions: where_.into_iter().map(Into::into).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_profile_means_the_same_as_a_kind_and_as_json() {
        let all = json!({
            "format": {
                "preset": "excel-eu", "delimiter": ",", "quote": "Minimal", "bom": true, "newline": "CRLF", "boolTrue": "1",
                "boolFalse": "0", "nullText": "-", "dateFormat": "%Y", "dateTimeFormat": "%H", "multiValueSeparator": "/",
                "customValueSeparator": "|", "formulaGuard": "Always", "maxRowsPerFile": 100, "maxCellChars": 9
            },
            "language": "vi", "exclude": ["b_x*"], "missingOnly": true,
            "lookups": {"user": {
                "table": {"schema": "s", "name": "u"}, "key": ["ID"], "value": "{NAME}", "optional": true,
                "where": [{"column": "ACTIVE", "equals": "Y"}]
            }},
            "entities": [{
                "name": "deals", "file": "deals.csv", "table": {"name": "b_crm_deal"}, "key": "ID",
                "columns": [
                    {"column": "ID", "header": "Id", "optional": true, "boolean": true},
                    {"column": "BY", "lookup": {"name": "user", "key": ["a"], "link": true, "output": "Replace"}}
                ],
                "where": [{"column": "A", "notEquals": "x", "optional": true}, {"column": "B", "startsWith": "y"}],
                "multi": {"table": {"name": "m"}, "on": "E", "pivot": ["T"], "value": "V"},
                "custom": {
                    "table": {"name": "uts"}, "key": "VALUE_ID", "prefix": "UF_", "fields": {"name": "f"}, "entity": "CRM_DEAL",
                    "enums": {"name": "e"}, "values": {"name": "utm"}
                },
                "lines": {"table": {"name": "l"}, "on": "OWNER", "columns": [{"column": "P"}], "optional": true}
            }]
        });
        let short = json!({"entities": []});
        let shipped = include_str!("../../../charts/sennight/profiles/bitrix24-crm.yaml");
        let shipped: profile::ExportProfile = serde_saphyr::from_str(shipped).unwrap();
        let mut specs = vec![shipped.spec];
        specs.extend([all, short].map(|spec| serde_json::from_value(spec).unwrap()));
        for preset in ["bitrix24", "rfc4180"] {
            specs.push(serde_json::from_value(json!({"entities": [], "format": {"preset": preset}})).unwrap());
        }
        for spec in specs {
            let read: core::ExportProfile = serde_json::from_value(serde_json::to_value(&spec).unwrap()).unwrap();
            assert_eq!(core::ExportProfile::from(spec), read);
        }
    }

    #[test]
    fn a_timestamp_keeps_its_instant() {
        for text in ["2026-11-22T03:00:00Z", "1969-12-31T23:59:59.25Z", "2026-11-22T03:00:00.000000001Z"] {
            assert_eq!(instant(&Time(text.parse().unwrap())), text.parse().ok(), "{text}");
        }
    }
}
